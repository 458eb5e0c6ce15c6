"""Tasks whose test split is one of many futures: a solar cycle, a stretch of days, and all that came before it.

One split by time has one future, and what is measured there holds of that one. An estimate that is compared with what
came is therefore made anew before each of several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from ncps_mlx.data._glucose import split_glucose
from ncps_mlx.data._sunspots import split_sunspots
from ncps_mlx.data._task import Task

__all__ = ["ERAS", "era_task"]

PAST_TRAINED = 0.75  # of the past; folds join both parts again


def sunspot_era(begin: float, end: float, _: int, *, months_per_step: int) -> Task:
    """Sunspots up to the year ``begin``, and from then to ``end``."""
    first = 1749
    return split_sunspots(months_per_step, first + PAST_TRAINED * (begin - first), begin, end)


def glucose_era(
    begin: float, end: float, seed: int, *, n_train: int, n_validation: int, n_test: int, readings: int
) -> Task:
    """Glucose up to the day ``begin``, and from then to ``end``: sequences in the order in which they begin."""
    border = PAST_TRAINED * begin
    days, past = ((0, border), (border, begin), (begin, end)), n_train + n_validation
    trained = round(PAST_TRAINED * past)
    return split_glucose((trained, past - trained, n_test), days, readings, seed, in_order=True)


ERAS: Mapping[str, Callable[..., Task]] = {"sunspots": sunspot_era, "glucose": glucose_era}
"""By task: a function of the time at which the future begins and ends, a seed, and the arguments in tasks.toml."""


@lru_cache(maxsize=4)
def era_task(name: str, begin: float, end: float, seed: int, arguments: tuple[tuple[str, int], ...]) -> Task:
    """The task of an era, whose sequences are in order of time."""
    return ERAS[name](begin, end, seed, **dict(arguments))
