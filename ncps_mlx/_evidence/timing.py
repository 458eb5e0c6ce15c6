"""The design of times and memory: levels take turns at training, and each repeat gives a pair.

A repeat builds a training of each level, as ``fit`` does, and takes its first steps, which compile and fill caches.
Then come rounds, in each of which every level trains some steps, in an order that the repeat's seed shuffles; the
fastest round counts. So what slows the machine for a while slows all levels, and they are compared by their ratio.

Processor time is what counts, of all threads: the clock on the wall also counts the turns of other processes. Only
what a GPU computes is no processor time, and there it is the clock on the wall. Both are written down: where they are
far apart the machine was busy, and even processor time is longer then, for small steps more than for large ones. What
an evaluation takes is left out. Memory is taken in some more steps, one training after the other, with nothing in MLX's
cache.

A step takes as long at either budget: the budgets differ in their repeats, and the long one is a second look.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Missing
from ncps_mlx._evidence.plan import Row, identity_of, index_of, key_of
from ncps_mlx._evidence.pool import (
    BUDGETS,
    FIRST_REPORT_SEED,
    Level,
    LevelPool,
    TaskSpec,
    level_fields,
    read_toml,
)
from ncps_mlx._evidence.registry import Part, single_level
from ncps_mlx._evidence.tasks import arguments_of, data_seed, make_task, settings_of
from ncps_mlx._evidence.train import means
from ncps_mlx._kernels.native import native_layers
from ncps_mlx._runtime.memory_budget import peak_memory_mb
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import check_choice, check_flag, check_int
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._hyperparameters import build_model, complete_config, model_sizes
from ncps_mlx.training._trainer import PopulationTrainer

__all__ = [
    "Run",
    "TimedTrainer",
    "TimingPool",
    "contrast",
    "fresh",
    "fresh_contrast",
    "missing",
    "read_pool",
    "train",
]

STATISTICS = ("step time", "speed", "memory")

ROUNDS = 5  # whose fastest counts, after one that warms up
MEMORY_STEPS = 3  # whose median counts: now and then MLX's worker frees a little later


@dataclass(frozen=True, kw_only=True)
class TimingPool(LevelPool):
    """A pool whose levels are timed.

    Attributes:
        timed_steps: Updates of a round.
        repeats: At each budget.
        population_sizes: How many members train together: each level is timed at each of these sizes.
        layers_in_c: Whether layers run in C if there are such; else all run in operations of MLX.
    """

    timed_steps: int
    repeats: Mapping[str, int]
    population_sizes: Sequence[int] = (1,)
    layers_in_c: bool = True

    def level_names(self, task: str) -> list[str]:
        """The levels of a task: ``"wide"`` as one model, ``"wide of 16"`` as a population."""
        return list(self.sized_levels(task))

    def seeds(self, budget: str) -> range:
        """The seeds of its repeats."""
        return range(FIRST_REPORT_SEED, FIRST_REPORT_SEED + self.repeats[budget])

    def sized_levels(self, task: str) -> dict[str, tuple[Level, int]]:
        """The levels of a task, each with how many members train together."""
        return {
            level.name if size == 1 else f"{level.name} of {size}": (level, size)
            for level in self.levels_of(task)
            for size in self.population_sizes
        }


def read_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> TimingPool:
    """Read a pool; ``tasks`` are those it may name."""
    table = read_toml(path)
    fields = level_fields(path, table, tasks, TimingPool)
    for name, level in fields["levels"].items():
        if level.divide_steps_by != 1 or level.steps_times or level.warmup_share:
            raise ValueError(f"{path.name}: levels.{name} must train as many steps as the others, without a warm-up.")
    if "learning_rate" not in fields["fixed"]:
        raise ValueError(f"{path.name}: fixed must hold 'learning_rate': all levels train at the same.")
    repeats = table["repeats"]
    if sorted(repeats) != sorted(BUDGETS):
        raise ValueError(f"{path.name}: repeats must be given for {' and '.join(BUDGETS)}, got {repeats}.")
    return TimingPool(
        **fields,
        timed_steps=check_int(f"{path.name}: timed_steps", table["timed_steps"], minimum=1),
        repeats={budget: check_int(f"{path.name}: repeats", count, minimum=2) for budget, count in repeats.items()},
        population_sizes=[
            check_int(f"{path.name}: population_sizes", size, minimum=1) for size in table.get("population_sizes", [1])
        ],
        layers_in_c=check_flag(f"{path.name}: layers_in_c", table.get("layers_in_c", True)),
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """One level in one repeat."""

    pool: TimingPool
    task: TaskSpec
    budget: str
    name: str
    seed: int
    stage: str

    @property
    def level(self) -> Level:
        """Which level."""
        return self.pool.sized_levels(self.task.name)[self.name][0]

    @property
    def size(self) -> int:
        """How many members train together."""
        return self.pool.sized_levels(self.task.name)[self.name][1]

    @property
    def steps(self) -> int:
        """Its updates in a round."""
        return self.pool.timed_steps

    @property
    def data_seed(self) -> int | None:
        """What draws its data."""
        return data_seed(self.task, self.level, self.seed)

    @property
    def settings(self) -> dict[str, Any]:
        """All hyperparameters that are not defaults."""
        settings = settings_of(self.pool, self.task, self.level)
        steps = self.steps
        return settings | {"steps": steps * (1 + ROUNDS), "evaluate_every": steps}

    @property
    def identity(self) -> Row:
        """What its trial is told from others by; it counts only beside those of the levels that took turns with it."""
        level = self.level.content | {"population_size": self.size}
        if self.level.parameters_of:
            level["hidden_size"] = self.settings["hidden_size"]
        fixed = {"model": self.pool.model, **self.pool.fixed, **self.task.settings}
        fixed["in_turn"] = self.pool.level_names(self.task.name)
        if not self.pool.layers_in_c:
            fixed["layers_in_c"] = False
        return identity_of(
            self, level=level, fixed=fixed, data=arguments_of(self.task, self.level)
        )


def missing(pool: TimingPool, budgets: Sequence[str], rows: Sequence[Row]) -> list[Missing]:
    """The repeats that a pool lacks, each as a group: of a repeat that is not whole, all levels."""
    index, found = index_of(rows), []
    for task in pool.tasks.values():
        for budget in budgets:
            repeats = [_repeat(pool, task, budget, seed) for seed in pool.seeds(budget)]
            lacking = [each for each in repeats if any(key_of(run.identity) not in index for run in each)]
            if lacking:
                seconds = sum(map(len, lacking)) * _seconds_each(pool, task, rows)
                found.append(Missing(task=task.name, budget=budget, groups=lacking, later=0, seconds=seconds))
    return found


def _repeat(pool: TimingPool, task: TaskSpec, budget: str, seed: int, stage: str = "timed") -> list[Run]:
    return [
        Run(pool=pool, task=task, budget=budget, name=name, seed=seed, stage=stage)
        for name in pool.level_names(task.name)
    ]


def _seconds_each(pool: TimingPool, task: TaskSpec, rows: Sequence[Row]) -> float:
    """What a level in a repeat takes, on average over levels."""
    known = [row["seconds"] for row in rows if row["task"] == task.name and row["steps"] == pool.timed_steps]
    round_seconds = fmean(known) if known else task.seconds / 100 * pool.timed_steps * fmean(pool.population_sizes)
    return round_seconds * (1 + ROUNDS)


class TimedTrainer(PopulationTrainer):
    """Trains as ``fit`` does, and notes when the steps before an evaluation are done."""

    done_at = (0.0, 0.0)

    def predict_validation(self) -> Sequence[npt.NDArray[np.float32]]:
        """What each active member predicts for the validation split."""
        mx.eval(self.matrix, self.optimizer.state)
        self.done_at = clocks()
        return super().predict_validation()

    def seconds(self, progress: Progress) -> tuple[float, float]:
        """What the steps up to the next evaluation take, by both clocks."""
        begun = clocks()
        self.train(progress, share=0, until=self.steps_taken + self.config.evaluation_interval)
        return self.done_at[0] - begun[0], self.done_at[1] - begun[1]

    @training_stream()
    def memory_mb(self) -> float:
        """What a step takes at most, beside what stays from one to the next."""
        found = []
        for _ in range(MEMORY_STEPS):
            mx.clear_cache()
            found.append(peak_memory_mb(lambda: [self.step(0), self.matrix, self.optimizer.state]))
        return median(found)


def clocks() -> tuple[float, float]:
    """Seconds that count, of this process's threads on the processor unless a GPU computes; and those on the wall."""
    wall = time.perf_counter()
    return time.process_time() if mx.default_device() == mx.Device(mx.cpu) else wall, wall


def train(runs: Sequence[Run]) -> list[Row]:
    """Time all levels of a repeat and return their trials."""
    with nullcontext() if runs[0].pool.layers_in_c else native_layers(False):
        return _train(runs)


def _train(runs: Sequence[Run]) -> list[Row]:
    trainers, rng = [_trainer(run) for run in runs], np.random.default_rng(runs[0].seed)
    spent: list[list[tuple[float, float]]] = [[] for _ in runs]
    with Progress(1, runs[0].task.name, "round", shown=False) as progress, rare_collections():
        for trainer in trainers:
            trainer.seconds(progress)
        for _ in range(ROUNDS):
            gc.collect()  # or it would come in the middle
            for i in rng.permutation(len(runs)):
                if trainers[i].active:
                    spent[i].append(trainers[i].seconds(progress))
    rows, timed_by = [], means()
    for run, trainer, seconds in zip(runs, trainers, spent, strict=True):
        is_whole = len(seconds) == ROUNDS and len(trainer.active) == run.size
        fastest, on_the_wall = min(seconds, default=(0.0, 0.0))
        measured = {
            "status": "finished" if is_whole else "diverged",
            "seconds": float(f"{fastest:.6g}"),
            "wall_seconds": float(f"{on_the_wall:.6g}"),
            "memory_mb": float(f"{trainer.memory_mb():.6g}") if is_whole else 0.0,
            "sequences": trainer.batch_rows.shape[2] * trainer.config.grad_accumulation_steps * run.size,
            "parameters": int(trainer.reached.best.shape[1]),
        }
        rows.append(run.identity | measured | timed_by)
    return rows


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let garbage be collected only when asked for, and not among what was there before."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _trainer(run: Run) -> TimedTrainer:
    """A training that has yet to begin."""
    task, model = make_task(run.task, run.level, run.identity["data_seed"]), run.level.model or run.pool.model
    config = complete_config(model, run.settings)
    sizes, seeds = model_sizes(task, config), range(run.seed, run.seed + run.size)
    models = [build_model(model, config, sizes, seed) for seed in seeds]
    members = [MemberConfig.from_config(config, seed) for seed in seeds]
    return TimedTrainer(models, task, FitConfig.from_config(config), members)


def contrast(part: Part, pool: TimingPool, task: str, budget: str, index: Mapping[str, Row]) -> Contrast:
    """Compare the two sides of a part on a task."""
    return _contrast(part, pool, task, budget, pool.seeds(budget), "timed", index)


def fresh(
    pool: TimingPool, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = ()
) -> list[Missing]:
    """Repeats on fresh seeds: of all levels of a task, for they took turns in the record."""
    found, done = [], {(row["task"], row["budget"], row["seed"]) for row in rows}
    for name, budget in dict.fromkeys((each.task, each.budget) for each in measured):
        left = [seed for seed in seeds if (name, budget, seed) not in done]
        if not left:
            continue
        repeats = [_repeat(pool, pool.tasks[name], budget, seed, "fresh") for seed in left]
        seconds = sum(map(len, repeats)) * _seconds_each(pool, pool.tasks[name], [])
        found.append(Missing(task=name, budget=budget, groups=repeats, later=0, seconds=seconds))
    return found


def fresh_contrast(pool: TimingPool, measured: Measured, rows: Sequence[Row]) -> Contrast:
    """Compare the two sides on a task, from fresh repeats."""
    seeds = sorted({row["seed"] for row in rows})
    return _contrast(measured.part, pool, measured.task, measured.budget, seeds, "fresh", index_of(rows))


def _contrast(
    part: Part, pool: TimingPool, task: str, budget: str, seeds: Sequence[int], stage: str, index: Mapping[str, Row]
) -> Contrast:
    """Compare by logarithms: positive is more of what the statistic measures."""
    check_choice("statistic", part.statistic, STATISTICS)
    sides = [single_level(side, task) for side in (part.first, part.second)]
    pairs, lost, lacks = [], 0, 0
    for seed in seeds:
        repeat = {run.name: run for run in _repeat(pool, pool.tasks[task], budget, seed, stage)}
        rows = [index.get(key_of(repeat[name].identity)) for name in sides]
        first, second = (_value(part.statistic, row) for row in rows)
        lacks += sum(row is None for row in rows)
        if first is not None and second is not None:
            pairs.append((seed, first, second))
        elif None not in rows:
            lost += 1
    rate = pool.fixed["learning_rate"]
    levels = {position: [(name, rate)] for position, name in zip(("first", "second"), sides, strict=True)}
    return Contrast(pairs=pairs, higher_is_better=True, levels=levels, lost=lost, missing=lacks)


def _value(statistic: str, row: Row | None) -> float | None:
    """The logarithm of what a trial gives; ``None`` if it has none."""
    if row is None or row["status"] == "diverged":
        return None
    step_seconds = row["seconds"] / row["steps"]
    values = {"memory": row["memory_mb"], "step time": step_seconds, "speed": row["sequences"] / step_seconds}
    return round(math.log(values[statistic]), 6)
