"""A pool's trials in a file of JSON lines, which a killed process leaves whole."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ncps_mlx._evidence.plan import IDENTITY, Row, key_of
from ncps_mlx._utils.atomic_write import atomic_write

__all__ = ["append", "read_trials", "rewritten", "sorted_trials"]


def read_trials(path: Path) -> list[Row]:
    """Read trials; a last line that was cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    rows: list[Row] = [json.loads(line) for line in lines if line.endswith(b"\n")]
    for number, row in enumerate(rows, start=1):
        if missing := [name for name in IDENTITY if name not in row]:
            raise ValueError(f"{path}: line {number} must hold {missing[0]!r}.")
    return rows


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add the trials of a population, on the disk when this returns."""
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def sorted_trials(rows: Iterable[Row]) -> list[Row]:
    """Trials in the order of a finished file."""
    return sorted(rows, key=lambda row: (row["task"], row["budget"], row["stage"], key_of(row)))


@contextmanager
def rewritten(path: Path) -> Iterator[Sequence[Row]]:
    """Hold a pool's file for this process alone; what it holds is given, and is whole and sorted when it ends.

    Raises:
        ValueError: Another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{path} must not be written by two at once: another process trains this pool.") from None
        rows = read_trials(path)
        if path.exists():
            _write(path, rows)  # a line that was cut off would spoil the next
        try:
            yield rows
        finally:
            if path.exists():
                _write(path, sorted_trials(read_trials(path)))


def _write(path: Path, rows: Sequence[Row]) -> None:
    content = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
    if content != path.read_bytes():
        atomic_write(path, content, "Trials")
