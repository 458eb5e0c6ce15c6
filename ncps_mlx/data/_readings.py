"""A table's rows as readings in order of group and time, checked, and which split each belongs to."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.validation import check_number, check_text, did_you_mean
from ncps_mlx.data._encoder import UNITS
from ncps_mlx.data._frame import Frame, as_frame
from ncps_mlx.data._split import Array
from ncps_mlx.data._task import SPLITS

if TYPE_CHECKING:
    from ncps_mlx.data._table import Table

__all__ = ["Readings", "assign", "read"]

GROUPS = (str, int, float, datetime.date, type(None))  # a datetime is a date too


@dataclass(frozen=True)
class Readings:
    """A table's rows in order of group and time."""

    frame: Frame
    order: Array  # (n,), each one's row in the frame
    times: Array  # (n,)
    groups: Array  # (n,), places in labels
    labels: Array  # of groups
    begins: Array  # (n,), true at the first reading of each group
    values: Array  # (n, D), features, NaN where missing

    def __len__(self) -> int:
        return len(self.order)


def read(table: Table, frame: Any) -> Readings:
    """The table's rows in order of group and time, checked."""
    source = as_frame(frame)
    n = len(source)
    if not n:
        raise ValueError(f"{source.name} must have at least 1 row, got 0.")
    asked = [("features", name) for name in table.features]
    for argument, column in (*asked, ("time", table.time), ("group", table.group)):
        if column is not None:
            source.check_column(argument, column)
    values = np.stack([source.numbers(name) for name in table.features], axis=1)
    if table.missing == "refuse" and np.isnan(values).any():
        row, place = np.argwhere(np.isnan(values))[0]
        raise ValueError(
            f"{source.name}[{table.features[place]!r}] must have a value in each row, as missing='refuse' says, got "
            f"none in row {row}."
        )
    labels = [None] * n if table.group is None else source.labels(table.group)
    if table.group is not None and None in labels:
        row = labels.index(None)
        raise ValueError(f"{source.name}[{table.group!r}] must name a group in each row, got none in row {row}.")
    for row, label in enumerate(labels):
        if not isinstance(label, GROUPS):
            raise ValueError(
                f"{source.name}[{table.group!r}] must hold names of groups, texts, numbers or dates, got {label!r:.40} "
                f"in row {row}."
            )
    names = sorted(set(labels), key=lambda label: (type(label).__name__, label)) if table.group else [None]
    code = {label: number for number, label in enumerate(names)}
    groups = np.array([code[label] for label in labels])
    times = np.arange(n, dtype=np.float64) if table.time is None else source.times(table.time)
    if times.dtype.kind in "mM" and table.unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(map(repr, UNITS))} for dates, got {table.unit!r}.")
    order = np.lexsort((times, groups))
    times, groups = times[order], groups[order]
    begins = np.append(True, groups[1:] != groups[:-1])
    if table.time is None:  # evenly spaced within each group
        times = np.arange(n, dtype=np.float64)
    same = np.flatnonzero(~begins[1:] & (times[1:] == times[:-1]))
    if len(same):
        first, second = sorted(order[same[0] : same[0] + 2].tolist())
        whose = "" if table.group is None else f" of group {names[groups[same[0]]]!r}"
        raise ValueError(
            f"{source.name}[{table.time!r}] must differ in all rows of a group, got {times[same[0]]} in rows {first} "
            f"and {second}{whose}.{'' if table.group else ' If several subjects are read, name their column as group.'}"
        )
    known = np.empty(len(names), dtype=object)
    known[:] = names
    return Readings(source, order, times, groups, known, begins, values[order])



def assign(table: Table, readings: Readings, split: Sequence[float], by: str | None, seed: int) -> Array:
    """The split of each reading, 0, 1 or 2."""
    shares = _check_shares(split)
    by = ("time" if table.group is None else "group") if by is None else check_text("by", by)
    if by == "group":
        if table.group is None:
            raise ValueError("by must be 'time' or a column for a table without groups, got 'group'.")
        n = len(readings.labels)
        if n < 3:
            raise ValueError(f"by='group' needs at least 3 groups, got {n}. by='time' splits within groups.")
        first, second = _cuts(shares, n)
        drawn = np.empty(n, dtype=np.int64)
        drawn[np.random.default_rng(seed).permutation(n)] = np.repeat([0, 1, 2], [first, second - first, n - second])
        return np.asarray(drawn[readings.groups])
    if by == "time":
        if table.time is None and table.group is not None:
            raise ValueError("by must be 'group' or a column where time is None, got 'time'.")
        times = np.sort(readings.times)
        if len(times) < 3:
            raise ValueError(f"{readings.frame.name} must have at least 3 rows to split by time, got {len(times)}.")
        first, second = _cuts(shares, len(times))
        return np.searchsorted(times[[first, second]], readings.times, side="right")
    source = readings.frame
    if by not in source.names:
        hint = did_you_mean(by, map(str, source.names))
        raise ValueError(f"by must be 'group', 'time' or a column of {source.name}, got {by!r:.80}.{hint}")
    source.check_column("by", by)
    parts = source.labels(by)
    for row, label in enumerate(parts):
        if label not in SPLITS:
            hint = " by='group' splits by whole groups." if by == table.group else ""
            raise ValueError(
                f"{source.name}[{by!r}] must hold 'train', 'validation' or 'test', got {label!r:.40} in row {row}."
                + hint
            )
    return np.array([SPLITS.index(label) for label in parts])[readings.order]


def _check_shares(split: Any) -> tuple[float, float, float]:
    """Shares of the three splits, each above 0, 1 together."""
    if isinstance(split, str) or not isinstance(split, Sequence) or len(split) != 3:
        raise ValueError(f"split must be three shares, such as (0.65, 0.15, 0.2), got {split!r:.80}.")
    first, second, third = (check_number("split", share, low=0, open_low=True, high=1) for share in split)
    if not math.isclose(first + second + third, 1, abs_tol=1e-6):
        raise ValueError(f"split must add up to 1, got {first + second + third:g}.")
    return first, second, third


def _cuts(shares: tuple[float, float, float], n: int) -> tuple[int, int]:
    """Where validation and test begin among n, none of the three empty."""
    first = min(max(round(shares[0] * n), 1), n - 2)
    return first, min(max(round((shares[0] + shares[1]) * n), first + 1), n - 1)
