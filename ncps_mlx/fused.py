"""A CfC layer over a whole sequence with a hand-written gradient: automatic differentiation's numbers, sooner.

Going forward, each step keeps its activations. Going back, the derivatives of every pointwise part are formed for
all steps at once, so that the loop itself is a few products, and every weight's gradient is one product after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx.activations import ACTIVATIONS, DERIVATIVES, sigmoid
from ncps_mlx.recurrent import unstack_time

__all__ = ["Kept", "Plan", "combine", "run_fused"]


@dataclass(frozen=True)
class Plan:
    """What of a layer's pass is no array: it decides which arrays there are."""

    mode: str
    activation: str
    layers: int
    masked: bool
    varying_time: bool
    dropping: bool


@dataclass(frozen=True)
class Kept:
    """A layer's arrays by name; time is the third axis from the end of all that have one.

    Attributes:
        z: What the inputs contribute to the first product (..., T, B, U).
        h: First state (..., B, H).
        recurrent: Weights from the state (..., H, U).
        weights: Of the products after it, each (..., in, out).
        biases: Each (..., 1, out).
        pure: Decay and amplitude of mode pure, each (..., 1, H).
        dt: Time steps (..., T, B, 1), if they vary.
        mask: Where there is a reading (..., T, B, 1).
        dropout: For each backbone layer (..., T, B, U).
    """

    z: mx.array
    h: mx.array
    recurrent: mx.array
    weights: tuple[mx.array, ...]
    biases: tuple[mx.array, ...]
    pure: tuple[mx.array, ...]
    dt: mx.array | None
    mask: mx.array | None
    dropout: tuple[mx.array, ...]

    def flat(self) -> list[mx.array]:
        """All arrays in order."""
        optional = [array for array in (self.dt, self.mask) if array is not None]
        return [
            self.z,
            self.h,
            self.recurrent,
            *self.weights,
            *self.biases,
            *self.pure,
            *optional,
            *self.dropout,
        ]

    @classmethod
    def of(cls, plan: Plan, arrays: Sequence[mx.array]) -> Kept:
        """The inverse of :meth:`flat`."""
        rest = iter(arrays)

        def take(count: int) -> tuple[mx.array, ...]:
            return tuple(next(rest) for _ in range(count))

        z, h, recurrent = take(3)
        return cls(
            z=z,
            h=h,
            recurrent=recurrent,
            weights=take(plan.layers),
            biases=take(plan.layers),
            pure=take(2 if plan.mode == "pure" else 0),
            dt=next(rest) if plan.varying_time else None,
            mask=next(rest) if plan.masked else None,
            dropout=take(plan.layers if plan.dropping else 0),
        )


def run_fused(plan: Plan, arrays: Kept, dt: float, *, sequences: bool) -> tuple[mx.array | None, mx.array]:
    """Run the layer.

    Args:
        plan: Which arrays there are.
        arrays: The arrays.
        dt: The time step, where it does not vary.
        sequences: Whether the states of all steps are wanted.

    Returns:
        All states (..., T, B, H), or ``None``, and the last (..., B, H).
    """

    def layer(*flat: mx.array) -> list[mx.array]:
        states, kept = forward(plan, Kept.of(plan, flat), dt)
        return [states[-1], mx.stack(states, axis=-3), *kept]

    def pullback(primals: Any, cotangents: Any, outputs: Any) -> list[mx.array]:
        own = Kept.of(plan, primals)
        return backward(
            plan, own, dt, outputs[1], outputs[2:], cotangents[0], cotangents[1] if sequences else None
        )

    function: Any = mx.custom_function(layer)
    function.vjp(pullback)
    last, states, *_ = function(*arrays.flat())
    return (states if sequences else None), last


def forward(plan: Plan, own: Kept, dt: float) -> tuple[list[mx.array], list[mx.array]]:
    """The states of each step, and for each kind of activation all steps' values, stacked."""
    zs = unstack_time(own.z)
    steps = len(zs)
    dts: Sequence[Any] = [dt] * steps if own.dt is None else unstack_time(own.dt)
    masks = None if own.mask is None else unstack_time(own.mask)
    drops = [unstack_time(factors) for factors in own.dropout]
    activation = ACTIVATIONS[plan.activation]
    h = own.h
    states: list[mx.array] = []
    layers: list[list[mx.array]] = [[] for _ in range(plan.layers)]
    heads: list[list[mx.array]] = []
    for t in range(steps):
        y = zs[t] + h @ own.recurrent
        for i in range(plan.layers):
            y = activation(y)
            layers[i].append(y)
            if drops:
                y = y * drops[i][t]
            y = y @ own.weights[i] + own.biases[i]
        new, values = combine(plan.mode, y, dts[t], own.pure)
        h = new if masks is None else mx.where(masks[t], new, h)
        heads.append(values)
        states.append(h)
    kinds = [*layers, *map(list, zip(*heads, strict=True))]
    return states, [mx.stack(kind, axis=-3) for kind in kinds]


def combine(mode: str, y: mx.array, dt: Any, pure: tuple[mx.array, ...]) -> tuple[mx.array, list[mx.array]]:
    """The next state from the heads, and the values that the gradient needs."""
    if mode == "pure":
        decay, amplitude = pure
        e = mx.exp(-dt * (decay + mx.abs(y)))
        return amplitude - amplitude * e * y, [y, e]
    f, g, a, b = mx.split(y, 4, axis=-1)
    f, g, s = mx.tanh(f), mx.tanh(g), sigmoid(a * dt + b)
    new = f + s * (g - f) if mode == "default" else f + s * g
    return new, [f, g, s, a]


def backward(
    plan: Plan,
    own: Kept,
    dt: float,
    states: mx.array,
    kept: Sequence[mx.array],
    of_last: mx.array,
    of_states: mx.array | None,
) -> list[mx.array]:
    """Gradients with respect to each array of :meth:`Kept.flat`."""
    activations, heads = kept[: plan.layers], kept[plan.layers :]
    times: Any = dt if own.dt is None else own.dt
    slopes = head_slopes(plan.mode, heads, times, own.pure)  # (..., T, B, K, H)
    if own.mask is not None:
        slopes = slopes * own.mask[..., None]
    derivative = DERIVATIVES[plan.activation]
    inner = [derivative(a) for a in activations]
    if own.dropout:
        inner = [d * factors for d, factors in zip(inner, own.dropout, strict=True)]
    steps = states.shape[-3]
    back = [mx.contiguous(mx.swapaxes(w, -1, -2)) for w in (own.recurrent, *own.weights)]
    slopes_at, inner_at = list(mx.unstack(slopes, axis=-4)), [unstack_time(d) for d in inner]
    held = None if own.mask is None else unstack_time(1.0 - own.mask.astype(states.dtype))
    above = None if of_states is None else unstack_time(of_states)
    grown: list[list[mx.array]] = [[] for _ in range(plan.layers + 1)]  # gradients of each product's output
    of_state: list[mx.array] = []
    g = of_last
    for t in reversed(range(steps)):
        if above is not None:
            g = g + above[t]
        of_state.append(g)
        d = g[..., None, :] * slopes_at[t]
        d = d.reshape(*d.shape[:-2], -1)
        for i in reversed(range(plan.layers)):
            grown[i + 1].append(d)
            d = (d @ back[i + 1]) * inner_at[i][t]
        grown[0].append(d)
        before = d @ back[0]
        g = before if held is None else before + g * held[t]
    outputs = [mx.stack(ds[::-1], axis=-3) for ds in grown]
    previous = mx.concatenate([own.h[..., None, :, :], states[..., :-1, :, :]], axis=-3)
    fed = (
        [a * factors for a, factors in zip(activations, own.dropout, strict=True)]
        if own.dropout
        else activations
    )
    of_pure, of_time = head_parameters(
        plan, own, times, heads, mx.stack(of_state[::-1], axis=-3), outputs[-1]
    )
    return [
        outputs[0],
        g,
        weight_gradient(previous, outputs[0]),
        *(weight_gradient(a, d) for a, d in zip(fed, outputs[1:], strict=True)),
        *(flat(d).sum(axis=-2, keepdims=True) for d in outputs[1:]),
        *of_pure,
        *of_time,
        *([] if own.mask is None else [mx.zeros_like(own.mask)]),
        *(mx.zeros_like(factors) for factors in own.dropout),
    ]


def head_slopes(mode: str, heads: Sequence[mx.array], dt: Any, pure: tuple[mx.array, ...]) -> mx.array:
    """Derivatives of the next state by each head, (..., T, B, K, H)."""
    if mode == "pure":
        y, e = heads
        amplitude = pure[1][..., None, :, :]
        slope: mx.array = amplitude * e * (dt * mx.abs(y) - 1.0)
        return slope[..., None, :]
    f, g, s, _ = heads
    curve = s * (1.0 - s)
    if mode == "default":
        by_f, by_s = (1.0 - s) * (1.0 - f * f), (g - f) * curve
    else:
        by_f, by_s = 1.0 - f * f, g * curve
    return mx.stack([by_f, s * (1.0 - g * g), by_s * dt, by_s], axis=-2)


def head_parameters(
    plan: Plan, own: Kept, dt: Any, heads: Sequence[mx.array], of_state: mx.array, of_heads: mx.array
) -> tuple[list[mx.array], list[mx.array]]:
    """Gradients of decay and amplitude, and of the time steps where they vary."""
    if own.mask is not None:
        of_state = of_state * own.mask
    if plan.mode == "pure":
        y, e = heads
        decay, amplitude = (p[..., None, :, :] for p in own.pure)
        shrunk = of_state * amplitude * e * y
        of_pure = [
            flat(shrunk * dt).sum(axis=-2, keepdims=True),
            flat(of_state * (1.0 - e * y)).sum(axis=-2, keepdims=True),
        ]
        each = shrunk * (decay + mx.abs(y))
    else:
        of_pure = []
        each = of_heads[..., -heads[3].shape[-1] :] * heads[3]
    return of_pure, [] if own.dt is None else [each.sum(axis=-1, keepdims=True)]


def flat(x: mx.array) -> mx.array:
    """(..., T, B, F) to (..., T*B, F)."""
    *lead, steps, batch, features = x.shape
    return x.reshape(*lead, steps * batch, features)


def weight_gradient(inputs: mx.array, outputs: mx.array) -> mx.array:
    """The gradient of weights (..., in, out) over all steps, as one product."""
    return mx.swapaxes(flat(inputs), -1, -2) @ flat(outputs)
