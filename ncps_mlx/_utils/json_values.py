"""Values of knobs: as JSON holds them, and as a short text.

A wiring is held as its ``config``, so that a record is readable without the class that made it.
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

__all__ = ["CONSTRUCTORS", "as_config", "label", "plain"]

CONSTRUCTORS: dict[str, type] = {}
"""Classes whose configuration is shown as the call that makes it, by name."""


@functools.singledispatch
def as_config(value: Any) -> Any:
    """Return the configuration of an object that has one; each class registers how. Other values stay."""
    return value


def plain(name: str, value: Any) -> Any:
    """Bring a knob's value to what JSON can hold: None, bool, int, finite float, str, or tuples or mappings of them.

    A wiring becomes its ``config``; a mapping is sorted by its keys.

    Raises:
        ValueError: It cannot be written down, such as a function.

    Example:
        >>> from ncps_mlx import FullyConnected
        >>> plain("hidden_size", np.int64(16))
        16
        >>> plain("wiring", FullyConnected(7, seed=3))
        {'name': 'FullyConnected', 'output_size': 7, 'seed': 3, 'self_connections': True, 'units': 7}
        >>> plain("initializer", print)
        Traceback (most recent call last):
        ...
        ValueError: initializer must be None, a bool, a finite number, a str, or a tuple or mapping of them, got ...
    """
    value = as_config(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return tuple(plain(name, item) for item in value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(name, value[key]) for key in sorted(value)}
    if (
        value is None
        or isinstance(value, bool | int | str)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    raise ValueError(
        f"{name} must be None, a bool, a finite number, a str, or a tuple or mapping of them, got {value!r}. "
        "A record can hold nothing else."
    )


def label(value: Any) -> str:
    """Write a knob's value briefly, different values differently.

    A wiring is written as the call that makes it, with the arguments that are not its defaults; of a circuit's
    matrices a digest stands for each.

    Example:
        >>> from ncps_mlx import AutoNCP
        >>> label(plain("wiring", AutoNCP(19, 4, seed=7)))
        'AutoNCP(19, 4, seed=7)'
        >>> label({"slope": (3.0, 8.0)}), label(None), label("tanh")
        ("{'slope': (3.0, 8.0)}", 'None', 'tanh')
    """
    if as_config(value) is not value:
        value = plain("wiring", value)
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
            texts.append(f"{name}={_short(given[name])}" if keyword else _short(given[name]))
        elif not _is_default(kind, name, item.default, given):
            texts.append(f"{name}={_short(given[name])}")
    return f"{value['name']}({', '.join(texts)})"


def _is_default(kind: Any, name: str, default: Any, given: Mapping[str, Any]) -> bool:
    """Whether a wiring's argument is what leaving it out would give."""
    if given[name] == default:
        return True
    if default is not None:
        return False
    without = {key: item for key, item in given.items() if key != name}
    return bool(plain(name, getattr(kind(**without), name)) == given[name])


def _short(value: Any) -> str:
    """Write an argument; a long one as a digest."""
    text = json.dumps(value) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 24 else hashlib.sha256(text.encode()).hexdigest()[:8]
