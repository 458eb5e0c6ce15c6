"""What a pool lacks, trained population by population; and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ncps_mlx._evidence.plan import Member, Row, index_of, lacking, report, tuning
from ncps_mlx._evidence.pool import Pool
from ncps_mlx._evidence.train import populations, train
from ncps_mlx._evidence.trial_file import append, read_trials, rewritten

__all__ = ["Missing", "describe", "missing", "run"]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a task lacks at a budget.

    Attributes:
        task: Its name.
        budget: Which.
        members: What is to be trained next.
        later: How many follow once these are there.
        seconds: About how long all take on one core.
    """

    task: str
    budget: str
    members: Sequence[Member]
    later: int
    seconds: float


def missing(pool: Pool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            members, later = _next(pool, task.name, budget, index)
            if members:
                each = _seconds_per_step(rows, task.name, task.seconds / 100)
                seconds = each * task.steps[budget] * (len(members) + later)
                found.append(
                    Missing(task=task.name, budget=budget, members=members, later=later, seconds=seconds)
                )
    return found


def _next(pool: Pool, name: str, budget: str, index: Mapping[str, Row]) -> tuple[list[Member], int]:
    """The members to be trained next, and how many come after them at least."""
    task = pool.tasks[name]
    tuned = tuning(pool, task, budget, index)
    if tuned.missing:
        return list(tuned.missing), len(pool.levels_of(name)) * len(pool.seeds("report", budget))
    return lacking(report(pool, task, budget, tuned.chosen), index), 0


def _seconds_per_step(rows: Sequence[Row], task: str, otherwise: float) -> float:
    known = [row["seconds"] / row["steps"] for row in rows if row["task"] == task and row["status"] == "finished"]
    return median(known) if known else otherwise


def run(
    pool: Pool, path: Path, budgets: Sequence[str], say: Callable[[str], object] = print
) -> list[Row]:
    """Train what a pool lacks and keep each population as it ends; return the new trials."""
    new: list[Row] = []
    with rewritten(path) as before:
        rows = list(before)
        begun, done = time.perf_counter(), 0.0
        while wave := missing(pool, budgets, rows):
            total = sum(each.seconds for each in wave)
            for lacking in wave:
                groups = populations(lacking.members)
                share = lacking.seconds / (len(lacking.members) + lacking.later)
                for group in groups:
                    trained = train(group)
                    append(path, trained)
                    rows += trained
                    new += trained
                    spent = time.perf_counter() - begun
                    done, total = done + share * len(group), total - share * len(group)
                    stage, level = group[0].stage, group[0].level.name
                    left = total * spent / done if done else total
                    say(
                        f"{pool.name} {lacking.budget} {lacking.task}: {len(group)} {stage} ({level}, ...), "
                        f"{spent:.0f} s, about {left:.0f} s left"
                    )
    return new


def describe(pool: Pool, path: Path, budgets: Sequence[str]) -> str:
    """Say what a pool lacks and how long that takes."""
    found = missing(pool, budgets, read_trials(path))
    if not found:
        return f"{pool.name}: nothing is missing"
    lines = [
        f"{pool.name} {each.budget} {each.task}: {len(each.members)} {each.members[0].stage}"
        + (f", then {each.later} or more to report" if each.later else "")
        + f", about {each.seconds:.0f} s"
        for each in found
    ]
    return "\n".join([*lines, f"{pool.name}: about {sum(each.seconds for each in found):.0f} s of one core"])
