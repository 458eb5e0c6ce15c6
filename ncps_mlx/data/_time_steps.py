"""Time steps as a split keeps them: differences rather than stamps, the time over holes given to the next reading."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["add_time_over_holes", "grows_in_every_sequence", "refuse_lost_differences", "refuse_time_stamps"]

Array = npt.NDArray[Any]
DIFF = "np.diff(stamps, axis=1, prepend=stamps[:, :1])."
DIFFERENCES = f"Pass differences: {DIFF}"
SURE = 8  # steps that all grow: by chance in one of 40,320 orders


def refuse_time_stamps(name: str, time_delta: Array, mask: Array | None) -> None:
    """Refuse steps (n, T) that grow in every sequence, from 1000 up and by less than their first; warn of others."""
    if not grows_in_every_sequence(time_delta, mask, SURE):
        return
    valid = np.ones(time_delta.shape, dtype=bool) if mask is None else mask
    first, last = np.where(valid, time_delta, np.inf).min(axis=1), np.where(valid, time_delta, 0.0).max(axis=1)
    text = f"got values from {first.min():.10g} to {last.max():.10g} that grow in every sequence"
    if first.min() >= 1000 and (last < 2 * first).all():
        raise ValueError(
            f"{name} must be the time that passes at each step, {text}: these look like time stamps. {DIFFERENCES}"
        )
    warnings.warn(
        f"{name} should be the time that passes at each step, {text}, as time stamps do. If they are: {DIFF}",
        stacklevel=3,
    )


def grows_in_every_sequence(time_delta: Array, mask: Array | None, sure: int) -> bool:
    """Whether each step is longer than the one before, in all sequences, and at least ``sure`` times in all."""
    later = np.diff(time_delta, axis=1) > 0
    if mask is None:
        return bool(later.all()) and later.size >= sure
    both = mask[:, 1:] & mask[:, :-1]
    return bool(later[both].all()) and int(both.sum()) >= sure


def refuse_lost_differences(name: str, array: Array, mask: Array | None) -> None:
    """Refuse values (n, ...) that vary, but by so little beside their size that float32 tells few of them apart."""
    if array.dtype.itemsize < 8 or not array.size:
        return
    kept = array if mask is None or array.shape[:2] != mask.shape else array[mask]
    values = kept.reshape(-1, 1 if name == "time_delta" else array.shape[-1]).astype(np.float64)
    if not np.isfinite(values).all() or not len(values):
        return
    low, high = values.min(axis=0), values.max(axis=0)
    size, spread = np.maximum(abs(low), abs(high)), high / 2 - low / 2
    lost = (spread < size * 2.0**-21) & (spread > size * 2.0**-49)  # below, it is rounding of one value
    if lost.any():
        where = int(lost.argmax())
        place = name if name == "time_delta" else f"{name}[..., {where}]"
        cure = DIFFERENCES if name == "time_delta" else "Subtract an offset from it."
        look = "these look like time stamps. " if name == "time_delta" else ""
        raise ValueError(
            f"{place} must keep its differences in float32, got values from {low[where]:.17g} to {high[where]:.17g}: "
            f"{look}{cure}"
        )


def add_time_over_holes(time_delta: Array, mask: Array) -> Array:
    """Return steps (n, T) where the time of masked steps between two readings is the later one's, and 0 at them.

    What is before the first reading or after the last stays as it is.
    """
    seen = np.logical_or.accumulate(mask, axis=1)
    to_come = np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    holes = ~mask & seen & to_come
    if not holes.any():
        return time_delta
    moved, waiting = time_delta.astype(np.float64), np.zeros(len(mask))
    for step in range(mask.shape[1]):
        waiting += np.where(holes[:, step], moved[:, step], 0.0)
        moved[:, step] += np.where(mask[:, step], waiting, 0.0)
        waiting[mask[:, step]] = 0.0
    moved[holes] = 0.0
    return moved
