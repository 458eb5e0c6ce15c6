"""Values of hyperparameters, as JSON and as a short text.

A wiring is kept as its ``config``, so that a record can be read without the class that made it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["CONSTRUCTORS", "as_config", "format_value", "to_json_value"]

CONSTRUCTORS: dict[str, type] = {}
"""By name, the classes whose configuration is written as the call that makes it."""


@functools.singledispatch
def as_config(value: Any) -> Any:
    """Return an object's configuration, as its class registered it; any other value as it is."""
    return value


def to_json_value(name: str, value: Any) -> Any:
    """Convert a hyperparameter's value to None, bool, int, finite float, str, or tuples or mappings of them.

    A wiring becomes its ``config``; a mapping is sorted by its keys. Anything else, such as a function, is refused.
    """
    value = as_config(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return tuple(to_json_value(name, item) for item in value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_json_value(name, value[key]) for key in sorted(value)}
    if (
        value is None
        or isinstance(value, bool | int | str)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    cure = " Name a loss of your own: 'module:function'." if name == "loss" and callable(value) else ""
    raise ValueError(
        f"{name} must be None, a bool, a finite number, a str, or a tuple or mapping of them, got {value!r}. "
        f"A record can hold nothing else.{cure}"
    )


def format_value(value: Any) -> str:
    """Write a hyperparameter's value briefly, different values differently.

    A wiring is written as the call that makes it, without arguments at their defaults; a digest stands for a matrix.
    """
    if as_config(value) is not value:
        value = to_json_value("wiring", value)
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return str(value)
    given = {key: item for key, item in value.items() if key != "name"}
    kind = CONSTRUCTORS.get(value["name"])
    known: Mapping[str, inspect.Parameter] = {} if kind is None else inspect.signature(kind).parameters
    texts = []
    for name in [*(name for name in known if name in given), *(name for name in given if name not in known)]:
        item = known.get(name)
        if item is None or item.default is inspect.Parameter.empty:
            keyword = item is None or item.kind is inspect.Parameter.KEYWORD_ONLY
            texts.append(f"{name}={_format_argument(given[name])}" if keyword else _format_argument(given[name]))
        elif not _is_default(kind, name, item.default, given):
            texts.append(f"{name}={_format_argument(given[name])}")
    return f"{value['name']}({', '.join(texts)})"


def _is_default(kind: Any, name: str, default: Any, given: Mapping[str, Any]) -> bool:
    """Whether leaving a wiring's argument out would give the same value."""
    if given[name] == default:
        return True
    if default is not None:
        return False
    without = {key: item for key, item in given.items() if key != name}
    return bool(to_json_value(name, getattr(kind(**without), name)) == given[name])


def _format_argument(value: Any) -> str:
    """Write an argument, or a digest if it is long."""
    text = json.dumps(value) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 24 else hashlib.sha256(text.encode()).hexdigest()[:8]
