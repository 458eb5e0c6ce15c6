"""Studies: configurations drawn, trained as populations, written down, resumed.

Optuna samples and stores; what is trained together, and that nothing is lost, is decided here.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx.brackets import steps_of, train_bracket
from ncps_mlx.checks import check_choice, check_flag, check_int, check_number
from ncps_mlx.claims import Claims
from ncps_mlx.definition import check_shared, restored, written
from ncps_mlx.grouping import mean_scores
from ncps_mlx.halving import Bracket, Halving, Hyperband, rung_step
from ncps_mlx.knobs import When
from ncps_mlx.leases import LEASE_SECONDS
from ncps_mlx.ledger import Ledger, Planned, quiet, read_definition
from ncps_mlx.limits import Limits
from ncps_mlx.models import LTC, CfC
from ncps_mlx.plans import grid_plan, quasi_random_plan, random_plan, shape_key, shape_order
from ncps_mlx.progress import Progress
from ncps_mlx.records import Record
from ncps_mlx.space import Space
from ncps_mlx.task import Task
from ncps_mlx.team import Team
from ncps_mlx.trials import MODELS, Population, check_config, complete, train_members
from ncps_mlx.values import label, plain

if TYPE_CHECKING:
    import optuna

__all__ = ["Study"]

PLANS = {"random": random_plan, "quasi-random": quasi_random_plan}
SAMPLERS = ("random", "grid", "quasi-random", "tpe")
TRIALS = 20
REST_SECONDS = 0.5  # between two looks at what other workers do
STARTUP = 10  # configurations that TPE draws at random before it models anything


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
        population: At most so many members are trained at once.
        members_per_shape: Draws of the member knobs for each drawn shape (not in a grid).
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
        >>> study = Study(None, task, space, trials=4, members_per_shape=2, seeds=(0, 1),
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
        population: int = 32,
        members_per_shape: int = 8,
        sampler_seed: int = 0,
        halving: Halving | Hyperband | None = None,
    ) -> None:
        if not isinstance(task, Task):
            raise ValueError(f"task must be a Task, got {type(task).__name__}.")
        if not isinstance(space, Space):
            raise ValueError(f"space must be a Space, got {type(space).__name__}.")
        if model not in MODELS.values():
            raise ValueError(f"model must be CfC or LTC, got {model!r}.")
        self.task, self.space, self.model = task, space, model.__name__
        self.sampler = check_choice("sampler", sampler, SAMPLERS)
        self.seeds = _seeds(seeds)
        if not name or not isinstance(name, str):
            raise ValueError(f"name must be a non-empty string, got {name!r}.")
        self.name = name
        self.population = check_int("population", population)
        self.members_per_shape = check_int("members_per_shape", members_per_shape)
        self.sampler_seed = check_int("sampler_seed", sampler_seed, minimum=0)
        if both := sorted(space.knobs.keys() & dict(fixed or {}).keys()):
            raise ValueError(f"fixed must not name a knob of the space, got {', '.join(both)}.")
        if "seed" in (fixed or {}):
            raise ValueError("seed must be given as seeds=(0, 1, 2), got it in fixed.")
        firsts = {knob: values.edges()[0] for knob, values in space.knobs.items()}
        complete(self.model, firsts)  # names each knob that the model does not have
        self._defaults = complete(self.model, dict(fixed or {}))
        self.fixed = {knob: value for knob, value in self._defaults.items() if knob not in space.knobs}
        if sampler == "grid":
            if trials is not None:
                raise ValueError(
                    f"trials must be left out for a grid, which trains all it has, got {trials}."
                )
            self.trials = len(plan := grid_plan(space))
        else:
            self.trials = check_int("trials", TRIALS if trials is None else trials)
            if sampler in PLANS:
                plan = PLANS[sampler](space, self.trials, self.members_per_shape, self.sampler_seed)
            else:  # TPE plans nothing ahead: try the ends of each knob
                plan = [space.corner(knob, v) for knob, values in space.knobs.items() for v in values.edges()]
        self.halving = halving
        self._brackets = self._divided()
        self._check(plan)
        settings = {
            **{f"space.{knob}": repr(values) for knob, values in space.knobs.items()},
            **{f"fixed.{knob}": value for knob, value in self.fixed.items()},
            "task": task.name,
            "data_hash": task.data_hash,
            "metric": task.metric,
            "model": self.model,
            "sampler": sampler,
            "sampler_seed": self.sampler_seed,
            "members_per_shape": self.members_per_shape,
            "seeds": list(self.seeds),
            "trials": self.trials,
        }
        if halving is not None:
            settings["halving"] = halving.over(self.trials)
        self._storage = storage
        self._ledger = Ledger(
            storage,
            name,
            space,
            settings,
            higher_is_better=task.higher_is_better,
            definition=written(self),
        )
        self._claims = Claims(self._ledger)
        self._plan = [] if sampler == "tpe" else [(i, plan[i]) for i in shape_order(space, plan)]
        self._ledger.add(self._planned(self._plan))

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
        members: int | None = None,
        seconds: float | None = None,
        workers: int = 1,
        lease: float = LEASE_SECONDS,
    ) -> Study:
        """Train whatever of the plan is not yet done.

        Ctrl-C, or an error, leaves a study that can be run again: here, or from its storage in a new process. Other
        processes may run the same study at the same time; each trial is trained by one of them.

        Args:
            progress: Show how many trials are done, the best score, the rate and the time left (default True).
            members: Begin at most so many trials in this call; a bracket of halving is begun whole, and only within
                the limit's last member. Default: all.
            seconds: Begin no population after so many; what has begun is finished. Default: no limit.
            workers: 1 (default) trains in this process; more start so many processes on this machine, which ends
                when they have trained everything. They need a storage, and a task that can be made from its name.
            lease: Seconds after which a worker on another machine that gives no sign of life has lost its trials.

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
        check_number("lease", lease, low=0, open_low=True)
        limits = Limits(members, seconds)
        if workers > 1 and members is not None:
            raise ValueError(
                f"members must be None with {workers} workers, who share the plan, got {members}."
            )
        total, done = self.trials * len(self.seeds), len(self._ledger.scores())
        with Progress(
            done + limits.of(total - done),
            self.name,
            "trial",
            done=done,
            shown=progress,
            higher_is_better=self.task.higher_is_better,
        ) as bar:
            self._show(bar)
            if workers > 1:
                self._run_team(workers, lease, bar, seconds)
            else:
                with self._claims.working(lease):
                    self._work(bar, limits)
        return self

    def _work(self, bar: Progress, limits: Limits) -> None:
        """Take what is free and train it, until all is done, by this worker or by others, or the limits are reached."""
        self._repair()
        while most := limits.next(self.population):
            batch = self._next(most)
            limits.spend(len(batch))
            if batch:
                self._train(batch, bar)
            elif self._finished():
                return
            else:  # others train what is left; should one of them stop, it is for us
                time.sleep(REST_SECONDS)
                self._repair()
            self._show(bar)

    def _run_team(self, workers: int, lease: float, bar: Progress, seconds: float | None) -> None:
        """Start workers and watch them."""
        if self._storage is None:
            raise ValueError(
                "workers must be 1 for a study in memory, which no other process sees, "
                f'got {workers}. Give it a file: Study("tuning.db", ...).'
            )
        check_shared(self.task, self.name)
        left = self.trials * len(self.seeds) - len(self._ledger.scores())
        size = max(1, min(self.population, -(-left // workers)))  # a share for each, however few are left
        with self._claims.working(lease):
            self._repair()
        with Team(self._storage, self.name, workers, population=size, lease=lease, seconds=seconds) as team:
            while team.running():
                time.sleep(REST_SECONDS)
                self._show(bar)
        self._show(bar)
        if not self._finished() and (seconds is None or team.error(default="")):
            raise RuntimeError(
                f"workers of {self.name!r} stopped before everything was trained: {team.error()}"
            )

    def _show(self, bar: Progress) -> None:
        """Bring the bar to what the storage holds, whoever trained it."""
        scores = self._ledger.scores()
        for score in scores.values():
            bar.best(score)
        bar.reach(len(scores))

    def _finished(self) -> bool:
        return len(self._ledger.scores()) >= self.trials * len(self.seeds)

    @property
    def records(self) -> list[Record]:
        """What is done so far, sorted by trial."""
        return self._ledger.done()

    @property
    def best(self) -> Record:
        """The best record of the configuration with the best mean over its seeds.

        A configuration counts if every seed was trained, to its end, and converged; if there is none, single records do.

        Raises:
            RuntimeError: Nothing has been trained, or nothing converged; the message gives the reasons.
        """
        records = self.records
        if not records:
            raise RuntimeError(f"{self.name!r} has no trial yet. Call run() first.")
        sign = -1 if self.task.higher_is_better else 1
        groups = mean_scores(records)
        seeds = [len({record.seed for record in group}) for _, _, group in groups]
        whole = [
            (sign * mean, group)
            for (_, mean, group), count in zip(groups, seeds, strict=True)
            if math.isfinite(mean) and count == max(seeds) and all(run.status != "pruned" for run in group)
        ]
        pool = min(whole, key=lambda pair: pair[0])[1] if whole else records
        converged = [record for record in pool if math.isfinite(record.score)]
        if not converged:
            reasons = Counter(record.reason or record.status for record in records).most_common(3)
            raise RuntimeError(
                f"{self.name!r} has no trial that converged: {len(records)} of {len(records)} diverged "
                f"({'; '.join(f'{times} x {reason}' for reason, times in reasons)}). "
                "Search smaller learning rates, or set clip_norm."
            )
        return min(converged, key=lambda record: sign * record.score)

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
        records = self.records
        columns: dict[str, list[Any]] = {"trial": [record.trial for record in records]}
        there = [self.space.part_of(record.config) for record in records]
        for knob in self.space.knobs:
            columns[knob] = [_shown(config.get(knob)) for config in there]
        for name in ("seed", "score", "status", "seconds"):
            columns[name] = [getattr(record, name) for record in records]
        return columns

    @property
    def optuna(self) -> optuna.Study:
        """The Optuna study behind this one, for its plots and dashboards."""
        return self._ledger.optuna

    def __repr__(self) -> str:
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        done, total = len(self.records), self.trials * len(self.seeds)
        head = f"{self.name!r}: {self.sampler}, {self.trials} configurations x {seeds}"
        return f"Study({head}, {done} of {total} trials done)"

    def _check(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a configuration that could not be trained, or halved, before anything is stored."""
        for config in plan or [{}]:  # a space without knobs has its fixed values alone
            try:
                check_config(self.task, self.model, full := self._defaults | dict(config))
                for share in {share for bracket in self._brackets for share in bracket.rungs}:
                    rung_step(share, *steps_of(full))
            except ValueError as error:
                shown = ", ".join(f"{knob}={value!r}" for knob, value in config.items())
                raise ValueError(f"{error} In the configuration {shown or 'of fixed'}.") from error

    def _planned(self, plan: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Planned]:
        """Pair configurations, each with its place, with every seed."""
        return [
            Planned(trial=place * len(self.seeds) + j, seed=seed, config=config)
            for place, config in plan
            for j, seed in enumerate(self.seeds)
        ]

    def _repair(self) -> None:
        """Bring back what stopped workers left, and complete the plan."""
        self._claims.repair()
        plan: Iterable[tuple[int, Mapping[str, Any]]] = self._plan
        if self.sampler == "tpe":
            plan = {
                place // len(self.seeds): config for place, config in self._ledger.configs().items()
            }.items()
        self._ledger.add(self._planned(sorted(plan) if self.sampler == "tpe" else list(plan)))

    def _divided(self) -> list[Bracket]:
        """Divide the plan into brackets of halving."""
        if self.halving is None:
            return []
        if not isinstance(self.halving, Halving | Hyperband):
            raise ValueError(f"halving must be a Halving or a Hyperband, got {self.halving!r}.")
        if self.sampler != "tpe":
            return self.halving.brackets(self.trials)
        if not isinstance(self.halving, Halving) or self.halving.members not in (
            None,
            self.members_per_shape,
        ):
            raise ValueError(
                "halving must be a Halving without members by TPE, where each population asked for is a bracket of "
                f"members_per_shape={self.members_per_shape}, got {self.halving}."
            )
        return replace(self.halving, members=self.members_per_shape).brackets(self.trials)

    def _bracket(self, trial: int) -> Bracket:
        """The bracket of a trial."""
        place = trial // len(self.seeds)
        return next(bracket for bracket in self._brackets if place < bracket.first + bracket.size)

    def _next(self, most: int) -> list[Planned]:
        """Start the next population, trials of one shape; or the next bracket of halving, whole."""
        batch = self._claim(most)
        if not batch and self.sampler == "tpe" and self._draw():
            batch = self._claim(most)
        if not batch or self.halving is None:
            return batch
        bracket = self._bracket(batch[0].trial)
        there = {item.trial for item in batch} | self._ledger.scores().keys()
        places = range(bracket.first * len(self.seeds), (bracket.first + bracket.size) * len(self.seeds))
        if not there.issuperset(
            places
        ):  # another worker has part of it, which cannot be ranked without the rest
            self._claims.release()
            return []
        return batch

    def _claim(self, most: int) -> list[Planned]:
        if self.halving is None:
            return self._claims.claim(most, lambda item: shape_key(self.space, item.config))
        return self._claims.claim(self.trials * len(self.seeds), lambda item: self._bracket(item.trial).first)

    def _draw(self) -> bool:
        """Let TPE choose one shape and several draws of its member knobs; false if all are drawn."""
        from optuna.samplers import TPESampler

        begun = 1 + max((place // len(self.seeds) for place in self._ledger.configs()), default=-1)
        count = min(self.members_per_shape, self.trials - begun)
        if count < 1:
            return False
        first = begun * len(self.seeds)
        if (
            not self._claims.reserve(range(first, first + count * len(self.seeds)))
            or first in self._ledger.configs()
        ):
            return True  # another worker draws them
        # A seed of its own for each batch: a resumed study must not draw its first numbers again.
        seed = np.random.SeedSequence([self.sampler_seed, begun]).generate_state(1)
        with quiet():
            sampler = TPESampler(
                n_startup_trials=STARTUP * len(self.seeds),
                multivariate=True,
                group=any(isinstance(knob, When) for knob in self.space.knobs.values()),
                constant_liar=True,  # the members of a population do not know each other's scores
                seed=int(seed[0]),
            )
        drawn = self._ledger.draw(count, self.space.shape, sampler)
        self._ledger.add(self._planned(list(enumerate(drawn, start=begun))))
        return True

    def _train(self, batch: Sequence[Planned], progress: Progress) -> None:
        """Train trials of one shape, or a bracket, as many at once as a population may hold, and write them down."""
        if self.halving is not None:
            self._halve(batch, progress)
            return
        for start in range(0, len(batch), self.population):
            part = batch[start : start + self.population]
            trained = train_members(
                self.task,
                self.model,
                [self._defaults | dict(item.config) for item in part],
                [item.seed for item in part],
                [item.trial for item in part],
                progress=progress,
            )
            for item, record in zip(part, trained, strict=True):
                self._claims.finish(item, record)

    def _halve(self, batch: Sequence[Planned], progress: Progress) -> None:
        """Train a bracket of halving, and write down what each rung decides."""
        shapes: dict[str, list[Planned]] = {}
        for item in sorted(batch, key=lambda item: item.trial):
            shapes.setdefault(shape_key(self.space, item.config), []).append(item)
        populations = [
            Population(
                self.task,
                self.model,
                [self._defaults | dict(item.config) for item in part],
                [item.seed for item in part],
                [item.trial for item in part],
            )
            for items in shapes.values()
            for part in (items[i : i + self.population] for i in range(0, len(items), self.population))
        ]
        bracket, waiting = self._bracket(batch[0].trial), {item.trial: item for item in batch}
        told = {run.trial: run for run in self.records if self._bracket(run.trial) == bracket}
        for ended in train_bracket(bracket, populations, told, len(self.seeds), progress):
            for record in ended:
                self._claims.finish(waiting[record.trial], record)


def _shown(value: Any) -> Any:
    """A knob's value for a table: a wiring or another mapping as its label."""
    return label(value) if isinstance(value, Mapping) else value


def _seeds(seeds: Any) -> tuple[int, ...]:
    """Check that seeds are distinct integers of at least 0."""
    values = plain("seeds", list(seeds)) if isinstance(seeds, Iterable) else ()
    if not values or isinstance(seeds, str):
        raise ValueError(f"seeds must be a sequence of at least 1 integer such as (0, 1, 2), got {seeds!r}.")
    checked = tuple(check_int("seeds", seed, minimum=0) for seed in values)
    if len(set(checked)) < len(checked):
        raise ValueError(f"seeds must be distinct, got {list(checked)}.")
    return checked
