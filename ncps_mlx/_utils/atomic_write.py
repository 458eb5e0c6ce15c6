"""Files written whole or not at all: a full disk or a crash leaves what was there."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

__all__ = ["atomic_write"]


def atomic_write(target: Path, content: bytes, what: str) -> None:
    """Write a file next to ``target``, force it to the disk, then put it in the target's place.

    Errors name ``what`` was to be saved, and say that what was there is as it was.
    """
    if target.is_dir():
        raise ValueError(f"path must name a file, got the folder {target}.")
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        kept = "the file there is as it was" if target.exists() else "nothing was written"
        text = f"{what} could not be saved ({error.strerror or error}); {kept}"
        raise OSError(error.errno, text, str(target)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Force the new file name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
