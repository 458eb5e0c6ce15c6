"""The design of whole searches: each is repeated, and its best by validation is trained again and tested.

A repeat has data, a training seed and draws of its own. Trials of all searches and repeats that have one shape train
together; a search that learns is asked again after each of its batches.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import mlx.core as mx

from ncps_mlx._evidence.best_settings import best_members
from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.draws import DrawsTrainer
from ncps_mlx._evidence.plan import Row, index_of, lacking
from ncps_mlx._evidence.registry import Part, levels_of
from ncps_mlx._evidence.search_plan import SearchMember, next_trials, repeats
from ncps_mlx._evidence.search_pool import SearchPool, read_search_pool
from ncps_mlx._evidence.search_results import SearchTrials, compare, search_trials
from ncps_mlx._evidence.train import means, populations, rounded, trained
from ncps_mlx._evidence.tuned import seconds_per_step
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx._trials import History
from ncps_mlx.search._halving import rung_step

__all__ = ["contrast", "due", "fresh", "fresh_contrast", "missing", "read_pool", "train"]

read_pool = read_search_pool


def missing(pool: SearchPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            members = lacking(due(search_trials(pool, task, budget, index)), index)
            if members:
                done = sum((row["task"], row["budget"]) == (task.name, budget) for row in rows)
                later = max(0, _count(pool, budget) - done - len(members))
                each = seconds_per_step(rows, task.name, task.seconds / 100)
                seconds = each * task.steps[budget] * (len(members) + later)
                groups = populations(members)
                found.append(Missing(task=task.name, budget=budget, groups=groups, later=later, seconds=seconds))
    return found


def _count(pool: SearchPool, budget: str) -> int:
    """About how many members a task has; several searches of a repeat may choose one configuration."""
    own = [search for search in pool.searches.values() if search.sampler]
    return pool.repeats[budget] * (sum(search.trials for search in own) + pool.retrained * len(own))


def due(trials: SearchTrials) -> list[SearchMember]:
    """The members of a task at a budget, as far as they can be chosen yet."""
    every = set(trials.pool.searches)
    return _of_searches(trials, every, every) + best_members(trials)


def _of_searches(trials: SearchTrials, searched: Collection[str], retrained: Collection[str]) -> list[SearchMember]:
    """The trials of some searches, and what trains again what some chose."""
    members = []
    for repeat in repeats(trials.pool, trials.budget):
        for search in trials.pool.searches.values():
            if search.sampler and search.name in searched:
                found = trials.found.get((search.name, repeat), {})
                for index, (config, seed) in next_trials(search, trials.pool, trials.task, repeat, found).items():
                    place = {"search": search.name, "repeat": repeat, "trial": index}
                    members.append(trials.member("search", config, seed, repeat, place))
            choice = trials.choice(search, repeat) if search.name in retrained else None
            members += [] if choice is None else trials.retraining(choice, repeat)
    return members


def fresh(
    pool: SearchPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """Repeats with other seeds: of the searches that contrasts compare, and of those whose trials these take."""
    index, found = index_of(rows), []
    for task, budget in dict.fromkeys((each.task, each.budget) for each in measured):
        named = {each.part.statistic: set[str]() for each in measured}
        for each in measured:
            named[each.part.statistic] |= {*levels_of(each.part.first, task), *levels_of(each.part.second, task)}
        retrained = named.get("retrained best", set())
        used = [pool.searches[name] for name in set.union(*named.values())]
        searched = {name for search in used for name in (search.of or search.name, search.work_of) if name}
        own = replace(pool, first_seed=seeds[0], repeats={budget: len(seeds)})
        trials = search_trials(own, pool.tasks[task], budget, index)
        if members := lacking(_of_searches(trials, searched, retrained), index):
            each_repeat = sum(pool.searches[name].trials for name in searched) + pool.retrained * len(retrained)
            done = sum((row["task"], row["budget"]) == (task, budget) for row in rows)
            later = max(0, len(seeds) * each_repeat - done - len(members))
            seconds = pool.tasks[task].seconds / 100 * pool.tasks[task].steps[budget] * (len(members) + later)
            groups = populations(members)
            found.append(Missing(task=task, budget=budget, groups=groups, later=later, seconds=seconds))
    return found


def fresh_contrast(pool: SearchPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare the two sides of a part on a task, on the fresh repeats that are whole."""
    seeds = {row["level"]["repeat"] for row in rows if row["stage"] == "search"}
    own = replace(pool, first_seed=min(seeds), repeats={measured.budget: max(seeds) - min(seeds) + 1})
    return contrast(measured.part, own, measured.task, measured.budget, index_of(rows))


def train(members: Sequence[SearchMember]) -> list[Row]:
    """Train a population and return its trials: validation and test scores, and early ones on validation."""
    trainer = trained(members)
    tests, here = _test_scores(trainer), means()
    first = members[0]
    every = trainer.config.evaluation_interval
    rungs = [rung_step(share, first.steps, every) for share in first.pool.rungs]
    return [
        member.identity
        | {
            "status": history.status,
            "best_step": history.best_step,
            "scores": rounded({"validation": _finite(history.best_score), "test": test}),
            "early": list(rounded({str(step): _best_until(step, history, trainer) for step in rungs}).values()),
            "seconds": round(history.seconds, 4),
            "parameters": int(trainer.reached.best.shape[1]),
        }
        | here
        for member, history, test in zip(members, trainer.histories, tests, strict=True)
    ]


@training_stream()
def _test_scores(trainer: DrawsTrainer) -> list[float | None]:
    """The test score of each member, with the parameters that were kept."""
    scores: list[float | None] = [None] * len(trainer.members)
    known = [i for i, each in enumerate(trainer.members) if each.best is not None and each.status != "diverged"]
    if known:
        predicted = trainer.predict("test", trainer.reached.best[mx.array(known)], known)
        for i, outputs in zip(known, predicted, strict=True):
            scores[i] = _finite(trainer.task_of(i).score(outputs, "test", loss=trainer.loss_of_task.loss))
    return scores


def _best_until(step: int, history: History, trainer: DrawsTrainer) -> float | None:
    """The best validation score up to a step; ``None`` if training had diverged."""
    if history.status == "diverged" and history.step[-1] <= step:
        return None
    reached = [score for at, score in zip(history.step, history.validation_score, strict=True) if at <= step]
    return (max if trainer.task.higher_is_better else min)(reached)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def contrast(part: Part, pool: SearchPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare the two sides of a part on a task."""
    return compare(part, search_trials(pool, pool.tasks[task], budget, index))
