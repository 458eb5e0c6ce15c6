"""The activations a backbone (and an LTC's gate) can have, with the least value each can take."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

__all__ = [
    "ACTIVATIONS",
    "DERIVATIVES",
    "LOWER_BOUNDS",
    "lecun_tanh",
    "sigmoid",
    "softplus",
    "softplus_inverse",
]

LECUN = (0.666, 1.7159)  # inside and outside of the tanh


def lecun_tanh(x: mx.array) -> mx.array:
    """1.7159 tanh(0.666 x): a tanh whose output keeps unit variance.

    Source: LeCun et al., "Efficient BackProp", 1998; the constants are those of ncps.

    Example:
        >>> import mlx.core as mx
        >>> lecun_tanh(mx.array(0.0)).item()
        0.0
    """
    return LECUN[1] * mx.tanh(LECUN[0] * x)


def sigmoid(x: mx.array) -> mx.array:
    """The logistic function by way of tanh, which costs less than exp on MLX's CPU backend.

    Example:
        >>> import mlx.core as mx
        >>> sigmoid(mx.array(0.0)).item()
        0.5
    """
    return 0.5 * mx.tanh(0.5 * x) + 0.5


def softplus(x: mx.array) -> mx.array:
    """log(1 + exp(x)): positive for every x.

    Example:
        >>> import mlx.core as mx
        >>> round(softplus(mx.array(0.0)).item(), 4)
        0.6931
    """
    return mx.logaddexp(x, mx.zeros_like(x))


def softplus_inverse(y: mx.array) -> mx.array:
    """The x whose softplus is y, for positive y.

    Example:
        >>> import mlx.core as mx
        >>> round(softplus_inverse(softplus(mx.array(0.3))).item(), 4)
        0.3
    """
    return y + mx.log(-mx.expm1(-y))


ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "lecun_tanh": lecun_tanh,
    "tanh": mx.tanh,
    "relu": nn.relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "sigmoid": sigmoid,
}
"""The activation functions by the names that models take."""

LOWER_BOUNDS: dict[str, float] = {
    "lecun_tanh": -1.7159,
    "tanh": -1.0,
    "relu": 0.0,
    "gelu": -0.17,
    "silu": -0.2785,
    "sigmoid": 0.0,
}
"""The least value of each activation: what an LTC's leak must outweigh to stay stable."""

DERIVATIVES: dict[str, Callable[[mx.array], mx.array]] = {
    "lecun_tanh": lambda y: 0.666 * (1.7159 - y * y / 1.7159),
    "tanh": lambda y: 1.0 - y * y,
    "relu": lambda y: (y > 0).astype(y.dtype),
    "sigmoid": lambda y: y * (1.0 - y),
}
"""Derivatives by the activation's own value, of those that have one."""
