"""The pool of whole searches: what they vary, how they choose and how often each is repeated, read from TOML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ncps_mlx._evidence.pool import BUDGETS, FIRST_REPORT_SEED, Pool, TaskSpec, check_keys, read_toml
from ncps_mlx._utils.validation import check_choice, did_you_mean
from ncps_mlx.search._halving import Bracket, Halving
from ncps_mlx.search._space import Space
from ncps_mlx.search._space_toml import space_from_toml
from ncps_mlx.training._hyperparameters import check_name

__all__ = ["SAMPLERS", "Search", "SearchPool", "read_search_pool"]

SAMPLERS = ("defaults", "grid", "random", "quasi-random", "tpe", "staged")
"""Who chooses a search's configurations: ``staged`` varies one hyperparameter after the other."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One way to search, with as many trials as it may train.

    Attributes:
        name: What contrasts call it.
        sampler: Who chooses; "" where it takes the trials ``of`` another.
        knobs: It varies the first so many of the pool's space.
        trials: How many.
        levels: Of a grid, the number of values of each hyperparameter.
        batch: Of TPE, the trials that it chooses at once, not knowing each other's scores.
        of: Another search, of whose trials it takes the first.
        halving: It halves them: arguments of :class:`Halving`.
        work_of: It takes as many as cost what the trials of this search do.
    """

    name: str
    sampler: str = ""
    knobs: int = 0
    trials: int = 1
    levels: Sequence[int] = ()
    batch: int = 1
    of: str = ""
    halving: Mapping[str, Any] = field(default_factory=dict)
    work_of: str = ""

    @property
    def bracket(self) -> Bracket | None:
        """How its trials are halved."""
        return Halving(**self.halving).brackets(self.trials)[0] if self.halving else None


@dataclass(frozen=True, kw_only=True)
class SearchPool(Pool):
    """A pool of searches; each is repeated with other data, another training seed and other draws.

    Attributes:
        model: Which model they train.
        fixed: Hyperparameters that are not varied, or not by all.
        defaults: What the search ``defaults`` adds to the library's own defaults.
        space: As in a file of ``ncps-mlx tune``.
        searches: By name.
        repeats: How many at each budget.
        retrained: With how many new seeds what a search chose is trained again.
        first_seed: Of the first repeat; each has the next.
    """

    model: str
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    space: Mapping[str, Any]
    searches: Mapping[str, Search]
    repeats: Mapping[str, int]
    retrained: int
    first_seed: int = FIRST_REPORT_SEED

    def level_names(self, task: str) -> list[str]:  # noqa: ARG002  # all tasks have all
        """The searches."""
        return list(self.searches)

    def knobs(self, count: int) -> Space:
        """The space of the first so many hyperparameters."""
        return space_from_toml(dict(list(self.space.items())[:count]))

    @cached_property
    def rungs(self) -> tuple[float, ...]:
        """The shares of the training after which scores are written down, for halving."""
        brackets = [search.bracket for search in self.searches.values()]
        return tuple(sorted({share for bracket in brackets if bracket for share in bracket.rungs}))

    def settings_of(self, task: TaskSpec, budget: str) -> dict[str, Any]:
        """The hyperparameters that all trials share, unless they vary them."""
        every = max(1, int(task.steps[budget] * min(self.rungs, default=0.1) + 1e-9))
        return {**self.fixed, **task.settings, "evaluate_every": every}


def read_search_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> SearchPool:
    """Read a pool of searches; ``tasks`` are those it may name."""
    table = read_toml(path)
    check_keys(path.name, table, SearchPool, without=("name", "first_seed"))
    if unknown := [name for name in table["tasks"] if name not in tasks]:
        hint = did_you_mean(unknown[0], tasks)
        raise ValueError(f"{path.name}: tasks must be those of tasks.toml, got {unknown[0]!r}.{hint}")
    for name in (*table["fixed"], *table["defaults"], *table["space"]):
        check_name(name, table["model"])
    if sorted(table["repeats"]) != sorted(BUDGETS):
        raise ValueError(f"{path.name}: repeats must be given for {' and '.join(BUDGETS)}, got {table['repeats']}.")
    own = {name: value for name, value in table.items() if name not in ("tasks", "searches")}
    pool = SearchPool(
        name=path.stem,
        tasks={name: tasks[name] for name in table["tasks"]},
        searches={key: _search(f"{path.name}: searches.{key}", key, each) for key, each in table["searches"].items()},
        **own,
    )
    for search in pool.searches.values():
        _check(f"{path.name}: searches.{search.name}", search, pool)
    return pool


def _search(where: str, name: str, table: Mapping[str, Any]) -> Search:
    check_keys(where, table, Search, without=("name",))
    own = dict(table)
    if "levels" in own:
        own |= {"knobs": len(own["levels"]), "trials": math.prod(own["levels"])}
    return Search(name=name, **own)


def _check(where: str, search: Search, pool: SearchPool) -> None:
    if bool(search.sampler) == bool(search.of):
        raise ValueError(f"{where} must have a sampler, or be of another search.")
    if search.sampler:
        check_choice(f"{where}: sampler", search.sampler, SAMPLERS)
        if search.knobs > len(pool.space):
            raise ValueError(f"{where}: knobs must be at most {len(pool.space)}, got {search.knobs}.")
    for name in filter(None, (search.of, search.work_of)):
        other = pool.searches.get(name)
        if other is None or not other.sampler:
            raise ValueError(f"{where} must name a search with a sampler, got {name!r}.")
    if search.of and search.trials > pool.searches[search.of].trials:
        raise ValueError(f"{where}: trials must be at most those of {search.of}, got {search.trials}.")
    divisor = {"tpe": search.batch, "staged": search.knobs}.get(search.sampler, 1)
    if search.trials % divisor:
        raise ValueError(f"{where}: trials must be a multiple of {divisor}, got {search.trials}.")
