"""The child that trains a CfC as public ports to MLX are built: modules called step by step, one model after another.

Two designs, written anew: slices of the input in a Python loop, input and state joined at each step, a module for each
layer, the step of ``mlx.nn`` and ``mlx.optimizers``. ``full`` computes what ncps does; ``lean`` has no tanh in its
heads, so it computes less. Both have the same OpenBLAS as this library.
:mod:`tests.bench.published` times them against the published code.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers

from ncps_mlx._runtime.blas import blas_name  # gives MLX its BLAS, too
from tests.bench.child import Case, serve
from tests.bench.peers import PEERS


class Full(nn.Module):
    """One time step: a backbone, and four heads of it; functions between the layers."""

    def __init__(self, inputs: int, hidden: int, backbone: int) -> None:
        super().__init__()
        self.trunk = [nn.Linear(inputs + hidden, backbone)]
        self.first, self.second, self.slope, self.offset = (nn.Linear(backbone, hidden) for _ in range(4))

    def __call__(self, x: mx.array, state: mx.array, elapsed: float) -> mx.array:
        span = mx.expand_dims(mx.expand_dims(mx.array(elapsed, dtype=x.dtype), axis=0), axis=-1)
        features = mx.concatenate([x, state], axis=-1)
        for layer in self.trunk:
            features = 1.7159 * mx.tanh(0.6667 * layer(features))
        first, second = mx.tanh(self.first(features)), mx.tanh(self.second(features))
        share = mx.sigmoid(self.slope(features) * span + self.offset(features))
        return first * (1.0 - share) + share * second


class LeCunTanh(nn.Module):
    """The scaled tanh, as a module that holds one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Tanh()

    def __call__(self, x: mx.array) -> mx.array:
        return mx.multiply(1.7159, self.inner(mx.multiply(0.666, x)))


class Lean(nn.Module):
    """The same with modules between the layers, two products written out, and no tanh in the heads."""

    def __init__(self, inputs: int, hidden: int, backbone: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs + hidden, backbone), LeCunTanh())
        self.first, self.second, self.slope, self.offset = (nn.Linear(backbone, hidden) for _ in range(4))
        self.gate = nn.Sigmoid()

    def head(self, layer: nn.Linear, x: mx.array) -> mx.array:
        return mx.add(mx.matmul(x, mx.transpose(layer.weight)), layer.bias)

    def __call__(self, x: mx.array, state: mx.array, elapsed: float) -> mx.array:
        features = self.trunk(mx.concatenate([x, state], axis=1))
        first, second = self.head(self.first, features), self.head(self.second, features)
        slope, offset = self.slope(features), self.offset(features)
        span = mx.reshape(mx.reshape(mx.array(elapsed, dtype=mx.float32), (1,)), (-1, 1))
        share = self.gate(mx.add(mx.negative(mx.multiply(slope, span)), offset))
        return mx.add(mx.multiply(first, mx.subtract(1.0, share)), mx.multiply(share, second))


SIZE = ("inputs", "hidden", "backbone", "steps", "batch")
CELLS = {"full": Full, "lean": Lean}


class CfC(nn.Module):
    """A cell along a sequence, and a linear readout of the last state."""

    def __init__(self, cell: nn.Module, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cell = cell
        self.readout = nn.Linear(hidden, 1)

    def __call__(self, x: mx.array) -> tuple[mx.array, mx.array]:
        batch, steps, _ = x.shape
        state = mx.zeros((batch, self.hidden))
        for t in range(steps):
            state = self.cell(x[:, t, :], state, 1.0)
        return self.readout(state), state


def step(*, folder: str, design: str) -> Case:
    """The step of the copy, at the size of a model that the benchmark trains."""
    size = json.loads((Path(folder) / "model.json").read_text())
    return copied(design=design, **{name: size[name] for name in SIZE})


def copied(*, design: str, inputs: int, hidden: int, backbone: int, steps: int, batch: int) -> Case:
    """The step of the copy."""
    return trained(CfC(CELLS[design](inputs, hidden, backbone), hidden), inputs, steps, batch)


def published(
    *, design: str, folder: str, inputs: int, hidden: int, backbone: int, steps: int, batch: int
) -> Case:
    """The step of the published code, which lies in a folder."""
    peer = PEERS[design]
    sys.path.insert(0, folder)
    cls = importlib.import_module(peer.module).CfC
    given = {"backbone_units": backbone, "return_sequences": False, peer.output: 1}
    return trained(cls(inputs, hidden, **given), inputs, steps, batch)


def trained(model: nn.Module, inputs: int, steps: int, batch: int) -> Case:
    """Adam on the mean squared error of the last step's output."""
    optimizer = mlx.optimizers.Adam(1e-3)
    x, y = mx.random.normal((batch, steps, inputs)), mx.random.normal((batch, 1))
    mx.eval(model.parameters(), x, y)

    def loss(model: Any, x: mx.array, y: mx.array) -> mx.array:
        return mx.mean((model(x)[0] - y) ** 2)

    gradient = nn.value_and_grad(model, loss)

    def run(count: int) -> None:
        for _ in range(count):
            _, gradients = gradient(model, x, y)
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)

    return Case(run)


def facts() -> dict[str, Any]:
    """The versions that this library must run with too."""
    return {"mlx": importlib.metadata.version("mlx"), "BLAS": blas_name()}


if __name__ == "__main__":
    serve({"step": step, "copied": copied, "published": published}, facts)
