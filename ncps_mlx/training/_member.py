"""What has happened to one member of a population in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ncps_mlx._trials import WORSE_THAN_MEAN, History
from ncps_mlx.training._config import MemberConfig

__all__ = ["MemberState"]

GIVEN = ("config", "higher_is_better", "metric", "mean_score")  # what a member begins with


@dataclass(frozen=True, kw_only=True)
class MemberState:
    """One configuration in training, and what has happened so far."""

    config: MemberConfig
    higher_is_better: bool
    metric: str
    mean_score: float  # of a constant answer
    step: tuple[int, ...] = ()
    train_loss: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    best: int | None = None  # index of the best evaluation
    status: str = "finished"
    reason: str | None = None
    seconds: float = 0.0
    way: str | None = None  # how an own module's gradients are computed

    def evaluated(self, step: int, losses: npt.NDArray[np.float32], score: float, seconds: float) -> Self:
        """The state after an evaluation, given the losses and the seconds since the one before."""
        bad = np.flatnonzero(~np.isfinite(losses))
        loss = float(np.mean(losses, dtype=np.float64)) if not bad.size else float(losses[bad[0]])
        reason = None
        if bad.size:
            first = step - len(losses) + 1 + int(bad[0])
            reason = f"the training loss became {loss} at step {first}"
        elif not math.isfinite(score):
            reason = f"the validation score became {score} at step {step}"
        return replace(
            self,
            step=(*self.step, step),
            train_loss=(*self.train_loss, loss),
            scores=(*self.scores, score),
            best=len(self.scores) if reason is None and self.is_better(score) else self.best,
            status=self.status if reason is None else "diverged",
            reason=reason,
            seconds=self.seconds + seconds,
        )

    def is_better(self, score: float) -> bool:
        """Whether a score would be the best so far."""
        if self.best is None:
            return True
        best = self.scores[self.best]
        return score != best and (score > best) == self.higher_is_better

    @property
    def improved(self) -> bool:
        """Whether the last evaluation is the best so far."""
        return self.best is not None and self.best == len(self.scores) - 1

    @property
    def best_score(self) -> float:
        """The best score so far, infinitely bad without one and once training has diverged."""
        if self.best is None or self.status == "diverged":
            return -math.inf if self.higher_is_better else math.inf
        return self.scores[self.best]

    def should_stop(self, patience: int | None) -> bool:
        """Whether ``patience`` evaluations have passed since the best one."""
        if patience is None or self.best is None or self.status == "diverged":
            return False
        return len(self.scores) - 1 - self.best >= patience

    def to_json(self) -> dict[str, Any]:
        """What has happened, as JSON holds it."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in GIVEN}

    def from_json(self, written: Mapping[str, Any]) -> Self:
        """The same configuration, with what has happened to it as :meth:`to_json` wrote it."""
        happened: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in written.items()
        }
        return replace(self, **happened)

    def history(self) -> History:
        """What :func:`~ncps_mlx.fit` returns."""
        reason, mean = self.reason, self.mean_score
        is_worse = self.best_score < mean if self.higher_is_better else self.best_score > mean  # neither if NaN
        if reason is None and is_worse and self.status in ("finished", "stopped early"):
            reason = f"{WORSE_THAN_MEAN}, whose {self.metric} is {mean:.4g}"
        return History(
            step=self.step,
            train_loss=self.train_loss,
            validation_score=self.scores,
            best_step=0 if self.best is None else self.step[self.best],
            best_score=self.best_score,
            status=self.status,
            reason=reason,
            seconds=self.seconds,
            way=self.way,
        )
