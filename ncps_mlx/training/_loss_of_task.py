"""A loss on the targets of a task: which of them count, how much, and the mean over those of each member's batch."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx.data._split import is_observed, target_weights
from ncps_mlx.data._task import Task
from ncps_mlx.losses import BUILT_IN_NAMES, CrossEntropy, Loss, Quantile, loss_of

__all__ = ["LossOfTask"]


class LossOfTask:
    """A loss (``None``: that of the kind of task) with the training targets; refuses a loss that does not fit them."""

    def __init__(self, task: Task, loss: Loss | None) -> None:
        self.loss = loss_of(loss, task.kind)
        if task.metric == "pinball" and not isinstance(self.loss, Quantile):
            raise ValueError(
                f"loss must give quantiles, as 'quantile' does, for a task scored by 'pinball', got {self.loss}."
            )
        self.is_built_in = type(self.loss) in BUILT_IN_NAMES
        self.has_classes = task.kind == "classification"
        split = task.train
        observed = is_observed(split)
        self.targets = split.y if observed.all() else np.where(observed, split.y, np.zeros_like(split.y))
        self.weights = target_weights(split)
        if isinstance(self.loss, CrossEntropy) and self.loss.class_weight is not None:
            alike = np.ones(split.y.shape, dtype=np.float32) if self.weights is None else self.weights
            self.weights = self.loss.weights(self.targets, alike, task.output_size)
        if not self.is_built_in:
            self._try(task.output_size)

    def arrays(self) -> tuple[mx.array, mx.array | None]:
        """The targets of all training sequences, 0 where not observed, and what each counts, on MLX's device."""
        return mx.array(self.targets), None if self.weights is None else mx.array(self.weights)

    def mean(self, outputs: mx.array, targets: mx.array, weights: mx.array | None) -> mx.array:
        """The mean loss (N,) over the targets (N, B, ...) of each member that count, in proportion to their weights."""
        if self.is_built_in:
            values = self.loss(outputs, targets)
        else:  # one at a time: mx.vmap gives wrong gradients of some functions
            values = mx.stack([self._values(outputs[i], targets[i]) for i in range(len(outputs))])
        if weights is not None and weights.ndim > values.ndim:  # a value for a row: it counts if all its targets do
            weights = weights.min(axis=-1)
        if not self.has_classes and values.ndim == targets.ndim and (weights is None or weights.ndim < values.ndim):
            values = values.mean(axis=-1)
        values = values.reshape(values.shape[0], -1)
        if weights is None:
            return values.mean(axis=1)
        weights = weights.reshape(values.shape)
        total = weights.sum(axis=1)
        # What does not count may be infinite or NaN, which 0 times it would be too.
        counted = values if self.is_built_in else mx.where(weights > 0, values, 0)
        return mx.sum(counted * weights, axis=1) / mx.where(total > 0, total, 1)

    def _values(self, outputs: mx.array, targets: mx.array) -> mx.array:
        values: Any = self.loss(outputs, targets)
        shapes = [targets.shape] if self.has_classes else [targets.shape, targets.shape[:-1]]
        if not isinstance(values, mx.array) or values.shape not in shapes:
            got = f"the shape {values.shape}" if isinstance(values, mx.array) else type(values).__name__
            rule = " or ".join(map(str, shapes))
            raise ValueError(
                f"loss must give a value for each target, an mx.array of the shape {rule}, got {got}. Leave the mean "
                "to the library, which applies masks and weights."
            )
        return values

    def _try(self, n_targets: int) -> None:
        """Refuse a loss whose values have the wrong shape, or are not finite for outputs as networks give them."""
        targets = self.targets[:32]
        size = self.loss.outputs(n_targets)
        shape = (*targets.shape, size) if self.has_classes else (*targets.shape[:-1], size)
        outputs: npt.NDArray[np.float32] = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        values = self._values(mx.array(outputs), mx.array(targets))
        lost = int((~np.isfinite(np.array(values))).sum())
        if lost:
            raise ValueError(
                f"loss must give finite values whatever a network puts out, got {lost} of {values.size} that are not, "
                "for outputs around 0."
            )
