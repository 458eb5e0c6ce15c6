"""A dense CfC layer in C (cfc.c)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx._kernels.activations import LECUN
from ncps_mlx._kernels.native._arrays import Array, Floats, Sequence, each_member, first, pointer, sequence
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer

__all__ = ["NativeCfC"]

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
class NativeCfC(NativeLayer):
    """A layer, its weights as the model holds them.

    Attributes:
        mode: As in :class:`ncps_mlx.CfC`; in mode ``"pure"`` it does not run in C.
        activation: Of the backbone.
        state: First state (..., B, H).
        input_weight: Of the first product (..., out, D).
        recurrent_weight: Of the first product (..., out, H).
        weights: Of the other products, each (..., out, in).
        biases: Of all products, each (..., out).
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
    def masks(self) -> list[mx.array]:
        """Those of dropout, and the mask."""
        return [*self.dropout, *super().masks]

    def differentiable(self) -> list[tuple[mx.array, int]]:
        """x, the state, all weights, all biases and the time steps."""
        matrices = (self.state, self.input_weight, self.recurrent_weight, *self.weights)
        return [
            (self.x, 3),
            *((each, 2) for each in matrices),
            *((each, 1) for each in self.biases),
            *((each, 3) for each in self.times),
        ]

    def runs(self) -> bool:
        """As :meth:`NativeLayer.runs`; in two modes, with activations whose derivative follows from their value."""
        return self.mode in MODES and (self.activation in ACTIVATIONS or not self.weights) and super().runs()

    def call(self, arrays: list[Floats], masks: list[Floats]) -> LayerCall:
        """The layer on the memory of these arrays."""
        return CfCCall(self, arrays, masks)


class CfCCall(LayerCall):
    """A CfC layer in C with its arrays."""

    name = "cfc"

    def __init__(self, cfc: NativeCfC, arrays: list[Floats], masks: list[Floats]) -> None:
        super().__init__(arrays)
        products = len(cfc.biases)
        x, state, input_weight, recurrent_weight, *rest = arrays
        weights, rest = rest[: products - 1], rest[products - 1 :]
        biases, times = rest[:products], rest[products:]
        dropout, mask = masks[: len(cfc.dropout)], masks[len(cfc.dropout) :]

        def table(arrays: list[Floats]) -> Any:
            if not arrays:
                return None
            entries = (Array * len(arrays))(*(self.hold(each_member(each)) for each in arrays))
            return self.hold((ctypes.addressof(entries), entries))

        population, steps, batch, inputs = x.shape
        self.layer = Layer(
            *(population, steps, batch, inputs, state.shape[-1], biases[0].shape[-1], products - 1),
            *(ACTIVATIONS.get(cfc.activation, 0), MODES[cfc.mode]),
            *(LECUN if cfc.activation == "lecun_tanh" else (1.0, 1.0)),
            0.0 if isinstance(cfc.dt, mx.array) else cfc.dt,
            *(self.hold(sequence(each)) for each in (x, first(times), first(mask))),
            *(self.hold(each_member(each)) for each in (state, input_weight, recurrent_weight)),
            *map(table, (weights, biases, dropout)),
        )

    def gradients(self, found: list[Floats]) -> Gradients:
        """x, the state, all weights, all biases and the time steps."""
        products = self.layer.layers + 1
        x, state, input_weight, recurrent_weight, *rest = map(pointer, found)
        times = rest[2 * products - 1 :] or [None]
        weights = (Void * (products - 1))(*rest[: products - 1])
        biases = (Void * products)(*rest[products - 1 : 2 * products - 1])
        self.alive += [weights, biases]
        tables = map(ctypes.addressof, (weights, biases))
        return Gradients(x, *times, state, input_weight, recurrent_weight, *tables)
