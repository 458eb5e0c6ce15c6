"""Layers of cells over time: both directions, residual connections, dropout masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mlx.core as mx

from ncps_mlx._kernels.custom_vjp import cached_in_precompute, constants
from ncps_mlx.cells._base import Cell, State, TimeSteps

__all__ = ["dropout_masks", "reverse_time", "run_stack"]


def dropout_masks(
    keys: mx.array | None, dropout_rate: mx.array | float, layers: int, shape: tuple[int, int, int]
) -> list[mx.array]:
    """Draw dropout masks (..., T, B, U), 0 or 1/(1 - rate), one for each backbone layer.

    Args:
        keys: One key (2,), or one for each member (N, 2), so that a member draws what it would draw alone;
            ``None`` draws from MLX's global stream.
        dropout_rate: Probability of dropping: one number, or one for each member (N,).
        layers: The number of backbone layers.
        shape: (T, B, U).
    """
    steps, batch, units = shape
    size = (layers, steps, batch, units)
    if keys is None:
        uniform = mx.random.uniform(shape=size)
    elif keys.ndim == 1:
        uniform = mx.random.uniform(shape=size, key=keys)
    else:
        uniform = mx.vmap(lambda key: mx.random.uniform(shape=size, key=key))(keys)
    rate = dropout_rate[:, None, None, None, None] if isinstance(dropout_rate, mx.array) else dropout_rate
    return list(mx.unstack((uniform >= rate) / (1.0 - rate), axis=-4))


def reverse_time(
    x: mx.array, dt: TimeSteps, mask: mx.array | None
) -> tuple[mx.array, TimeSteps, mx.array | None]:
    """Inputs, time steps and mask as the backward direction reads them: the last reading first.

    A reading's time step is then the time to the reading after it. No reading follows the last one, which takes the
    first one's time step. Steps without a reading are skipped.
    """
    back = x[..., ::-1, :, :]
    if not isinstance(dt, mx.array):
        return back, dt, None if mask is None else mask[..., ::-1, :, :]
    if mask is None:
        return back, mx.concatenate([dt[..., :1, :, :], dt[..., :0:-1, :, :]], axis=-3), None
    steps = dt.shape[-3]
    index = mx.where(mask, mx.arange(steps)[:, None, None], steps)
    following = mx.cummin(index, axis=index.ndim - 3, reverse=True)  # the next reading at t or later
    first = following[..., :1, :, :]
    after = mx.concatenate([following[..., 1:, :, :], mx.full(first.shape, steps, first.dtype)], axis=-3)
    source = mx.minimum(mx.where(after == steps, first, after), steps - 1)
    dts = mx.take_along_axis(mx.broadcast_to(dt, source.shape), source, axis=source.ndim - 3)
    return back, dts[..., ::-1, :, :], mask[..., ::-1, :, :]


def run_stack(
    layers: Sequence[Sequence[Cell]],
    x: mx.array,
    state: Sequence[State],
    dt: TimeSteps,
    mask: mx.array | None,
    *,
    residual: bool,
    sequences: bool,
    dropout_rate: mx.array | float,
    keys: mx.array | None,
) -> tuple[mx.array, list[State]]:
    """Run stacked layers; each reads the outputs of the one below.

    Args:
        layers: Each layer's cells: one, or two (forward and backward in time).
        x: Inputs (..., T, B, D).
        state: One tuple per layer, with both directions' arrays one after the other.
        dt: Time steps.
        mask: True where there is a reading (..., T, B, 1); ``None``: everywhere.
        residual: Add to each layer's output, from the second on, its input.
        sequences: Whether the outputs of all steps are wanted.
        dropout_rate: One number, or one for each member (N,).
        keys: Dropout keys, (2,) or (N, 2); ``None`` draws from the global stream.

    Returns:
        The last layer's outputs (..., T, B, O), or (..., B, O) of each direction's last step, with both directions side
        by side; and each layer's last state.
    """
    last = []
    has_dropout = isinstance(dropout_rate, mx.array) or dropout_rate > 0
    for i, (cells, arrays) in enumerate(zip(layers, state, strict=True)):
        every = sequences or i < len(layers) - 1
        outputs: list[mx.array] = []
        ends: State = ()
        for direction, cell in enumerate(cells):
            dropout: list[mx.array] = []
            count, units = cell.dropout_shape
            if has_dropout and count:
                own = None if keys is None else layer_keys(keys, i + direction * len(layers))
                size = (x.shape[-3], x.shape[-2], units)
                masks = cached_in_precompute(partial(dropout_masks, own, dropout_rate, count, size))
                dropout = [each.astype(x.dtype) for each in masks]
            start = arrays[len(ends) : len(ends) + cell.state_size]
            sequence = reverse_time(x, dt, mask) if direction else (x, dt, mask)
            # The first layer's inputs, all time steps and first states depend on no parameter.
            with constants(sequence[1], *start, *sequence[: i == 0]):
                y, end = cell.run(sequence[0], start, *sequence[1:], dropout, sequences=every)
            outputs.append(y[..., ::-1, :, :] if direction and every else y)
            ends += end
        y = outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=-1)
        last.append(ends)
        if residual and i:
            y = y + (x if every else last_output(x, directions=len(cells)))
        x = y
    return x, last


def last_output(y: mx.array, directions: int) -> mx.array:
    """The last step of each direction: (..., T, B, O) to (..., B, O)."""
    if directions == 1:
        return y[..., -1, :, :]
    half = y.shape[-1] // 2
    return mx.concatenate([y[..., -1, :, :half], y[..., 0, :, half:]], axis=-1)


def layer_keys(keys: mx.array, layer: int) -> mx.array:
    """The dropout key(s) of one layer, a function of the member's key and the layer's number alone."""
    return keys + mx.array([layer, 0], dtype=mx.uint32)
