"""Two levels of a pool beside each other, and tables of scores: what the guide says beside its claims.

They have no verdict: what they compare was not written down before the trials were run.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from docs.evidence.claims_table import DOCS, record
from docs.evidence.says import effect_of, score, task_name
from ncps_mlx import stats

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.contrasts import compare, trials_of
from ncps_mlx._evidence.plan import index_of
from ncps_mlx._evidence.pool import BUDGETS, Level, TunedPool
from ncps_mlx._evidence.record import trial_path
from ncps_mlx._evidence.registry import STATISTICS, Part
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._utils.validation import check_choice
from ncps_mlx.data._metrics import METRICS

__all__ = ["best", "between", "lost", "scores"]


@cache
def index(pool: str) -> Any:
    """The trials of a pool by their identity."""
    return index_of(read_trials(trial_path(DOCS, pool)))


def tuned(name: str) -> TunedPool:
    """A pool whose levels are tuned and reported."""
    pools = {pool.name: pool for pool in record().pools.values() if isinstance(pool, TunedPool)}
    return pools[check_choice("pool", name, pools)]


def between(pool: str, first: str, second: str, task: str, budget: str, statistic: str = "test") -> str:
    """What one level gains on another, in the task's unit, with the interval of the paired differences."""
    check_choice("statistic", statistic, STATISTICS)
    of, part = tuned(pool), Part(name="", statistic=statistic, direction="more", first=first, second=second)
    found = compare(part, trials_of(of, of.tasks[task], budget, index(pool)))
    if found.missing or len(found.pairs) < 2:
        raise ValueError(f"{pool} must hold trials of {first} and {second} on {task} at {budget!r}")
    gain = stats.interval(found.differences(1.0))
    of_task = {"task": task, "unit": of.tasks[task].unit, "delta": 1.0, "pairs": found.pairs}
    ends = {"effect": gain.mean, "low": gain.low, "high": gain.high}
    return effect_of({"statistic": statistic, "ratio": None}, of_task | ends)


def best(pool: str, task: str, budget: str) -> str:
    """The level whose validation score on the tuning seeds is best."""
    of = tuned(pool)
    validation = trials_of(of, of.tasks[task], budget, index(pool)).tuned.validation
    choose = max if METRICS[of.tasks[task].metric].greater_is_better else min
    return str(choose(validation, key=validation.__getitem__))


def lost(pool: str) -> str:
    """How many of all trainings of a pool diverged, whatever their learning rate."""
    rows = index(pool).values()
    return f"{sum(row['status'] == 'diverged' for row in rows):,} of {len(rows):,}"


def scores(pool: str, *levels: str) -> list[list[str]]:
    """Mean test scores with their intervals: levels and budgets down, tasks across."""
    of = tuned(pool)
    tasks = [task for task in of.tasks if any(name in of.level_names(task) for name in levels)]
    table = [["Setting", "budget", *map(task_name, tasks)]]
    for name in levels:
        level = of.levels[check_choice("level", name, of.levels)]
        for budget in BUDGETS:
            cells = [score(pool, name, task, budget) if name in of.level_names(task) else "" for task in tasks]
            table.append([setting(level), budget, *cells])
    return table


def setting(level: Level) -> str:
    """What a level sets; its name where that is more than hyperparameters."""
    plain = {name: value for name, value in level.content.items() if isinstance(value, int | float | str)}
    if len(plain) < len(level.content) or level.parameters_of or not plain:
        return level.name.replace("_", " ")
    return ", ".join(f"{name}={value}" for name, value in plain.items())
