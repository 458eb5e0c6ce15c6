"""What a training says at its end: which models diverged, and which time is in a far unit, each with the cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ncps_mlx import LTC, CfC, Task, fit
from ncps_mlx.data import glucose, irregular_sines

SIZES: dict[str, Any] = {"output_size": 1, "return_sequences": False, "seed": 0}
RUN: dict[str, Any] = {"steps": 2, "batch_size": 8}


@pytest.fixture
def task() -> Task:
    return irregular_sines(n_train=32, n_validation=8, n_test=8, readings=5)


def with_time(task: Task, change: Callable[[Any], Any], **more: Any) -> Task:
    splits = [replace(split, time_delta=change(split.time_delta)) for split in task.splits.values()]
    return Task("sines", *splits, time_unit="min", **more)


def test_a_healthy_training_says_nothing(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    fit(CfC(1, 4, **SIZES), task, time_scaling="normalized", **RUN)
    written = capsys.readouterr().err
    assert "time_delta" not in written
    assert "diverged" not in written


@pytest.mark.parametrize(("factor", "said"), [(1e4, "time_delta has a mean of "), (1e-4, "far from 1"), (1.0, "")])
def test_time_in_a_far_unit_is_told_with_its_mean_and_the_cure(
    task: Task, factor: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(CfC(1, 4, **SIZES), with_time(task, lambda steps: steps * factor), **RUN)
    written = capsys.readouterr().err
    assert said in written
    assert ("min, far from 1: try time_scaling='normalized' or 'log'." in written) == bool(said)
    fit(CfC(1, 4, **SIZES), with_time(task, lambda steps: steps * factor), time_scaling="log", **RUN)
    assert "time_delta" not in capsys.readouterr().err


def test_negative_steps_are_named_where_an_ltc_diverged(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    steps = np.asarray(task.train.time_delta)
    mean, spread = steps.mean(), steps.std() / 20
    unsafe = with_time(task, lambda steps: (steps - mean) / spread, allow_unsafe_time=True)
    models = [LTC(1, 8, output_size=1, return_sequences=False, seed=seed) for seed in range(4)]
    histories = fit(models, unsafe, **RUN | {"steps": 20})
    lost = [history for history in histories if history.status == "diverged"]
    written = capsys.readouterr().err
    assert lost
    assert f"{len(lost)} of 4 diverged: the training loss became " in written
    assert "Some time steps are negative" in written
    assert "far from 1" not in written


def test_a_loose_stability_is_named_where_an_ltc_diverged(capsys: pytest.CaptureFixture[str]) -> None:
    minutes = glucose(100, 20, 20, readings=8)
    history = fit(LTC(1, 16, stability="none", **SIZES), minutes, **RUN | {"steps": 20})
    assert history.status == "diverged"
    written = capsys.readouterr().err
    assert f"1 of 1 diverged: {history.reason}. stability is 'none': 'bounded' keeps the solver from" in written


def test_nothing_is_said_where_no_bar_is_shown(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    fit(CfC(1, 4, **SIZES), with_time(task, lambda steps: steps * 1e4), progress=False, **RUN)
    assert capsys.readouterr().err == ""
