"""Training treats subnormal numbers as zero, the caller's arithmetic does not change, and threads end cleanly."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import LTC, AutoNCP, CfC, Space, Study, Task, evaluate, fit, predict

# Private: no result shows where MLX computes, nor the floating-point mode of its worker.
from ncps_mlx._runtime import flush
from ncps_mlx._runtime import training_stream as stream_module
from ncps_mlx._runtime.thread_affinity import find_worker
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data import irregular_sines
from ncps_mlx.training import find_batch_size, find_learning_rate

on_cpu = mx.default_device() == mx.Device(mx.cpu)
flushes = on_cpu and flush.can_flush()
TINY = 1e-30  # its product with 1e-10 is subnormal in single precision


def subnormal_in_mlx():
    """Whether MLX's product of two normal numbers is subnormal here, and so is a subnormal one that it is given."""
    product = mx.array([TINY, 2.0]) * mx.array([1e-10, 3.0])
    given = mx.array([1 << 22], mx.uint32).view(mx.float32) + mx.zeros((1,))
    mx.eval(product, given)
    kept = [np.array(each.view(mx.uint32))[0] != 0 for each in (product, given)]
    assert kept[0] == kept[1] and np.array(product)[1] == 6.0
    return bool(kept[0])


def subnormal_in_numpy():
    """Whether this thread's own arithmetic gives subnormal numbers."""
    return bool((np.full(9, TINY, np.float32) * np.full(9, 1e-10, np.float32) > 0).all())


def model(seed=0):
    return CfC(1, 4, backbone_units=5, output_size=1, return_sequences=False, seed=seed)


@pytest.fixture
def small_task():
    return irregular_sines(n_train=32, n_validation=9, n_test=7, readings=6)


@pytest.fixture
def seen(monkeypatch):
    """What a metric sees: of MLX's arithmetic in training, and of its own thread's."""
    plain, found = Task.score, []

    def score(task, outputs, split="test", **settings):
        found.append((subnormal_in_mlx(), subnormal_in_numpy()))
        return plain(task, outputs, split, **settings)

    monkeypatch.setattr(Task, "score", score)
    return found


def test_a_subnormal_product_is_zero_in_training_and_stays_subnormal_for_the_caller(small_task, seen):
    stream = mx.default_stream(mx.cpu)
    assert subnormal_in_mlx() and subnormal_in_numpy()  # MLX's worker for this thread runs already
    fit(model(), small_task, steps=4, batch_size=8, evaluate_every=2, progress=False)
    assert seen == [(not flushes, True)] * 2
    assert subnormal_in_mlx() and subnormal_in_numpy()
    assert mx.default_stream(mx.cpu) == stream


def test_so_it_is_in_a_study(small_task, seen):
    fixed = {"steps": 2, "hidden_size": 4, "backbone_units": 4, "batch_size": 8}
    Study(None, small_task, Space(learning_rate=[1e-2]), sampler="grid", fixed=fixed).run(progress=False)
    assert seen and set(seen) == {(not flushes, True)}
    assert subnormal_in_mlx()


def test_so_it_is_in_prediction_and_in_the_finders(small_task, monkeypatch):
    plain, found = CfC.forward, []

    def forward(*arguments, **keywords):
        found.append(subnormal_in_mlx())
        return plain(*arguments, **keywords)

    monkeypatch.setattr(CfC, "forward", forward)
    for use in (
        lambda: predict(model(), small_task.test),
        lambda: evaluate([model(), model(1)], small_task),
        lambda: find_learning_rate(model(), small_task, low=1e-4, steps=20, batch_size=8, progress=False),
        lambda: find_batch_size(model(), small_task, steps=1, repeats=1, progress=False),
    ):
        found.clear()
        use()
        assert found and set(found) == {not flushes}
        assert subnormal_in_mlx()


def test_an_error_restores_the_caller_s_stream(small_task, monkeypatch):
    stream = mx.default_stream(mx.cpu)
    monkeypatch.setattr(Task, "score", lambda *_, **__: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        fit(model(), small_task, steps=1, batch_size=8, progress=False)
    assert mx.default_stream(mx.cpu) == stream
    assert subnormal_in_mlx() and subnormal_in_numpy()


def test_where_gradients_vanish_members_equal_lone_runs_to_the_bit():
    task = irregular_sines(n_train=16, n_validation=8, n_test=8, readings=90)
    scales = [1.0, 0.01]

    def trained(models, initial_scale):
        fit(models, task, steps=3, batch_size=8, initial_scale=initial_scale, progress=False)
        return models

    population = trained([model(seed) for seed in range(2)], scales)
    for seed, scale in enumerate(scales):
        (alone,) = trained([model(seed)], [scale])
        for (name, a), (_, b) in zip(leaves(population[seed]), leaves(alone), strict=True):
            assert np.array_equal(a, b), name


def leaves(one):
    return [(name, np.array(array)) for name, array in tree_flatten(one.parameters())]


def test_the_mode_is_left_alone_where_it_is_told_to_or_unknown(monkeypatch):
    monkeypatch.setenv(flush.SETTING, "keep")
    assert not flush.can_flush()
    with flush.flushing_threads():
        assert subnormal_in_numpy()
    with training_stream():
        assert subnormal_in_mlx()
    monkeypatch.setenv(flush.SETTING, "off")
    with pytest.raises(ValueError, match="NCPS_MLX_SUBNORMALS must be zero or keep, got 'off'"):
        flush.can_flush()
    monkeypatch.delenv(flush.SETTING)
    for module, name, value in (
        (platform, "machine", lambda: "aarch64"),
        (platform, "libc_ver", lambda: ("", "")),
        (sys, "platform", "darwin"),
    ):
        flush.math_library.cache_clear()
        with monkeypatch.context() as context:
            context.setattr(module, name, value)
            assert not flush.can_flush()
    flush.math_library.cache_clear()


def test_this_thread_flushes_only_while_it_starts_others():
    if flush.can_flush():
        with flush.flushing_threads():
            assert not subnormal_in_numpy()
    assert subnormal_in_numpy()


def test_each_stream_has_its_own_worker():
    if not on_cpu or find_worker() is None:
        return
    outside = find_worker()
    with training_stream():
        inside = find_worker()
        with training_stream():
            assert find_worker() == inside
    assert find_worker() == outside
    assert (inside != outside) == flushes


def test_threads_train_models_of_any_thread_as_the_main_thread_does(small_task, seen):
    made = [
        model(1),
        CfC(1, 4, backbone_units=5, output_size=1, return_sequences=False, mixed_memory=True, num_layers=2, seed=2),
        LTC(1, 4, output_size=1, return_sequences=False, seed=3),
        LTC(1, wiring=AutoNCP(7, 1), return_sequences=False, seed=4),
    ]

    def train(one):
        return fit(one, small_task, steps=3, batch_size=8, progress=False).best_score

    expected = [train(type(one)(**one.config)) for one in made]
    seen.clear()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, made)) == expected
    assert seen and set(seen) == {(not flushes, True)}
    for one, score in zip(made, expected, strict=True):
        assert evaluate(one, small_task, "validation") == pytest.approx(score, rel=1e-6)


def test_parameters_that_another_thread_left_uncomputed_are_refused_with_the_cure(small_task):
    one, errors = model(), []
    one.readout["bias"] = one.readout["bias"] + 1.0

    def train():
        try:
            fit(one, small_task, steps=1, batch_size=8, progress=False)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert len(errors) == 1 and "call mx.eval(model.parameters()) in that thread" in errors[0]
    fit(one, small_task, steps=1, batch_size=8, progress=False)  # here they can be computed


def test_a_foreign_thread_may_be_entered_again(small_task):
    """Python forgets what belongs to a thread that it did not start, each time that thread leaves it."""
    scores = []

    def train():
        for _ in range(2):
            scores.append(fit(model(), small_task, steps=2, batch_size=8, progress=False).best_score)
            mx.eval(mx.ones((3,)) + 1.0)
            stream_module._state.__dict__.clear()

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert len(scores) == 2 and scores[0] == scores[1]


PROGRAM = """
import threading, time
from ncps_mlx import CfC, fit
from ncps_mlx.data import irregular_sines

task = irregular_sines(n_train=32, n_validation=8, n_test=8, readings=10)
trained = threading.Semaphore(0)

def train(seed, steps=6, then=lambda: None):
    model = CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=seed)
    fit(model, task, steps=2, batch_size=8, progress=False)
    trained.release()
    fit(model, task, steps=steps, batch_size=8, progress=False)
    trained.release()
    then()

def spin():
    while True:
        time.sleep(0.001)

def start(count, daemon=False, **keywords):
    threads = [threading.Thread(target=train, args=(i,), kwargs=keywords, daemon=daemon) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads
"""
ENDINGS = {
    "joined": "for thread in start(3): thread.join()",
    "not joined": "start(3)",
    "with the main thread": "start(2); train(5)",
    "a pool": "import concurrent.futures as f\nwith f.ThreadPoolExecutor(3) as pool: list(pool.map(train, range(6)))",
    "daemons in training": "start(2, daemon=True, steps=100_000)\nfor _ in range(2): trained.acquire()",
    "daemons that do something else": "start(2, daemon=True, then=spin)\nfor _ in range(4): trained.acquire()",
    "an error": "threading.excepthook = print\nstart(2, then=lambda: 1 // 0)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_whose_threads_trained_ends_cleanly(ending):
    code = PROGRAM + ENDINGS[ending]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
