"""N models of one shape as one: parameters stacked along a leading axis, each member exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_map

from ncps_mlx._kernels.custom_vjp import no_grad
from ncps_mlx._kernels.tanh import current_tanh, tanh_implementation
from ncps_mlx.data._split import Split
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.training._parameter_matrix import leaves
from ncps_mlx.training._time_steps import Clock

__all__ = [
    "as_arrays",
    "as_models",
    "predict_first",
    "predict_population",
    "rescale",
    "shell",
    "stack",
    "unstack",
]

CHUNK = 512  # sequences predicted at once; bounds memory

NO_SHAPE = {
    "seed",
    "initializer",
    "initial_ranges",
    "backbone_dropout",
}  # what models of one shape may differ in


def as_models(model: object) -> list[RecurrentModel]:
    """A model or a sequence of models as a list.

    Raises:
        ValueError: It is something else, or empty.

    Example:
        >>> from ncps_mlx import CfC
        >>> len(as_models(CfC(3, 11)))
        1
    """
    if isinstance(model, RecurrentModel):
        return [model]
    if not isinstance(model, Iterable) or isinstance(model, nn.Module | str):
        raise ValueError(f"model must be a CfC or an LTC, or a sequence of them, got {type(model).__name__}.")
    models = list(model)
    for i, each in enumerate(models):
        if not isinstance(each, RecurrentModel):
            raise ValueError(f"model[{i}] must be a CfC or an LTC, got {type(each).__name__}.")
    if not models:
        raise ValueError("model must be a model or a non-empty sequence of models, got none.")
    return models


def stack(models: Sequence[RecurrentModel]) -> Any:
    """The parameters of models of one shape, each array (N, ...).

    Raises:
        ValueError: The models have different shapes.

    Example:
        >>> from ncps_mlx import CfC
        >>> stack([CfC(3, 11, seed=0), CfC(3, 11, seed=1)])["layers"][0]["backbone"]["bias"].shape
        (2, 128)
    """
    first = models[0].config
    for i, model in enumerate(models):
        config = model.config
        differing = sorted(name for name in {*first} - NO_SHAPE if config.get(name) != first[name])
        if type(model) is not type(models[0]) or differing:
            what = ", ".join(differing) or "its class"
            raise ValueError(
                f"model[{i}] must have the shape of model[0], got another {what}; fit them one after another."
            )
    trees = [model.parameters() for model in models]
    return tree_map(lambda *arrays: mx.stack(list(arrays)), trees[0], *trees[1:])


def unstack(models: Sequence[RecurrentModel], parameters: Any) -> None:
    """Give each model its member's parameters."""
    for i, model in enumerate(models):
        model.update(tree_map(lambda array, i=i: mx.contiguous(array[i]), parameters))
        mx.eval(model.parameters())


def rescale(parameters: Any, factors: Sequence[float]) -> Any:
    """Multiply each member's weight matrices by its factor: what an initializer filled, not biases and the like.

    Args:
        parameters: Each array (N, ...).
        factors: N of them; those that are 1 leave every bit.

    Example:
        >>> tree = {"weight": mx.ones((2, 1, 1)), "bias": mx.ones((2, 1))}
        >>> {name: array.flatten().tolist() for name, array in rescale(tree, [1.0, 0.5]).items()}
        {'weight': [1.0, 0.5], 'bias': [1.0, 1.0]}
    """
    if all(factor == 1.0 for factor in factors):
        return parameters
    each = mx.array(list(factors))

    def scaled(array: mx.array) -> mx.array:
        matrices = array.ndim > 2
        return array * each.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype) if matrices else array

    return tree_map(scaled, parameters)


def shell(model: RecurrentModel) -> RecurrentModel:
    """A twin of the model to hold a population's parameters."""
    return type(model)(**{**model.config, "seed": 0})


def as_arrays(split: Split) -> tuple[mx.array, mx.array, mx.array | None]:
    """The inputs, targets and mask of a split, on MLX's device; a ``Clock`` has its time steps."""
    return mx.array(split.x), mx.array(split.y), None if split.mask is None else mx.array(split.mask)


def predict_population(
    model: RecurrentModel, parameters: Any, split: Split, clock: Clock, at_once: int
) -> npt.NDArray[np.float32]:
    """What each member predicts, without dropout: (N, n, O), or (N, n, T, O) for every step.

    Args:
        model: A model of their shape, whose parameters are replaced.
        parameters: Theirs, each array (N, ...).
        split: The sequences.
        clock: The split's time steps as each member reads them.
        at_once: How many members to compute together.
    """
    members = leaves(parameters)[0].shape[0]
    groups = []
    for first in range(0, members, at_once):
        group = slice(first, first + at_once)
        theirs = tree_map(lambda array, group=group: array[group], parameters)
        groups.append(predict_group(model, theirs, split, clock, group))
    return groups[0] if len(groups) == 1 else np.concatenate(groups)


def predict_first(model: RecurrentModel, parameters: Any, split: Split, clock: Clock) -> mx.array:
    """What the first member alone predicts: to measure what each one takes."""
    first = tree_map(lambda array: array[:1], parameters)
    return mx.array(predict_group(model, first, split, clock, slice(1)))


def predict_group(
    model: RecurrentModel, parameters: Any, split: Split, clock: Clock, group: slice
) -> npt.NDArray[np.float32]:
    """As :func:`predict_population`, all members of a group at once."""
    model.update(parameters)
    members = leaves(parameters)[0].shape[0]
    x, _, mask = as_arrays(split)
    chunks = []
    for start in range(0, len(split), CHUNK):
        rows = slice(start, start + CHUNK)

        def each(array: mx.array, rows: slice = rows) -> mx.array:
            part = array[rows]
            return mx.broadcast_to(part, (members, *part.shape))

        time_delta = clock.chunk(rows, group)
        with no_grad(), tanh_implementation(current_tanh()):
            y, _ = model.forward(
                each(x), None, 1.0 if time_delta is None else time_delta, None if mask is None else each(mask)
            )
        chunks.append(np.array(y))
    return np.concatenate(chunks, axis=1)
