"""One step of an LTC's solver, driven by a gate (dense) or by synapses (wired), forward and backward.

Rows R are those of all time steps one after the other, T * B, or of all solver steps, T * K * B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx._kernels.activations import ACTIVATIONS, DERIVATIVES
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import (
    contiguous,
    expand_column,
    split_column,
    split_time,
    to_head_grads,
    transposed,
    weight_gradient,
)
from ncps_mlx._kernels.tanh import TanhImplementation

__all__ = ["DenseGate", "Residuals", "SolverStep", "Synapses", "gate_input_scale", "synapse_sums"]

Residuals = tuple[mx.array, ...]
"""What each solver step keeps, each (..., B, F); of all solver steps, each (..., T * K * B, F)."""

Step = Callable[[int, mx.array], tuple[Residuals, mx.array]]


class SolverStep(ABC):
    """The step from the state v (..., B, U) to v' = (v + p) / q, built on its own arrays.

    Attributes:
        steps: T.
        unfolds: K, solver steps for each time step.
        slope_count: How many arrays :meth:`backward` multiplies by.
    """

    steps: int
    unfolds: int
    slope_count: int

    @abstractmethod
    def bind(self, v: mx.array) -> Step:
        """A function from t and v to the residuals and v', for states of the shape of ``v``."""

    @abstractmethod
    def slopes(self, residuals: Residuals, v_after: mx.array) -> tuple[mx.array, Residuals]:
        """For all solver steps at once: 1 / q, and what :meth:`backward` multiplies by; ``v_after`` is v'."""

    @abstractmethod
    def backward(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Residuals]:
        """From the gradient of v' to that of v through p and q; and those of the sums in between, the last first."""

    @abstractmethod
    def gradients(
        self,
        v: mx.array,
        residuals: Residuals,
        v_after: mx.array,
        grad_numerator: mx.array,
        grad_sums: Residuals,
    ) -> list[mx.array]:
        """The gradient of each own array after all steps, from that of v + p and those :meth:`backward` returned."""

    def repeat_unfolds(self, x: mx.array) -> mx.array:
        """Rows of all time steps as rows of all solver steps."""
        *leading, rows, features = x.shape
        split = x.reshape(*leading, self.steps, 1, rows // self.steps, features)
        full = mx.broadcast_to(split, (*leading, self.steps, self.unfolds, rows // self.steps, features))
        return full.reshape(*leading, rows * self.unfolds, features)

    def sum_unfolds(self, x: mx.array) -> mx.array:
        """Gradients back through :meth:`repeat_unfolds`."""
        *leading, rows, features = x.shape
        batch = rows // (self.steps * self.unfolds)
        sums = x.reshape(*leading, self.steps, self.unfolds, batch, features).sum(axis=-3)
        return sums.reshape(*leading, self.steps * batch, features)


class Synapses(SolverStep):
    """Wired: (p, q) = delta (a post_weights + z) + (0, 1); where the time step is one number it is in the arrays.

    Here a is the value of a sigmoid (see ``tanh.TanhImplementation``) at v pre_weights - offset.

    Args:
        tanh_impl: How to compute sigmoids; its constants are in the arrays.
        steps: T.
        unfolds: K.
        arrays: ``pre_weights`` from U states to S synapses (..., U, S); ``offset`` (..., 1, S); ``post_weights`` from
            the synapses to both sums (..., S, 2U); ``z`` (..., T * B, 2U); and, if it varies, ``delta``
            (..., T * B, 1).
    """

    def __init__(self, tanh_impl: TanhImplementation, steps: int, unfolds: int, *arrays: mx.array) -> None:
        self.tanh_impl, self.steps, self.unfolds, self.slope_count = tanh_impl, steps, unfolds, 2
        self.pre_weights, self.offset, self.post_weights, self.z = arrays[:4]
        self.delta = arrays[4] if len(arrays) > 4 else None
        self.pre_weights_back = transposed(self.pre_weights)
        self.post_weights_back = tanh_impl.grad_scale * transposed(self.post_weights)

    def bind(self, v: mx.array) -> Step:
        """Residuals: the synapses' activity (..., B, S); and q, or, if the time step varies, both sums."""
        batch_shape, units = v.shape[:-1], v.shape[-1]
        value = self.tanh_impl.value((*batch_shape, self.offset.shape[-1]), v.dtype)
        zs = split_time(self.z, self.steps)
        bias = mx.broadcast_to(-self.offset, (*batch_shape, self.offset.shape[-1]))
        deltas = split_column(self.delta, 2 * units, self.steps)
        one = mx.broadcast_to(mx.array(1.0, dtype=v.dtype), v.shape)

        def step(t: int, v: mx.array) -> tuple[Residuals, mx.array]:
            a = value(mx.addmm(bias, v, self.pre_weights))
            sums = mx.addmm(zs[t], a, self.post_weights)
            if deltas is None:
                p, q = mx.split(sums, 2, axis=-1)
                return (a, q), (v + p) / q
            p, q = mx.split(deltas[t] * sums, 2, axis=-1)
            return (a, sums), (v + p) / (one + q)

        return step

    def slopes(self, residuals: Residuals, v_after: mx.array) -> tuple[mx.array, Residuals]:
        """Of both sums, as heads; and the activity itself, whose slopes cost less step by step than all at once."""
        a, sums = residuals
        if self.delta is None:
            inverse = 1.0 / sums
            both = mx.stack([inverse, -inverse * v_after], axis=-2)
        else:
            delta = self.repeat_unfolds(self.delta)
            inverse = 1.0 / (1.0 + delta * mx.split(sums, 2, axis=-1)[1])
            both = mx.stack([inverse, -inverse * v_after], axis=-2) * delta[..., None]
        return inverse, (both, a)

    def backward(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Residuals]:
        """Through the sums, then through the activity."""
        inner = self.tanh_impl.slopes(slopes[1], to_head_grads(g, slopes[0]) @ self.post_weights_back)
        return inner @ self.pre_weights_back, (inner,)

    def gradients(
        self,
        v: mx.array,
        residuals: Residuals,
        v_after: mx.array,
        grad_numerator: mx.array,
        grad_sums: Residuals,
    ) -> list[mx.array]:
        """Each a product over all steps."""
        (a, sums), (inner,) = residuals, grad_sums
        grad_both = mx.concatenate([grad_numerator, -grad_numerator * v_after], axis=-1)
        grad_delta = []
        if self.delta is not None:
            grad_delta = [self.sum_unfolds((grad_both * sums).sum(axis=-1, keepdims=True))]
            grad_both = grad_both * self.repeat_unfolds(self.delta)
        return [
            weight_gradient(v, inner),
            -inner.sum(axis=-2, keepdims=True),
            weight_gradient(a, grad_both),
            self.sum_unfolds(grad_both),
            *grad_delta,
        ]


def synapse_sums(
    tanh_impl: TanhImplementation,
    v: mx.array,
    pre_weights: mx.array,
    offset: mx.array,
    post_weights: mx.array,
    base: mx.array,
) -> mx.array:
    """What synapses add to both sums: a post_weights + base, with a as in :class:`Synapses`.

    Args:
        tanh_impl: How to compute sigmoids; its constants are in the arrays.
        v: Rows of what the synapses read (..., R, from).
        pre_weights: (..., from, S).
        offset: (..., 1, S).
        post_weights: (..., S, 2U).
        base: (..., 1, 2U).
    """

    def sums(
        v: mx.array, pre_weights: mx.array, offset: mx.array, post_weights: mx.array, base: mx.array
    ) -> list[mx.array]:
        a = tanh_impl.value((*v.shape[:-1], offset.shape[-1]), v.dtype)(v @ pre_weights - offset)
        return [a @ post_weights + base, a]

    def pullback(
        arrays: Sequence[mx.array], cotangents: Sequence[mx.array], residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        v, pre_weights, _, post_weights, _ = arrays
        ((d,), (a,)) = cotangents, residuals
        inner = tanh_impl.slopes(a, d @ (tanh_impl.grad_scale * mx.swapaxes(post_weights, -1, -2)))
        return [
            inner @ mx.swapaxes(pre_weights, -1, -2),
            weight_gradient(v, inner),
            -inner.sum(axis=-2, keepdims=True),
            weight_gradient(a, d),
            d.sum(axis=-2, keepdims=True),
        ]

    arrays = (v, pre_weights, offset, post_weights, base)
    if any(each.shape[:-2] != v.shape[:-2] for each in arrays):  # broadcast: MLX sums over the axes it added
        return sums(*arrays)[0]
    return custom_vjp(sums, pullback, output_count=1)(*arrays)[0]


class DenseGate(SolverStep):
    """Dense: p = delta f target, q = delta f + base, where f is the activation of the last sum.

    The first sum is v recurrent + z; each next one reads a backbone layer's activation times its dropout mask.

    Args:
        activation: Its name; its derivative must follow from its own value.
        tanh_impl: How to compute tanh; its constant is in the arrays if that is the activation.
        layers: L, the number of backbone layers.
        delta: Time step of the solver, or ``None`` if it varies.
        steps: T.
        unfolds: K.
        arrays: ``recurrent`` (..., H, U), ``target`` A (..., 1, H), ``z`` (..., T * B, U); ``base`` (..., 1, H), or, if
            the time step varies, (..., T * B, H) and ``delta`` (..., T * B, 1); then of each layer its weights
            (..., U, out); then of each its bias (..., 1, out); then, if there is dropout, of each its mask
            (..., T * B, U).
    """

    def __init__(
        self,
        activation: str,
        tanh_impl: TanhImplementation,
        layers: int,
        delta: float | None,
        steps: int,
        unfolds: int,
        *arrays: mx.array,
    ) -> None:
        self.activation, self.tanh_impl, self.steps, self.unfolds = activation, tanh_impl, steps, unfolds
        recurrent, self.target, self.z, self.base, *rest = arrays
        self.varying_time = delta is None
        self.delta: mx.array | float = rest.pop(0) if delta is None else delta
        self.weights = [recurrent, *rest[:layers]]
        self.slope_count = len(self.weights)
        self.biases = rest[layers : 2 * layers]
        self.dropout = rest[2 * layers :]
        self.weights_back = [transposed(weight) for weight in self.weights]

    def bind(self, v: mx.array) -> Step:
        """Residuals: each activation (..., B, U), that of the gate last; then q."""
        tanh = self.activation == "tanh"
        shapes = [(*v.shape[:-1], weight.shape[-1]) for weight in self.weights]
        activations = [
            self.tanh_impl.tanh(shape, v.dtype) if tanh else ACTIVATIONS[self.activation] for shape in shapes
        ]
        biases = [mx.broadcast_to(bias, shape) for bias, shape in zip(self.biases, shapes[1:], strict=True)]
        dropout = [split_time(mask, self.steps) for mask in self.dropout]
        zs, target = split_time(self.z, self.steps), repeat_row(self.target, v)
        if isinstance(self.delta, mx.array):
            deltas = split_time(expand_column(self.delta, v.shape[-1]), self.steps)
            bases = split_time(self.base, self.steps)
        else:
            constant = mx.broadcast_to(mx.array(self.delta, dtype=v.dtype), v.shape)
            deltas, bases = [constant] * self.steps, [repeat_row(self.base, v)] * self.steps

        def step(t: int, v: mx.array) -> tuple[Residuals, mx.array]:
            values = [activations[0](mx.addmm(zs[t], v, self.weights[0]))]
            for i, bias in enumerate(biases):
                y = values[-1] * dropout[i][t] if dropout else values[-1]
                values.append(activations[i + 1](mx.addmm(bias, y, self.weights[i + 1])))
            delta_f = deltas[t] * values[-1]
            q = delta_f + bases[t]
            return (*values, q), (v + delta_f * target) / q

        return step

    def slopes(self, residuals: Residuals, v_after: mx.array) -> tuple[mx.array, Residuals]:
        """Of each sum."""
        scale = gate_input_scale(self.activation, self.tanh_impl)
        *layers, gate = [DERIVATIVES[self.activation](each) * (1 / scale) for each in residuals[:-1]]
        inverse = 1.0 / residuals[-1]
        return inverse, (
            *self._times_dropout(layers),
            self._times_delta(inverse * (self.target - v_after) * gate),
        )

    def _times_delta(self, x: mx.array) -> mx.array:
        """Rows of all solver steps times the time step."""
        return x * (self.repeat_unfolds(self.delta) if isinstance(self.delta, mx.array) else self.delta)

    def _times_dropout(self, layers: Sequence[mx.array]) -> list[mx.array]:
        """Rows of the backbone's layers times their dropout masks."""
        if not self.dropout:
            return list(layers)
        return [each * self.repeat_unfolds(mask) for each, mask in zip(layers, self.dropout, strict=True)]

    def backward(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Residuals]:
        """Through the gate, then through the backbone."""
        grad_sums = [g * slopes[-1]]
        for slope, weight in zip(slopes[-2::-1], self.weights_back[:0:-1], strict=True):
            grad_sums.append((grad_sums[-1] @ weight) * slope)
        return grad_sums[-1] @ self.weights_back[0], tuple(grad_sums)

    def gradients(
        self,
        v: mx.array,
        residuals: Residuals,
        v_after: mx.array,
        grad_numerator: mx.array,
        grad_sums: Residuals,
    ) -> list[mx.array]:
        """Each over all steps."""
        *layers, f = residuals[:-1]
        first, *rest = grad_sums[::-1]
        grad_q = -grad_numerator * v_after
        of_time = []
        if self.varying_time:
            grad_delta = ((grad_numerator * self.target + grad_q) * f).sum(axis=-1, keepdims=True)
            of_time = [self.sum_unfolds(grad_q), self.sum_unfolds(grad_delta)]
        return [
            weight_gradient(v, first),
            (grad_numerator * self._times_delta(f)).sum(axis=-2, keepdims=True),
            self.sum_unfolds(first),
            *(of_time or [grad_q.sum(axis=-2, keepdims=True)]),
            *(weight_gradient(y, d) for y, d in zip(self._times_dropout(layers), rest, strict=True)),
            *(d.sum(axis=-2, keepdims=True) for d in rest),
            *(mx.zeros_like(mask) for mask in self.dropout),
        ]


def gate_input_scale(activation: str, tanh_impl: TanhImplementation) -> float:
    """What a gate's weights and inputs are to be multiplied by."""
    return tanh_impl.tanh_input_scale if activation == "tanh" else 1.0


def repeat_row(row: mx.array, v: mx.array) -> mx.array:
    """A row (..., 1, U) repeated for each of the rows of v."""
    return contiguous(mx.broadcast_to(row, v.shape))
