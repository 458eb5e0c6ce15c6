"""Any ``mlx.nn.Module`` in training: a population of it by ``vmap`` where that is right, else one member at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map

from ncps_mlx._kernels.native import native_layers
from ncps_mlx.data._split import Split
from ncps_mlx.training._module_call import (
    FAILURES,
    as_predictions,
    call_module,
    call_names,
    first_line,
    module_errors,
)
from ncps_mlx.training._module_copy import Draws, copy_module
from ncps_mlx.training._parameter_matrix import leaves

__all__ = ["OwnModel", "TOLERANCE", "largest_difference", "moved_a_little", "some_sequences"]

ALONE = "alone"
VMAP_OF_GRADIENT = "vmap(grad)"  # each member's own gradient, vectorized: the bits of a lone one
GRADIENT_OF_VMAP = "grad(vmap)"  # for layers that MLX cannot vectorize otherwise, such as nn.Conv1d
ONE_BY_ONE = "one by one"

TOLERANCE = 1e-4  # of an array's largest number: float32 in another order of summation differs by less

Loss = Callable[[Any, Any, Any, Any], tuple[mx.array, mx.array]]
"""From parameters (N, ...), a batch (N, B, ...), dropout rates and keys to the sum of the losses, and each (N,)."""


class OwnModel:
    """What the trainer asks of a model, from a module of any class.

    It holds a copy of the module, which computes with the parameters of a population, (N, ...).

    Attributes:
        module: The copy.
        names: What the module's call takes besides x.
        way: How gradients of a population are computed: :meth:`choose_way`.
        together: Whether predictions of all members are computed by one ``vmap``: :meth:`choose_forward`.
    """

    has_fused_kernel = False

    def __init__(self, module: nn.Module) -> None:
        self._draws = Draws()
        self.module = copy_module(module, self._draws)
        self.names = call_names(module)
        self.way = ONE_BY_ONE
        self.together = False
        self._parameters: Any = None

    def update(self, parameters: Any) -> None:
        """Take the parameters of a population, each array (N, ...)."""
        self._parameters = parameters

    def forward(
        self,
        x: mx.array,
        state: None,  # noqa: ARG002  # as the library's models are called
        time_delta: mx.array | float | None,
        mask: mx.array | None,
        *,
        dropout_rate: mx.array | float = 0.0,  # noqa: ARG002  # a module's rates are its own
        keys: mx.array | None = None,
    ) -> tuple[mx.array, None]:
        """What the members predict (N, B, ...): with keys (N, 2) as in training, without as in evaluation."""
        dt = time_delta if isinstance(time_delta, mx.array) else None
        arguments = (self._parameters, x, dt, mask, keys)
        if self.together and len(x) > 1:
            return for_each_member(self.call, arguments), None
        outputs = []
        for i in range(len(x)):
            outputs.append(self.call(*of_member(arguments, i)))
            if len(x) > 1:
                mx.eval(outputs[-1])  # one member in memory at a time
        return mx.stack(outputs), None

    def call(
        self, parameters: Any, x: mx.array, dt: mx.array | None, mask: mx.array | None, key: mx.array | None
    ) -> mx.array:
        """What one member predicts (B, ...) from x (B, T, D)."""
        return as_predictions(self.run(parameters, x, dt, mask, key))

    def run(
        self, parameters: Any, x: mx.array, dt: mx.array | None, mask: mx.array | None, key: mx.array | None
    ) -> Any:
        """What the module returns for one member."""
        self.module.update(parameters)
        self.module.train(key is not None)
        self._draws.key, self._draws.calls = key, 0
        with native_layers(False):  # they read memory, of which there is none while MLX traces
            return call_module(self.module, self.names, x, dt, mask)

    def gradient(
        self, loss: Loss, parameters: Any, batch: Any, rates: Any, keys: Any, way: str | None = None
    ) -> tuple[mx.array, Any]:
        """Each member's loss (N,) and gradient, each array (N, ...), in the way that was chosen, or another one."""
        way = way or self.way

        def lone(parameters: Any, batch: Any, keys: Any) -> tuple[mx.array, Any]:
            def own(parameters: Any) -> tuple[mx.array, mx.array]:
                one = tree_map(lambda a: a[None] if isinstance(a, mx.array) else a, (parameters, batch, keys))
                return loss(one[0], one[1], rates, one[2])

            (_, losses), gradients = mx.value_and_grad(own)(parameters)
            return losses[0], gradients

        members = len(leaves(parameters)[0])
        if members > 1 and way == VMAP_OF_GRADIENT:
            losses, gradients = for_each_member(lone, (parameters, batch, keys))
            return losses, gradients
        if members > 1 and way == GRADIENT_OF_VMAP:
            together, self.together = self.together, True
            try:
                (_, losses), gradients = mx.value_and_grad(loss)(parameters, batch, rates, keys)
            finally:
                self.together = together
            return losses, gradients
        found = []
        for i in range(members):
            found.append(lone(*of_member((parameters, batch, keys), i)))
            if members > 1:
                mx.eval(found[-1])  # one member in memory at a time
        losses, gradients = tree_map(lambda *arrays: mx.stack(list(arrays)), found[0], *found[1:])
        return losses, gradients

    def choose_way(self, loss: Loss, parameters: Any, batch: Any, rates: Any, keys: Any) -> str | None:
        """Choose the first way whose losses and gradients equal lone ones, and say so if it is not the first of all.

        There should be few members, the first and the last of a population among them: MLX's faults leave the first
        right. Their parameters are moved a little, for where they are zero faults do not show.
        """
        with module_errors(self.module, "be differentiable with respect to its parameters"):
            moved = moved_a_little(parameters)
            want = self.gradient(loss, moved, batch, rates, keys, ONE_BY_ONE)
            if not all(np.isfinite(np.array(a)).all() for a in leaves(want)):
                moved = parameters
                want = self.gradient(loss, moved, batch, rates, keys, ONE_BY_ONE)
                mx.eval(want)
        if len(want[0]) == 1:
            self.way = ALONE
            return None
        reasons = []
        for way in (VMAP_OF_GRADIENT, GRADIENT_OF_VMAP):
            try:
                got = self.gradient(loss, moved, batch, rates, keys, way)
                error = largest_difference(got, want)
            except FAILURES as failure:
                reasons.append(f"{way} fails: {first_line(failure)}")
                continue
            if error <= TOLERANCE:
                self.way = way
                return f"{way}, right to {error:.0e}, for {'; '.join(reasons)}" if reasons else None
            reasons.append(f"{way} gives wrong gradients")
        self.way = ONE_BY_ONE
        return f"{ONE_BY_ONE}, for {'; '.join(reasons)}"

    def choose_forward(self, parameters: Any, x: mx.array, dt: mx.array | None, mask: mx.array | None) -> None:
        """Predict all members together if that gives what each predicts alone; x (b, T, D) are some sequences."""
        self.together = False
        members = len(leaves(parameters)[0])
        if members == 1:
            return
        moved = moved_a_little(parameters)

        def each(array: Any) -> Any:
            return mx.broadcast_to(array, (members, *array.shape)) if isinstance(array, mx.array) else array

        x, dt, mask = tree_map(each, (x, dt, mask))
        self.update(moved)
        want, _ = self.forward(x, None, dt, mask)
        try:
            got = for_each_member(self.call, (moved, x, dt, mask, None))
            self.together = largest_difference(got, want) <= TOLERANCE
        except FAILURES:
            self.together = False


def some_sequences(split: Split, count: int = 3) -> tuple[mx.array, mx.array | None, mx.array | None]:
    """The first sequences of a split: inputs, time steps and mask."""
    dt, mask = (None if array is None else mx.array(array[:count]) for array in (split.time_delta, split.mask))
    return mx.array(split.x[:count]), dt, mask


def for_each_member(function: Callable[..., Any], tree: Any) -> Any:
    """``function`` of each member's part of the arrays (N, ...) in a tuple, by ``vmap``; results (N, ...)."""
    arrays: list[mx.array] = []
    tree_map(lambda a: arrays.append(a) if isinstance(a, mx.array) else None, tree)

    def one(*parts: mx.array) -> Any:
        rest = iter(parts)
        return function(*tree_map(lambda a: next(rest) if isinstance(a, mx.array) else a, tree))

    return mx.vmap(one)(*arrays)


def of_member(tree: Any, i: int) -> Any:
    """One member's part of the arrays (N, ...) in a tree."""
    return tree_map(lambda a: a[i] if isinstance(a, mx.array) else a, tree)


def moved_a_little(parameters: Any) -> Any:
    """Parameters (N, ...) plus noise, each member's another."""
    keys = iter(mx.random.split(mx.random.key(0), len(leaves(parameters))))
    return tree_map(
        lambda a: a + 0.05 * mx.random.normal(a.shape, key=next(keys)).astype(a.dtype), parameters
    )


def largest_difference(got: Any, want: Any) -> float:
    """How far trees of arrays are apart, as a part of the largest number in each array; infinite if not finite."""
    pairs = [
        [np.array(each.astype(mx.float32), dtype=np.float64) for each in (a, b)]
        for a, b in zip(leaves(got), leaves(want), strict=True)
    ]
    least = 1e-3 * max(float(np.abs(b).max(initial=0)) for _, b in pairs)
    worst = 0.0
    for a, b in pairs:
        if a.shape != b.shape:
            return math.inf
        error = float(np.abs(a - b).max(initial=0)) / max(float(np.abs(b).max(initial=0)), least, 1e-30)
        worst = max(worst, error) if math.isfinite(error) else math.inf
    return worst
