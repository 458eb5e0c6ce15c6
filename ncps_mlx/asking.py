"""Asking Optuna's samplers what to train next, without a trace in the study itself."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    from ncps_mlx.knobs import Knob
    from ncps_mlx.ledger import Ledger

__all__ = ["draw", "quiet"]


def draw(
    ledger: Ledger, count: int, shape: Collection[str], sampler: optuna.samplers.BaseSampler
) -> list[dict[str, Any]]:
    """Let a sampler of Optuna choose configurations of one shape. Nothing is written down.

    The sampler asks a copy in memory, where what waits counts as running: asking the study itself would take
    another worker's waiting trial, and a question that is cut off would stay behind.

    Example:
        >>> import optuna
        >>> from ncps_mlx import Space
        >>> from ncps_mlx.ledger import Ledger
        >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
        >>> drawn = draw(book, 3, ["hidden_size"], optuna.samplers.RandomSampler(seed=0))
        >>> len(drawn), drawn[0] == drawn[1] == drawn[2], book.trials()
        (3, True, [])
    """
    import optuna

    drawn: list[dict[str, Any]] = []
    with quiet():
        copy = optuna.create_study(direction=ledger.optuna.direction, sampler=sampler)
        for trial in ledger.first(ledger.trials()).values():
            done = trial.state.name in ("COMPLETE", "PRUNED")
            copy.add_trial(trial if done else _running(trial))
        for _ in range(count):
            fixed = {knob: drawn[0][knob] for knob in shape if knob in drawn[0]} if drawn else {}
            copy.enqueue_trial(ledger.stored(fixed))
            asked = copy.ask()

            def pick(name: str, knob: Knob, asked: optuna.Trial = asked) -> Any:
                return knob.decode(_suggest(asked, name, ledger.distributions[name]))

            drawn.append(ledger.space.fill(pick))
    return drawn


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's notes on each trial out of the way, and its remarks that options of TPE may change.

    Example:
        >>> import optuna
        >>> with quiet():
        ...     study = optuna.create_study()
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Optuna 4 calls these experimental; Optuna 5 does not. Nothing else is hidden.
            warnings.filterwarnings(
                "ignore",
                ".*(multivariate|constant_liar|group)",
                category=optuna.exceptions.ExperimentalWarning,
            )
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _running(trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """The trial as one that runs."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
    )


def _suggest(trial: optuna.Trial, name: str, form: BaseDistribution) -> Any:
    """Let Optuna's sampler choose one value, knowing those it chose before."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(form, CategoricalDistribution):
        return trial.suggest_categorical(name, form.choices)
    if isinstance(form, IntDistribution):
        return trial.suggest_int(name, form.low, form.high, log=form.log)
    assert isinstance(form, FloatDistribution)  # there are no others
    return trial.suggest_float(name, form.low, form.high, log=form.log)
