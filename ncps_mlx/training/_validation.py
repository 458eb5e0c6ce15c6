"""Checks of models, task and settings that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.nn as nn

from ncps_mlx._utils.validation import check_int
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.training._module_check import check_module
from ncps_mlx.training._parameter_matrix import leaves

__all__ = ["check_batch", "check_fits", "check_scale_applies", "check_task", "check_trainable"]


def check_trainable(models: Sequence[nn.Module]) -> None:
    """Refuse models that could not keep what they learn: one twice, or one with frozen parameters."""
    positions: dict[int, int] = {}
    for i, model in enumerate(models):
        first = positions.setdefault(id(model), i)
        if first != i:
            raise ValueError(f"model[{i}] must be a model of its own, got model[{first}] again.")
        if len(leaves(model.trainable_parameters())) < len(leaves(model.parameters())):
            if any(isinstance(each, nn.BatchNorm) for each in model.modules()):
                raise ValueError(
                    f"model[{i}] must have no nn.BatchNorm, whose forward pass changes its statistics; take "
                    "nn.LayerNorm or nn.GroupNorm."
                )
            raise ValueError(
                f"model[{i}] must have no frozen parameters, for all are trained; call its unfreeze()."
            )


def check_batch(task: Task, size: int | None, name: str = "batch_size") -> int:
    """Refuse a batch larger than the training split."""
    count = check_int(name, size)
    if count > len(task.train):
        raise ValueError(f"{name} must be at most the {len(task.train)} training sequences, got {size}.")
    return count


def check_task(task: Task) -> None:
    """Refuse what is no task."""
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, got {type(task).__name__}.")


def check_fits(model: nn.Module, task: Task, loss: Loss | None = None) -> None:
    """Refuse what is no task, and a model whose inputs or outputs are not the task's, or those of its loss."""
    check_task(task)
    if not isinstance(model, RecurrentModel):
        check_module(model, task, task.output_size if loss is None else loss.outputs(task.output_size))
        return
    if model.input_size != task.input_size:
        raise ValueError(
            f"input_size must be {task.input_size}, as {task.name!r} has it, got {model.input_size}."
        )
    wanted = task.output_size if loss is None else loss.outputs(task.output_size)
    if model.output_size != wanted:
        whose = "" if wanted == task.output_size else f" with {loss}"
        has_more = task.kind == "regression" and model.output_size > wanted and loss is None
        cure = " If it was trained to give more, say by which loss: model.loss = Quantile()." if has_more else ""
        raise ValueError(
            f"output_size must be {wanted}, as {task.name!r} has it{whose}, got {model.output_size}.{cure}"
        )
    every = task.train.every_step
    if model.return_sequences != every:
        where = "a target at every step" if every else "one target per sequence"
        raise ValueError(
            f"return_sequences must be {every} for {task.name!r} ({where}), got {model.return_sequences}."
        )


def check_scale_applies(scale: float, model: nn.Module) -> None:
    """Refuse to scale the weights that a wired LTC begins with: its parameters are drawn from ranges."""
    own = isinstance(model, RecurrentModel) and model.wiring is not None and "initial_ranges" in model.config
    if scale != 1.0 and own:
        raise ValueError(
            "initial_scale must be 1 for an LTC with a wiring, whose parameters begin within ranges, got "
            f"{scale}. Set its initial_ranges."
        )
