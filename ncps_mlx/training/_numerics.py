"""What decides the last digits of a training, and in words how two of them differ."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterable, Mapping

import mlx.core as mx

from ncps_mlx._kernels.native import current_native
from ncps_mlx._kernels.tanh import current_tanh
from ncps_mlx._runtime.versions import versions

__all__ = ["device_name", "differences", "numerics", "warn_of_differences"]

NAMES = {
    "ncps_mlx": "ncps-mlx",
    "mlx": "MLX",
    "numpy": "NumPy",
    "blas": "BLAS",
    "tanh": "tanh",
    "native": "layers in C",
    "device": "device",
}
"""What is compared, and what it is called. Python's version is not: nothing here is computed by it."""


def numerics() -> dict[str, str]:
    """Versions, BLAS, tanh, layers in C and device of what is trained here and now."""
    return versions() | {"tanh": current_tanh(), "native": current_native(), "device": device_name()}


def device_name() -> str:
    """The device MLX computes on, and the machine."""
    kind = str(mx.default_device()).removeprefix("Device(").split(",")[0]
    return f"{kind}, {platform.system()} {platform.machine()}"


def differences(then: Mapping[str, str]) -> list[str]:
    """By what other means something was trained than there are here and now; what is not told counts as equal."""
    now = numerics()
    return [
        f"{text} {then[name]}, now {now[name]}"
        for name, text in NAMES.items()
        if then.get(name, now[name]) != now[name]
    ]


def warn_of_differences(what: str, found: Iterable[str], *, stacklevel: int) -> None:
    """Warn of what :func:`differences` found, if anything."""
    if text := "; ".join(dict.fromkeys(found)):
        warnings.warn(
            f"{what} was trained by other means than there are here: {text}. The last digits may differ, and training "
            "amplifies that.",
            stacklevel=stacklevel + 1,
        )
