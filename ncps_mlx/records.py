"""Records of trials: what was trained and how it went, read from a file, written to one, compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ncps_mlx._runtime.versions import versions
from ncps_mlx._trials import tuned
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx.search._record import Record

__all__ = ["Record", "load", "save", "tuned", "versions"]


def save(records: Iterable[Record], path: str | Path) -> None:
    """Write records to a file, one line of JSON each: all of them, or none and the file is as it was.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> record = Record(trial=0, model="CfC", config={}, seed=0, task="sunspots",
        ...                 data_hash="9f86d081884c7d65", metric="rmse", score=23.1)
        >>> path = Path(tempfile.mkdtemp()) / "trials.jsonl"
        >>> save([record], path)
        >>> load(path) == [record]
        True
    """
    lines = "".join(record.to_json() + "\n" for record in records)
    atomic_write(Path(path).resolve(), lines.encode(), "The records")


def load(path: str | Path) -> list[Record]:
    """Read the records of a file that :func:`save` wrote.

    Raises:
        ValueError: A line is not a record; the message names it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "none.jsonl"
        ...     save([], path)
        ...     load(path)
        []
    """
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Record.from_json(line))
        except ValueError as error:
            raise ValueError(f"path must hold records, got line {number} of {path}: {error}") from error
    return found
