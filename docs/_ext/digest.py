"""Digests of what an output depends on: code without its comments, the library, the versions."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
import sys
from functools import cache
from pathlib import Path

__all__ = [
    "code_digest",
    "digest_of",
    "file_digest",
    "library_digest",
    "record_behind",
    "record_digest",
    "source_digest",
    "versions",
]

DEPENDENCIES = ("mlx", "numpy", "scipy", "optuna", "matplotlib")
SETTINGS = ("NCPS_MLX_BLAS", "NCPS_MLX_SUBNORMALS", "OPENBLAS_CORETYPE")  # variables that can change an output


def digest_of(*parts: str) -> str:
    """Return a short sha256 (16 hex digits) of ``parts``, order and borders included."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode()
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:16]


def code_digest(source: str) -> str:
    """Return a digest of Python source that comments, docstrings and layout leave unchanged."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if (
                ast.get_docstring(node)
            ):
                node.body = node.body[1:]
    return digest_of(ast.dump(tree))


def library_files(root: Path) -> list[Path]:
    """Return the library's sources: Python, and C."""
    return sorted(path for path in (root / "ncps_mlx").rglob("*") if path.suffix in {".py", ".c", ".h"})


def library_digest(root: Path) -> str:
    """Return the digest of all that ``root/ncps_mlx`` computes; prose in it does not count."""
    files = library_files(root)
    return digest_of(*(path.relative_to(root).as_posix() + file_digest(path) for path in files))


def record_digest(root: Path) -> str:
    """Return the digest of the record of claims: what is claimed, what was trained, what came of it."""
    evidence = root / "docs" / "evidence"
    names = ("tasks.toml", "verdicts.json", "comparisons.toml", "comparisons.json")
    files = [root / "docs" / "claims.toml", *(evidence / name for name in names)]
    files += sorted(evidence.glob("pools/*.toml"))
    return digest_of(*(path.name + path.read_text(encoding="utf-8") for path in files if path.exists()))


def record_behind(code: list[str], root: Path) -> list[str]:
    """Return the digest of the record if this code checks a claim against it, else nothing."""
    return [record_digest(root)] if any("claims.check" in each for each in code) else []


def file_digest(path: Path) -> str:
    """Return the digest of a file's code, kept until the file changes.

    Python 3.11 fails now and then if two threads parse at once: ask once before threads begin.
    """
    return _code_of(path, path.stat().st_mtime_ns)


@cache
def _code_of(path: Path, changed: int) -> str:
    del changed  # part of the key only
    source = path.read_text(encoding="utf-8")
    return code_digest(source) if path.suffix == ".py" else digest_of(source)


def source_digest(root: Path) -> str:
    """Return the digest of the library's full text, docstrings included (what doctests depend on)."""
    files = library_files(root)
    return digest_of(
        *(path.relative_to(root).as_posix() + path.read_text(encoding="utf-8") for path in files)
    )


@cache
def versions() -> str:
    """Return what is installed and where, in one line; outputs are as old as it."""
    named = [f"{name} {importlib.metadata.version(name)}" for name in DEPENDENCIES]
    chosen = [f"{name}={os.environ[name]}" for name in SETTINGS if os.environ.get(name)]
    return ", ".join(
        [f"Python {platform.python_version()}", *named, f"{sys.platform} {platform.machine()}", *chosen]
    )
