"""The training loop of a population, and its one training step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_map

from ncps_mlx._kernels.custom_vjp import eager, precompute
from ncps_mlx._kernels.native import is_native_on, training_kernels
from ncps_mlx._runtime.memory_budget import members_at_once, peak_memory_mb
from ncps_mlx._runtime.thread_affinity import WorkerThreadAffinity
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx._trials import History
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data._task import Task
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._own import loss_of_model
from ncps_mlx.training._checkpoint import Checkpoint, describe_run
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._evaluation import OnEvaluate, Reporter
from ncps_mlx.training._loss_of_task import LossOfTask
from ncps_mlx.training._member import MemberState
from ncps_mlx.training._module import OwnModel, some_sequences
from ncps_mlx.training._numerics import differences, warn_of_differences
from ncps_mlx.training._optimizers import PopulationAdam, clip
from ncps_mlx.training._parameter_matrix import ParameterLayout
from ncps_mlx.training._population import (
    as_arrays,
    parameterless_copy,
    predict_first,
    predict_population,
    scale_matrices,
    stack_parameters,
    unstack_parameters,
)
from ncps_mlx.training._time_steps import MemberTimeSteps, check_time_scaling
from ncps_mlx.training._validation import check_batch, check_fits, check_task, check_trainable

__all__ = ["PopulationTrainer"]


class Reached(NamedTuple):
    """What members have reached, replaced as one: an interruption leaves histories and parameters that agree."""

    members: Sequence[MemberState]
    best: mx.array  # the best parameters of each (N, P)


class PopulationTrainer:
    """N models of one shape in training as one population: its arrays, its one training step and the loop.

    Refuses models that do not fit each other, the task or their settings. ``active`` lists the members still in
    training; the arrays hold only theirs, a row for each. Where the file ``checkpoint`` is there, it is taken up.
    """

    @training_stream()
    def __init__(
        self,
        models: Sequence[nn.Module],
        task: Task,
        config: FitConfig,
        member_configs: Sequence[MemberConfig],
        on_evaluate: OnEvaluate | None = None,
        checkpoint: str | Path | None = None,
    ) -> None:
        check_trainable(models)
        parameters = stack_parameters(models)
        check_task(task)
        self.loss_of_task = LossOfTask(task, config.loss)
        check_fits(models[0], task, self.loss_of_task.loss)
        config = config.for_task(len(task.train))
        batch_size = check_batch(task, config.batch_size)
        configs = [each.for_model(model, config) for each, model in zip(member_configs, models, strict=True)]
        self.model, self.task, self.config = parameterless_copy(models[0]), task, config
        self.active = list(range(len(configs)))
        self.steps_taken = 0
        self.memory_is_planned = False
        self.group_size = len(configs)  # whose gradients are computed together
        self.prediction_group_size = len(configs)

        self.layout = ParameterLayout(parameters)
        unscaled = parameters
        parameters = scale_matrices(parameters, [each.initial_scale for each in configs])
        self.matrix = self.layout.to_matrix(parameters)
        of_task: dict[str, Any] = {
            "higher_is_better": task.higher_is_better,
            "metric": task.metric,
            "mean_score": task.mean_score("validation", loss=self.loss_of_task.loss),
        }
        members = [MemberState(config=each, **of_task) for each in configs]
        self.reached = Reached(members, self.matrix)
        self.optimizer = PopulationAdam(self.matrix, mx.array([each.weight_decay for each in configs]))
        norms = [math.inf if each.clip_norm is None else each.clip_norm for each in configs]
        self.clip_norms = mx.array(norms) if any(map(math.isfinite, norms)) else None

        self.data = *as_arrays(task.train), *self.loss_of_task.arrays()
        self.time_scalers = [
            check_time_scaling(each.time_scaling, model, task) for each, model in zip(configs, models, strict=True)
        ]
        self.reporter = None
        if on_evaluate is not None:
            self.reporter = Reporter(on_evaluate, models, self.time_scalers, self.loss_of_task.loss)
        self.time_steps = MemberTimeSteps(task.train, self.time_scalers)
        self.validation_time_steps = MemberTimeSteps(task.validation, self.time_scalers)

        # What each member needs for each step (steps, N), or for each batch (batches, N, ...).
        rates = [each.learning_rate_schedule(config.steps) for each in configs]
        self.learning_rates = np.stack(rates, axis=1).astype(np.float32)
        batches = config.steps * config.grad_accumulation_steps
        rows = [each.batch_rows(len(task.train), batches, batch_size) for each in configs]
        self.batch_rows = np.stack(rows, axis=1)
        dropout = [each.backbone_dropout or 0.0 for each in configs]
        self.dropout_rates = mx.array(dropout) if any(dropout) else 0.0
        self.dropout_keys = (
            np.stack([each.dropout_keys(batches) for each in configs], axis=1)
            if any(dropout) or isinstance(self.model, OwnModel)
            else None
        )
        self.way_chosen: str | None = None  # what is to be said of it
        if isinstance(self.model, OwnModel):
            self.choose_way(self.model)

        self.is_reported = True  # to on_evaluate: the last evaluation
        self.checkpoint: Checkpoint | None = None
        if checkpoint is not None:
            run = describe_run(models, task, config, configs, self.time_scalers)
            self.checkpoint = Checkpoint(checkpoint, run, self.layout.to_matrix(unscaled))
            self.take_up(self.checkpoint)

    @property
    def members(self) -> Sequence[MemberState]:
        """What has happened to each member."""
        return self.reached.members

    @property
    def histories(self) -> list[History]:
        """The history of each member so far."""
        return [member.history() for member in self.members]

    @property
    def parameters(self) -> Any:
        """The tree of parameters, each array (N, ...)."""
        return self.layout.to_tree(self.matrix)

    def loss(
        self,
        parameters: Any,
        batch: tuple[mx.array, mx.array, mx.array | None, mx.array | None, mx.array | None],
        dropout_rates: mx.array | float,
        dropout_keys: mx.array | None,
    ) -> tuple[mx.array, mx.array]:
        """Sum over members (whose gradient is each member's own), and the loss of each (N,)."""
        x, targets, time_delta, mask, weights = batch
        self.model.update(parameters)
        out, _ = self.model.forward(
            x, None, 1.0 if time_delta is None else time_delta, mask, dropout_rate=dropout_rates, keys=dropout_keys
        )
        losses = self.loss_of_task.mean(out, targets, weights)
        return losses.sum(), losses

    def batch_gradient(self, i: int) -> tuple[mx.array, mx.array]:
        """The losses (N,) and gradients (N, P) on batch ``i``, as many members at once as memory allows."""
        members = len(self.active)
        if self.group_size >= members:
            return self.group_gradient(i, slice(None))
        groups = []
        for first in range(0, members, self.group_size):
            groups.append(self.group_gradient(i, slice(first, first + self.group_size)))
            mx.eval(groups[-1])  # one group in memory at a time
        losses, gradients = zip(*groups, strict=True)
        return mx.concatenate(list(losses)), mx.concatenate(list(gradients))

    def choose_way(self, model: OwnModel) -> None:
        """Decide how gradients and predictions of an own module's population are computed, on the first batch."""
        members = [*{0, len(self.members) // 2, len(self.members) - 1}]  # few: memory is planned later
        parameters = tree_map(lambda array: array[mx.array(members)], self.parameters)
        batch, rates, keys = self.batch(0, members)
        with training_kernels():
            self.way_chosen = model.choose_way(self.loss, parameters, batch, rates, keys)
            model.choose_forward(parameters, *some_sequences(self.task.validation))
        told = [replace(member, way=model.way) for member in self.members]
        self.reached = self.reached._replace(members=told)

    def batch(self, i: int, group: slice | list[int]) -> tuple[Any, mx.array | float, mx.array | None]:
        """Of some members batch ``i``, dropout rates and keys."""
        rows = mx.array(self.batch_rows[i][group])
        x, mask, targets, weights = self.data
        mask, weights = (None if array is None else array[rows] for array in (mask, weights))
        data = x[rows], targets[rows], self.time_steps.of_batch(rows, group), mask, weights
        keys = None if self.dropout_keys is None else mx.array(self.dropout_keys[i][group])
        if not isinstance(self.dropout_rates, mx.array):
            return data, self.dropout_rates, keys
        return data, self.dropout_rates[mx.array(group) if isinstance(group, list) else group], keys

    def group_gradient(self, i: int, group: slice) -> tuple[mx.array, mx.array]:
        """The losses (n,) and gradients (n, P) of some members."""
        batch, rates, keys = self.batch(i, group)
        arguments = self.layout.to_tree(self.matrix[group]), batch, rates, keys
        if isinstance(self.model, OwnModel):
            with training_kernels():
                losses, gradients = self.model.gradient(self.loss, *arguments)
            return losses, self.layout.to_matrix(gradients)
        with training_kernels(), self.layers_mode(self.model, lambda: self.loss(*arguments)):
            gradient = mx.value_and_grad(self.loss)  # an attribute would hold this object in a circle
            (_, losses), gradients = gradient(*arguments)
        return losses, self.layout.to_matrix(gradients)

    def layers_mode(self, model: RecurrentModel, loss: Callable[[], Any]) -> AbstractContextManager[None]:
        """How the layers run while MLX differentiates the loss."""
        if model.has_native_kernel and self.layout.is_single and is_native_on():
            return eager()
        # Without custom gradients there is little to gain, and the forward pass would run twice.
        return precompute(loss) if model.has_fused_kernel else nullcontext()

    def plan_memory(self, progress: Progress) -> None:
        """Measure one member's gradient and its predictions, and say so if not all fit together."""
        self.memory_is_planned = True
        if self.way_chosen is not None:
            progress.write(self.way_chosen, topic=self.members[0].way)
        if len(self.active) < 2:
            return
        split, time_steps = self.task.validation, self.validation_time_steps
        self.group_size = self.largest_group("gradient", lambda: self.group_gradient(0, slice(1)), progress)
        self.prediction_group_size = self.largest_group(
            "predictions", lambda: predict_first(self.model, self.parameters, split, time_steps), progress
        )

    def largest_group(self, what: str, compute_first: Callable[[], Any], progress: Progress) -> int:
        """How many members fit in memory together, by what computing the first one takes."""
        members = len(self.active)
        each = peak_memory_mb(compute_first)
        count = members_at_once(members, each, self.config.memory_mb)
        if count < members:
            progress.write(
                f"{count} of {members} members at a time: each needs about {each:.0f} MB for its {what}"
            )
        return count

    def step(self, t: int) -> mx.array:
        """Update the parameters; returns the losses (N,), unevaluated."""
        count = self.config.grad_accumulation_steps
        total, gradients = self.batch_gradient(t * count)
        for i in range(t * count + 1, (t + 1) * count):
            mx.eval(gradients, total)  # one batch in memory at a time
            losses, more = self.batch_gradient(i)
            gradients = gradients + more
            total = total + losses
        if count > 1:
            gradients = gradients / count
            total = total / count
        if self.clip_norms is not None:
            gradients = clip(gradients, self.clip_norms)
        self.matrix = self.optimizer.update(self.matrix, gradients, mx.array(self.learning_rates[t]))
        return total

    @training_stream()
    def train(self, progress: Progress, share: float, until: int | None = None) -> Any:
        """Take the steps that are left, or those up to ``until``; returns the best parameters of every member so far.

        ``until`` must be a step after which members are evaluated. The steps together move the bar by ``share``.
        Training that paused ends with the same bits as training that did not.
        """
        until = self.config.steps if until is None else until
        first, bar_before = self.steps_taken, progress.done
        losses: list[mx.array] = []
        last_evaluation = time.perf_counter()
        if first < until and self.active and not self.memory_is_planned:
            self.plan_memory(progress)
        if not self.is_reported:  # it was interrupted while on_evaluate ran
            self.report()
        elif first == 0:
            self.save()  # an error now costs nothing
        with WorkerThreadAffinity() as affinity:
            for t in range(first, until if self.active else first):
                affinity.step()
                losses.append(self.step(t))
                mx.async_eval(self.matrix, self.optimizer.state, losses[-1])
                if len(losses) > 1:
                    mx.eval(losses[-2])  # build the next step's graph while this one runs, no further ahead
                progress.reach(int(bar_before + share * (t + 1 - first) / (until - first)))
                if (t + 1) % self.config.evaluation_interval and t + 1 < until:
                    continue
                loss_table = np.array(mx.stack(losses))
                losses = []
                outputs = self.predict_validation()
                affinity.release_affinity()  # a custom metric, or on_evaluate, may start threads or processes
                now = time.perf_counter()
                self.record_evaluation(t + 1, loss_table, outputs, now - last_evaluation, progress)
                self.report()
                last_evaluation = now
                if not self.active:
                    break
        self.steps_taken = max(self.steps_taken, until)
        progress.reach(int(bar_before + share))
        return self.layout.to_tree(self.reached.best)

    def predict_validation(self) -> Sequence[npt.NDArray[np.float32]]:
        """What each active member predicts for the validation split."""
        split, time_steps = self.task.validation, self.validation_time_steps
        return list(predict_population(self.model, self.parameters, split, time_steps, self.prediction_group_size))

    def record_evaluation(
        self,
        step: int,
        losses: npt.NDArray[np.float32],
        outputs: Sequence[npt.NDArray[np.float32]],
        seconds: float,
        progress: Progress,
    ) -> None:
        """Note losses (steps, N) and each active member's predictions, and keep what improved."""
        members, improved = list(self.members), []
        for position, i in enumerate(self.active):
            score, each = self.score(i, outputs[position]), seconds / len(self.active)
            member = members[i].evaluated(step, losses[:, position], score, each)
            if member.improved:
                improved.append(position)
                progress.add_score(score)
            if step < self.config.steps and member.should_stop(self.config.patience):
                member = replace(member, status="stopped early")
            members[i] = member
        self.reached = Reached(members, self.keep(self.reached.best, improved))
        self.steps_taken = step

    def report(self) -> None:
        """Tell of the evaluation, go on without what has ended, and save what a killed process is to go on with."""
        if self.reporter is not None:
            self.is_reported = False
            self.save()  # what on_evaluate raises, or a kill meanwhile, loses nothing
            told = [(i, self.members[i]) for i in self.active]
            for i in self.reporter.report(told, self.config.steps, self.parameters):
                if self.steps_taken < self.config.steps and self.members[i].status == "finished":
                    self.end(i, "stopped early", f"on_evaluate returned True at step {self.steps_taken}")
        self.is_reported = True
        self.drop([position for position, i in enumerate(self.active) if self.members[i].status != "finished"])
        self.save()

    def end(self, member: int, status: str, reason: str | None) -> None:
        """Note why a member trains no further."""
        members = list(self.members)
        members[member] = replace(members[member], status=status, reason=reason)
        self.reached = Reached(members, self.reached.best)

    def interrupt(self, error: BaseException) -> None:
        """Note that those still in training have not come to their end, and why."""
        when = f"after the evaluation at step {self.steps_taken}" if self.steps_taken else "before any evaluation"
        for i in self.active:
            member = self.members[i]
            if member.status == "finished" and member.step[-1:] != (self.config.steps,):
                self.end(i, "interrupted", f"{type(error).__name__} {when}")

    def give_best(self, models: Sequence[Any]) -> None:
        """Give each model its member's best parameters, scale of time and loss; one without a score keeps its own."""
        kept = [i for i, member in enumerate(self.members) if member.best is not None]
        if kept:
            best = self.layout.to_tree(self.reached.best[mx.array(kept)])
            unstack_parameters([models[i] for i in kept], best)
        for i in kept:
            models[i].time_scaler = self.time_scalers[i]
        for i, model in enumerate(models):
            if i in kept or loss_of_model(model) is None:
                model.loss = self.loss_of_task.loss

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        if self.checkpoint is None:
            return
        arrays = {"best": self.reached.best}
        if self.active:
            first, second = self.optimizer.state
            arrays |= {"parameters": self.matrix, "first_moment": first, "second_moment": second}
        state = {
            "steps_taken": self.steps_taken,
            "active": self.active,
            "is_reported": self.is_reported,
            "members": [member.to_json() for member in self.members],
        }
        self.checkpoint.write(arrays, state)

    def take_up(self, checkpoint: Checkpoint) -> None:
        """Go on from what :meth:`save` wrote, if it did: by the same means, with the bits of one without a pause."""
        saved = checkpoint.read()
        if saved is None:
            return
        state, arrays = saved.state, saved.arrays
        checkpoint.accept(saved, self.layout.to_matrix(self.layout.to_tree(arrays["best"])))  # as models hold it
        members = [member.from_json(each) for member, each in zip(self.members, state["members"], strict=True)]
        self.drop([position for position, i in enumerate(self.active) if i not in state["active"]])
        self.reached = Reached(members, arrays["best"])
        self.steps_taken, self.is_reported = state["steps_taken"], state["is_reported"]
        if self.active:
            self.matrix = arrays["parameters"]
            self.optimizer.restore(arrays["first_moment"], arrays["second_moment"], self.steps_taken)
        if self.active and self.steps_taken < self.config.steps:
            warn_of_differences(f"What {checkpoint.path} holds", differences(saved.numerics), stacklevel=6)

    @training_stream()
    def prune(self, reasons: Mapping[int, str]) -> None:
        """Go on without these members, which keep what they have reached; each with its reason."""
        for i, reason in reasons.items():
            self.end(i, "pruned", reason)
        self.drop([position for position, i in enumerate(self.active) if i in reasons])

    def task_of(self, member: int) -> Task:  # noqa: ARG002  # one for all, here
        """What a member learns."""
        return self.task

    def score(self, member: int, outputs: npt.NDArray[np.float32]) -> float:
        """The validation score of one member, nan if its outputs are not finite."""
        finite = np.isfinite(outputs).all()
        return self.task_of(member).score(outputs, "validation", loss=self.loss_of_task.loss) if finite else math.nan

    def keep(self, best: mx.array, improved: list[int]) -> mx.array:
        """Copy the parameters at these positions among the active members into the best so far."""
        replaced = np.zeros(len(self.members), dtype=bool)
        replaced[[self.active[position] for position in improved]] = True
        positions = np.zeros(len(self.members), dtype=np.int32)
        positions[self.active] = np.arange(len(self.active))
        best = mx.where(mx.array(replaced)[:, None], self.matrix[mx.array(positions)], best)
        mx.eval(best)
        return best

    def drop(self, ended: list[int]) -> None:
        """Go on without the members at these positions among the active ones."""
        if not ended:
            return
        kept = [position for position in range(len(self.active)) if position not in set(ended)]
        self.active = [self.active[position] for position in kept]
        if not kept:
            return
        members = mx.array(kept)
        self.matrix = self.matrix[members]
        self.optimizer.take(members)
        self.batch_rows, self.learning_rates = self.batch_rows[:, kept], self.learning_rates[:, kept]
        self.time_steps = self.time_steps.take(kept)
        self.validation_time_steps = self.validation_time_steps.take(kept)
        self.clip_norms = None if self.clip_norms is None else self.clip_norms[members]
        self.dropout_keys = None if self.dropout_keys is None else self.dropout_keys[:, kept]
        if isinstance(self.dropout_rates, mx.array):
            self.dropout_rates = self.dropout_rates[members]
