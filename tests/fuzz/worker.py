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

from tests.fuzz.calls import CLEAR, calls, judge

__all__ = ["MEMORY_MB", "SECONDS"]

SECONDS, MEMORY_MB = 10, 4096
"""What a call may take, memory beyond what the worker has before."""


class TooSlow(BaseException):
    """A call took longer than :data:`SECONDS`; no ``except Exception`` catches it."""


def ring(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def limit_memory() -> None:
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_MB * 2**20,) * 2)


def main(seed: int, only: str, first: int, last: int) -> None:
    """Make the calls from ``first`` up to ``last``."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is called may print, from C too
    made = calls(seed, only)[first:last]
    os.chdir(tempfile.mkdtemp())  # names of files are wrong values too
    signal.signal(signal.SIGALRM, ring)
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
            error: BaseException | None = None
            try:
                signal.alarm(SECONDS)
                bound = call.arguments()
                result = call.target.make()(*bound.args, **bound.kwargs)
            except TooSlow:
                outcome, text = "slow", ""
            except MemoryError as caught:
                outcome, text = "memory", str(caught)
            except Exception as caught:  # noqa: BLE001  # any may come: that is judged
                error = caught
                outcome, text = judge(call, error)
            else:
                # Python itself says what it cannot add.
                outcome, text = (CLEAR, "") if result is NotImplemented else judge(call, None)
            finally:
                signal.alarm(0)
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
