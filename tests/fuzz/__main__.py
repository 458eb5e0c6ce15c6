"""``python -m tests.fuzz``: wrong calls of everything public, and what came of them.

Every call gets one wrong argument. It must end, within ten seconds of its own and without taking memory, in a
ValueError, TypeError or OSError of ours that names the argument; what is accepted is listed in ``accepted.py``, or a
fault. The values differ with the seed, which is new each time: ``--seed`` repeats a run, ``--only plots`` makes the
calls of some functions.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.fuzz.accepted import reason
from tests.fuzz.calls import CLEAR, Call, calls
from tests.fuzz.targets import has_arguments, targets
from tests.fuzz.worker import WAIT_SECONDS

OUTCOMES = (CLEAR, "accepted, rightly", "accepted", "unnamed", "raw", "slow", "memory", "crash")
GOAL = 0.99
PATIENCE = 2 * WAIT_SECONDS  # until a worker that says nothing is killed: code in C does not hear the alarm


def main() -> int:
    """Make the calls, print the table, and fail below the goal."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="the seed of a run to repeat"
    )
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no call after this many seconds"
    )
    parser.add_argument("--only", default="", help="part of the names of the functions to call")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    for target in targets():
        if not has_arguments(target):
            print(f"Not called, for want of right arguments in tests/fuzz/targets.py: {target.name}")
    made = calls(arguments.seed, arguments.only)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.environ["TMPDIR"] = folder  # of the workers, who leave files behind
        results = run(arguments.seed, arguments.only, len(made), arguments.seconds, arguments.jobs)
    return report(arguments.seed, made, results, sample=arguments.seconds < float("inf"))


def run(seed: int, only: str, count: int, seconds: float, jobs: int) -> dict[int, dict[str, Any]]:
    """What came of each call, by its place; a share of them for each process."""
    results: dict[int, dict[str, Any]] = {}
    ends = [count * (job + 1) // jobs for job in range(jobs)]
    workers = [Worker(seed, only, count * job // jobs, ends[job]) for job in range(jobs)]
    start = time.monotonic()
    try:
        while (
            left := [worker for worker in workers if not worker.done]
        ) and time.monotonic() - start < seconds:
            for worker in left:
                for line in worker.lines():
                    results[line["at"]] = line
    finally:
        for worker in workers:
            worker.stop()
    return results


class Worker:
    """A process that makes calls ``first`` to ``end``; where it dies or hangs, another goes on with the next."""

    def __init__(self, seed: int, only: str, first: int, end: int) -> None:
        self._arguments, self._next, self._end = (str(seed), only), first, end
        self._rest = b""
        self._start()

    @property
    def done(self) -> bool:
        return self._next >= self._end

    def _start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.worker",
            *self._arguments,
            str(self._next),
            str(self._end),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, bufsize=0
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"A worker does not start: {' '.join(command)}")
        self._heard = time.monotonic()

    def lines(self) -> list[dict[str, Any]]:
        """What it reported since."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], 0.2)
        if ready:
            content = os.read(self._process.stdout.fileno(), 2**16)
            if content:
                *complete, self._rest = (self._rest + content).split(b"\n")
                found = [json.loads(line) for line in complete]
                if found:
                    self._next, self._heard = found[-1]["at"] + 1, time.monotonic()
                return found
            return self._replace("crash", f"ended with {self._process.wait()}") if not self.done else []
        return self._replace("slow", "killed") if time.monotonic() - self._heard > PATIENCE else []

    def _replace(self, outcome: str, text: str) -> list[dict[str, Any]]:
        """Report the call that it was at, and go on after it."""
        self.stop()
        line = {"at": self._next, "outcome": outcome, "text": text, "seconds": 0.0}
        self._next, self._rest = self._next + 1, b""
        if not self.done:
            self._start()
        return [line]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


ROOT = Path(__file__).parents[2]


def report(seed: int, made: list[Call], results: dict[int, dict[str, Any]], *, sample: bool = False) -> int:
    """Print what was accepted, what failed and the table; return 1 below the goal.

    Values are new each time, so a call may be accepted that nobody has judged yet: a whole session fails by it, and in
    a sample, which stands between a change and its landing, it counts as not clear.
    """
    table: dict[str, Counter[str]] = defaultdict(Counter)
    rightly: Counter[str] = Counter()
    lines: dict[str, list[str]] = defaultdict(list)
    for at, result in sorted(results.items()):
        call, outcome = made[at], result["outcome"]
        if outcome == "accepted" and (why := reason(call)):
            outcome = "accepted, rightly"
            rightly[f"{call.target.name}({call.argument}): {why}"] += 1
        elif outcome != CLEAR:
            lines[outcome].append(f"  {call}: {result['text']}")
        package = call.target.name.rpartition(".")[0] if call.target.name[0].islower() else ""
        table[package or call.target.name.partition(".")[0]][outcome] += 1
    print("Accepted, rightly:")
    for text, count in sorted(rightly.items()):
        print(f"  {count} x {text}")
    for outcome in OUTCOMES[2:]:
        if lines[outcome]:
            print(f"{outcome.capitalize()}:", *sorted(lines[outcome]), sep="\n")
    total: Counter[str] = sum(table.values(), Counter())
    width = max(map(len, table), default=0)
    print(" " * width, *(f"{outcome:>17}" for outcome in OUTCOMES))
    for name, counts in (*sorted(table.items()), ("all", total)):
        print(f"{name:{width}}", *(f"{counts[outcome]:17}" for outcome in OUTCOMES))
    good = total[CLEAR] + total["accepted, rightly"]
    share = good / max(total.total(), 1)
    wrong = total["slow"] + total["memory"] + total["crash"] + (0 if sample else total["accepted"])
    print(f"{total.total()} of {len(made)} calls, {share:.2%} clear or rightly accepted; seed {seed}")
    if share < GOAL or wrong:
        print(
            f"Below the goal: {GOAL:.0%}, none accepted but those listed, none slow. "
            f"Repeat: nox -s fuzz -- --seed {seed}"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
