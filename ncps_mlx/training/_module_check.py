"""Checks of a module before it is trained: it can be called, it does not change, and it draws nothing unseen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from ncps_mlx._kernels.native import native_layers
from ncps_mlx.data._task import Task
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._own import loss_of_model, time_scaler_of
from ncps_mlx.models._structure import contents, differences
from ncps_mlx.training._module import TOLERANCE, OwnModel, largest_difference, moved_a_little, some_sequences
from ncps_mlx.training._module_call import as_predictions, call_module, call_names, module_errors

__all__ = ["check_module"]


def check_module(module: nn.Module, task: Task, n_outputs: int) -> None:
    """Refuse a module that cannot be trained on a task as it is; it is left as it was.

    Raises:
        ValueError: Its call fails or returns another shape than the targets', it lacks the mask that the task has,
            it changes or draws random numbers in its forward pass, or a copy of it computes something else.
    """
    names, split = call_names(module), task.train
    time_scaler_of(module)
    loss_of_model(module)
    name = type(module).__name__
    if split.mask is not None and "mask" not in names:
        raise ValueError(
            f"model must take mask for {task.name!r}, whose sequences have missing or padded steps, got {name}. Add "
            "mask=None to its __call__: (B, T), true where there is a reading."
        )
    x, dt, mask = some_sequences(split)
    copy = OwnModel(module)
    for key in (mx.random.key(0), None):  # as in training, as in evaluation
        y = check_call(copy, module, x, dt, mask, key)
    steps = split.x.shape[1:2] if split.every_step else ()
    want = (*steps, n_outputs)
    if y.shape != (len(x), *want):
        raise ValueError(
            f"model must return predictions of shape (B, {', '.join(map(str, want))}) for {task.name!r}, got "
            f"(B, {', '.join(map(str, y.shape[1:]))}) from {name}."
        )
    check_copy(copy, module, x, dt, mask)


def check_call(
    copy: OwnModel, module: nn.Module, x: mx.array, dt: Any, mask: Any, key: mx.array | None
) -> mx.array:
    """Call a module's copy; refuse one that changes, or that draws random numbers but from keys."""
    name, parameters = type(module).__name__, module.parameters()
    copy.module.update(parameters)
    before, stream = contents(copy.module), random_state()
    given = "".join(f", {each}=..." for each in copy.names)
    with module_errors(module, f"be callable as model(x{given}) with x of shape {x.shape}"):
        returned = copy.run(parameters, x, dt, mask, key)
        y = as_predictions(returned)
        mx.eval(y)
    if changed := differences(before, contents(copy.module)):
        raise ValueError(
            f"model must not change in its forward pass, got {name}, which sets {', '.join(changed[:3])}. Compute "
            "constants in the constructor; in place of a layer with running statistics take nn.LayerNorm."
        )
    if random_state() != stream:
        layers = "".join(f", which has {each}" for each in random_layers(module))
        raise ValueError(
            f"model must draw no random numbers but in nn.Dropout, got {name}{layers}: a member of a population could "
            "not draw what it draws alone."
        )
    return y


def check_copy(copy: OwnModel, module: nn.Module, x: mx.array, dt: Any, mask: Any) -> None:
    """Refuse a module whose copy computes something else with the same parameters."""
    parameters = module.parameters()
    moved = tree_map(lambda a: a[0], moved_a_little(tree_map(lambda a: a[None], parameters)))
    with evaluating(module, moved, parameters), native_layers(False):
        own = as_predictions(call_module(module, copy.names, x, dt, mask))
        mx.eval(own)
    if largest_difference(copy.call(moved, x, dt, mask, None), own) > TOLERANCE:
        raise ValueError(
            f"model must compute with the parameters that its layers hold, got {type(module).__name__}, a copy of "
            "which computes something else. Functions in its attributes must not refer to it: make them methods."
        )


@contextmanager
def evaluating(module: nn.Module, parameters: Any, own: Any) -> Iterator[None]:
    """The module in evaluation mode with other parameters; after the block as it was."""
    modes = [(each, each.training) for each in module.modules()]
    module.update(parameters)
    module.train(False)
    try:
        yield
    finally:
        module.update(own)
        for each, mode in modes:
            each._training = mode


def random_layers(module: nn.Module) -> list[str]:
    """Layers within that are known to draw random numbers, other than ``nn.Dropout``."""
    found = {
        f"a {type(each).__name__} with backbone_dropout" if isinstance(each, RecurrentModel) else type(each).__name__
        for each in module.modules()
        if isinstance(each, nn.Dropout2d | nn.Dropout3d)
        or (isinstance(each, nn.Dropout) and type(each) is not nn.Dropout)
        or (isinstance(each, RecurrentModel) and each.backbone_dropout > 0)
    }
    return sorted(found)


def random_state() -> list[int]:
    """The state of MLX's global stream."""
    state: Any = mx.random.state
    key: list[int] = state[0].tolist()
    return key
