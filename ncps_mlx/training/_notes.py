"""What a training that has ended shows to be wrong: a line for each fault, with its cure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ncps_mlx._trials import WORSE_THAN_MEAN
from ncps_mlx._utils.progress import Progress
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.training._trainer import PopulationTrainer

__all__ = ["note_faults"]

FAR_FROM_ONE = 10.0  # times as long, or as short, as a time step of 1


def note_faults(trainer: PopulationTrainer, progress: Progress) -> None:
    """Say what is wrong with the training, where the bar is shown."""
    for each in (diverged, worse_than_mean, unit_of_time):
        for line in each(trainer):
            progress.write(line)


def diverged(trainer: PopulationTrainer) -> Iterator[str]:
    """Which members diverged, with the cause if it can be seen."""
    reasons = [each.reason for each in trainer.histories if each.status == "diverged"]
    if reasons:
        cure = cure_of_divergence(trainer)
        yield f"{len(reasons)} of {len(trainer.members)} diverged: {reasons[0]}.{cure and ' ' + cure}"


def cure_of_divergence(trainer: PopulationTrainer) -> str:
    """What is known to help, if the cause can be seen."""
    steps = trainer.task.train.time_delta
    if steps is not None and (np.asarray(steps) < 0).any():
        return "Some time steps are negative: scale them without subtracting, as time_scaling='normalized' does."
    config: dict[str, Any] = trainer.model.config if isinstance(trainer.model, RecurrentModel) else {}
    if config.get("wiring") is None and config.get("stability", "bounded") != "bounded":
        return f"stability is {config['stability']!r}: 'bounded' keeps the solver from dividing by 0."
    return ""


def worse_than_mean(trainer: PopulationTrainer) -> Iterator[str]:
    """Which members ended worse than a constant answer."""
    worse = [each.reason for each in trainer.histories if str(each.reason).startswith(WORSE_THAN_MEAN)]
    if worse:
        cure = " Are the targets standardised?" if trainer.task.kind == "regression" else ""
        yield f"{len(worse)} of {len(trainer.members)} ended {worse[0]}.{cure}"


def unit_of_time(trainer: PopulationTrainer) -> Iterator[str]:
    """Whether raw time steps are far from 1."""
    train = trainer.task.train
    if train.time_delta is None or train.scaled_by is not None or all(trainer.time_scalers):
        return
    steps = np.asarray(train.time_delta, dtype=np.float64)
    mean = float((steps if train.mask is None else steps[train.mask]).mean())
    if steps.min() >= 0 and not 1 / FAR_FROM_ONE <= mean <= FAR_FROM_ONE:
        unit = f" {trainer.task.time_unit}" if trainer.task.time_unit else ""
        yield f"time_delta has a mean of {mean:.3g}{unit}, far from 1: try time_scaling='normalized' or 'log'."
