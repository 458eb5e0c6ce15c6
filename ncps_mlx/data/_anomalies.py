"""Anomaly detection by forecasting: a pulse series with injected anomalies, and the scores of detectors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import real_array
from ncps_mlx._utils.optional import package_file
from ncps_mlx._utils.validation import check_int
from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._task import Task

__all__ = ["detection_baselines", "detection_scores", "inject", "injected_anomalies"]

FILE = "135_UCR_Anomaly_InternalBleeding16_{}.csv"
HISTORY, AHEAD = 192, 16  # points; a beat lasts about 183
TRAIN_POINTS = 960  # of the 1200 before the test series; the rest validates
INJECTED, WIDTH, TAPER, STRETCH = 12, 90, 15, 1.6
CLEAR = 150  # points kept free around the real anomaly


def injected_anomalies(points_per_step: int = 8, *, seed: int = 0) -> Task:
    """A blood-pressure pulse with twelve injected anomalies: forecast it, and watch where the forecast fails.

    From 192 points (a little more than one beat) predict the value 16 points after the last. (The very next
    point of so smooth a series follows from the two before it, inside an anomaly as well as outside.) The
    points are folded into T = 192 / ``points_per_step`` steps. Training targets are the first 960 points,
    validation targets the next 240, all normal; test targets are the 6301 points that follow, with twelve
    anomalies of 90 points, away from the one real anomaly. ``labels`` marks both. An injected anomaly is a stretch
    of the series that is reversed, flattened to its mean, stretched in time 1.6 times, or halved in amplitude about
    its mean, blended in over 15 points at either end.

    Args:
        points_per_step: Points folded into a step; divides 192. 8 gives T = 24, D = 8.
        seed: Draws the positions and kinds of the injected anomalies.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse) with ``labels`` (6301,); baselines: persistence, ridge.
        Detectors are compared by :func:`detection_scores` and :func:`detection_baselines`.

    Raises:
        ValueError: ``points_per_step`` does not divide 192.
        ImportError: aeon is not installed.

    Source: series 135 of the KDD 2021 anomaly benchmark (Keogh et al.), as shipped by aeon; its test file
    begins with the whole training series, which is dropped.

    Example:
        >>> from ncps_mlx.data import injected_anomalies
        >>> task = injected_anomalies()
        >>> task
        Task('injected anomalies', regression, rmse, T=24, D=8, O=1, 753/240/6301 sequences)
        >>> int(task.labels.sum())  # 12 · 90 injected points, 12 real ones
        1092
    """
    if HISTORY % check_int("points_per_step", points_per_step):
        raise ValueError(f"points_per_step must divide {HISTORY}, got {points_per_step}.")
    check_int("seed", seed, minimum=0)
    normal, _ = _series("TRAIN")
    series, real = _series("TEST")
    series, real = series[len(normal) :], real[len(normal) :]
    changed, labels = inject(series, real, np.random.default_rng(seed))
    inverse = Standardizer(
        mean=float(normal[:TRAIN_POINTS].mean()), deviation=float(normal[:TRAIN_POINTS].std())
    )
    whole = (np.concatenate([normal, changed]) - inverse.mean) / inverse.deviation
    windows = np.lib.stride_tricks.sliding_window_view(whole, HISTORY + AHEAD)
    target = np.arange(len(windows)) + HISTORY + AHEAD - 1
    borders = (0, TRAIN_POINTS, len(normal), len(whole))
    splits = [
        Split(
            x=windows[rows, :HISTORY].reshape(-1, HISTORY // points_per_step, points_per_step),
            y=windows[rows, -1:],
        )
        for rows in ((target >= a) & (target < b) for a, b in pairwise(borders))
    ]
    task = Task("injected anomalies", *splits, inverse=inverse, labels=labels | real, baselines=_forecasts)
    return task.with_source("ncps_mlx.data:injected_anomalies", points_per_step=points_per_step, seed=seed)


def inject(series: Array, avoid: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a series (n,) with twelve anomalies of 90 points, of four kinds in turn, and where they are (n,).

    None comes within 150 points of where ``avoid`` (n,) is true; each lies in another twelfth of the room left.
    """
    series, avoid = real_array("series", series), np.asarray(avoid)
    if series.ndim != 1 or avoid.shape != series.shape or avoid.dtype != np.bool_:
        raise ValueError(
            f"avoid must be booleans with the shape (n,) of series, got {avoid.dtype} {avoid.shape} "
            f"for a series of the shape {series.shape}."
        )
    near = np.convolve(avoid, np.ones(2 * CLEAR + 1), mode="same") > 0
    blocked = np.concatenate([[0], np.cumsum(near)])
    starts = np.arange(len(series) - WIDTH + 1)
    free = starts[blocked[starts + WIDTH] == blocked[starts]]
    parts = np.array_split(free, INJECTED)
    if any(len(part) <= 2 * WIDTH for part in parts):
        raise ValueError(
            f"series must have room for {INJECTED} stretches of {WIDTH} points, got {len(series)} points."
        )
    ramp = np.minimum(np.arange(1, WIDTH + 1), np.arange(WIDTH, 0, -1)) / (TAPER + 1)
    weight = np.minimum(ramp, 1.0)
    changed, where = series.astype(np.float64), np.zeros(len(series), dtype=bool)
    for part, kind in zip(parts, rng.permutation(np.arange(INJECTED) % 4), strict=True):
        start = int(rng.choice(part[:-WIDTH]))  # the part's last starts would reach into the next part
        stretch = slice(start, start + WIDTH)
        changed[stretch] += weight * (_alter(changed[stretch], int(kind)) - changed[stretch])
        where[stretch] = True
    return changed, where


def _alter(values: Array, kind: int) -> Array:
    if kind == 0:
        return values[::-1]
    if kind == 1:
        return np.full_like(values, values.mean())
    if kind == 2:
        steps = np.arange(len(values))
        return np.interp(steps / STRETCH, steps, values)
    return np.asarray(values.mean() + 0.5 * (values - values.mean()))


def detection_scores(task: Task, residuals: npt.ArrayLike) -> dict[str, float]:
    """Score a detector that calls the largest residuals anomalies.

    Args:
        task: A task with ``labels``.
        residuals: (n_test,) or (n_test, 1), forecast minus target, or any score that is high where something
            is wrong; only sizes count, not signs.

    Returns:
        ``auroc``: the chance that an anomalous point has a larger residual than a normal one (ties count
        half); ``average_precision``: the mean precision over the anomalous points, in order of residual.

    Raises:
        ValueError: The task has no labels, or the residuals have another shape or are not finite.

    Example:
        >>> from ncps_mlx.data import detection_scores, injected_anomalies
        >>> task = injected_anomalies()
        >>> detection_scores(task, task.labels.astype(float))
        {'auroc': 1.0, 'average_precision': 1.0}
    """
    labels = _labels(task)
    values = real_array("residuals", residuals)
    if values.shape not in (labels.shape, (*labels.shape, 1)):
        raise ValueError(f"residuals must have the shape {labels.shape}, got {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"residuals must be finite, got {int((~np.isfinite(values)).sum())} that are not.")
    _, rank = np.unique(-np.abs(values.ravel()), return_inverse=True)  # equal residuals share a rank
    anomalous = np.bincount(rank, weights=labels)
    normal = np.bincount(rank, weights=~labels)
    found, false = np.cumsum(anomalous), np.cumsum(normal)
    below = false[-1] - false + normal / 2
    precision = found / (found + false)
    return {
        "auroc": float(np.sum(anomalous * below) / (found[-1] * false[-1])),
        "average_precision": float(np.sum(anomalous * precision) / found[-1]),
    }


def _labels(task: Any) -> Array:
    """Return a task's labels, or refuse a task that has none."""
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, got {type(task).__name__}.")
    if task.labels is None:
        raise ValueError(f"task must have labels, got none in {task.name!r}.")
    return task.labels


def detection_baselines(task: Task) -> dict[str, dict[str, float]]:
    """Return :func:`detection_scores` of classical detectors on a task of :func:`injected_anomalies`.

    - ``second difference``: the size of the second difference of the series;
    - ``ridge``: the residual of ridge regression, the classical form of the task itself;
    - ``nearest window``: the distance of the 91 points around a point (half a beat) to the nearest training
      window. It sees 45 points of the future, as no forecaster does.

    Args:
        task: A task with ``labels``.

    Raises:
        ValueError: The task has no labels.

    Example:
        >>> from ncps_mlx.data import detection_baselines, injected_anomalies
        >>> sorted(detection_baselines(injected_anomalies()))
        ['nearest window', 'ridge', 'second difference']
    """
    _labels(task)
    if task.steps * task.input_size != HISTORY:
        raise ValueError(f"task must be one of injected_anomalies, got {task.name!r}.")
    series = task.test.y[:, 0].astype(np.float64)
    curvature = np.pad(np.abs(np.diff(series, n=2)), 1)
    return {
        "second difference": detection_scores(task, curvature),
        "ridge": detection_scores(task, baselines.ridge_predictions(task, _points)[:, 0] - series),
        "nearest window": detection_scores(task, _window_distances(_training_series(task), series)),
    }


def _window_distances(normal: Array, series: Array, width: int = 91) -> Array:
    known = np.lib.stride_tricks.sliding_window_view(normal, width)
    tested = np.lib.stride_tricks.sliding_window_view(series, width)
    squared = (known**2).sum(axis=1) - 2 * tested @ known.T
    nearest = squared.min(axis=1) + (tested**2).sum(axis=1)
    return np.pad(np.sqrt(np.maximum(nearest, 0.0)), width // 2, mode="edge")


def _training_series(task: Task) -> Array:
    points = _points(task.train).astype(np.float64)
    return np.concatenate([points[0], points[1:, -1], task.train.y[-AHEAD:, 0]])


def _points(split: Split) -> Array:
    return split.x.reshape(len(split), HISTORY)


def _forecasts(task: Task) -> dict[str, float]:
    return {
        "persistence": task.score(_points(task.test)[:, -1:]),
        "ridge": baselines.ridge(task, _points),
    }


def _series(part: str) -> tuple[Array, Array]:
    file = package_file(
        "aeon", "datasets", "data", "KDD-TSAD_135", FILE.format(part), purpose="injected_anomalies"
    )
    rows = np.array([line.split(",") for line in file.read_text().splitlines()[1:]], dtype=np.float64)
    return rows[:, 1], rows[:, 2] > 0
