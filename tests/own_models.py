"""Modules of a user's own, as the how-to page describes them: what tests and workers import by ``"module:Class"``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx import LTC, CfC
from ncps_mlx.cells._initializers import seeded
from ncps_mlx.training import Conv1d


class Net(nn.Module):
    """A convolution, a CfC, a readout: the page's model."""

    def __init__(self, input_size: int, output_size: int, *, channels: int = 4, hidden: int = 8) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(input_size, channels, 3, padding=1)
        self.cell = CfC(channels, hidden, backbone_units=8, return_sequences=False)
        self.readout = nn.Linear(hidden, output_size)

    def __call__(self, x: mx.array, *, time_delta: mx.array | None = None) -> mx.array:
        h, _ = self.cell(nn.relu(self.convolution(x)), time_delta=time_delta)
        return self.readout(h)


class Small(nn.Module):
    """A GRU that takes whether sequences are wanted, with dropout."""

    def __init__(
        self, input_size: int, output_size: int, *, width: int = 4, dropout: float = 0.0, return_sequences: bool = False
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(input_size, width)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(width, output_size)
        self.sequences = return_sequences

    def __call__(self, x: mx.array, *, mask: Any = None) -> tuple[mx.array, None]:
        if mask is not None:
            x = x * mask[..., None]
        h = self.dropout(self.gru(x))
        return self.readout(h if self.sequences else h[:, -1]), None


class Around(nn.Module):
    """A layer, or a function, between two linear layers; the gap is an input."""

    def __init__(self, layer: nn.Module | None = None, function: Callable[[mx.array], mx.array] | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 1)
        self.layer: Any = layer
        self.function = function

    def __call__(self, x: mx.array, *, time_delta: mx.array) -> mx.array:
        h: Any = self.first(mx.concatenate([x, mx.log1p(time_delta)[..., None]], axis=-1))
        if self.layer is not None:
            h = self.layer(h)
        h = h[0] if isinstance(h, tuple) else h
        if self.function is not None:
            h = self.function(h)
        return self.last(mx.cumsum(h, axis=1)[:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiHeadAttention(8, 2)

    def __call__(self, x: mx.array) -> mx.array:
        y: mx.array = self.attention(x, x, x)
        return y


class Encoder(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(1, 8, 2, 16, dropout)

    def __call__(self, x: mx.array) -> mx.array:
        y: mx.array = self.encoder(x, None)
        return y


class Signs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 8)

    def __call__(self, x: mx.array) -> mx.array:
        y: mx.array = self.embedding(mx.stop_gradient(x[..., 0] > 0).astype(mx.int32))
        return x + y


def adds_at(h: mx.array) -> mx.array:
    return h.at[:, 2].add(1.0) ** 2


def assigns(h: mx.array) -> mx.array:
    h = h + 0
    h[:, 1] = 2 * mx.tanh(h[:, 0])
    return h**2


def looks(h: mx.array) -> mx.array:
    return h if bool((h.sum() > 0).item()) else 2 * h


def takes(h: mx.array) -> mx.array:
    order = mx.argsort(mx.stop_gradient(h), axis=1)
    return mx.take_along_axis(h, order, axis=1) + mx.roll(mx.sort(h, axis=1), 1, 1)


def strides(h: mx.array) -> mx.array:
    return mx.pad(h[:, ::2], [(0, 0), (1, 0), (0, 0)]) + mx.softmax(h[:, :1], axis=-1)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: Around(),
    "GRU": lambda: Around(nn.GRU(8, 8)),
    "LSTM": lambda: Around(nn.LSTM(8, 8)),
    "RNN": lambda: Around(nn.RNN(8, 8)),
    "TransformerEncoder": lambda: Around(Encoder()),
    "TransformerEncoder with dropout": lambda: Around(Encoder(0.3)),
    "MultiHeadAttention": lambda: Around(Attention()),
    "LayerNorm": lambda: Around(nn.LayerNorm(8)),
    "RMSNorm": lambda: Around(nn.RMSNorm(8)),
    "GroupNorm": lambda: Around(nn.GroupNorm(2, 8)),
    "Embedding": lambda: Around(Signs()),
    "Dropout": lambda: Around(nn.Dropout(0.4)),
    "CfC": lambda: Around(CfC(8, 8, backbone_units=8)),
    "LTC": lambda: Around(LTC(8, 8, ode_unfolds=2)),
    "CfC with mixed memory": lambda: Around(CfC(8, 8, backbone_units=8, mixed_memory=True)),
    "sort, argsort, take_along_axis, roll": lambda: Around(function=takes),
    "strided slice, pad, softmax": lambda: Around(function=strides),
    "the library's Conv1d": lambda: Around(Conv1d(8, 8, 3, stride=2, padding=2, dilation=2)),
    "Conv1d": lambda: Around(nn.Conv1d(8, 8, 3, padding=1)),
    "Conv1d and CfC": lambda: Net(1, 1),
    "dilated Conv1d": lambda: Around(nn.Conv1d(8, 8, 3, padding=2, dilation=2)),
    "at[].add": lambda: Around(function=adds_at),
    "slice assignment": lambda: Around(function=assigns),
    ".item()": lambda: Around(function=looks),
}
"""A model of each, drawn from MLX's global stream."""


def build(name: str, seed: int) -> nn.Module:
    with seeded(seed):
        return LAYERS[name]()
