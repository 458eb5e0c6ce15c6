"""A dense LTC layer in C (ltc.c)."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx

from ncps_mlx._kernels.native._arrays import Array, Floats, Void, each_member, pointer
from ncps_mlx._kernels.native._backbone import BackboneArrays, NativeBackbone, OfBackbone
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer, gradients_structure, layer_structure

__all__ = ["NativeLTC"]


@dataclass(frozen=True)
class NativeLTC(NativeLayer):
    """A layer.

    Attributes:
        leak: 1 / tau (..., H).
        target: A (..., H).
        backbone: With the gate.
        unfolds: Solver steps for each time step.
        dt: Time steps of the solver.
    """

    name: ClassVar = "ltc"
    layer_in_c: ClassVar = layer_structure(["unfolds"], ("leak", Array), ("target", Array), ("net", BackboneArrays))
    gradients_in_c: ClassVar = gradients_structure(("leak", Void), ("target", Void), ("net", OfBackbone))

    x: mx.array
    state: mx.array
    leak: mx.array
    target: mx.array
    backbone: NativeBackbone
    unfolds: int
    dt: mx.array | float
    mask: mx.array | None
    dropout: tuple[mx.array, ...]

    @property
    def sizes(self) -> Several[int]:
        """Solver steps."""
        return (self.unfolds,)

    def parameters(self) -> list[tuple[mx.array, int]]:
        """Leak, target and the backbone's."""
        return [(self.leak, 1), (self.target, 1), *self.backbone.parameters()]

    def hand_over(self, call: LayerCall, parameters: list[Floats], dropout: list[Floats]) -> Several[Any]:
        """Leak, target and the backbone."""
        leak, target, *net = parameters
        own = [call.hold(each_member(each)) for each in (leak, target)]
        return *own, self.backbone.hand_over(call, net, dropout)

    def receive(self, call: LayerCall, parameters: list[Floats]) -> Several[Any]:
        """Those of leak, target and the backbone."""
        leak, target, *net = parameters
        return pointer(leak), pointer(target), self.backbone.receive(call, net)
