"""Time scaling and initial scale as hyperparameters: within one population, in records, and in records from before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ncps_mlx import LTC, AutoNCP, Halving, LogUniform, Record, Space, Study, Task, Uniform, evaluate, fit

# Private: the list of kinds.
from ncps_mlx._time_scaler import KINDS

FIXED = {"hidden_size": 4, "backbone_units": 5, "batch_size": 16, "steps": 12, "evaluate_every": 2}


@pytest.fixture(scope="module")
def study(task: Task) -> Study:
    space = Space(time_scaling=list(KINDS), initial_scale=Uniform(0.5, 2.0), learning_rate=LogUniform(1e-3, 1e-1))
    settings: dict[str, Any] = {"trials": 12, "draws_per_shape": 12, "fixed": FIXED}
    return Study(None, task, space, halving=Halving(eta=2, rungs=1), **settings).run(progress=False)


def test_they_vary_within_one_population(study: Study) -> None:
    assert not study.space.shape and list(study.space.member) == ["time_scaling", "initial_scale", "learning_rate"]
    assert {run.config["time_scaling"] for run in study.records} == set(KINDS)
    assert {run.status for run in study.records} == {"finished", "pruned"}


def test_trials_rerun_to_the_same_bits(study: Study, task: Task) -> None:
    for run in study.records:
        again = Record.from_json(run.to_json()).rerun(task)
        assert (again.score, again.history, again.config) == (run.score, run.history, run.config)


def test_a_lone_model_gives_the_same_score_on_scaled_time(study: Study, task: Task) -> None:
    finished = [run for run in study.records if run.status == "finished"]
    for run in finished:
        model, scaled = run.build(), task.scaled_time(run.config["time_scaling"])
        training = {name: run.config[name] for name in ("steps", "batch_size", "learning_rate", "evaluate_every")}
        history = fit(model, scaled, seed=run.seed, progress=False, **training)
        assert history.best_score == run.score == evaluate(model, scaled, "validation")


def test_records_from_before_rerun_as_they_were(task: Task) -> None:
    study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid", fixed=FIXED).run(progress=False)
    config = dict(study.best.config)
    for name in ("time_scaling", "initial_scale"):
        del config[name]
    old = replace(study.best, config=config)
    again = old.rerun(task)
    assert (again.score, again.history, again.config) == (old.score, old.history, study.best.config)
    weight = np.array(old.build().layers[0].backbone.recurrent_weight)
    assert np.array_equal(weight, np.array(study.best.build().layers[0].backbone.recurrent_weight))


def test_what_cannot_apply_is_refused_before_anything_is_trained(task: Task) -> None:
    with pytest.raises(ValueError, match=r"time_scaling must be 'raw' for .* a task without time_delta, got 'log'"):
        Study(None, task.without_time(), Space(time_scaling=["raw", "log"]), sampler="grid", fixed=FIXED)
    fixed = {"wiring": AutoNCP(7, 1), "steps": 4}
    with pytest.raises(ValueError, match="initial_scale must be 1 for an LTC with a wiring"):
        Study(None, task, Space(initial_scale=[1.0, 2.0]), model=LTC, sampler="grid", fixed=fixed)
