"""A trial's record, and the training of a population into records."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from ncps_mlx._kernels.tanh import current_tanh, tanh_implementation
from ncps_mlx._runtime.versions import versions
from ncps_mlx._trials import TrialResult
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data._task import Task
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.search._hyperparameters import _defaults, build_model, complete, sizes_of
from ncps_mlx.training._fit import MEMBER_PARAMETERS, prepare
from ncps_mlx.training._population import rescale, stack, unstack

if TYPE_CHECKING:
    from ncps_mlx.data._task import Task
    from ncps_mlx.models._base import RecurrentModel

__all__ = ["Population", "Record", "begun", "rerun"]


@dataclass(frozen=True, kw_only=True)
class Record(TrialResult):
    """One trial: one configuration trained with one seed. :class:`~ncps_mlx.Study` writes them.

    Attributes:
        trial: Place in the study's plan, from 0.
        model: ``"CfC"`` or ``"LTC"``.
        config: Every knob of model and training by name, defaults included; a wiring as its ``config``.
        sizes: What the task decided: ``input_size``, ``output_size``, ``return_sequences``.
        seed: Seed of the initial parameters, the data order and the dropout.
        task: Name of the task.
        data_hash: Hash of the task's arrays.
        metric: ``"rmse"``, ``"mae"`` or ``"accuracy"``.
        units: Unit of the score, ``""`` if it has none.
        higher_is_better: Direction of the score.
        score: Best validation score, in the task's unit: of a pruned trial, so far; infinite in the worse direction if
            it diverged.
        history: Losses and scores over the training, as :func:`~ncps_mlx.fit` returns them.
        status: ``"finished"``, ``"stopped early"``, ``"diverged"`` or ``"pruned"``.
        reason: Why it diverged or was pruned; ``None`` otherwise.
        seconds: Wall time, a population's divided by its members.
        versions: Of Python, the packages and the BLAS; and as ``"tanh"`` how that was computed
            (:func:`ncps_mlx.tanh_implementation`).
        device: Where it ran.

    Example:
        >>> record = Record(
        ...     trial=0, model="CfC", config={"hidden_size": 16, "learning_rate": 0.01}, seed=3,
        ...     task="sunspots", data_hash="9f86d081884c7d65", metric="rmse", score=23.1)
        >>> print(record)
        trial 0: CfC on sunspots, seed 3: rmse 23.1 (finished)
        >>> Record.from_json(record.to_json()) == record
        True
    """

    def build(self) -> RecurrentModel:
        """Build the untrained model with the record's seed: what the trial began with.

        Raises:
            ValueError: The record lacks the sizes that the task decided.

        Example:
            >>> record = Record(
            ...     trial=0, model="CfC", config={"hidden_size": 16}, seed=3, task="sunspots", metric="rmse",
            ...     sizes={"input_size": 3, "output_size": 4}, data_hash="9f86d081884c7d65", score=23.1)
            >>> record.build().parameter_count
            10884
        """
        return begun(self)

    def rerun(self, task: Task) -> Record:
        """Train again from the record alone. On the same machine and versions the CPU gives the same bits.

        Tanh is computed as the record says, whatever is chosen now (:func:`ncps_mlx.tanh_implementation`).

        Args:
            task: The task of the record, with the same data.

        Returns:
            Record: a new one, with the time, versions and device of this run.

        Raises:
            ValueError: The task holds other data, or scores by another metric.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.best.rerun(task).score == study.best.score
            True
        """
        if task.data_hash != self.data_hash:
            raise ValueError(
                f"task must hold the data of the record, {self.task!r} with hash {self.data_hash}, "
                f"got {task.name!r} with hash {task.data_hash}."
            )
        if task.metric != self.metric:
            raise ValueError(f"task must be scored by {self.metric!r} as in the record, got {task.metric!r}.")
        return rerun(self, task)


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
            if name in MEMBER_PARAMETERS:
                settings[name] = values
            elif any(value != values[0] for value in values):
                raise ValueError(f"{name} must be the same for all members of a population, got {values}.")
            else:
                settings[name] = values[0]
        self._run = prepare(models, task, memory_mb=memory, **settings)
        self.tanh = current_tanh()

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
            stack.enter_context(tanh_implementation(self.tanh))
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
                history=history,
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
    with tanh_implementation(record.versions.get("tanh", "auto")):
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
