"""A dense LTC layer in C (ltc.c)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import mlx.core as mx

from ncps_mlx._kernels.native._arrays import Array, Floats, Sequence, each_member, first, pointer, sequence
from ncps_mlx._kernels.native._backbone import BackboneArrays, NativeBackbone, OfBackbone
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer

__all__ = ["NativeLTC"]

Long, Float, Void = ctypes.c_long, ctypes.c_float, ctypes.c_void_p


class Layer(ctypes.Structure):
    """``Layer`` of ltc.c."""

    _fields_ = (
        *((name, Long) for name in ("members", "steps", "unfolds", "batch")),
        ("dt", Float),
        *((name, Sequence) for name in ("x", "times", "mask")),
        *((name, Array) for name in ("state", "leak", "target")),
        ("net", BackboneArrays),
    )


class Gradients(ctypes.Structure):
    """``Gradients`` of ltc.c."""

    _fields_ = (*((name, Void) for name in ("x", "times", "state", "leak", "target")), ("net", OfBackbone))


@dataclass(frozen=True)
class NativeLTC(NativeLayer):
    """A layer.

    Attributes:
        state: First state (..., B, H).
        leak: 1 / tau (..., H).
        target: A (..., H).
        backbone: With the gate.
        unfolds: Solver steps for each time step.
        dt: Time steps of the solver.
    """

    x: mx.array
    state: mx.array
    leak: mx.array
    target: mx.array
    backbone: NativeBackbone
    unfolds: int
    dt: mx.array | float
    mask: mx.array | None

    @property
    def masks(self) -> list[mx.array]:
        """Those of dropout, and the mask."""
        return [*self.backbone.dropout, *super().masks]

    def differentiable(self) -> list[tuple[mx.array, int]]:
        """x, the state, leak, target, the backbone's arrays and the time steps."""
        own = ((self.x, 3), (self.state, 2), (self.leak, 1), (self.target, 1))
        return [*own, *self.backbone.differentiable(), *((each, 3) for each in self.times)]

    def runs(self) -> bool:
        """As :meth:`NativeLayer.runs`."""
        return self.backbone.is_covered and super().runs()

    def call(self, arrays: list[Floats], masks: list[Floats]) -> LayerCall:
        """The layer on the memory of these arrays."""
        return LTCCall(self, arrays, masks)


class LTCCall(LayerCall):
    """An LTC layer in C with its arrays."""

    name = "ltc"

    def __init__(self, ltc: NativeLTC, arrays: list[Floats], masks: list[Floats]) -> None:
        super().__init__(arrays)
        self.backbone = ltc.backbone
        x, state, leak, target, *rest = arrays
        net, times = rest[: self.backbone.count], rest[self.backbone.count :]
        dropout, mask = masks[: len(self.backbone.dropout)], masks[len(self.backbone.dropout) :]
        population, steps, batch, _ = x.shape
        self.layer = Layer(
            *(population, steps, ltc.unfolds, batch),
            0.0 if times else ltc.dt,
            *(self.hold(sequence(each)) for each in (x, first(times), first(mask))),
            *(self.hold(each_member(each)) for each in (state, leak, target)),
            self.backbone.in_c(self, net, dropout),
        )

    def gradients(self, found: list[Floats]) -> Gradients:
        """Of x, the state, leak, target, the backbone's arrays and the time steps."""
        x, state, leak, target, *rest = found
        net, times = rest[: self.backbone.count], rest[self.backbone.count :]
        own = map(pointer, (x, first(times), state, leak, target))
        return Gradients(*own, self.backbone.gradients(self, net))
