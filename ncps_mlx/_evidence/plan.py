"""Which members a pool has: each level tuned on a grid of rates, then reported at its best; baselines beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

from ncps_mlx._evidence.pool import Level, LevelPool, Pool, TaskSpec, TunedPool
from ncps_mlx._evidence.tasks import arguments_of, data_seed, settings_of
from ncps_mlx.data._metrics import METRICS

__all__ = [
    "IDENTITY", "Index", "Member", "Row", "TrialIndex", "Tuning", "identity_of", "index_of", "key_of", "lacking",
    "once", "report", "tuning", "worst",
]  # fmt: skip

Result = TypeVar("Result")

Row = dict[str, Any]

IDENTITY = ("pool", "task", "budget", "stage", "level", "fixed", "data", "steps", "seed", "data_seed")
"""What tells a trial from all others."""

MOST_EXTENSIONS = 2


@dataclass(frozen=True, kw_only=True)
class Member:
    """One training that belongs to a pool, or a baseline on one draw, whose rate and steps are 0."""

    pool: LevelPool
    task: TaskSpec
    budget: str
    stage: str
    level: Level
    rate: float
    seed: int

    @property
    def data_seed(self) -> int | None:
        """What draws its data."""
        return data_seed(self.task, self.level, self.seed)

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters that are not defaults."""
        if self.level.baseline:
            return {}
        settings = settings_of(self.pool, self.task, self.level)
        settings |= {"learning_rate": self.rate, "steps": self.steps}
        if self.level.warmup_share:
            settings["warmup_steps"] = round(self.level.warmup_share * self.steps)
        return settings

    @property
    def steps(self) -> int:
        """Its updates."""
        if self.level.baseline:
            return 0
        steps = self.task.steps[self.budget] * self.level.steps_times.get(self.task.name, 1)
        return max(1, int(steps // self.level.divide_steps_by))

    @property
    def identity(self) -> Row:
        """What its trial is told from others by."""
        level, fixed = self.level.content, dict[str, Any]()
        if not self.level.baseline:
            level["learning_rate"] = self.rate
            fixed = {"model": self.pool.model, **self.pool.fixed, **self.task.settings}
        if self.level.parameters_of:
            level["hidden_size"] = self.settings["hidden_size"]
        return identity_of(
            self, level=level, fixed=fixed, data=arguments_of(self.task, self.level)
        )


def identity_of(member: Any, *, level: Row, fixed: Row, data: Row) -> Row:
    """What tells the trial of a member, of any design, from all others."""
    return {
        "pool": member.pool.name,
        "task": member.task.name,
        "budget": member.budget,
        "stage": member.stage,
        "level": level,
        "fixed": fixed,
        "data": data,
        "steps": member.steps,
        "seed": member.seed,
        "data_seed": member.data_seed,
    }


Index = Mapping[str, Row]
"""Trials by their identity."""


def key_of(row: Mapping[str, Any]) -> str:
    """A trial's identity as a text."""
    return json.dumps([row[name] for name in IDENTITY], sort_keys=True)


class TrialIndex(dict[str, Row]):
    """Trials by identity. None is added later: what is worked out from all of them is kept."""

    def __init__(self, rows: Iterable[Row]) -> None:
        super().__init__((key_of(row), row) for row in rows)
        self.known: dict[tuple[Any, ...], tuple[Any, Any]] = {}


def once(work: Callable[..., Result], pool: Pool, task: TaskSpec, budget: str, index: Index) -> Result:
    """What ``work(pool, task, budget, index)`` gives, worked out once where nothing is added to the index."""
    if not isinstance(index, TrialIndex):
        return work(pool, task, budget, index)
    key = (work, id(pool), task.name, budget)
    if key not in index.known:
        index.known[key] = (pool, work(pool, task, budget, index))  # the pool lives on, and so does its id
    found: Result = index.known[key][1]
    return found


def index_of(rows: Iterable[Row] | TrialIndex) -> TrialIndex:
    """Trials by identity."""
    return rows if isinstance(rows, TrialIndex) else TrialIndex(rows)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How far the levels of a task are tuned at a budget.

    Attributes:
        members: Those of the grid so far.
        missing: Those that are not trained yet; once there are none, ``chosen`` holds.
        chosen: Each level's rate, of the best mean validation score.
        validation: That score.
    """

    members: Sequence[Member]
    missing: Sequence[Member]
    chosen: Mapping[str, float]
    validation: Mapping[str, float]


def tuning(pool: TunedPool, task: TaskSpec, budget: str, index: Index) -> Tuning:
    """Find what is to be tuned, or the rates that it gave.

    Where a level chooses a rate at an edge of the grid, the grid goes on beyond it, for all levels, at most twice.
    """
    grid, left = list(pool.rates), {"low": MOST_EXTENSIONS, "high": MOST_EXTENSIONS}
    while True:
        members = _members(pool, task, budget, "tune", {level.name: grid for level in pool.levels_of(task.name)})
        missing = lacking(members, index)
        if missing:
            return Tuning(members=members, missing=missing, chosen={}, validation={})
        chosen, validation = _choose(members, index)
        free = {chosen[level.name] for level in pool.levels_of(task.name) if level.is_tuned}
        sides = [side for side, edge in (("low", grid[0]), ("high", grid[-1])) if edge in free and left[side]]
        if not sides:
            return Tuning(members=members, missing=(), chosen=chosen, validation=validation)
        for side in sides:
            left[side] -= 1
            grid = [_beyond(grid[0], -1), *grid] if side == "low" else [*grid, _beyond(grid[-1], 1)]


def lacking(members: Iterable[Any], index: Index) -> list[Any]:
    """The members, of any design, without a trial, each once: a level with its own rate may be another at that rate."""
    found = {key_of(member.identity): member for member in members}
    return [member for key, member in found.items() if key not in index]


def report(pool: TunedPool, task: TaskSpec, budget: str, chosen: Mapping[str, float]) -> list[Member]:
    """The members that are reported, at the rates that were chosen."""
    return _members(pool, task, budget, "report", {name: [rate] for name, rate in chosen.items()})


def _members(
    pool: TunedPool, task: TaskSpec, budget: str, stage: str, rates: Mapping[str, Sequence[float]]
) -> list[Member]:
    return [
        Member(pool=pool, task=task, budget=budget, stage=stage, level=level, rate=rate, seed=seed)
        for level in pool.levels_of(task.name)
        for rate in (rates[level.name] if level.is_tuned else [level.settings.get("learning_rate", 0.0)])
        for seed in pool.seeds(stage, budget)
    ]


def worst(task: TaskSpec) -> float:
    """A score worse than any other."""
    return -math.inf if METRICS[task.metric].greater_is_better else math.inf


def _choose(members: Sequence[Member], index: Index) -> tuple[dict[str, float], dict[str, float]]:
    """Each level's rate of the best mean validation score, the lower of equal ones; and that mean."""
    scores: dict[str, dict[float, list[float]]] = {}
    for member in members:
        score = index[key_of(member.identity)]["scores"]["validation"]
        known = worst(member.task) if score is None else score
        scores.setdefault(member.level.name, {}).setdefault(member.rate, []).append(known)
    best = max if METRICS[members[0].task.metric].greater_is_better else min
    means = {name: {rate: fmean(values) for rate, values in each.items()} for name, each in scores.items()}
    chosen = {name: best(sorted(each), key=each.__getitem__) for name, each in means.items()}
    return chosen, {name: means[name][rate] for name, rate in chosen.items()}


def _beyond(rate: float, direction: int) -> float:
    """The next of the rates ..., 0.001, 0.003, 0.01, 0.03, ..."""
    exponent = math.floor(math.log10(rate) + 1e-9)
    position = 2 * exponent + (1 if rate / 10.0**exponent > 2 else 0) + direction
    return float(f"{3 if position % 2 else 1}e{position // 2}")
