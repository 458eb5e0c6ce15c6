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
from ncps_mlx._kernels.native import training_kernels
from ncps_mlx.cells._initializers import seeded
from ncps_mlx.data._split import Split
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._structure import differing
from ncps_mlx.training._module import OwnModel
from ncps_mlx.training._module_copy import copy_module
from ncps_mlx.training._parameter_matrix import leaves
from ncps_mlx.training._time_steps import MemberTimeSteps

__all__ = [
    "as_arrays",
    "copy_of",
    "parameterless_copy",
    "predict_first",
    "predict_population",
    "scale_matrices",
    "stack_parameters",
    "to_model_list",
    "unstack_parameters",
]

CHUNK = 512  # sequences predicted at once; bounds memory

NO_SHAPE = {"seed", "initializer", "initial_ranges", "backbone_dropout"}  # what models of one shape may differ in


def to_model_list(model: object) -> list[nn.Module]:
    """A model or a sequence of models as a list; refuses anything else, and an empty one."""
    if isinstance(model, nn.Module):
        return [model]
    if not isinstance(model, Iterable) or isinstance(model, str):
        got = f"the class {model.__name__}: build one" if isinstance(model, type) else type(model).__name__
        raise ValueError(f"model must be a CfC or another mlx.nn.Module, or a sequence of them, got {got}.")
    models = list(model)
    for i, each in enumerate(models):
        if not isinstance(each, nn.Module):
            raise ValueError(f"model[{i}] must be a CfC or another mlx.nn.Module, got {type(each).__name__}.")
    if not models:
        raise ValueError("model must be a model or a non-empty sequence of models, got none.")
    return models


def stack_parameters(models: Sequence[nn.Module]) -> Any:
    """The parameters of models, each array (N, ...); refuses models of different shapes or of another thread's work."""
    for i, model in enumerate(models):
        if different := shape_differences(models[0], model):
            raise ValueError(
                f"model[{i}] must have the shape of model[0], got another {', '.join(different[:5])}; fit them "
                "one after another."
            )
    trees = [model.parameters() for model in models]
    try:
        mx.eval(trees)
    except RuntimeError as error:
        if "no Stream" not in str(error):
            raise
        raise ValueError(
            "model must have evaluated parameters, got some that another thread left uncomputed: call "
            "mx.eval(model.parameters()) in that thread."
        ) from None
    return tree_map(lambda *arrays: mx.stack(list(arrays)), trees[0], *trees[1:])


def shape_differences(first: nn.Module, model: nn.Module) -> list[str]:
    """In what a model differs from the first so that they could not be computed as one."""
    if type(model) is not type(first):
        return ["class"]
    if not isinstance(first, RecurrentModel) or not isinstance(model, RecurrentModel):
        return [] if model is first else differing(first, model)
    return sorted(name for name in {*first.config} - NO_SHAPE if model.config.get(name) != first.config[name])


def unstack_parameters(models: Sequence[nn.Module], parameters: Any) -> None:
    """Give each model its member's parameters."""
    for i, model in enumerate(models):
        model.update(tree_map(lambda array, i=i: mx.contiguous(array[i]), parameters))
        mx.eval(model.parameters())


def scale_matrices(parameters: Any, factors: Sequence[float]) -> Any:
    """Multiply each member's weight matrices by its factor: what an initializer filled, not biases and the like."""
    if all(factor == 1.0 for factor in factors):
        return parameters
    each = mx.array(list(factors))

    def scaled(array: mx.array) -> mx.array:
        matrices = array.ndim > 2
        return array * each.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype) if matrices else array

    return tree_map(scaled, parameters)


def parameterless_copy(model: nn.Module) -> RecurrentModel | OwnModel:
    """A model of the same shape, whose own parameters do not matter: it will hold those of a population."""
    if not isinstance(model, RecurrentModel):
        return OwnModel(model)
    return type(model)(**{**model.config, "seed": 0})


def copy_of(model: nn.Module) -> nn.Module:
    """A model with the same parameters, to be trained on its own."""
    if not isinstance(model, RecurrentModel):
        own: nn.Module = copy_module(model)
        return own
    with seeded(0):  # the global stream of random numbers stays as it is
        copy = type(model)(**model.config)
    copy.update(model.parameters())
    copy.time_scaler, copy.loss = model.time_scaler, model.loss
    return copy


def as_arrays(split: Split) -> tuple[mx.array, mx.array | None]:
    """The inputs and the mask of a split on MLX's device; its time steps are in :class:`MemberTimeSteps`."""
    return mx.array(split.x), None if split.mask is None else mx.array(split.mask)


def predict_population(
    model: RecurrentModel | OwnModel, parameters: Any, split: Split, time_steps: MemberTimeSteps, group_size: int
) -> npt.NDArray[np.float32]:
    """What each member predicts, without dropout: (N, n, O), or (N, n, T, O) for every step.

    ``model`` gives the shape, ``parameters`` are the members' (N, ...); ``group_size`` of them are computed together.
    """
    members = leaves(parameters)[0].shape[0]
    groups = []
    for first in range(0, members, group_size):
        group = slice(first, first + group_size)
        part = tree_map(lambda array, group=group: array[group], parameters)
        groups.append(predict_group(model, part, split, time_steps, group))
    return groups[0] if len(groups) == 1 else np.concatenate(groups)


def predict_first(
    model: RecurrentModel | OwnModel, parameters: Any, split: Split, time_steps: MemberTimeSteps
) -> mx.array:
    """What the first member alone predicts: to measure what each one takes."""
    first = tree_map(lambda array: array[:1], parameters)
    return mx.array(predict_group(model, first, split, time_steps, slice(1)))


def predict_group(
    model: RecurrentModel | OwnModel, parameters: Any, split: Split, time_steps: MemberTimeSteps, group: slice
) -> npt.NDArray[np.float32]:
    """As :func:`predict_population`, all members of a group at once."""
    model.update(parameters)
    members = leaves(parameters)[0].shape[0]
    x, mask = as_arrays(split)
    chunks = []
    for start in range(0, len(split), CHUNK):
        rows = slice(start, start + CHUNK)

        def for_each_member(array: mx.array, rows: slice = rows) -> mx.array:
            part = array[rows]
            return mx.broadcast_to(part, (members, *part.shape))

        time_delta = time_steps.of_chunk(rows, group)
        with no_grad(), training_kernels():
            y, _ = model.forward(
                for_each_member(x),
                None,
                1.0 if time_delta is None else time_delta,
                None if mask is None else for_each_member(mask),
            )
        chunks.append(np.array(y))
    return np.concatenate(chunks, axis=1)
