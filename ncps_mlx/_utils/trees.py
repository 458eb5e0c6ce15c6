"""Trees of parameters."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

__all__ = ["leaves"]


def leaves(tree: Any) -> list[mx.array]:
    """The arrays of a tree of parameters, in its own order.

    Example:
        >>> import mlx.core as mx
        >>> [array.shape for array in leaves({"a": mx.zeros((2,)), "b": [mx.zeros((3,))]})]
        [(2,), (3,)]
    """
    pairs: Any = tree_flatten(tree)
    return [array for _, array in pairs]
