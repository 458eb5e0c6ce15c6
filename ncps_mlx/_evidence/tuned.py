"""The usual design: each level of a pool is tuned over learning rates, then reported at its best on fresh seeds.

A level may be a classical baseline: it is measured on the same draws, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from ncps_mlx._evidence import train as training
from ncps_mlx._evidence.baselines import measure
from ncps_mlx._evidence.contrasts import Contrast, TaskTrials, compare, trials_of
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.plan import Member, Row, Tuning, index_of, key_of, lacking, report, tuning
from ncps_mlx._evidence.pool import TunedPool, read_tuned_pool
from ncps_mlx._evidence.registry import Part, Term

__all__ = ["contrast", "fresh", "fresh_contrast", "missing", "read_pool", "seconds_per_step", "train"]

read_pool = read_tuned_pool


def missing(pool: TunedPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            members, later = _next(pool, task.name, budget, index)
            if members:
                each = seconds_per_step(rows, task.name, task.seconds / 100)
                trained = [level for level in pool.levels_of(task.name) if not level.baseline]
                steps = sum(member.steps for member in members)
                if later:
                    steps += task.steps[budget] * len(trained) * len(pool.seeds("report", budget))
                groups = training.populations(members)
                found.append(Missing(task=task.name, budget=budget, groups=groups, later=later, seconds=each * steps))
    return found


def train(members: Sequence[Member]) -> list[Row]:
    """Train a population, or measure baselines."""
    return measure(members) if members[0].level.baseline else training.train(members)


def _next(pool: TunedPool, name: str, budget: str, index: Mapping[str, Row]) -> tuple[list[Member], int]:
    """The members to be trained next, and how many come after them at least."""
    task = pool.tasks[name]
    tuned = tuning(pool, task, budget, index)
    if tuned.missing:
        return list(tuned.missing), len(pool.levels_of(name)) * len(pool.seeds("report", budget))
    return lacking(report(pool, task, budget, tuned.chosen), index), 0


def seconds_per_step(rows: Sequence[Row], task: str, otherwise: float) -> float:
    """What an update of a member takes by the trials that are there."""
    own = [row for row in rows if row["task"] == task and row["status"] == "finished" and row["steps"]]
    known = [row["seconds"] / row["steps"] for row in own]
    return median(known) if known else otherwise


def contrast(part: Part, pool: TunedPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare the two sides of a part on a task."""
    return compare(part, trials_of(pool, pool.tasks[task], budget, index))


def fresh(
    pool: TunedPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """The levels that contrasts need, at the rates that the record chose, once each."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        members = [member for each in measured if each.task == task.name for member in _anew(pool, each, seeds)]
        if members := lacking(members, index):
            seconds = sum(task.seconds / 100 * member.steps for member in members)
            (budget,) = {member.budget for member in members}
            groups = training.populations(members)
            found.append(Missing(task=task.name, budget=budget, groups=groups, later=0, seconds=seconds))
    return found


def _anew(pool: TunedPool, measured: Measured, seeds: Sequence[int]) -> list[Member]:
    task, levels = pool.tasks[measured.task], {level.name: level for level in pool.levels_of(measured.task)}
    needed = dict(level for side in measured.levels.values() for level in side)
    if gone := sorted(set(needed) - set(levels)):
        raise ValueError(
            f"verdicts must name levels of the pool {pool.name}, got {gone[0]!r}: compute them again, nox -s evidence."
        )
    return [
        Member(pool=pool, task=task, budget=measured.budget, stage="fresh", level=levels[name], rate=rate, seed=seed)
        for name, rate in needed.items()
        for seed in seeds
    ]


def fresh_contrast(pool: TunedPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare the levels that the record came to, on fresh seeds."""
    chosen = dict(level for side in measured.levels.values() for level in side)
    index, reported = index_of(rows), {name: dict[int, Row | None]() for name in chosen}
    for member in _anew(pool, measured, sorted({row["seed"] for row in rows})):
        reported[member.level.name][member.seed] = index.get(key_of(member.identity))
    tuned = Tuning(members=(), missing=(), chosen=chosen, validation={})
    part = replace(measured.part, first=_term(measured, "first"), second=_term(measured, "second"))
    return compare(part, TaskTrials(task=pool.tasks[measured.task], tuned=tuned, reported=reported))


def _term(measured: Measured, side: str) -> Term:
    """A side as the levels it came to: the best of some is one by now."""
    names = [name for name, _ in measured.levels[side]]
    return names[0] if len(names) == 1 else {"minus": names}
