"""Wilcoxon's rank-sum test, exact also where values are equal."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["rank_sum", "smallest_rank_sum"]


def rank_sum(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Two-sided p of the rank sum of ``a`` among ``a`` and ``b``, of all ways to choose as many of their values.

    Equal values share their mean rank, and infinite ones are the last: no normal approximation, which is wrong for
    accuracies (many are equal) and for the tails that five values reach.

    Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945).
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    values, count = np.concatenate([first, second]), first.size
    if np.isnan(values).any() or not count or not second.size:
        raise ValueError(f"a and b must hold numbers, and at least 1 each, got {count} and {second.size} values.")
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1  # twice each
    ways = np.zeros((count + 1, int(ranks.sum()) + 1))  # by how many are chosen, and their sum
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    found, every = int(ranks[:count].sum()), ways[count]
    tail = min(every[: found + 1].sum(), every[found:].sum())
    return float(min(1.0, 2 * tail / every.sum()))


def smallest_rank_sum(a: int, b: int) -> float:
    """The smallest p that so many values can give."""
    return 2 / math.comb(a + b, a)
