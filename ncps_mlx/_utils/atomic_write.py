"""Files written whole or not at all, so that a full disk or a sudden end leaves what was there."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(target: Path, content: bytes, what: str) -> None:
    """Put ``content`` in the place of ``target``: beside it first, then in one step.

    Args:
        target: The file.
        content: Its bytes.
        what: What it holds, for the message.

    Raises:
        ValueError: ``target`` is a folder.
        OSError: It cannot be written; what was there is as it was.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> write_whole(file, b"seven", "The notes")
        >>> file.read_text()
        'seven'
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
    _settle(target.parent)


def _settle(folder: Path) -> None:
    """Force the new name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
