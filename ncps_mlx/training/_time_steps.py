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

__all__ = ["Clock", "check_time_scaling"]


class Clock:
    """What sequences' time steps are to each member.

    Args:
        time_delta: Raw time steps of n sequences (n, T), or ``None``.
        scalers: One for each member; ``None`` reads them raw.

    Example:
        >>> steps = np.array([[1.0, 3.0], [0.0, 2.0], [5.0, 2.0]])
        >>> clock = Clock(steps, [None, TimeScaler("normalized").fit([2.0])])
        >>> clock.rows(mx.array([[0, 1], [2, 2]]), slice(None)).tolist()
        [[[1.0, 3.0], [0.0, 2.0]], [[2.5, 1.0], [2.5, 1.0]]]
        >>> clock.take([1]).chunk(slice(0, 2), slice(None)).tolist()
        [[[0.5, 1.5], [0.0, 1.0]]]
    """

    def __init__(self, time_delta: npt.NDArray[Any] | None, scalers: Sequence[TimeScaler | None]) -> None:
        used = {"raw" if each is None else each.kind: each for each in scalers}
        kinds = list(used)
        self.places = np.array([kinds.index("raw" if each is None else each.kind) for each in scalers])
        self.steps: mx.array | None = None  # (scales in use, n, T)
        if time_delta is not None:
            arrays = [time_delta if each is None else each.transform(time_delta) for each in used.values()]
            self.steps = mx.stack([mx.array(array) for array in arrays])

    def rows(self, rows: mx.array, members: slice) -> mx.array | None:
        """The time steps (N, B, T) of each member's own sequences (N, B)."""
        if self.steps is None:
            return None
        if len(self.steps) == 1:
            return self.steps[0][rows]
        return self.steps[mx.array(self.places[members])[:, None], rows]

    def chunk(self, rows: slice, members: slice) -> mx.array | None:
        """The time steps (N, b, T) of the same sequences for each member."""
        if self.steps is None:
            return None
        places = self.places[members]
        part = self.steps[:, rows]
        if len(part) == 1:
            return mx.broadcast_to(part, (len(places), *part.shape[1:]))
        return part[mx.array(places)]

    def take(self, members: Sequence[int]) -> Clock:
        """Return the clock of some members."""
        clock = Clock(None, [])
        clock.steps, clock.places = self.steps, self.places[list(members)]
        return clock


def check_time_scaling(kind: Any, task: Task) -> TimeScaler | None:
    """Return the scaler of a kind of time scaling, fitted on a task's training split; ``None`` for ``"raw"``.

    Raises:
        ValueError: The kind is unknown, the task has no time steps to scale, or they cannot be scaled so.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
        >>> check_time_scaling("log", task.without_time())
        Traceback (most recent call last):
        ...
        ValueError: time_scaling must be 'raw' for 'irregular sines', a task without time_delta, got 'log'.
    """
    if check_choice("time_scaling", kind, KINDS) == "raw":
        return None
    if task.train.time_delta is None:
        raise ValueError(
            f"time_scaling must be 'raw' for {task.name!r}, a task without time_delta, got {kind!r}."
        )
    return task.time_scaler(kind)
