"""Initial parameters: Xavier by default, or any callable of ``mlx.nn.init``; and their seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn.init as init

from ncps_mlx._utils.validation import LARGEST_SEED, check_choice, check_int

__all__ = ["INITIALIZERS", "Initializer", "get_initializer", "seeded"]

Initializer = Callable[[mx.array], mx.array]
"""From an array of a parameter's shape to its initial values."""

LARGEST_ORTHOGONAL = 2**12
"""The longest side of an orthogonal matrix, which takes time by its third power."""


def orthogonal() -> Initializer:
    """MLX's initializer, for matrices that it can make in seconds."""
    make: Any = init.orthogonal()

    def initializer(array: mx.array) -> mx.array:
        if max(array.shape) > LARGEST_ORTHOGONAL:
            raise ValueError(
                f"initializer must not be 'orthogonal' (as recurrent weights of mixed memory are by default) for sizes "
                f"above {LARGEST_ORTHOGONAL}, got a matrix of shape {array.shape}. Choose another initializer."
            )
        values: mx.array = make(array)
        return values

    return initializer


INITIALIZERS: dict[str, Callable[[], Any]] = {
    "glorot_uniform": init.glorot_uniform,
    "glorot_normal": init.glorot_normal,
    "he_uniform": init.he_uniform,
    "he_normal": init.he_normal,
    "orthogonal": orthogonal,
    "normal": init.normal,
    "uniform": init.uniform,
}
"""Functions that make an initializer, by their names in MLX."""


def get_initializer(initializer: str | Initializer | None) -> Initializer:
    """Turn a model's argument ``initializer`` into a callable; ``None`` means Xavier (Glorot) uniform."""
    if initializer is None:
        return get_initializer("glorot_uniform")
    if isinstance(initializer, str):
        named: Initializer = INITIALIZERS[check_choice("initializer", initializer, INITIALIZERS)]()
        return named
    given: Any = initializer
    if not callable(given) or isinstance(given, type):
        raise ValueError(f"initializer must be a name or a callable of mlx.nn.init, got {initializer!r}.")
    return partial(_checked, initializer)


def _checked(initializer: Initializer, array: mx.array) -> mx.array:
    """The values of a user's callable, if they fit."""
    values: Any = initializer(array)
    if not isinstance(values, mx.array) or values.shape != array.shape:
        got = f"shape {values.shape}" if isinstance(values, mx.array) else type(values).__name__
        raise ValueError(
            f"initializer must return an array of the shape it is given, {array.shape}, got {got}."
        )
    return values


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from MLX's global stream as if seeded with ``seed``, then restore it; ``None`` just draws from it."""
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
