"""Claims measured again on the seeds of the day: `nox -s nightly` with whatever versions are installed.

A right claim is called incompatible once in twenty, so one that is gets other seeds, and only one that is again counts.
The report, as Markdown, is written where there is something to report.
"""

from __future__ import annotations

import argparse
import datetime
import random
import subprocess
import sys
from pathlib import Path

from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.record import read_record

__all__ = ["chosen", "main", "measured_again", "report"]

TIMEOUT = "4m"
FIRST_SEED = 1000
INCOMPATIBLE, NO_ANSWER = 1, 2
"""Exit statuses of ``reproduce``; without an answer the time was too short, which is no finding."""


def chosen(day: datetime.date, count: int) -> list[str]:
    """Claims of a day, each as likely as another, among those that can be measured again."""
    record = read_record()
    possible = [
        claim.id
        for claim in record.registry.values()
        if claim.parts
        and all(hasattr(DESIGNS[record.pools[part.pool].design], "fresh") for part in claim.parts if not part.reported)
    ]
    return random.Random(day.toordinal()).sample(possible, count)


def measured_again(claim: str, seed: int) -> tuple[int, str]:
    """The exit status of a claim's reproduction, and what it printed."""
    command = [sys.executable, "-m", "ncps_mlx", "reproduce", claim, "--seed", str(seed), "--timeout", TIMEOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def report(found: dict[str, list[tuple[int, str]]]) -> str:
    """What is to be reported: claims that are incompatible twice, and what failed otherwise; empty if nothing is."""
    parts = []
    for claim, runs in found.items():
        statuses = [status for status, _ in runs]
        if statuses.count(INCOMPATIBLE) > 1 or any(not 0 <= status <= NO_ANSWER for status in statuses):
            parts.append(f"### {claim}\n\n```text\n{runs[-1][1].strip()}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Run the command line; 1 if there is something to report."""
    parser = argparse.ArgumentParser(prog="python -m tests.nightly", description=__doc__)
    parser.add_argument("--claims", type=int, default=6, help="how many (default: 6)")
    parser.add_argument("--report", type=Path, default=Path(".cache/nightly/report.md"), help="where it is written")
    options = parser.parse_args()
    today = datetime.datetime.now(datetime.UTC).date()
    found: dict[str, list[tuple[int, str]]] = {}
    for claim in chosen(today, options.claims):
        seed = FIRST_SEED + 100 * (today.toordinal() % 10_000)
        found[claim] = [measured_again(claim, seed)]
        if found[claim][0][0] == INCOMPATIBLE:
            found[claim].append(measured_again(claim, seed + 50))
        print(found[claim][-1][1], flush=True)
    text = report(found)
    if text:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(text, encoding="utf-8")
    return 1 if text else 0


if __name__ == "__main__":
    sys.exit(main())
