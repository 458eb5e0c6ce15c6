"""Layers of cells over time: both directions, residual connections, dropout masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mlx.core as mx

from ncps_mlx._kernels.custom_vjp import cached_in_precompute
from ncps_mlx.cells._base import Cell, State, TimeSteps

__all__ = ["dropout_factors", "run_stack", "turned"]


def dropout_masks(
    keys: mx.array | None, dropout_rate: mx.array | float, layers: int, shape: tuple[int, int, int]
) -> list[mx.array]:
    """Draw what dropout multiplies by, 0 or 1/(1 - rate), for each step and each backbone layer.

    Args:
        keys: One key (2,), or one for each member (N, 2), so that a member draws what it would draw alone;
            ``None`` draws from MLX's global stream.
        rates: Probability of dropping: one number, or one for each member (N,).
        layers: L, the number of backbone layers.
        shape: (T, B, U).

    Returns:
        L arrays (..., T, B, U).

    Example:
        >>> (layer,) = dropout_factors(mx.random.key(0), 0.75, 1, (7, 5, 11))
        >>> layer.shape, sorted(set(layer.flatten().tolist()))
        ((7, 5, 11), [0.0, 4.0])
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


def reverse_time(x: mx.array, dt: TimeSteps, mask: mx.array | None) -> tuple[mx.array, TimeSteps, mx.array | None]:
    """A sequence as the backward direction meets it: the last reading first.

    A reading's time step is then the time to the reading after it; the last reading, after which there is none, takes
    the first's. Padding counts for nothing.

    Args:
        x: Inputs (..., T, B, D).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: Where there is a reading, (..., T, B, 1), or ``None``.

    Example:
        >>> dt = mx.array([1.0, 2.0, 3.0, 9.0]).reshape(4, 1, 1)
        >>> mask = mx.array([True, True, True, False]).reshape(4, 1, 1)
        >>> turned(dt, dt, mask)[1].flatten().tolist()[1:]  # padding first, then 1 (of the first), 3, 2
        [1.0, 3.0, 2.0]
    """
    back = x[..., ::-1, :, :]
    if not isinstance(dt, mx.array):
        return back, dt, None if mask is None else mask[..., ::-1, :, :]
    if mask is None:
        return back, mx.concatenate([dt[..., :1, :, :], dt[..., :0:-1, :, :]], axis=-3), None
    steps = dt.shape[-3]
    place = mx.where(mask, mx.arange(steps)[:, None, None], steps)
    following = mx.cummin(place, axis=place.ndim - 3, reverse=True)  # the next reading at t or later
    first = following[..., :1, :, :]
    after = mx.concatenate([following[..., 1:, :, :], mx.full(first.shape, steps, first.dtype)], axis=-3)
    source = mx.minimum(mx.where(after == steps, first, after), steps - 1)
    every = mx.broadcast_to(dt, source.shape)
    dts = mx.take_along_axis(every, source, axis=source.ndim - 3)
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
        layers: For each layer its cell, or its two: forward and backward in time.
        x: Inputs (..., T, B, D).
        state: One tuple per layer, as returned; of a layer's directions one after the other.
        dt: Time steps.
        mask: Where there is a reading, (..., T, B, 1), or ``None``.
        residual: Add to each layer's output, from the second on, its input.
        sequences: Whether the outputs of all steps are wanted.
        rates: Dropout rate, one number or one per member (N,).
        keys: Dropout keys, (2,) or (N, 2); ``None`` draws from the global stream.

    Returns:
        The outputs of the last layer, (..., T, B, O), or (..., B, O) of each direction's last step; both directions
        stand side by side. And each layer's last state.

    Example:
        >>> from ncps_mlx import CfC
        >>> cells = CfC(3, 11, num_layers=2, seed=0).layers
        >>> zero = [(mx.zeros((5, 11)),)] * 2
        >>> y, state = run_stack(
        ...     [(cell,) for cell in cells],
        ...     mx.zeros((7, 5, 3)),  # time first
        ...     zero,
        ...     1.0,
        ...     None,
        ...     residual=True,
        ...     sequences=True,
        ...     rates=0.0,
        ...     keys=None,
        ... )
        >>> y.shape, len(state)
        ((7, 5, 11), 2)
    """
    last = []
    drops = isinstance(dropout_rate, mx.array) or dropout_rate > 0
    for i, (cells, arrays) in enumerate(zip(layers, state, strict=True)):
        every = sequences or i < len(layers) - 1
        outputs: list[mx.array] = []
        ends: State = ()
        for direction, cell in enumerate(cells):
            dropout: list[mx.array] = []
            count, units = cell.dropout_shape
            if drops and count:
                own = None if keys is None else layer_keys(keys, i + direction * len(layers))
                size = (x.shape[-3], x.shape[-2], units)
                factors = cached_in_precompute(partial(dropout_masks, own, dropout_rate, count, size))
                dropout = [each.astype(x.dtype) for each in factors]
            start = arrays[len(ends) : len(ends) + cell.state_size]
            sequence = reverse_time(x, dt, mask) if direction else (x, dt, mask)
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
    """The key(s) of one layer, each a function of the member's key and the layer's number alone."""
    return keys + mx.array([layer, 0], dtype=mx.uint32)
