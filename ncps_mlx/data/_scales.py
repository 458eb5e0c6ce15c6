"""What is learned from a table's training rows, and its targets brought to that scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx.data._readings import Readings
from ncps_mlx.data._split import Array
from ncps_mlx.data._task import SPLITS

if TYPE_CHECKING:
    from ncps_mlx.data._table import FittedTable, Table

__all__ = ["classes_of", "is_known", "moments", "read_targets", "scale_targets"]

UNKNOWN, UNSEEN = -1, -2  # no label; a label that training lacks


def moments(table: str, names: Sequence[str], values: Array) -> tuple[Array, Array]:
    """Means and standard deviations of a table's columns over what is there; a constant one's deviation is 1."""
    empty = np.isnan(values).all(axis=0)
    if empty.any():
        name = names[int(empty.argmax())]
        raise ValueError(
            f"{table}[{name!r}] must have a value in the training rows, got none in {len(values)}."
            " Leave the column out, or split otherwise."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        means, deviations = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    wide = ~np.isfinite(deviations)
    if wide.any():
        name = names[int(wide.argmax())]
        raise ValueError(f"{table}[{name!r}] must have a finite standard deviation, got values up to 1e150 or beyond.")
    return means, np.where(deviations <= 1e-12 * np.abs(means), 1.0, deviations)


def read_targets(table: Table, readings: Readings) -> Array:
    """The targets of all readings (n, O): numbers, NaN where unknown; or labels, ``None`` where unknown."""
    for name in table.targets:
        readings.frame.check_column("target", name)
    if table.kind == "classification":
        labels = np.empty((len(readings), 1), dtype=object)
        labels[:, 0] = readings.frame.labels(table.targets[0])
        return labels[readings.order]
    cure = " For labels of classes: kind='classification'."
    columns = [readings.frame.numbers(name, cure) for name in table.targets]
    return np.stack(columns, axis=1)[readings.order]


def is_known(targets: Array) -> Array:
    """Where there is a target at all, of readings (n, O)."""
    known = np.asarray(targets != np.array(None) if targets.dtype == object else ~np.isnan(targets), dtype=bool)
    return np.asarray(known.any(axis=1))


def classes_of(column: str, labels: Array) -> tuple[Any, ...]:
    """The labels of training sequences (n, 1), sorted; ``column`` is what errors call it."""
    found = {label for label in labels[:, 0].tolist() if label is not None}
    kinds = {type(label) for label in found}
    if len(kinds) > 1 or not kinds <= {str, bool, int}:
        raise ValueError(
            f"{column} must hold labels of one kind, strings, booleans or integers, got "
            f"{sorted(map(repr, found))!s:.80}. Numbers that are no classes: kind='regression'."
        )
    return tuple(sorted(found))


def scale_targets(table: FittedTable, targets: Array, readings: Readings, part: Array, used: Array) -> Array:
    """Targets as a model learns them: standardised (n, O) float32, or numbers of classes (n, 1).

    ``part`` is the split of each reading, and ``used`` those whose targets sequences have.
    """
    if table.classes is None:
        return ((targets - table.target_means) / table.target_deviations).astype(np.float32)
    places = {label: number for number, label in enumerate(table.classes)} | {None: UNKNOWN}
    numbers = np.array([places.get(label, UNSEEN) for label in targets[:, 0]], dtype=np.int32)
    unseen = used[numbers[used] == UNSEEN]
    if len(unseen):
        row = unseen[0]
        raise ValueError(
            f"{readings.frame.name}[{table.settings.targets[0]!r}] must hold classes that training sequences have, got "
            f"{targets[row, 0]!r} in row {readings.order[row]} of {SPLITS[part[row]]}. Split otherwise, or leave such "
            "rows out."
        )
    return numbers[:, None]
