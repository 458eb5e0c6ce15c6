"""Keep the memory of freed arrays in the process instead of returning it to the system.

MLX's CPU backend asks the C library for every array anew. With glibc's defaults the arrays of one training step, once
freed, go back to the system, and the next step gets its memory page by page, zeroed: a quarter of the time of a
population's step. So this raises the thresholds above which glibc returns memory, unless the environment sets them.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["raise_trim_threshold"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
LARGE = 1 << 30  # bytes; beyond this, freed memory still goes back
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def raise_trim_threshold() -> bool:
    """Raise the thresholds of glibc's allocator.

    Returns:
        Whether they are raised now: on Linux with glibc, if the environment does not set them.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in SETTINGS):
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return all(mallopt(option, LARGE) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


raise_trim_threshold()
