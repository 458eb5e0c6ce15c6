"""What loaders share whose sequences end in the reading to be predicted."""

from __future__ import annotations

import numpy as np

from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._task import Task

__all__ = ["deal", "irregular_rows", "next_reading", "next_reading_baselines", "windows"]


def next_reading(readings: Array, times: Array, group: Array | None = None) -> Split:
    """Sequences of all readings (n, T + 1) but the last, which is their target, with the gap to each next one."""
    return Split(x=readings[:, :-1, None], y=readings[:, -1:], time_delta=np.diff(times, axis=1), group=group)


def irregular_rows(
    times: Array, n: int, readings: int, rng: np.random.Generator, *, shortest: float, longest: float, snap: float
) -> Array:
    """Draw n sequences of readings + 1 rows (n, T + 1) of sorted ``times``, log-uniform gaps apart.

    Each row is the one nearest to the time that was drawn; sequences with none within ``snap`` of it are drawn again.
    """
    found: list[Array] = []
    while sum(map(len, found)) < n:
        count = 2 * n + 64
        gaps = shortest * (longest / shortest) ** rng.random((count, readings))
        rows = np.empty((count, readings + 1), dtype=np.int64)
        rows[:, 0] = rng.integers(0, len(times), count)
        complete = np.ones(count, dtype=bool)
        for step in range(readings):
            wanted = times[rows[:, step]] + gaps[:, step]
            after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
            before = after - 1
            nearest = np.where(wanted - times[before] < times[after] - wanted, before, after)
            rows[:, step + 1] = np.maximum(nearest, np.minimum(rows[:, step] + 1, len(times) - 1))
            complete &= np.abs(times[rows[:, step + 1]] - wanted) <= snap
            complete &= rows[:, step + 1] > rows[:, step]
        found.append(rows[complete])
    return np.concatenate(found)[:n]


def deal(subjects: Array, seed: int) -> list[Array]:
    """Deal subjects to training, validation and test: three fifths, a fifth and a fifth of them."""
    order = np.random.default_rng([seed, 3]).permutation(np.unique(subjects))
    return np.split(order, [round(0.6 * len(order)), round(0.8 * len(order))])


def windows(subjects: Array, length: int) -> Array:
    """All runs of ``length`` rows of one subject (n, length), where rows lie by subject, each's in order."""
    starts = np.flatnonzero(subjects[: len(subjects) - length + 1] == subjects[length - 1 :])
    return starts[:, None] + np.arange(length)


def next_reading_baselines(task: Task) -> dict[str, float]:
    """Scores of what does not look at time, and of what does."""
    return {
        "train mean": baselines.train_mean(task),
        "last value": baselines.last_value(task),
        "ridge": baselines.ridge(task),
        "boosted trees": baselines.boosted_trees(task),
    }
