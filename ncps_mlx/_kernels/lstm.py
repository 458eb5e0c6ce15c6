"""An LSTM's step before each step of a cell, forward and back, as part of the cell's own pass over a sequence.

The cell's loop calls :meth:`Forward.step` before its own step, and going back :meth:`Backward.step` after it. As in the
cell, the derivatives of all that is pointwise are formed for all steps at once, and the weights' gradient is one
product after the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from ncps_mlx._kernels.layout import concat_time, expand_column, split_time, weight_gradient
from ncps_mlx._kernels.tanh import TanhImplementation, affine

__all__ = ["Backward", "Forward", "GATES", "Lstm"]

GATES = "tsss"
"""The functions of the gates given, write, keep and show: tanh, and sigmoid three times."""


@dataclass(frozen=True)
class Lstm:
    """Its arrays, whose last axis 4H is the gates side by side, each times the rate of its function.

    Attributes:
        z: What the inputs contribute to the gates, in rows (..., R, 4H).
        c: First memory (..., B, H).
        recurrent: Weights from the state (..., H, 4H).
    """

    z: mx.array
    c: mx.array
    recurrent: mx.array

    def flat(self) -> list[mx.array]:
        """All arrays in order."""
        return [self.z, self.c, self.recurrent]


class Forward:
    """Going forward.

    Args:
        own: The arrays.
        squash: How tanh and sigmoid are computed.
        steps: T.
        mask: Where there is a reading, 0 or 1 (..., R, 1): elsewhere the memory is held. ``None``: everywhere.

    Attributes:
        c: The memory (..., B, H) after the steps so far.
    """

    def __init__(self, own: Lstm, tanh_impl: TanhImplementation, steps: int, mask: mx.array | None) -> None:
        self.c = own.c
        self._z, self._recurrent = split_time(own.z, steps), own.recurrent
        width = own.c.shape[-1]
        self._masks = None if mask is None else split_time(expand_column(mask, width).astype(mx.bool_), steps)
        self._value = tanh_impl.value((*own.c.shape[:-1], 4 * width), own.c.dtype)
        self._gates = gates(tanh_impl, own.c.shape, own.c.dtype)
        self._tanh = tanh_impl.tanh(own.c.shape, own.c.dtype)
        self._rate = mx.broadcast_to(mx.array(tanh_impl.tanh_input_scale, dtype=own.c.dtype), own.c.shape)
        self._kept: list[tuple[mx.array, ...]] = []

    def step(self, t: int, h: mx.array) -> mx.array:
        """What the cell reads at step t in place of its state (..., B, H)."""
        values = self._value(mx.addmm(self._z[t], h, self._recurrent))
        given, write, keep, show = self._gates(values)
        new = self.c * keep + given * write
        bent = self._tanh(self._rate * new)
        self._kept.append((h, self.c, values, bent))
        self.c = new if self._masks is None else mx.where(self._masks[t], new, self.c)
        return bent * show

    def kept(self) -> list[mx.array]:
        """Of all steps, in rows: state and memory before, values of the gates, and tanh of the memory after."""
        return [concat_time(each) for each in zip(*self._kept, strict=True)]


class Backward:
    """Going back.

    Args:
        own: The arrays.
        squash: How tanh and sigmoid were computed.
        steps: T.
        mask: As going forward.
        kept: What :meth:`Forward.kept` gave.
        of_c: Gradient of the last memory (..., B, H).

    Attributes:
        of_c: Gradient of the memory before the steps so far.
    """

    def __init__(
        self,
        own: Lstm,
        tanh_impl: TanhImplementation,
        steps: int,
        mask: mx.array | None,
        kept: Sequence[mx.array],
        of_c: mx.array,
    ) -> None:
        self.of_c = of_c
        self._before, memory, values, bent = kept
        given, write, keep, show = gates(tanh_impl, bent.shape, bent.dtype)(values)
        of_given, of_rest = (tanh_impl.grad_scale * gain for _, gain in (tanh_impl.tanh_affine, tanh_impl.sigmoid_affine))
        factors = [of_given * write, of_rest * given, of_rest * memory, of_rest * bent]
        slopes = tanh_impl.slopes(values, mx.concatenate(factors, axis=-1))
        if mask is not None:
            slopes, keep = slopes * mask, mask * keep + (1.0 - mask)
        self._slopes, self._keep = split_time(slopes, steps), split_time(keep, steps)
        self._shown = split_time(show * (1.0 - bent * bent), steps)
        self._back = mx.contiguous(mx.swapaxes(own.recurrent, -1, -2))
        self._grown: list[mx.array] = []

    def step(self, t: int, g: mx.array) -> mx.array:
        """From the gradient of what the cell read at step t to that of the state before (..., B, H)."""
        of_new = self.of_c + g * self._shown[t]
        d = mx.concatenate([of_new, of_new, of_new, g], axis=-1) * self._slopes[t]
        self._grown.append(d)
        self.of_c = of_new * self._keep[t]
        return d @ self._back

    def gradients(self) -> list[mx.array]:
        """With respect to each array of :meth:`Lstm.flat`, after all steps."""
        of_z = concat_time(self._grown[::-1])
        return [of_z, self.of_c, weight_gradient(self._before, of_z)]


def gates(tanh_impl: TanhImplementation, shape: Sequence[int], dtype: mx.Dtype) -> Callable[[mx.array], list[mx.array]]:
    """A function of values (..., 4H) to the gates, each of the shape (..., H): tanh of the first, else sigmoid."""
    tanh = affine(tanh_impl.tanh_affine, shape, dtype)
    sigmoid = affine(tanh_impl.sigmoid_affine, (*shape[:-1], 3 * shape[-1]), dtype)

    def split(values: mx.array) -> list[mx.array]:
        given, rest = mx.split(values, [shape[-1]], axis=-1)
        return [tanh(given), *mx.split(sigmoid(rest), 3, axis=-1)]

    return split
