"""A wired LTC layer in C (wired_ltc.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.native._arrays import Array, Floats, Long, Void, each_member, pointer
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer, gradients_structure, layer_structure

__all__ = ["NativeSynapses", "NativeWiredLTC", "SynapseList"]

PARAMETERS = ("slope", "midpoint", "pushed", "conducted")
NEURONS = ("capacitance", "driven", "leaking")


class Synapses(ctypes.Structure):
    """``Synapses`` of wired_ltc.c."""

    _fields_ = (
        ("count", Long),
        *((name, Void) for name in ("first", "source", "order")),
        *((name, Array) for name in PARAMETERS),
    )


class OfSynapses(ctypes.Structure):
    """``OfSynapses`` of wired_ltc.c."""

    _fields_ = tuple((name, Void) for name in PARAMETERS)


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
        capacitance: Of each neuron (..., U).
        driven: What drives a neuron at rest, leak times resting potential (..., U).
        leaking: What it conducts at rest (..., U).
        inner: Synapses between neurons.
        sensory: Synapses from the inputs.
        unfolds: Solver steps for each time step.
        dt: Time steps of the solver.
    """

    name: ClassVar = "wired_ltc"
    layer_in_c: ClassVar = layer_structure(
        ["unfolds", "inputs", "units"],
        *((name, Array) for name in NEURONS),
        *(("inner", Synapses), ("sensory", Synapses)),
    )
    gradients_in_c: ClassVar = gradients_structure(
        *((name, Void) for name in NEURONS), ("inner", OfSynapses), ("sensory", OfSynapses)
    )

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

    @property
    def sizes(self) -> Several[int]:
        """Solver steps, inputs and neurons."""
        return self.unfolds, self.x.shape[-1], self.state.shape[-1]

    def parameters(self) -> list[tuple[mx.array, int]]:
        """The neurons', then the synapses'."""
        neurons = (self.capacitance, self.driven, self.leaking)
        return [(each, 1) for each in (*neurons, *self.inner.parameters, *self.sensory.parameters)]

    def hand_over(self, call: LayerCall, parameters: list[Floats], dropout: list[Floats]) -> Several[Any]:  # noqa: ARG002
        """The neurons, then the synapses."""
        members: list[Any] = [call.hold(each_member(each)) for each in parameters]

        def synapses(listed: SynapseList, arrays: list[Any]) -> Synapses:
            lists = (listed.first, listed.source, listed.order)
            return Synapses(len(listed.source), *(call.hold((pointer(each), each)) for each in lists), *arrays)

        return *members[:3], synapses(self.inner.listed, members[3:7]), synapses(self.sensory.listed, members[7:])

    def receive(self, call: LayerCall, parameters: list[Floats]) -> Several[Any]:  # noqa: ARG002
        """Those of the neurons, then of the synapses."""
        pointers = list(map(pointer, parameters))
        return *pointers[:3], OfSynapses(*pointers[3:7]), OfSynapses(*pointers[7:])
