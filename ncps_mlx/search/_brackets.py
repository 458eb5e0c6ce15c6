"""The training of what a study takes at once: a population, or a bracket of halving that pauses at each rung."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ncps_mlx._utils.progress import Progress
from ncps_mlx.search._design import Design
from ncps_mlx.search._halving import Bracket, in_contest, kept, rank, rung_step, score_at
from ncps_mlx.search._hyperparameters import steps_of
from ncps_mlx.search._record import Population, Record
from ncps_mlx.search._samplers import shape_key
from ncps_mlx.search._storage.trial_store import Planned

__all__ = ["train_batch", "train_bracket"]


def train_batch(
    design: Design,
    batch: Sequence[Planned],
    most: int,
    told: Mapping[int, Record],
    progress: Progress,
    memory: float | None = None,
) -> Iterator[tuple[Planned, Record]]:
    """Train trials of one shape, or a bracket, and give each with its record as soon as that is decided.

    Args:
        design: What they are part of.
        batch: The trials.
        most: At most so many members are trained at once.
        told: Records of trials that are done, by trial.
        progress: The bar to move by one for each trial.
        memory: As of :func:`~ncps_mlx.fit`.

    Example:
        >>> from ncps_mlx import CfC, LogUniform, Space
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 5}
        >>> design = Design(task, Space(learning_rate=LogUniform(1e-3, 1e-1)), CfC, sampler="random", trials=3,
        ...                 seeds=(0,), fixed=fixed, draws_per_shape=8, sampler_seed=0, halving=None)
        >>> with Progress(3, "study", "trial", shown=False) as bar:
        ...     batch = design.items(design.order)
        ...     [record.status for _, record in train_batch(design, batch, most=8, told={}, progress=bar)]
        ['finished', 'finished', 'finished']
    """
    shapes: dict[str, list[Planned]] = {}
    for item in batch:
        shapes.setdefault(shape_key(design.space, item.config), []).append(item)
    parts = [items[first : first + most] for items in shapes.values() for first in range(0, len(items), most)]
    if design.halving is None:
        for part in parts:
            population = _population(design, part, memory)
            population.train(progress)
            yield from zip(part, population.records(), strict=True)
        return
    bracket, waiting = design.bracket(batch[0].trial), {item.trial: item for item in batch}
    known = {trial: record for trial, record in told.items() if design.bracket(trial) == bracket}
    populations = [_population(design, part, memory) for part in parts]
    for ended in train_bracket(bracket, populations, known, len(design.seeds), progress):
        yield from ((waiting[record.trial], record) for record in ended)


def _population(design: Design, items: Sequence[Planned], memory: float | None) -> Population:
    return Population(
        design.task,
        design.model,
        [design.full(item.config) for item in items],
        [item.seed for item in items],
        [item.trial for item in items],
        memory,
    )


def train_bracket(
    bracket: Bracket,
    populations: Sequence[Population],
    told: Mapping[int, Record],
    seeds: int,
    progress: Progress,
) -> Iterator[list[Record]]:
    """Train a bracket, and give the records of the trials that ended after each rung.

    A bracket that was cut off is taken up by training what was not told again from its start: told trials keep their
    scores, so every rung ranks the same scores as if nothing had happened.

    Args:
        bracket: Its rungs.
        populations: What is to be trained, any number of shapes.
        told: Records of this bracket from before it was cut off, by trial.
        seeds: Trials of each configuration; those of a configuration follow each other in number.
        progress: The bar to move by one for each trial in the populations.

    Returns:
        Iterator[list[Record]]: at each rung the trials that were pruned or ended by themselves, at last all others.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> from ncps_mlx.search._hyperparameters import complete
        >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 8, "evaluate_every": 2}
        >>> configs = [complete("CfC", fixed | {"learning_rate": rate}) for rate in (1e-8, 1e-2, 3e-2, 1e-7)]
        >>> members = Population(task, "CfC", configs, [0] * 4, [0, 1, 2, 3])
        >>> bracket = Bracket(first=0, size=4, rungs=(0.5,), eta=2)
        >>> with Progress(4, "study", "trial", shown=False) as bar:
        ...     rungs = list(train_bracket(bracket, [members], {}, 1, bar))
        >>> [[(record.trial, record.status) for record in ended] for ended in rungs]
        [[(0, 'pruned'), (3, 'pruned')], [(1, 'finished'), (2, 'finished')]]
    """
    begun = progress.done
    members = sum(len(population.trials) for population in populations)
    records = dict(told)
    written: set[int] = set(told)
    ends = np.array([*bracket.rungs, 1.0])
    work = np.cumsum(np.array(bracket.entrants) * np.diff(ends, prepend=0.0))
    reached = members * work / work[-1]
    for level, share in enumerate(ends):
        last = level == len(bracket.rungs)
        left = sum(len(population.training) for population in populations)
        for population in populations:
            if ours := len(population.training):
                step = None if last else rung_step(share, *steps_of(population.configs[0]))
                part = (begun + reached[level] - progress.done) * ours / left
                population.train(progress, max(0.0, part), step)
                left -= ours
        for population in populations:
            records |= {
                record.trial: record for record in population.records() if record.trial not in written
            }
        if not last:
            _prune(bracket, share, populations, records, seeds)
            for population in populations:
                fresh = population.records()
                records |= {record.trial: record for record in fresh if record.trial not in written}
        training = {trial for population in populations for trial in population.training}
        ended = [record for trial, record in sorted(records.items()) if trial not in training | written]
        written |= {record.trial for record in ended}
        yield ended
    progress.reach(begun + members)


def _prune(
    bracket: Bracket,
    share: float,
    populations: Sequence[Population],
    records: Mapping[int, Record],
    seeds: int,
) -> None:
    """Rank what is in the contest, and stop the worse ones that are in training."""
    reached: dict[int, list[float]] = {}
    for trial, record in records.items():
        step = rung_step(share, *steps_of(record.config))
        if in_contest(record, step):
            reached.setdefault(trial // seeds, []).append(score_at(record, step))
    higher = next(iter(records.values())).higher_is_better
    order = rank({place: float(np.mean(scores)) for place, scores in reached.items()}, higher)
    worse = {place: at for at, place in enumerate(order, start=1) if at > kept(len(order), bracket.eta)}
    for population in populations:
        step = rung_step(share, *steps_of(population.configs[0]))
        population.prune(
            {
                trial: f"rank {worse[trial // seeds]} of {len(order)} at step {step}"
                for trial in population.training
                if trial // seeds in worse
            }
        )
