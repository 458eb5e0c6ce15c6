"""What a contrast over several tasks shows, and what that says of a claim: pooled, equivalent, or different by task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncps_mlx._utils.validation import check_choice
from ncps_mlx.stats._intervals import Paired, finite_numbers, paired

__all__ = ["DIRECTIONS", "FINDINGS", "LEVEL", "Finding", "decide", "finding", "proven_of"]

FINDINGS = ("larger", "smaller", "negligible", "differs by task", "open")
"""What a contrast can show of its first level against its second."""

LEVEL = 0.05
"""Share of errors that each statement allows, divided among the tasks where it is made of one of them."""

DIRECTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "more": (("larger",), ("smaller", "negligible")),
    "less": (("smaller",), ("larger", "negligible")),
    "same": (("negligible",), ("larger", "smaller")),
    "not-worse": ((), ("smaller",)),
}
"""What supports and what refutes a claim of each direction; ``not-worse`` is supported by its own limit."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a contrast of two levels shows over its tasks, in units of δ, the smallest difference that matters.

    Attributes:
        finding: ``"larger"``, ``"smaller"``, ``"negligible"``, ``"differs by task"`` or ``"open"``.
        mean: The pooled difference: the mean over tasks of each task's mean. Positive favours the first level.
        low: Lower end of its 95 % interval.
        high: Upper end.
        lower_limit: Lower end of its one-sided 95 % interval.
        upper_limit: Upper end of its one-sided 95 % interval.
        tasks: The paired difference of each task, with its own 95 % interval.
        n: Pairs in the smallest task.

    Example:
        >>> from ncps_mlx import stats
        >>> found = stats.finding({"glucose": [1.9, 2.2, 1.8, 2.4], "sunspots": [1.4, 2.0, 1.7, 1.2]})
        >>> print(found)
        larger: +1.8 [+1.5, +2.1] δ
        >>> found.verdict("more"), found.verdict("same")
        ('supported', 'refuted')
    """

    finding: str
    mean: float
    low: float
    high: float
    lower_limit: float
    upper_limit: float
    tasks: Mapping[str, Paired]
    n: int

    def __str__(self) -> str:
        """Write the finding and the pooled difference."""
        return f"{self.finding}: {self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}] δ"

    def verdict(self, direction: str) -> str:
        """Say what the finding means for a claim.

        Args:
            direction: What the claim says of the first level: ``"more"``, ``"less"``, ``"same"`` or ``"not-worse"``
                (than the second, by δ).

        Returns:
            ``"supported"``, ``"refuted"``, ``"differs by task"`` or ``"open"``.

        Raises:
            ValueError: An unknown direction.

        Example:
            >>> from ncps_mlx import stats
            >>> stats.finding({"glucose": [0.1, -0.2, 0.0, 0.1]}).verdict("not-worse")
            'supported'
        """
        supports, refutes = DIRECTIONS[check_choice("direction", direction, DIRECTIONS)]
        if self.finding in refutes:
            return "refuted"
        if self.finding in supports or (direction == "not-worse" and self.lower_limit > -1):
            return "supported"
        return "differs by task" if self.finding == "differs by task" else "open"

    @property
    def pairs_needed(self) -> int | None:
        """About how many pairs a task would settle an open finding, if its mean stayed; ``None`` if it is not open.

        Intervals narrow with the root of the number of pairs: a mean of at least 1 needs its 95 % interval to leave
        out 0, a smaller one its 90 % interval to lie within ±1.

        Example:
            >>> from ncps_mlx import stats
            >>> stats.finding({"glucose": [3.0, -2.0, 1.5, -1.0]}).pairs_needed
            75
        """
        if self.finding != "open":
            return None
        large = abs(self.mean) >= 1
        half = (self.high - self.low) / 2 if large else (self.upper_limit - self.lower_limit) / 2
        distance = abs(self.mean) if large else 1 - abs(self.mean)
        return max(self.n + 1, math.ceil(self.n * (half / distance) ** 2))


def finding(differences: Mapping[str, Iterable[float]]) -> Finding:
    """Decide what paired differences over several tasks show.

    With m and s² the mean and the variance of the n differences of each of K tasks, M is the mean of the m and its
    standard error √(Σ s²/n)/K, with Welch–Satterthwaite degrees of freedom; tasks are fixed effects.

    - *larger*: the 95 % interval of M lies above 0, M ≥ 1, and at least two thirds of the tasks have m ≥ 1;
      *smaller* is the mirror image.
    - *negligible*: two one-sided tests at 5 % put M within ±1, and no task is proven to help or to hurt.
    - *differs by task*: two of {helps, hurts, negligible} are proven of different tasks; or M is large as above but
      not so many tasks are, and one is proven.
    - *open*: everything else.

    Proven of a task is: at the level 0.05/K it helps (its interval lies above 0, and m ≥ 1), hurts, or is negligible
    (two one-sided tests within ±1).

    Args:
        differences: For each task the differences first − second of at least two pairs, in units of the task's δ and
            signed so that positive favours the first level.

    Raises:
        ValueError: No task, fewer than two pairs, or a value that is not finite.

    Source:
        Lakens, "Equivalence tests", Social Psychological and Personality Science 8 (2017); Bouthillier et al.,
        "Accounting for variance in machine learning benchmarks", MLSys 2021.

    Example:
        >>> from ncps_mlx import stats
        >>> print(stats.finding({"glucose": [0.1, -0.2, 0.2, 0.0], "sunspots": [-0.1, 0.3, -0.2, 0.1]}))
        negligible: +0.0 [-0.1, +0.2] δ
    """
    if not isinstance(differences, Mapping):
        raise ValueError(f"differences must map each task to its differences, got {type(differences).__name__}.")
    if not differences:
        raise ValueError("differences must hold at least 1 task, got none.")
    arrays = {name: _differences(f"differences[{name!r}]", values) for name, values in differences.items()}
    tasks = {name: paired(values, np.zeros_like(values)) for name, values in arrays.items()}
    data = list(arrays.values())
    means = np.array([values.mean() for values in data])
    errors = np.array([values.var(ddof=1) / values.size for values in data])
    count = len(data)
    pooled, error = float(means.mean()), math.sqrt(float(errors.sum())) / count
    freedom = _degrees_of_freedom(errors, np.array([values.size for values in data]))
    low, high = _ends(pooled, error, freedom, LEVEL / 2)
    lower, upper = _ends(pooled, error, freedom, LEVEL)

    proven = [_proven(values, LEVEL / count) for values in data]
    found = decide(pooled, means, proven, differs=low > 0 or high < 0, within=lower > -1 and upper < 1)
    return Finding(
        finding=found, mean=pooled, low=low, high=high, lower_limit=lower, upper_limit=upper, tasks=tasks,
        n=min(values.size for values in data),
    )  # fmt: skip


def decide(
    pooled: float, means: NDArray[np.float64], proven: Sequence[str], *, differs: bool, within: bool
) -> str:
    """The finding of :func:`finding`, whatever tests say that M ``differs`` from 0 or lies ``within`` ±1.

    ``pooled`` is M, ``means`` are those of the tasks (K,), and ``proven`` is what :func:`proven_of` says of each.
    """
    needed = math.ceil(2 * means.size / 3)
    above, below = differs and pooled >= 1, differs and pooled <= -1
    if above and np.count_nonzero(means >= 1) >= needed:
        return "larger"
    if below and np.count_nonzero(means <= -1) >= needed:
        return "smaller"
    if within and not {"helps", "hurts"} & set(proven):
        return "negligible"
    if len(set(proven) - {""}) > 1 or (above and "helps" in proven) or (below and "hurts" in proven):
        return "differs by task"
    return "open"


def proven_of(mean: float, *, differs: bool, within: bool) -> str:
    """What is proven of a task: ``"helps"``, ``"hurts"``, ``"negligible"`` or nothing ("")."""
    if differs and abs(mean) >= 1:
        return "helps" if mean > 0 else "hurts"
    return "negligible" if within else ""


def _differences(name: str, values: Iterable[float]) -> NDArray[np.float64]:
    data = finite_numbers(name, values)
    if data.size < 2:
        raise ValueError(f"{name} must hold at least 2 pairs, got {data.size}. Train both levels with more seeds.")
    return data


def _degrees_of_freedom(errors: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Those of Welch and Satterthwaite, for a sum of squared standard errors."""
    total = float(np.sum(errors**2 / (counts - 1)))
    return float(errors.sum()) ** 2 / total if total > 0 else float(np.sum(counts - 1))


def _ends(mean: float, error: float, freedom: float, tail: float) -> tuple[float, float]:
    """The ends of Student's interval that leaves out this share on each side."""
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 1 - tail)) * error
    return mean - half, mean + half


def _proven(values: NDArray[np.float64], level: float) -> str:
    """What the differences of one task prove at this level: helps, hurts, negligible, or nothing ("")."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)
    low, high = _ends(mean, error, values.size - 1, level / 2)
    lower, upper = _ends(mean, error, values.size - 1, level)
    return proven_of(mean, differs=low > 0 or high < 0, within=lower > -1 and upper < 1)
