"""Studies: configurations drawn, trained as populations, written down, resumed.

Optuna samples and stores; what is trained together, and that nothing is lost, is decided here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import check_flag, check_int, check_number
from ncps_mlx.data._task import Task
from ncps_mlx.models._cfc import CfC
from ncps_mlx.models._ltc import LTC
from ncps_mlx.search._boundary import Edge, boundary
from ncps_mlx.search._definition import check_shared, restored, written
from ncps_mlx.search._design import Design
from ncps_mlx.search._halving import Halving, Hyperband
from ncps_mlx.search._limits import Limits
from ncps_mlx.search._record import Record
from ncps_mlx.search._results import best_group, importance, summary, table
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.leases import LEASE_SECONDS
from ncps_mlx.search._storage.trial_queue import Claims
from ncps_mlx.search._storage.trial_store import Ledger, read_definition
from ncps_mlx.search._worker import Shift
from ncps_mlx.search._worker_pool import Team

if TYPE_CHECKING:
    import optuna

__all__ = ["Study"]

LONGEST_NAME = 512  # characters that Optuna's tables take
LOOK_SECONDS = 0.5  # between two looks at what the workers did


class Study:
    """A search over a :class:`~ncps_mlx.Space`: every configuration is trained with every seed.

    A trial is one configuration with one seed. Trials of one shape are trained together as populations. All
    of a grid, random or quasi-random study is planned when it is made; interrupted in whatever way, it ends,
    once run again, with the same trials and scores as if it had not been. Of TPE, which learns from what came before,
    no trial is lost or doubled, and each can be rerun from its record. Any number of processes may run a study that
    lies in a database, here or on other machines.

    Args:
        storage: ``None`` keeps the study in memory; ``"tuning.db"`` in a SQLite file;
            ``postgresql://USER@HOST/NAME`` in a database; ``grpc://HOST:PORT`` behind Optuna's proxy.
        task: What to learn; configurations are judged on its validation split.
        space: The knobs to vary.
        model: :class:`~ncps_mlx.CfC` (default) or :class:`~ncps_mlx.LTC`.
        sampler: ``"random"`` (default); ``"grid"``, every combination; ``"tpe"``, Optuna's multivariate
            tree-structured Parzen estimator; ``"quasi-random"``, a scrambled Sobol sequence.
        trials: How many configurations. Default 20; a grid takes all it has. An existing study may be
            opened again with more.
        seeds: Each configuration is trained once with each of these (default 0 alone).
        fixed: Values of further knobs of model and training.
        name: The study's name in the storage.
        population_size: At most so many members are trained at once.
        draws_per_shape: Draws of the member knobs for each drawn shape (not in a grid).
        sampler_seed: Seed of the draws.
        halving: A :class:`~ncps_mlx.Halving` or :class:`~ncps_mlx.Hyperband` stops the worse configurations early.
            By TPE each population that it asks for is a bracket of its own.

    Raises:
        ValueError: An argument is out of its range, a configuration could not be trained, or the storage
            holds a study of this name that was made differently.

    Example:
        >>> from ncps_mlx import LogUniform
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> space = Space(hidden_size=[4, 8], learning_rate=LogUniform(1e-3, 1e-1))
        >>> study = Study(None, task, space, trials=4, draws_per_shape=2, seeds=(0, 1),
        ...               fixed={"backbone_units": 8, "steps": 5})
        >>> study
        Study('study': random, 4 configurations x 2 seeds, 0 of 8 trials done)
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
        model: type[CfC] | type[LTC] = CfC,
        sampler: str = "random",
        trials: int | None = None,
        seeds: Iterable[int] = (0,),
        fixed: Mapping[str, Any] | None = None,
        name: str = "study",
        population_size: int = 32,
        draws_per_shape: int = 8,
        sampler_seed: int = 0,
        halving: Halving | Hyperband | None = None,
    ) -> None:
        self._design = design = Design(
            task,
            space,
            model,
            sampler=sampler,
            trials=trials,
            seeds=seeds,
            fixed=fixed,
            draws_per_shape=draws_per_shape,
            sampler_seed=sampler_seed,
            halving=halving,
        )
        self.task, self.space, self.model, self.halving = task, space, design.model, halving
        self.sampler, self.trials, self.seeds, self.fixed = sampler, design.trials, design.seeds, design.fixed
        self.draws_per_shape, self.sampler_seed = design.draws_per_shape, design.sampler_seed
        given: Any = name  # a caller without types may pass anything
        if not isinstance(given, str) or not 0 < len(given) <= LONGEST_NAME or "\0" in given:
            raise ValueError(
                f"name must be a non-empty string of at most {LONGEST_NAME} characters, none of them NUL, got {name!r}."
            )
        self.name = name
        self.population_size = check_int("population_size", population_size)
        self._storage = storage
        self._ledger = Ledger(
            storage,
            name,
            space,
            design.settings,
            higher_is_better=task.higher_is_better,
            members=design.members,
            definition=written(self),
        )
        self._claims = Claims(self._ledger)
        self._ledger.add(design.items(design.order))

    @classmethod
    def open(cls, storage: str | Path, name: str = "study", *, task: Task | None = None) -> Study:
        """Open a study of a storage by its name alone: to look at it, or to take part in it.

        Args:
            storage: Where it lies, as for the constructor.
            name: Its name.
            task: Its task; needed only if that was made from arrays, which are not in the storage.

        Raises:
            ValueError: There is no such study, its task cannot be made from its name, or its data are other here.

        Example:
            >>> import tempfile
            >>> from ncps_mlx.data import irregular_sines
            >>> file = Path(tempfile.mkdtemp()) / "tuning.db"
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> made = Study(file, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", name="rates",
            ...              fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5})
            >>> Study.open(file, "rates")
            Study('rates': grid, 2 configurations x 1 seed, 0 of 2 trials done)
        """
        settings = restored(read_definition(storage, name), task)
        return cls(storage, settings.pop("task"), settings.pop("space"), name=name, **settings)

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
        """Train whatever of the plan is not yet done.

        Ctrl-C, or an error, leaves a study that can be run again: here, or from its storage in a new process. Other
        processes may run the same study at the same time; each trial is trained by one of them.

        Args:
            progress: Show how many trials are done, the best score, the rate and the time left (default True); in the
                end also each knob whose best value lies at an edge of the space, as :meth:`boundary` finds it.
            max_trials: Begin at most this many trials in this call; a bracket of halving is begun whole, and only
                within the limit's last member. Default: all.
            timeout: Begin no population, or bracket of halving, after this many seconds; what has begun is finished.
                Default: no limit.
            workers: 1 (default) trains in this process; more start so many processes on this machine, which ends when
                they have trained everything. They need a storage, and a task that can be made from its name.
            lease_seconds: Seconds after which a worker on another machine that gives no sign of life has lost its
                trials.
            memory_mb: Megabytes that the gradients of a population, or its predictions, may take together; a
                population that needs more is computed in groups, to the same bits, and says so. Of several workers
                each takes so much. Default: a quarter of the machine's.

        Returns:
            Study: itself.

        Raises:
            ValueError: An argument is out of its range, or workers could not take part in this study.
            RuntimeError: The workers stopped before everything was trained; the message gives their error.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 5}
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed=fixed)
            >>> [record.status for record in study.run(progress=False).records]
            ['finished', 'finished']
        """
        check_flag("progress", progress)
        check_int("workers", workers)
        check_number("lease_seconds", lease_seconds, low=0, open_low=True)
        if memory_mb is not None:
            check_number("memory_mb", memory_mb, low=0, open_low=True)
        limits = Limits(max_trials, timeout)
        if workers > 1 and max_trials is not None:
            raise ValueError(
                f"max_trials must be None with {workers} workers, who share the plan, got {max_trials}."
            )
        shift = Shift(self._design, self._ledger, self._claims, self.population_size, memory_mb)
        total, done = self._design.members, len(self._ledger.scores())
        with Progress(
            done + limits.of(total - done),
            self.name,
            "trial",
            done=done,
            shown=progress,
            higher_is_better=self.task.higher_is_better,
        ) as bar:
            shift.show(bar)
            if workers > 1:
                self._run_team(shift, workers, lease_seconds, bar, timeout, memory_mb)
            else:
                with self._claims.working(lease_seconds):
                    shift.work(bar, limits)
            shift.show(bar)
            if shift.finished():
                for edge in self.boundary():
                    bar.say(str(edge))
        return self

    def _run_team(
        self,
        shift: Shift,
        workers: int,
        lease: float,
        bar: Progress,
        seconds: float | None,
        memory: float | None,
    ) -> None:
        """Start workers and watch them."""
        if self._storage is None:
            raise ValueError(
                "workers must be 1 for a study in memory, which no other process sees, "
                f'got {workers}. Give it a file: Study("tuning.db", ...).'
            )
        check_shared(self.task, self.name)
        left = self._design.members - len(self._ledger.scores())
        size = max(1, min(self.population_size, -(-left // workers)))  # a share for each, however few are left
        with self._claims.working(lease):
            shift.repair()
        with Team(
            self._storage, self.name, workers, population=size, lease=lease, seconds=seconds, memory=memory
        ) as team:
            while team.running():
                time.sleep(LOOK_SECONDS)
                shift.show(bar)
        if not shift.finished() and (seconds is None or team.error(default="")):
            raise RuntimeError(
                f"workers of {self.name!r} stopped before everything was trained: {team.error()}"
            )

    @property
    def records(self) -> list[Record]:
        """What is done so far, sorted by trial.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> [(record.trial, record.config["learning_rate"]) for record in study.records]
            [(0, 0.001), (1, 0.01)]
        """
        return self._ledger.done()

    @property
    def best(self) -> Record:
        """The best record of the configuration with the best mean over its seeds.

        A configuration counts if every seed was trained, to its end, and converged; if none was, single records do.

        Raises:
            RuntimeError: Nothing has been trained, or nothing converged; the message gives the reasons.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.best.score == min(study.table()["score"])
            True
        """
        return best_group(self.records, self.name)[0]

    def table(self) -> dict[str, list[Any]]:
        """Return the records as columns: trial, the space's knobs, seed, score, status, seconds.

        A wiring is written as text; where a knob does not exist (:class:`~ncps_mlx.When`), its column holds ``None``.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.table()["learning_rate"]
            [0.001, 0.01]
        """
        return table(self.space, self.records)

    def boundary(self, within: float = 0.1) -> list[Edge]:
        """Find the knobs whose best value lies at an end of their range: see :func:`ncps_mlx.search.boundary`.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-8, 1e-7, 1e-3]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 20}).run(progress=False)
            >>> [(edge.knob, edge.side, edge.end) for edge in study.boundary()]
            [('learning_rate', 'high', 0.001)]
        """
        return boundary(self.space, self.records, within)

    def importance(self) -> dict[str, float]:
        """Share of each knob in what sets the best tenth of the trials apart, by PED-ANOVA, the greatest first.

        Shares sum to 1. They hold within the ranges searched; from few trials they are rough. Every trial counts, a
        pruned one with its score so far. With Optuna before 5, knobs that do not always exist are left out.

        Raises:
            RuntimeError: Fewer than four trials converged.

        Source:
            Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
            subspaces" (IJCAI 2023).

        Example:
            >>> from ncps_mlx import LogUniform
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> space = Space(learning_rate=LogUniform(1e-5, 1e-2), clip_norm=[0.5, 1.0])
            >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 20}
            >>> study = Study(None, task, space, trials=16, fixed=fixed).run(progress=False)
            >>> next(iter(study.importance()))
            'learning_rate'
        """
        return importance(self._ledger)

    def summary(self) -> str:
        """Say in a few lines what was trained, what was best, and whether it lies at the edge of the space.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 20}
            >>> study = Study(None, task, Space(learning_rate=[1e-8, 1e-3]), sampler="grid", fixed=fixed)
            >>> print(study.run(progress=False).summary())
            Study('study': grid, 2 configurations x 1 seed, 2 of 2 trials done)
            trials: 2 finished; ... s of training
            best: rmse ... with learning_rate 0.001
            learning_rate: best 0.001 at the upper end 0.001, as are 1 of the best 2: widen it upwards
        """
        return summary(self.space, self.records, repr(self), self.name)

    @property
    def optuna(self) -> optuna.Study:
        """The Optuna study behind this one, for its plots and dashboards.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.optuna.best_value == study.best.score
            True
        """
        return self._ledger.optuna

    def __repr__(self) -> str:
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        done, total = len(self.records), self._design.members
        head = f"{self.name!r}: {self.sampler}, {self.trials} configurations x {seeds}"
        return f"Study({head}, {done} of {total} trials done)"
