"""Freed memory stays in the process, unless the environment says otherwise."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from pathlib import Path
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

blocks = [libc.malloc(1 << 20) for _ in range(64)]
for block in blocks:
    ctypes.memset(block, 1, 1 << 20)
before = resident()
for block in blocks:
    libc.free(block)
print((before - resident()) >> 20)
"""
glibc = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")


def given_back(first, **settings):
    """MiB of 64 that a process gives back when it frees them."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUN"))}
    program = PROGRAM.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program], env={**plain, **settings}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_freed_memory_is_kept():
    assert given_back("import ncps_mlx") < 8
    if glibc:
        assert given_back("") > 32  # what happens otherwise


@pytest.mark.parametrize(
    "settings",
    [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}],
)
def test_the_environment_decides(settings):
    if glibc:
        assert given_back("import ncps_mlx", **settings) > 32
