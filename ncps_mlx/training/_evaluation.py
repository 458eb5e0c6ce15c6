"""``Evaluation``: what ``fit`` tells its caller while it trains, and what it is told in return."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx.losses import Loss
from ncps_mlx.training._member import MemberState
from ncps_mlx.training._population import copy_of, unstack_parameters

__all__ = ["Evaluation", "OnEvaluate", "Reporter"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation of one model in training: what ``on_evaluate`` of :func:`~ncps_mlx.fit` is called with.

    Attributes:
        member: Index of the model among those in training; 0 for one model.
        step: After how many optimizer steps.
        steps: How many there are in all.
        train_loss: Mean training loss since the evaluation before.
        score: The task's metric on the validation split, in its units; NaN if predictions were not finite.
        best_score: The best one so far; infinitely bad if training diverged.
        improved: Whether this is the best one so far, whose parameters are kept.
        seconds: The model's share of the wall-clock seconds so far.

    Example:
        >>> from ncps_mlx import CfC, fit
        >>> from ncps_mlx.data import irregular_sines
        >>> from ncps_mlx.training import Evaluation
        >>> def good_enough(evaluation: Evaluation) -> bool:
        ...     return evaluation.score < 100
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> model = CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=0)
        >>> fit(model, task, steps=20, on_evaluate=good_enough, progress=False).reason
        'on_evaluate returned True at step 2'
    """

    member: int
    step: int
    steps: int
    train_loss: float
    score: float
    best_score: float
    improved: bool
    seconds: float
    _copy: Callable[[], Any] | None = field(default=None, init=False, repr=False, compare=False)

    def model(self) -> Any:
        """Make a copy of the model with the parameters that it has at this step, not its best ones.

        Raises:
            RuntimeError: ``on_evaluate`` has returned, and training has gone on.

        Example:
            >>> import tempfile
            >>> from ncps_mlx import CfC, fit
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> model = CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=0)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     history = fit(model, task, steps=2, progress=False,
            ...                   on_evaluate=lambda e: e.model().save(f"{folder}/{e.step}.safetensors"))
        """
        if self._copy is None:
            raise RuntimeError(
                "model() must be called while on_evaluate runs: training has gone on. Keep what it returns."
            )
        return self._copy()


OnEvaluate = Callable[[Evaluation], Any]


class Reporter:
    """Calls ``on_evaluate``, and says which members are to stop."""

    def __init__(
        self,
        on_evaluate: OnEvaluate,
        models: Sequence[nn.Module],
        time_scalers: Sequence[TimeScaler | None],
        loss: Loss,
    ) -> None:
        given: Any = on_evaluate
        if not callable(given) or isinstance(given, type):
            raise ValueError(
                f"on_evaluate must be a function of an Evaluation, or None, got {on_evaluate!r:.80}."
            )
        self.on_evaluate, self.models, self.time_scalers, self.loss = on_evaluate, models, time_scalers, loss

    def report(self, members: Sequence[tuple[int, MemberState]], steps: int, parameters: Any) -> list[int]:
        """Tell of the last evaluation of each member, by its index; ``parameters`` are theirs (n, ...)."""
        stopped = []
        for position, (i, member) in enumerate(members):
            evaluation = Evaluation(
                member=i,
                step=member.step[-1],
                steps=steps,
                train_loss=member.train_loss[-1],
                score=member.scores[-1],
                best_score=member.best_score,
                improved=member.improved,
                seconds=member.seconds,
            )
            copy = functools.partial(self.copy, i, parameters, position)
            object.__setattr__(evaluation, "_copy", copy)
            answer = self.on_evaluate(evaluation)
            object.__setattr__(evaluation, "_copy", None)  # who keeps it keeps no parameters
            if not isinstance(answer, bool | np.bool_ | None):
                raise ValueError(
                    f"on_evaluate must return True (to stop this model), False or None, got {answer!r:.80}."
                )
            if answer:
                stopped.append(i)
        return stopped

    def copy(self, member: int, parameters: Any, position: int) -> Any:
        """A model like that of a member, with the parameters at a position among those in training."""
        model = self.models[member]
        copy: Any = copy_of(model)
        unstack_parameters([copy], tree_map(lambda array: array[position : position + 1], parameters))
        copy.train(model.training)
        copy.time_scaler, copy.loss = self.time_scalers[member], self.loss
        return copy
