"""What drives an LTC's solver, synapses or a gate, forward and back: two sums that change at every solver step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx.activations import ACTIVATIONS, DERIVATIVES
from ncps_mlx.backbone import transposed
from ncps_mlx.by_hand import with_gradient
from ncps_mlx.recurrent import slice_time
from ncps_mlx.rows import weight_gradient
from ncps_mlx.squash import Squash

__all__ = ["Drive", "Gate", "Synapses", "Values", "gate_rate", "synapse_sums"]

Values = tuple[mx.array, ...]
"""What each solver step keeps, each (..., B, F); of all of them, each (..., T, K, B, F)."""

Step = Callable[[int, mx.array, mx.array], tuple[Values, mx.array]]


class Drive(ABC):
    """Where p and q come from; built on its own arrays, each with a batch axis: (..., 1 or more, F)."""

    squash: Squash

    @abstractmethod
    def bind(self, v: mx.array) -> Step:
        """A function of t, state (..., B, U), and inputs' part: to what is kept, and p and q side by side.

        Args:
            v: A state, for its shape.
        """

    @abstractmethod
    def slopes(self, kept: Values, by_p: mx.array, by_q: mx.array) -> Values:
        """For all steps at once, what :meth:`back` multiplies by."""

    @abstractmethod
    def back(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Values]:
        """From the gradient of v' to that of v through p and q, and those of the products between, the last first."""

    @abstractmethod
    def gradients(
        self, v: mx.array, kept: Values, through: Values, of_sums: mx.array
    ) -> tuple[mx.array, list[mx.array]]:
        """Gradients of z at each solver step, and of the drive's own arrays."""


class Synapses(Drive):
    """Wired: (p, q) = a gather + z, where a is the form of sigmoid that ``squash`` gives of v spread - shift.

    Args:
        squash: How to compute sigmoids; its constants are in the arrays.
        spread: From U states to S synapses (..., U, S).
        shift: (..., 1, S).
        gather: From the synapses to both sums (..., S, 2U).
    """

    def __init__(self, squash: Squash, spread: mx.array, shift: mx.array, gather: mx.array) -> None:
        self.squash, self.spread, self.shift, self.gather = squash, spread, shift, gather
        self.spread_back, self.gather_back = transposed(spread), squash.slope * transposed(gather)

    def bind(self, v: mx.array) -> Step:
        """The synapses' activity (..., B, S) is kept."""
        act = self.squash.value((*v.shape[:-1], self.shift.shape[-1]), v.dtype)

        def step(_t: int, v: mx.array, z: mx.array) -> tuple[Values, mx.array]:
            a = act(v @ self.spread - self.shift)
            return (a,), a @ self.gather + z

        return step

    def slopes(self, kept: Values, by_p: mx.array, by_q: mx.array) -> Values:
        """Of both sums; and the activity, whose slopes cost less step by step than for all steps at once."""
        return mx.concatenate([by_p, by_q], axis=-1), *kept

    def back(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Values]:
        """Through the sums, then through the activity."""
        both = (g[..., None, :] * slopes[0].reshape(*g.shape[:-1], 2, -1)).reshape(slopes[0].shape)
        inner = self.squash.slopes(slopes[1], both @ self.gather_back)
        return inner @ self.spread_back, (inner,)

    def gradients(
        self, v: mx.array, kept: Values, through: Values, of_sums: mx.array
    ) -> tuple[mx.array, list[mx.array]]:
        """Each a product over all steps."""
        of_shift = -rows(through[0]).sum(axis=-2, keepdims=True)
        return of_sums, [product(v, through[0]), of_shift, product(kept[0], of_sums)]


def synapse_sums(
    squash: Squash, v: mx.array, spread: mx.array, shift: mx.array, gather: mx.array, base: mx.array
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

    def sums(v: mx.array, spread: mx.array, shift: mx.array, gather: mx.array, base: mx.array) -> list[mx.array]:
        a = squash.value((*v.shape[:-1], shift.shape[-1]), v.dtype)(v @ spread - shift)
        return [a @ gather + base, a]

    def pullback(
        arrays: Sequence[mx.array], of_given: Sequence[mx.array], kept: Sequence[mx.array]
    ) -> list[mx.array]:
        v, spread, _, gather, _ = arrays
        ((d,), (a,)) = of_given, kept
        inner = squash.slopes(a, d @ (squash.slope * mx.swapaxes(gather, -1, -2)))
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
    return with_gradient(sums, pullback, given=1)(*arrays)[0]


class Gate(Drive):
    """Dense: f = activation of the last sum, p = f target, q = f.

    The first sum is v recurrent + z; from each backbone layer's activation, times its dropout, comes the next.

    Args:
        activation: Its name; it must have a derivative by its own value.
        squash: How to compute tanh; its constant is in the arrays if that is the activation.
        layers: How many backbone layers there are, L.
        arrays: ``recurrent`` (..., H, U), ``target`` A (..., 1, H); then for each layer its weights (..., U, out); then
            for each its bias (..., 1, out); then, if there is dropout, for each its factors (..., T, B, U).
    """

    def __init__(self, activation: str, squash: Squash, layers: int, *arrays: mx.array) -> None:
        self.activation, self.squash = activation, squash
        self.target = arrays[1]
        self.weights = [arrays[0], *arrays[2 : 2 + layers]]
        self.biases = arrays[2 + layers : 2 + 2 * layers]
        self.dropout = arrays[2 + 2 * layers :]
        self.weights_back = [transposed(weight) for weight in self.weights]

    def bind(self, v: mx.array) -> Step:
        """Each activation (..., B, U) is kept, that of the gate last."""
        tanh = self.activation == "tanh"
        shapes = [(*v.shape[:-1], weight.shape[-1]) for weight in self.weights]
        acts = [
            self.squash.tanh(shape, v.dtype) if tanh else ACTIVATIONS[self.activation] for shape in shapes
        ]
        added = [mx.broadcast_to(bias, shape) for bias, shape in zip(self.biases, shapes[1:], strict=True)]
        drops = [slice_time(factors) for factors in self.dropout]

        def step(t: int, v: mx.array, z: mx.array) -> tuple[Values, mx.array]:
            kept = [acts[0](mx.addmm(z, v, self.weights[0]))]
            for i, bias in enumerate(added):
                y = kept[-1] * drops[i][t] if drops else kept[-1]
                kept.append(acts[i + 1](mx.addmm(bias, y, self.weights[i + 1])))
            f = kept[-1]
            return tuple(kept), mx.concatenate([f * self.target, f], axis=-1)

        return step

    def slopes(self, kept: Values, by_p: mx.array, by_q: mx.array) -> Values:
        """Of each sum."""
        rate = gate_rate(self.activation, self.squash)
        *inner, of_gate = [DERIVATIVES[self.activation](each) * (1 / rate) for each in kept]
        return *self._dropped(inner), (by_p * wide(self.target) + by_q) * of_gate

    def _dropped(self, each_layer: Sequence[mx.array]) -> list[mx.array]:
        """Arrays (..., T, K, B, U) of the backbone's layers times their dropout."""
        if not self.dropout:
            return list(each_layer)
        return [
            each * factors[..., None, :, :] for each, factors in zip(each_layer, self.dropout, strict=True)
        ]

    def back(self, g: mx.array, slopes: Sequence[mx.array]) -> tuple[mx.array, Values]:
        """Through the gate, then through the backbone."""
        through = [g * slopes[-1]]
        for slope, weight in zip(slopes[-2::-1], self.weights_back[:0:-1], strict=True):
            through.append((through[-1] @ weight) * slope)
        return through[-1] @ self.weights_back[0], tuple(through)

    def gradients(
        self, v: mx.array, kept: Values, through: Values, of_sums: mx.array
    ) -> tuple[mx.array, list[mx.array]]:
        """Each over all steps."""
        of_p = mx.split(of_sums, 2, axis=-1)[0]
        first, *rest = through[::-1]
        return first, [
            product(v, first),
            rows(of_p * kept[-1]).sum(axis=-2, keepdims=True),
            *(product(y, of_sum) for y, of_sum in zip(self._dropped(kept[:-1]), rest, strict=True)),
            *(rows(of_sum).sum(axis=-2, keepdims=True) for of_sum in rest),
            *(mx.zeros_like(factors) for factors in self.dropout),
        ]


def gate_rate(activation: str, squash: Squash) -> float:
    """What a gate's weights and inputs are to be multiplied by."""
    return squash.tanh_rate if activation == "tanh" else 1.0


def wide(x: mx.array) -> mx.array:
    """(..., 1, U) against (..., T, K, B, U)."""
    return x[..., None, None, :, :]


def rows(x: mx.array) -> mx.array:
    """(..., T, K, B, F) to (..., T*K*B, F)."""
    *lead, steps, unfolds, batch, features = x.shape
    return x.reshape(*lead, steps * unfolds * batch, features)  # features is 0 of a circuit without synapses


def product(inputs: mx.array, outputs: mx.array) -> mx.array:
    """The gradient of weights (..., in, out) over all steps, as one product."""
    return mx.swapaxes(rows(inputs), -1, -2) @ rows(outputs)
