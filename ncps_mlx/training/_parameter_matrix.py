"""The parameters of a population as one matrix, so that clipping and Adam are a few operations, not a few for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

__all__ = ["ParameterLayout", "leaves"]


def leaves(tree: Any) -> list[mx.array]:
    """The arrays of a tree, in its own order."""
    pairs: Any = tree_flatten(tree)
    return [array for _, array in pairs]


class ParameterLayout:
    """Where each array (N, ...) of a tree lies in the rows of a matrix (N, P).

    The matrix is of float32 at least: half precision cannot add up steps.
    """

    def __init__(self, tree: Any) -> None:
        pairs: Any = tree_flatten(tree)
        # Of each array its keys, one within the other; and the tree with numbers instead of arrays.
        self.keys = [[int(key) if key.isdigit() else key for key in name.split(".")] for name, _ in pairs]
        self.numbers: Any = tree_unflatten([(name, i) for i, (name, _) in enumerate(pairs)])
        self.shapes = [(array.shape[1:], array.dtype) for _, array in pairs]
        self.dtype = mx.result_type(mx.float32, *(dtype for _, dtype in self.shapes))
        self.is_single = all(dtype == mx.float32 for _, dtype in self.shapes)
        self.cuts = np.cumsum([math.prod(shape) for shape, _ in self.shapes])[:-1].tolist()

    def to_matrix(self, tree: Any) -> mx.array:
        """The tree's numbers as one matrix (N, P)."""
        arrays: list[mx.array] = [reduce(getitem, keys, tree) for keys in self.keys]
        rows = [array.reshape(len(array), -1).astype(self.dtype) for array in arrays]
        return mx.concatenate(rows, axis=1)

    def to_tree(self, matrix: mx.array) -> Any:
        """The inverse of :meth:`to_matrix`."""
        parts = mx.split(matrix, self.cuts, axis=1)
        arrays = [
            part.reshape(len(part), *shape).astype(dtype)
            for part, (shape, dtype) in zip(parts, self.shapes, strict=True)
        ]
        return with_arrays(self.numbers, arrays)


def with_arrays(tree: Any, arrays: Sequence[mx.array]) -> Any:
    """The tree with arrays instead of their numbers: ``tree_unflatten`` takes a twentieth of a small training step."""
    if isinstance(tree, dict):
        return {name: with_arrays(each, arrays) for name, each in tree.items()}
    return [with_arrays(each, arrays) for each in tree] if isinstance(tree, list) else arrays[tree]
