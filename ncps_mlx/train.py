"""Training and evaluation: N configurations of one shape in one graph, one model being a population of one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_map

from ncps_mlx.checks import check_choice, check_flag, check_int, check_number
from ncps_mlx.models import RecurrentModel, check_dropout_applies
from ncps_mlx.optimize import OPTIMIZERS, SCHEDULES, PopulationAdam, clip, per_member, schedule_factors
from ncps_mlx.population import as_arrays, predict_population, shell, stack, unstack
from ncps_mlx.split import Split
from ncps_mlx.task import Task

__all__ = ["FIT_KNOBS", "MEMBER_KNOBS", "History", "evaluate", "fit", "predict"]

MEMBER_KNOBS = frozenset(
    {"learning_rate", "weight_decay", "clip_norm", "schedule", "warmup", "backbone_dropout", "seed"}
)
"""Settings of :func:`fit` that may differ between the members of a population."""

FIT_KNOBS = frozenset({"steps", "batch_size", "accumulate", "optimizer", "patience", "evaluate_every"})
"""Settings of :func:`fit` that all members share."""


@dataclass(frozen=True, kw_only=True)
class History:
    """How one model's training went.

    Attributes:
        step: After how many steps each evaluation took place.
        train_loss: Mean training loss since the evaluation before (mean squared error of standardised targets, or
            cross entropy in nats).
        validation_score: The task's metric on the validation split, in its units.
        best_step: The evaluation whose parameters were kept.
        best_score: Its score; infinitely bad if training diverged.
        status: ``"finished"``, ``"stopped early"`` or ``"diverged"``.
        reason: Why it diverged.
        seconds: Wall-clock seconds of the population's training, divided by its members.
    """

    step: tuple[int, ...]
    train_loss: tuple[float, ...]
    validation_score: tuple[float, ...]
    best_step: int
    best_score: float
    status: str
    reason: str | None
    seconds: float


@overload
def fit(model: RecurrentModel, task: Task, **settings: Any) -> History: ...
@overload
def fit(model: Sequence[RecurrentModel], task: Task, **settings: Any) -> list[History]: ...


def fit(
    model: RecurrentModel | Sequence[RecurrentModel],
    task: Task,
    *,
    steps: int = 500,
    batch_size: int = 32,
    learning_rate: float | Sequence[float] = 1e-2,
    optimizer: str = "adam",
    weight_decay: float | Sequence[float] = 0.0,
    clip_norm: float | None | Sequence[float | None] = 1.0,
    schedule: str | Sequence[str] = "cosine",
    warmup: int | Sequence[int] = 0,
    accumulate: int = 1,
    backbone_dropout: float | None | Sequence[float | None] = None,
    patience: int | None = None,
    evaluate_every: int | None = None,
    seed: int | Sequence[int] = 0,
    progress: bool = True,
) -> History | list[History]:
    """Train a model, or a population of models of one shape in one graph, and keep the best parameters.

    Learning rate, weight decay, clip norm, schedule, warm-up, dropout rate and seed take one value, or one for each model.
    On the CPU each member ends with the same bits as the same model trained alone.

    Args:
        model: A model, or N models of one shape. Each ends with the parameters of its best validation score.
        task: What to learn.
        steps: Updates of the parameters.
        batch_size: B, sequences per gradient.
        learning_rate: Peak of the schedule.
        optimizer: ``"adam"``, or ``"adamw"`` (needed for weight decay).
        weight_decay: Decoupled, times the learning rate.
        clip_norm: Greatest norm of a member's gradient over all its parameters; ``None`` for no limit.
        schedule: ``"cosine"`` (to 0), ``"exponential"`` (to 0.01 of the peak) or ``"constant"``.
        warmup: Steps of linear rise before the schedule.
        accumulate: Batches whose gradients are averaged for one update.
        backbone_dropout: Rate to train with; ``None`` takes each model's own.
        patience: Stop after this many evaluations without a better one; ``None`` never stops early.
        evaluate_every: Steps between evaluations on the validation split; default a tenth of ``steps``.
        seed: Of the order of the data and of dropout (initial parameters have the model's own seed).
        progress: Show a progress bar with the best score.

    Returns:
        A :class:`History`, or one for each model.

    Raises:
        ValueError: An argument is out of its range, a sequence of settings has not one value for each model, the
            model does not fit the task, or the batch is larger than the training split.

    Example:
        >>> from ncps_mlx import CfC, fit
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> models = [CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=s) for s in range(2)]
        >>> histories = fit(models, task, steps=4, learning_rate=[1e-3, 1e-2], progress=False)
        >>> [history.status for history in histories]
        ['finished', 'finished']
    """
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, got {type(task).__name__}.")
    models = [model] if isinstance(model, RecurrentModel) else list(model)
    parameters = stack(models)
    check_fits(models[0], task)
    check_int("steps", steps)
    check_int("batch_size", batch_size)
    check_int("accumulate", accumulate)
    check_choice("optimizer", optimizer, OPTIMIZERS)
    check_flag("progress", progress)
    if batch_size > len(task.train):
        raise ValueError(f"batch_size must be at most the {len(task.train)} training sequences, got {batch_size}.")
    if patience is not None:
        check_int("patience", patience)
    evaluate_every = max(1, steps // 10) if evaluate_every is None else check_int("evaluate_every", evaluate_every)
    members = [
        Member.checked(i, m, steps, optimizer, dict(zip(_SETTINGS, values, strict=True)))
        for i, (m, *values) in enumerate(
            zip(
                models,
                spread("learning_rate", learning_rate, len(models)),
                spread("weight_decay", weight_decay, len(models)),
                spread("clip_norm", clip_norm, len(models)),
                spread("schedule", schedule, len(models)),
                spread("warmup", warmup, len(models)),
                spread("backbone_dropout", backbone_dropout, len(models)),
                spread("seed", seed, len(models)),
                strict=True,
            )
        )
    ]
    run = _Run(shell(models[0]), task, parameters, members, steps, batch_size, accumulate)
    best = run.train(evaluate_every, patience, progress)
    unstack(models, best)
    histories = [member.history() for member in members]
    return histories[0] if isinstance(model, RecurrentModel) else histories


_SETTINGS = ("learning_rate", "weight_decay", "clip_norm", "schedule", "warmup", "backbone_dropout", "seed")


def spread(name: str, value: Any, members: int) -> list[Any]:
    """One value for each member."""
    if isinstance(value, list | tuple | np.ndarray):
        if len(value) != members:
            raise ValueError(f"{name} must be one value or {members}, one for each model, got {len(value)} values.")
        return list(value)
    return [value] * members


def check_fits(model: RecurrentModel, task: Task) -> None:
    """Refuse a model whose inputs or outputs are not the task's."""
    for name, got, want in (
        ("input_size", model.input_size, task.input_size),
        ("output_size", model.output_size, task.output_size),
    ):
        if got != want:
            raise ValueError(f"{name} must be {want}, as {task.name!r} has it, got {got}.")
    every = task.train.y.ndim == 3
    if model.return_sequences != every:
        where = "a target at every step" if every else "one target per sequence"
        raise ValueError(f"return_sequences must be {every} for {task.name!r} ({where}), got {model.return_sequences}.")


@dataclass(kw_only=True)
class Member:
    """One configuration in training: its settings, its random streams and what happened so far."""

    learning_rates: npt.NDArray[np.float64]
    weight_decay: float
    clip_norm: float
    dropout: float
    seed: int
    higher: bool = False
    step: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: int | None = None
    status: str = "finished"
    reason: str | None = None
    seconds: float = 0.0

    @classmethod
    def checked(cls, i: int, model: RecurrentModel, steps: int, optimizer: str, given: dict[str, Any]) -> Member:
        """Check the settings of member ``i``."""
        rate = check_number("learning_rate", given["learning_rate"], low=0, open_low=True)
        decay = check_number("weight_decay", given["weight_decay"], low=0)
        if decay > 0 and optimizer != "adamw":
            raise ValueError(f"weight_decay must be 0 with optimizer={optimizer!r}, got {decay}; choose optimizer='adamw'.")
        limit = given["clip_norm"]
        limit = math.inf if limit is None else check_number("clip_norm", limit, low=0, open_low=True)
        drop = model.backbone_dropout if given["backbone_dropout"] is None else given["backbone_dropout"]
        drop = check_number("backbone_dropout", drop, low=0, high=1, open_high=True)
        check_dropout_applies(drop, model.config["backbone_layers"])
        check_choice("schedule", given["schedule"], SCHEDULES)
        return cls(
            learning_rates=rate * schedule_factors(given["schedule"], steps, given["warmup"]),
            weight_decay=decay,
            clip_norm=limit,
            dropout=drop,
            seed=check_int("seed", given["seed"], minimum=0),
        )

    def batches(self, n: int, count: int, size: int) -> npt.NDArray[np.int32]:
        """Rows of each batch (count, size): one shuffled pass over the data after another."""
        rng = np.random.default_rng([self.seed, 0])
        passes = -(-count * size // n)
        order = np.concatenate([rng.permutation(n) for _ in range(passes)])
        return order[: count * size].reshape(count, size).astype(np.int32)

    def keys(self, count: int) -> npt.NDArray[np.uint32]:
        """A dropout key for each batch (count, 2)."""
        rng = np.random.default_rng([self.seed, 1])
        return rng.integers(0, 2**32, size=(count, 2), dtype=np.uint32)

    def record(self, step: int, losses: npt.NDArray[np.float32], score: float, higher: bool) -> bool:
        """Note an evaluation; returns whether it is the best so far."""
        self.higher = higher
        bad = np.flatnonzero(~np.isfinite(losses))
        loss = float(np.mean(losses, dtype=np.float64)) if not bad.size else float(losses[bad[0]])
        self.step.append(step)
        self.train_loss.append(loss)
        self.scores.append(score)
        if bad.size:
            first = step - len(losses) + 1 + int(bad[0])
            self.status, self.reason = "diverged", f"the training loss became {loss} at step {first}"
        elif not math.isfinite(score):
            self.status, self.reason = "diverged", f"the validation score became {score} at step {step}"
        if self.status == "diverged":
            return False
        if self.best is None or (score > self.scores[self.best]) == higher and score != self.scores[self.best]:
            self.best = len(self.scores) - 1
            return True
        return False

    def history(self) -> History:
        """What to return."""
        diverged = self.status == "diverged"
        worst = -math.inf if self.higher else math.inf
        return History(
            step=tuple(self.step),
            train_loss=tuple(self.train_loss),
            validation_score=tuple(self.scores),
            best_step=0 if self.best is None else self.step[self.best],
            best_score=worst if diverged or self.best is None else self.scores[self.best],
            status=self.status,
            reason=self.reason,
            seconds=self.seconds,
        )


class _Run:
    """The arrays of the members still in training, and their one training step."""

    def __init__(
        self,
        model: RecurrentModel,
        task: Task,
        parameters: Any,
        members: list[Member],
        steps: int,
        batch_size: int,
        accumulate: int,
    ) -> None:
        self.model, self.task, self.members = model, task, members
        self.steps, self.accumulate = steps, accumulate
        self.parameters = parameters
        self.active = list(range(len(members)))
        self.data = as_arrays(task.train)
        count = steps * accumulate
        # (batches, N, ...): row t holds what every member needs for batch t.
        self.rows = np.stack([m.batches(len(task.train), count, batch_size) for m in members], axis=1)
        self.rates = np.stack([m.learning_rates for m in members], axis=1).astype(np.float32)
        self.dropout = mx.array([m.dropout for m in members]) if any(m.dropout for m in members) else 0.0
        self.keys = np.stack([m.keys(count) for m in members], axis=1) if isinstance(self.dropout, mx.array) else None
        limits = [m.clip_norm for m in members]
        self.limits = mx.array(limits) if any(map(math.isfinite, limits)) else None
        self.optimizer = PopulationAdam(parameters, mx.array([m.weight_decay for m in members]))
        self.gradient = mx.value_and_grad(self.loss)

    def loss(
        self, parameters: Any, batch: tuple[mx.array | None, ...], keys: mx.array | None
    ) -> tuple[mx.array, mx.array]:
        """Sum over members (whose gradient is each member's own), and the loss of each (N,)."""
        x, y, time_delta, mask = batch
        assert x is not None and y is not None
        self.model.update(parameters)
        out, _ = self.model.forward(
            x, None, 1.0 if time_delta is None else time_delta, mask, rates=self.dropout, keys=keys
        )
        if self.task.kind == "classification":
            each = nn.losses.cross_entropy(out, y)
        else:
            each = mx.square(out - y).mean(axis=-1)
        each = each.reshape(each.shape[0], -1)
        if mask is not None and y.ndim == 4:  # a target at every step: padded steps do not count
            weight = mask.reshape(each.shape).astype(each.dtype)
            losses = mx.sum(each * weight, axis=1) / mx.sum(weight, axis=1)
        else:
            losses = mx.mean(each, axis=1)
        return losses.sum(), losses

    def step(self, t: int) -> mx.array:
        """Update the parameters; returns the losses (N,), unevaluated."""
        total, gradients = None, None
        for i in range(t * self.accumulate, (t + 1) * self.accumulate):
            rows = mx.array(self.rows[i])
            batch = tuple(None if array is None else array[rows] for array in self.data)
            keys = None if self.keys is None else mx.array(self.keys[i])
            (_, losses), new = self.gradient(self.parameters, batch, keys)
            if self.accumulate > 1:
                gradients = new if gradients is None else tree_map(mx.add, gradients, new)
                total = losses if total is None else total + losses
                mx.eval(gradients, total)  # one batch in memory at a time
            else:
                gradients, total = new, losses
        if self.accumulate > 1:
            gradients = tree_map(lambda g: g / self.accumulate, gradients)
            total = total / self.accumulate
        if self.limits is not None:
            gradients = clip(gradients, self.limits)
        self.parameters = self.optimizer.update(self.parameters, gradients, mx.array(self.rates[t]))
        return total

    def train(self, evaluate_every: int, patience: int | None, progress: bool) -> Any:
        """Take all steps; returns the best parameters of every member."""
        from tqdm.auto import tqdm

        best = self.parameters
        higher = self.task.higher_is_better
        losses: list[mx.array] = []
        clock = time.perf_counter()
        label = self.task.name if len(self.members) == 1 else f"{self.task.name}, {len(self.members)} members"
        with tqdm(total=self.steps, desc=label, unit="step", disable=not progress, leave=False) as bar:
            for t in range(self.steps):
                losses.append(self.step(t))
                mx.async_eval(self.parameters, self.optimizer.state, losses[-1])
                if len(losses) > 1:
                    mx.eval(losses[-2])  # build the next step's graph while this one runs, and no further ahead
                bar.update()
                if (t + 1) % evaluate_every and t + 1 < self.steps:
                    continue
                table = np.array(mx.stack(losses))
                losses = []
                outputs = predict_population(self.model, self.parameters, self.task.validation)
                seconds = (time.perf_counter() - clock) / len(self.members)
                improved, finished = [], []
                for place, i in enumerate(self.active):
                    member = self.members[i]
                    score = self.score(outputs[place])
                    if member.record(t + 1, table[:, place], score, higher):
                        improved.append(place)
                    member.seconds = seconds
                    if member.status != "diverged" and patience is not None and member.best is not None:
                        if len(member.scores) - 1 - member.best >= patience and t + 1 < self.steps:
                            member.status = "stopped early"
                    if member.status != "finished":
                        finished.append(place)
                best = self.keep(best, improved)
                scores = [m.scores[m.best] for m in self.members if m.best is not None]
                if scores:
                    bar.set_postfix(best=f"{max(scores) if higher else min(scores):.4g}")
                self.drop(finished)
                if not self.active:
                    break
        return best

    def score(self, outputs: npt.NDArray[np.float32]) -> float:
        """The validation score of one member, nan if its outputs are not finite."""
        return self.task.score(outputs, "validation") if np.isfinite(outputs).all() else math.nan

    def keep(self, best: Any, improved: list[int]) -> Any:
        """Copy the parameters of the members that improved into the best so far."""
        chosen = np.zeros(len(self.members), dtype=bool)
        chosen[[self.active[place] for place in improved]] = True
        places = np.zeros(len(self.members), dtype=np.int32)
        places[self.active] = np.arange(len(self.active))
        where, source = mx.array(chosen), mx.array(places)
        best = tree_map(lambda old, new: mx.where(per_member(where, old), new[source], old), best, self.parameters)
        mx.eval(best)
        return best

    def drop(self, finished: list[int]) -> None:
        """Go on without these members."""
        if not finished:
            return
        kept = [place for place in range(len(self.active)) if place not in set(finished)]
        self.active = [self.active[place] for place in kept]
        if not kept:
            return
        members = mx.array(kept)
        self.parameters = tree_map(lambda a: a[members], self.parameters)
        self.optimizer.take(members)
        self.rows, self.rates = self.rows[:, kept], self.rates[:, kept]
        self.limits = None if self.limits is None else self.limits[members]
        self.keys = None if self.keys is None else self.keys[:, kept]
        if isinstance(self.dropout, mx.array):
            self.dropout = self.dropout[members]


@overload
def predict(model: RecurrentModel, split: Split) -> npt.NDArray[np.float32]: ...
@overload
def predict(model: Sequence[RecurrentModel], split: Split) -> list[npt.NDArray[np.float32]]: ...


def predict(
    model: RecurrentModel | Sequence[RecurrentModel], split: Split
) -> npt.NDArray[np.float32] | list[npt.NDArray[np.float32]]:
    """What a model (or each model of a population) predicts for a split, without dropout.

    Args:
        model: A model, or N models of one shape.
        split: The sequences, such as ``task.test``.

    Returns:
        Outputs in the scale of ``split.y``, (n, O), or (n, T, O) for models that return sequences; a list of them for
        a sequence of models. ``task.inverse`` brings them to real units, :meth:`Task.score` scores them.

    Raises:
        ValueError: The models have different shapes, or the split's features do not fit.

    Example:
        >>> from ncps_mlx import CfC, predict
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> predict(CfC(1, 8, output_size=1, return_sequences=False, seed=0), task.test).shape
        (16, 1)
    """
    if not isinstance(split, Split):
        raise ValueError(f"split must be a Split such as task.test, got {type(split).__name__}.")
    models = [model] if isinstance(model, RecurrentModel) else list(model)
    parameters = stack(models)
    if split.x.shape[2] != models[0].input_size:
        raise ValueError(f"split must have the model's {models[0].input_size} features, got {split.x.shape[2]}.")
    outputs = predict_population(shell(models[0]), parameters, split)
    return outputs[0] if isinstance(model, RecurrentModel) else list(outputs)


@overload
def evaluate(model: RecurrentModel, task: Task, split: str = "test") -> float: ...
@overload
def evaluate(model: Sequence[RecurrentModel], task: Task, split: str = "test") -> list[float]: ...


def evaluate(
    model: RecurrentModel | Sequence[RecurrentModel], task: Task, split: str = "test"
) -> float | list[float]:
    """The task's metric of a model (or of each model of a population) on a split, in the task's units.

    Args:
        model: A model, or N models of one shape.
        task: What was learnt.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ValueError: No such split, or the model does not fit the task.

    Example:
        >>> from ncps_mlx import CfC, evaluate
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> evaluate(CfC(1, 8, output_size=1, return_sequences=False, seed=0), task) > 0
        True
    """
    check_choice("split", split, task.splits)
    models = [model] if isinstance(model, RecurrentModel) else list(model)
    check_fits(models[0], task)
    scores = [task.score(outputs, split) for outputs in predict(models, task.splits[split])]
    return scores[0] if isinstance(model, RecurrentModel) else scores
