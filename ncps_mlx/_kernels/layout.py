"""A sequence as rows, the steps one after the other: (..., T * B, F) and its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

__all__ = ["by_step", "in_rows", "to_heads", "together", "transposed", "weight_gradient", "wide"]


def by_step(rows: mx.array, steps: int, axis: int = -2) -> list[mx.array]:
    """Split (..., R, F) into T arrays (..., B, F), the rows on the axis, counted from the end.

    By slices: ``mx.compile`` (MLX 0.32) stumbles over equal splits, such as those of the time steps in stacked layers,
    and only second derivatives go back through it. Above ten pieces ``mx.split`` itself slices, and quicker.

    Example:
        >>> pieces = by_step(mx.zeros((35, 3)), 7)
        >>> len(pieces), pieces[0].shape
        (7, (5, 3))
    """
    if steps > 10:
        return list(mx.split(rows, steps, axis=axis))
    batch = rows.shape[axis] // steps
    rest = [slice(None)] * (-axis - 1)
    return [rows[(..., slice(t * batch, (t + 1) * batch), *rest)] for t in range(steps)]


def together(steps: Sequence[mx.array]) -> mx.array:
    """The inverse of :func:`by_step`."""
    return mx.concatenate(list(steps), axis=-2)


def in_rows(x: mx.array, lead: Sequence[int]) -> mx.array:
    """An array (..., T, B, F) as rows (..., T * B, F), with all leading axes."""
    *_, steps, batch, features = x.shape
    every = mx.broadcast_to(x, (*lead, steps, batch, features))
    return every.reshape(*lead, steps * batch, features)


def to_heads(gradient: mx.array, slopes: mx.array) -> mx.array:
    """A state's gradient (..., B, H) times the slopes (..., B, heads, H): that of the heads (..., B, heads * H)."""
    each = mx.expand_dims(gradient, -2) * slopes
    return each.reshape(*gradient.shape[:-1], -1)


def wide(column: mx.array, width: int) -> mx.array:
    """A column (..., R, 1) as (..., R, F) without copies, so that a loop need not broadcast it."""
    return mx.broadcast_to(column, (*column.shape[:-1], width))


def weight_gradient(inputs: mx.array, outputs: mx.array) -> mx.array:
    """The gradient of weights (..., in, out) over all rows, as one product."""
    return mx.swapaxes(inputs, -1, -2) @ outputs


def transposed(weight: mx.array) -> mx.array:
    """Turn weights (..., out, in) into a contiguous (..., in, out), or back, once before a loop over time.

    Example:
        >>> transposed(mx.zeros((11, 3))).shape
        (3, 11)
    """
    return mx.contiguous(mx.swapaxes(weight, -1, -2))
