"""The parameters of a population as one matrix, so that clipping and Adam are a few operations, not a few for each."""

from __future__ import annotations

import math
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
        self.names = [name for name, _ in pairs]
        self.shapes = [(array.shape[1:], array.dtype) for _, array in pairs]
        self.dtype = mx.result_type(mx.float32, *(dtype for _, dtype in self.shapes))
        self.cuts = np.cumsum([math.prod(shape) for shape, _ in self.shapes])[:-1].tolist()

    def to_matrix(self, tree: Any) -> mx.array:
        """The tree's numbers as one matrix (N, P)."""
        pairs: Any = tree_flatten(tree)
        arrays = dict(pairs)
        rows = [arrays[name].reshape(len(arrays[name]), -1).astype(self.dtype) for name in self.names]
        return mx.concatenate(rows, axis=1)

    def to_tree(self, matrix: mx.array) -> Any:
        """The inverse of :meth:`to_matrix`."""
        parts = mx.split(matrix, self.cuts, axis=1)
        return tree_unflatten(
            [
                (name, part.reshape(len(part), *shape).astype(dtype))
                for name, part, (shape, dtype) in zip(self.names, parts, self.shapes, strict=True)
            ]
        )
