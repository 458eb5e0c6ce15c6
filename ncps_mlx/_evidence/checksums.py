"""Checksums of the record: what was changed without `nox -s evidence` is seen, by ``sha256sum -c`` too.

The verdicts follow from all the other files. Each is listed as ``evidence`` left it, in the form of ``sha256sum``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ncps_mlx._utils.atomic_write import atomic_write

__all__ = ["CURE", "changed_files", "checksum_path", "checksums", "read_checksums", "write_checksums"]

PATTERNS = (
    "claims.toml", "evidence/tasks.toml", "evidence/pools/*.toml", "evidence/trials/*.jsonl", "evidence/verdicts.json",
    "evidence/comparisons.toml", "evidence/comparisons.json",
)  # fmt: skip

CURE = "Restore it from version control; if the change is meant, compute what follows from it: nox -s evidence."


def checksum_path(docs: Path) -> Path:
    """The file that lists them."""
    return docs / "evidence" / "checksums.txt"


def checksums(docs: Path) -> dict[str, str]:
    """The SHA-256 of each file of the record, by its path within ``docs``."""
    files = [path for pattern in PATTERNS for path in sorted(docs.glob(pattern))]
    return {path.relative_to(docs).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_checksums(docs: Path) -> dict[str, str]:
    """Those that ``evidence`` wrote; none where there is no file."""
    path = checksum_path(docs)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def write_checksums(docs: Path) -> None:
    """Write them."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in checksums(docs).items())
    atomic_write(checksum_path(docs), lines.encode(), "Checksums")


def changed_files(docs: Path) -> dict[str, str]:
    """What is wrong with each file of the record that is not as ``evidence`` left it, by its path within ``docs``."""
    then, now, found = read_checksums(docs), checksums(docs), {}
    for name in sorted(then.keys() | now.keys()):
        if name not in now:
            found[name] = "is gone"
        elif name not in then:
            found[name] = "is not in checksums.txt"
        elif then[name] != now[name]:
            found[name] = "was changed since the verdicts were computed"
    return found
