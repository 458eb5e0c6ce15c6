"""Keep MLX's worker thread on the core of the thread that feeds it, where that is quicker.

On the CPU, Python builds a graph and hands one operation after another to MLX's worker thread. When operations are as
short as those of a small network, the worker sleeps between them, and waking it on another core costs more than the
operation, several times more in a virtual machine. On the core of the thread that feeds it, and told not to interrupt
that thread (``SCHED_BATCH``), it is woken once per step. The system would move the feeding thread to an idle core as
soon as the worker runs, so that thread is held too, unless something else runs on its core. Where the operations are
long, as in a population, the worker never sleeps, and the two threads do better on a core each.
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

__all__ = ["Beside", "find_worker"]

TRIED = 4  # steps, after which the two threads' shares are known
ALONE = 1.15  # times both threads' work: a step that took longer met others on the core
APART = 4.0  # times the feeding thread's own work: from then on the worker hardly ever sleeps

TASKS = Path("/proc/self/task")
LIBC: Any = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

_known = threading.local()  # each thread's worker
_keeping = threading.Lock()  # held by the one training loop that keeps its worker beside it


class Beside:
    """For a training loop: keeps the worker thread beside this one for as long as that pays. Elsewhere does nothing.

    It acts on Linux, when MLX's default device is the CPU, on MLX's worker and the thread that enters it; what it
    changed is put back at the end. Of several loops at once, in threads or one within another, the first acts alone.
    Threads and processes begun during a step inherit its one core; :meth:`loosen` comes before what may begin some.
    May be entered again, and then knows what it found out.

    Example:
        >>> import mlx.core as mx
        >>> with Beside() as beside:
        ...     for _ in range(3):
        ...         beside.step()
        ...         mx.eval(mx.ones((3,)) + 1)
    """

    def __init__(self) -> None:
        self.worker: int | None = None
        self.core = -1
        self.steps = 0
        self.apart = False
        self.work = [0, 0]  # nanoseconds, of this thread and of the worker
        self.mark = (0, 0)
        self.clock = 0
        self.alone = False  # on the core, during the last step
        self.own: set[int] = set()  # cores that this thread may use
        self.held: set[int] = set()  # those it is held on

    def __enter__(self) -> Beside:
        """Find the worker, and tell it not to interrupt."""
        if self.apart or not _keeping.acquire(blocking=False):
            return self
        try:
            worker = find_worker()
            if worker is None:
                return self
            self.cores, self.own = os.sched_getaffinity(worker), os.sched_getaffinity(0)
            self.held = self.own
            if os.sched_getscheduler(worker) == os.SCHED_OTHER:  # else someone has plans for it
                os.sched_setscheduler(worker, os.SCHED_BATCH, os.sched_param(0))
                self.worker, self.core = worker, -1
                self.clock, self.mark = time.perf_counter_ns(), work_of(worker)
        except OSError:  # a container may forbid it
            self.worker = None
        finally:
            if self.worker is None:
                _keeping.release()
        return self

    def step(self) -> None:
        """To be called where a step begins: the system may have moved this thread meanwhile."""
        if self.worker is None:
            return
        self.count()
        if self.steps == TRIED and self.work[1] > APART * self.work[0]:
            self.apart = True
            self.release()
            return
        self.steps += 1
        core = LIBC.sched_getcpu()
        with contextlib.suppress(OSError):  # the core may have been taken from this process just now
            if core != self.core:
                self.core = core
                os.sched_setaffinity(self.worker, {core})
            self.hold({core} if self.alone else self.own)

    def loosen(self) -> None:
        """Let this thread run where it likes until the next step: what it begins until then may, too."""
        if self.worker is not None:
            with contextlib.suppress(OSError):
                self.hold(self.own)

    def hold(self, cores: set[int]) -> None:
        """Hold this thread on these cores."""
        if cores != self.held:
            self.held = cores
            os.sched_setaffinity(0, cores)

    def count(self) -> None:
        """Add what both threads have worked since the last time."""
        if self.worker is not None:
            clock, now = time.perf_counter_ns(), work_of(self.worker)
            spans = [after - before for after, before in zip(now, self.mark, strict=True)]
            self.work = [sum(part) for part in zip(self.work, spans, strict=True)]
            self.alone = clock - self.clock < ALONE * sum(spans)
            self.clock, self.mark = clock, now

    def release(self) -> None:
        """Let both threads run where they like."""
        if self.worker is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self.own)
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.worker, self.cores)
                os.sched_setscheduler(self.worker, os.SCHED_OTHER, os.sched_param(0))
            self.worker = None
            _keeping.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put everything back."""
        try:
            self.count()
        finally:
            self.release()


def find_worker() -> int | None:
    """The system's number of the thread that computes for this one; ``None`` where there is none to keep.

    It is the thread that is busy while this one waits, and none of Python's.
    """
    if not sys.platform.startswith("linux") or mx.default_device() != mx.Device(mx.cpu):
        return None
    if not hasattr(_known, "worker"):
        x = mx.zeros((1 << 16,))
        mx.eval(x, mx.sin(x))  # the thread begins with the first work
        pythons = {thread.native_id for thread in threading.enumerate()}
        others = [int(path.name) for path in TASKS.iterdir() if int(path.name) not in pythons]
        before = {thread: spent(thread) for thread in others}
        mx.eval(mx.sin(x))
        busy = {thread: spent(thread) - before[thread] for thread in others}
        busiest = max(busy, key=lambda thread: busy[thread], default=None)
        if busiest is None or busy[busiest] == 0:
            return None
        _known.worker = busiest
    worker: int = _known.worker
    return worker if (TASKS / str(worker)).exists() else None


def work_of(worker: int) -> tuple[int, int]:
    """Nanoseconds that this thread and the worker have computed so far."""
    return time.thread_time_ns(), spent(worker)


def spent(thread: int) -> int:
    """Nanoseconds that a thread of this process has computed so far; 0 if it has ended."""
    clock = (~thread << 3) | 6  # what clock_getcpuclockid(3) makes of a thread: its own time, by the scheduler
    try:
        return time.clock_gettime_ns(clock)
    except OSError:
        return 0
