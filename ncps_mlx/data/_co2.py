"""Carbon dioxide in the air of Mauna Loa, read at irregular times."""

from __future__ import annotations

import numpy as np

from ncps_mlx._utils.optional import package_file
from ncps_mlx._utils.validation import MOST, check_int
from ncps_mlx.data._next_reading import irregular_rows, next_reading, next_reading_baselines
from ncps_mlx.data._split import Array
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._task import Task

__all__ = ["co2"]

SHORTEST_GAP, LONGEST_GAP, SNAP = 7.0, 365.0, 3.5  # days
SPLIT_YEARS = ((1900, 1985), (1985, 1992), (1992, 2100))
MOST_READINGS = 24


def co2(
    n_train: int = 4000,
    n_validation: int = 1000,
    n_test: int = 1000,
    *,
    readings: int = 8,
    seed: int = 0,
) -> Task:
    """Carbon dioxide at Mauna Loa, read at irregular times: from 8 readings predict the change to the next.

    Weekly means from 1958 to 2001, without the weeks that lack one. A sequence starts at a random reading; each next
    one lies a log-uniform 7 to 365 days on, at the nearest real reading. Sequences over a hole in the record (no
    reading within 3.5 days of the drawn time) are drawn again. The level, which rises all the time, is removed: a
    reading is given as its difference from the last one seen, and so is the next. The season is left, and no reading
    says which it is: a model has to find it from the readings and the gaps between them. ``time_delta[:, i]`` is the
    gap from reading i to reading i + 1, in days, the last one leading to the target: scale it
    (``fit(time_scaling="log")``). Split by year: before 1985, 1985 to 1991, from 1992; sequences lie wholly inside.

    Args:
        n_train: Training sequences.
        n_validation: Validation sequences.
        n_test: Test sequences.
        readings: Readings seen, T, at most 24.
        seed: Each split draws from a stream of its own, so sizes do not change one another.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse in ppm), x and y divided by the deviation of the training years'
        readings from their straight line; baselines: train mean, last value (no change), ridge and boosted trees on
        readings and log gaps.

    Raises:
        ValueError: A size is below 1, or ``readings`` is above 24.
        ImportError: statsmodels is not installed.

    Source: Keeling and Whorf (2004), CDIAC, public domain, as shipped by statsmodels.

    Example:
        >>> from ncps_mlx.data import co2
        >>> co2(50, 20, 20)
        Task('CO2', regression, rmse in ppm, T=8, D=1, O=1, 50/20/20 sequences)
    """
    sizes = (
        check_int("n_train", n_train, maximum=MOST),
        check_int("n_validation", n_validation, maximum=MOST),
        check_int("n_test", n_test, maximum=MOST),
    )
    if check_int("readings", readings) > MOST_READINGS:
        raise ValueError(f"readings must be at most {MOST_READINGS} (seven years validate), got {readings}.")
    check_int("seed", seed, minimum=0)
    days, values = _co2_series()
    years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    training = years < SPLIT_YEARS[0][1]
    line = np.polynomial.Polynomial.fit(days[training], values[training], 1)
    inverse = Standardizer(mean=0.0, deviation=float((values[training] - line(days[training])).std()))
    splits = []
    for part, (n, (first, end)) in enumerate(zip(sizes, SPLIT_YEARS, strict=True)):
        inside = (years >= first) & (years < end)
        rng = np.random.default_rng([seed, part])
        rows = irregular_rows(days[inside], n, readings, rng, shortest=SHORTEST_GAP, longest=LONGEST_GAP, snap=SNAP)
        change = values[inside][rows] - values[inside][rows[:, -2:-1]]
        splits.append(next_reading(change / inverse.deviation, days[inside][rows]))
    return Task(
        "CO2", *splits, inverse=inverse, units="ppm", time_unit="days", baselines=next_reading_baselines
    ).with_source(
        "ncps_mlx.data:co2",
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        readings=readings,
        seed=seed,
    )


def _co2_series() -> tuple[Array, Array]:
    """Days since 1970 and parts per million, of the weeks that have a mean."""
    text = package_file("statsmodels", "datasets", "co2", "co2.csv", purpose="co2").read_text()
    weeks = [line.split(",") for line in text.split()[1:]]
    known = [(f"{day[:4]}-{day[4:6]}-{day[6:]}", value) for day, value in weeks if value]
    days = np.array([day for day, _ in known], dtype="datetime64[D]").astype(np.int64)
    return days.astype(np.float64), np.array([float(value) for _, value in known])
