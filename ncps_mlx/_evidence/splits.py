"""A design: what folds of a cross-validation say before each of several futures, and what then came.

Before each era a model is trained on each fold of all that came before, of shuffled folds and of blocked ones with a
gap, and once on the whole past, which is then scored on the era. All are scored at their last step: no split both
chooses and judges. The nearest neighbour goes the same way, as the method that shuffled folds must flatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ncps_mlx._evidence.contrasts import Contrast, joined
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.eras import ERAS, era_task
from ncps_mlx._evidence.plan import Row, identity_of, index_of, key_of
from ncps_mlx._evidence.pool import FIRST_REPORT_SEED, Pool, TaskSpec, check_keys, named_tasks, read_toml
from ncps_mlx._evidence.registry import Part, levels_of
from ncps_mlx._evidence.train import means, train_on
from ncps_mlx._evidence.tuned import seconds_per_step
from ncps_mlx._utils.optional import import_optional
from ncps_mlx._utils.validation import check_choice
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._task import Task
from ncps_mlx.training._hyperparameters import check_name

__all__ = [
    "Member", "SplitsPool", "contrast", "fresh", "fresh_contrast", "missing", "nearest_neighbour", "read_pool",
    "task_of", "train",
]  # fmt: skip

NEAREST = "nearest neighbour"
KINDS = ("blocked", "shuffled")
WHOLE = "whole"
LEVELS = {f"{prefix}{kind}": (kind, model) for kind in KINDS for prefix, model in (("", ""), ("nearest_", NEAREST))}
"""What a contrast compares: a kind of folds, for the pool's model or the nearest neighbour."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """How a task is cut in time.

    Attributes:
        borders: Ascending times; an era lies between two that follow one another, all before it is its past.
        gap: Sequences between blocked folds that are left out, as many as share readings.
    """

    borders: Sequence[float]
    gap: int


@dataclass(frozen=True, kw_only=True)
class SplitsPool(Pool):
    """A pool of folds before eras.

    Attributes:
        model: What is trained.
        fixed: Its hyperparameters.
        folds: How many.
        series: By task, its eras.
        first_seed: Of the first era's members; each era has the next.
    """

    model: str
    fixed: Mapping[str, Any]
    folds: int
    series: Mapping[str, Series]
    first_seed: int = FIRST_REPORT_SEED

    def level_names(self, task: str) -> list[str]:  # noqa: ARG002  # the same on each
        """The kinds of folds."""
        return list(LEVELS)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One training before an era: on a fold of its past, or on the whole."""

    pool: SplitsPool
    task: TaskSpec
    budget: str
    era: int
    kind: str
    fold: int = 0
    model: str
    stage: str = field(default="report", init=False)

    @property
    def seed(self) -> int:
        """That of its era: of data, folds, parameters and order."""
        return self.pool.first_seed + self.era

    @property
    def data_seed(self) -> int | None:
        """What draws its data."""
        return self.seed if self.task.draw else None

    @property
    def steps(self) -> int:
        """Its updates; the nearest neighbour has none."""
        return 0 if self.model == NEAREST else self.task.steps[self.budget]

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters that are not defaults; the last step alone is scored."""
        return {**self.pool.fixed, **self.task.settings, "steps": self.steps, "evaluate_every": self.steps}

    @property
    def span(self) -> tuple[float, float]:
        """When its era begins and ends."""
        borders = self.pool.series[self.task.name].borders
        return borders[self.era], borders[self.era + 1]

    @property
    def identity(self) -> Row:
        """What its trial is told from others by."""
        level: Row = {"kind": self.kind}
        if self.kind != WHOLE:
            level |= {"fold": self.fold, "folds": self.pool.folds}
        if self.kind == "blocked":
            level["gap"] = self.pool.series[self.task.name].gap
        settings = {} if self.model == NEAREST else {**self.pool.fixed, **self.task.settings}
        return identity_of(
            self,
            level=level,
            fixed={"model": self.model, **settings},
            data={**self.task.arguments, "era": list(self.span)},
        )


def read_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> SplitsPool:
    """Read a pool; ``tasks`` are those it may name."""
    table = read_toml(path)
    check_keys(path.name, table, SplitsPool, without=("name", "first_seed"), optional=("design",))
    chosen = named_tasks(path.name, table["tasks"], tasks)
    for name in table["fixed"]:
        check_name(name, table["model"])
    series = {}
    for name in chosen:
        check_choice(f"{path.name}: tasks", name, ERAS)
        if name not in table["series"]:
            raise ValueError(f"{path.name}: series must hold borders and gap of {name}.")
        check_keys(f"{path.name}: series.{name}", table["series"][name], Series)
        series[name] = Series(**table["series"][name])
        borders = list(series[name].borders)
        if len(borders) < 3 or borders != sorted(set(borders)):
            raise ValueError(f"{path.name}: borders of {name} must be ascending and bound two eras, got {borders}.")
    own = {key: table[key] for key in ("purpose", "design", "model", "fixed", "folds")}
    return SplitsPool(name=path.stem, tasks=chosen, series=series, **own)


def members_of(pool: SplitsPool, task: TaskSpec, budget: str, era: int, kind: str, model: str) -> list[Member]:
    """The members of an era: one for each fold of a kind, one for the whole."""
    folds = 1 if kind == WHOLE else pool.folds
    return [
        Member(pool=pool, task=task, budget=budget, era=era, kind=kind, fold=fold, model=model) for fold in range(folds)
    ]


def missing(pool: SplitsPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget; an era's members of a kind are a group."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            groups = [
                [member for member in group if key_of(member.identity) not in index]
                for era in range(_eras(pool, task.name))
                for group in _groups(pool, task, budget, era)
            ]
            if left := [group for group in groups if group]:
                each = seconds_per_step(rows, task.name, task.seconds / 30)  # small populations, of few members
                seconds = each * sum(member.steps for group in left for member in group)
                found.append(Missing(task=task.name, budget=budget, groups=left, later=0, seconds=seconds))
    return found


def _eras(pool: SplitsPool, task: str) -> int:
    return len(pool.series[task].borders) - 1


def _groups(pool: SplitsPool, task: TaskSpec, budget: str, era: int) -> list[list[Member]]:
    """The members of an era, by kind and model."""
    return [
        members_of(pool, task, budget, era, kind, model)
        for model in (pool.model, NEAREST)
        for kind in (*KINDS, WHOLE)
    ]


def fresh(
    pool: SplitsPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """The recorded eras again, with other seeds: of folds, parameters and order. There are no other futures."""
    index, found = index_of(rows), []
    for name, budget in dict.fromkeys((each.task, each.budget) for each in measured):
        task = pool.tasks[name]
        groups = [
            [member for member in group if key_of(member.identity) not in index]
            for seed in seeds
            for group in _groups(*_anew(pool, name, budget, seed))
        ]
        if left := [group for group in groups if group]:
            seconds = task.seconds / 30 * sum(member.steps for group in left for member in group)
            found.append(Missing(task=name, budget=budget, groups=left, later=0, seconds=seconds))
    return found


def _anew(pool: SplitsPool, task: str, budget: str, seed: int) -> tuple[SplitsPool, TaskSpec, str, int]:
    """What tells the era of a fresh seed: eras take turns."""
    era = seed % _eras(pool, task)
    return replace(pool, first_seed=seed - era), pool.tasks[task], budget, era


def fresh_contrast(pool: SplitsPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare two kinds of folds on a task, on the fresh eras that are whole."""
    index, found = index_of(rows), []
    for seed in sorted({row["seed"] for row in rows if row["task"] == measured.task}):
        own, task, budget, era = _anew(pool, measured.task, measured.budget, seed)
        found.append(_contrast(measured.part, own, task.name, budget, [era], index))
    return joined(found)


def task_of(member: Member) -> Task:
    """What a member learns: of its era's past a fold, or all, and the era as its test split."""
    arguments = tuple(sorted(member.task.arguments.items()))
    era = era_task(member.task.name, *member.span, member.seed, arguments)
    if member.kind == WHOLE:
        return era._with(train=era.train + era.validation, parent=None)
    gap = member.pool.series[member.task.name].gap if member.kind == "blocked" else 0
    return era.fold(member.fold, member.pool.folds, member.kind, gap, member.seed)


def train(members: Sequence[Member]) -> list[Row]:
    """Train a group, folds of equal sizes as one population, and return its trials."""
    tasks = [task_of(member) for member in members]
    if members[0].model == NEAREST:
        return [
            member.identity | _nearest_scores(task) | means()
            for member, task in zip(members, tasks, strict=True)
        ]
    populations: dict[tuple[int, ...], list[int]] = {}
    for position, task in enumerate(tasks):
        populations.setdefault(tuple(map(len, task.splits.values())), []).append(position)
    return [
        row
        for positions in populations.values()
        for row in train_on([tasks[i] for i in positions], members[0].model, [members[i] for i in positions], ())
    ]


def _nearest_scores(task: Task) -> Row:
    splits = ("validation", "test")
    scores = {"train": None} | {name: task.score(nearest_neighbour(task, task.splits[name]), name) for name in splits}
    none: Row = {"status": "finished", "best_step": 0, "metrics": {}, "seconds": 0.0, "parameters": 0}
    return none | {"scores": scores, "last": scores}


def nearest_neighbour(task: Task, split: Split) -> Array:
    """The target of the training sequence that is nearest to each of a split, in readings and log gaps."""
    neighbors = import_optional("sklearn.neighbors", "The nearest neighbour")
    threads = import_optional("threadpoolctl", "The nearest neighbour")
    with threads.threadpool_limits(1):  # on busy cores, threads wait for one another
        model = neighbors.KNeighborsRegressor(n_neighbors=1).fit(_features(task.train), task.train.y)
        return np.reshape(model.predict(_features(split)), split.y.shape)


def _features(split: Split) -> Array:
    gaps = [] if split.time_delta is None else [np.log(split.time_delta)]
    return np.hstack([split.x.reshape(len(split), -1), *gaps])


def contrast(part: Part, pool: SplitsPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare two kinds of folds on a task: a pair for each era."""
    return _contrast(part, pool, task, budget, range(_eras(pool, task)), index)


def _contrast(
    part: Part, pool: SplitsPool, task: str, budget: str, eras: Sequence[int], index: Mapping[str, Row]
) -> Contrast:
    spec, pairs, lost = pool.tasks[task], [], 0
    names = [levels_of(side, task)[0] for side in (part.first, part.second)]
    lacking: set[str] = set()
    for era in eras:
        values, before = [], len(lacking)
        for name in names:
            kind, other = LEVELS[name]
            members = [members_of(pool, spec, budget, era, each, other or pool.model) for each in (kind, WHOLE)]
            keys = [[key_of(member.identity) for member in each] for each in members]
            lacking |= {key for each in keys for key in each if key not in index}
            values.append(_value(part.statistic, *([index.get(key) for key in each] for each in keys)))
        first, second = values
        if first is not None and second is not None:
            pairs.append((pool.first_seed + era, first, second))
        elif len(lacking) == before:
            lost += 1
    rate = float(pool.fixed.get("learning_rate", 0.0))
    levels = {side: [(name, rate)] for side, name in zip(("first", "second"), names, strict=True)}
    return Contrast(pairs=pairs, higher_is_better=False, levels=levels, lost=lost, missing=len(lacking))


def _value(statistic: str, folds: Sequence[Row | None], whole: Sequence[Row | None]) -> float | None:
    """The mean score over folds, or its distance from what came; ``None`` where one is missing or diverged."""
    scores = [None if row is None else row["scores"]["validation"] for row in folds]
    (came,) = [None if row is None else row["scores"]["test"] for row in whole]
    known = [score for score in scores if score is not None]
    if came is None or len(known) < len(scores):
        return None
    return fmean(known) if statistic == "estimate" else abs(fmean(known) - float(came))
