"""Workers on a study, as a user starts them: by the clock on the wall."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.bench.parent import environment

__all__ = ["STUDY", "ended"]

STUDY = {"name": "bench", "rates": 8, "seeds": 8, "steps": 1000, "population": 4}
"""Learning rates times seeds, all of one shape: enough like populations that no worker waits long for the last."""


def ended(file: str, workers: int) -> tuple[float, float]:
    """Let workers end the study in a file.

    Args:
        file: A SQLite file.
        workers: How many.

    Returns:
        Seconds from the first command to the end of the last, their start included; and the processor time of the
        worker that took most.

    Raises:
        RuntimeError: A worker failed.
    """
    command = [sys.executable, "-m", "ncps_mlx", "worker", file, str(STUDY["name"]), "--quiet"]
    command.append(f"--population-size={STUDY['population']}")
    start = time.perf_counter()
    team = [subprocess.Popen(command, env=environment()) for _ in range(workers)]
    spent = []
    for worker in team:
        _, status, usage = os.wait4(worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
        spent.append(usage.ru_utime + usage.ru_stime)
    seconds = time.perf_counter() - start
    if any(worker.returncode for worker in team):
        raise RuntimeError(f"{command} ended with {[worker.returncode for worker in team]}.")
    return seconds, max(spent)
