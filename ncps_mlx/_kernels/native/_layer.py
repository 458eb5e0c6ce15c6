"""What all layers in C share: they run on evaluated arrays, keep memory of their own, and go back from there."""

from __future__ import annotations

import ctypes
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence as Several
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np

from ncps_mlx._kernels.custom_vjp import cached_in_precompute, eager_vjp, is_constant, is_eager
from ncps_mlx._kernels.native._arrays import (
    Array,
    Floats,
    Long,
    Sequence,
    Void,
    aligned,
    each_member,
    evaluates,
    pointer,
    sequence,
    view,
)
from ncps_mlx._kernels.native._choice import calls, is_native_on
from ncps_mlx._kernels.native._compile import compiled

__all__ = ["LayerCall", "NativeLayer", "gradients_structure", "layer_structure"]

UNWANTED = mx.array(math.nan)  # instead of a gradient that nobody wants


def layer_structure(sizes: Several[str], *own: tuple[str, Any]) -> type[ctypes.Structure]:
    """``Layer`` of a C file: its sizes after N, T and B, and its own parameters."""
    fields = [
        *((name, Long) for name in ("members", "steps", "batch", *sizes)),
        ("dt", ctypes.c_float),
        *((name, Sequence) for name in ("x", "times", "mask")),
        *(("state", Array), *own),
    ]
    return type("Layer", (ctypes.Structure,), {"_fields_": fields})


def gradients_structure(*own: tuple[str, Any]) -> type[ctypes.Structure]:
    """``Gradients`` of a C file, with those of its own parameters."""
    fields = [*((name, Void) for name in ("x", "times", "state")), *own]
    return type("Gradients", (ctypes.Structure,), {"_fields_": fields})


class NativeLayer(ABC):
    """A layer as its cell has it. Every array may carry the leading axis of a population.

    Attributes:
        name: Of the functions in C: ``NAME_kept_floats``, ``NAME_forward`` and ``NAME_backward``.
        layer_in_c: Its structure there, by :func:`layer_structure`.
        gradients_in_c: That of its gradients, by :func:`gradients_structure`.
        x: Inputs (..., T, B, D).
        state: First state (..., B, H).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: True where there is a reading (..., T, B, 1); ``None``: everywhere.
        dropout: A mask (..., T, B, U) for each layer that dropout acts on; empty for none.
    """

    name: ClassVar[str]
    layer_in_c: ClassVar[type[ctypes.Structure]]
    gradients_in_c: ClassVar[type[ctypes.Structure]]
    x: mx.array
    state: mx.array
    dt: mx.array | float
    mask: mx.array | None
    dropout: tuple[mx.array, ...] = ()

    @property
    @abstractmethod
    def sizes(self) -> Several[int]:
        """Of the structure in C, after N, T and B."""

    @abstractmethod
    def parameters(self) -> list[tuple[mx.array, int]]:
        """The arrays that are learned, each with the number of its axes in one model."""

    @abstractmethod
    def hand_over(self, call: LayerCall, parameters: list[Floats], dropout: list[Floats]) -> Several[Any]:
        """What the structure in C has after the first state: the memory of :meth:`parameters` and :attr:`dropout`."""

    @abstractmethod
    def receive(self, call: LayerCall, parameters: list[Floats]) -> Several[Any]:
        """What the gradients' structure has after that of the first state: where those of the parameters go."""

    def differentiable(self) -> list[tuple[mx.array, int]]:
        """The arrays that get a gradient, each with the number of its axes in one model: times, if they vary, last."""
        times = [(self.dt, 3)] if isinstance(self.dt, mx.array) else []
        return [(self.x, 3), (self.state, 2), *self.parameters(), *times]

    def masks(self) -> list[mx.array]:
        """The arrays that get none, each (..., T, B, .): the mask, if there is one, last."""
        return [*self.dropout, *([] if self.mask is None else [self.mask])]

    def runs(self) -> bool:
        """Whether it would run in C here: called, not traced, in single precision on the CPU."""
        return is_eager() and bool(cached_in_precompute(self.can_run))

    def can_run(self) -> bool:
        """Whether arrays, device and choice allow it; evaluates the arrays."""
        arrays = self.differentiable()
        return (
            all(array.dtype == mx.float32 and array.ndim <= own_axes + 1 for array, own_axes in arrays)
            and all(array.dtype in (mx.float32, mx.bool_) for array in self.masks())
            and all(array.size > 0 for array, _ in arrays)
            and is_native_on()
            and evaluates([array for array, _ in arrays])
        )

    def run(self, *, sequences: bool) -> tuple[mx.array | None, mx.array]:
        """Run the layer.

        Returns:
            All states (..., T, B, H), or ``None``; and the last (..., B, H).
        """
        given = self.differentiable()
        wanted = [not is_constant(array) for array, _ in given]
        shapes = {array.shape[: array.ndim - own_axes] for array, own_axes in given}
        leading = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)

        def full(array: mx.array, own_axes: int) -> mx.array:
            shape = (*leading, *array.shape[array.ndim - own_axes :])
            return array if array.shape == shape else mx.broadcast_to(array, shape)

        def members(array: mx.array) -> Floats:
            return view(array) if leading else view(array)[None]

        def to_mlx(array: Floats) -> mx.array:
            return mx.array(array if leading else array[0])

        masks = [full(each, 3) for each in self.masks()]

        def forward(arrays: Several[mx.array], keep: bool) -> tuple[list[mx.array], LayerCall]:
            mx.eval(*arrays, *masks)  # C reads their memory
            call = LayerCall(self, list(map(members, arrays)), list(map(members, masks)))
            states, last = call.forward(sequences=sequences, keep=keep)
            end = to_mlx(last)
            return [end if states is None else to_mlx(states), end], call

        def backward(call: LayerCall, cotangents: Several[mx.array]) -> list[mx.array]:
            mx.eval(*cotangents)  # C reads their memory
            by_states, by_last = (np.ascontiguousarray(view(each)) for each in cotangents)
            found = call.backward(by_states if sequences else None, by_last, wanted)
            return [
                mx.broadcast_to(UNWANTED, array.shape) if each is None else to_mlx(each)
                for each, array in zip(found, arrays, strict=True)
            ]

        arrays = [full(*each) for each in given]
        states, last = eager_vjp(forward, backward)(*arrays)
        return (states if sequences else None), last


class LayerCall:
    """A layer in C with its arrays, all with an axis of members, and what its forward pass kept."""

    def __init__(self, layer: NativeLayer, arrays: list[Floats], masks: list[Floats]) -> None:
        self.layer = layer
        self.shapes = [each.shape for each in arrays]
        self.alive: list[Any] = []  # what C points to
        self.kept: Floats | None = None
        x, state, parameters, times = self.split(arrays)
        mask = None if layer.mask is None else masks.pop()
        self.structure = layer.layer_in_c(
            *(*x.shape[:3], *layer.sizes),
            0.0 if isinstance(layer.dt, mx.array) else layer.dt,
            *(self.hold(sequence(each)) for each in (x, times, mask)),
            self.hold(each_member(state)),
            *layer.hand_over(self, parameters, masks),
        )

    def split(self, arrays: list[Any]) -> tuple[Any, Any, list[Any], Any]:
        """Of :meth:`NativeLayer.differentiable`: x, the first state, the parameters, and the times or ``None``."""
        x, state, *parameters = arrays
        return x, state, parameters, parameters.pop() if isinstance(self.layer.dt, mx.array) else None

    def hold(self, pair: tuple[Any, Any]) -> Any:
        """The first of a pair; the second stays in memory as long as this call."""
        self.alive.append(pair[1])
        return pair[0]

    def function(self, action: str) -> Any:
        """The compiled function."""
        return getattr(compiled().functions, f"{self.layer.name}_{action}")

    def forward(self, *, sequences: bool, keep: bool) -> tuple[Floats | None, Floats]:
        """All states (N, T, B, H), if wanted, and the last (N, B, H)."""
        calls[f"{self.layer.name} forward"] += 1
        layer = ctypes.byref(self.structure)
        (population, steps, *_), (_, *state) = self.shapes[:2]
        if keep:
            self.kept = aligned((population, self.function("kept_floats")(layer)))
        states = aligned((population, steps, *state)) if sequences else None
        last = aligned((population, *state))
        check(self.function("forward")(layer, *map(pointer, (self.kept, states, last))))
        return states, last

    def backward(
        self, by_states: Floats | None, by_last: Floats, wanted: Several[bool]
    ) -> list[Floats | None]:
        """The gradient of each array, or ``None`` for x, state and times that are not wanted."""
        calls[f"{self.layer.name} backward"] += 1
        found = [
            np.empty(shape, dtype=np.float32) if want else None
            for shape, want in zip(self.shapes, wanted, strict=True)
        ]
        x, state, parameters, times = self.split(found)
        gradients = self.layer.gradients_in_c(
            *map(pointer, (x, times, state)), *self.layer.receive(self, parameters)
        )
        arrays = map(pointer, (self.kept, by_states, by_last))
        check(self.function("backward")(ctypes.byref(self.structure), *arrays, ctypes.byref(gradients)))
        return found


def check(code: int) -> None:
    """Raise what a function in C returned as an error."""
    if code:
        raise MemoryError("A layer in C could not get memory to work in.")
