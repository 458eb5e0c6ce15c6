"""Monthly sunspot numbers, 1749 to 2009."""

from __future__ import annotations

import re

import numpy as np

from ncps_mlx._utils.optional import package_file
from ncps_mlx._utils.validation import check_int
from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._task import Task

__all__ = ["split_sunspots", "sunspots"]

MONTHS_IN, MONTHS_AHEAD = 132, 12


def sunspots(months_per_step: int = 3) -> Task:
    """Monthly sunspot numbers, 1749 to 2009: from 132 months (one solar cycle) predict the next 12.

    The series is learned on a square-root scale, standardised over the years before 1930; scores are in
    sunspot numbers. The months are folded into T = 132 / ``months_per_step`` steps of D = ``months_per_step``
    features: the same information and the same targets in fewer steps. Split by the time of the targets:
    before 1930, 1930 to 1969, from 1970 (463 windows); a window's targets never straddle a border, its inputs
    may reach back. The series has no gaps: ``time_delta`` is ``None``, every step lasts ``months_per_step``
    months.

    Args:
        months_per_step: Months folded into a step; divides 132. 3 gives T = 44, D = 3.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse); baselines: persistence (the last month stays), seasonal
        naive (the same month one cycle of 132 months earlier), ridge on the 132 months.

    Raises:
        ValueError: ``months_per_step`` does not divide 132.
        ImportError: statsmodels is not installed.

    Source: SIDC, monthly mean sunspot numbers, as shipped by statsmodels.

    Example:
        >>> from ncps_mlx.data import sunspots
        >>> sunspots()
        Task('sunspots', regression, rmse in sunspot number, T=44, D=3, O=12, 2029/469/463 sequences)
    """
    if MONTHS_IN % check_int("months_per_step", months_per_step):
        raise ValueError(f"months_per_step must divide {MONTHS_IN}, got {months_per_step}.")
    task = split_sunspots(months_per_step, 1930, 1970)
    return task.with_source("ncps_mlx.data:sunspots", months_per_step=months_per_step)


def split_sunspots(months_per_step: int, validation: float, test: float, end: float = 3000) -> Task:
    """Split the windows by the years in which validation and test begin, and test ends."""
    text = package_file(
        "statsmodels", "datasets", "sunspots", "src", "sunspots_monthly.dat", purpose="sunspots"
    ).read_text()
    years = re.findall(r"^\s*(\d{4})((?:\s+\d+\.\d+)+)\s*$", text, flags=re.MULTILINE)
    root = np.sqrt(np.array([float(value) for _, values in years for value in values.split()]))
    first_year = int(years[0][0])
    border, border_test, after = (round((year - first_year) * 12) for year in (validation, test, end))
    inverse = Standardizer(mean=float(root[:border].mean()), deviation=float(root[:border].std()), square=True)
    windows = np.lib.stride_tricks.sliding_window_view(
        (root - inverse.mean) / inverse.deviation, MONTHS_IN + MONTHS_AHEAD
    )
    first = np.arange(len(windows)) + MONTHS_IN  # month of a window's first target
    last = first + MONTHS_AHEAD - 1
    parts = [last < border, (first >= border) & (last < border_test), (first >= border_test) & (last < after)]
    splits = [
        Split(
            x=windows[part, :MONTHS_IN].reshape(-1, MONTHS_IN // months_per_step, months_per_step),
            y=windows[part, MONTHS_IN:],
        )
        for part in parts
    ]
    return Task("sunspots", *splits, inverse=inverse, units="sunspot number", baselines=_sunspots_baselines)


def _months(split: Split) -> Array:
    return split.x.reshape(len(split), MONTHS_IN)


def _sunspots_baselines(task: Task) -> dict[str, float]:
    months = _months(task.test)
    return {
        "persistence": task.score(np.repeat(months[:, -1:], MONTHS_AHEAD, axis=1)),
        "seasonal naive": task.score(months[:, :MONTHS_AHEAD]),
        "ridge": baselines.ridge(task, _months),
    }
