"""The usual design: each level of a pool is tuned over learning rates, then reported at its best on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from ncps_mlx._evidence.contrasts import Contrast, compare, trials_of
from ncps_mlx._evidence.design import Missing
from ncps_mlx._evidence.plan import Member, Row, index_of, lacking, report, tuning
from ncps_mlx._evidence.pool import TunedPool, read_tuned_pool
from ncps_mlx._evidence.registry import Part
from ncps_mlx._evidence.train import populations, train

__all__ = ["contrast", "missing", "read_pool", "train"]

read_pool = read_tuned_pool


def missing(pool: TunedPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """What a pool lacks, by task and budget."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            members, later = _next(pool, task.name, budget, index)
            if members:
                each = _seconds_per_step(rows, task.name, task.seconds / 100)
                seconds = each * task.steps[budget] * (len(members) + later)
                groups = populations(members)
                found.append(Missing(task=task.name, budget=budget, groups=groups, later=later, seconds=seconds))
    return found


def _next(pool: TunedPool, name: str, budget: str, index: Mapping[str, Row]) -> tuple[list[Member], int]:
    """The members to be trained next, and how many come after them at least."""
    task = pool.tasks[name]
    tuned = tuning(pool, task, budget, index)
    if tuned.missing:
        return list(tuned.missing), len(pool.levels_of(name)) * len(pool.seeds("report", budget))
    return lacking(report(pool, task, budget, tuned.chosen), index), 0


def _seconds_per_step(rows: Sequence[Row], task: str, otherwise: float) -> float:
    known = [row["seconds"] / row["steps"] for row in rows if row["task"] == task and row["status"] == "finished"]
    return median(known) if known else otherwise


def contrast(part: Part, pool: TunedPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare the two sides of a part on a task."""
    return compare(part, trials_of(pool, pool.tasks[task], budget, index))
