"""GRU and LSTM layers over a whole sequence, with a custom gradient.

All pointwise derivatives are computed for all steps at once, before the loop back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import concat_time, split_column, split_time, to_head_grads, weight_gradient
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.tanh import TanhImplementation, affine

__all__ = ["GRU_GATES", "GRUArrays", "run_gru", "run_lstm"]

GRU_GATES = "sst"
"""Of reset gate, update gate and candidate: sigmoid, sigmoid, tanh."""


@dataclass(frozen=True)
class GRUArrays:
    """A GRU's arrays; the last axis 3H holds all gates, each multiplied by the input scale of its function.

    Attributes:
        z: The inputs' part of the gates, in rows (..., R, 3H).
        h: First state (..., B, H).
        recurrent: Weights from the state (..., H, 3H).
        bias: What the reset gate multiplies besides the state's part of the candidate (..., 1, H).
        left: What is left of the state before each reading, in rows (..., R, H); ``None``: all.
        mask: 1 where there is a reading, else 0 (..., R, 1); ``None``: everywhere.
    """

    z: mx.array
    h: mx.array
    recurrent: mx.array
    bias: mx.array
    left: mx.array | None
    mask: mx.array | None

    def to_list(self) -> list[mx.array]:
        """All arrays in order."""
        optional = [each for each in (self.left, self.mask) if each is not None]
        return [self.z, self.h, self.recurrent, self.bias, *optional]

    def from_list(self, arrays: Sequence[mx.array]) -> GRUArrays:
        """The same structure with other arrays."""
        rest = iter(arrays[4:])
        left, mask = (None if each is None else next(rest) for each in (self.left, self.mask))
        return GRUArrays(arrays[0], arrays[1], arrays[2], arrays[3], left, mask)


def run_gru(arrays: GRUArrays, tanh_impl: TanhImplementation, steps: int) -> tuple[mx.array, mx.array]:
    """All states, in rows (..., R, H), and the last (..., B, H)."""

    def function(*flat: mx.array) -> list[mx.array]:
        return gru_forward(arrays.from_list(flat), tanh_impl, steps)

    def pullback(
        flat: Sequence[mx.array], cotangents: Sequence[mx.array], residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        return gru_backward(arrays.from_list(flat), tanh_impl, steps, cotangents, residuals)

    states, last = custom_vjp(function, pullback, output_count=2)(*arrays.to_list())
    return states, last


def gru_forward(arrays: GRUArrays, tanh_impl: TanhImplementation, steps: int) -> list[mx.array]:
    """All states; the last; and of all steps, in rows: state before and what was left of it, values, state's part."""
    shape, dtype = arrays.h.shape, arrays.h.dtype
    width = shape[-1]
    z_gates, z_candidate = (
        split_time(each, steps) for each in mx.split(arrays.z, [2 * width], axis=-1)
    )
    bias = mx.concatenate([mx.zeros((*shape[:-2], 1, 2 * width), dtype), arrays.bias], axis=-1)
    bias = mx.broadcast_to(bias, (*shape[:-1], 3 * width))
    left = None if arrays.left is None else split_time(arrays.left, steps)
    masks = split_column(arrays.mask, width, steps, mx.bool_)
    gate_value, candidate_value = (tanh_impl.value((*shape[:-1], n * width), dtype) for n in (2, 1))
    sigmoid = affine(tanh_impl.sigmoid_affine, (*shape[:-1], 2 * width), dtype)
    tanh = affine(tanh_impl.tanh_affine, shape, dtype)
    h, states, residuals = arrays.h, [], []
    for t in range(steps):
        kept = h if left is None else h * left[t]
        gates, candidate = mx.split(mx.addmm(bias, kept, arrays.recurrent), [2 * width], axis=-1)
        gates = gate_value(z_gates[t] + gates)
        reset, update = mx.split(sigmoid(gates), 2, axis=-1)
        value = candidate_value(z_candidate[t] + reset * candidate)
        new = tanh(value)
        new = new + update * (kept - new)
        residuals.append((h, kept, gates, value, candidate))
        h = new if masks is None else mx.where(masks[t], new, h)
        states.append(h)
    return [concat_time(states), h, *(concat_time(each) for each in zip(*residuals, strict=True))]


def gru_backward(
    arrays: GRUArrays,
    tanh_impl: TanhImplementation,
    steps: int,
    cotangents: Sequence[mx.array],
    residuals: Sequence[mx.array],
) -> list[mx.array]:
    """The gradient of each array of :meth:`GRUArrays.to_list`."""
    before, kept, gates, value, candidate = residuals
    width = kept.shape[-1]
    (s_offset, s_gain), (t_offset, t_gain) = tanh_impl.sigmoid_affine, tanh_impl.tanh_affine
    reset, update = mx.split(s_offset + s_gain * gates, 2, axis=-1)
    new = t_offset + t_gain * value
    scale = tanh_impl.grad_scale
    by_candidate = tanh_impl.slopes(value, (t_gain * scale) * (1.0 - update))
    by_gates = tanh_impl.slopes(
        gates, (s_gain * scale) * mx.concatenate([by_candidate * candidate, kept - new], axis=-1)
    )
    if arrays.mask is not None:
        by_candidate, by_gates, update = (each * arrays.mask for each in (by_candidate, by_gates, update))
    slopes = mx.concatenate([by_gates, by_candidate * reset], axis=-1)
    slopes_at = split_time(slopes.reshape(*slopes.shape[:-1], 3, width), steps, -3)
    update_at = split_time(update, steps)
    left = None if arrays.left is None else split_time(arrays.left, steps)
    padding = split_column(None if arrays.mask is None else 1.0 - arrays.mask, width, steps)
    states_at = split_time(cotangents[0], steps)
    back = mx.contiguous(mx.swapaxes(arrays.recurrent, -1, -2))
    g = cotangents[1]
    of_states, of_sums, of_kept = [], [], []
    for t in reversed(range(steps)):
        g = g + states_at[t]
        of_states.append(g)
        d = to_head_grads(g, slopes_at[t])
        of_sums.append(d)
        of_kept.append(d @ back + g * update_at[t])
        through = of_kept[-1] if left is None else of_kept[-1] * left[t]
        g = through if padding is None else through + g * padding[t]
    sums = concat_time(of_sums[::-1])
    grad_candidate = concat_time(of_states[::-1]) * by_candidate
    gate_sums, candidate_sums = mx.split(sums, [2 * width], axis=-1)
    return [
        mx.concatenate([gate_sums, grad_candidate], axis=-1),
        g,
        weight_gradient(kept, sums),
        candidate_sums.sum(axis=-2, keepdims=True),
        *([] if arrays.left is None else [concat_time(of_kept[::-1]) * before]),
        *([] if arrays.mask is None else [mx.zeros_like(arrays.mask)]),
    ]


def run_lstm(
    arrays: LSTMArrays, h: mx.array, mask: mx.array | None, tanh_impl: TanhImplementation, steps: int
) -> tuple[mx.array, mx.array, mx.array]:
    """All states, in rows (..., R, H); the last, and the last memory (..., B, H); ``mask`` as of :class:`GRUArrays`."""
    own = len(arrays.to_list())

    def function(*flat: mx.array) -> list[mx.array]:
        loop = lstm.Forward(LSTMArrays(*flat[:own]), tanh_impl, steps, flat[own + 1] if mask is not None else None)
        masks = split_column(None if mask is None else flat[own + 1], h.shape[-1], steps, mx.bool_)
        state, states = flat[own], []
        for t in range(steps):
            new = loop.step(t, state)
            state = new if masks is None else mx.where(masks[t], new, state)
            states.append(state)
        return [concat_time(states), state, loop.c, *loop.residuals()]

    def pullback(
        flat: Sequence[mx.array], cotangents: Sequence[mx.array], residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        given = None if mask is None else flat[own + 1]
        loop = lstm.Backward(LSTMArrays(*flat[:own]), tanh_impl, steps, given, residuals, cotangents[2])
        masks = split_column(given, h.shape[-1], steps)
        states_at = split_time(cotangents[0], steps)
        g = cotangents[1]
        for t in reversed(range(steps)):
            g = g + states_at[t]
            if masks is None:
                g = loop.step(t, g)
            else:
                read = g * masks[t]
                g = loop.step(t, read) + (g - read)
        return [*loop.gradients(), g, *([] if given is None else [mx.zeros_like(given)])]

    optional = [] if mask is None else [mask]
    states, last, memory = custom_vjp(function, pullback, output_count=3)(*arrays.to_list(), h, *optional)
    return states, last, memory
