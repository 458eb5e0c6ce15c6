"""Scores of a trained population on all splits, at the step that was kept and at the last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy.typing as npt

from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data._anomalies import detection_scores
from ncps_mlx.training._population import predict_population
from ncps_mlx.training._time_steps import MemberTimeSteps
from ncps_mlx.training._trainer import PopulationTrainer

__all__ = ["DETECTION", "MemberScores", "Scores", "scores_of"]

Scores = dict[str, float | None]
"""By split; ``None`` where there is none."""

DETECTION = ("auroc", "average_precision")
"""Metrics of residuals on a test split with labels."""


@dataclass(frozen=True, kw_only=True)
class MemberScores:
    """What one member scores, by split: with the parameters that were kept, and with the last ones.

    Attributes:
        kept: The task's metric at the best evaluation.
        last: The same at the last step; ``None`` for each split if training ended before.
        metrics: Other metrics, of what was kept.
    """

    kept: Scores
    last: Scores
    metrics: Mapping[str, Scores]


@training_stream()
def scores_of(trainer: PopulationTrainer, metrics: Sequence[str] = ()) -> list[MemberScores]:
    """Score every member of a population whose training has ended."""
    count, splits = len(trainer.members), tuple(trainer.task.splits)
    known = [member.best is not None and member.status != "diverged" for member in trainer.members]
    nothing: Scores = dict.fromkeys(splits)
    kept = [dict(nothing) for _ in range(count)]
    last = [dict(nothing) for _ in range(count)]
    more: list[dict[str, Scores]] = [{name: dict(nothing) for name in metrics} for _ in range(count)]
    at_end = [i for i in trainer.active if trainer.members[i].step[-1:] == (trainer.config.steps,)]
    every = list(range(count))
    for split in splits:
        for i, outputs in zip(every, _outputs(trainer, split, trainer.reached.best, every), strict=True):
            if known[i]:
                kept[i][split] = _score(trainer, split, outputs, None)
                for name in metrics:
                    more[i][name][split] = _score(trainer, split, outputs, name)
        if at_end:
            rows = mx.array([trainer.active.index(i) for i in at_end])
            for i, outputs in zip(at_end, _outputs(trainer, split, trainer.matrix[rows], at_end), strict=True):
                last[i][split] = _score(trainer, split, outputs, None)
    return [MemberScores(kept=kept[i], last=last[i], metrics=more[i]) for i in range(count)]


def _outputs(trainer: PopulationTrainer, split: str, matrix: mx.array, members: Sequence[int]) -> npt.NDArray[Any]:
    data = trainer.task.splits[split]
    time_steps = MemberTimeSteps(data, [trainer.time_scalers[i] for i in members])
    parameters = trainer.layout.to_tree(matrix)
    return predict_population(trainer.model, parameters, data, time_steps, trainer.prediction_group_size)


def _score(trainer: PopulationTrainer, split: str, outputs: npt.NDArray[Any], metric: str | None) -> float | None:
    task, loss = trainer.task, trainer.loss_of_task.loss
    if metric in DETECTION:
        if split != "test":
            return None
        return detection_scores(task, outputs - task.test.y)[metric]
    value = task.score(outputs, split, metric=metric, loss=loss)
    return value if math.isfinite(value) else None
