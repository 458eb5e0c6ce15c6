"""One population whose members learn different draws of a task's data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data._split import Split
from ncps_mlx.data._task import Task
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._population import predict_population
from ncps_mlx.training._time_steps import MemberTimeSteps, check_time_scaling
from ncps_mlx.training._trainer import PopulationTrainer

__all__ = ["DrawsTrainer"]


class DrawsTrainer(PopulationTrainer):
    """Trains models as one population, each on its own draw: to the same bits as each alone.

    A step of a small population costs little more than one of a single model, so that ten draws with a member each take
    a third of the time. The training splits are joined, and each member's batches come from its own part; each is
    evaluated on its own validation split. The draws agree in all but their data.
    """

    @training_stream()
    def __init__(
        self,
        models: Sequence[nn.Module],
        tasks: Sequence[Task],
        config: FitConfig,
        member_configs: Sequence[MemberConfig],
    ) -> None:
        draws = list({id(task): task for task in tasks}.values())
        self.tasks, self.draws = list(tasks), draws
        draw_of = [next(i for i, draw in enumerate(draws) if draw is task) for task in tasks]
        super().__init__(models, joined(draws), config, member_configs)
        self.time_scalers = [
            check_time_scaling(member.config.time_scaling, model, task)
            for member, model, task in zip(self.members, models, tasks, strict=True)
        ]
        loss = self.loss_of_task.loss
        means = [task.mean_score("validation", loss=loss) for task in tasks]
        members = [replace(member, mean_score=mean) for member, mean in zip(self.members, means, strict=True)]
        self.reached = self.reached._replace(members=members)
        self.time_steps = MemberTimeSteps(self.task.train, self.time_scalers)
        sizes = [len(draw.train) for draw in draws]
        first = np.cumsum([0, *sizes])
        batches = self.config.steps * self.config.grad_accumulation_steps
        batch_size = self.batch_rows.shape[2]
        rows = [
            member.config.batch_rows(sizes[draw], batches, batch_size) + first[draw]
            for member, draw in zip(self.members, draw_of, strict=True)
        ]
        self.batch_rows = np.stack(rows, axis=1).astype(np.int32)

    def task_of(self, member: int) -> Task:
        """The draw that a member learns."""
        return self.tasks[member]

    def predict_validation(self) -> Sequence[npt.NDArray[np.float32]]:
        """What each active member predicts for the validation split of its draw."""
        return self.predict("validation", self.matrix, self.active)

    def predict(self, split: str, matrix: mx.array, members: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """What these members predict with these parameters (n, P) for a split of their draws."""
        found: dict[int, npt.NDArray[np.float32]] = {}
        for draw in self.draws:
            positions = [position for position, i in enumerate(members) if self.tasks[i] is draw]
            if positions:
                data = draw.splits[split]
                time_steps = MemberTimeSteps(data, [self.time_scalers[members[each]] for each in positions])
                part = self.layout.to_tree(matrix[mx.array(positions)])
                outputs = predict_population(self.model, part, data, time_steps, self.prediction_group_size)
                found |= dict(zip(positions, outputs, strict=True))
        return [found[position] for position in range(len(members))]


def joined(draws: Sequence[Task]) -> Task:
    """The first draw with the training sequences of all: what one holds out may be trained by a member of another."""
    if len(draws) == 1:
        return draws[0]
    train: Split = reduce(add, (draw.train for draw in draws))
    task = copy.copy(draws[0])
    task._set(train=train, _scalers={}, _mean_scores={})
    return task
