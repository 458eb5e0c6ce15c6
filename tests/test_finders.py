"""The range test and the batch-size finder: what they read off, why they stop, that they leave models alone."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import CfC, fit

# Private: a curve and speeds that are made up, and a machine with little memory.
from ncps_mlx._runtime import memory_budget
from ncps_mlx.data import irregular_sines
from ncps_mlx.training import BatchSize, find_batch_size, find_learning_rate
from ncps_mlx.training import _finders as finders
from ncps_mlx.training._finders import read_range, why_stop

TASK = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)


def build(seed=0):
    return CfC(1, 8, backbone_units=8, output_size=1, return_sequences=False, seed=seed)


def equal_parameters(a, b):
    pairs = zip(tree_flatten(a.parameters()), tree_flatten(b.parameters()), strict=True)
    return all(mx.array_equal(p, q).item() for (_, p), (_, q) in pairs)


def test_the_curve_is_read_where_it_falls_and_where_it_ends():
    rates = 10.0 ** np.linspace(-4, 0, 100)
    loss = 1.0 - 0.8 / (1 + (1e-2 / rates) ** 3)  # falls fastest at about 1e-2
    loss = np.where(rates > 0.2, np.nan, loss + np.where(rates > 0.1, 1.0, 0.0))
    found = read_range(rates, np.stack([loss, loss + 0.01]))
    assert 5e-3 < found.fastest < 2e-2
    assert 5e-2 < found.least <= 0.1
    assert np.isnan(found.loss[:, -1]).all() and np.isfinite(found.loss[:, 0]).all()
    assert len(found.points()) == np.isfinite(found.loss).sum()


def test_a_rate_that_diverges_at_once_is_said():
    with pytest.raises(ValueError, match="low must be below where training diverges, got 1: it diverged at once"):
        read_range(np.full(40, 1.0), np.full((1, 40), np.nan))


def test_a_loss_that_never_falls_is_said():
    with pytest.raises(ValueError, match=r"must enclose rates that learn, got 0\.1 to 10: the loss was least at"):
        read_range(np.geomspace(0.1, 10, 40), np.linspace(1, 2, 40)[None])
    with pytest.raises(ValueError, match="low and high must enclose rates that learn"):
        find_learning_rate(build(), TASK, low=1e5, high=1e8, steps=20, progress=False)


def test_a_range_test_too_large_for_memory_is_split(monkeypatch, capsys):
    whole = find_learning_rate([build(0), build(1)], TASK, steps=20)
    assert "at a time" not in capsys.readouterr().err
    monkeypatch.setattr(memory_budget, "machine_memory_mb", lambda: 1e-3)
    split = find_learning_rate([build(0), build(1)], TASK, steps=20)
    assert "1 of 2 members at a time: each needs about" in capsys.readouterr().err
    np.testing.assert_array_equal(split.loss, whole.loss)


def test_members_of_a_range_test_equal_lone_ones():
    together = find_learning_rate([build(0), build(1)], TASK, steps=20, progress=False)
    alone = find_learning_rate(build(1), TASK, steps=20, seed=1, progress=False)
    np.testing.assert_array_equal(together.loss[1], alone.loss[0])


def test_models_are_left_alone():
    model = build()
    find_learning_rate(model, TASK, steps=20, progress=False)
    find_batch_size(model, TASK, steps=1, repeats=1, learning_rates=[1e-2], tuning_steps=2, progress=False)
    assert equal_parameters(model, build())


def test_tuning_stays_below_the_limit(monkeypatch):
    limits = []

    def recording_fit(*args, **settings):
        limits.append(settings["memory_mb"])
        return fit(*args, **settings)

    monkeypatch.setattr(finders, "fit", recording_fit)
    rates = np.array([1e-3, 1e-2])
    find_batch_size(build(), TASK, memory_mb=7, steps=1, learning_rates=rates, tuning_steps=2, progress=False)
    assert set(limits) == {7}


def test_each_batch_size_is_tuned():
    sizes, _ = find_batch_size(
        build(),
        TASK,
        smallest=16,
        steps=1,
        repeats=2,
        learning_rates=[1e-6, 1e-2],
        tuning_steps=30,
        progress=False,
    )
    assert [size.batch_size for size in sizes] == [16, 32, 64]
    assert all(size.learning_rate == 1e-2 and size.score < 1.0 for size in sizes)
    assert all(size.spread[0] <= size.examples_per_second <= size.spread[1] for size in sizes)
    assert sizes[0].megabytes < sizes[-1].megabytes


def batch_sizes(*rows):
    return [
        BatchSize(batch_size=8 * 2**i, examples_per_second=speed, spread=(speed, speed), megabytes=used)
        for i, (speed, used) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(100, 10), (190, 20), (360, 40)], ""),
        ([(100, 10), (105, 20)], ""),
        ([(100, 10), (105, 20), (106, 40)], "doubling twice brought less than a factor 1.1 each time"),
        ([(100, 60)], "16 would need about 120 MB, above the limit of 100"),
        ([(100, 40)], ""),
        ([(100, 30), (190, 60)], "32 would need about 120 MB, above the limit of 100"),
        ([(100, 10)] * 7, "1024 would be more than the 1000 training sequences"),
    ],
)
def test_why_it_stops(rows, reason):
    assert why_stop(batch_sizes(*rows), 1000, memory_mb=100.0, gain=1.1) == reason


@pytest.mark.parametrize(
    ("find", "arguments", "message"),
    [
        (find_learning_rate, {"low": 0}, "low must be above 0, got 0."),
        (find_learning_rate, {"low": 1e-2, "high": 1e-3}, "low must be below high, got 0.01 and 0.001"),
        (find_learning_rate, {"steps": 5}, "steps must be at least 20, got 5."),
        (find_learning_rate, {"batch_size": 65}, "batch_size must be at most the 64"),
        (find_batch_size, {"smallest": 65}, "smallest must be at most the 64"),
        (find_learning_rate, {"task": "task"}, "task must be a Task, got str."),
        (find_learning_rate, {"model": None}, "model must be a CfC or another mlx.nn.Module, or"),
        (find_batch_size, {"learning_rates": [0.0]}, "learning_rates must be above 0"),
        (find_batch_size, {"learning_rates": 0.1}, "learning_rates must be a sequence of numbers"),
        (find_batch_size, {"model": [build()]}, "model must be a CfC or another mlx.nn.Module, got list."),
        (find_batch_size, {"task": "task"}, "task must be a Task, got str."),
    ],
)
def test_bad_arguments_are_named(find, arguments, message):
    with pytest.raises(ValueError, match=message):
        find(**{"model": build(), "task": TASK, **arguments})
