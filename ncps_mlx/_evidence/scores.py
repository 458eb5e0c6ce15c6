"""Scores of a trained population on all splits, at the step that was kept and at the last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy.typing as npt

from ncps_mlx._evidence.domain_metrics import metric_of
from ncps_mlx._evidence.draws import DrawsTrainer
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data._anomalies import detection_scores

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
def scores_of(trainer: DrawsTrainer, metrics: Sequence[str] = ()) -> list[MemberScores]:
    """Score every member of a population whose training has ended."""
    every, splits = range(len(trainer.members)), tuple(trainer.task.splits)
    known = [i for i in every if trainer.members[i].best is not None and trainer.members[i].status != "diverged"]
    at_end = [i for i in trainer.active if trainer.members[i].step[-1:] == (trainer.config.steps,)]
    kept: list[Scores] = [dict.fromkeys(splits) for _ in every]
    last: list[Scores] = [dict.fromkeys(splits) for _ in every]
    more: list[dict[str, Scores]] = [{name: dict.fromkeys(splits) for name in metrics} for _ in every]
    for split in splits:
        for i, outputs in _outputs(trainer, split, trainer.reached.best, known, known):
            kept[i][split] = _score(trainer, i, split, outputs, None)
            for name in metrics:
                more[i][name][split] = _score(trainer, i, split, outputs, name)
        positions = [trainer.active.index(i) for i in at_end]
        for i, outputs in _outputs(trainer, split, trainer.matrix, positions, at_end):
            last[i][split] = _score(trainer, i, split, outputs, None)
    return [MemberScores(kept=kept[i], last=last[i], metrics=more[i]) for i in every]


def _outputs(
    trainer: DrawsTrainer, split: str, matrix: mx.array, rows: Sequence[int], members: Sequence[int]
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """What members predict with these rows of a matrix of parameters."""
    if members:
        yield from zip(members, trainer.predict(split, matrix[mx.array(list(rows))], members), strict=True)


def _score(
    trainer: DrawsTrainer, member: int, split: str, outputs: npt.NDArray[Any], metric: str | None
) -> float | None:
    task, loss = trainer.task_of(member), trainer.loss_of_task.loss
    if metric in DETECTION:
        if split != "test":
            return None
        return detection_scores(task, outputs - task.test.y)[metric]
    chosen: Any = None if metric is None else metric_of(metric)  # as Task.score takes one of its own making
    value = task.score(outputs, split, metric=chosen, loss=loss)
    return value if math.isfinite(value) else None
