"""The worker is found, kept beside the thread that feeds it while that pays, and given back as it was."""

from __future__ import annotations

import math
import os
import sys
import threading

import mlx.core as mx
import pytest

from ncps_mlx import CfC, Task, fit

# Private: where a thread runs changes no result, so it is asked for.
from ncps_mlx._runtime import thread_affinity as threads
from ncps_mlx._runtime.thread_affinity import Beside, find_worker, spent
from ncps_mlx.data import irregular_sines

linux = sys.platform.startswith("linux") and mx.default_device() == mx.Device(mx.cpu)


@pytest.fixture(autouse=True)
def own():
    """The cores of this thread, which each test leaves as they were."""
    cores = os.sched_getaffinity(0) if linux else set()
    yield cores
    assert not linux or os.sched_getaffinity(0) == cores


def short(beside, steps):
    """Steps in which the feeding thread has more to do than the worker."""
    x = mx.ones((3,))
    for _ in range(steps):
        beside.step()
        for _ in range(300):
            x = x + 1
        mx.eval(x)


def long(beside, steps):
    """Steps in which the worker has far more to do."""
    for _ in range(steps):
        beside.step()
        mx.eval(mx.sin(mx.ones((1 << 18,))))


def test_the_worker_is_the_thread_that_computes():
    worker = find_worker()
    assert (worker is not None) == linux
    if linux:
        before = spent(worker), spent(threading.get_native_id())
        mx.eval(mx.sin(mx.ones((1 << 20,))))
        after = spent(worker), spent(threading.get_native_id())
        assert after[0] - before[0] > after[1] - before[1]


def test_short_steps_are_kept_together_and_all_is_put_back():
    if not linux:
        return
    worker = find_worker()
    cores = os.sched_getaffinity(worker)
    with Beside() as beside:
        short(beside, threads.TRIED + 2)
        assert beside.worker == worker and not beside.apart
        assert os.sched_getaffinity(worker) == {beside.core}
        assert os.sched_getscheduler(worker) == os.SCHED_BATCH
    assert os.sched_getaffinity(worker) == cores
    assert os.sched_getscheduler(worker) == os.SCHED_OTHER


def test_this_thread_is_held_on_its_core_while_no_other_is_there(monkeypatch, own):
    if not linux:
        return
    worker = find_worker()
    now = {"clock": 0, "work": (0, 0)}
    monkeypatch.setattr(threads.time, "perf_counter_ns", lambda: now["clock"])
    monkeypatch.setattr(threads, "work_of", lambda _: now["work"])

    def step(beside, took):
        """A step of 100 ns of work that took so long."""
        now["clock"] += took
        now["work"] = (now["work"][0] + 60, now["work"][1] + 40)
        beside.step()
        return os.sched_getaffinity(0)

    with Beside() as beside:
        assert step(beside, 105) == {beside.core} == os.sched_getaffinity(worker)
        assert step(beside, 200) == own  # another process was on the core: the system may find a better one
        assert os.sched_getaffinity(worker) == {beside.core}
        assert step(beside, 100) == {beside.core}
        beside.loosen()
        assert os.sched_getaffinity(0) == own and os.sched_getaffinity(worker) == {beside.core}
        assert step(beside, 100) == {beside.core}
    assert os.sched_getaffinity(0) == own


def test_a_metric_runs_on_all_cores(monkeypatch, own):
    """What it begins, a process or a pool of threads, inherits them for good."""
    if not linux:
        return
    monkeypatch.setattr(threads, "ALONE", math.inf)  # as on an idle machine
    monkeypatch.setattr(threads, "APART", math.inf)
    plain, cores = Task.score, []

    def score(task, outputs, split="test"):
        cores.append(os.sched_getaffinity(0))
        return plain(task, outputs, split)

    monkeypatch.setattr(Task, "score", score)
    model = CfC(1, 4, backbone_units=4, output_size=1, return_sequences=False)
    task = irregular_sines(n_train=16, n_validation=8, n_test=8, readings=5)
    fit(model, task, steps=6, batch_size=8, evaluate_every=2, progress=False)
    assert cores == [own] * 3


def test_a_thread_of_python_is_no_worker():
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


def test_of_several_loops_at_once_the_first_acts():
    if not linux:
        return
    worker, seen = find_worker(), []

    def other():
        with Beside() as beside:
            short(beside, 2)
            seen.append(beside.worker)

    with Beside() as beside:
        short(beside, 1)
        other()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert seen == [None, None] and os.sched_getscheduler(worker) == os.SCHED_BATCH
    other()
    assert seen[2] == worker


def test_long_steps_are_let_go():
    if not linux:
        return
    worker = find_worker()
    cores = os.sched_getaffinity(worker)
    with Beside() as beside:
        long(beside, threads.TRIED + 2)
        assert beside.apart and beside.worker is None
        assert os.sched_getaffinity(worker) == cores
    with beside:
        assert beside.worker is None  # it remembers


def test_an_error_puts_all_back():
    cores = os.sched_getaffinity(find_worker()) if linux else None
    with pytest.raises(ZeroDivisionError), Beside() as beside:
        short(beside, 1 // 0)
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
    with Beside() as beside:
        short(beside, 2)
        assert beside.worker is None


def test_elsewhere_there_is_no_worker(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_worker() is None
    with Beside() as beside:
        short(beside, 2)
        assert beside.worker is None


def test_a_worker_with_a_policy_of_its_own_is_left_alone():
    if not linux:
        return
    worker = find_worker()
    os.sched_setscheduler(worker, os.SCHED_BATCH, os.sched_param(0))
    try:
        with Beside() as beside:
            short(beside, 2)
            assert beside.worker is None
        assert os.sched_getscheduler(worker) == os.SCHED_BATCH
    finally:
        os.sched_setscheduler(worker, os.SCHED_OTHER, os.sched_param(0))
