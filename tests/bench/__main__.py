"""``python -m tests.bench``: how fast training is here and in ncps on PyTorch, side by side in one run.

Each size is trained by two processes that take turns of a few steps, so that what else the machine does meets both
alike; a row's ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.report import Row, failures, table

SIZES = {
    "small": {"inputs": 1, "hidden": 16, "backbone": 32, "steps": 50, "batch": 32},
    "middle": {"inputs": 10, "hidden": 32, "backbone": 64, "steps": 50, "batch": 32},
    "large": {"inputs": 10, "hidden": 64, "backbone": 128, "steps": 100, "batch": 32},
}
MEMBERS = 16
TURN = {"small": 6, "middle": 6, "large": 3}  # steps: long enough to time, short enough to share one weather


class Child:
    """A process that trains when told to.

    Args:
        module: ``"ours"`` or ``"theirs"``.
    """

    def __init__(self, module: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def ask(self, **question: Any) -> Any:
        """Send a line and wait for the answer.

        Raises:
            RuntimeError: The process ended instead.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise RuntimeError(f"{self.process.args!r} ended with {code}, asked for {question}.")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Times:
    """Milliseconds of each round: by the clock, and of processor time over all threads."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.cpu: list[float] = []

    def add(self, answer: Sequence[float]) -> None:
        """Add a round."""
        self.clock.append(answer[0])
        self.cpu.append(answer[1])


def rounds(cases: dict[str, tuple[Child, int]], count: int) -> dict[str, Times]:
    """Let the cases take turns, ``count`` times; each has its child and the steps of a turn."""
    times = {key: Times() for key in cases}
    for _ in range(count):
        for key, (child, steps) in cases.items():
            times[key].add(child.ask(run=key, steps=steps))
    return times


def compare(name: str, count: int) -> list[Row]:
    """Rows of one size: one model, variants of it, and a population, each against ncps."""
    size, turn = SIZES[name], TURN[name]
    ours, theirs = Child("ours"), Child("theirs")
    theirs.ask(make="theirs", kind="step", settings=size)
    cases = {"theirs": (theirs, turn)}
    for key, kind, settings, steps in (
        ("one", "population", {}, turn),
        ("plain", "plain", {}, turn),
        ("irregular", "population", {"irregular": True}, turn),
        ("sweep", "population", {"members": MEMBERS}, 1),
    ):
        ours.ask(make=key, kind=kind, settings={**size, **settings})
        cases[key] = (ours, steps)
    times = rounds(cases, count)
    ours.close()
    theirs.close()
    base = times.pop("theirs")
    return [
        against(f"{key} {name}", each, base, MEMBERS if key == "sweep" else 1) for key, each in times.items()
    ]


def against(key: str, ours: Times, theirs: Times, members: int) -> Row:
    """A row: theirs over ours, per model."""
    ratios = [members * b / a for a, b in zip(ours.clock, theirs.clock, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return Row(
        key=key,
        ours=statistics.median(ours.clock) / members,
        theirs=statistics.median(theirs.clock),
        ratio=statistics.median(ratios),
        quartiles=(low, high),
        cpu=(statistics.median(ours.cpu) / members, statistics.median(theirs.cpu)),
    )


def scaling(count: int) -> list[Row]:
    """Rows on how time grows with T, and memory with the members of a population."""
    ours = Child("ours")
    size = SIZES["middle"]
    short, long = 50, 400
    for steps in (short, long):
        ours.ask(make=str(steps), kind="population", settings={**size, "steps": steps})
    times = rounds({"50": (ours, 8), "400": (ours, 1)}, count)
    ratios = [b / a for a, b in zip(times["50"].clock, times["400"].clock, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    slow, quick = (statistics.median(times[key].clock) for key in ("400", "50"))
    made = [Row("length", slow, quick, statistics.median(ratios), (low, high))]
    many, one = (
        ours.ask(call="peak", settings={**size, "members": members}) / 2**20 for members in (MEMBERS, 1)
    )
    made.append(Row("memory", many, one, many / one))
    ours.close()
    return made


def machine() -> dict[str, Any]:
    """The machine, without its name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> int:
    """Run the command line; return 1 if a Must is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="turns of each case (default: 25)")
    parser.add_argument("--write", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # before we add to it
    rows: list[Row] = []
    for name in SIZES:
        print(f"timing {name}: {SIZES[name]}", file=sys.stderr, flush=True)
        rows += compare(name, options.rounds)
    rows += scaling(max(5, options.rounds // 2))
    ours, theirs = Child("ours"), Child("theirs")
    versions = {**ours.ask(facts=True), **theirs.ask(facts=True)}
    profiles = {name: ours.ask(call="profile", settings=size) for name, size in SIZES.items()}
    ours.close()
    theirs.close()
    result = {
        "machine": machine(),
        "busy": busy,
        "versions": versions,
        "sizes": SIZES,
        "members": MEMBERS,
        "rounds": options.rounds,
        "rows": [row.as_json() for row in rows],
        "profiles": profiles,
    }
    print(table(rows))
    if options.write:
        options.write.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    missed = failures(rows)
    for message in missed:
        print(message, file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
