"""One member of a population in training: its settings, its random streams and what happened to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._trials import History
from ncps_mlx._utils.validation import check_choice, check_int, check_number
from ncps_mlx.data._time_scaler import KINDS
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._validation import check_dropout_applies
from ncps_mlx.training._optimizers import SCHEDULES, schedule_factors

__all__ = ["Member", "check_scale_applies"]


def check_scale_applies(scale: float, model: RecurrentModel) -> None:
    """Refuse to scale the weights that a wired LTC begins with: its parameters are drawn from ranges.

    Raises:
        ValueError: The scale is not 1, and the model is a wired LTC.

    Example:
        >>> from ncps_mlx import LTC, FullyConnected
        >>> check_scale_applies(0.5, LTC(3, 11))
        >>> check_scale_applies(0.5, LTC(3, wiring=FullyConnected(11)))
        Traceback (most recent call last):
        ...
        ValueError: initial_scale must be 1 for an LTC with a wiring, whose parameters begin within ranges, got 0.5. Set
        its initial_ranges.
    """
    if scale != 1.0 and model.wiring is not None and "initial_ranges" in model.config:
        raise ValueError(
            "initial_scale must be 1 for an LTC with a wiring, whose parameters begin within ranges, got "
            f"{scale}. Set its initial_ranges."
        )


@dataclass(kw_only=True)
class Member:
    """One configuration in training: its settings, its random streams and what happened so far."""

    learning_rates: npt.NDArray[np.float64]
    weight_decay: float
    clip_norm: float
    dropout: float
    seed: int
    time_scaling: str = "raw"
    initial_scale: float = 1.0
    higher: bool = False
    step: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: int | None = None
    status: str = "finished"
    reason: str | None = None
    seconds: float = 0.0

    @classmethod
    def checked(cls, model: RecurrentModel, steps: int, optimizer: str, given: dict[str, Any]) -> Member:
        """Check the settings of one member."""
        rate = check_number("learning_rate", given["learning_rate"], low=0, open_low=True)
        decay = check_number("weight_decay", given["weight_decay"], low=0)
        if decay > 0 and optimizer != "adamw":
            raise ValueError(
                f"weight_decay must be 0 with optimizer={optimizer!r}, got {decay}; choose optimizer='adamw'."
            )
        limit = given["clip_norm"]
        limit = math.inf if limit is None else check_number("clip_norm", limit, low=0, open_low=True)
        drop = model.backbone_dropout if given["backbone_dropout"] is None else given["backbone_dropout"]
        drop = check_number("backbone_dropout", drop, low=0, high=1, open_high=True)
        check_dropout_applies(drop, model.dropout_layer_count)
        check_choice("schedule", given["schedule"], SCHEDULES)
        scale = check_number("initial_scale", given.get("initial_scale", 1.0), low=0, open_low=True)
        check_scale_applies(scale, model)
        return cls(
            learning_rates=rate * schedule_factors(given["schedule"], steps, given["warmup_steps"]),
            weight_decay=decay,
            clip_norm=limit,
            dropout=drop,
            seed=check_int("seed", given["seed"], minimum=0),
            time_scaling=check_choice("time_scaling", given.get("time_scaling", "raw"), KINDS),
            initial_scale=scale,
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
        if self.best is None or (
            (score > self.scores[self.best]) == higher and score != self.scores[self.best]
        ):
            self.best = len(self.scores) - 1
            return True
        return False

    def waited(self, patience: int | None) -> bool:
        """Whether ``patience`` evaluations have passed since the best one."""
        if patience is None or self.best is None or self.status == "diverged":
            return False
        return len(self.scores) - 1 - self.best >= patience

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
