"""An objective for an Optuna study of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import mlx.nn as nn
import numpy as np

from ncps_mlx.data._task import Task
from ncps_mlx.models._cfc import CfC
from ncps_mlx.search._config import StudyConfig
from ncps_mlx.search._optuna_sampler import suggest
from ncps_mlx.search._record import TrialPopulation
from ncps_mlx.search._space import Space
from ncps_mlx.training._hyperparameters import steps_of

if TYPE_CHECKING:
    import optuna

__all__ = ["objective"]


def objective(
    task: Task,
    space: Space,
    model: type[nn.Module] | str = CfC,
    fixed: Mapping[str, Any] | None = None,
    seeds: Iterable[int] = (0,),
) -> Callable[[optuna.Trial], float]:
    """Make a function that Optuna optimises: it trains the configuration that a trial suggests, once with each seed.

    For what a :class:`~ncps_mlx.Study` does not do: pruners of Optuna's, its callbacks, a study that exists already.
    It gives up what makes a Study quick: only the seeds train together, configurations one after another.

    After each evaluation the mean of the seeds' validation scores is reported, and the trial stops if its pruner says
    so. The value is the mean of their best scores; infinite in the worse direction if a seed diverged. The records lie
    in the trial's attribute ``"records"``, as texts for :meth:`Record.from_json`, and each can be trained again.

    Args:
        task: What to learn.
        space: The hyperparameters to vary.
        model: As for a :class:`~ncps_mlx.Study`; default :class:`~ncps_mlx.CfC`.
        fixed: Values of further hyperparameters of model and training.
        seeds: The seeds of every configuration (default 0 alone).

    Returns:
        Callable: from an Optuna trial to its value. The study must be made with the task's direction.

    Raises:
        ValueError: An argument is out of its range, or a configuration could not be trained; of the function: the
            study has another direction than the task's score.

    Example:
        >>> import optuna
        >>> from ncps_mlx import LogUniform, Record, Space
        >>> from ncps_mlx.data import irregular_sines
        >>> from ncps_mlx.search import objective
        >>> task = irregular_sines(64, 16, 16, readings=8)
        >>> train = objective(task, Space(learning_rate=LogUniform(1e-3, 1e-1)), seeds=(0, 1),
        ...                   fixed={"hidden_size": 4, "steps": 5})
        >>> study = optuna.create_study(direction="minimize")
        >>> study.optimize(train, n_trials=2)
        >>> records = [Record.from_json(text) for text in study.best_trial.user_attrs["records"]]
        >>> sum(record.score for record in records) / 2 == study.best_value
        True
    """
    config = StudyConfig(task, space, model, sampler="tpe", trials=1, seeds=seeds, fixed=fixed)  # any may be chosen
    return lambda trial: _train(config, trial)


def _train(config: StudyConfig, trial: optuna.Trial) -> float:
    """Train what a trial suggests, seeds together; report, prune, and keep the records."""
    import optuna

    _check_direction(config.task, trial)
    full = config.with_defaults(suggest(trial, config.space))
    seeds = config.seeds
    numbers = [trial.number * len(seeds) + i for i in range(len(seeds))]
    population = TrialPopulation(config.task, config.model, [full] * len(seeds), seeds, numbers)
    worst = -np.inf if config.task.higher_is_better else np.inf
    steps, every = steps_of(full)
    step, reason = 0, None
    while population.training and reason is None:
        step = min(step + every, steps)
        population.train(until=step)
        scores = []
        for record in population.records():  # one that has ended keeps its last score
            scores.append(worst if record.diverged or not record.history else record.history.validation_score[-1])
        trial.report(float(np.mean(scores)), step)
        if population.training and trial.should_prune():
            reason = f"Optuna's pruner stopped it at step {step}"
            population.prune(dict.fromkeys(population.training, reason))
    records = population.records()
    trial.set_user_attr("records", [record.to_json() for record in records])
    if reason is not None:
        raise optuna.TrialPruned(reason)
    return float(np.mean([record.score for record in records]))


def _check_direction(task: Task, trial: Any) -> None:
    """Refuse a study that would take the worse score for the better."""
    study = getattr(trial, "study", None)  # Optuna's FixedTrial has none
    wanted = "maximize" if task.higher_is_better else "minimize"
    directions = [wanted] if study is None else [each.name.lower() for each in study.directions]
    if directions != [wanted]:
        raise ValueError(
            f"study must have the direction of the task's {task.metric}, got {', '.join(directions)}: "
            f'optuna.create_study(direction="{wanted}").'
        )
