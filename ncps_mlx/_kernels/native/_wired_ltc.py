"""A wired LTC layer in C (wired_ltc.c)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.native._arrays import Array, Floats, Sequence, each_member, first, pointer, sequence
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer

__all__ = ["NativeSynapses", "NativeWiredLTC", "SynapseList"]

Long, Float, Void = ctypes.c_long, ctypes.c_float, ctypes.c_void_p
PARAMETERS = ("slope", "midpoint", "pushed", "conducted")


class Synapses(ctypes.Structure):
    """``Synapses`` of wired_ltc.c."""

    _fields_ = (
        ("count", Long),
        *((name, Void) for name in ("first", "source", "order")),
        *((name, Array) for name in PARAMETERS),
    )


class Layer(ctypes.Structure):
    """``Layer`` of wired_ltc.c."""

    _fields_ = (
        *((name, Long) for name in ("members", "steps", "unfolds", "batch", "inputs", "units")),
        ("dt", Float),
        *((name, Sequence) for name in ("x", "times", "mask")),
        *((name, Array) for name in ("state", "capacitance", "driven", "leaking")),
        *(("inner", Synapses), ("sensory", Synapses)),
    )


class OfSynapses(ctypes.Structure):
    """``OfSynapses`` of wired_ltc.c."""

    _fields_ = tuple((name, Void) for name in PARAMETERS)


class Gradients(ctypes.Structure):
    """``Gradients`` of wired_ltc.c."""

    _fields_ = (
        *((name, Void) for name in ("x", "times", "state", "capacitance", "driven", "leaking")),
        *(("inner", OfSynapses), ("sensory", OfSynapses)),
    )


class SynapseList:
    """Synapses by the neuron they lead to.

    Attributes:
        first: Where those onto each neuron begin, and the end of all (U + 1,).
        source: The neuron or input each comes from (S,).
        order: Their numbers in the order of ``pairs`` (S,).

    Args:
        pairs: Source and target of each (S, 2).
        units: U.
    """

    def __init__(self, pairs: npt.NDArray[np.int64], units: int) -> None:
        self.order = np.argsort(pairs[:, 1], kind="stable").astype(np.int32)
        self.source = np.ascontiguousarray(pairs[self.order, 0], dtype=np.int32)
        self.first = np.searchsorted(pairs[self.order, 1], np.arange(units + 1)).astype(np.int32)


@dataclass(frozen=True)
class NativeSynapses:
    """Synapses and their parameters, each (..., S) in the order of ``pairs``.

    Attributes:
        listed: Where they lead.
        slope: Of the sigmoid.
        midpoint: Of the sigmoid.
        pushed: Weight times reversal potential.
        conducted: Weight.
    """

    listed: SynapseList
    slope: mx.array
    midpoint: mx.array
    pushed: mx.array
    conducted: mx.array

    @property
    def parameters(self) -> tuple[mx.array, ...]:
        """In the order of :data:`PARAMETERS`."""
        return self.slope, self.midpoint, self.pushed, self.conducted


@dataclass(frozen=True)
class NativeWiredLTC(NativeLayer):
    """A layer; its inputs are mapped already, its outputs not yet.

    Attributes:
        state: First state (..., B, U).
        capacitance: Of each neuron (..., U).
        driven: What drives a neuron at rest, leak times resting potential (..., U).
        leaking: What it conducts at rest (..., U).
        inner: Synapses between neurons.
        sensory: Synapses from the inputs.
        unfolds: Solver steps for each time step.
        dt: Time steps of the solver.
    """

    x: mx.array
    state: mx.array
    capacitance: mx.array
    driven: mx.array
    leaking: mx.array
    inner: NativeSynapses
    sensory: NativeSynapses
    unfolds: int
    dt: mx.array | float
    mask: mx.array | None

    def differentiable(self) -> list[tuple[mx.array, int]]:
        """x, the state, the neurons' parameters, the synapses' and the time steps."""
        neurons = (self.capacitance, self.driven, self.leaking)
        return [
            (self.x, 3),
            (self.state, 2),
            *((each, 1) for each in (*neurons, *self.inner.parameters, *self.sensory.parameters)),
            *((each, 3) for each in self.times),
        ]

    def call(self, arrays: list[Floats], masks: list[Floats]) -> LayerCall:
        """The layer on the memory of these arrays."""
        return WiredLTCCall(self, arrays, masks)


class WiredLTCCall(LayerCall):
    """A wired LTC layer in C with its arrays."""

    name = "wired_ltc"

    def __init__(self, ltc: NativeWiredLTC, arrays: list[Floats], masks: list[Floats]) -> None:
        super().__init__(arrays)
        x, state, *rest = arrays
        neurons, inner, sensory, times = rest[:3], rest[3:7], rest[7:11], rest[11:]

        def synapses(listed: SynapseList, parameters: list[Floats]) -> Synapses:
            lists = (listed.first, listed.source, listed.order)
            members: list[Any] = [self.hold(each_member(each)) for each in parameters]
            return Synapses(len(listed.source), *(self.hold((pointer(each), each)) for each in lists), *members)

        population, steps, batch, inputs = x.shape
        self.layer = Layer(
            *(population, steps, ltc.unfolds, batch, inputs, state.shape[-1]),
            0.0 if isinstance(ltc.dt, mx.array) else ltc.dt,
            *(self.hold(sequence(each)) for each in (x, first(times), first(masks))),
            *(self.hold(each_member(each)) for each in (state, *neurons)),
            synapses(ltc.inner.listed, inner),
            synapses(ltc.sensory.listed, sensory),
        )

    def gradients(self, found: list[Floats]) -> Gradients:
        """x, the state, the neurons' parameters, the synapses' and the time steps."""
        x, state, *rest = map(pointer, found)
        times = rest[11:] or [None]
        return Gradients(x, *times, state, *rest[:3], OfSynapses(*rest[3:7]), OfSynapses(*rest[7:11]))
