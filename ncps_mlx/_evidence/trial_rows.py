"""What levels gave, as rows that plots and statistics take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.pool import TaskSpec, TunedPool
from ncps_mlx._evidence.tasks import settings_of
from ncps_mlx.training._hyperparameters import complete_config

__all__ = ["trial_rows"]


def trial_rows(
    pool: TunedPool, task: TaskSpec, contrasts: Mapping[str, Sequence[Contrast]]
) -> list[dict[str, Any]]:
    """A row for each level and seed of contrasts of one statistic, by what ``trials`` says whose they are.

    Beside it stand the hyperparameters that levels set. A side that is the difference of two levels makes no row.
    """
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for whose, each in contrasts.items():
        for contrast in each:
            for position, side in enumerate(("first", "second")):
                (name, rate), *others = contrast.levels[side]
                for seed, *values in () if others else contrast.pairs:
                    found[whose, name, seed] = {
                        "trials": whose, "level": name, "learning_rate": rate, "seed": seed, "score": values[position],
                        "task": task.name, "metric": task.metric, "units": task.unit,
                        "higher_is_better": contrast.higher_is_better,
                    }  # fmt: skip
    levels = dict.fromkeys(row["level"] for row in found.values())
    names = list(dict.fromkeys(name for level in levels for name in settings_of(pool, task, pool.levels[level])))
    for row in found.values():
        level = pool.levels[row["level"]]
        settings = settings_of(pool, task, level)
        config = {} if level.baseline else complete_config(level.model or pool.model, settings)
        row.update({name: config.get(name) for name in names if name != "learning_rate"})
    return list(found.values())
