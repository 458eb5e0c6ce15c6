"""Wrong values: what someone might hand in for an argument, by kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import numpy as np

__all__ = ["KINDS", "wrong_values"]

KINDS = (
    "wrong kind",
    "nan",
    "infinite",
    "zero",
    "negative",
    "2**64",
    "empty",
    "wrong length",
    "masked",
    "huge",
)

Case = tuple[str, Any]


def wrong_values(valid: Any, rng: random.Random) -> list[Case]:
    """Pairs of kind and value to hand in where ``valid`` would be right; other ones for each seed."""
    sign = rng.choice([1, -1])
    cases: list[Case] = [
        *(("wrong kind", value) for value in _other_kinds(valid, rng)),
        ("nan", float("nan")),
        ("infinite", sign * float("inf")),
        ("zero", rng.choice([0, 0.0, np.int64(0), np.float32(0)])),
        ("negative", rng.choice([-1, -rng.randint(2, 9), -rng.uniform(0.1, 9.0), -(2**31)])),
        ("2**64", rng.choice([2**64, 2**64 + rng.randint(1, 9), -(2**64), 2.0**64])),
        ("empty", rng.choice(["", [], (), {}, np.zeros(0), np.zeros((0, 3)), b""])),
        ("huge", rng.choice([10**9, 10**12, 10**18, 10**400, 1e300, "x" * 10**6])),
    ]
    cases += [(kind, make(valid, rng)) for kind, make in _INSIDE if _has_parts(valid)]
    return [case for case in cases if not _same(case[1], valid)]


def _other_kinds(valid: Any, rng: random.Random) -> list[Any]:
    """A few values of other kinds than the valid one's."""
    word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))
    pool: list[Any] = [
        *(None, True, word, word.encode(), rng.randint(2, 7), rng.uniform(1.1, 7.0), 1j, object()),
        *(
            [None],
            (word, 3),
            {word: rng.randint(1, 5)},
            {word},
            np.array([[word]]),
            np.array(["2024-01-01"], "M8[D]"),
        ),
        *(
            mx.array([1.0, 2.0]),
            np.ones((2, 3, 4)),
            lambda *_: None,
            Exception(word),
            int,
            slice(None),
            iter([1]),
        ),
    ]
    kinds = [value for value in pool if type(value) is not type(valid)]
    return rng.sample(kinds, 4)


def _has_parts(valid: Any) -> bool:
    return isinstance(valid, list | tuple | np.ndarray | Mapping) and len(valid) > 0


def _wrong_length(valid: Any, rng: random.Random) -> Any:
    """One part more, or one less, or an axis more."""
    if isinstance(valid, Mapping):
        return dict(list(valid.items())[:-1])
    if isinstance(valid, np.ndarray):
        return rng.choice([valid[:-1], valid[None], np.concatenate([valid, valid[:1]])])
    return rng.choice([valid[:-1], type(valid)((*valid, valid[0])), type(valid)([valid])])


def _with_part(part: Callable[[random.Random], Any]) -> Callable[[Any, random.Random], Any]:
    """A valid value with one part replaced."""

    def make(valid: Any, rng: random.Random) -> Any:
        value = part(rng)
        if isinstance(valid, Mapping):
            key = rng.choice(list(valid))
            inner = valid[key]
            return {**valid, key: make(inner, rng) if _has_parts(inner) else value}
        if isinstance(valid, np.ndarray):
            number = isinstance(value, float) and valid.dtype.kind in "fiu"
            changed = valid.astype(float if number else object)
            changed[np.unravel_index(rng.randrange(valid.size), valid.shape)] = value
            return changed
        changed_list = list(valid)
        at = rng.randrange(len(changed_list))
        inner = changed_list[at]
        changed_list[at] = make(inner, rng) if _has_parts(inner) else value
        return type(valid)(changed_list) if type(valid) in (list, tuple) else changed_list

    return make


def _masked(valid: Any, rng: random.Random) -> Any:
    """A masked array that hides one value."""
    try:
        values = np.asarray(next(iter(valid.values())) if isinstance(valid, Mapping) else valid, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        values = np.ones(3)
    if not values.size:
        values = np.ones(3)
    hidden = np.zeros(values.shape, bool)
    hidden.flat[rng.randrange(values.size)] = True
    array = np.ma.masked_array(values, hidden)
    return (
        {key: array if i == 0 else value for i, (key, value) in enumerate(valid.items())}
        if isinstance(valid, Mapping)
        else array
    )


_INSIDE: list[tuple[str, Callable[[Any, random.Random], Any]]] = [
    ("wrong length", _wrong_length),
    ("masked", _masked),
    ("nan", _with_part(lambda _: float("nan"))),
    ("infinite", _with_part(lambda rng: rng.choice([1, -1]) * float("inf"))),
    ("negative", _with_part(lambda rng: -rng.uniform(0.5, 9.0))),
    ("2**64", _with_part(lambda _: 2**64)),
    ("wrong kind", _with_part(lambda rng: rng.choice([None, object(), "nonsense", [1, 2]]))),
]


def _same(value: Any, valid: Any) -> bool:
    """Whether a value is the valid one after all."""
    try:
        return type(value) is type(valid) and bool(value == valid)
    except (TypeError, ValueError, RuntimeError):
        return False
