"""Training and evaluation: N configurations of one shape in one graph, one model being a population of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._runtime.memory_budget import members_at_once, peak_memory_mb
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx._trials import History
from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import check_choice, check_flag
from ncps_mlx.data._metrics import as_metric
from ncps_mlx.data._split import Split, check_inputs
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._own import loss_of_model, time_scaler_of
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._evaluation import OnEvaluate
from ncps_mlx.training._module import OwnModel, some_sequences
from ncps_mlx.training._notes import note_faults
from ncps_mlx.training._population import (
    parameterless_copy,
    predict_first,
    predict_population,
    stack_parameters,
    to_model_list,
)
from ncps_mlx.training._time_steps import MemberTimeSteps
from ncps_mlx.training._trainer import PopulationTrainer
from ncps_mlx.training._validation import check_fits, check_task

__all__ = ["evaluate", "fit", "predict"]


class FitArguments(TypedDict, total=False):
    """The keyword arguments of :func:`fit`, for type checkers and editors: both overloads take them."""

    steps: int
    batch_size: int | None
    learning_rate: float | Sequence[float]
    optimizer: str
    loss: str | Loss | Callable[..., Any] | None
    weight_decay: float | Sequence[float]
    clip_norm: float | Sequence[float | None] | None
    schedule: str | Sequence[str]
    warmup_steps: int | Sequence[int]
    grad_accumulation_steps: int
    backbone_dropout: float | Sequence[float | None] | None
    time_scaling: str | Sequence[str | None] | None
    initial_scale: float | Sequence[float]
    patience: int | None
    evaluate_every: int | None
    seed: int | Sequence[int]
    memory_mb: float | None
    on_evaluate: OnEvaluate | None
    checkpoint: str | Path | None
    progress: bool | Progress


@overload
def fit(model: nn.Module, task: Task, **settings: Unpack[FitArguments]) -> History: ...
@overload
def fit(model: Sequence[nn.Module], task: Task, **settings: Unpack[FitArguments]) -> list[History]: ...


@training_stream()
def fit(
    model: nn.Module | Sequence[nn.Module],
    task: Task,
    *,
    steps: int = 500,
    batch_size: int | None = None,
    learning_rate: float | Sequence[float] = 1e-2,
    optimizer: str = "adam",
    loss: str | Loss | Callable[..., Any] | None = None,
    weight_decay: float | Sequence[float] = 0.0,
    clip_norm: float | Sequence[float | None] | None = 1.0,
    schedule: str | Sequence[str] = "cosine",
    warmup_steps: int | Sequence[int] = 0,
    grad_accumulation_steps: int = 1,
    backbone_dropout: float | Sequence[float | None] | None = None,
    time_scaling: str | Sequence[str | None] | None = None,
    initial_scale: float | Sequence[float] = 1.0,
    patience: int | None = None,
    evaluate_every: int | None = None,
    seed: int | Sequence[int] = 0,
    memory_mb: float | None = None,
    on_evaluate: OnEvaluate | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | Progress = True,
) -> History | list[History]:
    """Train a model, or a population of models of one shape in one graph, and keep the best parameters.

    Learning rate, weight decay, clip norm, schedule, warm-up, dropout rate, time scaling, initial scale and seed take
    one value, or one for each model. On the CPU each member ends with the same bits as the same model trained alone.
    Several Python threads may train at once, each its own models.

    An interruption loses nothing: after Ctrl-C, or any other exception, each model holds its best parameters so far
    (before the first evaluation, those it had), and the exception's ``histories`` lists the history of each.

    Args:
        model: A model of the library or any ``mlx.nn.Module`` (:doc:`/howto/your-own-model`), or N of one shape. Each
            ends with the parameters of its best validation score.
        task: What to learn.
        steps: Updates of the parameters.
        batch_size: B, sequences per gradient. ``None``: 32, or all if there are fewer.
        learning_rate: Peak of the schedule.
        optimizer: How gradients become updates: ``"adam"``, or ``"adamw"`` (needed for weight decay).
        loss: What is made small: ``"mse"``, ``"mae"``, ``"huber"``, ``"quantile"`` or ``"cross entropy"``, a loss of
            :mod:`ncps_mlx.losses`, or your own: a function of outputs and targets that gives a value for each, itself
            or as ``"module:function"``. ``None``: mse, or cross entropy for classes. The model then knows its loss.
        weight_decay: Share by which each update shrinks the parameters, times the learning rate (decoupled).
        clip_norm: Greatest norm of a member's gradient over all its parameters; ``None`` for no limit.
        schedule: How the learning rate falls over the steps: ``"cosine"`` (to 0), ``"exponential"`` (to 0.01 of the
            peak) or ``"constant"``.
        warmup_steps: Steps of linear rise before the schedule.
        grad_accumulation_steps: Batches whose gradients are averaged for one update.
        backbone_dropout: Rate to train with; ``None`` takes each model's own.
        time_scaling: A kind of :class:`~ncps_mlx.TimeScaler`, fitted on the training split: train and validate as on
            ``task.scaled_time(kind)``. The model owns the scaler from then on (``model.time_scaler``), so raw time goes
            in wherever it is used. ``None`` keeps the model's own: for a new one raw time, or that of a task made by
            :meth:`Task.scaled_time`.
        initial_scale: What the weight matrices (of two axes: what the model's initializer filled) are multiplied by
            when training begins.
        patience: Stop after this many evaluations without a better one; ``None`` never stops early.
        evaluate_every: Steps between evaluations on the validation split; default a tenth of ``steps``.
        seed: Of the order of the data and of dropout (initial parameters have the model's own seed).
        memory_mb: Megabytes that the gradients of all models, or their predictions for the validation split, may take
            together; where they would take more, they are computed in groups, to the same bits. ``None``: a quarter of
            the machine's.
        on_evaluate: A function that is called with an :class:`~ncps_mlx.training.Evaluation` of each model after each
            evaluation. If it returns True, that model stops; the others end with the same bits.
        checkpoint: Name of a file to which the training is written when it begins and after each evaluation, and from
            which it goes on if the file is there: in another process too, to the same bits as without a pause. That of
            a finished training gives back its result; that of another training (other settings, data or models) is
            refused.
        progress: Show a progress bar with the best score, and at the end what is seen to be wrong, with its cure (or
            move the bar of the study that this belongs to).

    Returns:
        A :class:`History`, or one for each model.

    Raises:
        ValueError: An argument is out of its range, a sequence of settings has not one value for each model, a model is
            there twice or has frozen parameters, the model does not fit the task, a module of your own changes or draws
            random numbers in its forward pass, the batch is larger than the training split, the loss does not suit the
            task or gives no value for each target, there are no time steps to scale or they are scaled already, the
            model is a wired LTC, whose parameters are no weight matrices, and its
            initial scale is not 1, or the checkpoint is no file of this training.
        OSError: The checkpoint cannot be written.

    Warns:
        UserWarning: The checkpoint was written with other versions, BLAS, layers in C or device: it says which.

    Example:
        >>> from ncps_mlx import CfC, fit
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> models = [CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=s) for s in range(2)]
        >>> histories = fit(models, task, steps=4, learning_rate=[1e-3, 1e-2], progress=False)
        >>> [history.status for history in histories]
        ['finished', 'finished']
    """
    models = to_model_list(model)
    config = FitConfig(
        steps=steps,
        batch_size=batch_size,
        grad_accumulation_steps=grad_accumulation_steps,
        optimizer=optimizer,
        loss=loss,
        patience=patience,
        evaluate_every=evaluate_every,
        memory_mb=memory_mb,
    )
    member_settings = {
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "schedule": schedule,
        "warmup_steps": warmup_steps,
        "backbone_dropout": backbone_dropout,
        "time_scaling": time_scaling,
        "initial_scale": initial_scale,
        "seed": seed,
    }
    member_configs = MemberConfig.for_each(len(models), member_settings)
    if not isinstance(progress, Progress):
        check_flag("progress", progress)
    trainer = PopulationTrainer(models, task, config, member_configs, on_evaluate, checkpoint)
    try:
        if isinstance(progress, Progress):  # a study's bar, which counts members
            trainer.train(progress, share=len(models))
        else:
            label = task.name if len(models) == 1 else f"{task.name}, {len(models)} members"
            higher, taken = task.higher_is_better, trainer.steps_taken
            with Progress(steps, label, "step", done=taken, shown=progress, higher_is_better=higher) as bar:
                if taken:
                    bar.write(f"{checkpoint}: {taken} of {steps} steps were taken before")
                trainer.train(bar, share=steps - taken)
                note_faults(trainer, bar)
        trainer.give_best(models)
    except BaseException as error:
        trainer.interrupt(error)
        trainer.give_best(models)
        vars(error)["histories"] = trainer.histories
        raise
    return trainer.histories[0] if isinstance(model, nn.Module) else trainer.histories


@overload
def predict(model: nn.Module, split: Split) -> npt.NDArray[np.float32]: ...
@overload
def predict(model: Sequence[nn.Module], split: Split) -> list[npt.NDArray[np.float32]]: ...


def predict(
    model: nn.Module | Sequence[nn.Module], split: Split
) -> npt.NDArray[np.float32] | list[npt.NDArray[np.float32]]:
    """Predict a split with a model, or with each model of a population, without dropout.

    Args:
        model: A model, or N models of one shape.
        split: The sequences, such as ``task.test``, with raw time: each model's ``time_scaler`` is applied, unless the
            split says that it is already (``split.scaled_by``).

    Returns:
        Outputs in the scale of ``split.y``, (n, O), or (n, T, O) for models that return sequences; of a quantile loss
        one for each target and level, of classes logits. A list of them for a sequence of models. ``task.inverse``
        brings them to real units, :meth:`Task.score` scores them.

    Raises:
        ValueError: The models have different shapes, the split's features do not fit, or its time is on another scale
            than a model's; the split is empty, a value is not finite, a time step is negative, or a sequence has no
            reading.

    Example:
        >>> from ncps_mlx import CfC, predict
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> predict(CfC(1, 8, output_size=1, return_sequences=False, seed=0), task.test).shape
        (16, 1)
    """
    if not isinstance(split, Split):
        raise ValueError(f"split must be a Split such as task.test, got {type(split).__name__}.")
    models = to_model_list(model)
    check_inputs("split", split)
    outputs = compute_outputs(models, split)
    return outputs[0] if isinstance(model, nn.Module) else list(outputs)


@training_stream()
def compute_outputs(models: Sequence[nn.Module], split: Split) -> npt.NDArray[np.float32]:
    """What each model puts out for a split that has been checked (N, n, O), or (N, n, T, O)."""
    parameters = stack_parameters(models)
    if isinstance(models[0], RecurrentModel) and split.x.shape[2] != models[0].input_size:
        raise ValueError(
            f"split must have the model's {models[0].input_size} features, got {split.x.shape[2]}."
        )
    copy, time_steps = parameterless_copy(models[0]), MemberTimeSteps(split, [time_scaler_of(each) for each in models])
    if isinstance(copy, OwnModel):
        copy.choose_forward(parameters, *some_sequences(split))
    group_size = 1
    if len(models) > 1:
        each = peak_memory_mb(lambda: predict_first(copy, parameters, split, time_steps))
        group_size = members_at_once(len(models), each, limit_mb=None)
    return predict_population(copy, parameters, split, time_steps, group_size)


Metric = str | Callable[..., float]
Metrics = list[Any] | tuple[Any, ...]  # of metrics: list[str] is no list[Metric]


@overload
def evaluate(model: nn.Module, task: Task, split: str = "test", *, metric: Metric | None = None) -> float: ...
@overload
def evaluate(
    model: nn.Module, task: Task, split: str = "test", *, metric: Metrics
) -> dict[str, float]: ...
@overload
def evaluate(
    model: Sequence[nn.Module], task: Task, split: str = "test", *, metric: Metric | None = None
) -> list[float]: ...
@overload
def evaluate(
    model: Sequence[nn.Module], task: Task, split: str = "test", *, metric: Metrics
) -> list[dict[str, float]]: ...


def evaluate(
    model: nn.Module | Sequence[nn.Module],
    task: Task,
    split: str = "test",
    *,
    metric: Metric | Metrics | None = None,
) -> float | dict[str, float] | list[float] | list[dict[str, float]]:
    """Score a model, or each model of a population, on a split by the task's metric, in the task's units.

    Args:
        model: A model, or N models of one shape.
        task: What was learnt, with raw time, or scaled as the model has learnt it.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        metric: Another metric than the task's, as :class:`~ncps_mlx.Task` takes them, or a list of several (``None``
            there is the task's).

    Returns:
        A score, or with a list of metrics a dict of scores by their names; for a sequence of models a list of these.

    Raises:
        ValueError: No such split or metric, the model does not fit the task, or it reads time on another scale.

    Example:
        >>> from ncps_mlx import CfC, evaluate
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> model = CfC(1, 8, output_size=1, return_sequences=False, seed=0)
        >>> evaluate(model, task) > 0
        True
        >>> sorted(evaluate(model, task, metric=["mae", "sklearn.metrics:median_absolute_error"]))
        ['mae', 'sklearn.metrics:median_absolute_error']
    """
    models = to_model_list(model)
    check_task(task)
    check_choice("split", split, task.splits)
    several = isinstance(metric, list | tuple)
    metrics = _checked_metrics(metric if isinstance(metric, list | tuple) else [metric], task)
    losses = [loss_of_model(each) for each in models]
    for each, loss in zip(models, losses, strict=True):
        check_fits(each, task, loss)
    scores: list[Any] = []
    for outputs, loss in zip(compute_outputs(models, task.splits[split]), losses, strict=True):
        found = {name: task.score(outputs, split, metric=each, loss=loss) for name, each in metrics.items()}
        scores.append(found if several else next(iter(found.values())))
    return scores[0] if isinstance(model, nn.Module) else scores


def _checked_metrics(given: Sequence[Any], task: Task) -> dict[str, Any]:
    """Metrics by name; ``None`` stays, for the task's own."""
    found = [None if each is None else as_metric(each, task.kind, any_direction=True) for each in given]
    names = [task.metric if each is None else each.name for each in found]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"metric must be a metric or a list of different ones, got {', '.join(names) or 'none'}.")
    return dict(zip(names, found, strict=True))
