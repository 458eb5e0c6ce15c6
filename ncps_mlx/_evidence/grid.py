"""The design of a whole grid: each level at every learning rate, on the tuning seeds and on the report seeds.

It tells how large the rate of a level may be: the largest whose validation score is within δ of the best on the grid.
Each report seed gives one for each level, and these are paired. What happens beyond is told at twice that rate, which
the tuning seeds choose: a seed that chose it itself would have done so for its bad luck just beyond.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.plan import Member, Row, index_of, key_of, lacking, worst
from ncps_mlx._evidence.pool import (
    FIRST_REPORT_SEED,
    TUNE_SEEDS,
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
from ncps_mlx.data._metrics import METRICS

__all__ = ["GridPool", "contrast", "fresh", "fresh_contrast", "missing", "read_pool", "train"]

STATISTICS = ("largest good rate", "edge")

REPORT_SEEDS = 10

ByRate = dict[float, list[Row | None]]
"""The trials of a level on the seeds of a stage, in turn, by rate; ``None`` where one is missing."""


@dataclass(frozen=True, kw_only=True)
class GridPool(LevelPool):
    """A pool whose levels are trained at every rate of a grid.

    Attributes:
        rates: Learning rates, each twice the one before.
        report_seeds: How many seeds are reported, from 100 on.
    """

    rates: Sequence[float]
    report_seeds: int = REPORT_SEEDS

    def seeds(self, stage: str) -> range:
        """The seeds of a stage."""
        return range(TUNE_SEEDS) if stage == "tune" else range(FIRST_REPORT_SEED, FIRST_REPORT_SEED + self.report_seeds)


def read_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> GridPool:
    """Read a pool; ``tasks`` are those it may name."""
    table = read_toml(path)
    fields = level_fields(path, table, tasks, GridPool)
    rates = check_rates(path.name, table["rates"])
    if not all(math.isclose(above, 2 * below) for below, above in pairwise(rates)):
        raise ValueError(f"{path.name}: rates must double, got {rates}.")
    for name, level in fields["levels"].items():
        if "learning_rate" in level.settings:
            raise ValueError(f"{path.name}: levels.{name}: learning_rate must be left out: the grid has all of them.")
    report_seeds = check_int(f"{path.name}: report_seeds", table.get("report_seeds", REPORT_SEEDS), minimum=2)
    return GridPool(**fields, rates=rates, report_seeds=report_seeds)


def missing(pool: GridPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            each = seconds_per_step(rows, task.name, task.seconds / 100)
            members = [
                member
                for stage in ("tune", "report")
                for level in pool.level_names(task.name)
                for rate in pool.rates
                for member in _members(pool, task, budget, stage, level, rate)
            ]
            if members := lacking(members, index):
                seconds = each * sum(member.steps for member in members)
                groups = populations(members)
                found.append(Missing(task=task.name, budget=budget, groups=groups, later=0, seconds=seconds))
    return found


def _members(pool: GridPool, task: TaskSpec, budget: str, stage: str, level: str, rate: float) -> list[Member]:
    return [
        Member(pool=pool, task=task, budget=budget, stage=stage, level=pool.levels[level], rate=rate, seed=seed)
        for seed in pool.seeds(stage)
    ]


def contrast(part: Part, pool: GridPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare the two sides of a part on a task."""
    check_choice("statistic", part.statistic, STATISTICS)
    spec, sides = pool.tasks[task], [single_level(side, task) for side in (part.first, part.second)]

    def trials(stage: str, level: str) -> ByRate:
        return {
            rate: [index.get(key_of(member.identity)) for member in _members(pool, spec, budget, stage, level, rate)]
            for rate in pool.rates
        }

    reported, tuned = [trials("report", side) for side in sides], trials("tune", sides[1])
    read = reported if part.statistic == "largest good rate" else [*reported, tuned]
    lacks = sum(row is None for each in read for rows in each.values() for row in rows)
    if lacks:
        return Contrast(pairs=[], higher_is_better=True, levels={}, lost=0, missing=lacks)
    if part.statistic == "edge":
        means = {rate: fmean(scores) for rate, scores in _validation(tuned, spec).items()}
        beyond = _beyond(pool, task, _largest_good(means, part.score_deltas[task], _higher_is_better(spec)))
        reported = [{beyond: each[beyond]} for each in reported]
    return _compare(part, spec, sides, pool.seeds("report"), reported)


def _compare(
    part: Part, task: TaskSpec, sides: Sequence[str], seeds: Sequence[int], trials: Sequence[ByRate]
) -> Contrast:
    """Compare two sides by their largest good rates, or by their test scores where there is one rate."""
    higher = _higher_is_better(task)
    if part.statistic == "largest good rate":
        delta = part.score_deltas[task.name]
        rates = [[_largest_good(scores, delta, higher) for scores in _by_seed(each, task)] for each in trials]
        values = [[None if rate is None else math.log(rate) for rate in each] for each in rates]
        shown = [geometric_mean([rate for rate in each if rate is not None] or [math.nan]) for each in rates]
        higher = True
    else:
        values = [[_test(row) for rows in each.values() for row in rows] for each in trials]
        shown = [rate for each in trials for rate in each]
    pairs = [
        (seed, first, second)
        for seed, first, second in zip(seeds, *values, strict=True)
        if first is not None and second is not None
    ]
    return Contrast(
        pairs=pairs,
        higher_is_better=higher,
        levels={
            name: [(side, float(f"{rate:.4g}"))]
            for name, side, rate in zip(("first", "second"), sides, shown, strict=True)
        },
        lost=len(seeds) - len(pairs),
        missing=0,
    )


def fresh(
    pool: GridPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """Two levels at all rates, or at the one beyond the edge that the record came to."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        members = [
            member
            for each in measured
            if each.task == task.name
            for rates in _anew(pool, each, seeds)
            for group in rates.values()
            for member in group
        ]
        if members := lacking(members, index):
            seconds = sum(task.seconds / 100 * member.steps for member in members)
            budget, groups = members[0].budget, populations(members)
            found.append(Missing(task=task.name, budget=budget, groups=groups, later=0, seconds=seconds))
    return found


def _anew(pool: GridPool, measured: Measured, seeds: Sequence[int]) -> list[dict[float, list[Member]]]:
    """The members of each side by rate, on these seeds."""
    task, found = pool.tasks[measured.task], []
    for side in ("first", "second"):
        ((name, rate),) = measured.levels[side]
        rates = pool.rates if measured.part.statistic == "largest good rate" else [rate]
        about: dict[str, Any] = {"pool": pool, "task": task, "budget": measured.budget, "level": pool.levels[name]}
        found.append({each: [Member(**about, stage="fresh", rate=each, seed=seed) for seed in seeds] for each in rates})
    return found


def fresh_contrast(pool: GridPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare the two sides on a task, on the fresh seeds that have all trials."""
    index = index_of(rows)
    members = _anew(pool, measured, sorted({row["seed"] for row in rows}))
    every = [member for rates in members for group in rates.values() for member in group]
    lacks = {member.seed for member in every if key_of(member.identity) not in index}
    seeds = sorted({member.seed for member in every} - lacks)
    trials: list[ByRate] = [
        {
            rate: [index[key_of(member.identity)] for member in group if member.seed not in lacks]
            for rate, group in each.items()
        }
        for each in members
    ]
    sides = [measured.levels[side][0][0] for side in ("first", "second")]
    return _compare(measured.part, pool.tasks[measured.task], sides, seeds, trials)


def _higher_is_better(task: TaskSpec) -> bool:
    return METRICS[task.metric].greater_is_better


def _validation(rows: ByRate, task: TaskSpec) -> dict[float, list[float]]:
    """The validation scores at each rate, by seed; the worst of all where a training has none."""
    return {
        rate: [worst(task) if row is None or (score := row["scores"]["validation"]) is None else score for row in each]
        for rate, each in rows.items()
    }


def _by_seed(rows: ByRate, task: TaskSpec) -> list[dict[float, float]]:
    """The same for each seed, by rate."""
    scores = _validation(rows, task)
    return [dict(zip(scores, each, strict=True)) for each in zip(*scores.values(), strict=True)]


def _largest_good(scores: Mapping[float, float], delta: float, higher_is_better: bool) -> float | None:
    """The largest rate whose score is within ``delta`` of the best; ``None`` if no training has a score."""
    best = (max if higher_is_better else min)(scores.values())
    good = [rate for rate, score in scores.items() if abs(score - best) <= delta]  # inf - inf is no number
    return max(good, default=None)


def _beyond(pool: GridPool, task: str, largest: float | None) -> float:
    above = [rate for rate in pool.rates if largest is None or rate > largest]
    if largest is None or not above:
        raise ValueError(f"{pool.name}: rates must go on until none is good any more on {task}, got {pool.rates[-1]}.")
    return above[0]


def _test(row: Row | None) -> float | None:
    return None if row is None or row["status"] == "diverged" else row["scores"]["test"]
