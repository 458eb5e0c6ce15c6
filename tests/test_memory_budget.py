"""A training's memory is measured, no matter what else is in memory, and is freed as soon as it ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from ncps_mlx import LTC, CfC, Space, Study, Task, fit, predict

# Private: what measuring returns shows only in messages, rounded.
from ncps_mlx._runtime.memory_budget import (
    count_allocation,
    machine_memory_mb,
    members_at_once,
    peak_memory_mb,
)
from ncps_mlx.data import irregular_sines
from ncps_mlx.training import find_batch_size


@contextmanager
def no_collector() -> Iterator[None]:
    """Inside, an array is freed only when the last reference to it goes."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def active_mb() -> float:
    """Megabytes of all arrays."""
    mx.synchronize()
    return mx.get_active_memory() / 1e6


@pytest.fixture(scope="module")
def task() -> Task:
    return irregular_sines(n_train=4000, n_validation=400, n_test=400, readings=20)


def population(cls: Any) -> list[CfC | LTC]:
    settings: dict[str, Any] = {"hidden_size": 7, "output_size": 1, "return_sequences": False}
    return [cls(1, seed=seed, **settings) for seed in range(3)]


def trained(cls: Any, task: Task) -> None:
    models = population(cls)
    fit(models, task, steps=2, batch_size=32, progress=False)
    predict(models, task.test)


def studied(task: Task) -> None:
    fixed = {"hidden_size": 7, "steps": 2, "batch_size": 32}
    Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed=fixed).run(progress=False)


def sized(task: Task) -> None:
    find_batch_size(population(CfC)[0], task, smallest=2000, steps=1, repeats=1, progress=False)


@pytest.mark.parametrize(
    "work",
    [lambda task: trained(CfC, task), lambda task: trained(LTC, task), studied, sized],
    ids=["CfC", "LTC", "study", "batch size"],
)
def test_a_finished_training_holds_nothing(task: Task, work: Any) -> None:
    """Its data alone is 0.8 MB: many small ones after another would fill a machine until Python's collector runs."""
    work(task)  # now what is kept for good exists, such as compiled functions
    with no_collector():
        before = active_mb()
        work(task)
        assert active_mb() - before < 0.1


def test_garbage_of_others_is_not_freed_while_it_is_measured() -> None:
    """It would hide as much of what is measured."""

    def work() -> mx.array:
        for _ in range(3000):  # enough for the collector to run, oldest generation included
            cycle: list[Any] = []
            cycle.append(cycle)
        return mx.zeros((1000, 250)) + 1.0

    with no_collector():
        left: list[Any] = [mx.zeros((1000, 500)) + 1.0]
        mx.eval(left[0])
        left.append(left)
        del left
        thresholds = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        gc.enable()
        try:
            assert peak_memory_mb(work) == pytest.approx(1.0, abs=0.1)
            assert gc.isenabled()
        finally:
            gc.disable()
            gc.set_threshold(*thresholds)


def test_memory_beside_mlx_is_counted_until_it_is_freed() -> None:
    def one_after_another() -> mx.array:
        for _ in range(3):
            count_allocation(np.zeros(500_000, dtype=np.uint8))
        return mx.zeros((1,))

    def at_once() -> mx.array:
        kept.extend(np.zeros(500_000, dtype=np.uint8) for _ in range(3))
        for array in kept:
            count_allocation(array)
        return mx.zeros((1,))

    kept: list[npt.NDArray[np.uint8]] = []
    assert peak_memory_mb(one_after_another) == pytest.approx(0.5, abs=0.01)
    assert peak_memory_mb(at_once) == pytest.approx(1.5, abs=0.01)
    count_allocation(kept[0])  # where nothing is measured


def test_the_collector_stays_off_where_it_was_off() -> None:
    with no_collector():
        peak_memory_mb(lambda: mx.zeros(3))
        assert not gc.isenabled()


@pytest.mark.parametrize(
    ("members", "each_mb", "limit_mb", "count"),
    [(64, 50.0, 1000.0, 16), (64, 50.0, 10.0, 1), (64, 0.0, 10.0, 64), (65, 50.0, 3200.0, 33)],
)
def test_groups_are_few_and_of_nearly_equal_size(
    members: int, each_mb: float, limit_mb: float, count: int
) -> None:
    assert members_at_once(members, each_mb, limit_mb) == count


def test_by_default_a_quarter_of_the_machine_may_be_used() -> None:
    each_mb = machine_memory_mb() / 16
    assert machine_memory_mb() > 100 and members_at_once(8, each_mb, None) == 4
