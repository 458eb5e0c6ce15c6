"""Tasks made as evidence draws and changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._evidence.pool import DRAW, PERIOD, Level, LevelPool, TaskSpec
from ncps_mlx.data._labels import UNLABELLED
from ncps_mlx.data._loading import load_task
from ncps_mlx.data._split import Split, last_valid_step
from ncps_mlx.data._task import Task
from ncps_mlx.training._hyperparameters import build_model, complete_config, model_sizes

__all__ = ["FORMS", "arguments_of", "data_seed", "make_task", "settings_of"]


def in_unit(task: Task, factor: float) -> Task:
    """Give time steps as the multiple ``factor`` of their ratio to the mean training step, as raw time."""
    mean = 1 / float(task.time_scaler("normalized").transform([1.0])[0])
    return _with_steps(task, lambda steps: factor * steps / mean)


def in_periods(task: Task, period: float, factor: float) -> Task:
    """Give time steps as the multiple ``factor`` of their ratio to a period of the data, as raw time."""
    return _with_steps(task, lambda steps: factor * steps / period)


def z_scored(task: Task) -> Task:
    """Give time steps less their mean, over their deviation, as some do: many are negative."""
    train = np.asarray(task.train.time_delta)
    valid = train if task.train.mask is None else train[task.train.mask]
    return _with_steps(task, lambda steps: (steps - valid.mean()) / valid.std(), allow_unsafe_time=True)


def with_gaps_until_next(task: Task, last: float) -> Task:
    """Give each reading the time step of the one after it, and the last one ``last``: how long each of them holds."""

    def change(split: Split) -> npt.NDArray[Any]:
        steps = np.roll(np.asarray(split.time_delta), -1, axis=1)
        steps[np.arange(len(split)), last_valid_step(split.mask, *steps.shape)] = last
        return steps

    return task._with(
        **{name: replace(split, time_delta=change(split)) for name, split in task.splits.items()}, parent=task
    )


def with_silent_gaps(task: Task, reading_time: float) -> Task:
    """Give each reading two steps, one to be read and one of silence until the next; a last feature tells which.

    The unit of time is the mean gap. Where all steps last alike there is nothing to tell, and the task stays as it is.
    """
    if task.train.time_delta is None:
        return task
    task = in_unit(task, 1.0)
    return task._with(
        **{name: _with_silence(split, reading_time) for name, split in task.splits.items()}, parent=task
    )


def _with_silence(split: Split, reading_time: float) -> Split:
    n, steps, features = split.x.shape
    x = np.zeros((n, 2 * steps, features + 1), dtype=split.x.dtype)
    x[:, ::2, :features], x[:, ::2, features] = split.x, 1
    gaps = np.full((n, 2 * steps), reading_time)
    gaps[:, 1::2] = split.time_delta
    changes: dict[str, Any] = {"x": x, "time_delta": gaps}
    if split.mask is not None:
        changes["mask"] = np.repeat(split.mask, 2, axis=1)
    if split.every_step:  # a target is to be known when the next reading is due
        unknown = UNLABELLED if split.y.dtype.kind == "i" else np.nan
        changes["y"] = np.full((n, 2 * steps, *split.y.shape[2:]), unknown, dtype=split.y.dtype)
        changes["y"][:, 1::2] = split.y
    return replace(split, **changes)


def _with_steps(task: Task, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], **more: Any) -> Task:
    splits = {
        name: replace(split, time_delta=change(np.asarray(split.time_delta))) for name, split in task.splits.items()
    }
    return task._with(**splits, **more, time_unit="", parent=task)


FORMS: dict[str, Callable[..., Task]] = {
    "take": Task.take,
    "without_time": Task.without_time,
    "with_gap_as_input": Task.with_gap_as_input,
    "in_unit": in_unit,
    "in_periods": in_periods,
    "z_scored": z_scored,
    "with_gaps_until_next": with_gaps_until_next,
    "with_silent_gaps": with_silent_gaps,
}
"""What a level may do to a task."""


def data_seed(task: TaskSpec, level: Level, seed: int) -> int | None:
    """The seed that draws a member's data: the member's own; ``None`` if nothing is drawn."""
    return seed if task.draw or level.draws else None


def arguments_of(task: TaskSpec, level: Level) -> dict[str, Any]:
    """What a level's data are made with, but for the data seed."""
    return {**task.arguments, **level.task.get(task.name, {})}


def make_task(task: TaskSpec, level: Level, seed: int | None) -> Task:
    """The data that a level is trained on, drawn with this seed."""
    words = {DRAW: seed, PERIOD: task.period}
    forms = tuple(
        tuple(words.get(part, part) if isinstance(part, str) else part for part in form) for form in level.forms
    )
    arguments = arguments_of(task, level) | ({task.draw: seed} if task.draw else {})
    made = _make(task.factory, tuple(sorted(arguments.items())), forms)
    if made.metric != task.metric:
        raise ValueError(f"metric must be {made.metric!r} for {task.name} in tasks.toml, got {task.metric!r}.")
    return made


@lru_cache(maxsize=128)
def _make(factory: str, arguments: tuple[tuple[str, Any], ...], forms: tuple[tuple[Any, ...], ...]) -> Task:
    if forms:
        name, *values = forms[-1]
        if name not in FORMS:
            raise ValueError(f"forms must be {', '.join(FORMS)}, got {name!r}.")
        return FORMS[name](_make(factory, arguments, forms[:-1]), *values)
    return load_task(factory, **dict(arguments))


def settings_of(pool: LevelPool, task: TaskSpec, level: Level) -> dict[str, Any]:
    """The hyperparameters of a level on a task but for rate and steps, with the hidden size that was solved for."""
    settings = {**pool.fixed, **task.settings, **level.settings}
    if "wiring" in level.settings:
        settings.pop("hidden_size", None)  # it has neurons of its own
    if level.parameters_of:
        settings["hidden_size"] = _equal_hidden_size(pool, task, level)
    return settings


_solved: dict[str, int] = {}


def _equal_hidden_size(pool: LevelPool, task: TaskSpec, level: Level) -> int:
    """The hidden size with which a level's number of parameters is nearest to that of the level it is to equal."""
    other = pool.levels[level.parameters_of]
    key = repr((pool.model, pool.fixed, task, level, other))
    if key not in _solved:
        wanted, low, high = _count(pool, task, other), 1, 2
        while _count(pool, task, level, high) < wanted:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _count(pool, task, level, middle) <= wanted else (low, middle)
        _solved[key] = min(low, high, key=lambda size: abs(_count(pool, task, level, size) - wanted))
    return _solved[key]


def _count(pool: LevelPool, task: TaskSpec, level: Level, hidden_size: int | None = None) -> int:
    """The parameters of a level, with its own hidden size or another."""
    settings = settings_of(pool, task, replace(level, parameters_of=""))
    if hidden_size is not None:
        settings["hidden_size"] = hidden_size
    model = level.model or pool.model
    config = complete_config(model, settings)
    made = make_task(task, level, 0 if task.draw or level.draws else None)
    built: Any = build_model(model, config, model_sizes(made, config), seed=0)
    return int(built.parameter_count)
