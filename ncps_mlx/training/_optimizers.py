"""Optimisation of a population: schedules, clipping and Adam, each member with its own settings."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map

from ncps_mlx._utils.validation import check_choice, check_int
from ncps_mlx.training._parameter_matrix import leaves

__all__ = ["OPTIMIZERS", "PopulationAdam", "SCHEDULES", "clip", "schedule_factors"]

OPTIMIZERS = ("adam", "adamw")
"""The optimizers that :func:`ncps_mlx.fit` takes."""
SCHEDULES = ("constant", "cosine", "exponential")
"""The schedules of the learning rate that :func:`ncps_mlx.fit` takes."""

EXPONENTIAL_END = 0.01  # what an exponential schedule has fallen to after the last step


def schedule_factors(schedule: str, steps: int, warmup_steps: int = 0) -> np.ndarray:
    """What the learning rate is multiplied by at each step (steps,), the linear warm-up included.

    ``"constant"`` is 1, ``"cosine"`` half a wave from 1 to 0, ``"exponential"`` falls from 1 to 0.01.
    """
    check_choice("schedule", schedule, SCHEDULES)
    check_int("steps", steps)
    check_int("warmup_steps", warmup_steps, minimum=0)
    if warmup_steps >= steps:
        raise ValueError(f"warmup_steps must be below the {steps} steps of training, got {warmup_steps}.")
    progress = np.arange(steps - warmup_steps) / (steps - warmup_steps)
    if schedule == "cosine":
        after = 0.5 * (1 + np.cos(math.pi * progress))
    elif schedule == "exponential":
        after = EXPONENTIAL_END**progress
    else:
        after = np.ones(steps - warmup_steps)
    return np.concatenate([np.arange(1, warmup_steps + 1) / max(warmup_steps, 1), after])


def per_member(value: mx.array, like: mx.array) -> mx.array:
    """Shape (N,) values to broadcast against a parameter (N, ...)."""
    return value.reshape(-1, *[1] * (like.ndim - 1))


def clip(gradients: Any, limits: mx.array) -> Any:
    """Scale each member's gradient (N, ...) so that its norm over all parameters is at most its limit (N,), or inf."""
    squares = [mx.sum(mx.square(g).reshape(g.shape[0], -1), axis=1) for g in leaves(gradients)]
    norm = mx.sqrt(sum(squares[1:], squares[0]))
    factor = mx.where(norm > limits, limits / norm, mx.ones_like(norm))
    return tree_map(lambda g: g * per_member(factor, g), gradients)


class PopulationAdam:
    r"""Adam with bias correction over parameters (N, ...), learning rate and weight decay per member.

    .. math:: \theta \leftarrow \theta - \eta \lambda \theta - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    With no decay :math:`\lambda` the same as ``mlx.optimizers.Adam(eta, bias_correction=True)``.

    Source: Kingma and Ba, "Adam", 2015; decoupled decay after Loshchilov and Hutter, 2019.
    """

    def __init__(
        self,
        parameters: Any,
        weight_decay: mx.array,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.first = tree_map(mx.zeros_like, parameters)
        self.second = tree_map(mx.zeros_like, parameters)
        self.weight_decay = weight_decay
        self.decays = bool(mx.any(weight_decay > 0).item())
        self.betas = betas
        self.eps = eps
        self.count = 0

    def update(self, parameters: Any, gradients: Any, learning_rate: mx.array) -> Any:
        """The parameters after one step with ``learning_rate`` (N,)."""
        self.count += 1
        b1, b2 = self.betas
        self.first = tree_map(lambda m, g: b1 * m + (1 - b1) * g, self.first, gradients)
        self.second = tree_map(lambda v, g: b2 * v + (1 - b2) * mx.square(g), self.second, gradients)
        size = learning_rate / (1 - b1**self.count)
        root = 1 / math.sqrt(1 - b2**self.count)
        kept = 1 - learning_rate * self.weight_decay

        def step(p: mx.array, m: mx.array, v: mx.array) -> mx.array:
            start = p * per_member(kept, p) if self.decays else p
            return start - per_member(size, p) * m / (mx.sqrt(v) * root + self.eps)

        return tree_map(step, parameters, self.first, self.second)

    def take(self, members: mx.array) -> None:
        """Keep only these members."""
        self.first, self.second = (tree_map(lambda a: a[members], tree) for tree in (self.first, self.second))
        self.weight_decay = self.weight_decay[members]

    def restore(self, first: Any, second: Any, count: int) -> None:
        """Go on with the moments that there were after ``count`` steps."""
        self.first, self.second, self.count = first, second, count

    @property
    def state(self) -> list[Any]:
        """What a training step must evaluate."""
        return [self.first, self.second]
