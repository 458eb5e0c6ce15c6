"""A dense CfC layer in C: what it covers, and the call (cfc.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from ncps_mlx._kernels.activations import LECUN
from ncps_mlx._kernels.custom_vjp import eager_vjp, is_eager
from ncps_mlx._kernels.native._arrays import (
    Array,
    Floats,
    Sequence,
    aligned,
    each_member,
    evaluates,
    pointer,
    sequence,
    view,
)
from ncps_mlx._kernels.native._choice import calls, is_native_on
from ncps_mlx._kernels.native._compile import compiled

__all__ = ["NativeCfC", "covers_cfc", "run_native_cfc"]

ACTIVATIONS = {"tanh": 0, "lecun_tanh": 0, "relu": 1, "sigmoid": 2}
MODES = {"default": 1, "no_gate": 0}

Long, Float, Void = ctypes.c_long, ctypes.c_float, ctypes.c_void_p


class Layer(ctypes.Structure):
    """``Layer`` of cfc.c."""

    _fields_ = (
        *((name, Long) for name in ("members", "steps", "batch", "inputs", "units", "width", "layers")),
        *(("activation", Long), ("gated", Long), ("inner", Float), ("outer", Float), ("dt", Float)),
        *((name, Sequence) for name in ("x", "times", "mask")),
        *((name, Array) for name in ("state", "input_weight", "recurrent_weight")),
        *((name, Void) for name in ("weights", "biases", "dropout")),
    )


class Gradients(ctypes.Structure):
    """``Gradients`` of cfc.c."""

    _fields_ = tuple(
        (name, Void)
        for name in ("x", "times", "state", "input_weight", "recurrent_weight", "weights", "biases")
    )


@dataclass(frozen=True)
class NativeCfC:
    """A layer, its weights as the model holds them.

    Attributes:
        mode: ``"default"`` or ``"no_gate"``.
        activation: Of the backbone.
        x: Inputs (..., T, B, D).
        state: First state (..., B, H).
        input_weight: Of the first product (..., out, D).
        recurrent_weight: Of the first product (..., out, H).
        weights: Of the other products, each (..., out, in).
        biases: Of all products, each (..., out).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: True where there is a reading (..., T, B, 1).
        dropout: A mask (..., T, B, U) for each backbone layer; empty for none.
    """

    mode: str
    activation: str
    x: mx.array
    state: mx.array
    input_weight: mx.array
    recurrent_weight: mx.array
    weights: tuple[mx.array, ...]
    biases: tuple[mx.array, ...]
    dt: mx.array | float
    mask: mx.array | None
    dropout: tuple[mx.array, ...]

    @property
    def times(self) -> list[mx.array]:
        """The time steps, if they vary."""
        return [self.dt] if isinstance(self.dt, mx.array) else []

    @property
    def numbers(self) -> list[mx.array]:
        """All arrays but the mask."""
        first = (self.x, self.state, self.input_weight, self.recurrent_weight)
        return [*first, *self.weights, *self.biases, *self.times, *self.dropout]


def covers_cfc(layer: NativeCfC) -> bool:
    """Whether the layer would run in C here: called, not traced, in single precision on the CPU."""
    return (
        layer.mode in MODES
        and (layer.activation in ACTIVATIONS or not layer.weights)
        and is_eager()
        and all(each.dtype == mx.float32 for each in layer.numbers)
        and layer.biases[0].ndim <= 2
        and layer.x.ndim <= 4
        and min(layer.x.shape) > 0
        and is_native_on()
        and evaluates(layer.numbers)
    )


def run_native_cfc(layer: NativeCfC, *, sequences: bool) -> tuple[mx.array | None, mx.array]:
    """Run the layer.

    Returns:
        All states (..., T, B, H), or ``None``; and the last (..., B, H).
    """
    leading = np.broadcast_shapes(layer.x.shape[:-3], layer.biases[0].shape[:-1])

    def full(array: mx.array, own_axes: int) -> mx.array:
        shape = (*leading, *array.shape[array.ndim - own_axes :])
        return array if array.shape == shape else mx.broadcast_to(array, shape)

    weights = (layer.state, layer.input_weight, layer.recurrent_weight, *layer.weights)
    arrays = [
        full(layer.x, 3),
        *(full(each, 2) for each in weights),
        *(full(each, 1) for each in layer.biases),
        *(full(each, 3) for each in layer.times),
    ]
    masks = [full(each, 3) for each in (*layer.dropout, *([] if layer.mask is None else [layer.mask]))]

    def to_mlx(array: Floats) -> mx.array:
        return mx.array(array.reshape(*leading, *array.shape[1:]))

    def forward(flat: Several[mx.array], keep: bool) -> tuple[list[mx.array], CfCCall]:
        mx.eval(*flat, *masks)
        call = CfCCall(layer, *([members(each, leading) for each in several] for several in (flat, masks)))
        states, last = call.forward(sequences=sequences, keep=keep)
        end = to_mlx(last)
        return [end if states is None else to_mlx(states), end], call

    def backward(call: CfCCall, cotangents: Several[mx.array]) -> list[mx.array]:
        mx.eval(*cotangents)
        by_states, by_last = (np.ascontiguousarray(view(each)) for each in cotangents)
        return list(map(to_mlx, call.backward(by_states if sequences else None, by_last)))

    states, last = eager_vjp(forward, backward)(*arrays)
    return (states if sequences else None), last


def members(array: mx.array, leading: tuple[int, ...]) -> Floats:
    """An evaluated array's own memory, with an axis of members."""
    return view(array) if leading else view(array)[None]


class CfCCall:
    """A layer's arrays in C, and what its forward pass kept."""

    def __init__(self, layer: NativeCfC, arrays: list[Floats], masks: list[Floats]) -> None:
        products = len(layer.biases)
        self.shapes = [each.shape for each in arrays]
        x, state, input_weight, recurrent_weight, *rest = arrays
        weights, rest = rest[: products - 1], rest[products - 1 :]
        biases, times = rest[:products], rest[products:]
        dropout, mask = masks[: len(layer.dropout)], masks[len(layer.dropout) :]
        self.alive: list[Any] = []  # what C points to

        def one(pair: tuple[Any, Any]) -> Any:
            self.alive.append(pair)
            return pair[0]

        def several(arrays: list[Floats]) -> int:
            table = (Array * max(1, len(arrays)))(*(one(each_member(each)) for each in arrays))
            self.alive.append(table)
            return ctypes.addressof(table)

        population, steps, batch, inputs = x.shape
        units = state.shape[-1]
        self.layer = Layer(
            *(population, steps, batch, inputs, units, biases[0].shape[-1], products - 1),
            *(ACTIVATIONS.get(layer.activation, 0), MODES[layer.mode]),
            *(LECUN if layer.activation == "lecun_tanh" else (1.0, 1.0)),
            0.0 if isinstance(layer.dt, mx.array) else layer.dt,
            one(sequence(x)),
            one(sequence(times[0] if times else None)),
            one(sequence(mask[0] if mask else None)),
            *(one(each_member(each)) for each in (state, input_weight, recurrent_weight)),
            several(weights),
            several(biases),
            several(dropout) if dropout else None,
        )
        self.kept: Any = None

    def forward(self, *, sequences: bool, keep: bool) -> tuple[Floats | None, Floats]:
        """All states (N, T, B, H), if wanted, and the last (N, B, H)."""
        calls["cfc forward"] += 1
        layer, functions = ctypes.byref(self.layer), c_functions()
        if keep:
            self.kept = aligned((self.layer.members, functions.cfc_kept_floats(layer)))
        population, *own = self.shapes[1]
        states = aligned((population, self.layer.steps, *own)) if sequences else None
        last = aligned((population, *own))
        check(functions.cfc_forward(layer, *map(pointer, (self.kept, states, last))))
        return states, last

    def backward(self, by_states: Floats | None, by_last: Floats) -> list[Floats]:
        """The gradient of each array."""
        calls["cfc backward"] += 1
        found = [np.empty(shape, dtype=np.float32) for shape in self.shapes]
        products = self.layer.layers + 1
        weights = (Void * products)(*map(pointer, found[4 : 3 + products]))
        biases = (Void * products)(*map(pointer, found[3 + products : 3 + 2 * products]))
        x, state, input_weight, recurrent_weight = map(pointer, found[:4])
        gradients = Gradients(
            *(x, pointer(found[-1]) if self.layer.times.data else None),
            *(state, input_weight, recurrent_weight),
            *(ctypes.addressof(weights), ctypes.addressof(biases)),
        )
        arrays = map(pointer, (self.kept, by_states, by_last))
        check(c_functions().cfc_backward(ctypes.byref(self.layer), *arrays, ctypes.byref(gradients)))
        return found


def c_functions() -> Any:
    """The compiled functions, whose presence was checked."""
    found = compiled().functions
    found.cfc_kept_floats.restype = Long
    found.cfc_forward.argtypes = [Void] * 4
    found.cfc_backward.argtypes = [Void] * 5
    return found


def check(code: int) -> None:
    """Raise what a function in C returned as an error."""
    if code:
        raise MemoryError("A layer in C could not get memory to work in.")
