"""Values that look wrong and are right after all, each with its reason."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from typing import Any

import numpy as np

from tests.fuzz.calls import Call

__all__ = ["ACCEPTED", "reason"]

Test = Callable[[Any], bool]


def natural(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 0


def number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def finite(value: Any) -> bool:
    return number(value) and abs(value) < 1e308 and math.isfinite(value)


def share(value: Any) -> bool:
    return number(value) and 0 <= value <= 1


def text(value: Any) -> bool:
    return isinstance(value, str)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def none(value: Any) -> bool:
    return value is None


def numbers_inside(value: Any) -> bool:
    """Whether all that a value holds is numbers, NaN among them, or texts that name them."""
    if isinstance(value, Mapping):
        return all(map(numbers_inside, value.values()))
    if isinstance(value, np.ma.MaskedArray):
        return False
    if hasattr(value, "tolist"):
        return numbers_inside(value.tolist())
    if isinstance(value, list | tuple):
        return all(map(numbers_inside, value))
    return number(value) or isinstance(value, str)


ACCEPTED: list[tuple[str, str, Test, str]] = [
    ("*", "seed", natural, "a seed is any integer from 0"),
]
"""Patterns of function and argument, a test of the value, and why such a value is right."""


def reason(call: Call) -> str | None:
    """Why a call may be accepted; ``None`` if it may not."""
    name, _, part = call.argument.partition("/")
    for functions, arguments, test, why in ACCEPTED:
        named = fnmatch(call.argument, arguments) or fnmatch(part or name, arguments)
        if fnmatch(call.target.name, functions) and named and test(call.value):
            return why
    return None
