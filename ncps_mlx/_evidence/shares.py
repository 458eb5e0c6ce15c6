"""What shares of lost trainings show of two levels over tasks: the rule of ``stats.finding``, by exact tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import binomtest, fisher_exact

from ncps_mlx.stats._finding import LEVEL, Finding, decide, proven_of
from ncps_mlx.stats._intervals import Paired

__all__ = ["Pairs", "counts", "difference_of_shares", "finding_of_shares", "p_value", "share_interval", "shares_entry"]

Pairs = Sequence[tuple[int, float, float]]
"""Seed, 1 if the first level's training was lost, 1 if the second's was."""

Counts = tuple[int, int, int]
"""Lost trainings of the first level, of the second, and how many trainings each had."""


def counts(pairs: Pairs) -> Counts:
    """Count the lost trainings of a task."""
    return round(sum(first for _, first, _ in pairs)), round(sum(second for *_, second in pairs)), len(pairs)


@lru_cache(maxsize=4096)
def share_interval(lost: int, of: int, tail: float = LEVEL / 2) -> tuple[float, float]:
    """The interval of Clopper and Pearson (1934) that leaves out ``tail`` on each side."""
    found = binomtest(lost, of).proportion_ci(1 - 2 * tail, method="exact")
    return float(found.low), float(found.high)


@lru_cache(maxsize=4096)
def p_value(first: int, second: int, of: int) -> float:
    """That of Fisher's exact test, two-sided, of two shares of as many trainings."""
    return float(fisher_exact([[first, of - first], [second, of - second]]).pvalue)


def difference_of_shares(
    fresh: Mapping[str, Pairs], before: Mapping[str, Pairs], deltas: Mapping[str, float], level: float
) -> tuple[float, float, float]:
    """The difference of two pooled effects with its interval: Zou and Donner's, from those of the two."""
    new, old = (
        _Difference([counts(pairs) for pairs in side.values()], [deltas[name] for name in side])
        for side in (fresh, before)
    )
    (new_low, new_high), (old_low, old_high) = (each.ends(level / 2) for each in (new, old))
    mean = new.mean - old.mean
    below, above = (new.mean - new_low, old_high - old.mean), (new_high - new.mean, old.mean - old_low)
    return mean, mean - math.hypot(*below), mean + math.hypot(*above)


def finding_of_shares(tasks: Mapping[str, Pairs], deltas: Mapping[str, float]) -> Finding:
    """Decide what shares of lost trainings show: first minus second, in units of δ, a difference of shares.

    The rule is that of ``stats.finding``, M being the mean of the tasks' differences, by exact tests rather than
    Student's. M is proven not to be 0 if Fisher's test of all tasks' trainings together says so at 5 %, which errs more
    rarely where tasks differ; a task's difference, if that of its own does at .05/K. The interval of a difference a - b
    is that of Zou and Donner (2008), from the exact ones of a and b: its lower end is
    a - b - √((a - a_low)² + (b_high - b)²), the upper one likewise; of M, with the root of the sum over tasks, over K.
    """
    counted = {name: counts(pairs) for name, pairs in tasks.items()}
    pooled = _Difference(list(counted.values()), [deltas[name] for name in tasks])
    each = {name: _Difference([one], [deltas[name]]) for name, one in counted.items()}
    tail = LEVEL / len(each)
    proven = [one.proven(tail) for one in each.values()]
    means = np.array([one.mean for one in each.values()])
    (low, high), (lower, upper) = pooled.ends(LEVEL / 2), pooled.ends(LEVEL)
    return Finding(
        finding=decide(
            pooled.mean, means, proven, differs=pooled.differs(LEVEL), within=lower > -1 and upper < 1
        ),
        mean=pooled.mean, low=low, high=high, lower_limit=lower, upper_limit=upper,
        tasks={name: one.paired(tasks[name]) for name, one in each.items()},
        n=min(of for *_, of in counted.values()),
    )  # fmt: skip


class _Difference:
    """The mean over tasks of differences of two shares, in units of δ."""

    def __init__(self, counted: Sequence[Counts], deltas: Sequence[float]) -> None:
        self.counted, self.deltas = counted, deltas
        self.mean = sum((a - b) / n / delta for (a, b, n), delta in zip(counted, deltas, strict=True)) / len(counted)

    def ends(self, tail: float) -> tuple[float, float]:
        """The ends of its interval, which leaves out ``tail`` on each side."""
        below = above = 0.0
        for (a, b, n), delta in zip(self.counted, self.deltas, strict=True):
            (a_low, a_high), (b_low, b_high) = share_interval(a, n, tail), share_interval(b, n, tail)
            below += ((a / n - a_low) ** 2 + (b_high - b / n) ** 2) / delta**2
            above += ((a_high - a / n) ** 2 + (b / n - b_low) ** 2) / delta**2
        return self.mean - math.sqrt(below) / len(self.counted), self.mean + math.sqrt(above) / len(self.counted)

    def differs(self, level: float) -> bool:
        """Whether it is proven not to be 0."""
        first, second, of = (sum(column) for column in zip(*self.counted, strict=True))
        return p_value(first, second, of) < level

    def proven(self, level: float) -> str:
        """What is proven of it at this level."""
        lower, upper = self.ends(level)
        return proven_of(self.mean, differs=self.differs(level), within=lower > -1 and upper < 1)

    def paired(self, pairs: Pairs) -> Paired:
        """It and its 95 % interval, with how often the first training alone was lost."""
        low, high = self.ends(LEVEL / 2)
        wins, ties = (sum(1 for _, a, b in pairs if a - b == d) for d in (1, 0))
        return Paired(
            mean=self.mean, low=low, high=high, n=len(pairs), confidence=1 - LEVEL,
            p_greater=(wins + ties / 2) / len(pairs), wins=wins,
        )  # fmt: skip


def shares_entry(pairs: Pairs) -> dict[str, Any]:
    """What a verdict lists of a task: both shares with their exact intervals, and the exact test of the two."""
    first, second, of = counts(pairs)
    shares = {
        side: {"lost": lost, "of": of, "low": _round(low), "high": _round(high)}
        for side, lost in (("first", first), ("second", second))
        for low, high in [share_interval(lost, of)]
    }
    return {"shares": shares, "p_value": _round(p_value(first, second, of))}


def _round(value: float) -> float:
    return float(f"{value:.6g}")
