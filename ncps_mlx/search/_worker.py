"""One worker's shift in a study: it takes what is free, trains it, writes it down, until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ncps_mlx._utils.progress import Progress
from ncps_mlx.search._brackets import train_batch
from ncps_mlx.search._design import Design
from ncps_mlx.search._limits import Limits
from ncps_mlx.search._samplers import draw, shape_key
from ncps_mlx.search._storage.trial_queue import Claims
from ncps_mlx.search._storage.trial_store import Ledger, Planned

__all__ = ["Shift"]

REST_SECONDS = 0.5  # between two looks at what other workers do


class Shift:
    """A worker at a study; the others' shifts may be here or on other machines.

    Args:
        design: What is to be trained.
        ledger: The study's book.
        claims: What this worker holds of it.
        population: At most so many members are trained at once.
        memory: As of :func:`~ncps_mlx.fit`.

    Example:
        >>> from ncps_mlx import LogUniform, Space, Study
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> study = Study(None, task, Space(learning_rate=LogUniform(1e-3, 1e-1)), trials=5,
        ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5})
        >>> shift = Shift(study._design, study._ledger, study._claims, population=4)
        >>> with study._claims.working(), Progress(5, "study", "trial", shown=False) as bar:
        ...     shift.work(bar, Limits(max_trials=2))
        >>> study, shift.finished()
        (Study('study': random, 5 configurations x 1 seed, 2 of 5 trials done), False)
    """

    def __init__(
        self, design: Design, ledger: Ledger, claims: Claims, population: int, memory: float | None = None
    ) -> None:
        self._design, self._ledger, self._claims, self._population = design, ledger, claims, population
        self._memory = memory
        self._seeds = len(design.seeds)

    def work(self, bar: Progress, limits: Limits) -> None:
        """Take what is free and train it, until all is done, by this worker or by others, or the limits are reached."""
        self.repair()
        while most := limits.next(self._population):
            batch = self.take(most)
            limits.spend(len(batch))
            if batch:
                self._train(batch, bar)
            elif self.finished():
                return
            else:  # others train what is left; should one of them stop, it is for us
                time.sleep(REST_SECONDS)
                self.repair()
            self.show(bar)

    def show(self, bar: Progress) -> None:
        """Bring a bar to what the storage holds, whoever trained it, and to what others are about to finish.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed={"hidden_size": 4})
            >>> shift = Shift(study._design, study._ledger, study._claims, population=4)
            >>> with Progress(2, "study", "trial", shown=False) as bar:
            ...     shift.show(bar)
            ...     bar.done
            0
        """
        scores, others = self._ledger.scores(), self._claims.others()
        for score in [*scores.values(), *(lease.best for lease in others if lease.best is not None)]:
            bar.best(score)
        left = set(range(self._design.members)) - scores.keys()
        # A lease may be older than the scores: of what it says at most what is left counts.
        under_way = sum(min(lease.done, len(left.intersection(lease.places))) for lease in others)
        bar.reach(len(scores) + int(under_way))

    def finished(self) -> bool:
        """Whether everything is trained.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed={"hidden_size": 4})
            >>> shift = Shift(study._design, study._ledger, study._claims, population=4)
            >>> shift.finished()
            False
        """
        return len(self._ledger.scores()) >= self._design.members

    def repair(self) -> None:
        """Bring back what stopped workers left, and complete the plan.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed={"hidden_size": 4})
            >>> shift = Shift(study._design, study._ledger, study._claims, population=4)
            >>> _ = study._ledger.set_state(study.optuna.trials[0]._trial_id, "FAIL")  # and then the process was killed
            >>> shift.repair()
            >>> [trial.state.name for trial in study.optuna.trials]
            ['FAIL', 'WAITING', 'WAITING']
        """
        self._claims.repair()
        plan: Iterable[tuple[int, Mapping[str, Any]]] = self._design.order
        if self._design.sampler == "tpe":
            known = self._ledger.configs()
            plan = sorted({trial // self._seeds: config for trial, config in known.items()}.items())
        self._ledger.add(self._design.items(plan))

    def take(self, most: int) -> list[Planned]:
        """Start the next population, trials of one shape; or the next bracket of halving, whole.

        Returns:
            list[Planned]: ``[]`` if nothing is free at the moment.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed={"hidden_size": 4})
            >>> shift = Shift(study._design, study._ledger, study._claims, population=4)
            >>> with study._claims.working():
            ...     [item.config for item in shift.take(4)]
            [{'learning_rate': 0.001}, {'learning_rate': 0.01}]
        """
        batch = self._claim(most)
        if not batch and self._design.sampler == "tpe" and self._draw():
            batch = self._claim(most)
        return batch

    def _claim(self, most: int) -> list[Planned]:
        design = self._design
        if design.halving is None:
            return self._claims.claim(most, lambda item: shape_key(design.space, item.config))
        return self._claims.claim(design.members, lambda item: design.bracket(item.trial), self._whole)

    def _whole(self, items: Sequence[Planned]) -> bool:
        """Whether all else of a bracket is done: what another worker holds could not be ranked."""
        bracket = self._design.bracket(items[0].trial)
        there = {item.trial for item in items} | self._ledger.scores().keys()
        return there.issuperset(
            range(bracket.first * self._seeds, (bracket.first + bracket.size) * self._seeds)
        )

    def _draw(self) -> bool:
        """Let TPE choose one shape and several draws of its member knobs; false if all are drawn."""
        design = self._design
        begun = 1 + max((place // self._seeds for place in self._ledger.configs()), default=-1)
        count = min(design.draws_per_shape, design.trials - begun)
        if count < 1:
            return False
        first = begun * self._seeds
        reserved = self._claims.reserve(range(first, first + count * self._seeds))
        if not reserved or first in self._ledger.configs():
            return True  # another worker draws them
        drawn = draw(self._ledger, count, design.space.shape, design.tpe(begun))
        self._ledger.add(design.items(list(enumerate(drawn, start=begun))))
        return True

    def _train(self, batch: Sequence[Planned], bar: Progress) -> None:
        """Train a population or a bracket, and write down what is decided as it is."""
        told = {} if self._design.halving is None else {run.trial: run for run in self._ledger.done()}
        begun, finished = bar.done, 0
        self._claims.reached = lambda: (max(0, bar.done - begun - finished), bar.score)
        for item, record in train_batch(self._design, batch, self._population, told, bar, self._memory):
            self._claims.finish(item, record)
            finished += 1
        self._claims.reached = None
