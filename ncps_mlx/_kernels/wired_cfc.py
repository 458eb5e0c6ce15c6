"""The layers of a CfC on a circuit, step by step after an LSTM, with a custom gradient.

Without an LSTM each layer of a circuit runs over the whole sequence before the next begins (``cfc_scan.py``). An LSTM
mixes all their states at every step, so here the loop over time goes through the LSTM and all layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.cfc import LayerSpec, fold_heads
from ncps_mlx._kernels.cfc_scan import (
    HeadArrays,
    HeadSpec,
    bind_heads,
    head_parameter_grads,
    head_slopes,
    pure_step,
)
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import (
    concat_time,
    flatten_time,
    split_column,
    split_time,
    to_head_grads,
    transposed,
    weight_gradient,
)
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.tanh import tanh_for

__all__ = ["CircuitArrays", "CircuitLayerArrays", "run_wired_cfc"]


@dataclass(frozen=True)
class CircuitLayerArrays(HeadArrays):
    """One layer's arrays.

    Attributes:
        recurrent: Weights from its own state (..., U, heads).
        feedforward: Weights from the layer before it (..., units there, heads) and bias (..., 1, heads); empty for the
            first layer, which reads the inputs.
    """

    recurrent: mx.array
    feedforward: tuple[mx.array, ...]

    @property
    def units(self) -> int:
        """U."""
        return int(self.recurrent.shape[-2])

    def to_list(self) -> list[mx.array]:
        """The arrays that belong to this layer alone."""
        return [self.recurrent, *self.feedforward, *self.pure]

    def from_list(self, rest: Iterator[mx.array]) -> CircuitLayerArrays:
        """The same structure with other arrays, in the order of :meth:`to_list`."""
        return replace(
            self,
            recurrent=next(rest),
            feedforward=tuple(next(rest) for _ in self.feedforward),
            pure=tuple(next(rest) for _ in self.pure),
        )


@dataclass(frozen=True)
class CircuitArrays:
    """All arrays, in rows where they have time (see ``cfc_scan.ScanArrays``).

    Attributes:
        z: The inputs' part of the first layer's product (..., R, heads).
        h: First states of all layers, side by side (..., B, H).
        layers: In the circuit's order.
        lstm: Of the LSTM.
    """

    z: mx.array
    h: mx.array
    layers: tuple[CircuitLayerArrays, ...]
    lstm: LSTMArrays

    def to_list(self) -> list[mx.array]:
        """All arrays in order."""
        shared = [each for each in (self.layers[0].dt, self.layers[0].mask) if each is not None]
        own = [array for layer in self.layers for array in layer.to_list()]
        return [self.z, self.h, *shared, *own, *self.lstm.to_list()]

    def from_list(self, arrays: Sequence[mx.array]) -> CircuitArrays:
        """The same structure with other arrays, in the order of :meth:`to_list`."""
        rest = iter(arrays)
        z, h = next(rest), next(rest)
        dt = None if self.layers[0].dt is None else next(rest)
        mask = None if self.layers[0].mask is None else next(rest)
        layers = tuple(replace(layer.from_list(rest), dt=dt, mask=mask) for layer in self.layers)
        return CircuitArrays(z=z, h=h, layers=layers, lstm=LSTMArrays(*rest))

    def split(self, h: mx.array) -> list[mx.array]:
        """Each layer's part of (..., H)."""
        if len(self.layers) == 1:
            return [h]
        return list(mx.split(h, np.cumsum([layer.units for layer in self.layers])[:-1].tolist(), axis=-1))


def run_wired_cfc(
    mode: str, arrays: CircuitArrays, dt: mx.array | float, mask: mx.array | None
) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layers.

    Args:
        mode: As in :class:`ncps_mlx.CfC`.
        arrays: As the equations have them, without time steps and mask; ``z`` is (..., T, B, heads).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: True where there is a reading (..., T, B, 1); ``None``: everywhere.

    Returns:
        All states (..., T, B, H); and the last (..., B, H), with the LSTM's memory.
    """
    *leading, steps, batch, _ = arrays.z.shape
    tanh_impl = tanh_for(arrays.z.dtype)
    layer_spec = LayerSpec(mode, "tanh", layers=0, varying_time=isinstance(dt, mx.array))
    number = 0.0 if isinstance(dt, mx.array) else dt

    def full(array: mx.array) -> mx.array:
        return mx.broadcast_to(array, (*leading, *array.shape[-2:]))

    def folded(array: mx.array) -> mx.array:
        return fold_heads(layer_spec, tanh_impl, array, number)

    layers = tuple(
        CircuitLayerArrays(
            recurrent=folded(full(layer.recurrent)),
            feedforward=tuple(folded(full(each)) for each in layer.feedforward),
            pure=tuple(map(full, layer.pure)),
            dt=flatten_time(dt, leading) if isinstance(dt, mx.array) else None,
            mask=None if mask is None else flatten_time(mask, leading).astype(arrays.z.dtype),
        )
        for layer in arrays.layers
    )
    spec = HeadSpec(mode=mode, tanh_impl=tanh_impl, steps=steps, dt=number)
    circuit = CircuitArrays(
        z=folded(flatten_time(arrays.z, leading)), h=full(arrays.h), layers=layers, lstm=arrays.lstm
    )

    def function(*flat: mx.array) -> list[mx.array]:
        return forward(spec, circuit.from_list(flat))

    def prepare(flat: Sequence[mx.array], residuals: Sequence[mx.array]) -> list[mx.array]:
        read, new, *rest = residuals
        own = circuit.from_list(flat).layers
        heads = [
            head_slopes(spec, layer, each)
            for layer, each in zip(own, equal_parts(rest[:-4], len(own)), strict=True)
        ]
        return [read, new, *(each for of_layer in heads for each in of_layer), *rest[-4:]]

    def pullback(
        flat: Sequence[mx.array], cotangents: Sequence[mx.array], residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        return backward(spec, circuit.from_list(flat), residuals, *cotangents)

    run = custom_vjp(function, pullback, output_count=3, prepare=prepare)
    states, h, c = run(*circuit.to_list())
    return states.reshape(*leading, steps, batch, states.shape[-1]), (h, c)


def forward(spec: HeadSpec, arrays: CircuitArrays) -> list[mx.array]:
    """All states; the last, and memory; as residuals what layers read and gave, their heads' values, the LSTM's."""
    batch_shape, steps, dtype = arrays.h.shape[:-1], spec.steps, arrays.h.dtype
    zs, dt, mask = split_time(arrays.z, steps), arrays.layers[0].dt, arrays.layers[0].mask
    masks = split_column(mask, arrays.h.shape[-1], steps, mx.bool_)
    dts = [split_column(dt, layer.units, steps) for layer in arrays.layers]
    head_steps = [bind_heads(spec, (*batch_shape, layer.units), dtype) for layer in arrays.layers]
    feedforward = [layer.feedforward for layer in arrays.layers[1:]]
    biases = [mx.broadcast_to(bias, (*batch_shape, bias.shape[-1])) for _, bias in feedforward]
    before = lstm.Forward(arrays.lstm, spec.tanh_impl, steps, mask)
    h, states, read, new_states = arrays.h, [], [], []
    values: list[list[list[mx.array]]] = [[] for _ in arrays.layers]
    for t in range(steps):
        read.append(before.step(t, h))
        new: list[mx.array] = []
        for k, (layer, part) in enumerate(zip(arrays.layers, arrays.split(read[-1]), strict=True)):
            z = mx.addmm(biases[k - 1], new[-1], feedforward[k - 1][0]) if k else zs[t]
            y = mx.addmm(z, part, layer.recurrent)
            layer_dts = dts[k]
            if spec.mode == "pure":
                out, heads = pure_step(y, spec.dt if layer_dts is None else layer_dts[t], layer.pure)
            else:
                out, heads = head_steps[k](y, None if layer_dts is None else layer_dts[t])
            new.append(out)
            values[k].append(heads)
        new_states.append(mx.concatenate(new, axis=-1))
        h = new_states[-1] if masks is None else mx.where(masks[t], new_states[-1], h)
        states.append(h)
    kinds = [read, new_states, *(list(kind) for each in values for kind in zip(*each, strict=True))]
    return [concat_time(states), h, before.c, *map(concat_time, kinds), *before.residuals()]


def backward(
    spec: HeadSpec,
    arrays: CircuitArrays,
    residuals: Sequence[mx.array],
    grad_states: mx.array,
    grad_last: mx.array,
    grad_memory: mx.array,
) -> list[mx.array]:
    """The gradient of each array of :meth:`CircuitArrays.to_list`."""
    steps, mask, layers = spec.steps, arrays.layers[0].mask, arrays.layers
    read, new_states, *rest = residuals
    slopes, heads = [], []
    for first, *others in equal_parts(rest[:-4], len(layers)):
        slopes.append(first)
        heads.append(others)
    slopes_at = [split_time(each, steps, -3) for each in slopes]
    masked = None if mask is None else 1.0 - mask  # 1 where there is no reading
    padding = split_column(masked, arrays.h.shape[-1], steps)
    grad_states_at = split_time(grad_states, steps)
    before = lstm.Backward(arrays.lstm, spec.tanh_impl, steps, mask, rest[-4:], grad_memory)
    recurrent_back = [transposed(layer.recurrent) for layer in layers]
    feedforward_back = [transposed(layer.feedforward[0]) for layer in layers[1:]]
    grad_sums: list[list[mx.array]] = [[] for _ in layers]
    grad_layer_states: list[list[mx.array]] = [[] for _ in layers]
    g = grad_last
    for t in reversed(range(steps)):
        g = g + grad_states_at[t]
        parts = arrays.split(g)
        grad_read = []
        for k in reversed(range(len(layers))):
            grad_layer_states[k].append(parts[k])
            d = to_head_grads(parts[k], slopes_at[k][t])
            grad_sums[k].append(d)
            grad_read.append(d @ recurrent_back[k])
            if k:
                parts[k - 1] = parts[k - 1] + d @ feedforward_back[k - 1]
        d = before.step(t, mx.concatenate(grad_read[::-1], axis=-1))
        g = d if padding is None else d + g * padding[t]
    sums = [concat_time(each[::-1]) for each in grad_sums]
    reads, outputs = arrays.split(read), arrays.split(new_states)
    grad_parameters: list[mx.array] = []
    grad_dt: list[mx.array] = []
    for k, layer in enumerate(layers):
        grad_parameters.append(weight_gradient(reads[k], sums[k]))
        if k:
            grad_parameters += [weight_gradient(outputs[k - 1], sums[k]), sums[k].sum(axis=-2, keepdims=True)]
        grad_heads = head_parameter_grads(spec, layer, heads[k], grad_layer_states[k], sums[k])
        grad_parameters += grad_heads[: len(layer.pure)]
        grad_dt += grad_heads[len(layer.pure) :]
    return [
        sums[0],
        g,
        *([sum(grad_dt[1:], grad_dt[0])] if grad_dt else []),
        *([] if mask is None else [mx.zeros_like(mask)]),
        *grad_parameters,
        *before.gradients(),
    ]


def equal_parts(arrays: Sequence[mx.array], parts: int) -> list[Sequence[mx.array]]:
    """Cut a sequence into equal parts."""
    count = len(arrays) // parts
    return [arrays[k * count : (k + 1) * count] for k in range(parts)]
