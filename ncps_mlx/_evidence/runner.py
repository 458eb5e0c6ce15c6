"""What a pool lacks, trained population by population; and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.plan import Row
from ncps_mlx._evidence.pool import Pool
from ncps_mlx._evidence.trial_file import append, read_trials, rewritten

__all__ = ["describe", "run"]


def run(
    pool: Pool, path: Path, budgets: Sequence[str], say: Callable[[str], object] = print
) -> list[Row]:
    """Train what a pool lacks and keep each population as it ends; return the new trials."""
    new: list[Row] = []
    design = DESIGNS[pool.design]
    with rewritten(path) as before:
        rows = list(before)
        begun, done = time.perf_counter(), 0.0
        while wave := design.missing(pool, budgets, rows):
            total = sum(each.seconds for each in wave)
            for lacking in wave:
                share = lacking.seconds / (lacking.count + lacking.later)
                for group in lacking.groups:
                    trained = design.train(group)
                    append(path, trained)
                    rows += trained
                    new += trained
                    spent = time.perf_counter() - begun
                    done, total = done + share * len(group), total - share * len(group)
                    stage = group[0].stage
                    left = total * spent / done if done else total
                    say(
                        f"{pool.name} {lacking.budget} {lacking.task}: {len(group)} {stage}, "
                        f"{spent:.0f} s, about {left:.0f} s left"
                    )
    return new


def describe(pool: Pool, path: Path, budgets: Sequence[str]) -> str:
    """Say what a pool lacks and how long that takes."""
    found = DESIGNS[pool.design].missing(pool, budgets, read_trials(path))
    if not found:
        return f"{pool.name}: nothing is missing"
    lines = [
        f"{pool.name} {each.budget} {each.task}: {each.count} {each.groups[0][0].stage}"
        + (f", then {each.later} or more to report" if each.later else "")
        + f", about {each.seconds:.0f} s"
        for each in found
    ]
    return "\n".join([*lines, f"{pool.name}: about {sum(each.seconds for each in found):.0f} s of one core"])
