"""How many members of a population fit in memory at once."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import mlx.core as mx

__all__ = ["machine_memory", "measured", "members_at_once"]

SHARE = 0.25  # of the machine's memory that one training takes unless told otherwise: others run beside it


def machine_memory() -> float:
    """The machine's memory, in megabytes.

    Example:
        >>> machine_memory() > 100
        True
    """
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6


def measured(work: Callable[[], Any]) -> float:
    """What computing some arrays takes at its peak, in megabytes, beyond what was there before.

    About: what is done with is freed when MLX's worker gets there, and Python may be some operations ahead of it.

    Args:
        work: Returns the arrays, unevaluated.

    Example:
        >>> round(measured(lambda: mx.zeros((1000, 250)) + 1.0))
        1
    """
    collects = gc.isenabled()
    gc.disable()  # else what something else left may be freed while this is measured, and hide it
    try:
        mx.synchronize()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(work())
        return max(0, mx.get_peak_memory() - before) / 1e6
    finally:
        if collects:
            gc.enable()


def members_at_once(members: int, each: float, limit: float | None) -> int:
    """How many members' gradients to compute together: as many groups as needed, of nearly one size.

    Args:
        members: How many there are, N.
        each: What one needs, in megabytes.
        limit: What all together may; ``None``: a quarter of the machine's memory.

    Example:
        >>> members_at_once(64, each=50.0, limit=1000.0)
        16
        >>> members_at_once(64, each=50.0, limit=10.0)
        1
    """
    allowed = SHARE * machine_memory() if limit is None else limit
    most = max(1, min(members, int(allowed // max(each, 1e-6))))
    groups = -(-members // most)
    return -(-members // groups)
