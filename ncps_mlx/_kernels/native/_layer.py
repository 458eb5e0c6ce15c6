"""What all layers in C share: they run on evaluated arrays, keep memory of their own, and go back from there."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Sequence as Several
from typing import Any

import mlx.core as mx
import numpy as np

from ncps_mlx._kernels.custom_vjp import cached_in_precompute, eager_vjp, is_eager
from ncps_mlx._kernels.native._arrays import Floats, aligned, evaluates, pointer, view
from ncps_mlx._kernels.native._choice import calls, is_native_on
from ncps_mlx._kernels.native._compile import compiled

__all__ = ["LayerCall", "NativeLayer"]


class NativeLayer(ABC):
    """A layer as its cell has it. Every array may carry the leading axis of a population.

    Attributes:
        x: Inputs (..., T, B, D).
        mask: True where there is a reading (..., T, B, 1); ``None``: everywhere.
        dt: Time steps: a number, or (..., T, B, 1).
    """

    x: mx.array
    mask: mx.array | None
    dt: mx.array | float

    @abstractmethod
    def differentiable(self) -> list[tuple[mx.array, int]]:
        """The arrays that get a gradient, x first, then the state; each with the number of its axes in one model."""

    @abstractmethod
    def call(self, arrays: list[Floats], masks: list[Floats]) -> LayerCall:
        """The layer on the memory of these arrays and of :attr:`masks`, all with an axis of members."""

    @property
    def masks(self) -> list[mx.array]:
        """The arrays that get none, each (..., T, B, .); the mask is the last."""
        return [] if self.mask is None else [self.mask]

    @property
    def times(self) -> list[mx.array]:
        """The time steps, if they vary."""
        return [self.dt] if isinstance(self.dt, mx.array) else []

    def runs(self) -> bool:
        """Whether it would run in C here: called, not traced, in single precision on the CPU."""
        return is_eager() and bool(cached_in_precompute(self.can_run))

    def can_run(self) -> bool:
        """Whether arrays, device and choice allow it; evaluates the arrays."""
        arrays = self.differentiable()
        return (
            all(array.dtype == mx.float32 and array.ndim <= own_axes + 1 for array, own_axes in arrays)
            and all(array.dtype in (mx.float32, mx.bool_) for array in self.masks)
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
        shapes = {array.shape[: array.ndim - own_axes] for array, own_axes in given}
        leading = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)

        def full(array: mx.array, own_axes: int) -> mx.array:
            shape = (*leading, *array.shape[array.ndim - own_axes :])
            return array if array.shape == shape else mx.broadcast_to(array, shape)

        def members(array: mx.array) -> Floats:
            return view(array) if leading else view(array)[None]

        def to_mlx(array: Floats) -> mx.array:
            return mx.array(array.reshape(*leading, *array.shape[1:]))

        masks = [full(each, 3) for each in self.masks]

        def forward(arrays: Several[mx.array], keep: bool) -> tuple[list[mx.array], LayerCall]:
            mx.eval(*arrays, *masks)  # C reads their memory
            call = self.call(list(map(members, arrays)), list(map(members, masks)))
            states, last = call.forward(sequences=sequences, keep=keep)
            end = to_mlx(last)
            return [end if states is None else to_mlx(states), end], call

        def backward(call: LayerCall, cotangents: Several[mx.array]) -> list[mx.array]:
            mx.eval(*cotangents)  # C reads their memory
            by_states, by_last = (np.ascontiguousarray(view(each)) for each in cotangents)
            return list(map(to_mlx, call.backward(by_states if sequences else None, by_last)))

        states, last = eager_vjp(forward, backward)(*(full(*each) for each in given))
        return (states if sequences else None), last


class LayerCall(ABC):
    """A layer in C with its arrays, and what its forward pass kept.

    Attributes:
        name: Of the functions in C: ``NAME_kept_floats``, ``NAME_forward`` and ``NAME_backward``.
        layer: ``Layer`` of the C file.
        shapes: Of the arrays that get a gradient, x first, then the state.
        alive: What C points to.
    """

    name: str
    layer: ctypes.Structure

    def __init__(self, arrays: list[Floats]) -> None:
        self.shapes = [each.shape for each in arrays]
        self.alive: list[Any] = []
        self.kept: Floats | None = None

    @abstractmethod
    def gradients(self, found: list[Floats]) -> ctypes.Structure:
        """``Gradients`` of the C file, to be written to these arrays."""

    def hold(self, pair: tuple[Any, Any]) -> Any:
        """The first of a pair; the second stays in memory as long as this call."""
        self.alive.append(pair[1])
        return pair[0]

    def function(self, action: str) -> Any:
        """The compiled function."""
        found = getattr(compiled().functions, f"{self.name}_{action}")
        found.restype = ctypes.c_long if action == "kept_floats" else ctypes.c_int
        found.argtypes = None if action == "kept_floats" else [ctypes.c_void_p] * (4 if action == "forward" else 5)
        return found

    def forward(self, *, sequences: bool, keep: bool) -> tuple[Floats | None, Floats]:
        """All states (N, T, B, H), if wanted, and the last (N, B, H)."""
        calls[f"{self.name} forward"] += 1
        layer = ctypes.byref(self.layer)
        (population, steps, *_), (_, *state) = self.shapes[:2]
        if keep:
            self.kept = aligned((population, self.function("kept_floats")(layer)))
        states = aligned((population, steps, *state)) if sequences else None
        last = aligned((population, *state))
        check(self.function("forward")(layer, *map(pointer, (self.kept, states, last))))
        return states, last

    def backward(self, by_states: Floats | None, by_last: Floats) -> list[Floats]:
        """The gradient of each array."""
        calls[f"{self.name} backward"] += 1
        found = [np.empty(shape, dtype=np.float32) for shape in self.shapes]
        arrays = map(pointer, (self.kept, by_states, by_last))
        check(self.function("backward")(ctypes.byref(self.layer), *arrays, ctypes.byref(self.gradients(found))))
        return found


def check(code: int) -> None:
    """Raise what a function in C returned as an error."""
    if code:
        raise MemoryError("A layer in C could not get memory to work in.")
