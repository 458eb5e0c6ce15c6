"""What callers pass as arrays: read whole, or refused with the argument's name; nothing is dropped on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_array", "check_mask", "flat_numbers", "real_array"]

Array = npt.NDArray[Any]
WRONG_SHAPE = "Sequences of different lengths are padded with 0 to the longest, with a mask that is true at readings."
UNIT = "Differences of time stamps become numbers when divided by a unit: np.diff(stamps) / np.timedelta64(1, 's')."
PRECISION = "NumPy has no such numbers: convert them to float32 first."


def as_array(name: str, value: Any) -> Array:
    """Return ``value`` as an array, or refuse what NumPy would read as something else, or not at all."""
    parts = value if isinstance(value, list | tuple) else [value]
    hidden = sum(int(np.ma.count_masked(part)) for part in parts if np.ma.isMaskedArray(part))
    if hidden:
        raise ValueError(
            f"{name} must hold all its values, got a masked array that hides {hidden}. Fill them, filled(0), and say "
            "where there are readings with the mask of a Split."
        )
    try:
        array = np.asarray(value)
        if array.dtype.kind in "US" and isinstance(value, list | tuple):
            objects = np.array(value, dtype=object)
            if not all(isinstance(each, str | bytes) for each in objects.ravel()):
                return objects  # beside texts NumPy would make texts of numbers, "nan" of NaN
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        if isinstance(value, list | tuple):
            raise ValueError(f"{name} must be as long in every row, got rows that differ. {WRONG_SHAPE}") from error
        given = f"{type(value).__name__} of dtype {getattr(value, 'dtype', '?')}"
        cure = f" {PRECISION}" if "bfloat16" in given else ""
        raise ValueError(f"{name} must be an array that NumPy can read, got {given}.{cure}") from error
    return array


def real_array(name: str, value: Any) -> Array:
    """Return ``value`` as an array of real numbers of any precision, or refuse its dtype."""
    array = as_array(name, value)
    if array.dtype.kind not in "fiu":
        cure = f" {PRECISION}" if array.dtype.name == "bfloat16" else ""
        cure = f" {UNIT}" if array.dtype.kind in "mM" else cure
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.{cure}")
    return array


def check_mask(name: str, value: Any, shape: tuple[int, ...], of: str = "") -> Array:
    """Return ``value`` as an array of booleans with this shape (``of`` says whose it is)."""
    array = as_array(name, value)
    if array.dtype != np.bool_ or array.shape != shape:
        raise ValueError(
            f"{name} must be boolean with the shape {shape}{of}, got {array.dtype} with shape {array.shape}."
        )
    return array


def flat_numbers(name: str, values: Any) -> npt.NDArray[np.float64]:
    """Return an iterable of real numbers as an array (n,) in double precision."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise ValueError(f"{name} must be a flat sequence of numbers, got {values!r:.80}.")
    array = as_array(name, values if hasattr(values, "dtype") else list(values))
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    if array.ndim != 1:
        raise ValueError(f"{name} must be a flat sequence of numbers, got shape {array.shape}.")
    return array.astype(np.float64)
