"""Raw readings of a table as a model's inputs: carried forward, standardised, with flags and ages of holes.

One function does it for a whole table and, reading by reading, for a stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.validation import LARGEST, as_float, check_number, did_you_mean
from ncps_mlx.data._frame import as_time, is_missing
from ncps_mlx.data._split import Array

if TYPE_CHECKING:
    from ncps_mlx.data._table import FittedTable

__all__ = ["TIME_KINDS", "UNITS", "Encoder", "elapsed", "encode"]

UNITS: dict[str, Any] = {
    "ns": np.timedelta64(1, "ns"),
    "us": np.timedelta64(1, "us"),
    "ms": np.timedelta64(1, "ms"),
    "s": np.timedelta64(1, "s"),
    "min": np.timedelta64(1, "m"),
    "h": np.timedelta64(1, "h"),
    "d": np.timedelta64(1, "D"),
}
"""Units of time by name."""

A_TIME = "A text becomes a time with datetime.datetime.fromisoformat()."
TIME_KINDS = {"M": "a date", "m": "a duration", "f": "a number", None: "None"}
"""By NumPy's kind of a column of times, what one is."""


@dataclass(frozen=True)
class Last:
    """What is known of a group after a reading: its time, each feature's last value (NaN: none yet) and its time."""

    time: Array  # ()
    values: Array  # (D,)
    seen: Array  # (D,), the group's first time where there is none yet


def elapsed(later: Array, earlier: Array, unit: str) -> Array:
    """Return the time between, in double precision, the same however finely the times are kept."""
    passed = later - earlier
    if passed.dtype.kind != "m":
        return np.asarray(passed)
    whole, rest = np.divmod(passed, UNITS[unit])
    return np.asarray(whole + rest / UNITS[unit])


def encode(
    table: FittedTable, times: Array, values: Array, begins: Array, last: Last | None = None
) -> tuple[Array, Array, Last]:
    """Return inputs (n, F) float32 and gaps since the reading before (n,) of readings in the order of their times.

    ``values`` (n, D) are NaN where missing; ``begins`` (n,) is true at the first reading of each group, where the
    typical gap stands for one that is not known. ``last`` is what was known before the first row, if its group goes on.
    """
    if last is not None:
        times = np.concatenate([last.time[None], times])
        values = np.concatenate([last.values[None], values])
        begins = np.concatenate([[True], begins])
    rows = np.arange(len(times))[:, None]
    found = np.maximum.accumulate(np.where(~np.isnan(values) | begins[:, None], rows, 0), axis=0)
    carried, seen = np.take_along_axis(values, found, axis=0), times[found]
    unit = table.settings.unit
    gaps = np.full(len(times), table.typical_gap)
    gaps[1:][~begins[1:]] = elapsed(times[1:], times[:-1], unit)[~begins[1:]]
    if last is not None:
        seen = np.where(found == 0, last.seen, seen)
        times, values, carried, seen, gaps = (part[1:] for part in (times, values, carried, seen, gaps))
    x = np.nan_to_num((carried - table.means) / table.deviations, nan=0.0, posinf=np.inf, neginf=-np.inf)
    parts = [x]
    if table.settings.missing == "flag" and any(table.holes):
        holes = np.array(table.holes)
        ages = elapsed(times[:, None], seen[:, holes], unit) / table.typical_gap
        parts += [~np.isnan(values[:, holes]), np.log1p(ages)]
    with np.errstate(over="ignore"):  # named by who knows the rows
        inputs = np.concatenate(parts, axis=1).astype(np.float32)
    return inputs, gaps, Last(times[-1], carried[-1], seen[-1])


class Encoder:
    """Turns the readings of one group, one after the other, into what a model takes: the table's own way, as a stream.

    Made by :meth:`FittedTable.encoder`.
    """

    def __init__(self, table: FittedTable, last: Last | None = None) -> None:
        self._table = table
        self._last = last

    def push(self, time: Any, reading: Mapping[str, Any] | Sequence[Any]) -> tuple[Array, float]:
        """Take a reading and return its inputs (F,) float32 and the gap since the one before, in the table's unit.

        ``time`` is a date or a number, as in the table (``None`` for a table without times); ``reading`` holds each
        feature's value by name, or all in order. A value that is missing may be left out, None or NaN.
        """
        values = self._values(reading)
        now = self._time(time)
        first = self._last is None
        x, gaps, last = encode(self._table, now[None], values[None], np.array([first]), self._last)
        if not np.isfinite(x).all():
            place = int(np.isfinite(x[0]).argmin()) % len(values)
            name = self._table.settings.features[place]
            raise ValueError(f"reading[{name!r}] must stay within float32 once standardised, got {values[place]}.")
        _check_gap("time", gaps[0])
        self._last = last
        return x[0], float(gaps[0])

    def gap_until(self, time: Any, name: str = "time") -> float:
        """Return the time from the last reading to ``time``, in the table's unit; errors call it ``name``."""
        if self._last is None:
            raise ValueError("push must come before gap_until, got no reading yet.")
        gap = elapsed(self._time(time, name), self._last.time, self._table.settings.unit)
        _check_gap(name, gap)
        return float(gap)

    def state(self) -> dict[str, Any] | None:
        """Return what is known so far, as JSON can hold it: ``table.encoder(state)`` goes on from there."""
        if self._last is None:
            return None

        def written(times: Array) -> Any:
            return times.tolist() if times.dtype.kind == "f" else times.astype(np.int64).tolist()

        values = [None if np.isnan(value) else value for value in self._last.values.tolist()]
        dtype = self._last.time.dtype.str[1:]
        return {"dtype": dtype, "time": written(self._last.time), "values": values, "seen": written(self._last.seen)}

    @classmethod
    def from_state(cls, table: FittedTable, state: Any) -> Encoder:
        """Go on from what :meth:`state` gave."""
        if state is None:
            return cls(table)
        try:
            if set(state) != {"dtype", "time", "values", "seen"}:
                raise ValueError("it has other fields")
            values = list(state["values"]) if isinstance(state["values"], list) else []
            numbers = [np.nan if value is None else check_number("values", value) for value in values]
            kind = np.dtype(state["dtype"])
            time, seen = (
                np.array(state[name], dtype=np.float64 if kind.kind == "f" else np.int64).astype(kind)
                for name in ("time", "seen")
            )
            if np.isnat([time, *seen]).any() if kind.kind in "mM" else not np.isfinite([time, *seen]).all():
                raise ValueError("it lacks a time")
            if (seen > time).any():
                raise ValueError("something was seen later than its time")
            sizes = {len(numbers), len(seen), len(table.means)}
            if kind.kind != (table.time_kind or "f") or time.shape != () or len(sizes) > 1:
                raise ValueError("it is of another table")
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"state must be what state() of an encoder of this table gave, got {state!r:.200}: {error}."
            ) from error
        return cls(table, Last(time, np.array(numbers), seen))

    def _time(self, time: Any, name: str = "time") -> Array:
        column = self._table.settings.time
        if column is None:
            if time is not None:
                raise ValueError(f"{name} must be None for a table without times, got {time!r:.40}.")
            return np.asarray(0.0 if self._last is None else self._last.time + 1)
        now = as_time(name, time, A_TIME)
        if now.dtype.kind != self._table.time_kind:
            wanted = TIME_KINDS[self._table.time_kind]
            raise ValueError(f"{name} must be {wanted}, as in the table, got {time!r:.40}.")
        if np.isnat(now) if now.dtype.kind in "mM" else not np.isfinite(now):
            raise ValueError(f"{name} must be a time, got {time!r:.40}.")
        if self._last is not None and not now > self._last.time:
            raise ValueError(f"{name} must be after that of the last reading, {self._last.time}, got {time!r:.40}.")
        return now

    def _values(self, reading: Mapping[str, Any] | Sequence[Any]) -> Array:
        features = self._table.settings.features
        if isinstance(reading, Mapping):
            for name in reading:
                if name not in features:
                    raise ValueError(
                        f"reading must hold the table's features {', '.join(features)}, got {name!r:.40}."
                        f"{did_you_mean(str(name), features)}"
                    )
            reading = [reading.get(name) for name in features]
        flat = isinstance(reading, list | tuple) or (isinstance(reading, np.ndarray) and reading.ndim == 1)
        if not flat or len(reading) != len(features):
            raise ValueError(f"reading must hold {len(features)} values, {', '.join(features)}, got {reading!r:.80}.")
        values = np.empty(len(features))
        for place, (name, value) in enumerate(zip(features, reading, strict=True)):
            if is_missing(value):
                if self._table.settings.missing == "refuse":
                    raise ValueError(f"reading must hold {name!r}, as missing='refuse' says, got none.")
                values[place] = np.nan
            else:
                number = float(value) if isinstance(value, bool | np.bool_) else as_float(value)
                if number is None or not np.isfinite(number):
                    raise ValueError(f"reading[{name!r}] must be a finite number, None or NaN, got {value!r:.40}.")
                values[place] = number
        return values


def _check_gap(name: str, gap: Any) -> None:
    """Refuse a time so long after the last reading that no model could read the gap."""
    if not abs(gap) < LARGEST:
        raise ValueError(f"{name} must be within {LARGEST:g} of the last reading's, got one {gap} later.")
