"""Student's intervals, of values and of paired differences. scipy loads at the first interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncps_mlx._utils.arrays import as_array, flat_numbers
from ncps_mlx._utils.validation import check_number

__all__ = ["Interval", "Paired", "failure_rate", "finite_numbers", "interval", "paired", "without_width"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and the Student interval around it: made by :func:`interval`, and printed as ``0.31 [0.25, 0.37]``.

    Attributes:
        mean: Arithmetic mean of the values.
        low: Lower end, in the unit of the values.
        high: Upper end, in the unit of the values.
        n: How many values went in.
        confidence: Coverage of the interval.

    Example:
        >>> from ncps_mlx.stats import Interval
        >>> print(Interval(mean=0.3128, low=0.2541, high=0.3715, n=5, confidence=0.95))
        0.31 [0.25, 0.37]
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float

    def __str__(self) -> str:
        """Write the mean and its ends, rounded to what the width of the interval supports; equal values say so."""
        digits = self.decimals
        if self.low == self.high:
            return f"{round(self.mean, digits) + 0.0:.{digits}f} {without_width(self.n)}"
        mean, low, high = (
            f"{round(value, digits) + 0.0:.{digits}f}" for value in (self.mean, self.low, self.high)
        )
        return f"{mean} [{low}, {high}]"  # the 0.0 turns -0.0 into 0.0

    @property
    def decimals(self) -> int:
        """Decimals worth printing: one significant digit of the half-width, two where it begins with 1."""
        half = (self.high - self.low) / 2
        scale = half if half > 0 and math.isfinite(half) else abs(self.mean) / 100
        if scale == 0 or not math.isfinite(scale):
            return 2
        exponent = math.floor(math.log10(scale))
        leading = scale / 10.0**exponent
        return min(max(0, -exponent + (1 if leading < 2 else 0)), 12)


@dataclass(frozen=True, kw_only=True)
class Paired(Interval):
    """The mean of paired differences a − b, its Student interval, and how often a exceeds b.

    Attributes:
        p_greater: Share of the pairs in which a > b, a tie counting half.
        wins: Number of the pairs in which a > b.

    Example:
        >>> from ncps_mlx.stats import paired
        >>> paired([3.0, 4.0, 5.0], [1.0, 5.0, 2.0]).wins
        2
    """

    p_greater: float
    wins: int


def interval(
    values: Iterable[float], confidence: float = 0.95, *, scale: tuple[float, float] | None = None
) -> Interval:
    """Mean and Student interval of independent values, for instance one score per seed.

    The half-width is ``t · s / sqrt(n)`` with s the sample standard deviation (n − 1 in its
    denominator) and t the quantile of Student's distribution with n − 1 degrees of freedom
    (Student, "The probable error of a mean", Biometrika 6, 1908). A percentile bootstrap would be
    too narrow at five seeds.

    An accuracy cannot exceed 1. With ``scale=(0, 1)`` Student's interval is taken of the mean's logit and brought
    back, so that it lies within the scale: in its middle nearly the same, towards its ends no longer symmetric. (The
    logit's standard error is that of the mean divided by p (1 − p), the delta method: Agresti, "Categorical data
    analysis", 3rd edition, 2013, section 16.1.)

    Args:
        values: At least two finite numbers.
        confidence: Coverage, above 0 and below 1 (default 0.95).
        scale: The lowest and the highest value that there can be (default: no such bounds).

    Returns:
        Interval: in the unit of the values. Without a width if all values are equal, which its text says.

    Raises:
        ValueError: fewer than two values, one that is not finite or not within the scale, a scale whose ends are not
            finite and in order, or a confidence outside (0, 1).

    Example:
        >>> from ncps_mlx.stats import interval
        >>> print(interval([0.28, 0.31, 0.33, 0.30, 0.35]))
        0.31 [0.28, 0.35]
        >>> accuracies = [0.93, 1.0, 0.99, 0.98, 0.96]
        >>> print(interval(accuracies))
        0.97 [0.94, 1.01]
        >>> print(interval(accuracies, scale=(0, 1)))
        0.97 [0.91, 0.99]
        >>> print(interval([0.5, 0.5, 0.5]))
        0.500 (all 3 equal)
    """
    confidence = check_number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
    data = finite_numbers("values", values)
    if data.size < 2:
        raise ValueError(f"values must hold at least 2 numbers, got {data.size}. Train more seeds.")
    found = _students(data, confidence, float(np.abs(data).max()))
    return found if scale is None else _within(found, data, _check_scale(scale))


def _students(data: NDArray[np.float64], confidence: float, size: float) -> Interval:
    """Student's interval; of values that differ by no more than the rounding of numbers of this size, without width."""
    from scipy.special import stdtrit

    n = int(data.size)
    if np.ptp(data) <= 8 * np.finfo(np.float64).eps * size:
        mean = float(data[0]) + 0.0  # no -0.0
        return Interval(mean=mean, low=mean, high=mean, n=n, confidence=confidence)
    mean = float(data.mean())
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * data.std(ddof=1) / math.sqrt(n))
    return Interval(mean=mean, low=mean - half, high=mean + half, n=n, confidence=confidence)


def _check_scale(scale: Any) -> tuple[float, float]:
    if not isinstance(scale, tuple | list) or len(scale) != 2:
        raise ValueError(f"scale must be a pair (lowest, highest), got {scale!r:.80}.")
    lowest = check_number("scale[0]", scale[0])
    return lowest, check_number("scale[1]", scale[1], low=lowest, open_low=True)


def _within(found: Interval, data: NDArray[np.float64], scale: tuple[float, float]) -> Interval:
    """The interval on the logit of a scale, brought back."""
    lowest, highest = scale
    outside = np.flatnonzero((data < lowest) | (data > highest))
    if outside.size:
        raise ValueError(
            f"values must lie within the scale from {lowest:g} to {highest:g}, got {data[outside[0]]} at position "
            f"{outside[0]}."
        )
    if found.low == found.high:
        return found
    from scipy.special import expit, logit

    span = highest - lowest
    share = (found.mean - lowest) / span
    half = (found.high - found.mean) / span / (share * (1 - share))
    low, high = (lowest + span * float(expit(logit(share) + end)) for end in (-half, half))
    return replace(found, low=min(low, found.mean), high=max(high, found.mean))


def paired(a: Iterable[float], b: Iterable[float], confidence: float = 0.95) -> Paired:
    """Contrast two settings that were run with the same seeds: the differences a − b.

    Pairing removes what both members of a pair share (the seed's data order and initial draw). Where trials diverged,
    give :func:`failure_rate` too: the pairs that converged are a choice of the better ones.
    The share of pairs that a wins is given with the interval, since a sure difference may still be small
    against the spread from seed to seed (Bouthillier et al., "Accounting for variance in machine
    learning benchmarks", MLSys 2021).

    Args:
        a: Scores of the first setting, one per seed.
        b: Scores of the second, in the same order.
        confidence: Coverage of the interval, above 0 and below 1 (default 0.95).

    Returns:
        Paired: mean and interval of a − b, with ``p_greater`` and ``wins``.

    Raises:
        ValueError: unequal lengths, fewer than two pairs, a value that is not finite, or a confidence
            outside (0, 1).

    Example:
        >>> from ncps_mlx.stats import paired
        >>> wide, narrow = [21.9, 22.4, 22.0, 22.8, 22.1], [23.0, 23.1, 22.9, 23.3, 23.5]
        >>> difference = paired(wide, narrow)
        >>> print(difference, difference.p_greater)
        -0.9 [-1.4, -0.5] 0.0
    """
    first, second = finite_numbers("a", a), finite_numbers("b", b)
    if first.size != second.size:
        raise ValueError(f"b must have as many values as a ({first.size}), got {second.size}.")
    if first.size < 2:
        raise ValueError(
            f"a must hold at least 2 numbers, got {first.size}. Train both settings with more seeds."
        )
    confidence = check_number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
    difference = _students(first - second, confidence, float(max(np.abs(first).max(), np.abs(second).max())))
    wins, ties = int((first > second).sum()), int((first == second).sum())
    return Paired(
        mean=difference.mean,
        low=difference.low,
        high=difference.high,
        n=difference.n,
        confidence=difference.confidence,
        p_greater=(wins + ties / 2) / first.size,
        wins=wins,
    )


def failure_rate(failed: Iterable[bool], confidence: float = 0.95) -> Interval:
    """Share of trials that failed, with Wilson's interval: what to give where some diverged.

    Scores of the trials that converged say nothing of how often others do not; the two belong together. The interval
    (Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927) stays within 0 and
    1, and has a width where none or all failed.

    Args:
        failed: A boolean for each trial, true where it failed, for instance ``record.diverged``.
        confidence: Coverage, above 0 and below 1 (default 0.95).

    Returns:
        Interval: of the share, from 0 to 1; its ``mean`` is the share observed.

    Raises:
        ValueError: no trials, something other than booleans, or a confidence outside (0, 1).

    Example:
        >>> from ncps_mlx.stats import failure_rate
        >>> print(failure_rate([False, False, True, False, False]))
        0.2 [0.0, 0.6]
        >>> print(failure_rate([False] * 5))
        0.0 [0.0, 0.4]
    """
    confidence = check_number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
    flags = as_array("failed", failed if hasattr(failed, "dtype") or not isinstance(failed, Iterable) else list(failed))
    if not flags.size:
        raise ValueError("failed must hold at least 1 trial, got none.")
    if flags.dtype != np.bool_ or flags.ndim != 1:
        raise ValueError(
            "failed must hold True or False for each trial, such as [record.diverged for record in records], "
            f"got dtype {flags.dtype} with shape {flags.shape}."
        )
    from scipy.special import ndtri

    n, share, square = flags.size, float(flags.mean()), float(ndtri((1 + confidence) / 2)) ** 2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = math.sqrt(square * (share * (1 - share) / n + square / (4 * n * n))) / (1 + square / n)
    low, high = max(0.0, middle - half) if share > 0 else 0.0, min(1.0, middle + half) if share < 1 else 1.0
    return Interval(mean=share, low=low, high=high, n=n, confidence=confidence)


def without_width(n: int) -> str:
    """What stands in place of an interval where no value differs from another: they tell no spread."""
    return f"(all {n} equal)"


def finite_numbers(name: str, values: Iterable[float]) -> NDArray[np.float64]:
    """Return the values as a flat float64 array, or say which one is not finite."""
    data = flat_numbers(name, values)
    finite = np.isfinite(data)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"{name} must be finite, got {data[first]} at position {first}. Count trials that diverged, "
            "stats.failure_rate, before you leave them out: those that are left score too well."
        )
    return data
