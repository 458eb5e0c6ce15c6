"""A pool's trials in a file of JSON lines, which a killed process leaves whole.

What many trials share, such as versions and fixed settings, stands once, on a line of its own above them:
``{"id": ID, "shared": {...}}``. The line of a trial names it as ``"shared": ID`` and holds the rest. A line may also
hold everything of its trial.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncps_mlx._evidence.plan import IDENTITY, Row, key_of
from ncps_mlx._utils.atomic_write import atomic_write

__all__ = ["append", "as_bytes", "forget", "read_trials", "rewritten", "sorted_trials"]

SHARED = (
    "pool", "task", "budget", "stage", "fixed", "data", "steps",
    "versions", "device", "blas", "native", "flush", "tanh", "code",
)  # fmt: skip
"""What is written once for all trials that have it alike: where they belong, and by what means they were trained."""


def read_trials(path: Path) -> list[Row]:
    """Read trials; a last line that was cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    shared: dict[str, Row] = {}
    rows = []
    for number, line in enumerate((line for line in lines if line.endswith(b"\n")), start=1):
        row: Row = json.loads(line)
        if "id" in row:
            shared[row["id"]] = row["shared"]
            continue
        name = row.pop("shared", None)
        if name is not None and name not in shared:
            raise ValueError(f"{path}: line {number} must come after the line of what it shares, {name!r}.")
        row = shared.get(name, {}) | row
        if missing := [each for each in IDENTITY if each not in row]:
            raise ValueError(f"{path}: line {number} must hold {missing[0]!r}.")
        rows.append(row)
    return rows


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add the trials of a population, on the disk when this returns."""
    with path.open("ab") as file:
        file.write(as_bytes(rows))
        file.flush()
        os.fsync(file.fileno())


def as_bytes(rows: Iterable[Row]) -> bytes:
    """Trials as a file holds them."""
    lines, known = [], set()
    for row in rows:
        shared = _json({name: row[name] for name in SHARED if name in row})
        digest = hashlib.sha256(shared.encode()).hexdigest()[:8]
        if digest not in known:
            known.add(digest)
            lines.append(f'{{"id":"{digest}","shared":{shared}}}\n')
        lines.append(_json({name: row[name] for name in row if name not in SHARED} | {"shared": digest}) + "\n")
    return "".join(lines).encode()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sorted_trials(rows: Iterable[Row]) -> list[Row]:
    """Trials in the order of a finished file."""
    return sorted(rows, key=lambda row: (row["task"], row["budget"], row["stage"], key_of(row)))


def forget(path: Path, budgets: Collection[str]) -> None:
    """Take the trials of these budgets out of a file."""
    with rewritten(path) as rows:
        if path.exists():
            _write(path, [row for row in rows if row["budget"] not in budgets])


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
    content = as_bytes(rows)
    if content != path.read_bytes():
        atomic_write(path, content, "Trials")
