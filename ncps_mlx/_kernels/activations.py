"""The activations of a backbone (and of an LTC's gate): their least values and derivatives."""

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

LECUN = (0.666, 1.7159)  # factors inside and outside the tanh


def lecun_tanh(x: mx.array) -> mx.array:
    """1.7159 tanh(0.666 x), which keeps unit variance (LeCun et al., "Efficient BackProp", 1998; constants of ncps)."""
    return LECUN[1] * mx.tanh(LECUN[0] * x)


def sigmoid(x: mx.array) -> mx.array:
    """The logistic function through tanh, which costs less than exp on MLX's CPU backend."""
    return 0.5 * mx.tanh(0.5 * x) + 0.5


def softplus(x: mx.array) -> mx.array:
    """log(1 + exp(x)): positive for every x."""
    return mx.logaddexp(x, mx.zeros_like(x))


def softplus_inverse(y: mx.array) -> mx.array:
    """The x whose softplus is y, for positive y."""
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
"""The least value of each activation, which an LTC's leak must outweigh to stay stable."""

DERIVATIVES: dict[str, Callable[[mx.array], mx.array]] = {
    "lecun_tanh": lambda y: 0.666 * (1.7159 - y * y / 1.7159),
    "tanh": lambda y: 1.0 - y * y,
    "relu": lambda y: (y > 0).astype(y.dtype),
    "sigmoid": lambda y: y * (1.0 - y),
}
"""Derivatives from the activation's own value, where they follow from it."""
