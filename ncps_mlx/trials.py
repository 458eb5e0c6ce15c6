"""Configurations, and their training as a population into records: what a study and a rerun have in common."""

from __future__ import annotations

import contextlib
import functools
import inspect
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx

from ncps_mlx import squash
from ncps_mlx.checks import check_choice
from ncps_mlx.circuit import Wiring
from ncps_mlx.clock import check_time_scaling
from ncps_mlx.member import Member
from ncps_mlx.models import LTC, CfC, RecurrentModel
from ncps_mlx.population import rescale, stack, unstack
from ncps_mlx.progress import Progress
from ncps_mlx.records import Curves, Record, versions
from ncps_mlx.task import Task
from ncps_mlx.train import MEMBER_KNOBS, check_batch, evaluation_step, fit, prepare
from ncps_mlx.values import plain

__all__ = [
    "MODELS",
    "Population",
    "begun",
    "build_model",
    "check_config",
    "complete",
    "knobs_of",
    "rerun",
    "sizes_of",
    "steps_of",
]

MODELS: dict[str, type[CfC] | type[LTC]] = {"CfC": CfC, "LTC": LTC}
"""The models a record can name."""

FROM_TASK = ("input_size", "output_size", "return_sequences", "seed")
FROM_CALL = ("model", "task", "seed", "memory", "progress")


@functools.cache
def _defaults(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the knobs of a model and of :func:`~ncps_mlx.fit`, with their defaults."""
    cls = MODELS[check_choice("model", model, MODELS)]
    of_model, of_fit = (
        {name: item.default for name, item in inspect.signature(function).parameters.items()}
        for function in (cls, inspect.unwrap(fit))
    )
    return (
        {name: value for name, value in of_model.items() if name not in FROM_TASK},
        {name: value for name, value in of_fit.items() if name not in FROM_CALL},
    )


def knobs_of(model: str) -> frozenset[str]:
    """Name everything about a model and its training that can be set.

    Example:
        >>> "ode_unfolds" in knobs_of("LTC"), "ode_unfolds" in knobs_of("CfC")
        (True, False)
    """
    of_model, of_fit = _defaults(model)
    return frozenset(of_model) | frozenset(of_fit)


def complete(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of model and training to the knobs given.

    Raises:
        ValueError: A name is no knob of this model, or a value cannot be written down.

    Example:
        >>> config = complete("CfC", {"hidden_size": 16})
        >>> config["hidden_size"], config["learning_rate"], config["mode"]
        (16, 0.01, 'default')
    """
    of_model, of_fit = _defaults(model)
    for name in given:
        if name not in of_model and name not in of_fit:
            known = ", ".join(sorted({*of_model, *of_fit}))
            raise ValueError(f"{name} must be a knob of {model} or of fit, which are {known}.")
    merged = of_fit | of_model | dict(given)  # the model's own dropout rate is the default, not fit's None
    return {name: plain(name, merged[name]) for name in sorted(merged)}


def sizes_of(task: Task) -> dict[str, Any]:
    """Return what the task decides about a model's shape.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> sizes_of(irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8))
        {'input_size': 1, 'output_size': 1, 'return_sequences': False}
    """
    every_step = task.train.y.ndim == 3
    return {"input_size": task.input_size, "output_size": task.output_size, "return_sequences": every_step}


def steps_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """How many steps a configuration trains, and after how many it is evaluated.

    Example:
        >>> steps_of(complete("CfC", {"steps": 250}))
        (250, 25)
    """
    return config["steps"], evaluation_step(config["steps"], config["evaluate_every"])


def build_model(model: str, config: Mapping[str, Any], sizes: Mapping[str, Any], seed: int) -> RecurrentModel:
    """Build the untrained model of a configuration, before its initial scale.

    Raises:
        ValueError: The sizes lack the model's ``input_size``, the wiring's class is not known here, or the constructor
            refuses a value.

    Example:
        >>> build_model("CfC", complete("CfC", {"hidden_size": 4}), {"input_size": 3}, seed=0).hidden_size
        4
    """
    if "input_size" not in sizes:
        raise ValueError(f"sizes must hold the input_size that the task decided, got {dict(sizes)}.")
    of_model, _ = _defaults(model)
    settings = {name: config[name] for name in of_model if name in config}
    if isinstance(settings.get("wiring"), Mapping):
        settings["wiring"] = Wiring.from_config(settings["wiring"])
    return MODELS[model](**sizes, **settings, seed=seed)


def check_config(task: Task, model: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that could not be trained, before anything is.

    Raises:
        ValueError: as the model's constructor or :func:`~ncps_mlx.fit` would.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> check_config(task, "CfC", complete("CfC", {"hidden_size": 8, "batch_size": 65}))
        Traceback (most recent call last):
        ...
        ValueError: batch_size must be at most the 64 training sequences, got 65.
    """
    built = build_model(model, config, sizes_of(task), seed=0)
    check_batch(task, config["batch_size"])
    member = Member.checked(built, config["steps"], config["optimizer"], {**config, "seed": 0})
    check_time_scaling(member.time_scaling, task)


class Population:
    """Configurations of one shape in training, as one population, and what becomes of each.

    Args:
        task: What to learn.
        model: ``"CfC"`` or ``"LTC"``.
        configs: Complete configurations; they differ in member knobs alone.
        seeds: One for each configuration.
        trials: Numbers for the records.
        memory: As of :func:`~ncps_mlx.fit`.

    Raises:
        ValueError: The shapes differ, or :func:`~ncps_mlx.fit` refuses a setting.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> config = complete("CfC", {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2})
        >>> both = Population(task, "CfC", [config, config], [0, 1], [0, 1])
        >>> both.train(until=2)
        >>> both.prune({0: "pruned at step 2"})
        >>> both.train()
        >>> [(record.status, record.history.step) for record in both.records()]
        [('pruned', (2,)), ('finished', (2, 4))]
    """

    def __init__(
        self,
        task: Task,
        model: str,
        configs: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        trials: Sequence[int],
        memory: float | None = None,
    ) -> None:
        self.task, self.model, self.sizes = task, model, sizes_of(task)
        self.configs, self.seeds, self.trials = list(configs), list(seeds), list(trials)
        pairs = zip(self.configs, self.seeds, strict=True)
        models = [build_model(model, config, self.sizes, seed) for config, seed in pairs]
        settings: dict[str, Any] = {"seed": self.seeds}
        for name in _defaults(model)[1]:
            values = [config[name] for config in self.configs]
            if name in MEMBER_KNOBS:
                settings[name] = values
            elif any(value != values[0] for value in values):
                raise ValueError(f"{name} must be the same for all members of a population, got {values}.")
            else:
                settings[name] = values[0]
        self._run = prepare(models, task, memory=memory, **settings)
        self.tanh = squash.chosen()

    @property
    def training(self) -> list[int]:
        """The trials still in training.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> config = complete("CfC", {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2})
            >>> both = Population(task, "CfC", [config, config], [0, 1], [0, 1])
            >>> both.training
            [0, 1]
        """
        return [] if self._run.taken == self._run.steps else [self.trials[i] for i in self._run.active]

    def train(
        self, progress: Progress | None = None, share: float | None = None, until: int | None = None
    ) -> None:
        """Take the steps that are left, or those up to an evaluation.

        Args:
            progress: The bar to move.
            share: How far; default one for each member.
            until: The step to pause after.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> config = complete("CfC", {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2})
            >>> both = Population(task, "CfC", [config, config], [0, 1], [0, 1])
            >>> both.train(until=2)
            >>> both.train()
            >>> both.training
            []
        """
        with contextlib.ExitStack() as stack:
            bar = progress or stack.enter_context(
                Progress(len(self.trials), self.task.name, "trial", shown=False)
            )
            stack.enter_context(squash.using(self.tanh))
            self._run.train(bar, len(self.trials) if share is None else share, until)

    def prune(self, reasons: Mapping[int, str]) -> None:
        """Go on without these trials, each with its reason.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> config = complete("CfC", {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2})
            >>> both = Population(task, "CfC", [config, config], [0, 1], [0, 1])
            >>> both.train(until=2)
            >>> both.prune({0: "rank 2 of 2 at step 2"})
            >>> both.training
            [1]
        """
        self._run.prune({self.trials.index(trial): reason for trial, reason in reasons.items()})

    def records(self) -> list[Record]:
        """Write down how each trial went so far.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> config = complete("CfC", {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2})
            >>> both = Population(task, "CfC", [config, config], [0, 1], [0, 1])
            >>> both.train()
            >>> [(record.trial, record.seed, record.status) for record in both.records()]
            [(0, 0, 'finished'), (1, 1, 'finished')]
        """
        now, device, task = versions() | {"tanh": self.tanh}, _device(), self.task
        histories = [member.history() for member in self._run.members]
        return [
            Record(
                trial=number,
                model=self.model,
                config=config,
                sizes=self.sizes,
                seed=seed,
                task=task.name,
                data_hash=task.data_hash,
                metric=task.metric,
                units=task.units,
                higher_is_better=task.higher_is_better,
                score=history.best_score,
                history=Curves(
                    step=history.step,
                    train_loss=history.train_loss,
                    validation_score=history.validation_score,
                    best_step=history.best_step,
                ),
                status=history.status,
                reason=history.reason,
                seconds=history.seconds,
                versions=now,
                device=device,
            )
            for number, config, seed, history in zip(
                self.trials, self.configs, self.seeds, histories, strict=True
            )
        ]


def begun(record: Record) -> RecurrentModel:
    """Build the model that a record's trial began with, its weights in their initial scale."""
    model = build_model(record.model, record.config, record.sizes, record.seed)
    unstack([model], rescale(stack([model]), [record.config.get("initial_scale", 1.0)]))
    return model


def rerun(record: Record, task: Task) -> Record:
    """Train a record's trial again, as far as it went.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> config = complete("CfC", {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2})
        >>> both = Population(task, "CfC", [config, config], [0, 1], [0, 1])
        >>> both.train()
        >>> record = both.records()[1]
        >>> rerun(record, task).score == record.score
        True
    """
    config = complete(record.model, record.config)  # an older record lacks the knobs that came after it
    with squash.using(record.versions.get("tanh", "auto")):
        population = Population(task, record.model, [config], [record.seed], [record.trial])
    if record.status == "pruned" and record.history is not None:
        population.train(until=record.history.step[-1])
        population.prune({record.trial: str(record.reason)})
    else:
        population.train()
    return population.records()[0]


def _device() -> str:
    """Name the device MLX computes on, and the machine."""
    kind = str(mx.default_device()).removeprefix("Device(").split(",")[0]
    return f"{kind}, {platform.system()} {platform.machine()}"
