"""Which trials searches have: what a plan, a sampler that learns or the stages of one choose, given what is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from ncps_mlx._evidence.plan import Row, identity_of, worst
from ncps_mlx._evidence.pool import Level, TaskSpec
from ncps_mlx._evidence.search_pool import Search, SearchPool
from ncps_mlx._evidence.tasks import arguments_of
from ncps_mlx.data._metrics import METRICS
from ncps_mlx.search._distributions import Choice, Distribution, to_optuna
from ncps_mlx.search._optuna_sampler import make_sampler, suggest
from ncps_mlx.search._samplers import grid_plan, quasi_random_plan, random_plan
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet_optuna
from ncps_mlx.training._hyperparameters import hyperparameter_defaults

__all__ = ["Config", "SearchMember", "Trials", "best_trial", "best_value", "next_trials", "repeats", "validation"]

Config = Mapping[str, Any]

SEED_STEP = 10_000
"""The seeds of one repeat are its own, and others this far apart where a value is trained with several."""

Trials = Mapping[int, Row]
"""The trials of a search in one repeat, by index."""


@dataclass(frozen=True, kw_only=True)
class SearchMember:
    """One training that belongs to a pool of searches.

    Attributes:
        stage: ``"search"``; ``"retrain"`` for what a search chose; ``"choose"`` and ``"judge"`` for the best of all.
        config: What is not fixed.
        place: Of a search's trial, its search, repeat and index.
        data_seed: What draws its data; ``None`` if they are not drawn.
    """

    pool: SearchPool
    task: TaskSpec
    budget: str
    stage: str
    config: Config
    seed: int
    data_seed: int | None
    place: Mapping[str, Any]

    @property
    def level(self) -> Level:
        """Its configuration as populations know it."""
        return Level(name=self.stage, settings=self.config)

    @property
    def steps(self) -> int:
        """Its updates."""
        return self.task.steps[self.budget]

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters that are not defaults."""
        return {**self.pool.settings_of(self.task, self.budget), **self.config, "steps": self.steps}

    @property
    def identity(self) -> Row:
        """What its trial is told from others by."""
        return identity_of(
            self,
            level={**self.place, **self.config},
            fixed={"model": self.pool.model, **self.pool.settings_of(self.task, self.budget)},
            data=arguments_of(self.task, self.level),
        )


def repeats(pool: SearchPool, budget: str) -> range:
    """The repeats, by the seed of their data and of their trainings."""
    return range(pool.first_seed, pool.first_seed + pool.repeats[budget])


def validation(row: Row, task: TaskSpec) -> float:
    """The validation score of a trial, infinitely bad if it diverged."""
    score = row["scores"]["validation"]
    return worst(task) if score is None else float(score)


def best_trial(trials: Sequence[Row], task: TaskSpec) -> Row:
    """The trial of the best validation score, the first of equal ones."""
    best = max if METRICS[task.metric].greater_is_better else min
    return best(trials, key=lambda row: validation(row, task))


def next_trials(
    search: Search, pool: SearchPool, task: TaskSpec, repeat: int, found: Trials
) -> dict[int, tuple[Config, int]]:
    """All trials of a search that are chosen so far, by index, each with its seed."""
    if search.sampler == "tpe":
        configs = _tpe(search, pool, task, repeat, found)
    elif search.sampler == "staged":
        return _staged(search, pool, task, repeat, found)
    else:
        configs = _plan(search, pool, repeat)
    return {index: (config, repeat) for index, config in enumerate(configs)}


def _plan(search: Search, pool: SearchPool, repeat: int) -> list[Config]:
    """The configurations of a search that is planned as it begins."""
    if search.sampler == "defaults":
        known = hyperparameter_defaults(pool.model)
        return [{name: known[name] for name in pool.space} | dict(pool.defaults)]
    space = pool.knobs(search.knobs)
    if search.sampler == "grid":
        return list(grid_plan(_grid(space, search.levels, repeat)))
    plan = random_plan if search.sampler == "random" else quasi_random_plan
    return list(plan(space, search.trials, 1, repeat))


def _grid(space: Space, levels: Sequence[int], repeat: int) -> Space:
    """A grid that lies at random: evenly spread values of each hyperparameter, or none of it, which is its default."""
    rng = np.random.default_rng([repeat, len(levels)])
    values = {}
    for (name, each), count in zip(space.distributions.items(), rng.permutation(levels), strict=True):
        shift = rng.random()
        if count > 1:
            values[name] = Choice(tuple(each.quantile((i + shift) / count) for i in range(count)))
    return Space(**values)


def _tpe(search: Search, pool: SearchPool, task: TaskSpec, repeat: int, found: Trials) -> list[Config]:
    """The configurations of TPE up to the first batch that lacks trials: what was trained stays as it was."""
    space, configs = pool.knobs(search.knobs), list[Config]()
    while len(configs) < search.trials:
        known = {i: _config(found[i], space) for i in range(len(configs), len(configs) + search.batch) if i in found}
        if len(known) < search.batch:
            asked = _ask(search, space, task, repeat, [found[i] for i in range(len(configs))])
            return configs + [known.get(i, config) for i, config in enumerate(asked, start=len(configs))]
        configs += known.values()
    return configs


def _config(row: Row, space: Space) -> Config:
    return {name: row["level"][name] for name in space.distributions}


def _ask(search: Search, space: Space, task: TaskSpec, repeat: int, rows: Sequence[Row]) -> list[Config]:
    """What TPE chooses next, knowing these trials."""
    import optuna

    distributions = {name: to_optuna(each) for name, each in space.distributions.items()}
    with quiet_optuna():
        study = optuna.create_study(
            direction="maximize" if METRICS[task.metric].greater_is_better else "minimize",
            sampler=make_sampler("tpe", space, 1, repeat, len(rows)),
        )
        for row in rows:
            params = {name: space.distributions[name].encode(value) for name, value in _config(row, space).items()}
            score = validation(row, task)
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=score))
        return [suggest(study.ask(), space) for _ in range(search.batch)]


def _staged(
    search: Search, pool: SearchPool, task: TaskSpec, repeat: int, found: Trials
) -> dict[int, tuple[Config, int]]:
    """One hyperparameter after the other, each at the best values of those before it.

    Where one has fewer values than its stage has trials, each value is trained with several seeds.
    """
    share, best, trials = search.trials // search.knobs, dict[str, Any](), dict[int, tuple[Config, int]]()
    for stage, (name, each) in enumerate(pool.knobs(search.knobs).distributions.items()):
        values = _ladder(each, share)
        members = {
            stage * share + i: ({**best, name: values[i % len(values)]}, repeat + SEED_STEP * (i // len(values)))
            for i in range(share)
        }
        trials |= members
        if not members.keys() <= found.keys():
            return trials
        best[name] = best_value([found[i] for i in members], name, task)
    return trials


def _ladder(each: Distribution, count: int) -> list[Any]:
    """So many values of a range, with both ends, or the choices of a list."""
    return list(each.values) if isinstance(each, Choice) else [each.quantile(i / (count - 1)) for i in range(count)]


def best_value(trials: Sequence[Row], name: str, task: TaskSpec) -> Any:
    """The value of a hyperparameter with the best mean validation score, the first of equal ones."""
    scores: dict[Any, list[float]] = {}
    for row in trials:
        scores.setdefault(row["level"][name], []).append(validation(row, task))
    best = max if METRICS[task.metric].greater_is_better else min
    return best(scores, key=lambda value: fmean(scores[value]))
