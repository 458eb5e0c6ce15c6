"""Which sequences train and which validate in each fold of a cross-validation."""

from __future__ import annotations

import numpy as np

from ncps_mlx._utils.validation import check_choice, check_int
from ncps_mlx.data._split import Array

__all__ = ["KINDS", "fold_rows"]

KINDS = ("blocked", "forward", "shuffled")
"""Blocks in order; blocks in order with only the past to train on; sequences drawn at random."""


def fold_rows(
    n: int, fold: int, folds: int, kind: str = "blocked", gap: int = 0, seed: int = 0
) -> tuple[Array, Array]:
    """Return the rows that train and those that validate in a fold of ``n`` sequences; see ``Task.fold``."""
    check_choice("kind", kind, KINDS)
    check_int("folds", folds, minimum=2)
    if check_int("fold", fold, minimum=0) >= folds:
        raise ValueError(f"fold must be below folds={folds}, got {fold}.")
    check_int("gap", gap, minimum=0)
    check_int("seed", seed, minimum=0)
    if gap and kind == "shuffled":
        raise ValueError(
            f"gap must be 0 with kind='shuffled', whose sequences have no neighbours, got {gap}."
        )
    blocks = folds + 1 if kind == "forward" else folds
    if n < blocks:
        raise ValueError(
            f"folds must leave each of {blocks} blocks a sequence, got {folds} for {n} sequences."
        )
    order = np.random.default_rng(seed).permutation(n) if kind == "shuffled" else np.arange(n)
    edges = np.linspace(0, n, blocks + 1).round().astype(int)
    block = fold + 1 if kind == "forward" else fold
    first, last = edges[block], edges[block + 1]
    after = order[:0] if kind == "forward" else order[last + gap :]
    train = np.concatenate([order[: max(0, first - gap)], after])
    if not len(train):
        raise ValueError(
            f"gap must leave sequences to train on, got {gap} for blocks of {last - first} of {n}."
        )
    return np.sort(train), np.sort(order[first:last])
