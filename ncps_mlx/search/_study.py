"""The study: what users make, run and look at."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import mlx.nn as nn

from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import check_flag, check_int, check_text
from ncps_mlx.data._task import Task
from ncps_mlx.models._cfc import CfC
from ncps_mlx.search import _analysis
from ncps_mlx.search._analysis import Edge
from ncps_mlx.search._config import StudyConfig
from ncps_mlx.search._growth import adopted, extended_config, next_names
from ncps_mlx.search._halving import Halving, Hyperband
from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.leases import LEASE_SECONDS
from ncps_mlx.search._storage.trial_queue import TrialQueue
from ncps_mlx.search._storage.trial_store import TrialSpec, TrialStore, read_config
from ncps_mlx.search._worker import Worker, WorkerSettings
from ncps_mlx.search._worker_pool import WorkerPool

if TYPE_CHECKING:
    import optuna

__all__ = ["Study"]

FIRST_STORED = 128  # trials that a new study stores at least; its workers store the others before their turn
LONGEST_NAME = 512  # characters that Optuna's tables take
MOST_WORKERS = 1024  # processes on one machine
LOOK_SECONDS = 0.5  # between two looks at what the workers did


class Study:
    """A search over a :class:`~ncps_mlx.Space`: every configuration is trained with every seed.

    A trial is one configuration trained with one seed: ``trials=20`` configurations with ``seeds=(0, 1)`` make 40
    records. Trials of one shape are trained together as populations. A grid, random or quasi-random study is planned
    when it is made: interrupted, even killed, and run again, it ends with the same trials and scores as if nothing had
    happened. TPE, as any other sampler of Optuna, learns from earlier trials; it loses none and trains none twice, and
    each can be rerun from its record. Any number of processes may run a study that lies in a database, on this machine
    or on others.

    Attributes:
        task: What is learnt.
        space: What varies.
        name: The study's name in the storage.
        config: How the study is made: ``model``, ``sampler``, ``trials``, ``seeds``, ``fixed``, ``halving``, ...

    Args:
        storage: ``None`` keeps the study in memory; ``"tuning.db"`` in a SQLite file;
            ``postgresql://USER@HOST/NAME`` in a database; ``grpc://HOST:PORT`` behind Optuna's proxy.
        task: What to learn; configurations are judged on its validation split.
        space: The hyperparameters to vary.
        model: :class:`~ncps_mlx.CfC` (default), LTC, GRU or LSTM, or a class of your own, ``Net`` or ``"module:Net"``
            (:doc:`/howto/your-own-model`).
        sampler: ``"random"`` (default); ``"grid"``, every combination; ``"tpe"``, Optuna's multivariate
            tree-structured Parzen estimator; ``"quasi-random"``, a scrambled Sobol sequence. Or another of Optuna's,
            which is told each configuration's mean over the seeds: its path, ``"optuna.samplers:NSGAIISampler"``, or
            that of a function of yours that makes it; for a study in memory also the object itself.
        trials: How many configurations, each trained with every seed. Default 20; a grid takes all it has. An
            existing study may be opened again with more.
        seeds: Each configuration is trained once with each of these (default 0 alone).
        fixed: Values of further hyperparameters of model and training.
        first: Known configurations, values of all that the space varies by name: they are trained first, and are
            among the ``trials``.
        name: The study's name in the storage.
        population_size: Members trained at once, at most.
        draws_per_shape: For each drawn shape, draws of what varies within a population (not in a grid).
        sampler_seed: Seed of the draws.
        halving: A :class:`~ncps_mlx.Halving` or :class:`~ncps_mlx.Hyperband` stops the worse configurations early.
            With TPE each population that it asks for is a bracket of its own.

    Raises:
        ValueError: An argument is out of its range, a configuration could not be trained, or the storage
            holds a study of this name that was made differently.
        ImportError: The sampler, or a package that it needs, is not there.

    Example:
        >>> from ncps_mlx import LogUniform, Space, Study
        >>> from ncps_mlx.data import irregular_sines
        >>> space = Space(hidden_size=[4, 8], learning_rate=LogUniform(1e-3, 1e-1))
        >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), space, trials=4, draws_per_shape=2,
        ...               seeds=(0, 1), fixed={"steps": 5})
        >>> study.run(progress=False)
        Study('study': random, 4 configurations x 2 seeds, 8 of 8 trials done)
        >>> study.best.status
        'finished'
    """

    def __init__(
        self,
        storage: str | Path | None,
        task: Task,
        space: Space,
        *,
        model: type[nn.Module] | str = CfC,
        sampler: str | optuna.samplers.BaseSampler = "random",
        trials: int | None = None,
        seeds: Iterable[int] = (0,),
        fixed: Mapping[str, Any] | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        name: str = "study",
        population_size: int = 32,
        draws_per_shape: int = 8,
        sampler_seed: int = 0,
        halving: Halving | Hyperband | None = None,
    ) -> None:
        config = StudyConfig(
            task, space, model, sampler=sampler, trials=trials, seeds=seeds, fixed=fixed, first=first, halving=halving,
            draws_per_shape=draws_per_shape, sampler_seed=sampler_seed, population_size=population_size,
        )  # fmt: skip
        self._attach(storage, name, config)

    def _attach(
        self,
        storage: str | Path | None,
        name: Any,
        config: StudyConfig,
        trials: Sequence[Any] = (),
        trained: Iterable[tuple[TrialSpec, Record]] = (),
    ) -> None:
        """Open the storage, agree with what it holds, and add what is missing of the plan.

        Optuna's ``trials`` of another study in memory are taken over; what is ``trained`` of the plan is adopted.
        """
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or "\0" in name:
            raise ValueError(
                f"name must be a non-empty string of at most {LONGEST_NAME} characters, none of them NUL, got {name!r}."
            )
        self.task, self.space, self.config, self.name = config.task, config.space, config, name
        self._population_size = config.population_size
        if storage is not None:
            config.check_stored()
        self._storage = storage
        higher = config.task.higher_is_better
        self._store = TrialStore(storage, name, config.space, higher_is_better=higher, n_trials=config.n_trials)
        if trials:
            self._store.optuna.add_trials(trials)
            self._store.refresh()
        stored = self._store.config()
        if stored is not None:
            config.check_same(stored, name, self._store.where)
        if stored is None or stored["trials"] != config.trials:
            self._store.set_config(config.to_json())
        self._queue = TrialQueue(self._store)
        self._store.adopt(trained)
        ahead = config.n_stored_ahead(max(FIRST_STORED, 4 * config.population_size))  # for workers that begin together
        self._store.add(config.specs(config.ordered_plan), ahead)

    @classmethod
    def open(cls, storage: str | Path, name: str = "study", *, task: Task | None = None) -> Self:
        """Open a study of a storage by its name alone: to look at it, or to take part in it.

        Args:
            storage: Where it lies, as for the constructor.
            name: Its name.
            task: Its task; needed only if that was made from arrays, which are not in the storage.

        Raises:
            ValueError: There is no such study, its task cannot be made here, or its data differ.

        Example:
            >>> import tempfile
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> file, task = f"{tempfile.mkdtemp()}/tuning.db", irregular_sines(64, 16, 16, readings=8)
            >>> made = Study(file, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", name="rates",
            ...              fixed={"hidden_size": 4})
            >>> Study.open(file, "rates")
            Study('rates': grid, 2 configurations x 1 seed, 0 of 2 trials done)
        """
        check_text("name", name)
        return cls._of(storage, name, StudyConfig.from_json(read_config(storage, name), task))

    @classmethod
    def _of(cls, *arguments: Any, **given: Any) -> Self:
        """Make a study of a configuration that there is already."""
        study = cls.__new__(cls)
        study._attach(*arguments, **given)
        return study

    def extended(
        self,
        name: str | None = None,
        *,
        space: Space | None = None,
        seeds: Iterable[int] | None = None,
        trials: int | None = None,
        sampler: str | optuna.samplers.BaseSampler | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> Study:
        """Make a new study that adopts what this one trained: with more seeds, in another space, by another sampler.

        Its first configurations are those of this study that lie in its space. Of them, each that was trained with one
        of its seeds, and all else equal, is done at once, with the record that it has; this study stays as it is. A
        hyperparameter that the space newly varies had a value before, its fixed or default one: include it.

        What is not given stays as it is. Called again, in another process too, it opens the study that it made, until
        this study has other records.

        Args:
            name: The new study's name in the same storage. Default: counted on, from ``"study"`` to ``"study 2"``.
            space: The hyperparameters to vary; those that it no longer varies have their default, or what ``fixed``
                says.
            seeds: The seeds of every configuration, those of before among them.
            trials: How many configurations, the adopted ones among them.
            sampler: Who chooses the other ones.
            fixed: Other values of further hyperparameters. With those, configurations are trained again.

        Returns:
            Study: the new one, to be run.

        Raises:
            ValueError: As for a :class:`~ncps_mlx.Study`.

        Warns:
            UserWarning: Records of other data, another metric or another tanh cannot be adopted: how many, and why. Or
                no configuration lies in the new space: why.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-3, 1e-2]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 5}).run(progress=False)
            >>> study.extended(space=Space(learning_rate=[1e-3, 1e-2, 1e-1]), seeds=(0, 1))
            Study('study 2': grid, 3 configurations x 2 seeds, 2 of 6 trials done)
        """
        records = self.records
        changes = {"space": space, "seeds": seeds, "trials": trials, "sampler": sampler, "fixed": fixed}
        config = extended_config(self.config, records, **changes)
        if name is None:
            others = self._store.others()
            name = next(each for each in next_names(self.name) if each not in others or config.is_of(others[each]))
        return self._of(self._storage, name, config, trained=adopted(config, records))

    def __reduce__(self) -> tuple[Any, ...]:
        """For ``copy`` and ``pickle``: a study in memory with the same trials; any other is opened once more."""
        trials = self._store.trials() if self._storage is None else ()
        return self._of, (self._storage, self.name, self.config, trials)

    def run(
        self,
        progress: bool = True,
        *,
        max_trials: int | None = None,
        timeout: float | None = None,
        workers: int = 1,
        lease_seconds: float = LEASE_SECONDS,
        memory_mb: float | None = None,
    ) -> Study:
        """Train what is left of the plan.

        Ctrl-C, or an error, leaves a study that can be run again: here, or from its storage in a new process. Other
        processes may run the same study at the same time; each trial is trained by one of them.

        Args:
            progress: Show how many trials are done, the best score, the rate and the time left (default True); in the
                end also what has its best value at an edge of the space, as :meth:`boundary` finds it.
            max_trials: Begin at most this many trials in this call; a bracket of halving is begun whole if one of its
                trials is within the limit. Default: all.
            timeout: Begin no population, or bracket of halving, after this many seconds; what has begun is finished.
                Default: no limit.
            workers: 1 (default) trains in this process; more start that many processes on this machine, which end when
                they have trained everything. They need a storage, and a task that they can make: a loader's, or one of
                :func:`ncps_mlx.data.load_task`.
            lease_seconds: Seconds after which a worker on another machine that gives no sign of life has lost its
                trials.
            memory_mb: Megabytes that the gradients of a population, or its predictions, may take together; a
                population that needs more is computed in groups, to the same bits, and says so. Each
                of several workers takes that much. Default: a quarter of the machine's.

        Returns:
            Study: itself.

        Raises:
            ValueError: An argument is out of its range, or workers could not take part in this study.
            RuntimeError: The workers stopped before everything was trained; the message gives their error.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-3, 1e-2]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 5})
            >>> [record.status for record in study.run(progress=False).records]
            ['finished', 'finished']
        """
        check_flag("progress", progress)
        check_int("workers", workers, maximum=MOST_WORKERS)
        if workers > 1 and max_trials is not None:
            raise ValueError(
                f"max_trials must be None with {workers} workers, who share the plan, got {max_trials}."
            )
        settings = WorkerSettings(
            population_size=self._population_size, lease_seconds=lease_seconds, timeout=timeout, memory_mb=memory_mb
        )
        limit = math.inf if max_trials is None else check_int("max_trials", max_trials)
        worker = Worker(self.config, self._store, self._queue, settings)
        self._store.refresh()
        done, higher = len(self._store.scores), self.task.higher_is_better
        total = int(min(self.config.n_trials, done + limit))
        with Progress(total, self.name, "trial", done=done, shown=progress, higher_is_better=higher) as bar:
            worker.update(bar)
            if workers > 1:
                self._run_pool(worker, workers, settings, bar)
            else:
                with self._queue.working(lease_seconds):
                    worker.work(bar, limit)
            worker.update(bar)
            if worker.is_finished():
                for edge in self.boundary():
                    bar.write(str(edge))
        return self

    def _run_pool(self, worker: Worker, workers: int, settings: WorkerSettings, bar: Progress) -> None:
        """Start workers and watch them."""
        if self._storage is None:
            raise ValueError(
                "workers must be 1 for a study in memory, which no other process sees, "
                f'got {workers}. Give it a file: Study("tuning.db", ...).'
            )
        self.config.check_shared(self.name)
        with self._queue.working(settings.lease_seconds):
            worker.store_missing()
        share = -(-(self.config.n_trials - len(self._store.scores)) // workers)  # of what is left, for each
        settings = replace(settings, population_size=max(1, min(self.population_size, share)))
        with WorkerPool(self._storage, self.name, workers, settings) as pool:
            while pool.running():
                time.sleep(LOOK_SECONDS)
                worker.update(bar)
            error = pool.error()
        worker.update(bar)
        if not worker.is_finished() and (settings.timeout is None or error):
            error = error or "none of them failed."
            raise RuntimeError(f"workers of {self.name!r} stopped before everything was trained: {error}")

    @property
    def population_size(self) -> int:
        """Members trained at once, at most, by this process; it may be changed: ``study.population_size = 16``."""
        return self._population_size

    @population_size.setter
    def population_size(self, value: int) -> None:
        self._population_size = check_int("population_size", value)

    @property
    def records(self) -> list[Record]:
        """What is done so far, sorted by trial.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-3, 1e-2]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 5}).run(progress=False)
            >>> [(record.trial, record.config["learning_rate"]) for record in study.records]
            [(0, 0.001), (1, 0.01)]
        """
        self._store.refresh()
        return [record._of_task(self.task) for record in self._store.records()]

    @property
    def best(self) -> Record:
        """The best record of the configuration with the best mean over its seeds.

        A configuration counts if every seed was trained, to its end, and converged; if none was, single records do.

        Raises:
            RuntimeError: Nothing has been trained, or nothing converged; the message gives the reasons.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-3, 1e-2]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 5}).run(progress=False)
            >>> study.best.score == min(study.table()["score"])
            True
        """
        return _analysis.best_group(self.records, self.name)[0]

    def table(self) -> dict[str, list[Any]]:
        """Return the records as columns: trial, what the space varies, seed, score, status, seconds.

        A wiring is written as text; what does not exist in a trial (:class:`~ncps_mlx.When`) is ``None`` there.
        :func:`ncps_mlx.records.table` takes any columns, and the records of several studies.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-3, 1e-2]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 5}).run(progress=False)
            >>> study.table()["learning_rate"]
            [0.001, 0.01]
        """
        return _analysis.table(self.space, self.records)

    def boundary(self, margin: float = 0.1) -> list[Edge]:
        """Find what has its best value at an end of its range, where that could be wider.

        The ends of a list of numbers are its least and its greatest. An end that no value can lie beyond, such as a
        dropout rate of 0, is none. The best configuration is that with the best mean over its seeds, of those not
        pruned.

        Args:
            margin: How near an end counts, as a share of the range, below 0.5.

        Returns:
            list[Edge]: in the order of the space; ``[]`` if the best lies inside, or nothing converged.

        Raises:
            ValueError: ``margin`` is out of its range.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-8, 1e-7, 1e-3]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 20}).run(progress=False)
            >>> [(edge.name, edge.side, edge.end) for edge in study.boundary()]
            [('learning_rate', 'high', 0.001)]
        """
        return _analysis.boundary(self.space, self.records, margin)

    def importance(self) -> dict[str, float]:
        """Share of each hyperparameter in what sets the best tenth of the trials apart, the greatest first.

        By PED-ANOVA. Shares sum to 1; they hold within the ranges searched, and from few trials they are rough. Every
        trial counts, a pruned one with its score so far. With Optuna before 5, those that do not always exist are left
        out.

        Raises:
            RuntimeError: Fewer than four trials converged.

        Source:
            Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
            subspaces" (IJCAI 2023).

        Example:
            >>> from ncps_mlx import LogUniform, Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> space = Space(learning_rate=LogUniform(1e-5, 1e-2), clip_norm=[0.5, 1.0])
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), space, trials=16,
            ...               fixed={"hidden_size": 4, "steps": 20}).run(progress=False)
            >>> next(iter(study.importance()))
            'learning_rate'
        """
        return _analysis.importance(self.optuna)

    def summary(self) -> str:
        """Say in a few lines what was trained, what was best, and whether it lies at the edge of the space.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-8, 1e-3]),
            ...               sampler="grid", fixed={"hidden_size": 4, "backbone_units": 8, "steps": 20})
            >>> print(study.run(progress=False).summary())
            Study('study': grid, 2 configurations x 1 seed, 2 of 2 trials done)
            trials: 2 finished; ... s of training
            best: rmse ... with learning_rate 0.001
            learning_rate: best 0.001 at the upper end 0.001, where 1 of the best 2 lies: widen it upwards
            2 of 2 ended worse than predicting the mean, whose rmse is ...
        """
        return _analysis.summary(self.space, self.records, repr(self), self.name)

    @property
    def optuna(self) -> optuna.Study:
        """The Optuna study behind this one, for its plots and dashboards.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> study = Study(None, irregular_sines(64, 16, 16, readings=8), Space(learning_rate=[1e-3, 1e-2]),
            ...               sampler="grid", fixed={"hidden_size": 4, "steps": 5}).run(progress=False)
            >>> study.optuna.best_value == study.best.score
            True
        """
        return self._store.optuna

    def __repr__(self) -> str:
        config = self.config
        seeds = f"{len(config.seeds)} seed{'s' if len(config.seeds) > 1 else ''}"
        head = f"{self.name!r}: {config.sampler}, {config.trials} configurations x {seeds}"
        self._store.refresh()
        return f"Study({head}, {len(self._store.scores)} of {config.n_trials} trials done)"
