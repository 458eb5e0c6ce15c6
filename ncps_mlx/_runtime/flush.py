"""Have the threads that are started here take subnormal numbers, those below 1.2e-38, for zero.

Vanishing gradients become subnormal, and Intel's processors compute with such numbers up to 50 times slower. A new
thread takes over the mode of the one that starts it: so the mode is set, a thread started, and the mode put back.
Only x86-64 Linux with glibc is changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

__all__ = ["SETTING", "can_flush", "flushing_threads"]

SETTING = "NCPS_MLX_SUBNORMALS"  # "keep" leaves the mode as it is
ENVIRONMENT_SIZE = 32  # bytes of glibc's fenv_t on x86-64
MXCSR = struct.Struct("<28xI")  # the register of vector arithmetic in it
FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 0x8000, 0x0040


@cache
def math_library() -> Any:
    """The C library's functions on the floating-point mode; ``None`` where it is not to be changed."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        return None
    try:
        return ctypes.CDLL("libm.so.6")
    except OSError:
        return None


def can_flush() -> bool:
    """Whether threads can be started that take subnormal numbers for zero, and ``NCPS_MLX_SUBNORMALS`` allows it."""
    choice = os.environ.get(SETTING, "zero")
    if choice not in ("zero", "keep"):
        raise ValueError(f"{SETTING} must be zero or keep, got {choice!r}.")
    return choice == "zero" and math_library() is not None


@contextlib.contextmanager
def flushing_threads() -> Iterator[None]:
    """Threads started within take subnormal numbers for zero, where :func:`can_flush`; so does this one meanwhile."""
    if not can_flush():
        yield
        return
    mode = ctypes.create_string_buffer(ENVIRONMENT_SIZE)
    functions = math_library()
    functions.fegetenv(mode)
    before = mode.raw
    (register,) = MXCSR.unpack(before)
    struct.pack_into("<I", mode, MXCSR.size - 4, register | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO)
    try:
        functions.fesetenv(mode)
        yield
    finally:
        functions.fesetenv(before)
