"""How a module is called: with what it takes of inputs, time steps and mask; what goes wrong, said clearly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any

import mlx.core as mx
import mlx.nn as nn

__all__ = ["FAILURES", "as_predictions", "call_module", "call_names", "first_line", "module_errors"]

FAILURES = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, ArithmeticError, AssertionError)
"""What a module's own code, or MLX within it, may raise."""


def call_names(module: nn.Module) -> list[str]:
    """Which of ``time_delta`` and ``mask`` a module's call takes; refuses one that needs more than x."""
    name = type(module).__name__
    if not callable(module):
        raise ValueError(f"model must have a method __call__(self, x, *, time_delta=None, mask=None), got {name}.")
    taken = list(signature(module).parameters.values())
    optional = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    unknown = [
        item.name
        for item in taken[1:]
        if item.default is Parameter.empty
        and item.kind not in optional
        and item.name not in ("time_delta", "mask")
    ]
    if not taken or unknown:
        called = f"{name}({', '.join(item.name for item in taken)})"
        raise ValueError(f"model must be callable as model(x, time_delta=..., mask=...), got {called}.")
    every = any(item.kind is Parameter.VAR_KEYWORD for item in taken)
    named = {item.name for item in taken[1:] if item.kind is not Parameter.POSITIONAL_ONLY}
    return [each for each in ("time_delta", "mask") if every or each in named]


def call_module(
    module: nn.Module, names: Sequence[str], x: mx.array, dt: mx.array | None, mask: mx.array | None
) -> Any:
    """Call a module with what it takes of x (B, T, D), time steps and mask (B, T); padding becomes 0."""
    if mask is not None:
        x = mx.where(mask[..., None], x, 0)
        dt = None if dt is None else mx.where(mask, dt, 0)
    given = {"time_delta": dt, "mask": mask}
    return module(x, **{name: given[name] for name in names})


def as_predictions(returned: Any) -> mx.array:
    """The predictions in what a module returned: an array, or the first of a tuple."""
    y = returned[0] if isinstance(returned, tuple | list) and returned else returned
    if not isinstance(y, mx.array):
        raise ValueError(
            f"model must return predictions as an mx.array, or a tuple whose first they are, got {type(y).__name__}."
        )
    return y


@contextmanager
def module_errors(module: nn.Module, rule: str) -> Iterator[None]:
    """What a module raises within becomes one error that names it and the rule."""
    try:
        yield
    except FAILURES as error:
        raise ValueError(
            f"model must {rule}, got {type(error).__name__} from {type(module).__name__}: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error's text, not too long."""
    return (str(error).splitlines() or [""])[0][:160]
