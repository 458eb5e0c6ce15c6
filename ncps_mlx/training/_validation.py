"""Checks of models, task and settings that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence

from ncps_mlx._utils.validation import check_int
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.training._parameter_matrix import leaves

__all__ = ["check_batch", "check_fits", "check_scale_applies", "check_task", "check_trainable", "loss_of_model"]


def check_trainable(models: Sequence[RecurrentModel]) -> None:
    """Refuse models that could not keep what they learn: one twice, or one with frozen parameters."""
    positions: dict[int, int] = {}
    for i, model in enumerate(models):
        first = positions.setdefault(id(model), i)
        if first != i:
            raise ValueError(f"model[{i}] must be a model of its own, got model[{first}] again.")
        if len(leaves(model.trainable_parameters())) < len(leaves(model.parameters())):
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


def loss_of_model(model: RecurrentModel) -> Loss | None:
    """The loss that a model was trained with, as far as it knows."""
    loss = getattr(model, "loss", None)
    return loss if isinstance(loss, Loss) else None


def check_fits(model: RecurrentModel, task: Task, loss: Loss | None = None) -> None:
    """Refuse what is no task, and a model whose inputs or outputs are not the task's, or those of its loss."""
    check_task(task)
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


def check_scale_applies(scale: float, model: RecurrentModel) -> None:
    """Refuse to scale the weights that a wired LTC begins with: its parameters are drawn from ranges."""
    if scale != 1.0 and model.wiring is not None and "initial_ranges" in model.config:
        raise ValueError(
            "initial_scale must be 1 for an LTC with a wiring, whose parameters begin within ranges, got "
            f"{scale}. Set its initial_ranges."
        )
