"""One step of an LTC's solver, driven by synapses or by a gate, forward and back.

Rows R are those of all time steps one after the other, T * B, or of all solver steps, T * K * B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx._kernels.activations import ACTIVATIONS, DERIVATIVES
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import expand_column, split_time, to_head_grads, transposed, weight_gradient
from ncps_mlx._kernels.tanh import TanhImplementation

__all__ = ["Drive", "Gate", "Synapses", "Values", "gate_input_scale", "synapse_sums"]

Values = tuple[mx.array, ...]
"""What each solver step keeps, each (..., B, F); of all of them, each (..., T * K * B, F)."""

Step = Callable[[int, mx.array], tuple[Values, mx.array]]


class Drive(ABC):
    """What changes the state v (..., B, U) to v' = (v + p) / q; built on its own arrays.

    Attributes:
        steps: T.
        unfolds: K, solver steps for each time step.
        slope_count: How many arrays :meth:`back` multiplies by.
    """

    steps: int
    unfolds: int
    slope_count: int

    @abstractmethod
    def bind(self, v: mx.array) -> Step:
        """A function of t and v to what is kept, and v'.

        Args:
            v: A state, for its shape.
        """

    @abstractmethod
    def slopes(self, kept: Values, after: mx.array) -> tuple[mx.array, Values]:
        """For all solver steps at once, 1 / q and what :meth:`back` multiplies by; ``after`` is v'."""

    @abstractmethod
    def back(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Values]:
        """From the gradient of v' to that of v through p and q, and those of the products between, the last first."""

    @abstractmethod
    def gradients(
        self, v: mx.array, kept: Values, after: mx.array, of_sum: mx.array, through: Values
    ) -> list[mx.array]:
        """Of the own arrays, from the gradient of v + p, after all steps."""

    def over_unfolds(self, x: mx.array) -> mx.array:
        """Rows of all time steps as rows of all solver steps."""
        *lead, rows, features = x.shape
        apart = x.reshape(*lead, self.steps, 1, rows // self.steps, features)
        every = mx.broadcast_to(apart, (*lead, self.steps, self.unfolds, rows // self.steps, features))
        return every.reshape(*lead, rows * self.unfolds, features)

    def sum_unfolds(self, x: mx.array) -> mx.array:
        """The inverse of :meth:`over_unfolds` for gradients."""
        *lead, rows, features = x.shape
        batch = rows // (self.steps * self.unfolds)
        each = x.reshape(*lead, self.steps, self.unfolds, batch, features).sum(axis=-3)
        return each.reshape(*lead, self.steps * batch, features)


class Synapses(Drive):
    """Wired: (p, q) = delta (a gather + z) + (0, 1) with the time step; if it is in the arrays, a gather + z.

    Here a is the value whose form is a sigmoid (see ``tanh.Squash``), of v spread - shift.

    Args:
        squash: How to compute sigmoids; its constants are in the arrays.
        steps: T.
        unfolds: K.
        arrays: ``spread``, from U states to S synapses (..., U, S); ``shift`` (..., 1, S); ``gather``, from the
            synapses to both sums (..., S, 2U); ``z`` (..., T * B, 2U); and, if it varies, ``delta`` (..., T * B, 1).
    """

    def __init__(self, tanh_impl: TanhImplementation, steps: int, unfolds: int, *arrays: mx.array) -> None:
        self.tanh_impl, self.steps, self.unfolds, self.slope_count = tanh_impl, steps, unfolds, 2
        self.spread, self.shift, self.gather, self.z = arrays[:4]
        self.delta = arrays[4] if len(arrays) > 4 else None
        self.spread_back, self.gather_back = transposed(self.spread), tanh_impl.grad_scale * transposed(self.gather)

    def bind(self, v: mx.array) -> Step:
        """Kept are the synapses' activity (..., B, S), and q or, if the time step varies, (p, q) but for it and 1."""
        lead, units = v.shape[:-1], v.shape[-1]
        act = self.tanh_impl.value((*lead, self.shift.shape[-1]), v.dtype)
        zs = split_time(self.z, self.steps)
        away = mx.broadcast_to(-self.shift, (*lead, self.shift.shape[-1]))
        deltas = None if self.delta is None else split_time(expand_column(self.delta, 2 * units), self.steps)
        one = mx.broadcast_to(mx.array(1.0, dtype=v.dtype), v.shape)

        def step(t: int, v: mx.array) -> tuple[Values, mx.array]:
            a = act(mx.addmm(away, v, self.spread))
            sums = mx.addmm(zs[t], a, self.gather)
            if deltas is None:
                p, q = mx.split(sums, 2, axis=-1)
                return (a, q), (v + p) / q
            p, q = mx.split(deltas[t] * sums, 2, axis=-1)
            return (a, sums), (v + p) / (one + q)

        return step

    def slopes(self, kept: Values, after: mx.array) -> tuple[mx.array, Values]:
        """Of both sums, side by side as heads; and the activity, whose slopes cost less step by step than at once."""
        a, sums = kept
        if self.delta is None:
            inverse = 1.0 / sums
            both = mx.stack([inverse, -inverse * after], axis=-2)
        else:
            delta = self.over_unfolds(self.delta)
            inverse = 1.0 / (1.0 + delta * mx.split(sums, 2, axis=-1)[1])
            both = mx.stack([inverse, -inverse * after], axis=-2) * delta[..., None]
        return inverse, (both, a)

    def back(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Values]:
        """Through the sums, then through the activity."""
        inner = self.tanh_impl.slopes(slopes[1], to_head_grads(g, slopes[0]) @ self.gather_back)
        return inner @ self.spread_back, (inner,)

    def gradients(
        self, v: mx.array, kept: Values, after: mx.array, of_sum: mx.array, through: Values
    ) -> list[mx.array]:
        """Each a product over all steps."""
        (a, sums), (inner,) = kept, through
        of_both = mx.concatenate([of_sum, -of_sum * after], axis=-1)
        of_delta = []
        if self.delta is not None:
            of_delta = [self.sum_unfolds((of_both * sums).sum(axis=-1, keepdims=True))]
            of_both = of_both * self.over_unfolds(self.delta)
        return [
            weight_gradient(v, inner),
            -inner.sum(axis=-2, keepdims=True),
            weight_gradient(a, of_both),
            self.sum_unfolds(of_both),
            *of_delta,
        ]


def synapse_sums(
    tanh_impl: TanhImplementation, v: mx.array, spread: mx.array, shift: mx.array, gather: mx.array, base: mx.array
) -> mx.array:
    """What synapses add to both sums, for rows of what they read: a gather + base, with a as of :class:`Synapses`.

    Args:
        squash: How to compute sigmoids; its constants are in the arrays.
        v: (..., R, from).
        spread: (..., from, S).
        shift: (..., 1, S).
        gather: (..., S, 2U).
        base: (..., 1, 2U).
    """

    def sums(
        v: mx.array, spread: mx.array, shift: mx.array, gather: mx.array, base: mx.array
    ) -> list[mx.array]:
        a = tanh_impl.value((*v.shape[:-1], shift.shape[-1]), v.dtype)(v @ spread - shift)
        return [a @ gather + base, a]

    def pullback(
        arrays: Sequence[mx.array], of_given: Sequence[mx.array], kept: Sequence[mx.array]
    ) -> list[mx.array]:
        v, spread, _, gather, _ = arrays
        ((d,), (a,)) = of_given, kept
        inner = tanh_impl.slopes(a, d @ (tanh_impl.grad_scale * mx.swapaxes(gather, -1, -2)))
        return [
            inner @ mx.swapaxes(spread, -1, -2),
            weight_gradient(v, inner),
            -inner.sum(axis=-2, keepdims=True),
            weight_gradient(a, d),
            d.sum(axis=-2, keepdims=True),
        ]

    arrays = (v, spread, shift, gather, base)
    if any(each.shape[:-2] != v.shape[:-2] for each in arrays):  # broadcast: the sums over that are MLX's
        return sums(*arrays)[0]
    return custom_vjp(sums, pullback, output_count=1)(*arrays)[0]


class Gate(Drive):
    """Dense: p = delta f target, q = delta f + base, where f is the activation of the last sum.

    The first sum is v recurrent + z; from each backbone layer's activation, times its dropout, comes the next.

    Args:
        activation: Its name; it must have a derivative by its own value.
        squash: How to compute tanh; its constant is in the arrays if that is the activation.
        layers: How many backbone layers there are, L.
        delta: Time step of the solver, or ``None`` if it varies.
        steps: T.
        unfolds: K.
        arrays: ``recurrent`` (..., H, U), ``target`` A (..., 1, H), ``z`` (..., T * B, U); ``base`` (..., 1, H), or, if
            the time step varies, (..., T * B, H) and ``delta`` (..., T * B, 1); then for each layer its weights
            (..., U, out); then for each its bias (..., 1, out); then, if there is dropout, for each its factors
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
        self.varying = delta is None
        self.delta: mx.array | float = rest.pop(0) if delta is None else delta
        self.weights = [recurrent, *rest[:layers]]
        self.slope_count = len(self.weights)
        self.biases = rest[layers : 2 * layers]
        self.dropout = rest[2 * layers :]
        self.weights_back = [transposed(weight) for weight in self.weights]

    def bind(self, v: mx.array) -> Step:
        """Each activation (..., B, U) is kept, that of the gate last, and then q."""
        tanh = self.activation == "tanh"
        shapes = [(*v.shape[:-1], weight.shape[-1]) for weight in self.weights]
        acts = [
            self.tanh_impl.tanh(shape, v.dtype) if tanh else ACTIVATIONS[self.activation] for shape in shapes
        ]
        added = [mx.broadcast_to(bias, shape) for bias, shape in zip(self.biases, shapes[1:], strict=True)]
        drops = [split_time(factors, self.steps) for factors in self.dropout]
        zs, target = split_time(self.z, self.steps), full(self.target, v)
        if isinstance(self.delta, mx.array):
            deltas, bases = split_time(expand_column(self.delta, v.shape[-1]), self.steps), split_time(self.base, self.steps)
        else:
            constant = mx.broadcast_to(mx.array(self.delta, dtype=v.dtype), v.shape)
            deltas, bases = [constant] * self.steps, [full(self.base, v)] * self.steps

        def step(t: int, v: mx.array) -> tuple[Values, mx.array]:
            kept = [acts[0](mx.addmm(zs[t], v, self.weights[0]))]
            for i, bias in enumerate(added):
                y = kept[-1] * drops[i][t] if drops else kept[-1]
                kept.append(acts[i + 1](mx.addmm(bias, y, self.weights[i + 1])))
            moved = deltas[t] * kept[-1]
            q = moved + bases[t]
            return (*kept, q), (v + moved * target) / q

        return step

    def slopes(self, kept: Values, after: mx.array) -> tuple[mx.array, Values]:
        """Of each sum."""
        rate = gate_input_scale(self.activation, self.tanh_impl)
        *inner, of_gate = [DERIVATIVES[self.activation](each) * (1 / rate) for each in kept[:-1]]
        inverse = 1.0 / kept[-1]
        return inverse, (*self._dropped(inner), self._moved(inverse * (self.target - after) * of_gate))

    def _moved(self, x: mx.array) -> mx.array:
        """Rows of all solver steps times the time step."""
        return x * (self.over_unfolds(self.delta) if isinstance(self.delta, mx.array) else self.delta)

    def _dropped(self, each_layer: Sequence[mx.array]) -> list[mx.array]:
        """Rows of the backbone's layers times their dropout."""
        if not self.dropout:
            return list(each_layer)
        return [
            each * self.over_unfolds(factors) for each, factors in zip(each_layer, self.dropout, strict=True)
        ]

    def back(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Values]:
        """Through the gate, then through the backbone."""
        through = [g * slopes[-1]]
        for slope, weight in zip(slopes[-2::-1], self.weights_back[:0:-1], strict=True):
            through.append((through[-1] @ weight) * slope)
        return through[-1] @ self.weights_back[0], tuple(through)

    def gradients(
        self, v: mx.array, kept: Values, after: mx.array, of_sum: mx.array, through: Values
    ) -> list[mx.array]:
        """Each over all steps."""
        *acts, f = kept[:-1]
        first, *rest = through[::-1]
        of_q = -of_sum * after
        of_time = []
        if self.varying:
            of_moved = ((of_sum * self.target + of_q) * f).sum(axis=-1, keepdims=True)
            of_time = [self.sum_unfolds(of_q), self.sum_unfolds(of_moved)]
        return [
            weight_gradient(v, first),
            (of_sum * self._moved(f)).sum(axis=-2, keepdims=True),
            self.sum_unfolds(first),
            *(of_time or [of_q.sum(axis=-2, keepdims=True)]),
            *(weight_gradient(y, of_next) for y, of_next in zip(self._dropped(acts), rest, strict=True)),
            *(of_next.sum(axis=-2, keepdims=True) for of_next in rest),
            *(mx.zeros_like(factors) for factors in self.dropout),
        ]


def gate_input_scale(activation: str, tanh_impl: TanhImplementation) -> float:
    """What a gate's weights and inputs are to be multiplied by."""
    return tanh_impl.tanh_input_scale if activation == "tanh" else 1.0


def full(row: mx.array, v: mx.array) -> mx.array:
    """A row (..., 1, U) for each of the rows of v."""
    return mx.contiguous(mx.broadcast_to(row, v.shape))
