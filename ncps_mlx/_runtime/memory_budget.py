"""How many members of a population fit in memory at once."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import mlx.core as mx
import numpy.typing as npt

__all__ = ["count_allocation", "machine_memory_mb", "members_at_once", "peak_memory_mb"]

DEFAULT_SHARE = 0.25  # of the machine's memory for one training unless told otherwise: others run at the same time


class Allocated:
    """Bytes that MLX does not know of: those in use now, and the most that were."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def add(self, size: int) -> None:
        """Take ``size`` bytes more into use, or fewer if it is negative."""
        self.now += size
        self.most = max(self.most, self.now)


_allocated: ContextVar[Allocated | None] = ContextVar("allocated", default=None)


def count_allocation(array: npt.NDArray[Any]) -> None:
    """Tell :func:`peak_memory_mb` of memory that MLX does not know of, until it is freed."""
    allocated = _allocated.get()
    if allocated is not None:
        allocated.add(array.nbytes)
        weakref.finalize(array, allocated.add, -array.nbytes)


def machine_memory_mb() -> float:
    """The machine's memory, in megabytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6


def peak_memory_mb(work: Callable[[], Any]) -> float:
    """The peak memory, in megabytes, that evaluating the arrays returned by ``work`` takes beyond what was in use.

    Approximate: MLX's worker frees what is no longer needed when it gets there, and Python may be ahead of it.
    """
    allocated = Allocated()
    token = _allocated.set(allocated)
    gc_was_enabled = gc.isenabled()
    gc.disable()  # garbage of others, freed while this is measured, would hide what it takes
    try:
        mx.synchronize()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(work())
        return (max(0, mx.get_peak_memory() - before) + allocated.most) / 1e6
    finally:
        _allocated.reset(token)
        if gc_was_enabled:
            gc.enable()


def members_at_once(members: int, each_mb: float, limit_mb: float | None) -> int:
    """How many of N members to compute together: as few groups as fit ``limit_mb``, of nearly equal size.

    ``None`` as the limit means a quarter of the machine's memory.
    """
    allowed = DEFAULT_SHARE * machine_memory_mb() if limit_mb is None else limit_mb
    most = max(1, min(members, int(allowed // max(each_mb, 1e-6))))
    groups = -(-members // most)
    return -(-members // groups)
