"""Two short measurements before a search: where learning rates work, and which batch sizes keep the device busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._runtime.memory_budget import peak_memory_mb
from ncps_mlx._runtime.thread_affinity import WorkerThreadAffinity
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import LARGEST, MOST, check_flag, check_int, check_number
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss, loss_of
from ncps_mlx.training._config import FitConfig, MemberConfig, positive, setting
from ncps_mlx.training._fit import fit
from ncps_mlx.training._population import copy_of, to_model_list
from ncps_mlx.training._trainer import PopulationTrainer
from ncps_mlx.training._validation import check_batch, check_fits, check_task, check_trainable

__all__ = ["BatchSize", "RateRange", "find_batch_size", "find_learning_rate"]

POINTS = 20  # of the smoothed curve of a range test


@dataclass(frozen=True, kw_only=True)
class RateRange:
    """What a learning-rate range test saw, and the rates to search around: made by :func:`find_learning_rate`.

    Attributes:
        learning_rate: Rates (P,), rising.
        loss: Training loss at each, mean of the steps around it, of each model (N, P); NaN after a model diverged.
        fastest: The rate where the mean loss fell fastest.
        least: The rate where it was least: an upper limit for the peak of a schedule; the last of ``learning_rate`` if
            the loss never rose again.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx.training import RateRange
        >>> found = RateRange(
        ...     learning_rate=np.array([1e-3, 1e-2]), loss=np.array([[0.9, 0.5]]), fastest=1e-3, least=1e-2)
        >>> found.points()[1]
        {'learning_rate': 0.01, 'seed': 0, 'score': 0.5, 'metric': 'loss'}
    """

    learning_rate: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    fastest: float
    least: float

    def points(self) -> list[dict[str, Any]]:
        """One row for each model and rate, as :func:`ncps_mlx.plots.sweep` draws them."""
        return [
            {"learning_rate": float(rate), "seed": seed, "score": float(loss), "metric": "loss"}
            for seed, losses in enumerate(self.loss)
            for rate, loss in zip(self.learning_rate, losses, strict=True)
            if np.isfinite(loss)
        ]


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """What one batch size costs and brings: a row of what :func:`find_batch_size` returns.

    Attributes:
        batch_size: B.
        examples_per_second: Median over the repetitions.
        spread: Least and greatest of them.
        megabytes: Peak memory of a training step.
        learning_rate: The best of the rates tried, by validation score; ``None`` if none were given.
        score: Its validation score, in the task's units; ``None`` likewise.

    Example:
        >>> from ncps_mlx.training import BatchSize
        >>> size = BatchSize(batch_size=32, examples_per_second=812.0, spread=(790.0, 830.0), megabytes=61.0)
        >>> size.examples_per_second / size.batch_size  # steps per second
        25.375
    """

    batch_size: int
    examples_per_second: float
    spread: tuple[float, float]
    megabytes: float
    learning_rate: float | None = None
    score: float | None = None


@training_stream()
def find_learning_rate(
    model: nn.Module | Sequence[nn.Module],
    task: Task,
    *,
    low: float = 1e-5,
    high: float = 1.0,
    steps: int = 100,
    batch_size: int | None = None,
    loss: str | Loss | Callable[..., Any] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> RateRange:
    """Find where to search the learning rate: train while it rises, and see where the loss falls and diverges.

    The models are left as they are. Several of them (with other seeds) are tested as one population: one curve alone
    depends on luck. The test uses Adam without clipping, and is too short to see what goes wrong slowly: take its
    answer as the centre of a grid.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017 (arXiv 1506.01186).

    Args:
        model: A model, or N models of one shape.
        task: What to learn.
        low: First learning rate.
        high: Last one.
        steps: Updates, the rate rising by the same factor at each; at least 20.
        batch_size: B; ``None``: 32, or all training sequences if there are fewer.
        loss: As :func:`~ncps_mlx.fit` takes it.
        seed: Of the order of the data and of dropout; model i takes ``seed + i``.
        progress: Show a progress bar.

    Returns:
        RateRange: the loss at each rate, the rate where it fell fastest, and where it was least.

    Raises:
        ValueError: An argument is out of its range, the model does not fit the task, a model diverged at once, or the
            loss never fell.

    Example:
        >>> from ncps_mlx.training import find_learning_rate
        >>> from ncps_mlx import CfC
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> models = [CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=s) for s in range(3)]
        >>> found = find_learning_rate(models, task, steps=40, progress=False)
        >>> found.loss.shape, 1e-5 < found.fastest <= found.least <= 1.0
        ((3, 20), True)
    """
    models = to_model_list(model)
    check_task(task)
    check_number("low", low, low=0, open_low=True)
    if check_number("high", high, high=LARGEST) <= low:
        raise ValueError(f"low must be below high, got {low} and {high}.")
    check_int("steps", steps, minimum=POINTS, maximum=MOST)
    check_int("seed", seed, minimum=0)
    check_flag("progress", progress)
    members = [
        RangeTestConfig(learning_rate=low, last_learning_rate=high, clip_norm=None, seed=seed + i)
        for i in range(len(models))
    ]
    config = FitConfig(steps=steps, batch_size=batch_size, loss=loss)
    trainer = PopulationTrainer(models, task, config, members)
    losses = []
    bar = Progress(steps, f"{task.name}, learning rates", "step", shown=progress)
    with bar, WorkerThreadAffinity() as affinity:
        trainer.plan_memory(bar)
        for t in range(steps):
            affinity.step()
            losses.append(trainer.step(t))
            mx.eval(losses[-1], trainer.matrix, trainer.optimizer.state)  # else the graph of all steps grows
            bar.reach(t + 1)
    return read_range(members[0].learning_rate_schedule(steps), np.array(mx.stack(losses, axis=1), dtype=np.float64))


@dataclass(frozen=True, kw_only=True)
class RangeTestConfig(MemberConfig):
    """A member whose learning rate rises by the same factor at each step, to ``last_learning_rate``."""

    last_learning_rate: float = setting(1.0, positive)

    def learning_rate_schedule(self, steps: int) -> npt.NDArray[np.float64]:
        """The learning rate at each step (steps,)."""
        first, last = self.learning_rate, self.last_learning_rate
        return first * (last / first) ** (np.arange(steps) / (steps - 1))


def read_range(rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> RateRange:
    """Smooth the curves (N, steps) to a few points and read off the two rates."""
    groups = np.array_split(np.arange(len(rates)), POINTS)
    rate = np.array([np.exp(np.log(rates[group]).mean()) for group in groups])
    loss = np.stack([losses[:, group].mean(axis=1) for group in groups], axis=1)
    loss = np.where(np.cumsum(~np.isfinite(loss), axis=1) > 0, np.nan, loss)
    mean_loss = loss.mean(axis=0)  # NaN from where the first model diverged
    last = int(np.isfinite(mean_loss).sum())
    if last < 3:
        raise ValueError(f"low must be below where training diverges, got {rates[0]:g}: it diverged at once.")
    least = int(np.argmin(mean_loss[:last]))
    if least == 0:
        raise ValueError(
            f"low and high must enclose rates that learn, got {rates[0]:g} to {rates[-1]:g}: the loss was least at the "
            "first."
        )
    slope = np.gradient(mean_loss[:last])[: least + 1]
    return RateRange(
        learning_rate=rate, loss=loss, fastest=float(rate[np.argmin(slope)]), least=float(rate[least])
    )


@training_stream()
def find_batch_size(
    model: nn.Module,
    task: Task,
    *,
    smallest: int | None = None,
    memory_mb: float = 4000.0,
    gain: float = 1.1,
    steps: int = 10,
    repeats: int = 3,
    learning_rates: Sequence[float] = (),
    tuning_steps: int = 100,
    loss: str | Loss | Callable[..., Any] | None = None,
    progress: bool = True,
) -> tuple[list[BatchSize], str]:
    """Find a batch size: double it until that no longer pays, measuring real training steps.

    With ``learning_rates``, each size also trains a population of one model for each rate, from the same initial
    parameters, and reports the best: a learning rate tuned for one batch size is not tuned for another. The
    model is left as it is.

    Args:
        model: The model.
        task: What to learn.
        smallest: First batch size; each next one is twice as large. ``None``: 8, or all training sequences if there
            are fewer.
        memory_mb: Stop before a step needs more, in megabytes; the tuning stays below it as :func:`~ncps_mlx.fit` does.
        gain: Stop once doubling brings less than this factor in examples per second, twice in a row.
        steps: Updates in one timing; one untimed update goes before.
        repeats: Timings of each size.
        learning_rates: Rates to tune over at each size.
        tuning_steps: Updates of that tuning.
        loss: As :func:`~ncps_mlx.fit` takes it.
        progress: Show a progress bar.

    Returns:
        One :class:`BatchSize` for each size, and why the last was the last.

    Raises:
        ValueError: An argument is out of its range, or the model does not fit the task.

    Example:
        >>> from ncps_mlx.training import find_batch_size
        >>> from ncps_mlx import CfC
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> model = CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=0)
        >>> sizes, reason = find_batch_size(model, task, steps=2, gain=0.01, progress=False)
        >>> [size.batch_size for size in sizes], reason
        ([8, 16, 32, 64], '128 would be more than the 64 training sequences')
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a CfC or another mlx.nn.Module, got {type(model).__name__}.")
    check_trainable([model])
    check_task(task)
    wanted = FitConfig(loss=loss).loss
    check_fits(model, task, loss_of(wanted, task.kind))
    size = check_batch(task, min(8, len(task.train)) if smallest is None else smallest, "smallest")
    check_number("memory_mb", memory_mb, low=0, open_low=True)
    check_number("gain", gain, low=0, open_low=True)
    check_int("steps", steps, maximum=MOST)
    check_int("repeats", repeats, maximum=MOST)
    check_int("tuning_steps", tuning_steps, maximum=MOST)
    check_flag("progress", progress)
    given: Any = learning_rates
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise ValueError(f"learning_rates must be a sequence of numbers, got {learning_rates!r:.80}.")
    rates = [check_number("learning_rates", rate, low=0, open_low=True) for rate in learning_rates]
    found: list[BatchSize] = []
    most = int(np.log2(len(task.train) // size)) + 1
    with Progress(most, f"{task.name}, batch sizes", "size", shown=progress) as bar:
        while True:
            found.append(measure(model, task, size, steps, repeats, rates, tuning_steps, memory_mb, wanted))
            bar.reach(len(found))
            size *= 2
            reason = why_stop(found, len(task.train), memory_mb, gain)
            if reason:
                return found, reason


def why_stop(found: Sequence[BatchSize], sequences: int, memory_mb: float, gain: float) -> str:
    """Why no larger batch is tried; empty if one is."""
    size = 2 * found[-1].batch_size
    if size > sequences:
        return f"{size} would be more than the {sequences} training sequences"
    speeds = [each.examples_per_second for each in found[-3:]]
    if len(speeds) == 3 and max(speeds[1] / speeds[0], speeds[2] / speeds[1]) < gain:
        return f"doubling twice brought less than a factor {gain:g} each time"
    last = found[-1].megabytes
    before = found[-2].megabytes if len(found) > 1 else last / 2  # as if all of it grew with the batch
    needed = last + 2 * max(0.0, last - before)  # what grew with the batch grows as much again, twice
    if needed > memory_mb:
        return f"{size} would need about {needed:.0f} MB, above the limit of {memory_mb:g}"
    return ""


def measure(
    model: nn.Module,
    task: Task,
    size: int,
    steps: int,
    repeats: int,
    learning_rates: Sequence[float],
    tuning_steps: int,
    memory_mb: float,
    loss: Loss | None,
) -> BatchSize:
    """Time one batch size, and tune it."""
    updates = 1 + steps * repeats
    config = FitConfig(steps=updates, batch_size=size, loss=loss)
    member = MemberConfig(learning_rate=1e-3, schedule="constant")
    trainer = PopulationTrainer([model], task, config, [member])
    mx.eval(trainer.matrix, trainer.optimizer.state, trainer.data)  # so that only the step is measured
    megabytes = peak_memory_mb(lambda: [trainer.step(0), trainer.matrix, trainer.optimizer.state])
    speeds = []
    with WorkerThreadAffinity() as affinity:
        for first in range(1, updates, steps):
            start = time.perf_counter()
            for t in range(first, first + steps):
                affinity.step()
                mx.eval(trainer.step(t), trainer.matrix, trainer.optimizer.state)
            speeds.append(steps * size / (time.perf_counter() - start))
    rate, score = tune(model, task, size, learning_rates, tuning_steps, memory_mb, loss)
    return BatchSize(
        batch_size=size,
        examples_per_second=float(np.median(speeds)),
        spread=(min(speeds), max(speeds)),
        megabytes=megabytes,
        learning_rate=rate,
        score=score,
    )


def tune(
    model: nn.Module, task: Task, size: int, rates: Sequence[float], steps: int, memory_mb: float,
    loss: Loss | None,
) -> tuple[float | None, float | None]:
    """The best of the rates at this batch size, and its validation score."""
    if not rates:
        return None, None
    copies = [copy_of(model) for _ in rates]
    histories = fit(
        copies,
        task,
        steps=steps,
        batch_size=size,
        learning_rate=list(rates),
        seed=0,
        loss=loss,
        memory_mb=memory_mb,
        progress=False,
    )
    scores = [history.best_score for history in histories]
    best = int(np.argmax(scores) if task.higher_is_better else np.argmin(scores))
    return float(rates[best]), scores[best]
