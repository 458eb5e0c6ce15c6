"""The parameters of a population as one matrix, so that clipping and Adam are a few operations, not a few for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
        # The tree with each array's number instead of it.
        self.places: Any = tree_unflatten([(name, i) for i, (name, _) in enumerate(pairs)])
        self.shapes = [(array.shape[1:], array.dtype) for _, array in pairs]
        self.dtype = mx.result_type(mx.float32, *(dtype for _, dtype in self.shapes))
        self.is_single = all(dtype == mx.float32 for _, dtype in self.shapes)
        self.cuts = np.cumsum([math.prod(shape) for shape, _ in self.shapes])[:-1].tolist()

    def to_matrix(self, tree: Any) -> mx.array:
        """The tree's numbers as one matrix (N, P)."""
        rows = [array.reshape(len(array), -1).astype(self.dtype) for array in in_order(self.places, tree)]
        return mx.concatenate(rows, axis=1)

    def to_tree(self, matrix: mx.array) -> Any:
        """The inverse of :meth:`to_matrix`."""
        parts = mx.split(matrix, self.cuts, axis=1)
        arrays = [
            part.reshape(len(part), *shape).astype(dtype)
            for part, (shape, dtype) in zip(parts, self.shapes, strict=True)
        ]
        return filled(self.places, arrays)


# As tree_flatten and tree_unflatten, which take longer than all else that a training step does with the tree.


def in_order(places: Any, tree: Any) -> Iterator[mx.array]:
    """The arrays of a tree by their places."""
    if isinstance(places, int):
        yield tree
        return
    for key in places if isinstance(places, dict) else range(len(places)):
        yield from in_order(places[key], tree[key])


def filled(places: Any, arrays: Sequence[mx.array]) -> Any:
    """A tree with an array at each place."""
    if isinstance(places, dict):
        return {name: filled(each, arrays) for name, each in places.items()}
    return [filled(each, arrays) for each in places] if isinstance(places, list) else arrays[places]
