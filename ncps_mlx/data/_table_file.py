"""A task of a table in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ncps_mlx._utils.optional import import_optional
from ncps_mlx._utils.validation import check_path, check_text
from ncps_mlx.data._frame import Frame
from ncps_mlx.data._table import Table
from ncps_mlx.data._task import Task

__all__ = ["from_file", "parse_times", "read_frame"]


def from_file(
    file: str,
    *,
    split: Sequence[float] = (0.65, 0.15, 0.2),
    by: str | None = None,
    seed: int = 0,
    metric: str | None = None,
    **table: Any,
) -> Task:
    r"""Make a task of a table in a file, so that workers can make it too.

    Args:
        file: Path of a CSV file (it may be compressed) or a Parquet file, read by pandas. Times that are texts must be
            in ISO 8601.
        split: As in :meth:`Table.task`.
        by: As in :meth:`Table.task`.
        seed: As in :meth:`Table.task`.
        metric: As in :meth:`Table.task`.
        **table: The arguments of :class:`Table`.

    Raises:
        ValueError: As :class:`Table` and :meth:`Table.task`, or the file is of another kind.
        FileNotFoundError: There is no such file.
        ImportError: pandas is not installed.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from ncps_mlx.data import from_file
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "readings.csv")
        ...     lines = [f"2026-01-{day:02},{day % 7},{day % 5}" for day in range(1, 31)]
        ...     _ = file.write_text("\n".join(["day,a,b", *lines]))
        ...     from_file(str(file), features=["a"], target="b", time="day", window=4, unit="d")
        Task('table', regression, rmse, T=4, D=1, O=1, 5/1/2 sequences)
    """
    made = Table(**table)
    task = made.task(Frame(parse_times(read_frame(file), made.time, file), file), split, by, seed, metric)
    return task.with_source(
        "ncps_mlx.data:from_file", file=file, split=list(split), by=by, seed=seed, metric=metric, **table
    )


def read_frame(file: str) -> Any:
    """Read a file as a DataFrame of pandas, its times as they stand there."""
    path = check_path("file", check_text("file", file))
    pandas = import_optional("pandas", "a table in a file")
    suffixes = path.suffixes or [""]
    if not path.is_file():
        raise FileNotFoundError(f"file must be there, got {file!r}, looked for in {Path.cwd()}.")
    if suffixes[-1] == ".parquet":
        return pandas.read_parquet(path)
    if ".csv" not in suffixes[-2:]:
        raise ValueError(f"file must end in .csv (or .csv.gz and the like) or .parquet, got {file!r}.")
    try:
        frame = pandas.read_csv(path)
    except ValueError as error:  # pandas' own are ValueErrors, too
        raise ValueError(f"{file} must be a table of comma-separated values in UTF-8: {error}") from error
    for mark in (";", "\t"):
        if len(frame.columns) == 1 and mark in str(frame.columns[0]):
            raise ValueError(
                f"{file} must have commas between its columns, got {mark!r}. Write it anew: pandas.read_csv({file!r}, "
                f'sep={mark!r}, decimal=",").to_csv("readings.csv", index=False); without decimal where it is a point.'
            )
    return frame


def parse_times(frame: Any, time: str | None, file: str) -> Any:
    """The same with a column of texts as dates, in UTC; ``file`` is what it was read from."""
    pandas = import_optional("pandas", "a table in a file")
    if time is not None and time in frame and frame[time].dtype.kind == "O":  # texts, or dates among them
        times = pandas.to_datetime(frame[time], format="ISO8601", utc=True, errors="coerce")
        if times.isna().any():
            row = int(times.isna().to_numpy().argmax())
            raise ValueError(
                f"{file}[{time!r}] must hold numbers or times in ISO 8601, such as 2026-01-31T13:45, got "
                f"{frame[time].iloc[row]!r:.40} in row {row}. pandas.to_datetime(..., format=...) reads others."
            )
        return frame.assign(**{time: times})
    return frame
