"""A trial's record, and the training of a population into records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import mlx.nn as nn

from ncps_mlx._kernels.native import OFF, current_native, native_layers
from ncps_mlx._kernels.tanh import current_tanh, tanh_implementation
from ncps_mlx._predictor import Predictor
from ncps_mlx._runtime.versions import versions
from ncps_mlx._trials import History, TrialResult
from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import check_seeds
from ncps_mlx.data._task import Task
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._fit import fit
from ncps_mlx.training._hyperparameters import (
    FIT_PARAMETERS,
    MEMBER_PARAMETERS,
    build_model,
    model_sizes,
    recorded_config,
)
from ncps_mlx.training._numerics import device_name, differences, warn_of_differences
from ncps_mlx.training._population import scale_matrices, stack_parameters, unstack_parameters
from ncps_mlx.training._trainer import PopulationTrainer

__all__ = ["Record", "TrialPopulation", "train_again", "warn_of_other_means"]


@dataclass(frozen=True, kw_only=True)
class Record(TrialResult):
    """One trial: one configuration trained with one seed. :class:`~ncps_mlx.Study` writes them.

    Attributes:
        trial: Index in the study's plan, from 0.
        model: ``"CfC"``, ``"LTC"``, ``"GRU"``, ``"LSTM"``, or the path of a class of your own, ``"module:Class"``.
        config: Every hyperparameter of model and training by name, defaults included; a wiring as its ``config``.
        labels: What tells the trial from those it was put together with (:func:`~ncps_mlx.records.concat`); figures and
            comparisons take them as hyperparameters.
        sizes: What the task decided: ``input_size``, ``output_size``, ``return_sequences``.
        seed: Seed of the initial parameters, the data order and the dropout.
        task: Name of the task.
        data_hash: Hash of the task's arrays.
        metric: Name of what the score is: that of the :class:`~ncps_mlx.Task`.
        units: Unit of the score, ``""`` if it has none.
        higher_is_better: Direction of the score.
        score: Best validation score, in the task's unit: of a pruned trial, so far; infinite in the worse direction if
            it diverged.
        history: Losses and scores over the training, as :func:`~ncps_mlx.fit` returns them.
        status: ``"finished"``, ``"stopped early"``, ``"diverged"`` or ``"pruned"``.
        reason: Why it diverged or was pruned, or that it is worse than predicting the mean; ``None`` otherwise.
        seconds: Wall time, a population's divided by its members.
        versions: Of Python, the packages and the BLAS; as ``"tanh"`` how that was computed
            (:func:`ncps_mlx.tanh_implementation`); and as ``"native"`` what names the compiled layers in C that it ran
            with, or ``"off"``.
        device: Where it ran.

    Example:
        >>> from ncps_mlx import Record
        >>> record = Record(
        ...     trial=0, model="CfC", config={"hidden_size": 16, "learning_rate": 0.01}, seed=3,
        ...     task="sunspots", data_hash="9f86d081884c7d65", metric="rmse", score=23.1)
        >>> print(record)
        trial 0: CfC on sunspots, seed 3: rmse 23.1 (finished)
        >>> Record.from_json(record.to_json()) == record
        True
    """

    _task = None  # what a study notes: neither compared nor written

    def build(self) -> nn.Module:
        """Build the untrained model with the record's seed: what the trial began with.

        Its scale of time comes with training.

        Raises:
            ValueError: The record lacks the sizes that the task decided.

        Example:
            >>> from ncps_mlx import Record
            >>> record = Record(
            ...     trial=0, model="CfC", config={"hidden_size": 16}, seed=3, task="sunspots", metric="rmse",
            ...     sizes={"input_size": 3, "output_size": 4}, data_hash="9f86d081884c7d65", score=23.1)
            >>> record.build().parameter_count
            10884
        """
        model = build_model(self.model, self.config, self.sizes, self.seed)
        scales = [self.config.get("initial_scale", 1.0)]
        unstack_parameters([model], scale_matrices(stack_parameters([model]), scales))
        return model

    def rerun(self, task: Task) -> Record:
        """Train again from the record alone. On the same machine and versions the CPU gives the same bits.

        Tanh is computed as the record says, not as is chosen now (:func:`ncps_mlx.tanh_implementation`), and layers run
        in C if they did. Where they did and cannot here, for want of a compiler, each gradient is the same to 2e-5 of
        its largest number. Training amplifies that: scores may differ by 1e-5 after 50 steps, by 1 % after 500.

        Args:
            task: The task of the record, with the same data.

        Returns:
            Record: a new one, with the time, versions and device of this run.

        Raises:
            ValueError: The task holds other data, or scores by another metric, or the record lacks a hyperparameter.

        Warns:
            UserWarning: Versions, BLAS, layers in C or device are others than the record's: it says which.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.best.rerun(task).score == study.best.score
            True
        """
        check_data(self, task)
        config = recorded_config(self.model, self.config, {})
        warn_of_other_means([self], stacklevel=2)
        with kernels_of(self.versions):
            population = TrialPopulation(task, self.model, [config], [self.seed], [self.trial])
        if self.status == "pruned" and self.history is not None:
            population.train(until=self.history.step[-1])
            population.prune({self.trial: str(self.reason)})
        else:
            population.train()
        return replace(population.records()[0], labels=self.labels)

    def train(
        self, task: Task | None = None, *, seeds: Sequence[int] | None = None, progress: bool = True, **settings: Any
    ) -> Predictor:
        """Train the record's configuration, all its hyperparameters included, into something to use.

        Args:
            task: The task of the record, with the same data. A record that a study gives (``study.best``) knows it;
                one that was read from a file must be told.
            seeds: Train one model with each, as one population. Default: the record's own seed, so that the result
                scores as the record says.
            progress: Show a progress bar.
            **settings: Hyperparameters to change, for instance ``steps=1000``.

        Returns:
            Predictor: the models with their clock, the units of the target, and the table if the task has one. Each
            keeps the parameters of its best validation score.

        Raises:
            ValueError: No task, one with other data, a record that lacks a hyperparameter, or a setting that is none.

        Warns:
            UserWarning: As :meth:`rerun`, where it would give the record's own training.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> predictor = study.best.train(seeds=range(5), progress=False)
            >>> interval = predictor.score(task)  # over the five seeds, on the test split
        """
        task = self._task if task is None else task
        if task is None:
            raise ValueError(
                f"task must be given, the one of the record ({self.task!r}): only records that a study gives know it."
            )
        chosen = [self.seed] if seeds is None else check_seeds(seeds)
        if not chosen:
            raise ValueError("seeds must hold at least 1 seed, got none. Leave it out for the record's own.")
        if seeds is None and not settings:
            warn_of_other_means([self], stacklevel=2)
        trained = train_again([replace(self, seed=seed) for seed in chosen], task, settings, progress=progress)
        models, histories = zip(*trained, strict=True)
        config = recorded_config(self.model, self.config, settings)
        return Predictor(models, task, seeds=chosen, histories=histories, config=config)

    def _of_task(self, task: Task) -> Record:
        """Note the task, so that :meth:`train` knows it; it is no part of the record."""
        object.__setattr__(self, "_task", task)
        return self


class TrialPopulation:
    """Trials of one shape in training, as one population; ``trials`` are their numbers, for their records.

    The configurations are complete, and differ in member settings alone.
    """

    def __init__(
        self,
        task: Task,
        model: str,
        configs: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        trials: Sequence[int],
        memory_mb: float | None = None,
    ) -> None:
        self.task, self.model, self.sizes = task, model, model_sizes(task, configs[0])
        self.configs, self.seeds, self.trials = list(configs), list(seeds), list(trials)
        pairs = list(zip(self.configs, self.seeds, strict=True))
        models = [build_model(model, config, self.sizes, seed) for config, seed in pairs]
        member_configs = [MemberConfig.from_config(config, seed) for config, seed in pairs]
        self._trainer = PopulationTrainer(models, task, _shared(self.configs, memory_mb), member_configs)
        self._kernels = {"tanh": current_tanh(), "native": current_native()}

    @property
    def training(self) -> list[int]:
        """The trials still in training."""
        trainer = self._trainer
        return [] if trainer.steps_taken == trainer.config.steps else [self.trials[i] for i in trainer.active]

    def train(
        self, progress: Progress | None = None, share: float | None = None, until: int | None = None
    ) -> None:
        """Take the steps that are left, or those up to ``until``, a step after which trials are evaluated.

        The bar moves by ``share``, or by one for each trial.
        """
        count = len(self.trials)
        own = nullcontext(progress) if progress else Progress(count, self.task.name, "trial", shown=False)
        with own as bar, kernels_of(self._kernels):
            self._trainer.train(bar, count if share is None else share, until)

    def prune(self, reasons: Mapping[int, str]) -> None:
        """Go on without these trials, each with its reason."""
        self._trainer.prune({self.trials.index(trial): reason for trial, reason in reasons.items()})

    def records(self) -> list[Record]:
        """Say what became of each trial, or has become of it so far."""
        now, device, task = versions() | self._kernels, device_name(), self.task
        return [
            Record(
                trial=trial,
                model=self.model,
                config=config,
                sizes=self.sizes,
                seed=seed,
                task=task.name,
                data_hash=task.data_hash,
                metric=task.metric,
                units=task.score_units,
                higher_is_better=task.higher_is_better,
                score=history.best_score,
                history=history,
                status=history.status,
                reason=history.reason,
                seconds=history.seconds,
                versions=now,
                device=device,
            )
            for trial, config, seed, history in zip(
                self.trials, self.configs, self.seeds, self._trainer.histories, strict=True
            )
        ]


def _shared(configs: Sequence[Mapping[str, Any]], memory_mb: float | None) -> FitConfig:
    """The settings that all members of a population share."""
    each = [FitConfig.from_config(config, memory_mb) for config in configs]
    for item in fields(FitConfig):
        values = [getattr(config, item.name) for config in each]
        if any(value != values[0] for value in values):
            raise ValueError(f"{item.name} must be the same for all members of a population, got {values}.")
    return each[0]


def train_again(
    records: Sequence[Record], task: Task, changes: Mapping[str, Any], *, progress: bool
) -> list[tuple[nn.Module, History]]:
    """Train the models of records anew, those of one shape together; return them in the records' order."""
    groups: dict[str, list[tuple[int, Record, dict[str, Any]]]] = {}
    for i, record in enumerate(records):
        check_data(record, task)
        config = recorded_config(record.model, record.config, changes)
        shape = {name: value for name, value in config.items() if name not in MEMBER_PARAMETERS}
        kernels = [record.versions.get("tanh", "auto"), record.versions.get("native", OFF) != OFF]
        key = json.dumps([record.model, shape, kernels], sort_keys=True)
        groups.setdefault(key, []).append((i, record, config))
    found: dict[int, tuple[nn.Module, History]] = {}
    for group in groups.values():
        first, shared = group[0][1], group[0][2]
        sizes = model_sizes(task, shared)
        models = [build_model(first.model, config, sizes, record.seed) for _, record, config in group]
        settings: dict[str, Any] = {name: shared[name] for name in FIT_PARAMETERS}
        settings |= {name: [config[name] for *_, config in group] for name in MEMBER_PARAMETERS & shared.keys()}
        settings["seed"] = [record.seed for _, record, _ in group]
        with kernels_of(first.versions):
            histories = fit(models, task, progress=progress, **settings)
        found |= {i: pair for (i, *_), pair in zip(group, zip(models, histories, strict=True), strict=True)}
    return [found[i] for i in range(len(records))]


@contextmanager
def kernels_of(versions: Mapping[str, str]) -> Iterator[None]:
    """Compute tanh as a record's versions say, and layers in C if they ran there."""
    with tanh_implementation(versions.get("tanh", "auto")), native_layers(versions.get("native", OFF) != OFF):
        yield


def warn_of_other_means(records: Iterable[Record], *, stacklevel: int) -> None:
    """Warn, once, if records were trained by other means than those that train them again."""
    found: list[str] = []
    for record in records:
        with kernels_of(record.versions):
            found += differences({**record.versions, **({"device": record.device} if record.device else {})})
    warn_of_differences("The record", found, stacklevel=stacklevel + 1)


def check_data(record: Record, task: Task) -> None:
    """Refuse what is no task, and one with other data, or another metric, than the record's."""
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, the one of the record ({record.task!r}), got {type(task).__name__}.")
    if not record.model:
        raise ValueError("record must name the model that was trained, got a score that no study measured.")
    if task.data_hash != record.data_hash:
        raise ValueError(
            f"task must hold the data of the record, {record.task!r} with hash {record.data_hash}, "
            f"got {task.name!r} with hash {task.data_hash}."
        )
    if task.metric != record.metric:
        raise ValueError(f"task must be scored by {record.metric!r} as in the record, got {task.metric!r}.")
