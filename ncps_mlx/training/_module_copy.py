"""A copy of a module's structure, in which dropout follows from keys."""

from __future__ import annotations

from types import MethodType
from typing import Any

import mlx.core as mx
import mlx.nn as nn

__all__ = ["Draws", "copy_module"]


class Draws:
    """The random key of one forward pass, which each dropout layer makes its own."""

    key: mx.array | None = None
    calls: int = 0


class KeyedDropout(nn.Module):
    """``nn.Dropout`` whose mask follows from a key, so that a member of a population draws what it would draw alone."""

    def __init__(self, keep: float, place: int, draws: Draws) -> None:
        super().__init__()
        self._keep, self._place, self._draws = keep, place, draws

    def __call__(self, x: mx.array) -> mx.array:
        draws = self._draws
        if self._keep == 1 or draws.key is None:
            return x
        draws.calls += 1
        key = draws.key + mx.array([self._place, draws.calls], dtype=mx.uint32)
        return (mx.random.bernoulli(self._keep, x.shape, key=key) * x) * (1 / self._keep)


def copy_module(module: nn.Module, draws: Draws | None = None) -> Any:
    """Copy the structure of a module; arrays and functions are shared, dropout layers take the keys of ``draws``."""
    copies: dict[int, Any] = {}
    count = 0

    def copy(value: Any) -> Any:
        nonlocal count
        if id(value) in copies:
            return copies[id(value)]
        if draws is not None and type(value) is nn.Dropout:
            count += 1
            copies[id(value)] = new = KeyedDropout(value._p_1, count, draws)
            return new
        if isinstance(value, nn.Module):
            copies[id(value)] = twin = type(value).__new__(type(value))
            for name, each in vars(value).items():
                twin.__dict__[name] = set(each) if name == "_no_grad" else copy(each)
            dict.update(twin, {name: copy(each) for name, each in value.items()})
            return twin
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, copy(value.__self__))
        if type(value) is dict:
            return {name: copy(each) for name, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(copy(each) for each in value)
        return value

    return copy(module)
