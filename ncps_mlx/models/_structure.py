"""What a module holds besides what it learns: whether two modules compute the same, whether one has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

__all__ = ["contents", "differences", "differing", "named_arrays"]


def walk(value: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Everything that a module holds, by its path: arrays, numbers, functions, and the class of each module."""
    seen = set() if seen is None else seen
    if isinstance(value, nn.Module):
        if id(value) in seen:
            return
        seen.add(id(value))
        yield path, type(value)
        for name, each in [*vars(value).items(), *value.items()]:
            if name not in ("_training", "_arguments", "time_scaler", "loss"):  # members may differ in these
                yield from walk(each, f"{path}.{name}" if path else name, seen)
    elif type(value) in (list, tuple):
        for i, each in enumerate(value):
            yield from walk(each, f"{path}.{i}", seen)
    elif type(value) is dict:
        for name, each in value.items():
            yield from walk(each, f"{path}.{name}", seen)
    else:
        yield path, value


def contents(module: nn.Module) -> dict[str, Any]:
    """What a module holds, by path."""
    return {path: set(each) if isinstance(each, set) else each for path, each in walk(module)}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The paths at which two contents of one module differ; arrays are the same if they are the same object."""
    found = set(before.keys() ^ after.keys())
    for path in before.keys() & after.keys():
        a, b = before[path], after[path]
        if a is not b and (isinstance(a, mx.array) or isinstance(b, mx.array) or not same(a, b)):
            found.add(path)
    return sorted(found)


def differing(first: nn.Module, other: nn.Module) -> list[str]:
    """Where two modules differ but for the values of their parameters: they could not be trained as one population."""
    a, b = contents(first), contents(other)
    learned = {name for name, _ in named_arrays(first.parameters())}
    found = set(a.keys() ^ b.keys())
    for path in a.keys() & b.keys():
        left, right = a[path], b[path]
        if isinstance(left, mx.array) and isinstance(right, mx.array):
            equal = left.shape == right.shape and left.dtype == right.dtype
            if not equal or (path not in learned and not mx.array_equal(left, right, equal_nan=True).item()):
                found.add(path)
        elif not same(left, right):
            found.add(path)
    return sorted(found)


def named_arrays(tree: Any) -> list[tuple[str, mx.array]]:
    """The arrays of a tree with their paths."""
    pairs: Any = tree_flatten(tree)
    return list(pairs)


def same(a: Any, b: Any) -> bool:
    """Whether two attributes mean the same: equal values, or functions of the same code over the same values."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, mx.array):
        return a.shape == b.shape and a.dtype == b.dtype and bool(mx.array_equal(a, b, equal_nan=True).item())
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, nn.Module):
        return not differing(a, b)
    if isinstance(a, MethodType):
        return a.__func__ is b.__func__
    if isinstance(a, FunctionType):
        cells = [[cell.cell_contents for cell in each.__closure__ or ()] for each in (a, b)]
        return a.__code__ == b.__code__ and same(a.__defaults__, b.__defaults__) and same(*cells)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    try:
        if bool(a == b):
            return True
    except (TypeError, ValueError):  # arrays of other kinds
        return False
    own: dict[str, Any] = getattr(a, "__dict__", {})
    return bool(own) and own.keys() == vars(b).keys() and all(same(own[name], vars(b)[name]) for name in own)
