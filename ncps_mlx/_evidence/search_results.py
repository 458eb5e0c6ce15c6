"""What searches came to: their trials found again, what each chose, how that does once it is trained again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.plan import Index, Row, key_of, once, worst
from ncps_mlx._evidence.pool import TaskSpec
from ncps_mlx._evidence.registry import Part, levels_of
from ncps_mlx._evidence.search_plan import (
    Config,
    SearchMember,
    Trials,
    best_trial,
    best_value,
    repeats,
    validation,
)
from ncps_mlx._evidence.search_pool import Search, SearchPool
from ncps_mlx.data._metrics import METRICS
from ncps_mlx.search._halving import survivor_count

__all__ = ["SearchTrials", "compare", "search_trials"]

RETRAIN_SEED = 1000
"""A repeat trains again what its searches chose, with its own seed plus once, twice, ... this."""


@dataclass(frozen=True, kw_only=True)
class SearchTrials:
    """The trials of a pool of searches on one task at one budget.

    Attributes:
        found: Those of each search with a sampler, by its name and the repeat.
        index: All, by identity.
    """

    pool: SearchPool
    task: TaskSpec
    budget: str
    found: Mapping[tuple[str, int], Trials]
    index: Index

    def trials(self, search: Search, repeat: int) -> list[Row] | None:
        """The trials that a search rests on in one repeat, in its order; ``None`` while some are missing."""
        source = self.pool.searches[search.of or search.name]
        known = self.found.get((source.name, repeat), {})
        if len(known) < source.trials:
            return None
        rows = [known[i] for i in range(search.trials)]
        if not search.work_of:
            return rows
        other = self.trials(self.pool.searches[search.work_of], repeat)
        return None if other is None else rows[: max(1, int((_work(rows) <= _work(other)[-1]).sum()))]

    def choice(self, search: Search, repeat: int) -> Config | None:
        """The configuration that a search chose by validation scores; ``None`` while trials are missing."""
        rows = self.trials(search, repeat)
        if rows is None:
            return None
        if search.sampler == "staged":
            last = rows[-(search.trials // search.knobs) :]
            name = list(self.pool.space)[search.knobs - 1]
            value = best_value(last, name, self.task)
            best = next(row for row in last if row["level"][name] == value)
        else:
            best = best_trial(self._survivors(search, rows), self.task)
        return {name: best["level"][name] for name in self.pool.space if name in best["level"]}

    def _survivors(self, search: Search, rows: Sequence[Row]) -> Sequence[Row]:
        """The trials that halving trains to the end: what it stopped had the scores that these have at the rungs."""
        if search.bracket is None:
            return rows
        left = dict(enumerate(rows))
        for share in search.bracket.rungs:
            rung = self.pool.rungs.index(share)
            scores = {i: _early(row, rung, self.task) for i, row in left.items()}
            sign = -1.0 if METRICS[self.task.metric].greater_is_better else 1.0
            best = sorted(scores, key=lambda name: (sign * scores[name], name))
            left = {i: left[i] for i in sorted(best[: survivor_count(len(left), search.bracket.eta)])}
        return list(left.values())

    def retraining(self, config: Config, repeat: int) -> list[SearchMember]:
        """What trains a chosen configuration again: new seeds, the data of its repeat."""
        return [
            self.member("retrain", config, repeat + RETRAIN_SEED * k, repeat)
            for k in range(1, self.pool.retrained + 1)
        ]

    def member(
        self, stage: str, config: Config, seed: int, draw: int, place: Mapping[str, object] | None = None
    ) -> SearchMember:
        """A member of this task and budget; its data are drawn with ``draw``, if they are drawn."""
        return SearchMember(
            pool=self.pool, task=self.task, budget=self.budget, stage=stage, config=config, seed=seed,
            data_seed=draw if self.task.draw else None, place=place or {},
        )  # fmt: skip

    def rows(self, members: Sequence[SearchMember]) -> list[Row]:
        """The trials of members, but those that are missing."""
        keys = [key_of(member.identity) for member in members]
        return [self.index[key] for key in keys if key in self.index]


def _work(rows: Sequence[Row]) -> np.ndarray:
    """What the first so many trials cost together: a step's products are as many as there are parameters."""
    return np.cumsum([row["parameters"] * row["steps"] for row in rows])


def _early(row: Row, rung: int, task: TaskSpec) -> float:
    """The best validation score of a trial up to a rung."""
    score = row["early"][rung]
    return worst(task) if score is None else float(score)


def search_trials(pool: SearchPool, task: TaskSpec, budget: str, index: Index) -> SearchTrials:
    """Find the trials of searches on a task at a budget; in an index that nothing is added to, once for all."""
    return once(_search_trials, pool, task, budget, index)


def _search_trials(pool: SearchPool, task: TaskSpec, budget: str, index: Index) -> SearchTrials:
    found: dict[tuple[str, int], dict[int, Row]] = {}
    for row in index.values():
        if (row["task"], row["budget"], row["stage"]) == (task.name, budget, "search"):
            level = row["level"]
            found.setdefault((level["search"], level["repeat"]), {})[level["trial"]] = row
    return SearchTrials(pool=pool, task=task, budget=budget, found=found, index=index)


def compare(part: Part, trials: SearchTrials) -> Contrast:
    """Compare a part's two searches on a task, by repeats."""
    pool, task = trials.pool, trials.task
    first, second = ([pool.searches[name] for name in levels_of(side, task.name)] for side in (part.first, part.second))
    values, pairs, lost, missing = VALUES[part.statistic], [], 0, 0
    for repeat in repeats(pool, trials.budget):
        found = values(trials, first, second, repeat)
        if isinstance(found, int):
            missing += found
        elif all(map(math.isfinite, found)):
            pairs.append((repeat, *found))
        else:
            lost += 1
    higher, units = {"percentile": False, "early correlation": True}, {"percentile": "%", "early correlation": ""}
    return Contrast(
        pairs=pairs,
        higher_is_better=higher.get(part.statistic, METRICS[task.metric].greater_is_better),
        levels={},
        lost=lost,
        missing=missing,
        unit=units.get(part.statistic),
    )


Side = Sequence[Search]
"""A search, or two whose difference it is."""

Values = tuple[float, float] | int
"""The two sides in one repeat, or how many trials are missing, at least."""


def _retrained_best(trials: SearchTrials, first: Side, second: Side, repeat: int) -> Values:
    """The mean test score of what each search chose, trained again; of two, the first one's less the second one's."""
    searches = {search.name: search for search in (*first, *second)}
    scores = {}
    for name, search in searches.items():
        config = trials.choice(search, repeat)
        rows = [] if config is None else trials.rows(trials.retraining(config, repeat))
        scores[name] = [_test(row, trials.task) for row in rows]
    if missing := len(searches) * trials.pool.retrained - sum(map(len, scores.values())):
        return missing
    one, other = ([fmean(scores[search.name]) for search in side] for side in (first, second))
    return one[0] - sum(one[1:]), other[0] - sum(other[1:])


def _percentile(trials: SearchTrials, first: Side, second: Side, repeat: int) -> Values:
    """The share of a search's trials, in percent, with a better test score than one; equal ones count half."""
    one, others = trials.trials(first[0], repeat), trials.trials(second[0], repeat)
    if one is None or others is None:
        return 1
    own, scores = _test(one[0], trials.task), np.array([_test(row, trials.task) for row in others])
    better = scores > own if METRICS[trials.task.metric].greater_is_better else scores < own
    return float(100 * np.mean(better + 0.5 * (scores == own))), 0.0


def _early_correlation(trials: SearchTrials, first: Side, _: Side, repeat: int) -> Values:
    """Spearman's correlation, over a search's trials, of the validation scores at the last rung and at the end."""
    from scipy.stats import spearmanr

    rows = trials.trials(first[0], repeat)
    if rows is None:
        return 1
    early = [_early(row, -1, trials.task) for row in rows]
    return float(spearmanr(early, [validation(row, trials.task) for row in rows]).statistic), 1.0


VALUES: Mapping[str, Callable[[SearchTrials, Side, Side, int], Values]] = {
    "retrained best": _retrained_best,
    "percentile": _percentile,
    "early correlation": _early_correlation,
}
"""How each statistic is computed."""


def _test(row: Row, task: TaskSpec) -> float:
    """The test score of a trial, infinitely bad if it diverged."""
    score = row["scores"]["test"]
    return worst(task) if score is None else float(score)
