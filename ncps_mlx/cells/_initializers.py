"""Initial parameters: Xavier by default, any callable of ``mlx.nn.init`` on request, one seed for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn.init as init

from ncps_mlx._utils.validation import check_choice, check_int

__all__ = ["INITIALIZERS", "Initializer", "LARGEST_SEED", "get_initializer", "seeded"]

LARGEST_SEED = 2**64 - 1
"""Of MLX's generator."""

Initializer = Callable[[mx.array], mx.array]
"""What makes a parameter: takes an array for its shape, returns the values."""

INITIALIZERS: dict[str, Callable[[], Any]] = {
    "glorot_uniform": init.glorot_uniform,
    "glorot_normal": init.glorot_normal,
    "he_uniform": init.he_uniform,
    "he_normal": init.he_normal,
    "orthogonal": init.orthogonal,
    "normal": init.normal,
    "uniform": init.uniform,
}
"""Makers of initializers, by the names that MLX gives them."""


def get_initializer(initializer: str | Initializer | None) -> Initializer:
    """Turn the argument ``initializer`` into a callable.

    Args:
        initializer: ``None`` for Xavier (Glorot) uniform, a name of ``mlx.nn.init``, or one of its callables,
            such as ``mlx.nn.init.normal(0.0, 0.1)``. A name can be stored in a record; a callable cannot.

    Raises:
        ValueError: An unknown name, or not callable.

    Example:
        >>> import mlx.core as mx
        >>> get_initializer("he_normal")(mx.zeros((4, 3))).shape
        (4, 3)
    """
    if initializer is None:
        return get_initializer("glorot_uniform")
    if isinstance(initializer, str):
        made: Initializer = INITIALIZERS[check_choice("initializer", initializer, INITIALIZERS)]()
        return made
    if not callable(initializer):
        raise ValueError(f"initializer must be a name or a callable of mlx.nn.init, got {initializer!r}.")
    return partial(_filled, initializer)


def _filled(initializer: Initializer, array: mx.array) -> mx.array:
    """What a callable of the user's gives, if it fits."""
    values: Any = initializer(array)
    if not isinstance(values, mx.array) or values.shape != array.shape:
        got = f"shape {values.shape}" if isinstance(values, mx.array) else type(values).__name__
        raise ValueError(
            f"initializer must return an array of the shape it is given, {array.shape}, got {got}."
        )
    return values


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from MLX's global stream as if seeded with ``seed``, then put the stream back.

    Args:
        seed: The seed; ``None`` leaves the global stream as it is, and moves it on.

    Example:
        >>> import mlx.core as mx
        >>> with seeded(0):
        ...     a = mx.random.normal()
        >>> with seeded(0):
        ...     b = mx.random.normal()
        >>> a.item() == b.item()
        True
    """
    if seed is None:
        yield
        return
    check_int("seed", seed, minimum=0, maximum=LARGEST_SEED)
    state: Any = mx.random.state
    high, low = state[0].tolist()  # a key is the two halves of the seed that makes it
    mx.random.seed(seed)
    try:
        yield
    finally:
        mx.random.seed((high << 32) | low)
