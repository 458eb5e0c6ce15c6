"""``ncps-mlx worker STORAGE NAME``: take part in a study, here or on another machine.

The storage holds all that a worker needs: how the task was made, the space, the fixed values, the plan. A worker takes
the next population that nobody trains, trains it, writes it down, and ends when everything is done.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from types import FrameType

from ncps_mlx._utils.progress import log
from ncps_mlx.search._storage.leases import LEASE_SECONDS
from ncps_mlx.search._storage.open import redact_url

__all__ = ["add_arguments", "run"]

STOPPED = 130  # exit status after Ctrl-C, as shells have it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "url",
        metavar="STORAGE",
        help="the study's storage: a SQLite file, postgresql://USER@HOST/NAME, or grpc://HOST:PORT; - reads it from "
        "the first line of standard input, and stops when that closes",
    )
    add = parser.add_argument
    add("study", metavar="NAME", help="the study's name (`study` unless it was given another)")
    made = "what makes the task, where that was made from arrays; FILE.py:FUNCTION too"
    add("--task", metavar="MODULE:FUNCTION", help=made)
    add("--population-size", type=int, help="members trained at once, at most (default: the study's)")
    add("--timeout", type=float, help="start no new population after this many seconds")
    memory = "megabytes that a population may take (default: a quarter of the machine's memory)"
    add("--memory-mb", type=float, help=memory)
    lease = "seconds without a sign of life after which other machines take its trials (%(default)g)"
    add("--lease-seconds", type=float, default=LEASE_SECONDS, help=lease)
    add("--quiet", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    """Take part in a study until it is done; return the exit status, 130 if it was stopped."""
    from ncps_mlx import Study
    from ncps_mlx.data import load_task

    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # a shell's background job ignores it otherwise
    url = arguments.url
    try:
        if url == "-":
            url = sys.stdin.readline().strip()
            threading.Thread(target=_stop_with_input, name="input", daemon=True).start()
        task = None if arguments.task is None else load_task(arguments.task)
        study = Study.open(url, arguments.study, task=task)
        if arguments.population_size is not None:
            study.population_size = arguments.population_size
        study.run(
            progress=not arguments.quiet,
            timeout=arguments.timeout,
            lease_seconds=arguments.lease_seconds,
            memory_mb=arguments.memory_mb,
        )
    except KeyboardInterrupt:
        log(f"Stopped. What was being trained waits in {redact_url(url)}.")
        return STOPPED
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        log(f"{type(error).__name__}: {error}")
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop_with_input() -> None:
    """Wait for the end of the input, which is that of the process that started us, and stop."""
    while sys.stdin.readline():
        pass
    os.kill(os.getpid(), signal.SIGINT)
