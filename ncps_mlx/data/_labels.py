"""Labels of classes, whatever they are called, as the numbers 0, 1, ... of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["UNLABELLED", "Classes", "check_classes", "encode", "recode"]

Array = npt.NDArray[Any]
Classes = tuple[Any, ...]  # the labels, the place of each its number
UNLABELLED = -1
"""What stands in ``y`` where a target has no label."""
SCALARS = (str, bool, int, float, np.generic)
LARGEST = int(np.iinfo(np.int32).max)


def check_classes(classes: Any) -> Classes:
    """Return the labels of classes as a tuple of strings, of booleans or of integers, none of them twice."""
    given = classes.tolist() if isinstance(classes, np.ndarray) else classes
    given = given if isinstance(given, list | tuple) else ()
    found = tuple(label.item() if isinstance(label, np.generic) else label for label in given)
    kinds = {type(label) for label in found}
    if len(kinds) != 1 or not kinds <= {str, bool, int} or len(set(found)) < len(found):
        raise ValueError(f"classes must be different strings, booleans or integers, got {classes!r:.80}.")
    return found


def encode(labels: Array, classes: Classes | None) -> tuple[Array, Classes | None]:
    """Return labels as numbers int32, and the classes that these count; ``None`` if they count themselves."""
    if labels.dtype.kind == "O":
        given = np.array([label is not None for label in labels.ravel()], dtype=bool).reshape(labels.shape)
        kinds = {type(label) for label in labels[given]}
        known = np.array(labels[given].tolist()) if len(kinds) == 1 and issubclass(kinds.pop(), SCALARS) else labels
        if known.dtype.kind != "O":  # as it still is with integers beyond 64 bits
            if given.all():
                return encode(known.reshape(labels.shape), classes)
            numbers, classes = encode(known, classes)
            whole = np.full(labels.shape, UNLABELLED, dtype=np.int32)
            whole[given] = numbers
            return whole, classes
    if labels.dtype.kind in "iu":
        low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
        cure = " As strings, y.astype(str), it may hold any labels." if classes is None else ""
        if low < UNLABELLED:
            raise ValueError(f"y must hold classes from 0, or -1 where there is no label, got {low}.{cure}")
        limit = LARGEST if classes is None else len(classes) - 1
        if high > limit:
            raise ValueError(f"y must hold classes up to {limit}, got {high}.{cure}")
        return labels.astype(np.int32), classes
    if labels.dtype.kind not in "bUT":
        found = sorted({type(label).__name__ for label in labels.ravel().tolist()})
        raise ValueError(
            f"y must hold labels of one kind, strings, booleans or integers up to {LARGEST}, got {', '.join(found)}."
        )
    if classes is None:
        classes = (False, True) if labels.dtype.kind == "b" else tuple(np.unique(labels).tolist())
    return _numbers("y", labels.ravel().tolist(), classes, "classes has").reshape(labels.shape), classes


def recode(name: str, numbers: Array, classes: Classes | None, wanted: Classes) -> Array:
    """Return numbers of ``classes`` (``None``: of themselves) as numbers of the classes of training."""
    labelled = numbers != UNLABELLED
    present = np.unique(numbers[labelled])
    labels = [int(number) if classes is None else classes[number] for number in present]
    renumbered = np.full(numbers.shape, UNLABELLED, dtype=np.int32)
    places = np.searchsorted(present, numbers[labelled])
    renumbered[labelled] = _numbers(f"{name}.y", labels, wanted, "train has")[places]
    return renumbered


def _numbers(name: str, labels: Sequence[Any], classes: Classes, known: str) -> Array:
    """The place of each label among the classes."""
    places = {(type(label), label): place for place, label in enumerate(classes)}
    for label in labels:
        if (type(label), label) not in places:
            raise ValueError(f"{name} must hold classes that {known}, got class {label!r}.")
    return np.array([places[type(label), label] for label in labels], dtype=np.int32)
