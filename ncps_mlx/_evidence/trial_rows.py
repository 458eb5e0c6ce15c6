"""What levels gave, as rows that plots and statistics take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured
from ncps_mlx._evidence.pool import LevelPool, Pool, TaskSpec
from ncps_mlx._evidence.registry import levels_of
from ncps_mlx._evidence.tasks import settings_of
from ncps_mlx.training._hyperparameters import complete_config

__all__ = ["trial_rows"]

Source = tuple[Measured, Contrast]
"""What was recorded of a part, and the contrast of it whose trials are meant: the recorded one, or another."""


def trial_rows(pool: Pool, task: TaskSpec, sources: Mapping[str, Sequence[Source]]) -> list[dict[str, Any]]:
    """A row for each level and seed of contrasts of one statistic, by what ``trials`` says whose they are.

    Beside it stand the hyperparameters that levels set. A side that is the difference of two levels makes no row.
    """
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for whose, each in sources.items():
        for measured, contrast in each:
            statistic = measured.part.statistic
            about = {
                "task": task.name, "higher_is_better": contrast.higher_is_better,
                "metric": task.metric if statistic in ("test", "train", "retrained best") else statistic,
                "units": task.unit if contrast.unit is None else contrast.unit,
            }  # fmt: skip
            for position, side in enumerate(("first", "second")):
                (name, rate), *others = _levels(measured, contrast, side)
                for seed, *values in () if others else contrast.pairs:
                    row = {"trials": whose, "level": name, "seed": seed, "score": values[position], **about}
                    found[whose, name, seed] = row | ({} if rate is None else {"learning_rate": rate})
    if isinstance(pool, LevelPool):
        _add_settings(pool, task, list(found.values()))
    return list(found.values())


def _levels(measured: Measured, contrast: Contrast, side: str) -> Sequence[tuple[str, float | None]]:
    """What a side came to; what it names, in designs that choose no rate."""
    term = measured.part.first if side == "first" else measured.part.second
    return contrast.levels.get(side) or [(name, None) for name in levels_of(term, measured.task)]


def _add_settings(pool: LevelPool, task: TaskSpec, rows: Sequence[dict[str, Any]]) -> None:
    """The hyperparameters that any level sets, with the value that each has."""
    settings = {name: settings_of(pool, task, pool.levels[name]) for name in {row["level"]: None for row in rows}}
    names = {name: None for each in settings.values() for name in each if name != "learning_rate"}
    for row in rows:
        level = pool.levels[row["level"]]
        config = {} if level.baseline else complete_config(level.model or pool.model, settings[row["level"]])
        row.update({name: config.get(name) for name in names})
