"""Sequences as rows, one step after the other, (..., T * B, F), and what is done with such rows."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from ncps_mlx._kernels.custom_vjp import is_exporting

__all__ = [
    "concat_time",
    "contiguous",
    "expand_column",
    "flatten_time",
    "split_column",
    "split_time",
    "to_head_grads",
    "transposed",
    "weight_gradient",
]


def flatten_time(x: mx.array, leading: Sequence[int]) -> mx.array:
    """Lay an array (..., T, B, F) out as rows (..., T * B, F), broadcast to the leading axes."""
    *_, steps, batch, features = x.shape
    full = mx.broadcast_to(x, (*leading, steps, batch, features))
    return full.reshape(*leading, steps * batch, features)


def split_time(rows: mx.array, steps: int, axis: int = -2) -> list[mx.array]:
    """Split (..., T * B, F) into T arrays (..., B, F); the axis of the rows is counted from the end.

    By slices: ``mx.compile`` (MLX 0.32) fails on equal splits, such as those of the time steps in stacked layers, and
    only second derivatives go back through a slice. Above ten pieces ``mx.split`` itself slices, and is faster.
    """
    if steps > 10:
        return list(mx.split(rows, steps, axis=axis))
    batch = rows.shape[axis] // steps
    rest = [slice(None)] * (-axis - 1)
    return [rows[(..., slice(t * batch, (t + 1) * batch), *rest)] for t in range(steps)]


def concat_time(steps: Sequence[mx.array]) -> mx.array:
    """Join what :func:`split_time` split."""
    return mx.concatenate(list(steps), axis=-2)


def expand_column(column: mx.array, width: int) -> mx.array:
    """Expand a column (..., R, 1) to (..., R, F) without copying, so that a loop need not broadcast it."""
    return mx.broadcast_to(column, (*column.shape[:-1], width))


def to_head_grads(gradient: mx.array, slopes: mx.array) -> mx.array:
    """Multiply a state's gradient (..., B, H) by the heads' slopes (..., B, heads, H), to (..., B, heads * H)."""
    head_grads = mx.expand_dims(gradient, -2) * slopes
    return head_grads.reshape(*gradient.shape[:-1], -1)


def split_column(
    column: mx.array | None, width: int, steps: int, dtype: mx.Dtype | None = None
) -> list[mx.array] | None:
    """Expand a column, if there is one, and split it by time: T arrays (..., B, F)."""
    if column is None:
        return None
    full = expand_column(column, width)
    return split_time(full if dtype is None else full.astype(dtype), steps)


def weight_gradient(inputs: mx.array, output_grads: mx.array) -> mx.array:
    """The gradient of weights (..., in, out) over all rows, as one product."""
    return mx.swapaxes(inputs, -1, -2) @ output_grads


def contiguous(array: mx.array) -> mx.array:
    """Lay constants out row by row; while exporting at once, because MLX 0.32 cannot write the operation."""
    rows = mx.contiguous(array)
    if is_exporting():
        mx.eval(rows)
    return rows


def transposed(weight: mx.array) -> mx.array:
    """Turn weights (..., out, in) into a contiguous (..., in, out), or back; once, before a loop over time."""
    return contiguous(mx.swapaxes(weight, -1, -2))
