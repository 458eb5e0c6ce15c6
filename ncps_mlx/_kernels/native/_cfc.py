"""A dense CfC layer in C (cfc.c)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import mlx.core as mx

from ncps_mlx._kernels.native._arrays import Array, Floats, Sequence, each_member, first, pointer, sequence
from ncps_mlx._kernels.native._backbone import BackboneArrays, NativeBackbone, OfBackbone
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer

__all__ = ["NativeCfC"]

MODES = {"default": 1, "no_gate": 0}

Long, Float, Void = ctypes.c_long, ctypes.c_float, ctypes.c_void_p


class Layer(ctypes.Structure):
    """``Layer`` of cfc.c."""

    _fields_ = (
        *((name, Long) for name in ("members", "steps", "batch", "gated")),
        ("dt", Float),
        *((name, Sequence) for name in ("x", "times", "mask")),
        *(("state", Array), ("net", BackboneArrays)),
    )


class Gradients(ctypes.Structure):
    """``Gradients`` of cfc.c."""

    _fields_ = (("x", Void), ("times", Void), ("state", Void), ("net", OfBackbone))


@dataclass(frozen=True)
class NativeCfC(NativeLayer):
    """A layer.

    Attributes:
        mode: As in :class:`ncps_mlx.CfC`; in mode ``"pure"`` it does not run in C.
        state: First state (..., B, H).
        backbone: With the heads.
    """

    mode: str
    x: mx.array
    state: mx.array
    backbone: NativeBackbone
    dt: mx.array | float
    mask: mx.array | None

    @property
    def masks(self) -> list[mx.array]:
        """Those of dropout, and the mask."""
        return [*self.backbone.dropout, *super().masks]

    def differentiable(self) -> list[tuple[mx.array, int]]:
        """x, the state, the backbone's arrays and the time steps."""
        times = ((each, 3) for each in self.times)
        return [(self.x, 3), (self.state, 2), *self.backbone.differentiable(), *times]

    def runs(self) -> bool:
        """As :meth:`NativeLayer.runs`, in two modes."""
        return self.mode in MODES and self.backbone.is_covered and super().runs()

    def call(self, arrays: list[Floats], masks: list[Floats]) -> LayerCall:
        """The layer on the memory of these arrays."""
        return CfCCall(self, arrays, masks)


class CfCCall(LayerCall):
    """A CfC layer in C with its arrays."""

    name = "cfc"

    def __init__(self, cfc: NativeCfC, arrays: list[Floats], masks: list[Floats]) -> None:
        super().__init__(arrays)
        self.backbone = cfc.backbone
        x, state, *rest = arrays
        net, times = rest[: self.backbone.count], rest[self.backbone.count :]
        dropout, mask = masks[: len(self.backbone.dropout)], masks[len(self.backbone.dropout) :]
        self.layer = Layer(
            *(*x.shape[:3], MODES[cfc.mode]),
            0.0 if times else cfc.dt,
            *(self.hold(sequence(each)) for each in (x, first(times), first(mask))),
            self.hold(each_member(state)),
            self.backbone.in_c(self, net, dropout),
        )

    def gradients(self, found: list[Floats]) -> Gradients:
        """Of x, the state, the backbone's arrays and the time steps."""
        x, state, *rest = found
        net, times = rest[: self.backbone.count], rest[self.backbone.count :]
        return Gradients(*map(pointer, (x, first(times), state)), self.backbone.gradients(self, net))
