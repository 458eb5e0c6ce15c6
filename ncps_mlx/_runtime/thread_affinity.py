"""Keep MLX's worker thread on the core of the thread that feeds it, where that is faster.

On the CPU, Python builds a graph and hands one operation after another to MLX's worker thread. When operations are as
short as those of a small network, the worker sleeps between them, and waking it on another core costs more than the
operation itself, several times more in a virtual machine. On the core of the thread that feeds it, and told not to
interrupt that thread (``SCHED_BATCH``), it is woken once per step. The system would move the feeding thread to an idle
core as soon as the worker runs, so that thread is pinned too, unless something else runs on its core. Where operations
are long, as in a population, the worker never sleeps, and each thread does better on a core of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import mlx.core as mx

__all__ = ["WorkerThreadAffinity", "find_worker"]

TRIAL_STEPS = 4  # after these, the two threads' shares of the work are known
EXCLUSIVE_RATIO = 1.15  # times both threads' work: a step that took longer shared the core with other processes
DIVERGED_RATIO = 4.0  # times the feeding thread's work: a worker that does more hardly ever sleeps

TASKS = Path("/proc/self/task")
LIBC: Any = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

class Workers(threading.local):
    """The workers of this thread's streams."""

    def __init__(self) -> None:
        self.by_stream: dict[str, int] = {}


_workers = Workers()
_active = threading.Lock()  # held by the one training loop that pins its worker


class WorkerThreadAffinity:
    """For a training loop: a ``with`` block that keeps the worker on this thread's core for as long as that is faster.

    It acts on Linux when MLX's default device is the CPU, and restores what it changed. Of several loops at once, in
    threads or nested, only the first acts. Threads and processes started during a step inherit its one core: call
    :meth:`release_affinity` before anything that may start one. It may be entered again and remembers what it measured.
    """

    def __init__(self) -> None:
        self.worker: int | None = None
        self.core = -1
        self.steps = 0
        self.diverged = False
        self.worked = [0, 0]  # nanoseconds: this thread, the worker
        self.last_cpu_times = (0, 0)
        self.last_time = 0
        self.exclusive = False  # whether the two threads had the core to themselves during the last step
        self.own_cores: set[int] = set()  # that this thread may use
        self.pinned_cores: set[int] = set()  # that this thread is held on now

    def __enter__(self) -> WorkerThreadAffinity:
        """Find the worker and tell it not to interrupt this thread."""
        if self.diverged or not _active.acquire(blocking=False):
            return self
        try:
            worker = find_worker()
            if worker is None:
                return self
            self.worker_cores, self.own_cores = os.sched_getaffinity(worker), os.sched_getaffinity(0)
            self.pinned_cores = self.own_cores
            if os.sched_getscheduler(worker) == os.SCHED_OTHER:  # else somebody chose its policy
                os.sched_setscheduler(worker, os.SCHED_BATCH, os.sched_param(0))
                self.worker, self.core = worker, -1
                self.last_time, self.last_cpu_times = time.perf_counter_ns(), cpu_times(worker)
        except OSError:  # a container may forbid it
            self.worker = None
        finally:
            if self.worker is None:
                _active.release()
        return self

    def step(self) -> None:
        """Call where a step begins: the system may have moved this thread in the meantime."""
        if self.worker is None:
            return
        self.update_cpu_times()
        if self.steps == TRIAL_STEPS and self.worked[1] > DIVERGED_RATIO * self.worked[0]:
            self.diverged = True
            self.restore()
            return
        self.steps += 1
        core = LIBC.sched_getcpu()
        with contextlib.suppress(OSError):  # the core may have been taken from this process just now
            if core != self.core:
                self.core = core
                os.sched_setaffinity(self.worker, {core})
            self.pin({core} if self.exclusive else self.own_cores)

    def release_affinity(self) -> None:
        """Let this thread, and what it starts, run on any of its cores until the next step."""
        if self.worker is not None:
            with contextlib.suppress(OSError):
                self.pin(self.own_cores)

    def pin(self, cores: set[int]) -> None:
        """Keep this thread on these cores."""
        if cores != self.pinned_cores:
            self.pinned_cores = cores
            os.sched_setaffinity(0, cores)

    def update_cpu_times(self) -> None:
        """Add the processor time of both threads since the last call."""
        if self.worker is not None:
            now, times = time.perf_counter_ns(), cpu_times(self.worker)
            spans = [after - before for after, before in zip(times, self.last_cpu_times, strict=True)]
            self.worked = [sum(part) for part in zip(self.worked, spans, strict=True)]
            self.exclusive = now - self.last_time < EXCLUSIVE_RATIO * sum(spans)
            self.last_time, self.last_cpu_times = now, times

    def restore(self) -> None:
        """Give both threads their cores back, and the worker its policy."""
        if self.worker is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self.own_cores)
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.worker, self.worker_cores)
                os.sched_setscheduler(self.worker, os.SCHED_OTHER, os.sched_param(0))
            self.worker = None
            _active.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore everything."""
        try:
            self.update_cpu_times()
        finally:
            self.restore()


def find_worker() -> int | None:
    """The system's id of the thread that computes for this one's default stream; ``None`` where there is none to pin.

    It is the thread that is busy while this one waits, and is not one of Python's.
    """
    if not sys.platform.startswith("linux") or mx.default_device() != mx.Device(mx.cpu):
        return None
    stream = str(mx.default_stream(mx.cpu))
    if stream not in _workers.by_stream:
        x = mx.zeros((1 << 16,))
        mx.eval(x, mx.sin(x))  # MLX starts the thread with its first work
        pythons = {thread.native_id for thread in threading.enumerate()}
        others = [int(path.name) for path in TASKS.iterdir() if int(path.name) not in pythons]
        before = {thread: cpu_time(thread) for thread in others}
        mx.eval(mx.sin(x))
        busy = {thread: cpu_time(thread) - before[thread] for thread in others}
        busiest = max(busy, key=lambda thread: busy[thread], default=None)
        if busiest is None or busy[busiest] == 0:
            return None
        _workers.by_stream[stream] = busiest
    worker = _workers.by_stream[stream]
    return worker if (TASKS / str(worker)).exists() else None


def cpu_times(worker: int) -> tuple[int, int]:
    """Processor time of this thread and of the worker so far, in nanoseconds."""
    return time.thread_time_ns(), cpu_time(worker)


def cpu_time(thread: int) -> int:
    """Processor time of a thread of this process so far, in nanoseconds; 0 if it has ended."""
    clock = (~thread << 3) | 6  # as clock_getcpuclockid(3) makes it: the thread's own time, by the scheduler
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return 0
