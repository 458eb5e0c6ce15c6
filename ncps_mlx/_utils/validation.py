"""Validators of arguments: each ValueError names the argument, the rule and the value."""

from __future__ import annotations

import difflib
import itertools
import math
import numbers
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "LARGEST",
    "LARGEST_SEED",
    "MOST",
    "MOST_SEEDS",
    "as_float",
    "check_choice",
    "check_flag",
    "check_int",
    "check_mapping",
    "check_names",
    "check_number",
    "check_path",
    "check_seeds",
    "check_text",
    "did_you_mean",
]

LONGEST_NAME = 255  # bytes of a file's name, on every system in use
MOST = 10_000_000
"""The most that is counted of anything that lies in memory: steps, sequences, readings."""
MOST_SEEDS = 10_000
"""The most seeds of one configuration."""
LARGEST_SEED = 2**64 - 1
"""The largest seed that MLX's generator takes."""
LARGEST = 3.4e38
"""The largest number, but for a few digits, of single precision."""


def check_int(name: str, value: Any, *, minimum: int = 1, maximum: int | None = None) -> int:
    """Return ``value`` as an int from ``minimum`` to ``maximum``.

    NumPy integers are accepted (searches produce them); booleans and floats are not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an integer, got {value!r}.")
    number = int(value)
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}.")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {value}.")
    return number


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return ``value`` as a finite float between ``low`` and ``high``, open ends excluded."""
    number = as_float(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value!r:.80}.")
    below = number <= low if open_low else number < low
    above = number >= high if open_high else number > high
    if below or above:
        rules = []
        if low > -math.inf:
            rules.append(f"{'above' if open_low else 'at least'} {low:g}")
        if high < math.inf:
            rules.append(f"{'below' if open_high else 'at most'} {high:g}")
        raise ValueError(f"{name} must be {' and '.join(rules)}, got {value}.")
    return number


def as_float(value: Any) -> float | None:
    """Return a number as a float, infinite if it is an int too large for one; ``None`` if it is no number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return value


def check_text(name: str, value: Any) -> str:
    """Return ``value`` if it is a string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {value!r:.80}.")
    return value


def check_path(name: str, value: Any) -> Path:
    """Return the path of a file."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise ValueError(f"{name} must name a file, got {value!r:.80}.")
    text = os.fspath(value)
    if not text or "\0" in text or len(Path(text).name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name} must name a file, by at most {LONGEST_NAME} characters, got {value!r:.80}.")
    return Path(text)


def check_names(name: str, value: Any, what: str) -> list[str]:
    """Return a sequence of different strings, names of ``what``, as a list."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} must be a list of names of {what}, got {value!r:.80}.")
    if len(set(value)) < len(value):
        raise ValueError(f"{name} must be different names, got {list(value)!r:.80}.")
    return list(value)


def check_seeds(seeds: Any) -> list[int]:
    """Return seeds as a list of integers."""
    if not isinstance(seeds, Iterable) or isinstance(seeds, str | bytes):
        raise ValueError(f"seeds must be a sequence of integers, got {seeds!r:.80}.")
    given = list(itertools.islice(seeds, MOST_SEEDS + 1))
    if len(given) > MOST_SEEDS:
        raise ValueError(f"seeds must be at most {MOST_SEEDS}, got more.")
    return [check_int("seeds", seed, minimum=0, maximum=LARGEST_SEED) for seed in given]


def check_mapping(name: str, value: Any, what: str) -> dict[str, Any]:
    """Return a mapping of names to ``what`` as a dictionary; ``None`` is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must map names to {what}, got {value!r:.80}.")
    return dict(value)


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the end of an error, if a known name is like the one that was given; else nothing."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""
