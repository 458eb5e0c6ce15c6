"""Layers in C, compiled where there is a compiler: several times faster in training on a CPU.

You need to read this only to make training faster. Each computes what the kernels next to this folder compute, at once
rather than when MLX evaluates (``custom_vjp.eager``), and only in training and prediction; what it does not
cover runs there.
"""

from ncps_mlx._kernels.native._backbone import NativeBackbone
from ncps_mlx._kernels.native._cfc import NativeCfC
from ncps_mlx._kernels.native._choice import (
    OFF,
    about_native,
    calls,
    current_native,
    is_native_on,
    native_layers,
    training_kernels,
)
from ncps_mlx._kernels.native._compile import compiled
from ncps_mlx._kernels.native._ltc import NativeLTC
from ncps_mlx._kernels.native._wired_ltc import NativeSynapses, NativeWiredLTC, SynapseList

__all__ = [
    "NativeBackbone",
    "NativeCfC",
    "NativeLTC",
    "NativeSynapses",
    "NativeWiredLTC",
    "OFF",
    "SynapseList",
    "about_native",
    "calls",
    "compiled",
    "current_native",
    "is_native_on",
    "native_layers",
    "training_kernels",
]
