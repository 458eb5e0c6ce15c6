"""A design that counts trainings that fail: each level at every rate, and each training with a seed of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.plan import Member, Row, index_of, key_of, lacking
from ncps_mlx._evidence.pool import (
    FIRST_REPORT_SEED,
    LevelPool,
    TaskSpec,
    check_rates,
    level_fields,
    read_toml,
)
from ncps_mlx._evidence.registry import Part, single_level
from ncps_mlx._evidence.train import populations, train
from ncps_mlx._evidence.tuned import seconds_per_step
from ncps_mlx._utils.validation import check_choice, check_int

__all__ = [
    "BEYOND_USE",
    "COUNTED",
    "FailuresPool",
    "contrast",
    "fresh",
    "fresh_contrast",
    "has_spike",
    "is_lost",
    "members_of",
    "missing",
    "read_pool",
    "train",
]

BEYOND_USE = 100.0
"""A mean loss between two evaluations, where a constant answer's is near 1."""


@dataclass(frozen=True, kw_only=True)
class FailuresPool(LevelPool):
    """A pool whose levels are trained at every rate, and none is chosen.

    Attributes:
        rates: Learning rates, ascending.
        trainings: How many of each level at each rate. No two have one seed: what is lost by its initial values would
            be lost at every rate, and count as often.
    """

    rates: Sequence[float]
    trainings: int

    def seeds(self, rate: float) -> range:
        """The seeds of the trainings at a rate."""
        first = FIRST_REPORT_SEED + self.trainings * list(self.rates).index(rate)
        return range(first, first + self.trainings)


def read_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> FailuresPool:
    """Read a pool; ``tasks`` are those it may name."""
    table = read_toml(path)
    fields = level_fields(path, table, tasks, FailuresPool)
    trainings = check_int(f"{path.name}: trainings", table["trainings"])
    pool = FailuresPool(**fields, rates=check_rates(path.name, table["rates"]), trainings=trainings)
    for level in pool.levels.values():
        if "learning_rate" in level.settings:
            raise ValueError(f"{path.name}: levels.{level.name} must leave learning_rate out: rates holds all.")
    return pool


def members_of(pool: FailuresPool, task: TaskSpec, budget: str) -> list[Member]:
    """All trainings of a task at a budget."""
    return [
        Member(pool=pool, task=task, budget=budget, stage="report", level=level, rate=rate, seed=seed)
        for level in pool.levels_of(task.name)
        for rate in pool.rates
        for seed in pool.seeds(rate)
    ]


def missing(pool: FailuresPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            if members := lacking(members_of(pool, task, budget), index):
                seconds = seconds_per_step(rows, task.name, task.seconds / 100) * task.steps[budget] * len(members)
                found.append(
                    Missing(task=task.name, budget=budget, groups=populations(members), later=0, seconds=seconds)
                )
    return found


def is_lost(row: Row) -> bool:
    """Whether a training was lost: it diverged, or its loss was beyond use at its end."""
    return row["status"] == "diverged" or row["last_loss"] is None or row["last_loss"] > BEYOND_USE


def has_spike(row: Row) -> bool:
    """Whether its loss was ever beyond use, though it may have come back since."""
    return row["status"] == "diverged" or row["largest_loss"] is None or row["largest_loss"] > BEYOND_USE


COUNTED: Mapping[str, Callable[[Row], bool]] = {"failures": is_lost, "spikes": has_spike}
"""What is counted of trainings, by statistic."""


def contrast(part: Part, pool: FailuresPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare two levels: 1 for a training that was lost, or had a spike, else 0."""
    return _compare(part, pool, task, members_of(pool, pool.tasks[task], budget), index)


def _compare(
    part: Part, pool: FailuresPool, task: str, members: Sequence[Member], index: Mapping[str, Row]
) -> Contrast:
    is_counted = COUNTED[check_choice(f"{part.name}: statistic", part.statistic, COUNTED)]
    sides = {"first": single_level(part.first, task), "second": single_level(part.second, task)}
    first, second = (
        {each.seed: index.get(key_of(each.identity)) for each in members if each.level.name == level}
        for level in sides.values()
    )
    return Contrast(
        pairs=[
            (seed, float(is_counted(one)), float(is_counted(other)))
            for seed, one in first.items()
            if one is not None and (other := second[seed]) is not None
        ],
        higher_is_better=True,
        levels={side: [(level, rate) for rate in pool.rates] for side, level in sides.items()},
        lost=0,
        missing=sum(row is None for found in (first, second) for row in found.values()),
    )


def fresh(
    pool: FailuresPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """The levels that contrasts compare, one training of each with a seed, at the rates in turn."""
    index, found = index_of(rows), []
    for task, budget in dict.fromkeys((each.task, each.budget) for each in measured):
        names = {level for each in measured if each.task == task for side in each.levels.values() for level, _ in side}
        every = _anew(pool, pool.tasks[task], budget, seeds)
        if members := lacking([member for member in every if member.level.name in names], index):
            seconds = pool.tasks[task].seconds / 100 * sum(member.steps for member in members)
            found.append(Missing(task=task, budget=budget, groups=populations(members), later=0, seconds=seconds))
    return found


def _anew(pool: FailuresPool, task: TaskSpec, budget: str, seeds: Sequence[int]) -> list[Member]:
    rates = list(pool.rates)
    about: dict[str, Any] = {"pool": pool, "task": task, "budget": budget, "stage": "fresh"}
    return [
        Member(**about, level=level, rate=rates[seed % len(rates)], seed=seed)
        for level in pool.levels_of(task.name)
        for seed in seeds
    ]


def fresh_contrast(pool: FailuresPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare two levels, from fresh trials."""
    seeds = sorted({row["seed"] for row in rows})
    members = _anew(pool, pool.tasks[measured.task], measured.budget, seeds)
    return _compare(measured.part, pool, measured.task, members, index_of(rows))
