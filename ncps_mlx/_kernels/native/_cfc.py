"""A dense CfC layer in C (cfc.c)."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any, ClassVar

import mlx.core as mx

from ncps_mlx._kernels.native._arrays import Floats
from ncps_mlx._kernels.native._backbone import BackboneArrays, NativeBackbone, OfBackbone
from ncps_mlx._kernels.native._layer import LayerCall, NativeLayer, gradients_structure, layer_structure

__all__ = ["NativeCfC"]


@dataclass(frozen=True)
class NativeCfC(NativeLayer):
    """A layer.

    Attributes:
        mode: One of :attr:`MODES`; mode ``"pure"`` is not among them.
        backbone: With the heads.
    """

    MODES: ClassVar = {"default": 1, "no_gate": 0}
    name: ClassVar = "cfc"
    layer_in_c: ClassVar = layer_structure(["gated"], ("net", BackboneArrays))
    gradients_in_c: ClassVar = gradients_structure(("net", OfBackbone))

    mode: str
    x: mx.array
    state: mx.array
    backbone: NativeBackbone
    dt: mx.array | float
    mask: mx.array | None
    dropout: tuple[mx.array, ...]

    @property
    def sizes(self) -> Several[int]:
        """Whether the head f fades as g comes."""
        return (self.MODES[self.mode],)

    def parameters(self) -> list[tuple[mx.array, int]]:
        """The backbone's."""
        return self.backbone.parameters()

    def hand_over(self, call: LayerCall, parameters: list[Floats], dropout: list[Floats]) -> Several[Any]:
        """The backbone."""
        return (self.backbone.hand_over(call, parameters, dropout),)

    def receive(self, call: LayerCall, parameters: list[Floats]) -> Several[Any]:
        """The backbone's."""
        return (self.backbone.receive(call, parameters),)
