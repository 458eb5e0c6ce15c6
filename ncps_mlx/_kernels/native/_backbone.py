"""The perceptron on [x, h] in a dense cell, as C has it (backbone.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx

from ncps_mlx._kernels.activations import LECUN
from ncps_mlx._kernels.native._arrays import Array, Floats, Long, Void, each_member, pointer
from ncps_mlx._kernels.native._layer import LayerCall

__all__ = ["BackboneArrays", "NativeBackbone", "OfBackbone"]

Float = ctypes.c_float


class BackboneArrays(ctypes.Structure):
    """``Backbone`` of backbone.h."""

    _fields_ = (
        *((name, Long) for name in ("inputs", "units", "width", "layers", "outputs", "activation")),
        *(("inner", Float), ("outer", Float)),
        *(("input_weight", Array), ("recurrent_weight", Array)),
        *((name, Void) for name in ("weights", "biases", "dropout")),
    )


class OfBackbone(ctypes.Structure):
    """``OfBackbone`` of backbone.h."""

    _fields_ = tuple((name, Void) for name in ("input_weight", "recurrent_weight", "weights", "biases"))


@dataclass(frozen=True)
class NativeBackbone:
    """A perceptron, its weights as the model holds them.

    Attributes:
        activation: After each layer; any name where there is none.
        input_weight: Of the first product (..., out, D).
        recurrent_weight: Of the first product (..., out, H).
        weights: Of the other products, each (..., out, in).
        biases: Of all products, each (..., out).
    """

    ACTIVATIONS: ClassVar = {"tanh": 0, "lecun_tanh": 0, "relu": 1, "sigmoid": 2}

    activation: str
    input_weight: mx.array
    recurrent_weight: mx.array
    weights: tuple[mx.array, ...]
    biases: tuple[mx.array, ...]

    def parameters(self) -> list[tuple[mx.array, int]]:
        """The weights, then the biases, with their axes in one model."""
        matrices = (self.input_weight, self.recurrent_weight, *self.weights)
        return [*((each, 2) for each in matrices), *((each, 1) for each in self.biases)]

    def hand_over(self, call: LayerCall, arrays: Several[Floats], dropout: Several[Floats]) -> BackboneArrays:
        """The memory of :meth:`parameters`, and of dropout masks."""
        products = len(self.biases)
        input_weight, recurrent_weight, *rest = arrays
        weights, biases = rest[: products - 1], rest[products - 1 :]

        def table(arrays: Several[Floats]) -> Any:
            if not arrays:
                return None
            entries = (Array * len(arrays))(*(call.hold(each_member(each)) for each in arrays))
            return call.hold((ctypes.addressof(entries), entries))

        return BackboneArrays(
            *(input_weight.shape[-1], recurrent_weight.shape[-1], biases[0].shape[-1]),
            *(products - 1, biases[-1].shape[-1], self.ACTIVATIONS[self.activation]),
            *(LECUN if self.activation == "lecun_tanh" else (1.0, 1.0)),
            *(call.hold(each_member(each)) for each in (input_weight, recurrent_weight)),
            *map(table, (weights, biases, dropout)),
        )

    def receive(self, call: LayerCall, found: Several[Floats]) -> OfBackbone:
        """Where the gradients of :meth:`parameters` go."""
        products = len(self.biases)
        input_weight, recurrent_weight, *rest = map(pointer, found)

        def table(pointers: Several[int]) -> Any:
            entries = (Void * len(pointers))(*pointers)
            return call.hold((ctypes.addressof(entries), entries))

        tables = map(table, (rest[: products - 1], rest[products - 1 :]))
        return OfBackbone(input_weight, recurrent_weight, *tables)
