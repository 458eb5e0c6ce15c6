"""Whether layers run in C: where it is allowed, and a count of those that did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import mlx.core as mx

from ncps_mlx._kernels.native._compile import compiled
from ncps_mlx._kernels.tanh import chosen_tanh, current_tanh, tanh_implementation

__all__ = [
    "OFF",
    "about_native",
    "calls",
    "current_native",
    "is_native_on",
    "native_layers",
    "training_kernels",
]

OFF = "off"

calls: Counter[str] = Counter()
"""Layers that ran in C in this process, by name and direction, such as ``"cfc forward"``."""

_allowed: ContextVar[bool | None] = ContextVar("native", default=None)


@contextmanager
def native_layers(allowed: bool) -> Iterator[None]:
    """Allow layers in C inside the ``with`` block, or forbid them.

    Elsewhere they are allowed unless a tanh other than theirs, the rational one, is chosen.
    """
    token = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(token)


@contextmanager
def training_kernels() -> Iterator[None]:
    """Compute layers as training does: in C if they may, and with the tanh that is fastest there if none is chosen."""
    with native_layers(is_native_on()), tanh_implementation(current_tanh()):
        yield


def is_native_on() -> bool:
    """Whether layers that C covers would run in C now."""
    allowed = _allowed.get()
    if allowed is None:
        allowed = chosen_tanh() in ("auto", "rational")
    return allowed and mx.default_device() == mx.Device(mx.cpu) and compiled().functions is not None


def about_native() -> str:
    """What :func:`current_native` says, and why."""
    if mx.default_device() != mx.Device(mx.cpu):
        return f"{OFF} (they are for a CPU)"
    if compiled().functions is not None and not is_native_on():
        return f"{OFF} (another tanh is chosen)"
    return f"{current_native()} ({compiled().about})"


def current_native() -> str:
    """What names the compiled layers, to the bit; ``"off"`` if none would run."""
    return compiled().build_id if is_native_on() else OFF
