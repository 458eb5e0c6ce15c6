"""Makes the calls of a seed one after the other, and writes what came of each; its parent watches it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.calls import CLEAR, calls, judge

__all__ = ["MEMORY_MB", "SECONDS", "WAIT_SECONDS"]

SECONDS, WAIT_SECONDS, MEMORY_MB = 10, 60, 4096
"""What a call may take: its own processor time, time in all, and memory beyond what the worker has before."""


class TooSlow(BaseException):
    """A call took longer than it may; no ``except Exception`` catches it."""


def ring(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def limit_time(seconds: float, wait: float) -> None:
    """Ring after so many seconds of the process's own, which other work on the machine does not use, or in all."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, wait)


def limit_memory() -> None:
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_MB * 2**20,) * 2)


def main(seed: int, only: str, first: int, last: int) -> None:
    """Make the calls from ``first`` up to ``last``."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is called may print, from C too
    made = calls(seed, only)[first:last]
    os.chdir(tempfile.mkdtemp())  # names of files are wrong values too
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, ring)
    warnings.simplefilter("error")
    if sys.platform == "linux":
        limit_memory()
    print("ready", file=report, flush=True)
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        for i, call in enumerate(made, first):
            start = time.monotonic()
            bound, function = call.arguments(), call.target.make()
            result: Any = None
            error: BaseException | None = None
            try:
                limit_time(SECONDS, WAIT_SECONDS)
                try:
                    result = function(*bound.args, **bound.kwargs)
                finally:
                    limit_time(0, 0)
            except BaseException as caught:  # noqa: BLE001  # any may come: that is judged
                error = caught
            if isinstance(error, TooSlow):
                outcome, text = "slow", ""
            elif isinstance(error, MemoryError):
                outcome, text = "memory", str(error)
            elif result is NotImplemented:  # Python itself says what it cannot add
                outcome, text = CLEAR, ""
            else:
                outcome, text = judge(call, error)
            _close_figures()
            seconds = time.monotonic() - start
            line = {"at": i, "outcome": outcome, "text": text[:400], "seconds": round(seconds, 2)}
            report.write(json.dumps(line) + "\n")
            report.flush()


def _close_figures() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
