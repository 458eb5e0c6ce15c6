"""What has happened to one member of a population in training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ncps_mlx._trials import History
from ncps_mlx.training._config import MemberConfig

__all__ = ["MemberState"]


@dataclass(kw_only=True)
class MemberState:
    """One configuration in training, and what has happened so far."""

    config: MemberConfig
    higher_is_better: bool
    step: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: int | None = None  # index of the best evaluation
    status: str = "finished"
    reason: str | None = None
    seconds: float = 0.0

    def record(self, step: int, losses: npt.NDArray[np.float32], score: float) -> bool:
        """Note an evaluation, with the losses since the one before; returns whether it is the best so far."""
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
        if self.best is not None:
            best = self.scores[self.best]
            if score == best or (score > best) != self.higher_is_better:
                return False
        self.best = len(self.scores) - 1
        return True

    def should_stop(self, patience: int | None) -> bool:
        """Whether ``patience`` evaluations have passed since the best one."""
        if patience is None or self.best is None or self.status == "diverged":
            return False
        return len(self.scores) - 1 - self.best >= patience

    def history(self) -> History:
        """What :func:`~ncps_mlx.fit` returns."""
        diverged = self.status == "diverged"
        worst = -math.inf if self.higher_is_better else math.inf
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
