"""The layers of a CfC on a circuit, step by step after an LSTM, with a hand-written gradient.

Alone each layer of a circuit runs over the whole sequence before the next begins. An LSTM mixes all their states at
every step, so here the loop over time goes through LSTM and layers; else it is that of ``cfc_scan.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.cfc import Plan, merge
from ncps_mlx._kernels.cfc_scan import Around, Shape, decayed, gating, head_parameters, head_slopes
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import (
    concat_time,
    expand_column,
    flatten_time,
    split_time,
    to_head_grads,
    transposed,
    weight_gradient,
)
from ncps_mlx._kernels.lstm import Lstm
from ncps_mlx._kernels.tanh import tanh_for

__all__ = ["CircuitArrays", "LayerArrays", "run_fused_circuit"]


@dataclass(frozen=True)
class LayerArrays(Around):
    """One layer's arrays, beside what all heads read.

    Attributes:
        recurrent: Weights from its own state (..., U, heads).
        given: Weights from the layer before it (..., units there, heads) and bias (..., 1, heads); nothing of the
            first, which reads the inputs.
    """

    recurrent: mx.array
    given: tuple[mx.array, ...]

    @property
    def units(self) -> int:
        """U."""
        return int(self.recurrent.shape[-2])

    def own(self) -> list[mx.array]:
        """The arrays that are its alone."""
        return [self.recurrent, *self.given, *self.pure]

    def like(self, rest: Iterator[mx.array]) -> LayerArrays:
        """The inverse of :meth:`own`."""
        return replace(
            self,
            recurrent=next(rest),
            given=tuple(next(rest) for _ in self.given),
            pure=tuple(next(rest) for _ in self.pure),
        )


@dataclass(frozen=True)
class CircuitArrays:
    """All arrays, in rows where they have time (see ``cfc_scan.Folded``).

    Attributes:
        z: What the inputs contribute to the first layer's product (..., R, heads).
        h: First state, of all layers side by side (..., B, H).
        layers: In the circuit's order.
        lstm: Of the LSTM.
    """

    z: mx.array
    h: mx.array
    layers: tuple[LayerArrays, ...]
    lstm: Lstm

    def flat(self) -> list[mx.array]:
        """All arrays in order."""
        shared = [each for each in (self.layers[0].dt, self.layers[0].mask) if each is not None]
        own = [array for layer in self.layers for array in layer.own()]
        return [self.z, self.h, *shared, *own, *self.lstm.flat()]

    def like(self, arrays: Sequence[mx.array]) -> CircuitArrays:
        """The inverse of :meth:`flat`, for arrays as these."""
        rest = iter(arrays)
        z, h = next(rest), next(rest)
        dt = None if self.layers[0].dt is None else next(rest)
        mask = None if self.layers[0].mask is None else next(rest)
        layers = tuple(replace(layer.like(rest), dt=dt, mask=mask) for layer in self.layers)
        return CircuitArrays(z=z, h=h, layers=layers, lstm=Lstm(*rest))

    def split(self, h: mx.array) -> list[mx.array]:
        """Each layer's part of (..., H)."""
        if len(self.layers) == 1:
            return [h]
        return list(mx.split(h, np.cumsum([layer.units for layer in self.layers])[:-1].tolist(), axis=-1))


def run_fused_circuit(
    mode: str,
    circuit: CircuitArrays,
    dt: mx.array | float,
    mask: mx.array | None,
) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layers.

    Args:
        mode: As of :class:`ncps_mlx.CfC`.
        circuit: The arrays as the equations have them, without time steps and mask; ``z`` is (..., T, B, heads).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: Where there is a reading, (..., T, B, 1), or ``None``.

    Returns:
        All states (..., T, B, H), and the last (..., B, H) with the LSTM's memory.
    """
    *lead, steps, batch, _ = circuit.z.shape
    tanh_impl = tanh_for(circuit.z.dtype)
    varying = isinstance(dt, mx.array)
    plan = Plan(mode, "tanh", layers=0, masked=mask is not None, varying_time=varying, dropping=False)
    number = 0.0 if isinstance(dt, mx.array) else dt

    def full(array: mx.array) -> mx.array:
        return mx.broadcast_to(array, (*lead, *array.shape[-2:]))

    def folded(array: mx.array) -> mx.array:
        return merge(plan, tanh_impl, array, number)

    layers = tuple(
        LayerArrays(
            recurrent=folded(full(layer.recurrent)),
            given=tuple(folded(full(each)) for each in layer.given),
            pure=tuple(map(full, layer.pure)),
            dt=flatten_time(dt, lead) if isinstance(dt, mx.array) else None,
            mask=None if mask is None else flatten_time(mask, lead).astype(circuit.z.dtype),
        )
        for layer in circuit.layers
    )
    form = Shape(mode=mode, tanh_impl=tanh_impl, steps=steps, dt=number)
    whole = CircuitArrays(
        z=folded(flatten_time(circuit.z, lead)), h=full(circuit.h), layers=layers, lstm=circuit.lstm
    )

    def pass_(*flat: mx.array) -> list[mx.array]:
        return forward(form, whole.like(flat))

    def prepare(flat: Sequence[mx.array], kept: Sequence[mx.array]) -> list[mx.array]:
        read, fresh, *rest = kept
        own = whole.like(flat).layers
        heads = [
            head_slopes(form, layer, each)
            for layer, each in zip(own, split(rest[:-4], len(own)), strict=True)
        ]
        return [read, fresh, *(each for kinds in heads for each in kinds), *rest[-4:]]

    def pullback(
        flat: Sequence[mx.array], of_given: Sequence[mx.array], kept: Sequence[mx.array]
    ) -> list[mx.array]:
        return backward(form, whole.like(flat), kept, *of_given)

    states, h, c = custom_vjp(pass_, pullback, output_count=3, prepare=prepare)(*whole.flat())
    return states.reshape(*lead, steps, batch, states.shape[-1]), (h, c)


def forward(form: Shape, own: CircuitArrays) -> list[mx.array]:
    """All states; the last, and memory; what layers read and gave; each one's values of each kind; the LSTM's."""
    lead, steps, dtype = own.h.shape[:-1], form.steps, own.h.dtype
    zs, dt, mask = split_time(own.z, steps), own.layers[0].dt, own.layers[0].mask
    masks = None if mask is None else split_time(expand_column(mask, own.h.shape[-1]).astype(mx.bool_), steps)
    dts = [None if dt is None else split_time(expand_column(dt, layer.units), steps) for layer in own.layers]
    gates = [gating(form, (*lead, layer.units), dtype) for layer in own.layers]
    given = [layer.given for layer in own.layers[1:]]
    biases = [mx.broadcast_to(bias, (*lead, bias.shape[-1])) for _, bias in given]
    before = lstm.Forward(own.lstm, form.tanh_impl, steps, mask)
    h, states, read, fresh = own.h, [], [], []
    values: list[list[list[mx.array]]] = [[] for _ in own.layers]
    for t in range(steps):
        read.append(before.step(t, h))
        new: list[mx.array] = []
        for k, (layer, part) in enumerate(zip(own.layers, own.split(read[-1]), strict=True)):
            heard = mx.addmm(biases[k - 1], new[-1], given[k - 1][0]) if k else zs[t]
            y = mx.addmm(heard, part, layer.recurrent)
            step = dts[k]
            if form.mode == "pure":
                out, kept = decayed(y, form.dt if step is None else step[t], layer.pure)
            else:
                out, kept = gates[k](y, None if step is None else step[t])
            new.append(out)
            values[k].append(kept)
        fresh.append(mx.concatenate(new, axis=-1))
        h = fresh[-1] if masks is None else mx.where(masks[t], fresh[-1], h)
        states.append(h)
    kinds = [read, fresh, *(list(kind) for each in values for kind in zip(*each, strict=True))]
    return [concat_time(states), h, before.c, *map(concat_time, kinds), *before.kept()]


def backward(
    form: Shape,
    own: CircuitArrays,
    kept: Sequence[mx.array],
    of_states: mx.array,
    of_last: mx.array,
    of_memory: mx.array,
) -> list[mx.array]:
    """Gradients with respect to each array of :meth:`CircuitArrays.flat`."""
    steps, mask, layers = form.steps, own.layers[0].mask, own.layers
    read, fresh, *rest = kept
    slopes, heads = [], []
    for first, *others in split(rest[:-4], len(layers)):
        slopes.append(first)
        heads.append(others)
    slopes_at = [split_time(each, steps, -3) for each in slopes]
    held = None if mask is None else split_time(expand_column(1.0 - mask, own.h.shape[-1]), steps)
    above = split_time(of_states, steps)
    before = lstm.Backward(own.lstm, form.tanh_impl, steps, mask, rest[-4:], of_memory)
    back = [transposed(layer.recurrent) for layer in layers]
    through = [transposed(layer.given[0]) for layer in layers[1:]]
    grown: list[list[mx.array]] = [[] for _ in layers]
    of_layer: list[list[mx.array]] = [[] for _ in layers]
    g = of_last
    for t in reversed(range(steps)):
        g = g + above[t]
        parts = own.split(g)
        of_read = []
        for k in reversed(range(len(layers))):
            of_layer[k].append(parts[k])
            d = to_head_grads(parts[k], slopes_at[k][t])
            grown[k].append(d)
            of_read.append(d @ back[k])
            if k:
                parts[k - 1] = parts[k - 1] + d @ through[k - 1]
        d = before.step(t, mx.concatenate(of_read[::-1], axis=-1))
        g = d if held is None else d + g * held[t]
    outputs = [concat_time(each[::-1]) for each in grown]
    reads, gives = own.split(read), own.split(fresh)
    found: list[mx.array] = []
    of_time: list[mx.array] = []
    for k, layer in enumerate(layers):
        found.append(weight_gradient(reads[k], outputs[k]))
        if k:
            found += [weight_gradient(gives[k - 1], outputs[k]), outputs[k].sum(axis=-2, keepdims=True)]
        of_heads = head_parameters(form, layer, heads[k], of_layer[k], outputs[k])
        found += of_heads[: len(layer.pure)]
        of_time += of_heads[len(layer.pure) :]
    return [
        outputs[0],
        g,
        *([sum(of_time[1:], of_time[0])] if of_time else []),
        *([] if mask is None else [mx.zeros_like(mask)]),
        *found,
        *before.gradients(),
    ]


def split(arrays: Sequence[mx.array], parts: int) -> list[Sequence[mx.array]]:
    """Equal parts of a sequence."""
    count = len(arrays) // parts
    return [arrays[k * count : (k + 1) * count] for k in range(parts)]
