"""The training loop of a population, and its one training step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.custom_vjp import precompute
from ncps_mlx._kernels.tanh import current_tanh, tanh_implementation
from ncps_mlx._runtime.memory_budget import members_at_once, peak_memory_mb
from ncps_mlx._runtime.thread_affinity import WorkerThreadAffinity
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data._task import Task
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.training._member import Member
from ncps_mlx.training._optimizers import PopulationAdam, clip
from ncps_mlx.training._parameter_matrix import Layout
from ncps_mlx.training._population import as_arrays, predict_first, predict_population
from ncps_mlx.training._time_steps import Clock, check_time_scaling

__all__ = ["Run"]


class Run:
    """The arrays of the members still in training, and their one training step.

    Args:
        model: A model of their shape, whose parameters are replaced.
        task: What to learn.
        parameters: Theirs, each array (N, ...).
        members: Their settings.
        steps: Updates of the parameters.
        batch_size: B.
        grad_accumulation_steps: Batches for one update.
        evaluate_every: Steps between evaluations in :meth:`train`; ``None`` evaluates after the last.
        patience: Evaluations without a better one before a member stops; ``None`` for all steps.
        memory_mb: Megabytes that the members' gradients, or their predictions, may take together, else they are
            computed in groups; ``None`` for a quarter of the machine's.
    """

    def __init__(
        self,
        model: RecurrentModel,
        task: Task,
        parameters: Any,
        members: list[Member],
        steps: int,
        batch_size: int,
        grad_accumulation_steps: int,
        *,
        evaluate_every: int | None = None,
        patience: int | None = None,
        memory_mb: float | None = None,
    ) -> None:
        self.model, self.task, self.members = model, task, members
        self.steps, self.grad_accumulation_steps = steps, grad_accumulation_steps
        self.evaluate_every = steps if evaluate_every is None else evaluate_every
        self.patience = patience
        self.memory_mb = memory_mb
        self.at_once = len(members)  # whose gradients are computed together
        self.evaluated_at_once = len(members)
        self.layout = Layout(parameters)
        self.matrix = self.layout.join(parameters)
        self.best = self.matrix
        self.active = list(range(len(members)))
        self.taken = 0  # steps
        self.data = as_arrays(task.train)
        scalers = [check_time_scaling(m.time_scaling, task) for m in members]
        self.clock = Clock(task.train.time_delta, scalers)
        self.validation_clock = Clock(task.validation.time_delta, scalers)
        count = steps * grad_accumulation_steps
        # (batches, N, ...): row t holds what every member needs for batch t.
        self.rows = np.stack([m.batches(len(task.train), count, batch_size) for m in members], axis=1)
        self.rates = np.stack([m.learning_rates for m in members], axis=1).astype(np.float32)
        self.dropout = mx.array([m.dropout for m in members]) if any(m.dropout for m in members) else 0.0
        self.keys = (
            np.stack([m.keys(count) for m in members], axis=1) if isinstance(self.dropout, mx.array) else None
        )
        limits = [m.clip_norm for m in members]
        self.limits = mx.array(limits) if any(map(math.isfinite, limits)) else None
        self.optimizer = PopulationAdam(self.matrix, mx.array([m.weight_decay for m in members]))

    @property
    def parameters(self) -> Any:
        """The tree of parameters, each array (N, ...)."""
        return self.layout.tree(self.matrix)

    def loss(
        self,
        parameters: Any,
        batch: tuple[mx.array, mx.array, mx.array | None, mx.array | None],
        rates: mx.array | float,
        keys: mx.array | None,
    ) -> tuple[mx.array, mx.array]:
        """Sum over members (whose gradient is each member's own), and the loss of each (N,)."""
        x, y, time_delta, mask = batch
        self.model.update(parameters)
        out, _ = self.model.forward(
            x, None, 1.0 if time_delta is None else time_delta, mask, dropout_rate=rates, keys=keys
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

    def batch_gradient(self, i: int) -> tuple[mx.array, mx.array]:
        """The losses (N,) and gradients (N, P) on batch ``i``, as many members at once as memory allows."""
        members = len(self.active)
        if self.at_once >= members:
            return self.group_gradient(i, slice(None))
        groups = []
        for first in range(0, members, self.at_once):
            groups.append(self.group_gradient(i, slice(first, first + self.at_once)))
            mx.eval(groups[-1])  # one group in memory at a time
        losses, gradients = zip(*groups, strict=True)
        return mx.concatenate(list(losses)), mx.concatenate(list(gradients))

    def group_gradient(self, i: int, group: slice) -> tuple[mx.array, mx.array]:
        """The losses (n,) and gradients (n, P) of some members."""
        rows = mx.array(self.rows[i][group])
        x, y, mask = self.data
        batch = (x[rows], y[rows], self.clock.rows(rows, group), None if mask is None else mask[rows])
        keys = None if self.keys is None else mx.array(self.keys[i][group])
        rates = self.dropout[group] if isinstance(self.dropout, mx.array) else self.dropout
        parameters = self.layout.tree(self.matrix[group])
        given = parameters, batch, rates, keys
        with tanh_implementation(current_tanh()):
            # Without custom gradients there is little to gain, and the forward pass would run twice.
            ahead = precompute(lambda: self.loss(*given)) if self.model.has_fused_kernel else nullcontext()
            with ahead:
                gradient = mx.value_and_grad(self.loss)  # an attribute would hold this object in a circle
                (_, losses), gradients = gradient(*given)
        return losses, self.layout.join(gradients)

    def plan_memory(self, progress: Progress) -> None:
        """Measure one member's gradient and its predictions, and say so if not all fit together."""
        if len(self.active) < 2:
            return
        split, clock = self.task.validation, self.validation_clock
        self.at_once = self.fitting("gradient", lambda: self.group_gradient(0, slice(1)), progress)
        self.evaluated_at_once = self.fitting(
            "predictions", lambda: predict_first(self.model, self.parameters, split, clock), progress
        )

    def fitting(self, what: str, of_one: Callable[[], Any], progress: Progress) -> int:
        """How many members fit in memory together, by what one takes."""
        members = len(self.active)
        each = peak_memory_mb(of_one)
        count = members_at_once(members, each, self.memory_mb)
        if count < members:
            progress.write(
                f"{count} of {members} members at a time: each needs about {each:.0f} MB for its {what}"
            )
        return count

    def step(self, t: int) -> mx.array:
        """Update the parameters; returns the losses (N,), unevaluated."""
        first = t * self.grad_accumulation_steps
        total, gradients = self.batch_gradient(first)
        for i in range(first + 1, first + self.grad_accumulation_steps):
            mx.eval(gradients, total)  # one batch in memory at a time
            more, new = self.batch_gradient(i)
            gradients = gradients + new
            total = total + more
        if self.grad_accumulation_steps > 1:
            gradients = gradients / self.grad_accumulation_steps
            total = total / self.grad_accumulation_steps
        if self.limits is not None:
            gradients = clip(gradients, self.limits)
        self.matrix = self.optimizer.update(self.matrix, gradients, mx.array(self.rates[t]))
        return total

    def train(self, progress: Progress, share: float, until: int | None = None) -> Any:
        """Take the steps that are left, or some of them; returns the best parameters of every member so far.

        A training that is taken further is the same, to the last bit, as one that never paused.

        Args:
            progress: The bar to move.
            share: How far these steps together move it.
            until: The step after which to pause, one at which members are evaluated; ``None`` for the last.
        """
        until = self.steps if until is None else until
        higher = self.task.higher_is_better
        losses: list[mx.array] = []
        clock = time.perf_counter()
        begun, before = self.taken, progress.done
        if begun == 0:
            self.plan_memory(progress)
        with WorkerThreadAffinity() as affinity:
            for t in range(begun, until if self.active else begun):
                affinity.step()
                losses.append(self.step(t))
                mx.async_eval(self.matrix, self.optimizer.state, losses[-1])
                if len(losses) > 1:
                    mx.eval(losses[-2])  # build the next step's graph while this one runs, no further ahead
                progress.reach(int(before + share * (t + 1 - begun) / (until - begun)))
                if (t + 1) % self.evaluate_every and t + 1 < until:
                    continue
                table = np.array(mx.stack(losses))
                losses = []
                outputs = predict_population(
                    self.model,
                    self.parameters,
                    self.task.validation,
                    self.validation_clock,
                    self.evaluated_at_once,
                )
                affinity.release_affinity()  # a metric of the user's may begin threads or processes
                now = time.perf_counter()
                seconds, clock = (now - clock) / len(self.active), now
                improved, finished = [], []
                for place, i in enumerate(self.active):
                    member = self.members[i]
                    score = self.score(outputs[place])
                    if member.record(t + 1, table[:, place], score, higher):
                        improved.append(place)
                    member.seconds += seconds
                    if t + 1 < self.steps and member.waited(self.patience):
                        member.status = "stopped early"
                    if member.status != "finished":
                        finished.append(place)
                self.best = self.keep(self.best, improved)
                for place in improved:
                    progress.add_score(self.members[self.active[place]].scores[-1])
                self.drop(finished)
                if not self.active:
                    break
        self.taken = until
        progress.reach(int(before + share))
        return self.layout.tree(self.best)

    def prune(self, reasons: Mapping[int, str]) -> None:
        """Go on without these members, which keep what they have reached; each with its reason."""
        for i, reason in reasons.items():
            self.members[i].status, self.members[i].reason = "pruned", reason
        self.drop([place for place, i in enumerate(self.active) if i in reasons])

    def score(self, outputs: npt.NDArray[np.float32]) -> float:
        """The validation score of one member, nan if its outputs are not finite."""
        return self.task.score(outputs, "validation") if np.isfinite(outputs).all() else math.nan

    def keep(self, best: mx.array, improved: list[int]) -> mx.array:
        """Copy the parameters of the members that improved into the best so far."""
        chosen = np.zeros(len(self.members), dtype=bool)
        chosen[[self.active[place] for place in improved]] = True
        places = np.zeros(len(self.members), dtype=np.int32)
        places[self.active] = np.arange(len(self.active))
        where, source = mx.array(chosen), mx.array(places)
        best = mx.where(where[:, None], self.matrix[source], best)
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
        self.matrix = self.matrix[members]
        self.optimizer.take(members)
        self.rows, self.rates = self.rows[:, kept], self.rates[:, kept]
        self.clock, self.validation_clock = self.clock.take(kept), self.validation_clock.take(kept)
        self.limits = None if self.limits is None else self.limits[members]
        self.keys = None if self.keys is None else self.keys[:, kept]
        if isinstance(self.dropout, mx.array):
            self.dropout = self.dropout[members]
