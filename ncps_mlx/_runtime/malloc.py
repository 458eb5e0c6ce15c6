"""Keep the memory of freed arrays in the process, where the C library would give it back.

MLX's CPU backend asks the C library for every array anew. With glibc's defaults the arrays of one training step, once
freed, go back to the system, and the next step's memory arrives page by page, zeroed: a quarter of the time of a
population's step. So the thresholds above which glibc gives memory back are raised, unless the environment sets them.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_freed"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
LARGE = 1 << 30  # bytes; what is freed beyond this still goes back
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed() -> bool:
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


keep_freed()
