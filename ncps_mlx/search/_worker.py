"""A worker of a study: it takes what is free, trains it, writes it down, until nothing is left."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import MOST, check_int, check_number
from ncps_mlx.search._config import StudyConfig
from ncps_mlx.search._halving import Bracket, loss_at, rung_step, survivor_count
from ncps_mlx.search._optuna_sampler import ask_sampler, known_by_configuration, known_by_seed
from ncps_mlx.search._record import Record, TrialPopulation
from ncps_mlx.search._storage.leases import LEASE_SECONDS
from ncps_mlx.search._storage.trial_queue import TrialQueue
from ncps_mlx.search._storage.trial_store import TrialSpec, TrialStore
from ncps_mlx.training._hyperparameters import steps_of

__all__ = ["Worker", "WorkerSettings"]

REST_SECONDS = (0.05, 0.5)  # between two looks at what other workers do: at first, and after some


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How one process takes part in a study: the settings of :meth:`Study.run <ncps_mlx.Study.run>`, checked."""

    population_size: int
    lease_seconds: float = LEASE_SECONDS
    timeout: float | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        check_int("population_size", self.population_size)
        check_number("lease_seconds", self.lease_seconds, low=0, open_low=True, high=MOST)
        for name in ("timeout", "memory_mb"):
            if (value := getattr(self, name)) is not None:
                check_number(name, value, low=0, open_low=True)

    def options(self) -> list[str]:
        """Return them as options of the command ``worker``."""
        each = asdict(self).items()
        return [f"--{name.replace('_', '-')}={value}" for name, value in each if value is not None]


class Worker:
    """One process at a study, with its trials, what it holds of them, and its settings; others may be elsewhere."""

    def __init__(self, config: StudyConfig, store: TrialStore, queue: TrialQueue, settings: WorkerSettings) -> None:
        self._config, self._store, self._queue = config, store, queue
        self._settings, self._population_size = settings, settings.population_size
        self._n_seeds = len(config.seeds)
        self._plan = config.specs(config.ordered_plan)

    def work(self, bar: Progress, max_trials: float = math.inf) -> None:
        """Take what is free and train it, until all is done, by this worker or by others, or time or trials run out."""
        end = time.monotonic() + (self._settings.timeout or math.inf)
        rest, most = REST_SECONDS
        self.store_missing()
        while max_trials > 0 and time.monotonic() < end:
            batch = self.claim(int(min(self._population_size, max_trials)))
            self._show(bar)
            max_trials -= len(batch)
            if batch:
                self._train(batch, bar)
                rest = REST_SECONDS[0]
            elif self.is_finished():
                return
            else:  # others train what is left; should one of them stop, it is for us
                time.sleep(rest)
                rest = min(2 * rest, most)
                self.store_missing()

    def update(self, bar: Progress) -> None:
        """Bring a bar to what is stored, whoever trained it, and to what others are about to finish."""
        self._store.refresh()
        self._show(bar)

    def _show(self, bar: Progress) -> None:
        scores, others = self._store.scores, self._queue.other_leases()
        bests = [lease.best for lease in others if lease.best is not None]
        if known := [*scores.values(), *bests]:
            bar.add_score((max if self._config.task.higher_is_better else min)(known))
        # A lease may be older than the scores: of what it says at most what is left counts.
        n_trials, under_way = self._config.n_trials, 0.0
        for lease in others:
            under_way += min(lease.done, sum(i < n_trials and i not in scores for i in lease.trials))
        bar.reach(len(scores) + int(under_way))

    def is_finished(self) -> bool:
        """Whether everything is trained, as far as was read."""
        return len(self._store.scores) >= self._config.n_trials

    def store_missing(self) -> None:
        """Bring back what stopped workers left, and add what is missing."""
        self._queue.requeue_orphans()
        if self._config.is_adaptive:  # a configuration that was drawn is trained with every seed
            known = dict(enumerate(self._config.plan))
            known |= {trial // self._n_seeds: config for trial, config in self._store.configs().items()}
            self._store.add(self._config.specs(sorted(known.items())))
        else:
            self._add_next()

    def _add_next(self) -> int:
        """Store a few trials of the plan (what waits is read again with each population); return how many."""
        return self._store.add(self._plan, self._config.n_stored_ahead(2 * self._population_size))

    def claim(self, limit: int) -> list[TrialSpec]:
        """Begin the next population, trials of one shape, or the next bracket, whole; ``[]`` if nothing is free now."""
        batch = self._claim(limit)
        if self._config.is_adaptive:
            has_more = not batch and self._draw()
        else:
            has_more = self._queue.n_free < self._population_size and self._add_next() > 0
        return self._claim(limit) if has_more and not batch else batch

    def _claim(self, limit: int) -> list[TrialSpec]:
        config = self._config
        if config.halving is None:
            return self._queue.claim(limit, lambda spec: config.space.shape_key(spec.config))
        return self._queue.claim(config.n_trials, lambda spec: config.bracket(spec.index), self._is_whole_bracket)

    def _is_whole_bracket(self, specs: Sequence[TrialSpec]) -> bool:
        """Whether all else of a bracket is done: what another worker holds could not be ranked."""
        bracket, n = self._config.bracket(specs[0].index), self._n_seeds
        known = {spec.index for spec in specs} | self._store.scores.keys()
        return known.issuperset(range(bracket.first * n, (bracket.first + bracket.size) * n))

    def _draw(self) -> bool:
        """Let the sampler choose the next configurations, several of one shape; false if all are drawn."""
        config = self._config
        begun = max([len(config.plan), *(1 + trial // self._n_seeds for trial in self._store.configs())])
        count = min(config.draws_per_shape, config.trials - begun)
        if count < 1:
            return False
        first = begun * self._n_seeds
        if not self._queue.reserve(range(first, first + count * self._n_seeds)):
            return True  # another worker draws them
        self._store.refresh()
        if first in self._store.configs():
            return True  # another worker drew them
        is_tpe = config.sampler == "tpe"
        known = known_by_seed(self._store) if is_tpe else known_by_configuration(self._store, self._n_seeds)
        rng = np.random.default_rng([config.sampler_seed, begun])
        configs, notes = ask_sampler(self._store, count, config.sampler_after(begun), known, rng)
        drawn = enumerate(configs, start=begun)
        self._store.add(config.specs(drawn, {} if is_tpe else dict(enumerate(notes, start=begun))))
        return True

    def _train(self, batch: Sequence[TrialSpec], bar: Progress) -> None:
        """Train a population or a bracket, and write down what is decided as soon as it is."""
        begun, finished = bar.done, 0
        self._queue.progress = lambda: (max(0, bar.done - begun - finished), bar.best_score)
        specs = {spec.index: spec for spec in batch}
        for record in self._train_bracket(batch, bar) if self._config.halving else self._train_all(batch, bar):
            self._queue.finish(specs[record.trial], record)
            finished += 1
        self._queue.progress = None

    def _train_all(self, batch: Sequence[TrialSpec], bar: Progress) -> Iterator[Record]:
        for population in self._populations(batch):
            population.train(bar)
            yield from population.records()

    def _train_bracket(self, batch: Sequence[TrialSpec], bar: Progress) -> Iterator[Record]:
        bracket = self._config.bracket(batch[0].index)
        done = {r.trial: r for r in self._store.records() if self._config.bracket(r.trial) == bracket}
        return train_bracket(bracket, list(self._populations(batch)), done, self._n_seeds, bar)

    def _populations(self, batch: Sequence[TrialSpec]) -> Iterator[TrialPopulation]:
        """Divide trials into populations of one shape each."""
        config, size = self._config, self._population_size
        shapes: dict[str, list[TrialSpec]] = {}
        for spec in batch:
            shapes.setdefault(config.space.shape_key(spec.config), []).append(spec)
        for specs in shapes.values():
            for part in (specs[i : i + size] for i in range(0, len(specs), size)):
                configs = [config.with_defaults(spec.config) for spec in part]
                seeds, trials = [spec.seed for spec in part], [spec.index for spec in part]
                yield TrialPopulation(config.task, config.model, configs, seeds, trials, self._settings.memory_mb)


def train_bracket(
    bracket: Bracket, populations: Sequence[TrialPopulation], done: Mapping[int, Record], n_seeds: int, bar: Progress
) -> Iterator[Record]:
    """Train a bracket, and give the record of each trial after the rung at which it ended.

    ``done`` are records, by trial, from before the bracket was cut off. They keep their scores and the rest is trained
    again from its start, so every rung ranks the same scores as if nothing had happened.
    """
    begun = bar.done
    n_trials = sum(len(population.trials) for population in populations)
    records, ended = dict(done), set(done)
    ends = np.array([*bracket.rungs, 1.0])
    work = np.cumsum(np.array(bracket.counts_per_rung) * np.diff(ends, prepend=0.0))
    reached = n_trials * work / work[-1]  # what the bar has moved at each rung

    def note_records() -> None:
        for population in populations:
            records.update({record.trial: record for record in population.records() if record.trial not in ended})

    for level, share in enumerate(ends):
        is_last = level == len(bracket.rungs)
        left = sum(len(population.training) for population in populations)
        for population in populations:
            if count := len(population.training):
                step = None if is_last else rung_step(share, *steps_of(population.configs[0]))
                part = (begun + reached[level] - bar.done) * count / left
                population.train(bar, max(0.0, part), step)
                left -= count
        note_records()
        if not is_last:
            prune(bracket.eta, share, populations, records, n_seeds)
            note_records()
        training = {trial for population in populations for trial in population.training}
        for trial in sorted(records.keys() - training - ended):
            ended.add(trial)
            yield records[trial]
    bar.reach(begun + n_trials)


def prune(
    eta: int, share: float, populations: Sequence[TrialPopulation], records: Mapping[int, Record], n_seeds: int
) -> None:
    """Rank what has reached a rung by the mean over the seeds, and stop the worse ones that are in training."""
    reached: dict[int, list[float]] = {}
    for trial, record in records.items():
        if (loss := loss_at(record, rung_step(share, *steps_of(record.config)))) is not None:
            reached.setdefault(trial // n_seeds, []).append(loss)
    order = sorted(reached, key=lambda index: (np.mean(reached[index]), index))
    survivors = survivor_count(len(order), eta)
    worse = {index: at for at, index in enumerate(order, start=1) if at > survivors}
    for population in populations:
        step = rung_step(share, *steps_of(population.configs[0]))
        ranks = {trial: worse[trial // n_seeds] for trial in population.training if trial // n_seeds in worse}
        population.prune({trial: f"rank {at} of {len(order)} at step {step}" for trial, at in ranks.items()})
