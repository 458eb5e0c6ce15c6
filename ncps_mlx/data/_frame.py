"""Columns of a table, whatever holds it: a DataFrame of pandas or polars, or a dict of arrays."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from ncps_mlx._utils.arrays import as_array
from ncps_mlx._utils.validation import as_float, did_you_mean
from ncps_mlx.data._split import Array

__all__ = ["Frame", "as_frame", "as_time", "is_missing"]

TO_TIMES = "Texts become times with pandas.to_datetime({}), or polars' str.to_datetime()."


class Frame:
    """Reads columns of numbers, times and labels, and writes a table of the same kind.

    ``name`` is what errors call the table: the argument that it came by, or the file.
    """

    def __init__(self, frame: Any, name: str = "frame") -> None:
        kind = type(frame).__module__.partition(".")[0]
        if isinstance(frame, Mapping):
            names, kind = list(frame), "dict"
        elif kind in ("pandas", "polars") and type(frame).__name__ == "LazyFrame":
            raise ValueError(f"{name} must be a table in memory, got a LazyFrame: pass {name}.collect().")
        elif hasattr(frame, "iloc") and hasattr(frame, "columns"):
            names, kind = list(frame.columns), "pandas"
        elif kind == "polars" and hasattr(frame, "columns"):
            names = list(frame.columns)
        else:
            raise ValueError(
                f"{name} must be a DataFrame of pandas or polars, or a dict of arrays, got {type(frame).__name__}."
            )
        self.frame, self.name, self.kind, self.names = frame, name, kind, names
        if kind == "dict":
            first = as_array(name, next(iter(frame.values()), []))
            if first.ndim != 1:
                raise ValueError(f"{name}[{names[0]!r}] must have a value for each row, got shape {first.shape}.")
            self.rows = len(first)
        else:
            self.rows = len(frame)

    def __len__(self) -> int:
        return self.rows

    def array(self, name: str) -> Array:
        """Return a column (n,), which must be there, as NumPy holds it; times with a zone become UTC."""
        column = self.frame[name]
        if self.kind == "pandas":
            if getattr(column.dtype, "tz", None) is not None:
                column = column.dt.tz_convert("UTC").dt.tz_localize(None)
            nullable = not isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub"
            holes = {"dtype": "float64", "na_value": np.nan} if nullable and column.isna().any() else {}
            array = column.to_numpy(**holes)
        else:
            array = column.to_numpy() if self.kind == "polars" else as_array(f"{self.name}[{name!r}]", column)
        array = np.asarray(array)
        if array.shape != (len(self),):
            raise ValueError(
                f"{self.name}[{name!r}] must have one value for each of the {len(self)} rows, got shape {array.shape}."
            )
        return array

    def check_column(self, argument: str, name: str) -> None:
        """Refuse a column that is not there, or twice, for the argument that asks for it."""
        if self.names.count(name) != 1:
            found = "it twice" if name in self.names else f"{', '.join(map(repr, self.names)):.200}"
            raise ValueError(
                f"{self.name} must have the column {name!r:.80} of {argument} once, got {found}."
                f"{did_you_mean(name, map(str, self.names))}"
            )

    def numbers(self, name: str, cure: str = "") -> Array:
        """Return a column of numbers in double precision, NaN where one is missing."""
        array = self.array(name)
        if array.dtype.kind == "O":
            values = array.tolist()
            for row, value in enumerate(values):
                if is_missing(value):
                    values[row] = np.nan
                elif isinstance(value, Real | Decimal):
                    values[row] = float(value) if isinstance(value, Decimal | bool) else as_float(value)
                else:
                    raise self._no_number(name, array, cure)
            array = np.array(values, dtype=np.float64)
        elif array.dtype.kind not in "fiub":
            raise self._no_number(name, array, cure)
        array = array.astype(np.float64)
        if np.isinf(array).any():
            row = int(np.isinf(array).argmax())
            raise ValueError(f"{self.name}[{name!r}] must hold finite numbers, got {array[row]} in row {row}.")
        return array

    def _no_number(self, name: str, array: Array, cure: str) -> ValueError:
        """Name the value that made a column one of texts: the first that says no number, else the first text."""
        found = [(row, value) for row, value in enumerate(array.tolist()) if not isinstance(value, Real | Decimal)]
        found = [(row, value) for row, value in found if not is_missing(value)]
        first = found[0] if found else (0, array.dtype)
        row, value = next((each for each in found if not _says_number(each[1])), first)
        return ValueError(f"{self.name}[{name!r}] must hold numbers, got {value!r:.40} in row {row}.{cure}")

    def times(self, name: str) -> Array:
        """Return a column of times: datetime64 or timedelta64, or numbers in double precision; none is missing."""
        array, cure = self.array(name), TO_TIMES.format(f"{self.name}[{name!r}]")
        if array.dtype.kind == "O":
            found = [as_time(f"{self.name}[{name!r}] in row {row}", value, cure) for row, value in enumerate(array)]
            if len({value.dtype.kind for value in found}) > 1:
                raise ValueError(f"{self.name}[{name!r}] must hold times of one kind, got dates and numbers.")
            array = np.array(found)
        elif array.dtype.kind not in "fiumM":
            as_time(f"{self.name}[{name!r}] in row 0", array[0].item() if len(array) else str(array.dtype), cure)
        array = _in_fixed_units(array)
        missing = np.isnat(array) if array.dtype.kind in "mM" else ~np.isfinite(array)
        if missing.any():
            row = int(missing.argmax())
            raise ValueError(f"{self.name}[{name!r}] must hold a time in each row, got {array[row]} in row {row}.")
        return array

    def labels(self, name: str) -> list[Any]:
        """Return a column of labels, ``None`` where one is missing; whole numbers are integers."""
        array = self.array(name)
        if array.dtype.kind == "f":
            missing = np.isnan(array)
            whole = np.isfinite(array) & (array == np.trunc(array))
            if (whole | missing).all():  # integers, as pandas holds them beside holes
                return [None if gone else int(value) for value, gone in zip(array.tolist(), missing, strict=True)]
            return [None if gone else value for value, gone in zip(array.tolist(), missing, strict=True)]
        values = array.tolist()
        return [None if is_missing(value) else value for value in values] if array.dtype.kind == "O" else values

    def like(self, keep: list[str], columns: Mapping[str, Array]) -> Any:
        """Return a table of this kind with some of its columns and these new ones, row by row."""
        if self.kind == "dict":
            return {name: self.frame[name] for name in keep} | dict(columns)
        if self.kind == "pandas":
            return self.frame[keep].assign(**columns)
        new = type(self.frame)({name: np.asarray(column).tolist() for name, column in columns.items()}).fill_nan(None)
        return self.frame.select(keep).hstack(new) if keep else new


def as_frame(frame: Any, name: str = "frame") -> Frame:
    """Return a table as a frame, which it may be already."""
    return frame if isinstance(frame, Frame) else Frame(frame, name)


def as_time(what: str, value: Any, cure: str) -> Array:
    """Return one time as an array (): a date (UTC where it has a zone), a duration, or a number, not a text."""
    if isinstance(value, datetime.datetime) and not is_missing(value):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        value = value.to_datetime64() if hasattr(value, "to_datetime64") else np.datetime64(value)
    elif isinstance(value, datetime.date | datetime.timedelta) and not is_missing(value):
        value = np.asarray(value, dtype="datetime64[D]" if isinstance(value, datetime.date) else "timedelta64[us]")
    elif isinstance(value, np.datetime64 | np.timedelta64):
        pass
    elif isinstance(value, str):
        raise ValueError(f"{what} must be a time or a number, got the text {value!r:.40}. {cure}")
    elif is_missing(value) or isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{what} must be a time or a number, got {value!r:.40}.")
    else:
        value = as_float(value)
    return _in_fixed_units(np.asarray(value))


def _in_fixed_units(array: Array) -> Array:
    """Numbers in double precision, and dates of at least second precision: a month has no length."""
    if array.dtype.kind not in "mM":
        return array.astype(np.float64)
    step = np.datetime_data(array.dtype)[0]
    if step in ("Y", "M") and array.dtype.kind == "m":
        raise ValueError(f"time must be in units of a fixed length, got {array.dtype}.")
    return array.astype(f"{array.dtype.kind}8[s]") if step in ("Y", "M", "W", "D", "h", "m") else array


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, NaT, or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Real | Decimal) and bool(value != value)  # NaN alone differs from itself


def _says_number(value: Any) -> bool:
    """Whether a text could be read as a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
