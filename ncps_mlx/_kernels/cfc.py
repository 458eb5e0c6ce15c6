"""A dense CfC layer over a whole sequence: its constants go into its weights, then ``cfc_scan.py`` runs it.

The constants of lecun_tanh, tanh and sigmoid (``tanh.py``) are folded into the product before or after them. Where
the time step is one number, it is folded in too, and the heads a and b become one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx._kernels.activations import ACTIVATIONS, DERIVATIVES, LECUN, sigmoid
from ncps_mlx._kernels.cfc_scan import ScanArrays, ScanSpec, run_scan
from ncps_mlx._kernels.layout import flatten_time
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.tanh import Function, TanhImplementation, tanh_for

__all__ = ["LayerArrays", "LayerSpec", "combine_heads", "fold_heads", "run_cfc"]


@dataclass(frozen=True)
class LayerSpec:
    """A layer's description, apart from its arrays."""

    mode: str
    activation: str
    layers: int
    varying_time: bool


@dataclass(frozen=True)
class LayerArrays:
    """A layer's arrays as its equations have them.

    Attributes:
        z: The inputs' part of the first product (..., T, B, U).
        h: First state (..., B, H).
        recurrent: Weights from the state (..., H, U).
        weights: Of the products after it, each (..., in, out).
        biases: Each (..., 1, out).
        pure: Decay and amplitude of mode pure, each (..., 1, H).
        dt: Time steps (..., T, B, 1), if they vary.
        mask: True where there is a reading (..., T, B, 1).
        dropout: A dropout mask (..., T, B, U) for each backbone layer; empty for none.
        lstm: Of an LSTM that steps before the cell, if there is one; its ``z`` is in rows.
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
    lstm: LSTMArrays | None = None


def run_cfc(
    spec: LayerSpec, arrays: LayerArrays, dt: float, *, sequences: bool
) -> tuple[mx.array | None, tuple[mx.array, ...]]:
    """Run the layer.

    Args:
        spec: Describes the layer.
        arrays: Its arrays.
        dt: The time step, where it does not vary.
        sequences: Whether the states of all steps are wanted.

    Returns:
        All states (..., T, B, H), or ``None``; and the last (..., B, H), followed by the LSTM's memory if there is one.
    """
    *leading, steps, batch, _ = arrays.z.shape
    tanh_impl = tanh_for(arrays.z.dtype)
    activation = fold_activation(spec.activation, tanh_impl)
    scan_spec = ScanSpec(
        mode=spec.mode,
        tanh_impl=tanh_impl,
        activation=activation.activation,
        activation_grad=activation.activation_grad,
        input_scale=activation.input_scale,
        grad_scale=activation.grad_scale,
        steps=steps,
        dt=dt,
        sequences=sequences,
    )

    def full(array: mx.array) -> mx.array:
        return mx.broadcast_to(array, (*leading, *array.shape[-2:]))

    weights = [full(weight) for weight in (arrays.recurrent, *arrays.weights)]
    added = [flatten_time(arrays.z, leading), *(full(bias) for bias in arrays.biases)]
    for j in range(spec.layers + 1):
        output_scale = activation.output_scale if j else 1.0
        if j == spec.layers:
            weights[j] = fold_heads(spec, tanh_impl, weights[j], dt, output_scale)
            added[j] = fold_heads(spec, tanh_impl, added[j], dt)
        else:
            weights[j] = (output_scale * activation.input_scale) * weights[j]
            added[j] = activation.input_scale * added[j] if j else added[j]  # the scan multiplies the first
    states, last = run_scan(
        scan_spec,
        ScanArrays(
            z=added[0],
            h=full(arrays.h),
            weights=tuple(weights),
            biases=tuple(added[1:]),
            pure=tuple(full(each) for each in arrays.pure),
            dt=None if arrays.dt is None else flatten_time(arrays.dt, leading),
            mask=None if arrays.mask is None else flatten_time(arrays.mask, leading).astype(arrays.z.dtype),
            dropout=tuple(flatten_time(mask, leading) for mask in arrays.dropout),
            lstm=arrays.lstm,
        ),
    )
    return (states.reshape(*leading, steps, batch, states.shape[-1]) if sequences else None), last


@dataclass(frozen=True)
class FoldedActivation:
    """An activation as ``output_scale * activation(input_scale * x)``, with its derivative from its own value."""

    activation: Callable[[Sequence[int], mx.Dtype], Function]
    activation_grad: Function
    input_scale: float = 1.0
    output_scale: float = 1.0
    grad_scale: float = 1.0


def fold_activation(name: str, tanh_impl: TanhImplementation) -> FoldedActivation:
    """The activation of this name (one of ``activations.DERIVATIVES``), its constants taken out."""
    if name in ("tanh", "lecun_tanh"):
        inner, outer = LECUN if name == "lecun_tanh" else (1.0, 1.0)
        scale = tanh_impl.tanh_input_scale
        return FoldedActivation(
            tanh_impl.tanh,
            DERIVATIVES["tanh"],
            input_scale=inner * scale,
            output_scale=outer,
            grad_scale=1.0 / scale,
        )
    return FoldedActivation(lambda _shape, _dtype: ACTIVATIONS[name], DERIVATIVES[name])


def fold_heads(
    spec: LayerSpec, tanh_impl: TanhImplementation, columns: mx.array, dt: float, scale: float = 1.0
) -> mx.array:
    """The heads' columns times their functions' input scales; a and b become one if the time step does not vary."""
    if spec.mode == "pure":
        return columns if scale == 1.0 else scale * columns
    width = columns.shape[-1] // 4
    fg, a, b = mx.split(columns, [2 * width, 3 * width], axis=-1)
    ab = [a, b] if spec.varying_time else [(a if dt == 1.0 else dt * a) + b]
    tanh, sigmoid = scale * tanh_impl.tanh_input_scale, scale * tanh_impl.sigmoid_input_scale
    return mx.concatenate([tanh * fg, *(sigmoid * each for each in ab)], axis=-1)


def combine_heads(mode: str, y: mx.array, dt: Any, pure: tuple[mx.array, ...]) -> mx.array:
    """The next state from the heads' outputs, as the equations have it."""
    if mode == "pure":
        decay, amplitude = pure
        return amplitude - amplitude * mx.exp(-dt * (decay + mx.abs(y))) * y
    f, g, a, b = mx.split(y, 4, axis=-1)
    f, g, s = mx.tanh(f), mx.tanh(g), sigmoid(a * dt + b)
    return f + s * (g - f) if mode == "default" else f + s * g
