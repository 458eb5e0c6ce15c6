"""Windows of readings: where each begins, how long it is, and which reading's target it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ncps_mlx.data._split import Array

__all__ = ["Windows", "every_reading", "one_target"]


@dataclass(frozen=True)
class Windows:
    """Sequences among rows in order of group and time."""

    start: Array  # (n,), the first reading's row
    length: Array  # (n,), readings
    target: Array  # (n,), the row of the last reading, or of the one target

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: Array | slice) -> Windows:
        return Windows(self.start[rows], self.length[rows], self.target[rows])

    def rows(self, steps: int) -> tuple[Array, Array]:
        """Return each step's row (n, T), and where there is a reading (n, T); elsewhere the last row stands."""
        step = np.arange(steps)
        last = self.length[:, None] - 1
        return self.start[:, None] + np.minimum(step, last), step <= last

    def target_rows(self, steps: int, horizon: int | None) -> Array:
        """Return the rows of all their targets, those of one window after another's."""
        if horizon is not None:
            return self.target
        rows, there = self.rows(steps)
        return np.asarray(rows[there])

    def with_target(self, known: Array, steps: int, horizon: int | None) -> Windows:
        """Leave out those without any target; ``known`` says where there is one, of all rows."""
        if horizon is not None:
            return self[known[self.target]]
        rows, there = self.rows(steps)
        return self[np.flatnonzero((known[rows] & there).any(axis=1))]


def every_reading(starts: Array, lengths: Array, window: int, stride: int, least: int) -> Windows:
    """Cut stretches of rows into windows that begin every ``stride`` rows; the last may be shorter."""
    count = 1 + np.maximum(0, -((window - lengths) // stride))
    stretch, place = _count_up(count)
    start = starts[stretch] + place * stride
    length = np.minimum(window, lengths[stretch] - place * stride)
    return Windows(start, length, start + length - 1)[length >= least]


def one_target(starts: Array, lengths: Array, window: int, stride: int, least: int, horizon: int) -> Windows:
    """Return windows of the last ``window`` rows or fewer before targets ``horizon`` rows after their last."""
    count = np.maximum(0, 1 + (lengths - horizon - least) // stride)
    stretch, place = _count_up(count)
    end = least - 1 + place * stride  # within its stretch
    length = np.minimum(window, end + 1)
    return Windows(starts[stretch] + end + 1 - length, length, starts[stretch] + end + horizon)


def _count_up(counts: Array) -> tuple[Array, Array]:
    """Return which stretch each of its windows belongs to, and its place 0, 1, ... in there."""
    stretch = np.repeat(np.arange(len(counts)), counts)
    return stretch, np.arange(len(stretch)) - np.repeat(np.cumsum(counts) - counts, counts)
