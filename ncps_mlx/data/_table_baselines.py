"""What memory has to beat on a table's task."""

from __future__ import annotations

import numpy as np

from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split, last_valid_step
from ncps_mlx.data._task import Task

__all__ = ["table_baselines"]


def table_baselines(task: Task) -> dict[str, float]:
    """The commonest class; or the training mean, and least squares on one reading."""
    if task.kind == "classification":
        return {"majority": baselines.majority(task)}
    x, y = _one_reading(task.train), task.train.y
    known = np.isfinite(y).all(axis=-1)
    if y.ndim == 3 and task.train.mask is not None:
        known &= task.train.mask
    weights = np.linalg.lstsq(x[known], y[known].astype(np.float64))[0]
    return {
        "train mean": task.score(np.zeros_like(task.test.y)),
        "least squares on one reading": task.score(_one_reading(task.test) @ weights),
    }


def _one_reading(split: Split) -> Array:
    """The inputs at each target, and 1: (n, T, F + 1), or (n, F + 1) of the last reading."""
    x = np.insert(split.x.astype(np.float64), 0, 1.0, axis=2)
    if split.y.ndim == 3:
        return x
    return np.asarray(x[np.arange(len(split)), last_valid_step(split.mask, *x.shape[:2])])
