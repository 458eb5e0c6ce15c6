"""A design: random configurations scored by several metrics, whether these rank alike, and what one chooses by each.

Each replicate has a seed, and with it a draw of configurations (and of the data, where they are drawn): an interval
over replicates covers all of these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ncps_mlx._evidence.contrasts import Contrast, joined
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.domain_metrics import metric_of
from ncps_mlx._evidence.plan import Row, identity_of, index_of, key_of
from ncps_mlx._evidence.pool import (
    FIRST_REPORT_SEED,
    Level,
    Pool,
    TaskSpec,
    check_keys,
    named_tasks,
    read_toml,
)
from ncps_mlx._evidence.registry import Part, levels_of
from ncps_mlx._evidence.tasks import make_task
from ncps_mlx._evidence.train import MOST_MEMBERS, train_on
from ncps_mlx._evidence.tuned import seconds_per_step
from ncps_mlx.search._distributions import LogUniform, Uniform
from ncps_mlx.search._samplers import random_pick
from ncps_mlx.search._space import Space
from ncps_mlx.training._hyperparameters import MEMBER_PARAMETERS, check_name

__all__ = [
    "Member", "MetricsPool", "configurations", "contrast", "fresh", "fresh_contrast", "missing", "read_pool", "train",
]  # fmt: skip

RANGES = {"log": LogUniform, "uniform": Uniform}
ON_VALIDATION = " on validation"
"""Ends a metric of the validation split; others are of the test split."""

PLAIN = Level(name="plain", settings={})


@dataclass(frozen=True, kw_only=True)
class MetricsPool(Pool):
    """A pool of random configurations.

    Attributes:
        model: What is trained.
        fixed: Hyperparameters of all.
        space: What varies, by task: ``"all"`` on each.
        replicates: How many draws of configurations.
        configurations: How many in each.
        first_seed: Of the first replicate; each has the next.
    """

    model: str
    fixed: Mapping[str, Any]
    space: Mapping[str, Mapping[str, Any]]
    replicates: int
    configurations: int
    first_seed: int = FIRST_REPORT_SEED

    def level_names(self, task: str) -> list[str]:
        """What a contrast may compare: the metrics, on the test and on the validation split."""
        spec = self.tasks[task]
        names = [spec.metric, *spec.metrics]
        return [*names, *(f"{name}{ON_VALIDATION}" for name in names)]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One configuration of a replicate."""

    pool: MetricsPool
    task: TaskSpec
    budget: str
    config: Mapping[str, Any]
    seed: int
    stage: str = field(default="report", init=False)

    @property
    def steps(self) -> int:
        """Its updates."""
        return self.task.steps[self.budget]

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters that are not defaults."""
        return {**self.pool.fixed, **self.task.settings, **self.config, "steps": self.steps}

    @property
    def data_seed(self) -> int | None:
        """What draws its data."""
        return self.seed if self.task.draw else None

    @property
    def identity(self) -> Row:
        """What its trial is told from others by."""
        return identity_of(
            self,
            level=dict(self.config),
            fixed={"model": self.pool.model, **self.task.settings, **self.pool.fixed},
            data=dict(self.task.arguments),
        )


def read_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> MetricsPool:
    """Read a pool; ``tasks`` are those it may name."""
    table = read_toml(path)
    check_keys(path.name, table, MetricsPool, without=("name", "first_seed"), optional=("design",))
    own = {key: value for key, value in table.items() if key != "tasks"}
    pool = MetricsPool(name=path.stem, tasks=named_tasks(path.name, table["tasks"], tasks), **own)
    for name in pool.fixed:
        check_name(name, pool.model)
    if unknown := sorted(set(pool.space) - {"all", *pool.tasks}):
        raise ValueError(f"{path.name}: space must be that of all or of a task, got {unknown[0]!r}.")
    for task in pool.tasks:
        for name in space_of(path.name, pool, task).distributions:
            check_name(name, pool.model)
    return pool


def space_of(where: str, pool: MetricsPool, task: str) -> Space:
    """What varies on a task."""
    values = {}
    for name, given in {**pool.space.get("all", {}), **pool.space.get(task, {})}.items():
        if isinstance(given, Mapping):
            ((kind, ends),) = given.items()
            if kind not in RANGES:
                raise ValueError(f"{where}: {name} must be a list or a range, {' or '.join(RANGES)}, got {kind!r}.")
            values[name] = RANGES[kind](*ends)
        else:
            values[name] = given
    return Space(**values)


def configurations(pool: MetricsPool, task: str, seed: int) -> list[dict[str, Any]]:
    """Draw the configurations of a replicate; numbers have four digits."""
    space, pick = space_of(pool.name, pool, task), random_pick(np.random.default_rng(seed))
    return [
        {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in drawn.items()}
        for drawn in (space.sample(pick) for _ in range(pool.configurations))
    ]


def members_of(pool: MetricsPool, task: TaskSpec, budget: str) -> dict[int, list[Member]]:
    """All members by replicate."""
    seeds = range(pool.first_seed, pool.first_seed + pool.replicates)
    return {
        seed: [
            Member(pool=pool, task=task, budget=budget, config=config, seed=seed)
            for config in configurations(pool, task.name, seed)
        ]
        for seed in seeds
    }


def missing(pool: MetricsPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget; members of one shape are a group."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            shapes: dict[str, list[Member]] = {}
            for member in (each for every in members_of(pool, task, budget).values() for each in every):
                if key_of(member.identity) not in index:
                    shape = {name: value for name, value in member.config.items() if name not in MEMBER_PARAMETERS}
                    shapes.setdefault(json.dumps(shape, sort_keys=True), []).append(member)
            if shapes:
                groups = [
                    group[i : i + MOST_MEMBERS] for group in shapes.values() for i in range(0, len(group), MOST_MEMBERS)
                ]
                each = seconds_per_step(rows, task.name, task.seconds / 50)  # most are larger than the reference
                seconds = each * task.steps[budget] * sum(map(len, groups))
                found.append(Missing(task=task.name, budget=budget, groups=groups, later=0, seconds=seconds))
    return found


def train(members: Sequence[Member]) -> list[Row]:
    """Train a population and return its trials."""
    first = members[0]
    draws = {seed: make_task(first.task, PLAIN, seed) for seed in {member.data_seed for member in members}}
    return train_on([draws[member.data_seed] for member in members], first.pool.model, members, first.task.metrics)


def contrast(part: Part, pool: MetricsPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare two metrics on a task: a pair for each replicate. Configurations that diverged have no rank."""
    spec, pairs, lost, lacking = pool.tasks[task], [], 0, 0
    first, second = (levels_of(side, task)[0] for side in (part.first, part.second))
    is_agreement = part.statistic == "agreement of metrics"
    for seed, members in members_of(pool, spec, budget).items():
        rows = [index.get(key_of(member.identity)) for member in members]
        trained_rows = [row for row in rows if row is not None]
        known = [row for row in trained_rows if row["status"] != "diverged"]
        lacking += len(rows) - len(trained_rows)
        if len(known) > 2:
            value = agreement if is_agreement else score_of_chosen
            pairs.append((seed, value(known, spec, first, first), value(known, spec, second, first)))
        elif len(trained_rows) == len(rows):
            lost += 1
    domain = metric_of(first.removesuffix(ON_VALIDATION))
    return Contrast(
        pairs=pairs,
        higher_is_better=is_agreement or domain.greater_is_better,
        levels={},
        lost=lost,
        missing=lacking,
        unit="" if is_agreement or not domain.has_unit else None,
    )


def fresh(
    pool: MetricsPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """Replicates with other seeds: configurations are drawn anew with each."""
    tasks = {each.task: pool.tasks[each.task] for each in measured}
    (budget,) = {each.budget for each in measured}
    return missing(replace(pool, tasks=tasks, first_seed=seeds[0], replicates=len(seeds)), [budget], rows)


def fresh_contrast(pool: MetricsPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare two metrics on a task, on the fresh replicates that are whole."""
    index, found = index_of(rows), []
    for seed in sorted({row["seed"] for row in rows}):
        one = replace(pool, first_seed=seed, replicates=1)
        each = contrast(measured.part, one, measured.task, measured.budget, index)
        found.append(replace(each, pairs=[]) if each.missing else each)
    return joined(found)


def agreement(rows: Sequence[Row], task: TaskSpec, name: str, _: str = "") -> float:
    """Spearman's correlation over configurations of the task's metric with another: 1 if they rank alike."""
    from scipy.stats import spearmanr

    return float(spearmanr(_goodness(rows, task, task.metric), _goodness(rows, task, name)).statistic)


def score_of_chosen(rows: Sequence[Row], task: TaskSpec, by: str, metric: str) -> float:
    """The test score in a metric, of the configuration that another chooses on validation: of equal ones the first."""
    row = rows[int(np.argmax(_goodness(rows, task, f"{by}{ON_VALIDATION}")))]
    return float(_scores(row, task, metric)["test"])


def _goodness(rows: Sequence[Row], task: TaskSpec, name: str) -> list[float]:
    """The scores of rows in a metric, signed so that more is better."""
    metric, split = name.removesuffix(ON_VALIDATION), "validation" if name.endswith(ON_VALIDATION) else "test"
    sign = 1 if metric_of(metric).greater_is_better else -1
    return [sign * _scores(row, task, metric)[split] for row in rows]


def _scores(row: Row, task: TaskSpec, metric: str) -> Mapping[str, float]:
    scores: Mapping[str, float] = row["scores"] if metric == task.metric else row["metrics"][metric]
    return scores
