"""Blood glucose of one person, read at irregular times."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import numpy as np

from ncps_mlx._utils.optional import package_file
from ncps_mlx._utils.validation import MOST, check_int
from ncps_mlx.data import baselines
from ncps_mlx.data._next_reading import irregular_rows, next_reading
from ncps_mlx.data._split import Array
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._task import Task

__all__ = ["glucose", "split_glucose"]

SHORTEST_GAP, LONGEST_GAP, SNAP = 5.0, 240.0, 5.0  # minutes
SPLIT_DAYS = ((0, 120), (120, 156), (156, 10_000))


def glucose(
    n_train: int = 8000,
    n_validation: int = 2000,
    n_test: int = 2000,
    *,
    readings: int = 16,
    seed: int = 0,
) -> Task:
    """Blood glucose of one person, read at irregular times: from 16 readings predict the next, given its gap.

    A sensor reported every 5 minutes for 200 days. A sequence starts at a random reading; each next one lies
    a log-uniform 5 to 240 minutes on, at the nearest real reading. Sequences over a hole in the record (no
    reading within 5 minutes of the drawn time) are drawn again. ``time_delta[:, i]`` is the gap from reading
    i to reading i + 1, in minutes, the last one leading to the target: scale it (``fit(time_scaling="log")``) or
    the time gates saturate. Split by day: before 120, 120 to 155, from 156; sequences lie wholly inside.

    Args:
        n_train: Training sequences.
        n_validation: Validation sequences.
        n_test: Test sequences.
        readings: Readings seen, T, at most 64.
        seed: Each split draws from a stream of its own, so sizes do not change one another.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse in mg/dl), x and y standardised by the readings of the
        training days; baselines: train mean, last value, exponential decay from the last value to the mean
        (its time constant fitted on training), ridge on readings and log gaps.

    Raises:
        ValueError: A size is below 1, or ``readings`` is above 64.
        ImportError: bokeh-sampledata is not installed.

    Source: the glucose set of bokeh-sampledata, public domain.

    Example:
        >>> from ncps_mlx.data import glucose
        >>> glucose(50, 20, 20)
        Task('glucose', regression, rmse in mg/dl, T=16, D=1, O=1, 50/20/20 sequences)
    """
    sizes = (
        check_int("n_train", n_train, maximum=MOST),
        check_int("n_validation", n_validation, maximum=MOST),
        check_int("n_test", n_test, maximum=MOST),
    )
    if check_int("readings", readings) > 64:
        raise ValueError(f"readings must be at most 64 (hardly any stretch has no hole), got {readings}.")
    check_int("seed", seed, minimum=0)
    return split_glucose(sizes, SPLIT_DAYS, readings, seed).with_source(
        "ncps_mlx.data:glucose",
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        readings=readings,
        seed=seed,
    )


def split_glucose(
    sizes: Sequence[int], days: Sequence[tuple[float, float]], readings: int, seed: int, *, in_order: bool = False
) -> Task:
    """Draw as many sequences as ``sizes`` says from the days of each split; ``in_order`` of time, if that matters."""
    minutes, values = _glucose_series()
    day = minutes // (24 * 60)
    training = values[day < days[0][1]]
    inverse = Standardizer(mean=float(training.mean()), deviation=float(training.std()))
    splits = []
    for part, (n, (first, end)) in enumerate(zip(sizes, days, strict=True)):
        inside = (day >= first) & (day < end)
        rng = np.random.default_rng([seed, part])
        rows = irregular_rows(
            minutes[inside], n, readings, rng, shortest=SHORTEST_GAP, longest=LONGEST_GAP, snap=SNAP
        )
        if in_order:
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
        splits.append(next_reading((values[inside][rows] - inverse.mean) / inverse.deviation, minutes[inside][rows]))
    return Task("glucose", *splits, inverse=inverse, units="mg/dl", time_unit="min", baselines=_glucose_baselines)


def _glucose_series() -> tuple[Array, Array]:
    """Minutes since the first midnight and glucose in mg/dl, sorted, the last of equal times kept."""
    packed = package_file("bokeh_sampledata", "_data", "CGM.csv.gz", purpose="glucose").read_bytes()
    rows = [line.split(",") for line in gzip.decompress(packed).decode().splitlines()[1:]]
    seconds = np.array([row[1] for row in rows], dtype="datetime64[s]").astype(np.int64)
    values = np.array([row[2] for row in rows], dtype=np.float64)
    order = np.argsort(seconds, kind="stable")
    order = order[np.append(np.diff(seconds[order]) > 0, True)]
    midnight = seconds[order[0]] // 86400 * 86400
    return (seconds[order] - midnight) / 60, values[order]


def _glucose_baselines(task: Task) -> dict[str, float]:
    return {
        "train mean": baselines.train_mean(task),
        "last value": baselines.last_value(task),
        "exponential decay": baselines.exponential_decay(task),
        "ridge": baselines.ridge(task),
    }
