"""One split of a task: sequences, targets, time steps and mask, checked where they enter."""

from __future__ import annotations

import copy
import datetime
import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._time_scaler import TimeScaler, check_time_delta
from ncps_mlx._utils.arrays import as_array, check_mask, real_array
from ncps_mlx.data._labels import UNLABELLED, Classes, check_classes, encode, recode
from ncps_mlx.data._time_steps import add_time_over_holes, refuse_lost_differences

__all__ = [
    "Array",
    "Split",
    "check_inputs",
    "check_like",
    "check_values",
    "digest",
    "is_observed",
    "labels_of",
    "last_valid_step",
    "target_weights",
    "warn_of_equal_sequences",
    "warn_of_raw_targets",
    "with_classes_of_training",
]

Array = npt.NDArray[Any]
PARTS = ("x", "y", "time_delta", "mask", "weight")
FAR = 10  # a mean or a standard deviation that no standardised target has, however few there are
ABSENT = {
    "time_delta": "Where every step lasts 1, that is np.ones((n, T)).",
    "mask": "Where every step is a reading, that is np.ones((n, T), dtype=bool).",
    "group": "It names whose each sequence is.",
    "weight": "Where every sequence counts once, that is np.ones(n).",
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Split:
    """Sequences and their targets; the arrays are kept read-only.

    Args:
        x: Inputs (n, T, D); stored as float32.
        y: Targets: (n, O) or, one per step, (n, T, O), stored as float32, NaN where one was not observed; or labels
            of classes (n,) or, one per step, (n, T), integers from 0, strings or booleans, stored as int32: integers
            as they are, others as places in ``classes``. -1 (among strings ``None``) is no class: not labelled.
            What was not observed or labelled counts neither in training nor in scores.
        time_delta: Time that passes before each reading since the one before (n, T), in the task's unit; ``None``:
            every step lasts 1, a masked one too. Time passes over holes: that of masked steps between two readings is
            added to the later one's, and theirs becomes 0.
        mask: Booleans (n, T), true where there is a reading; ``None``: everywhere. Padding in ``x`` and
            ``time_delta`` must be finite too (0 will do).
        weight: How much each sequence counts (n,), or with a target at every step also each step (n, T), at least 0,
            in training and in scores; ``None``: all alike. 0 is as if it were not there.
        classes: The labels that the integers of ``y`` stand for, different strings, booleans or integers. Default:
            the strings of ``y``, sorted, or False and True; ``None`` for integers.
        scaled_by: The fitted :class:`~ncps_mlx.TimeScaler` that ``time_delta`` went through already, as
            :meth:`Task.scaled_time` notes it, so that no model scales it again; ``None``: raw time.
        group: Whose each sequence is (n,), such as the names of patients: texts, numbers or dates; no model sees it.

    Raises:
        ValueError: A shape or dtype is wrong, or a label is negative, beyond int32, or not among ``classes``;
            values differ by too little beside their size for float32, as time stamps in seconds do.

    Example:
        >>> from ncps_mlx import Split
        >>> import numpy as np
        >>> split = Split(x=np.zeros((5, 7, 3)), y=np.zeros((5, 1)))
        >>> split
        Split(x=(5, 7, 3), y=(5, 1))
        >>> split.x.dtype.name
        'float32'
        >>> named = Split(x=np.zeros((3, 7, 3)), y=["walk", "run", "walk"])
        >>> named.y.tolist(), named.classes
        ([1, 0, 1], ('run', 'walk'))
    """

    x: Array
    y: Array
    time_delta: Array | None = None
    mask: Array | None = None
    weight: Array | None = None
    classes: Classes | None = None
    scaled_by: TimeScaler | None = None
    group: Array | None = None

    def __post_init__(self) -> None:
        x = real_array("x", self.x)
        if x.ndim != 3 or min(x.shape[1:]) == 0:
            raise ValueError(f"x must have the shape (n, T, D), got {x.shape}.")
        y, classes = _check_targets(self.y, x.shape, self.classes)
        mask = None if self.mask is None else check_mask("mask", self.mask, x.shape[:2])
        refuse_lost_differences("x", x, mask)
        _freeze(self, "x", _to_float32(x))
        _freeze(self, "y", y)
        object.__setattr__(self, "classes", classes)
        if self.time_delta is not None:
            time_delta = real_array("time_delta", self.time_delta)
            if time_delta.shape != x.shape[:2]:
                raise ValueError(f"time_delta must have the shape {x.shape[:2]}, got {time_delta.shape}.")
            refuse_lost_differences("time_delta", time_delta, mask)
            if mask is not None:
                time_delta = add_time_over_holes(time_delta, mask)
            _freeze(self, "time_delta", _to_float32(time_delta))
        if mask is not None:
            _freeze(self, "mask", mask)
        if self.weight is not None:
            _freeze(self, "weight", _check_weight(self.weight, x.shape[:2] if self.every_step else x.shape[:1]))
        scaled_by: Any = self.scaled_by
        if scaled_by is not None:
            if self.time_delta is None or not isinstance(scaled_by, TimeScaler) or scaled_by.scale is None:
                raise ValueError(
                    "scaled_by must be the fitted TimeScaler that gave time_delta, or None, got "
                    f"{scaled_by!r:.80}{'' if self.time_delta is not None else ' without time_delta'}."
                )
            object.__setattr__(self, "scaled_by", copy.copy(scaled_by))
        if self.group is not None:
            _freeze(self, "group", _check_group(self.group, len(x)))

    @property
    def every_step(self) -> bool:
        """Whether there is a target at every step, rather than one for each sequence."""
        return self.y.ndim == (2 if self.y.dtype.kind == "i" else 3)

    def __repr__(self) -> str:
        arrays = ((name, getattr(self, name)) for name in PARTS)
        shown = [f"{name}={array.shape}" for name, array in arrays if array is not None]
        return f"Split({', '.join(shown if self.scaled_by is None else [*shown, f'scaled_by={self.scaled_by}'])})"

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __add__(self, other: Split) -> Split:
        """Return the sequences of both, one split after the other.

        Raises:
            ValueError: They differ in shapes, in the kind of target or in the scale of time, or only one has time
                steps, a mask, weights or groups.
        """
        if not isinstance(other, Split):
            return NotImplemented
        if self.y.dtype != other.y.dtype:
            raise ValueError(f"y must be of one kind in both splits, got {self.y.dtype} and {other.y.dtype}.")
        joined: dict[str, Any] = {"scaled_by": self.scaled_by}
        if self.scaled_by != other.scaled_by:
            raise ValueError(
                f"time_delta must be on one scale in both splits, got scaled_by={self.scaled_by} and {other.scaled_by}."
            )
        for name in (*PARTS, "group"):
            first, second = getattr(self, name), getattr(other, name)
            if (first is None) != (second is None):
                raise ValueError(f"{name} must be given in both splits or in neither, got only one. {ABSENT[name]}")
            if first is not None and first.shape[1:] != second.shape[1:]:
                shapes = f"{_format_shape(first.shape[1:])} and {_format_shape(second.shape[1:])}"
                raise ValueError(f"{name} must have one shape in both splits, got {shapes}.")
            joined[name] = None if first is None else np.concatenate([first, second])
        first, second = self.classes, other.classes
        if first == second:
            return Split(**joined, classes=first)
        kinds = {type(label) for label in (*(first or (0,)), *(second or (0,)))}
        if first is None or second is None or len(kinds) > 1:
            raise ValueError("y must hold labels of one kind in both splits, got integers and other labels.")
        classes = tuple(sorted({*first, *second}))
        y = [recode("y", split.y, split.classes, classes) for split in (self, other)]
        return Split(**joined | {"y": np.concatenate(y)}, classes=classes)

    def __getitem__(self, rows: slice | Array) -> Split:
        """Return the sequences that ``rows`` (a slice, indices or booleans) picks."""
        if not isinstance(rows, slice):
            rows = as_array("rows", rows)
            rows = rows if rows.size else rows.astype(np.intp)
            if rows.dtype.kind not in "iub" or rows.ndim != 1:
                raise ValueError(
                    "rows must be a slice, indices (k,) or booleans (n,), got dtype "
                    f"{rows.dtype} with shape {rows.shape}."
                )
            right = rows.size == len(self) if rows.dtype.kind == "b" else (-len(self) <= rows).all()
            if not right or (rows.dtype.kind != "b" and (rows >= len(self)).any()):
                raise ValueError(f"rows must be among the {len(self)} sequences, got {rows.tolist()!r:.80}.")
        return Split(
            x=self.x[rows],
            y=self.y[rows],
            time_delta=None if self.time_delta is None else self.time_delta[rows],
            mask=None if self.mask is None else self.mask[rows],
            weight=None if self.weight is None else self.weight[rows],
            classes=self.classes,
            scaled_by=self.scaled_by,
            group=None if self.group is None else self.group[rows],
        )


def check_values(name: str, split: Split, kind: str, allow_unsafe_time: bool) -> None:
    """Refuse a split that is empty, holds what no model can learn from, or does not fit the kind of task."""
    if not isinstance(split, Split):
        raise ValueError(f"{name} must be a Split, got {type(split).__name__}.")
    check_inputs(name, split, allow_unsafe_time)
    if np.isinf(split.y).any():
        raise ValueError(f"{name}.y must be finite, got {int(np.isinf(split.y).sum())} values that are not.")
    classes = split.y.dtype.kind == "i"
    if classes != (kind == "classification"):
        rule = "integer classes (n,) or (n, T)" if kind == "classification" else "real numbers (n, O) or (n, T, O)"
        cure = " Whole numbers as targets of a regression are y.astype(float)." if classes and split.every_step else ""
        raise ValueError(f"{name}.y must be {rule} for {kind}, got {split.y.dtype} {split.y.shape}.{cure}")
    counts = is_observed(split) if (weight := target_weights(split)) is None else weight > 0
    if not counts.any():
        raise ValueError(f"{name}.y must hold a target that was observed and has a weight above 0, got none.")
    if not classes:
        return
    present = np.unique(split.y[counts])
    if present.size < 2:
        rest = " Others are -1, not labelled." if (split.y == UNLABELLED).any() else ""
        only = labels_of(split)[present[0]]
        raise ValueError(f"{name}.y must hold at least 2 classes, got only class {only!r}.{rest}")


def check_inputs(name: str, split: Split, allow_unsafe_time: bool = False) -> None:
    """Refuse a split that is empty, or holds inputs that no model can read."""
    if len(split) == 0:
        raise ValueError(f"{name} must hold at least 1 sequence, got 0.")
    check_finite(f"{name}.x", split.x)
    if split.time_delta is not None:
        check_time_delta(f"{name}.time_delta", split.time_delta, allow_unsafe=allow_unsafe_time)
    if split.mask is not None:
        empty = ~split.mask.any(axis=1)
        if empty.any():
            raise ValueError(
                f"{name}.mask must have a reading in every sequence, got none in {int(empty.sum())} of "
                f"{len(split)} (the first is sequence {int(empty.argmax())})."
            )


def check_finite(name: str, array: Array) -> None:
    """Refuse values that are not finite."""
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(f"{name} must be finite, got {int(bad.sum())} values that are not.")


def check_like(name: str, split: Split, train: Split) -> None:
    """Refuse a split of another form than the training split, or with classes that training never sees."""
    for part in ("x", "y"):
        shape, expected = getattr(split, part).shape[1:], getattr(train, part).shape[1:]
        if shape != expected:
            raise ValueError(
                f"{name}.{part} must have the shape {_format_shape(expected)} of train, got {_format_shape(shape)}."
            )
    if train.y.dtype.kind == "f":
        unseen = np.isnan(train.y).reshape(-1, train.y.shape[-1]).all(axis=0)
        if unseen.any():
            raise ValueError(
                f"train.y must hold an observed value of every target, got none of y[..., {int(unseen.argmax())}]."
            )
    for part in ("time_delta", "mask"):
        if (getattr(split, part) is None) != (getattr(train, part) is None):
            raise ValueError(f"{name}.{part} must be given in all splits or in none, got only some.")
    if split.scaled_by != train.scaled_by:
        scales = [each.scaled_by or "raw" for each in (train, split)]
        raise ValueError(f"{name}.time_delta must be on the scale of train, {scales[0]}, got {scales[1]}.")
    if split.y.dtype.kind == "i" and (split.classes is None) != (train.classes is None):
        raise ValueError(f"{name}.y must hold labels of the kind that train has, got integers and other labels.")


def with_classes_of_training(splits: Sequence[Split]) -> list[Split]:
    """Return the splits with classes that count from 0 without a gap, in the order of the training split's labels."""
    train = splits[0]
    present = np.unique(train.y[train.y != UNLABELLED])
    classes = tuple(labels_of(train)[number] for number in present)
    aligned = []
    for name, split in zip(("train", "validation", "test"), splits, strict=True):
        y = recode(name, split.y, split.classes, classes)
        plain = split.classes is None and classes == tuple(range(len(classes)))
        same = plain or split.classes == classes
        aligned.append(split if same else replace(split, y=y, classes=classes))
    return aligned


def labels_of(split: Split) -> Sequence[Any]:
    """The label of each number in a split's ``y``."""
    return range(int(split.y.max(initial=-1)) + 1) if split.classes is None else split.classes


def is_observed(split: Split) -> Array:
    """Where a target was observed or labelled: booleans of the shape of ``y``."""
    return np.asarray(split.y != UNLABELLED) if split.y.dtype.kind == "i" else ~np.isnan(split.y)


def target_weights(split: Split) -> Array | None:
    """What each target counts: mask x observed x weight, float32; ``None`` if all count the same.

    Its shape is that of ``y``; of a regression without the last axis if a row's targets are all observed or none.
    """
    weight: Array | None = None
    if split.every_step and split.mask is not None:  # what is predicted of a sequence counts whatever it lacks
        weight = split.mask.astype(np.float32)
    if split.weight is not None:
        own = split.weight[:, None] if split.every_step and split.weight.ndim == 1 else split.weight
        own = np.broadcast_to(own, split.x.shape[: 2 if split.every_step else 1])
        weight = own if weight is None else weight * own
    observed: Array = is_observed(split)
    if split.y.dtype.kind != "i" and (observed.all(axis=-1) == observed.any(axis=-1)).all():
        observed = np.asarray(observed.all(axis=-1))
    if observed.all():
        return weight
    if weight is None:
        return observed.astype(np.float32)
    return np.where(observed, weight if weight.ndim == observed.ndim else weight[..., None], np.float32(0))


def warn_of_equal_sequences(splits: Mapping[str, Split]) -> None:
    """Warn of inputs that two splits share, with their share: what is scored on them was learnt by heart."""
    rows = {
        name: [b"".join(row.tobytes() for row in parts) for parts in zip(*_input_arrays(split), strict=True)]
        for name, split in splits.items()
    }
    for (earlier, first), (later, own) in combinations(rows.items(), 2):
        known = set(first)
        shared = len([row for row in own if row in known])
        if shared:
            share = f"{shared} of its {len(own)} ({shared / len(own):.0%})"
            warnings.warn(
                f"{later} should hold no sequence of {earlier}, got {share}. Scores on it will be too good: "
                "leave each subject or stretch of time to one split.",
                stacklevel=3,
            )


def warn_of_raw_targets(train: Split) -> None:
    """Warn of targets whose mean or spread is far from that of standardised ones."""
    counting = train.mask if train.every_step and train.mask is not None else ...
    targets = train.y[counting].reshape(-1, train.y.shape[-1]).astype(np.float64)
    targets = targets[:, ~np.isnan(targets).all(axis=0)]
    means, deviations = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
    raw = (np.abs(means) > FAR) | (deviations > FAR)
    if raw.any():
        at = int(raw.argmax())
        warnings.warn(
            f"train.y should be standardised, got a mean of {means[at]:.4g} and a standard deviation of "
            f"{deviations[at]:.4g}: a training spends its steps on them. Standardise by the training split, and give "
            "inverse=ncps_mlx.data.Standardizer(mean=..., deviation=...), so that scores are in real units.",
            stacklevel=3,
        )


def _input_arrays(split: Split) -> list[Array]:
    return [array for array in (split.x, split.time_delta, split.mask) if array is not None]


def last_valid_step(mask: Array | None, sequences: int, steps: int) -> Array:
    """Return the index (n,) of each sequence's last valid step."""
    if mask is None:
        return np.full(sequences, steps - 1)
    return np.asarray(steps - 1 - mask[:, ::-1].argmax(axis=1))


def digest(splits: Iterable[Split], *more: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of all arrays, with their shapes and dtypes."""
    sha = hashlib.sha256()
    given = list(splits)
    arrays = [part for split in given for part in (split.x, split.y, split.time_delta, split.mask)]
    weights = [part for split in given if split.weight is not None for part in ("weight", split.weight)]
    for part in (*arrays, *more, *weights):
        if isinstance(part, np.ndarray):
            sha.update(f"{part.dtype}{part.shape}".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            sha.update(repr(part).encode())
    return sha.hexdigest()[:16]


def _format_shape(rest: tuple[int, ...]) -> str:
    return f"({', '.join(['n', *map(str, rest)])})"


def _to_float32(array: Array) -> Array:
    with np.errstate(over="ignore"):  # what overflows is infinite, and named by check_values
        return np.asarray(array, dtype=np.float32)


def _check_targets(value: npt.ArrayLike, shape: tuple[int, ...], classes: Any) -> tuple[Array, Classes | None]:
    y = as_array("y", value)
    if y.shape[:1] != shape[:1]:
        raise ValueError(f"y must have {shape[0]} targets, as many as x has sequences, got shape {y.shape}.")
    classes = None if classes is None else check_classes(classes)
    if y.ndim == 1 or (y.shape == shape[:2] and y.dtype.kind in "iubUTO"):
        if y.dtype.kind == "f":
            raise ValueError(
                f"y must be (n, O) or (n, T, O) for regression or integers (n,) or (n, T) for classes, "
                f"got {y.dtype} {y.shape}. One target per sequence is y[:, None]."
            )
        return encode(y, classes)
    if classes is not None:
        rule = "classes must be None unless y holds classes (n,) or (n, T)"
        raise ValueError(f"{rule}, got {classes!r:.80} for {y.shape}.")
    y = real_array("y", y)
    per_step = y.ndim == 3 and y.shape[1] == shape[1]
    if not (y.ndim == 2 or per_step) or y.shape[-1] == 0:
        raise ValueError(f"y must be (n, O), (n, T, O) with T = {shape[1]}, or classes (n,) or (n, T), got {y.shape}.")
    missing = np.isnan(y)
    if missing.any() and not missing.all(axis=tuple(range(y.ndim - 1))).any():
        least = np.fmin.reduce(y.reshape(-1, y.shape[-1]), axis=0)
        refuse_lost_differences("y", np.where(missing, least, y), None)
    else:
        refuse_lost_differences("y", y, None)
    y = _to_float32(y)
    return np.where(missing, np.float32(np.nan), y) if missing.any() else y, None  # NaN of one kind, for the hash


def _check_weight(value: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    weight = _to_float32(real_array("weight", value))
    if weight.shape not in (shape, shape[:1]):
        rule = " or ".join(str(each) for each in dict.fromkeys((shape[:1], shape)))
        raise ValueError(f"weight must have the shape {rule}, got {weight.shape}.")
    if weight.size and not (np.isfinite(weight).all() and weight.min() >= 0):
        raise ValueError(f"weight must be finite and at least 0, got {weight.min():g} to {weight.max():g}.")
    return weight


def _check_group(value: npt.ArrayLike, sequences: int) -> Array:
    group = as_array("group", value)
    if group.shape != (sequences,):
        raise ValueError(f"group must have one label for each of the {sequences} sequences, got {group.shape}.")
    for sequence, label in enumerate(group.tolist()):
        if not isinstance(label, str | int | float | datetime.date) or label != label:  # NaN alone differs from itself
            raise ValueError(
                f"group must name whose each sequence is, by a text, a number or a date, got {label!r:.40} of sequence "
                f"{sequence}."
            )
    return group


def _freeze(split: Split, name: str, array: Array) -> None:
    if array is getattr(split, name):
        array = array.copy()  # the caller's own array stays writeable, and is not ours to share
    array.flags.writeable = False
    object.__setattr__(split, name, array)
