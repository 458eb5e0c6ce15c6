"""Which machine this is, and whether a process of it still runs."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["machine", "start_of"]


@cache
def machine() -> str:
    """Name this machine since its last start, and this container on it."""
    parts = [platform.node()]
    with suppress(OSError):  # there is no such thing everywhere
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def start_of(pid: int) -> str | None:
    """When a process of this machine started, ``""`` if the system does not say, ``None`` if it is gone."""
    if Path("/proc/self").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    try:
        with suppress(PermissionError):  # another user's
            os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return ""
