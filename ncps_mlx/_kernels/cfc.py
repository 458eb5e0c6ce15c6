"""A CfC layer over a whole sequence: what is linear goes into its weights, then it is unrolled.

The constants of lecun_tanh and those of tanh and sigmoid (``tanh.py``) are folded into the product before or
after, and where the time step is one number, so are the heads a and b, which then are one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx._kernels.activations import ACTIVATIONS, DERIVATIVES, LECUN, sigmoid
from ncps_mlx._kernels.cfc_scan import Folded, Form, unrolled
from ncps_mlx._kernels.layout import flatten_time
from ncps_mlx._kernels.lstm import Lstm
from ncps_mlx._kernels.tanh import Function, TanhImplementation, tanh_for

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
        lstm: Of an LSTM that takes each step before the cell does; its ``z`` is in rows.
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
    lstm: Lstm | None = None


def run_fused(
    plan: Plan, arrays: Kept, dt: float, *, sequences: bool
) -> tuple[mx.array | None, tuple[mx.array, ...]]:
    """Run the layer.

    Args:
        plan: Which arrays there are.
        arrays: The arrays.
        dt: The time step, where it does not vary.
        sequences: Whether the states of all steps are wanted.

    Returns:
        All states (..., T, B, H), or ``None``, and the last (..., B, H), with an LSTM followed by its memory.
    """
    *lead, steps, batch, _ = arrays.z.shape
    tanh_impl = tanh_for(arrays.z.dtype)
    activation = folded_activation(plan.activation, tanh_impl)
    form = Form(
        mode=plan.mode,
        tanh_impl=tanh_impl,
        bend=activation.bend,
        slope=activation.slope,
        rate=activation.rate,
        factor=activation.factor,
        steps=steps,
        dt=dt,
        sequences=sequences,
    )

    def full(array: mx.array) -> mx.array:
        return mx.broadcast_to(array, (*lead, *array.shape[-2:]))

    weights = [full(weight) for weight in (arrays.recurrent, *arrays.weights)]
    added = [flatten_time(arrays.z, lead), *(full(bias) for bias in arrays.biases)]
    for j in range(plan.layers + 1):
        scale = activation.scale if j else 1.0
        if j == plan.layers:
            weights[j] = merge(plan, tanh_impl, weights[j], dt, scale)
            added[j] = merge(plan, tanh_impl, added[j], dt)
        else:
            weights[j] = (scale * activation.rate) * weights[j]
            added[j] = activation.rate * added[j] if j else added[j]  # the first's is in the layer
    states, last = unrolled(
        form,
        Folded(
            z=added[0],
            h=full(arrays.h),
            weights=tuple(weights),
            biases=tuple(added[1:]),
            pure=tuple(full(each) for each in arrays.pure),
            dt=None if arrays.dt is None else flatten_time(arrays.dt, lead),
            mask=None if arrays.mask is None else flatten_time(arrays.mask, lead).astype(arrays.z.dtype),
            dropout=tuple(flatten_time(factors, lead) for factors in arrays.dropout),
            lstm=arrays.lstm,
        ),
    )
    return (states.reshape(*lead, steps, batch, states.shape[-1]) if sequences else None), last


@dataclass(frozen=True)
class FoldedActivation:
    """A backbone's activation as ``scale * bend(rate * x)``, with the slope of ``bend`` by its value."""

    bend: Callable[[Sequence[int], mx.Dtype], Function]
    slope: Function
    rate: float = 1.0
    scale: float = 1.0
    factor: float = 1.0


def folded_activation(name: str, tanh_impl: TanhImplementation) -> FoldedActivation:
    """The activation (one of ``activations.DERIVATIVES``) with its constants apart."""
    if name in ("tanh", "lecun_tanh"):
        inner, outer = LECUN if name == "lecun_tanh" else (1.0, 1.0)
        rate = tanh_impl.tanh_input_scale
        return FoldedActivation(
            tanh_impl.tanh, DERIVATIVES["tanh"], rate=inner * rate, scale=outer, factor=1.0 / rate
        )
    return FoldedActivation(lambda _shape, _dtype: ACTIVATIONS[name], DERIVATIVES[name])


def merge(plan: Plan, tanh_impl: TanhImplementation, columns: mx.array, dt: float, scale: float = 1.0) -> mx.array:
    """The heads' columns times the rates of their functions; a and b as one if the time step does not vary."""
    if plan.mode == "pure":
        return columns if scale == 1.0 else scale * columns
    width = columns.shape[-1] // 4
    fg, a, b = mx.split(columns, [2 * width, 3 * width], axis=-1)
    ab = [a, b] if plan.varying_time else [(a if dt == 1.0 else dt * a) + b]
    tanh, sigmoid = scale * tanh_impl.tanh_input_scale, scale * tanh_impl.sigmoid_input_scale
    return mx.concatenate([tanh * fg, *(sigmoid * each for each in ab)], axis=-1)


def combine(mode: str, y: mx.array, dt: Any, pure: tuple[mx.array, ...]) -> mx.array:
    """The next state from the heads, as the equations say it."""
    if mode == "pure":
        decay, amplitude = pure
        return amplitude - amplitude * mx.exp(-dt * (decay + mx.abs(y))) * y
    f, g, a, b = mx.split(y, 4, axis=-1)
    f, g, s = mx.tanh(f), mx.tanh(g), sigmoid(a * dt + b)
    return f + s * (g - f) if mode == "default" else f + s * g
