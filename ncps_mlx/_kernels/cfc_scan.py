"""A CfC layer's steps with a hand-written gradient; the constants of its functions are in its weights.

Going forward, each step keeps its activations. Before going back, the derivatives of every pointwise part are formed
for all steps at once, so that the loop itself is a few products, and every weight's gradient is one product after it.
What counts is the number of operations in the loops: each costs about as much as its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import concat_time, expand_column, split_time, to_head_grads, weight_gradient
from ncps_mlx._kernels.lstm import Lstm
from ncps_mlx._kernels.tanh import Function, TanhImplementation, affine

__all__ = [
    "Around",
    "Folded",
    "Form",
    "Shape",
    "decayed",
    "gating",
    "head_parameters",
    "head_slopes",
    "unrolled",
]

Gating = Callable[[mx.array, mx.array | None], tuple[mx.array, list[mx.array]]]


@dataclass(frozen=True)
class Shape:
    """What of a layer's heads is no array.

    Attributes:
        mode: As of :class:`ncps_mlx.CfC`.
        squash: How tanh and sigmoid of the heads are computed.
        steps: T.
        dt: The time step of mode pure, where it does not vary (elsewhere it is in the weights, or an array).
    """

    mode: str
    tanh_impl: TanhImplementation
    steps: int
    dt: float


@dataclass(frozen=True)
class Form(Shape):
    """What of a layer is no array.

    Attributes:
        bend: The backbone's activation, for a shape and a type; its argument comes multiplied by ``rate``.
        slope: The activation's derivative from its value, less the constant ``factor``.
        rate: See ``bend``.
        factor: See ``slope``.
        sequences: Whether the states of all steps are wanted.
    """

    bend: Callable[[Sequence[int], mx.Dtype], Function]
    slope: Function
    rate: float
    factor: float
    sequences: bool


@dataclass(frozen=True)
class Around:
    """What a layer's heads read beside their sums.

    Attributes:
        pure: Decay and amplitude of mode pure, each (..., 1, H).
        dt: Time steps (..., R, 1), if they vary.
        mask: Where there is a reading, 0 or 1 (..., R, 1).
    """

    pure: tuple[mx.array, ...]
    dt: mx.array | None
    mask: mx.array | None


@dataclass(frozen=True)
class Folded(Around):
    """A layer's arrays; rows R = T * B, the steps one after the other.

    Attributes:
        z: What the inputs contribute to the first product (..., R, U), not yet times ``rate``.
        h: First state (..., B, H).
        weights: Of all products, each (..., in, out); the first reads the state.
        biases: Of all products but the first, each (..., 1, out).
        dropout: For each backbone layer what to multiply by (..., R, U).
        lstm: Of an LSTM that takes each step before the cell does, if one does.
    """

    z: mx.array
    h: mx.array
    weights: tuple[mx.array, ...]
    biases: tuple[mx.array, ...]
    dropout: tuple[mx.array, ...]
    lstm: Lstm | None = None

    def flat(self) -> list[mx.array]:
        """All arrays in order."""
        optional = [array for array in (self.dt, self.mask) if array is not None]
        before = [] if self.lstm is None else self.lstm.flat()
        return [self.z, self.h, *self.weights, *self.biases, *self.pure, *optional, *self.dropout, *before]

    def like(self, arrays: Sequence[mx.array]) -> Folded:
        """The inverse of :meth:`flat`, for arrays as these."""
        rest = iter(arrays)

        def take(old: tuple[mx.array, ...]) -> tuple[mx.array, ...]:
            return tuple(next(rest) for _ in old)

        return Folded(
            z=next(rest),
            h=next(rest),
            weights=take(self.weights),
            biases=take(self.biases),
            pure=take(self.pure),
            dt=None if self.dt is None else next(rest),
            mask=None if self.mask is None else next(rest),
            dropout=take(self.dropout),
            lstm=None if self.lstm is None else Lstm(*rest),
        )


def unrolled(form: Form, arrays: Folded) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layer.

    Returns:
        All states (..., R, H), and the last (..., B, H), with an LSTM followed by its memory.
    """
    ends = 1 if arrays.lstm is None else 2

    def layer(*flat: mx.array) -> list[mx.array]:
        return forward(form, arrays.like(flat))

    def prepare(flat: Sequence[mx.array], kept: Sequence[mx.array]) -> list[mx.array]:
        own = arrays.like(flat)
        products = len(own.weights)
        end = len(kept) - (0 if own.lstm is None else 4)  # what the LSTM kept
        return [*kept[:products], *head_slopes(form, own, kept[products:end]), *kept[end:]]

    def pullback(
        flat: Sequence[mx.array], of_given: Sequence[mx.array], kept: Sequence[mx.array]
    ) -> list[mx.array]:
        every = of_given[0] if form.sequences else None
        return backward(form, arrays.like(flat), kept, every, of_given[1:])

    states, *rest = custom_vjp(layer, pullback, output_count=1 + ends, prepare=prepare)(*arrays.flat())
    return states, tuple(rest)


def forward(form: Form, own: Folded) -> list[mx.array]:
    """All states, if wanted; the last ones; what the cell read at each step, and what was found there, in rows."""
    first, *rest = own.weights
    lead, width, dtype = own.h.shape[:-1], own.h.shape[-1], own.h.dtype
    # Multiplied here: forward in mode, MLX 0.32 differentiates an addmm as if its beta were 1.
    zs = split_time(form.rate * own.z if rest else own.z, form.steps)
    biases = [mx.broadcast_to(bias, (*lead, bias.shape[-1])) for bias in own.biases]
    dts = None if own.dt is None else split_time(expand_column(own.dt, width), form.steps)
    masks = None if own.mask is None else split_time(expand_column(own.mask, width).astype(mx.bool_), form.steps)
    drops = [split_time(factors, form.steps) for factors in own.dropout]
    bends = [form.bend((*lead, weight.shape[-2]), dtype) for weight in rest]
    gates = gating(form, own.h.shape, dtype)
    before = None if own.lstm is None else lstm.Forward(own.lstm, form.tanh_impl, form.steps, own.mask)
    h = own.h
    states: list[mx.array] = []
    read: list[mx.array] = []
    layers: list[list[mx.array]] = [[] for _ in rest]
    heads: list[list[mx.array]] = []
    for t in range(form.steps):
        read.append(h if before is None else before.step(t, h))
        y = mx.addmm(zs[t], read[-1], first)
        for i, weight in enumerate(rest):
            y = bends[i](y)
            layers[i].append(y)
            if drops:
                y = y * drops[i][t]
            y = mx.addmm(biases[i], y, weight)
        if form.mode == "pure":
            new, values = decayed(y, form.dt if dts is None else dts[t], own.pure)
        else:
            new, values = gates(y, None if dts is None else dts[t])
        h = new if masks is None else mx.where(masks[t], new, h)
        heads.append(values)
        states.append(h)
    kinds = [read, *layers, *map(list, zip(*heads, strict=True))]
    remembered = [] if before is None else before.kept()
    ends = [h] if before is None else [h, before.c]
    every = concat_time(states) if form.sequences else h
    return [every, *ends, *map(concat_time, kinds), *remembered]


def gating(form: Shape, shape: Sequence[int], dtype: mx.Dtype) -> Gating:
    """For states of this shape, a function of the heads' sums f, g and s (or, with time steps, f, g, a, b).

    It gives the next state, and what the gradient needs.
    """
    tanh_impl, width = form.tanh_impl, shape[-1]
    value = tanh_impl.value((*shape[:-1], 3 * width), dtype)
    tanh, sigmoid = (affine(each, shape, dtype) for each in (tanh_impl.tanh_affine, tanh_impl.sigmoid_affine))

    def gate(y: mx.array, dt: mx.array | None) -> tuple[mx.array, list[mx.array]]:
        kept = []
        if dt is not None:
            fg, a, b = mx.split(y, [2 * width, 3 * width], axis=-1)
            y = mx.concatenate([fg, a * dt + b], axis=-1)
            kept = [a]
        values = value(y)
        f, g, s = mx.split(values, 3, axis=-1)
        s = sigmoid(s)
        new = tanh(f + s * (g - f)) if form.mode == "default" else tanh(f) + s * tanh(g)
        return new, [values, *kept]

    return gate


def decayed(y: mx.array, dt: Any, pure: tuple[mx.array, ...]) -> tuple[mx.array, list[mx.array]]:
    """The next state of mode pure, and what the gradient needs."""
    decay, amplitude = pure
    e = mx.exp(-dt * (decay + mx.abs(y)))
    return amplitude - amplitude * e * y, [y, e]


def backward(
    form: Form,
    own: Folded,
    kept: Sequence[mx.array],
    of_states: mx.array | None,
    of_ends: Sequence[mx.array],
) -> list[mx.array]:
    """Gradients with respect to each array of :meth:`Folded.flat`."""
    products = len(own.weights)
    read, *activations = kept[:products]
    slopes, *heads = kept[products:] if own.lstm is None else kept[products:-4]
    inner = [form.slope(a) for a in activations]
    if own.dropout:
        inner = [d * factors for d, factors in zip(inner, own.dropout, strict=True)]
    # The constants of the slopes are in the small matrices.
    rate = form.rate if inner else 1.0
    scales = [1.0 / rate, *[form.factor] * len(inner)]
    if inner:
        scales[1] *= rate
    back = [mx.contiguous(mx.swapaxes(w, -1, -2)) * c for w, c in zip(own.weights, scales, strict=True)]
    before = None
    if own.lstm is not None:
        before = lstm.Backward(own.lstm, form.tanh_impl, form.steps, own.mask, kept[-4:], of_ends[1])
    slopes_at, inner_at = split_time(slopes, form.steps, -3), [split_time(d, form.steps) for d in inner]
    held = None if own.mask is None else split_time(expand_column(1.0 - own.mask, own.h.shape[-1]), form.steps)
    above = None if of_states is None else split_time(of_states, form.steps)
    grown: list[list[mx.array]] = [[] for _ in own.weights]  # gradients of each product's output
    of_state: list[mx.array] = []
    g = of_ends[0]
    for t in reversed(range(form.steps)):
        if above is not None:
            g = g + above[t]
        of_state.append(g)
        d = to_head_grads(g, slopes_at[t])
        for i in reversed(range(len(inner))):
            grown[i + 1].append(d)
            d = (d @ back[i + 1]) * inner_at[i][t]
        grown[0].append(d)
        d = d @ back[0]
        if before is not None:
            d = before.step(t, d)
        g = d if held is None else d + g * held[t]
    outputs = [concat_time(ds[::-1]) for ds in grown]
    fed = [read, *activations]
    if own.dropout:
        fed[1:] = [a * factors for a, factors in zip(activations, own.dropout, strict=True)]
    of_weights = [weight_gradient(a, d) for a, d in zip(fed, outputs, strict=True)]
    return [
        outputs[0],
        g,
        of_weights[0] / rate,
        *of_weights[1:],
        *(d.sum(axis=-2, keepdims=True) for d in outputs[1:]),
        *head_parameters(form, own, heads, of_state, outputs[-1]),
        *([] if own.mask is None else [mx.zeros_like(own.mask)]),
        *(mx.zeros_like(factors) for factors in own.dropout),
        *([] if before is None else before.gradients()),
    ]


def head_slopes(form: Shape, own: Around, heads: Sequence[mx.array]) -> list[mx.array]:
    """Derivatives of the next state by each head (..., R, heads, H); and what :func:`head_parameters` needs."""
    if form.mode == "pure":
        y, e = heads
        slopes = own.pure[1] * e * ((form.dt if own.dt is None else own.dt) * mx.abs(y) - 1.0)
        slopes, rest = mx.expand_dims(slopes, -2), [y, e]
    else:
        values, *rest = heads
        factors = gate_slopes(form, values.reshape(*values.shape[:-1], 3, -1))
        slopes = form.tanh_impl.slopes(values, factors.reshape(values.shape)).reshape(factors.shape)
        if own.dt is not None:
            of_fg, of_b = mx.split(slopes, [2], axis=-2)
            slopes = mx.concatenate([of_fg, of_b * own.dt[..., None], of_b], axis=-2)
    return [slopes if own.mask is None else slopes * own.mask[..., None], *rest]


def gate_slopes(form: Shape, values: mx.array) -> mx.array:
    """Derivatives of the next state by the values of f, g and s (..., 3, H), times the constant of theirs.

    As the sum of what is constant, in proportion to s, and in proportion to g - f (or g): in one piece.
    """
    tanh_impl, default = form.tanh_impl, form.mode == "default"
    (_, gain), (share, of_share) = tanh_impl.tanh_affine, tanh_impl.sigmoid_affine

    def column(*heads: float) -> mx.array:
        return mx.array([[tanh_impl.grad_scale * gain * each] for each in heads], dtype=values.dtype)

    f, g, s = mx.split(values, 3, axis=-2)
    both = (
        column(1.0 - share, share, 0.0)
        if default
        else column(1.0, share, of_share * tanh_impl.tanh_affine[0] / gain)
    )
    by_s = column(-of_share if default else 0.0, of_share, 0.0)
    return (both + by_s * s) + column(0.0, 0.0, of_share) * (g - f if default else g)


def head_parameters(
    form: Shape, own: Around, heads: Sequence[mx.array], of_state: list[mx.array], of_heads: mx.array
) -> list[mx.array]:
    """Gradients of decay and amplitude, and of the time steps where they vary; ``heads`` as :func:`head_slopes`."""
    of_time = []
    if form.mode != "pure":
        if own.dt is not None:
            (a,) = heads
            of_time = [of_heads[..., -a.shape[-1] :] * a]
        return [each.sum(axis=-1, keepdims=True) for each in of_time]
    y, e = heads
    decay, amplitude = own.pure
    g = concat_time(of_state[::-1])
    if own.mask is not None:
        g = g * own.mask
    shrunk = g * amplitude * e * y
    of_pure = [shrunk * (form.dt if own.dt is None else own.dt), g * (1.0 - e * y)]
    if own.dt is not None:
        of_time = [shrunk * (decay + mx.abs(y))]
    return [
        *(each.sum(axis=-2, keepdims=True) for each in of_pure),
        *(each.sum(axis=-1, keepdims=True) for each in of_time),
    ]
