"""An LSTM step before each step of a cell, forward and backward, inside the cell's own loop over a sequence.

The cell's loop calls :meth:`Forward.step` before its own step and, going back, :meth:`Backward.step` after it. As in
the cell, all pointwise derivatives are computed for all steps at once, and the weights' gradient is one product after
the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from ncps_mlx._kernels.layout import concat_time, split_column, split_time, weight_gradient
from ncps_mlx._kernels.tanh import TanhImplementation, affine

__all__ = ["Backward", "Forward", "GATE_FUNCTIONS", "LSTMArrays"]

GATE_FUNCTIONS = "tsss"
"""Of candidate, input gate, forget gate and output gate: tanh, and sigmoid three times."""


@dataclass(frozen=True)
class LSTMArrays:
    """An LSTM's arrays; the last axis 4H holds all gates, each multiplied by the input scale of its function.

    Attributes:
        z: The inputs' part of the gates, in rows (..., R, 4H).
        c: First memory (..., B, H).
        recurrent: Weights from the state (..., H, 4H).
    """

    z: mx.array
    c: mx.array
    recurrent: mx.array

    def to_list(self) -> list[mx.array]:
        """All arrays in order."""
        return [self.z, self.c, self.recurrent]


class Forward:
    """The forward pass; ``c`` is the memory (..., B, H) after the steps so far.

    Args:
        arrays: The LSTM's arrays.
        tanh_impl: How tanh and sigmoid are computed.
        steps: T.
        mask: 1 where there is a reading, else 0 and the memory is held (..., R, 1); ``None``: readings everywhere.
    """

    def __init__(
        self, arrays: LSTMArrays, tanh_impl: TanhImplementation, steps: int, mask: mx.array | None
    ) -> None:
        shape, dtype = arrays.c.shape, arrays.c.dtype
        self.c = arrays.c
        self._z, self._recurrent = split_time(arrays.z, steps), arrays.recurrent
        self._masks = split_column(mask, shape[-1], steps, mx.bool_)
        self._value = tanh_impl.value((*shape[:-1], 4 * shape[-1]), dtype)
        self._gates = split_gates(tanh_impl, shape, dtype)
        self._tanh = tanh_impl.tanh(shape, dtype)
        self._scale = mx.broadcast_to(mx.array(tanh_impl.tanh_input_scale, dtype=dtype), shape)
        self._residuals: list[tuple[mx.array, ...]] = []

    def step(self, t: int, h: mx.array) -> mx.array:
        """Take step t from the state h (..., B, H) to what the cell reads in its place."""
        values = self._value(mx.addmm(self._z[t], h, self._recurrent))
        candidate, input_gate, forget_gate, output_gate = self._gates(values)
        new = self.c * forget_gate + candidate * input_gate
        tanh_new = self._tanh(self._scale * new)
        self._residuals.append((h, self.c, values, tanh_new))
        self.c = new if self._masks is None else mx.where(self._masks[t], new, self.c)
        return tanh_new * output_gate

    def residuals(self) -> list[mx.array]:
        """Of all steps, in rows: state and memory before, values of the gates, tanh of the memory after."""
        return [concat_time(each) for each in zip(*self._residuals, strict=True)]


class Backward:
    """The backward pass; ``grad_c`` is the gradient of the memory before the steps gone back through so far.

    Args:
        arrays: The LSTM's arrays.
        tanh_impl: As in the forward pass.
        steps: T.
        mask: As in the forward pass.
        residuals: What :meth:`Forward.residuals` returned.
        grad_c: Gradient of the last memory (..., B, H).
    """

    def __init__(
        self,
        arrays: LSTMArrays,
        tanh_impl: TanhImplementation,
        steps: int,
        mask: mx.array | None,
        residuals: Sequence[mx.array],
        grad_c: mx.array,
    ) -> None:
        self.grad_c = grad_c
        self._h, memory, values, tanh_new = residuals
        gates = split_gates(tanh_impl, tanh_new.shape, tanh_new.dtype)(values)
        candidate, input_gate, forget_gate, output_gate = gates
        by_tanh, by_sigmoid = (
            tanh_impl.grad_scale * gain for _, gain in (tanh_impl.tanh_affine, tanh_impl.sigmoid_affine)
        )
        factors = [by_tanh * input_gate, by_sigmoid * candidate, by_sigmoid * memory, by_sigmoid * tanh_new]
        slopes = tanh_impl.slopes(values, mx.concatenate(factors, axis=-1))
        if mask is not None:
            slopes, forget_gate = slopes * mask, mask * forget_gate + (1.0 - mask)
        self._slopes, self._forget_gate = split_time(slopes, steps), split_time(forget_gate, steps)
        self._output_slopes = split_time(output_gate * (1.0 - tanh_new * tanh_new), steps)
        self._recurrent_back = mx.contiguous(mx.swapaxes(arrays.recurrent, -1, -2))
        self._grad_z: list[mx.array] = []

    def step(self, t: int, g: mx.array) -> mx.array:
        """Go from the gradient of what the cell read at step t to that of the state before (..., B, H)."""
        grad_new = self.grad_c + g * self._output_slopes[t]
        d = mx.concatenate([grad_new, grad_new, grad_new, g], axis=-1) * self._slopes[t]
        self._grad_z.append(d)
        self.grad_c = grad_new * self._forget_gate[t]
        return d @ self._recurrent_back

    def gradients(self) -> list[mx.array]:
        """The gradient of each array of :meth:`LSTMArrays.to_list`, after all steps."""
        grad_z = concat_time(self._grad_z[::-1])
        return [grad_z, self.grad_c, weight_gradient(self._h, grad_z)]


def split_gates(
    tanh_impl: TanhImplementation, shape: Sequence[int], dtype: mx.Dtype
) -> Callable[[mx.array], list[mx.array]]:
    """A function from values (..., 4H) to the four gates, each of this shape (..., H)."""
    tanh = affine(tanh_impl.tanh_affine, shape, dtype)
    sigmoid = affine(tanh_impl.sigmoid_affine, (*shape[:-1], 3 * shape[-1]), dtype)

    def split(values: mx.array) -> list[mx.array]:
        candidate, gates = mx.split(values, [shape[-1]], axis=-1)
        return [tanh(candidate), *mx.split(sigmoid(gates), 3, axis=-1)]

    return split
