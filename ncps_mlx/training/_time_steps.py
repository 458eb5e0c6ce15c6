"""The time steps of a split as each member of a population reads them: one array for each scale in use."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx.data._split import Split
from ncps_mlx.data._task import Task
from ncps_mlx.data._time_steps import add_time_over_holes
from ncps_mlx.models._own import time_scaler_of

__all__ = ["MemberTimeSteps", "check_time_scaling"]


class MemberTimeSteps:
    """The time steps (n, T) of a split in each member's scale; a scaler of ``None`` leaves them as they are.

    What a member's scaler has scaled already is not scaled again; what another one has is refused. For a split without
    time steps the methods return ``None``, or where its mask has holes, over which time passes, steps of 1.
    """

    def __init__(self, split: Split, scalers: Sequence[TimeScaler | None]) -> None:
        used: list[TimeScaler | None] = []
        for scaler in scalers:
            check_reads(scaler, split)
            if scaler not in used:
                used.append(scaler)
        # Which of the scales in use each member has (N,).
        self.scale_index = np.array([used.index(each) for each in scalers])
        self.scaled: mx.array | None = None  # (scales in use, n, T)
        time_delta = steps_of_holes(split) if split.time_delta is None else split.time_delta
        if time_delta is not None:
            arrays = [
                time_delta if each is None or each == split.scaled_by else each.transform(time_delta) for each in used
            ]
            self.scaled = mx.stack([mx.array(array) for array in arrays])

    def of_batch(self, rows: mx.array, members: slice | list[int]) -> mx.array | None:
        """The time steps (N, B, T) of each member's own sequences (N, B)."""
        if self.scaled is None:
            return None
        if len(self.scaled) == 1:
            return self.scaled[0][rows]
        return self.scaled[mx.array(self.scale_index[members])[:, None], rows]

    def of_chunk(self, rows: slice, members: slice) -> mx.array | None:
        """The time steps (N, b, T) of the same sequences for each member."""
        if self.scaled is None:
            return None
        scale_index = self.scale_index[members]
        part = self.scaled[:, rows]
        if len(part) == 1:
            return mx.broadcast_to(part, (len(scale_index), *part.shape[1:]))
        return part[mx.array(scale_index)]

    def take(self, members: Sequence[int]) -> MemberTimeSteps:
        """The time steps of these members alone."""
        taken = copy.copy(self)
        taken.scale_index = self.scale_index[list(members)]
        return taken


def check_reads(scaler: TimeScaler | None, split: Split) -> None:
    """Refuse a split whose time a model with this scaler cannot read: none at all, or on another scale."""
    if scaler is None or scaler == split.scaled_by:
        return
    if split.time_delta is None:
        raise ValueError(
            f"time_delta must be given to a model that has learnt to read it by {scaler}, got None. Where every step "
            "lasts 1, give ones; to train such a model without time, set its time_scaler to None."
        )
    if split.scaled_by is not None:
        raise ValueError(
            f"time_delta must be raw for a model that has learnt to read it by {scaler}, got what {split.scaled_by} "
            "gave. Take the task from before scaled_time; to train on its scale, set the model's time_scaler to None."
        )


def steps_of_holes(split: Split) -> npt.NDArray[Any] | None:
    """Steps that each last 1, with those over holes given to the next reading; ``None`` if there are no holes."""
    if split.mask is None:
        return None
    ones = np.ones(split.mask.shape, dtype=np.float32)
    steps = add_time_over_holes(ones, split.mask)
    return None if steps is ones else steps.astype(np.float32)


def check_time_scaling(kind: str | None, model: nn.Module, task: Task) -> TimeScaler | None:
    """The scaler by which a model reads a task's time from now on; refuses a kind that cannot be.

    ``None`` takes the model's own, or for a model without one what the task is scaled by; ``"raw"`` the latter. Other
    kinds are fitted on the task's training split.
    """
    own = time_scaler_of(model)
    if kind is None and own is not None:
        return own
    if kind is None or kind == "raw":
        return task.train.scaled_by
    if task.train.time_delta is None or task.train.scaled_by is not None:
        what = f"whose time {task.train.scaled_by} has scaled" if task.train.scaled_by else "without time_delta"
        raise ValueError(f"time_scaling must be 'raw' for {task.name!r}, a task {what}, got {kind!r}.")
    return task.time_scaler(kind)
