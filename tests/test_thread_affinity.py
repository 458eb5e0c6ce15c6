"""MLX's worker is found, kept on the core of the thread that feeds it while that is faster, and restored."""

from __future__ import annotations

import math
import os
import sys
import threading

import mlx.core as mx
import pytest

from ncps_mlx import CfC, Task, fit

# Private: where a thread runs changes no result, so only these functions show it.
from ncps_mlx._runtime import thread_affinity
from ncps_mlx._runtime.thread_affinity import WorkerThreadAffinity, cpu_time, find_worker
from ncps_mlx.data import irregular_sines

linux = sys.platform.startswith("linux") and mx.default_device() == mx.Device(mx.cpu)


@pytest.fixture(autouse=True)
def own_cores():
    """The cores of this thread, which each test leaves as they were."""
    cores = os.sched_getaffinity(0) if linux else set()
    yield cores
    assert not linux or os.sched_getaffinity(0) == cores


def short_steps(affinity, steps):
    """Steps in which the feeding thread has more to do than the worker."""
    x = mx.ones((3,))
    for _ in range(steps):
        affinity.step()
        for _ in range(300):
            x = x + 1
        mx.eval(x)


def long_steps(affinity, steps):
    """Steps in which the worker has far more to do."""
    for _ in range(steps):
        affinity.step()
        mx.eval(mx.sin(mx.ones((1 << 18,))))


def test_the_worker_is_the_thread_that_computes():
    worker = find_worker()
    assert (worker is not None) == linux
    if linux:
        before = cpu_time(worker), cpu_time(threading.get_native_id())
        mx.eval(mx.sin(mx.ones((1 << 20,))))
        after = cpu_time(worker), cpu_time(threading.get_native_id())
        assert after[0] - before[0] > after[1] - before[1]


def test_threads_of_short_steps_share_a_core_and_all_is_restored():
    if not linux:
        return
    worker = find_worker()
    cores = os.sched_getaffinity(worker)
    with WorkerThreadAffinity() as affinity:
        short_steps(affinity, thread_affinity.TRIAL_STEPS + 2)
        assert affinity.worker == worker and not affinity.diverged
        assert os.sched_getaffinity(worker) == {affinity.core}
        assert os.sched_getscheduler(worker) == os.SCHED_BATCH
    assert os.sched_getaffinity(worker) == cores
    assert os.sched_getscheduler(worker) == os.SCHED_OTHER


def test_this_thread_is_pinned_while_nothing_else_runs_on_its_core(monkeypatch, own_cores):
    if not linux:
        return
    worker = find_worker()
    now = {"clock": 0, "work": (0, 0)}
    monkeypatch.setattr(thread_affinity.time, "perf_counter_ns", lambda: now["clock"])
    monkeypatch.setattr(thread_affinity, "cpu_times", lambda _: now["work"])

    def step(affinity, took):
        """A step of 100 ns of work that took so long."""
        now["clock"] += took
        now["work"] = (now["work"][0] + 60, now["work"][1] + 40)
        affinity.step()
        return os.sched_getaffinity(0)

    with WorkerThreadAffinity() as affinity:
        assert step(affinity, 105) == {affinity.core} == os.sched_getaffinity(worker)
        assert step(affinity, 200) == own_cores  # another process was on the core: the system may find a better one
        assert os.sched_getaffinity(worker) == {affinity.core}
        assert step(affinity, 100) == {affinity.core}
        affinity.release_affinity()
        assert os.sched_getaffinity(0) == own_cores and os.sched_getaffinity(worker) == {affinity.core}
        assert step(affinity, 100) == {affinity.core}
    assert os.sched_getaffinity(0) == own_cores


def test_a_metric_runs_on_all_cores(monkeypatch, own_cores):
    """What it begins, a process or a pool of threads, inherits them for good."""
    if not linux:
        return
    monkeypatch.setattr(thread_affinity, "EXCLUSIVE_RATIO", math.inf)  # as on an idle machine
    monkeypatch.setattr(thread_affinity, "DIVERGED_RATIO", math.inf)
    plain, cores = Task.score, []

    def score(task, outputs, split="test", **settings):
        cores.append(os.sched_getaffinity(0))
        return plain(task, outputs, split, **settings)

    monkeypatch.setattr(Task, "score", score)
    model = CfC(1, 4, backbone_units=4, output_size=1, return_sequences=False)
    task = irregular_sines(n_train=16, n_validation=8, n_test=8, readings=5)
    fit(model, task, steps=6, batch_size=8, evaluate_every=2, progress=False)
    assert cores == [own_cores] * 3


def test_a_thread_of_python_is_never_taken_for_the_worker():
    """Another thread that is busy meanwhile, such as one that trains, is left alone."""
    if not linux:
        return
    found, done = [], threading.Event()

    def busy():
        while not done.is_set():
            sum(range(1000))

    def look():
        found.append(find_worker())

    others = [threading.Thread(target=busy), threading.Thread(target=look)]  # the second knows no worker yet
    for thread in others:
        thread.start()
    others[1].join()
    done.set()
    assert found[0] not in {threading.get_native_id(), *(thread.native_id for thread in others)}
    others[0].join()


def test_of_several_loops_at_once_only_the_first_acts():
    if not linux:
        return
    worker, seen = find_worker(), []

    def other():
        with WorkerThreadAffinity() as affinity:
            short_steps(affinity, 2)
            seen.append(affinity.worker)

    with WorkerThreadAffinity() as affinity:
        short_steps(affinity, 1)
        other()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert seen == [None, None] and os.sched_getscheduler(worker) == os.SCHED_BATCH
    other()
    assert seen[2] == worker


def test_threads_of_long_steps_are_released():
    if not linux:
        return
    worker = find_worker()
    cores = os.sched_getaffinity(worker)
    with WorkerThreadAffinity() as affinity:
        long_steps(affinity, thread_affinity.TRIAL_STEPS + 2)
        assert affinity.diverged and affinity.worker is None
        assert os.sched_getaffinity(worker) == cores
    with affinity:
        assert affinity.worker is None  # it remembers


def test_an_error_restores_everything():
    cores = os.sched_getaffinity(find_worker()) if linux else None
    with pytest.raises(ZeroDivisionError), WorkerThreadAffinity() as affinity:
        short_steps(affinity, 1 // 0)
    if linux:
        assert os.sched_getaffinity(find_worker()) == cores
        assert os.sched_getscheduler(find_worker()) == os.SCHED_OTHER


@pytest.mark.parametrize("forbidden", ["sched_setscheduler", "sched_getaffinity"])
def test_where_it_is_forbidden_nothing_happens(monkeypatch, forbidden):
    if not linux:
        return

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, forbidden, refuse)
    with WorkerThreadAffinity() as affinity:
        short_steps(affinity, 2)
        assert affinity.worker is None


def test_on_macos_there_is_no_worker(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_worker() is None
    with WorkerThreadAffinity() as affinity:
        short_steps(affinity, 2)
        assert affinity.worker is None


def test_a_worker_with_a_policy_of_its_own_is_left_alone():
    if not linux:
        return
    worker = find_worker()
    os.sched_setscheduler(worker, os.SCHED_BATCH, os.sched_param(0))
    try:
        with WorkerThreadAffinity() as affinity:
            short_steps(affinity, 2)
            assert affinity.worker is None
        assert os.sched_getscheduler(worker) == os.SCHED_BATCH
    finally:
        os.sched_setscheduler(worker, os.SCHED_OTHER, os.sched_param(0))
