"""Windows of a table's readings as the sequences of a split, and a model's word on them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from ncps_mlx.data._encoder import elapsed
from ncps_mlx.data._readings import Readings
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._windows import Windows, every_reading, one_target

if TYPE_CHECKING:
    from ncps_mlx.data._table import FittedTable, Table

__all__ = ["as_split", "call_model", "cut"]


def cut(table: Table, starts: Array, lengths: Array, steps: int, stride: int | None, least: int) -> Windows:
    """Cut stretches of readings into windows of ``steps`` readings at most; by default each target is used once."""
    if table.horizon is None:
        return every_reading(starts, lengths, steps, stride or steps, least)
    return one_target(starts, lengths, steps, stride or 1, least, table.horizon)


def as_split(
    table: FittedTable, windows: Windows, x: Array, gaps: Array, y: Array, readings: Readings, *, with_mask: bool
) -> Split:
    """The sequences of windows, padded with 0; ``x``, ``gaps`` and ``y`` are those of all readings."""
    settings = table.settings
    rows, there = windows.rows(table.steps)
    time_delta = None
    if settings.time is not None:
        time_delta = gaps[rows]
        if settings.horizon:  # until the next reading, the last one's until the target
            time_delta[:, :-1] = time_delta[:, 1:]
            last = windows.length - 1
            ahead = elapsed(readings.times[windows.target], readings.times[windows.start + last], settings.unit)
            time_delta[np.arange(len(windows)), last] = ahead
        time_delta = np.where(there, time_delta, 0.0).astype(np.float32)
    inputs = x[rows]
    inputs[~there] = 0.0
    if settings.horizon is None:
        targets = y[rows]
        targets[~there] = 0
    else:
        targets = y[windows.target]
    classes = y.dtype.kind == "i"
    return Split(
        x=inputs,
        y=targets[..., 0] if classes else targets,
        time_delta=time_delta,
        mask=there if with_mask else None,
        classes=table.classes if classes else None,
        group=None if settings.group is None else readings.labels[readings.groups[windows.start]],
    )


def call_model(model: Any, split: Split) -> Array:
    """What a model puts out for sequences, without dropout."""
    if not callable(model) or isinstance(model, type):
        got = f"the class {model.__name__}: build one" if isinstance(model, type) else type(model).__name__
        raise ValueError(f"model must be callable, got {got}.")
    arrays = {"time_delta": split.time_delta, "mask": split.mask}
    given = {name: mx.array(array) for name, array in arrays.items() if array is not None}
    try:
        inspect.signature(model).bind(split.x, **given)
    except TypeError as error:
        rule = ", ".join(["x", *(f"{name}=..." for name in given)])
        raise ValueError(f"model must be called as model({rule}), got {model!r:.60}: {error}.") from error
    except ValueError:  # written in C
        pass
    training = getattr(model, "training", False)
    if training:
        model.eval()
    try:
        outputs = model(mx.array(split.x), **given)
    finally:
        if training:
            model.train()
    return np.array(outputs[0] if isinstance(outputs, tuple) else outputs, dtype=np.float64)
