"""The time steps of a split as each member of a population reads them: one array for each scale in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.validation import check_choice
from ncps_mlx.data._task import Task
from ncps_mlx.data._time_scaler import KINDS, TimeScaler

__all__ = ["MemberTimeSteps", "check_time_scaling"]


class MemberTimeSteps:
    """The time steps of sequences (n, T) in each member's scale; a scaler of ``None`` leaves them raw.

    ``time_delta`` is ``None`` for a split without time steps, and so is then what the methods return.
    """

    def __init__(self, time_delta: npt.NDArray[Any] | None, scalers: Sequence[TimeScaler | None]) -> None:
        used = {"raw" if each is None else each.kind: each for each in scalers}
        kinds = list(used)
        # Which of the scales in use each member has (N,).
        self.scale_index = np.array([kinds.index("raw" if each is None else each.kind) for each in scalers])
        self.scaled: mx.array | None = None  # (scales in use, n, T)
        if time_delta is not None:
            arrays = [time_delta if each is None else each.transform(time_delta) for each in used.values()]
            self.scaled = mx.stack([mx.array(array) for array in arrays])

    def of_batch(self, rows: mx.array, members: slice) -> mx.array | None:
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
        taken = MemberTimeSteps(None, [])
        taken.scaled, taken.scale_index = self.scaled, self.scale_index[list(members)]
        return taken


def check_time_scaling(kind: Any, task: Task) -> TimeScaler | None:
    """The scaler of a kind, fitted on a task's training split, or ``None`` for ``"raw"``; refuses what it cannot be."""
    if check_choice("time_scaling", kind, KINDS) == "raw":
        return None
    if task.train.time_delta is None:
        raise ValueError(
            f"time_scaling must be 'raw' for {task.name!r}, a task without time_delta, got {kind!r}."
        )
    return task.time_scaler(kind)
