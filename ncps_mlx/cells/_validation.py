"""Checks of a cell's arguments; the arrays it runs on are the models' to check."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import as_array
from ncps_mlx._utils.validation import check_int, check_number
from ncps_mlx.wirings._base import Circuit

__all__ = [
    "LARGEST_SIZE",
    "MOST_LAYERS",
    "check_circuit",
    "check_initializer",
    "check_pair",
    "check_size",
    "check_weight_mask",
]

LARGEST_SIZE = 2**24  # MLX counts in 32 bits, and cells join arrays of several sizes
MOST_LAYERS = 1000
"""The most layers, of a model and of a backbone, and solver steps for each reading: each is a piece of the graph."""


def check_size(name: str, value: Any) -> int:
    """Return a number of units or features."""
    return check_int(name, value, maximum=LARGEST_SIZE)


def check_initializer(name: str, value: Any) -> None:
    """Refuse what is no callable of ``mlx.nn.init``."""
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"{name} must be a callable of mlx.nn.init, got {value!r:.80}.")


def check_circuit(value: Any) -> None:
    """Refuse what is no circuit, such as the wiring that builds one."""
    if not isinstance(value, Circuit):
        cure = " Build it: wiring.build(input_size)." if hasattr(value, "build") else ""
        raise ValueError(f"circuit must be a Circuit, got {value!r:.80}.{cure}")


def check_pair(
    name: str, value: Any, *, low: float = -np.inf, high: float = np.inf, open_low: bool = False
) -> tuple[float, float]:
    """Return a pair of numbers, the least first."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name} must be a pair (least, greatest), got {value!r:.80}.")
    least = check_number(f"{name}[0]", value[0], low=low, high=high, open_low=open_low)
    return least, check_number(f"{name}[1]", value[1], low=least, high=high)


def check_weight_mask(value: Any, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Return a mask of weights: numbers of this shape, 0 where there is none."""
    mask = as_array("mask", value)
    if mask.dtype.kind not in "fiub" or mask.shape != shape or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"mask must hold 0 and 1 in the shape {shape}, got dtype {mask.dtype}, shape {mask.shape}.")
    return mask.astype(np.float32)
