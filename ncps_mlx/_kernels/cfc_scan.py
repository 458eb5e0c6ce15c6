"""The loop over a CfC layer's steps, with a custom gradient; the functions' constants are in the weights.

The forward pass keeps each step's activations. Before the backward loop, the derivatives of all pointwise parts are
computed for all steps at once, so that the loop itself is a few products; each weight's gradient is one product after
it. What counts is the number of operations in the loops: each costs about as much to launch as to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import concat_time, split_column, split_time, to_head_grads, weight_gradient
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.tanh import Function, TanhImplementation, affine

__all__ = [
    "HeadArrays",
    "HeadSpec",
    "ScanArrays",
    "ScanSpec",
    "bind_heads",
    "head_parameter_grads",
    "head_slopes",
    "pure_step",
    "run_scan",
]

HeadStep = Callable[[mx.array, mx.array | None], tuple[mx.array, list[mx.array]]]


@dataclass(frozen=True)
class HeadSpec:
    """A description of a layer's heads, apart from their arrays.

    Attributes:
        mode: As in :class:`ncps_mlx.CfC`.
        tanh_impl: How tanh and sigmoid of the heads are computed.
        steps: T.
        dt: The time step of mode pure, where it does not vary (otherwise it is in the weights, or an array).
    """

    mode: str
    tanh_impl: TanhImplementation
    steps: int
    dt: float


@dataclass(frozen=True)
class ScanSpec(HeadSpec):
    """A description of a layer, apart from its arrays.

    Attributes:
        activation: From a shape and a dtype to the backbone's activation; its argument comes times ``input_scale``.
        activation_grad: The activation's derivative from its value, without the constant ``grad_scale``.
        input_scale: See ``activation``.
        grad_scale: See ``activation_grad``.
        sequences: Whether the states of all steps are wanted.
    """

    activation: Callable[[Sequence[int], mx.Dtype], Function]
    activation_grad: Function
    input_scale: float
    grad_scale: float
    sequences: bool


@dataclass(frozen=True)
class HeadArrays:
    """What a layer's heads read besides their sums.

    Attributes:
        pure: Decay and amplitude of mode pure, each (..., 1, H).
        dt: Time steps (..., R, 1), if they vary.
        mask: 1 where there is a reading, else 0 (..., R, 1).
    """

    pure: tuple[mx.array, ...]
    dt: mx.array | None
    mask: mx.array | None


@dataclass(frozen=True)
class ScanArrays(HeadArrays):
    """A layer's arrays, constants folded in; rows R = T * B, one step after the other.

    Attributes:
        z: The inputs' part of the first product (..., R, U), not yet times ``input_scale``.
        h: First state (..., B, H).
        weights: Of all products, each (..., in, out); the first reads the state.
        biases: Of all products but the first, each (..., 1, out).
        dropout: A dropout mask (..., R, U) for each backbone layer; empty for none.
        lstm: Of an LSTM that steps before the cell, if there is one.
    """

    z: mx.array
    h: mx.array
    weights: tuple[mx.array, ...]
    biases: tuple[mx.array, ...]
    dropout: tuple[mx.array, ...]
    lstm: LSTMArrays | None = None

    def to_list(self) -> list[mx.array]:
        """All arrays in order."""
        optional = [array for array in (self.dt, self.mask) if array is not None]
        of_lstm = [] if self.lstm is None else self.lstm.to_list()
        return [self.z, self.h, *self.weights, *self.biases, *self.pure, *optional, *self.dropout, *of_lstm]

    def from_list(self, arrays: Sequence[mx.array]) -> ScanArrays:
        """The same structure with other arrays, in the order of :meth:`to_list`."""
        rest = iter(arrays)

        def take(old: tuple[mx.array, ...]) -> tuple[mx.array, ...]:
            return tuple(next(rest) for _ in old)

        return ScanArrays(
            z=next(rest),
            h=next(rest),
            weights=take(self.weights),
            biases=take(self.biases),
            pure=take(self.pure),
            dt=None if self.dt is None else next(rest),
            mask=None if self.mask is None else next(rest),
            dropout=take(self.dropout),
            lstm=None if self.lstm is None else LSTMArrays(*rest),
        )


def run_scan(spec: ScanSpec, arrays: ScanArrays) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layer.

    Returns:
        All states (..., R, H); and the last (..., B, H), followed by the LSTM's memory if there is one.
    """
    last_count = 1 if arrays.lstm is None else 2

    def function(*flat: mx.array) -> list[mx.array]:
        return forward(spec, arrays.from_list(flat))

    def prepare(flat: Sequence[mx.array], residuals: Sequence[mx.array]) -> list[mx.array]:
        own = arrays.from_list(flat)
        products = len(own.weights)
        end = len(residuals) - (0 if own.lstm is None else 4)  # the LSTM's are the last
        return [*residuals[:products], *head_slopes(spec, own, residuals[products:end]), *residuals[end:]]

    def pullback(
        flat: Sequence[mx.array], cotangents: Sequence[mx.array], residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        grad_states = cotangents[0] if spec.sequences else None
        return backward(spec, arrays.from_list(flat), residuals, grad_states, cotangents[1:])

    layer = custom_vjp(function, pullback, output_count=1 + last_count, prepare=prepare)
    states, *last = layer(*arrays.to_list())
    return states, tuple(last)


def forward(spec: ScanSpec, arrays: ScanArrays) -> list[mx.array]:
    """All states, if wanted; the last ones; and as residuals, in rows, what the cell read at each step and found."""
    first, *rest = arrays.weights
    batch_shape, width, dtype = arrays.h.shape[:-1], arrays.h.shape[-1], arrays.h.dtype
    # Multiplied here: in forward mode, MLX 0.32 differentiates an addmm as if its beta were 1.
    zs = split_time(spec.input_scale * arrays.z if rest else arrays.z, spec.steps)
    biases = [mx.broadcast_to(bias, (*batch_shape, bias.shape[-1])) for bias in arrays.biases]
    dts = split_column(arrays.dt, width, spec.steps)
    masks = split_column(arrays.mask, width, spec.steps, mx.bool_)
    dropout = [split_time(mask, spec.steps) for mask in arrays.dropout]
    activations = [spec.activation((*batch_shape, weight.shape[-2]), dtype) for weight in rest]
    head_step = bind_heads(spec, arrays.h.shape, dtype)
    before = None
    if arrays.lstm is not None:
        before = lstm.Forward(arrays.lstm, spec.tanh_impl, spec.steps, arrays.mask)
    h = arrays.h
    states: list[mx.array] = []
    read: list[mx.array] = []
    layers: list[list[mx.array]] = [[] for _ in rest]
    heads: list[list[mx.array]] = []
    for t in range(spec.steps):
        read.append(h if before is None else before.step(t, h))
        y = mx.addmm(zs[t], read[-1], first)
        for i, weight in enumerate(rest):
            y = activations[i](y)
            layers[i].append(y)
            if dropout:
                y = y * dropout[i][t]
            y = mx.addmm(biases[i], y, weight)
        if spec.mode == "pure":
            new, values = pure_step(y, spec.dt if dts is None else dts[t], arrays.pure)
        else:
            new, values = head_step(y, None if dts is None else dts[t])
        h = new if masks is None else mx.where(masks[t], new, h)
        heads.append(values)
        states.append(h)
    residuals = map(concat_time, [read, *layers, *map(list, zip(*heads, strict=True))])
    outputs = [concat_time(states) if spec.sequences else h, h]
    if before is None:
        return [*outputs, *residuals]
    return [*outputs, before.c, *residuals, *before.residuals()]


def bind_heads(spec: HeadSpec, shape: Sequence[int], dtype: mx.Dtype) -> HeadStep:
    """A function from the heads' sums f, g, s (with time steps: f, g, a, b) to the next state and its residuals."""
    tanh_impl, width = spec.tanh_impl, shape[-1]
    value = tanh_impl.value((*shape[:-1], 3 * width), dtype)
    tanh, sigmoid = (affine(each, shape, dtype) for each in (tanh_impl.tanh_affine, tanh_impl.sigmoid_affine))

    def step(y: mx.array, dt: mx.array | None) -> tuple[mx.array, list[mx.array]]:
        residuals = []
        if dt is not None:
            fg, a, b = mx.split(y, [2 * width, 3 * width], axis=-1)
            y = mx.concatenate([fg, a * dt + b], axis=-1)
            residuals = [a]
        values = value(y)
        f, g, s = mx.split(values, 3, axis=-1)
        s = sigmoid(s)
        new = tanh(f + s * (g - f)) if spec.mode == "default" else tanh(f) + s * tanh(g)
        return new, [values, *residuals]

    return step


def pure_step(y: mx.array, dt: Any, pure: tuple[mx.array, ...]) -> tuple[mx.array, list[mx.array]]:
    """The next state of mode pure, and its residuals."""
    decay, amplitude = pure
    e = mx.exp(-dt * (decay + mx.abs(y)))
    return amplitude - amplitude * e * y, [y, e]


def backward(
    spec: ScanSpec,
    arrays: ScanArrays,
    residuals: Sequence[mx.array],
    grad_states: mx.array | None,
    grad_last: Sequence[mx.array],
) -> list[mx.array]:
    """The gradient of each array of :meth:`ScanArrays.to_list`."""
    products = len(arrays.weights)
    read, *activations = residuals[:products]
    slopes, *heads = residuals[products:] if arrays.lstm is None else residuals[products:-4]
    layer_slopes = [spec.activation_grad(y) for y in activations]
    if arrays.dropout:
        layer_slopes = [slope * mask for slope, mask in zip(layer_slopes, arrays.dropout, strict=True)]
    # The constants of the slopes are multiplied into the small matrices.
    input_scale = spec.input_scale if layer_slopes else 1.0
    scales = [1.0 / input_scale, *[spec.grad_scale] * len(layer_slopes)]
    if layer_slopes:
        scales[1] *= input_scale
    weights_back = [
        mx.contiguous(mx.swapaxes(w, -1, -2)) * scale for w, scale in zip(arrays.weights, scales, strict=True)
    ]
    before = None
    if arrays.lstm is not None:
        before = lstm.Backward(
            arrays.lstm, spec.tanh_impl, spec.steps, arrays.mask, residuals[-4:], grad_last[1]
        )
    head_slopes_at = split_time(slopes, spec.steps, -3)
    layer_slopes_at = [split_time(slope, spec.steps) for slope in layer_slopes]
    masked = None if arrays.mask is None else 1.0 - arrays.mask  # 1 where there is no reading
    padding = split_column(masked, arrays.h.shape[-1], spec.steps)
    grad_states_at = None if grad_states is None else split_time(grad_states, spec.steps)
    grad_sums: list[list[mx.array]] = [[] for _ in arrays.weights]  # of each product
    grad_state: list[mx.array] = []
    g = grad_last[0]
    for t in reversed(range(spec.steps)):
        if grad_states_at is not None:
            g = g + grad_states_at[t]
        grad_state.append(g)
        d = to_head_grads(g, head_slopes_at[t])
        for i in reversed(range(len(layer_slopes))):
            grad_sums[i + 1].append(d)
            d = (d @ weights_back[i + 1]) * layer_slopes_at[i][t]
        grad_sums[0].append(d)
        d = d @ weights_back[0]
        if before is not None:
            d = before.step(t, d)
        g = d if padding is None else d + g * padding[t]
    sums = [concat_time(ds[::-1]) for ds in grad_sums]
    factors = [read, *activations]
    if arrays.dropout:
        factors[1:] = [y * mask for y, mask in zip(activations, arrays.dropout, strict=True)]
    grad_weights = [weight_gradient(y, d) for y, d in zip(factors, sums, strict=True)]
    return [
        sums[0],
        g,
        grad_weights[0] / input_scale,
        *grad_weights[1:],
        *(d.sum(axis=-2, keepdims=True) for d in sums[1:]),
        *head_parameter_grads(spec, arrays, heads, grad_state, sums[-1]),
        *([] if arrays.mask is None else [mx.zeros_like(arrays.mask)]),
        *(mx.zeros_like(mask) for mask in arrays.dropout),
        *([] if before is None else before.gradients()),
    ]


def head_slopes(spec: HeadSpec, arrays: HeadArrays, heads: Sequence[mx.array]) -> list[mx.array]:
    """Derivatives of the next state by each head (..., R, heads, H); then what :func:`head_parameter_grads` needs."""
    if spec.mode == "pure":
        y, e = heads
        slopes = arrays.pure[1] * e * ((spec.dt if arrays.dt is None else arrays.dt) * mx.abs(y) - 1.0)
        slopes, rest = mx.expand_dims(slopes, -2), [y, e]
    else:
        values, *rest = heads
        factors = gate_slopes(spec, values.reshape(*values.shape[:-1], 3, -1))
        slopes = spec.tanh_impl.slopes(values, factors.reshape(values.shape)).reshape(factors.shape)
        if arrays.dt is not None:
            by_fg, by_b = mx.split(slopes, [2], axis=-2)
            slopes = mx.concatenate([by_fg, by_b * arrays.dt[..., None], by_b], axis=-2)
    return [slopes if arrays.mask is None else slopes * arrays.mask[..., None], *rest]


def gate_slopes(spec: HeadSpec, values: mx.array) -> mx.array:
    """Derivatives of the next state by the values of f, g and s (..., 3, H), times the values' ``grad_scale``.

    Computed as one constant, one multiple of s and one multiple of g - f (or g), each for all three at once.
    """
    tanh_impl, default = spec.tanh_impl, spec.mode == "default"
    (tanh_offset, gain), (share, share_gain) = tanh_impl.tanh_affine, tanh_impl.sigmoid_affine

    def column(*heads: float) -> mx.array:
        return mx.array([[tanh_impl.grad_scale * gain * each] for each in heads], dtype=values.dtype)

    f, g, s = mx.split(values, 3, axis=-2)
    constant = (
        column(1.0 - share, share, 0.0) if default else column(1.0, share, share_gain * tanh_offset / gain)
    )
    by_s = column(-share_gain if default else 0.0, share_gain, 0.0)
    return (constant + by_s * s) + column(0.0, 0.0, share_gain) * (g - f if default else g)


def head_parameter_grads(
    spec: HeadSpec,
    arrays: HeadArrays,
    heads: Sequence[mx.array],
    grad_state: list[mx.array],
    grad_heads: mx.array,
) -> list[mx.array]:
    """Gradients of decay and amplitude, and of the time steps where they vary; ``heads`` as :func:`head_slopes`."""
    grad_dt = []
    if spec.mode != "pure":
        if arrays.dt is not None:
            (a,) = heads
            grad_dt = [grad_heads[..., -a.shape[-1] :] * a]
        return [each.sum(axis=-1, keepdims=True) for each in grad_dt]
    y, e = heads
    decay, amplitude = arrays.pure
    g = concat_time(grad_state[::-1])
    if arrays.mask is not None:
        g = g * arrays.mask
    shrunk = g * amplitude * e * y
    grad_pure = [shrunk * (spec.dt if arrays.dt is None else arrays.dt), g * (1.0 - e * y)]
    if arrays.dt is not None:
        grad_dt = [shrunk * (decay + mx.abs(y))]
    return [
        *(each.sum(axis=-2, keepdims=True) for each in grad_pure),
        *(each.sum(axis=-1, keepdims=True) for each in grad_dt),
    ]
