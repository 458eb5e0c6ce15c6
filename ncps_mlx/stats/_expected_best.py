"""The best score to expect from a smaller search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ncps_mlx._utils.arrays import flat_numbers
from ncps_mlx._utils.validation import check_flag, check_int

__all__ = ["expected_best"]


def expected_best(
    scores: Iterable[float], budgets: Iterable[int] | None = None, higher_is_better: bool = False
) -> NDArray[np.float64]:
    """Compute, exactly, the expected best score had only ``k`` of the recorded trials been run.

    The mean of the best over every subset of size k, drawn without replacement: with the scores
    sorted from best to worst, the i-th of n is the best of a subset with probability
    ``C(n − i, k − 1) / C(n, k)`` (after Dodge et al., "Show your work", EMNLP 2019, who draw with
    replacement, which is biased near k = n).

    Args:
        scores: One score per trial; the worst infinity stands for a trial that diverged.
        budgets: The sizes k, each between 1 and the number of scores (default: all of them).
        higher_is_better: Whether the best score is the largest (default False).

    Returns:
        array (len(budgets),) float64, in the unit of the scores; infinite where a subset of
        diverged trials alone is possible.

    Raises:
        ValueError: no scores, NaN or an infinity in the better direction, or a budget out of range.

    Example:
        >>> from ncps_mlx.stats import expected_best
        >>> expected_best([3.0, 1.0, 2.0]).round(3).tolist()
        [2.0, 1.333, 1.0]
        >>> expected_best([0.5, 0.9], [1], higher_is_better=True).tolist()
        [0.7]
    """
    data = flat_numbers("scores", scores)
    if data.size == 0:
        raise ValueError(f"scores must hold at least 1 number, got shape {data.shape}.")
    sign = -1.0 if check_flag("higher_is_better", higher_is_better) else 1.0
    data = np.sort(sign * data)  # best first; NaN sorts last
    if np.isnan(data[-1]) or data[0] == -math.inf:
        bad = math.nan if np.isnan(data[-1]) else sign * -math.inf
        raise ValueError(f"scores must be finite, or {sign * math.inf} where a trial diverged, got {bad}.")
    n = data.size
    given: object = budgets  # a caller without types may pass anything
    if given is not None and (not isinstance(given, Iterable) or isinstance(given, str | bytes)):
        raise ValueError(f"budgets must be a sequence of integers, got {budgets!r:.80}.")
    sizes: Sequence[int] = range(1, n + 1) if budgets is None else list(budgets)
    result = np.empty(len(sizes))
    for i, size in enumerate(sizes):
        k = check_int("budgets", size)
        if k > n:
            raise ValueError(f"budgets must be at most {n}, the number of scores, got {k}.")
        rank = np.arange(n - k)
        weight = (k / n) * np.cumprod(np.concatenate([[1.0], (n - rank - k) / (n - 1 - rank)]))
        result[i] = sign * float(weight @ data[: n - k + 1])
    return result
