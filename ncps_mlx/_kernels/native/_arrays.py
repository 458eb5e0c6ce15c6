"""MLX's arrays as C sees them: where they lie and their strides."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence as Several
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._runtime.memory_budget import count_allocation

__all__ = [
    "Array",
    "Floats",
    "Long",
    "Sequence",
    "Void",
    "aligned",
    "each_member",
    "evaluates",
    "pointer",
    "sequence",
    "view",
]

Floats = npt.NDArray[Any]
Long, Void = ctypes.c_long, ctypes.c_void_p

ALIGNMENT = 64  # bytes, as in vectors.h


class Array(ctypes.Structure):
    """One array of each member of a population: the first member's, and how many numbers on the next one's begins."""

    _fields_ = (("data", Void), ("member", Long))


class Sequence(ctypes.Structure):
    """A sequence (T, B, .) of each member, its last axis dense; ``data`` is NULL for none."""

    _fields_ = (("data", Void), ("member", Long), ("step", Long), ("row", Long))


def evaluates(arrays: Several[mx.array]) -> bool:
    """Evaluate arrays; whether that is allowed here, as it is not while MLX compiles or vectorizes a function."""
    try:
        mx.eval(*arrays)
    except ValueError:
        return False
    return True


def view(array: mx.array) -> Floats:
    """An evaluated array's own memory."""
    memory: Any = array  # MLX's arrays offer their memory, which its types do not say
    return np.asarray(memoryview(memory))


def pointer(array: Floats | None) -> Any:
    """Where an array begins."""
    return None if array is None else array.__array_interface__["data"][0]


def each_member(array: Floats) -> tuple[Array, Floats]:
    """An array (N, ...), each member's part dense, and what must live as long."""
    if not array[0].flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return Array(pointer(array), array.strides[0] // array.itemsize), array


def sequence(array: Floats | None) -> tuple[Sequence, Floats | None]:
    """An array (N, T, B, F), and what must live as long."""
    if array is None:
        return Sequence(None, 0, 0, 0), None
    if array.shape[-1] > 1 and array.strides[-1] != array.itemsize:
        array = np.ascontiguousarray(array)
    return Sequence(pointer(array), *(each // array.itemsize for each in array.strides[:3])), array


def aligned(shape: Several[int]) -> Floats:
    """Memory for floats that begins at a cache line, not set to anything."""
    size = 4 * math.prod(shape)
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    count_allocation(raw)
    first = -int(raw.__array_interface__["data"][0]) % ALIGNMENT
    return raw[first : first + size].view(np.float32).reshape(shape)
