"""Training and prediction on a stream of their own: subnormal numbers are zero there, and threads end cleanly.

A stream of MLX on the CPU has a worker thread, and belongs to the Python thread that made it. The worker takes over the
floating-point mode of that thread when it gets its first work (:mod:`ncps_mlx._runtime.flush`).

MLX keeps what it compiled with the thread, and lets go of it after Python's part of the thread has ended; often that
aborts the process. So a thread that trained clears its streams while it ends, and daemon threads, which the end of the
program would stop anywhere, are ended before.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import threading
import time
import weakref
from collections.abc import Iterator

import mlx.core as mx

from ncps_mlx._runtime.flush import can_flush, flushing_threads

__all__ = ["training_stream"]

TRAINING_SECONDS = 10.0  # how long the end of the program waits for a daemon thread to leave its training
IDLE_SECONDS = 0.2  # and for one that does something else: it may wait for a lock, which nothing interrupts


class ClearAtEnd:
    """Clears MLX's streams when its thread lets go of it, at the thread's end."""

    def __del__(self) -> None:
        mx.clear_streams()
        mx.set_default_stream(mx.new_stream(mx.default_device()))  # for a foreign thread, which Python may enter again


class ThreadState(threading.local):
    """What belongs to this thread."""

    stream: mx.Stream | None = None
    clear_at_end: ClearAtEnd | None = None


_state = ThreadState()
_daemons: weakref.WeakSet[threading.Thread] = weakref.WeakSet()  # those that have trained
_training: set[threading.Thread] = set()  # those of them that train now


@contextlib.contextmanager
def training_stream() -> Iterator[None]:
    """What MLX computes within, on its CPU device, is computed by this thread's own worker for training.

    May be nested. On another device nothing changes but that the thread ends cleanly.
    """
    with ends_cleanly():
        if mx.default_device() != mx.Device(mx.cpu) or not can_flush():
            yield
            return
        if _state.stream is None:
            _state.stream = new_flushing_stream()
        with mx.stream(_state.stream):
            yield


def new_flushing_stream() -> mx.Stream:
    """A stream of the CPU whose worker runs already, and takes subnormal numbers for zero."""
    with flushing_threads():
        stream = mx.new_stream(mx.cpu)
        mx.eval(mx.add(mx.zeros((3,), stream=stream), 1.0, stream=stream))  # the worker begins with its first work
    return stream


@contextlib.contextmanager
def ends_cleanly() -> Iterator[None]:
    """See to it that this thread, in which MLX compiles, does not abort the program when either ends."""
    thread = threading.current_thread()
    if thread is not threading.main_thread() and _state.clear_at_end is None:
        _state.clear_at_end = ClearAtEnd()
    if not thread.daemon or thread in _training:
        yield
        return
    _daemons.add(thread)
    _training.add(thread)
    try:
        yield
    finally:
        _training.discard(thread)


@atexit.register
def end_daemons() -> None:
    """Raise SystemExit in the daemon threads that have trained, and wait for them a little."""
    daemons = [thread for thread in _daemons if thread.is_alive()]
    for thread in daemons:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    start = time.monotonic()
    for thread in daemons:
        seconds = TRAINING_SECONDS if thread in _training else IDLE_SECONDS
        thread.join(max(0.0, start + seconds - time.monotonic()))
