"""Scores of a trained population on all splits, at the step that was kept and at the last."""

from __future__ import annotations

from typing import Any

from ncps_mlx import CfC, evaluate, fit
from ncps_mlx._evidence.scores import scores_of
from ncps_mlx.data import injected_anomalies, irregular_sines
from ncps_mlx.search._record import TrialPopulation
from ncps_mlx.training._hyperparameters import complete_config


def test_scores_are_those_of_evaluate_at_the_step_that_was_kept_and_at_the_last() -> None:
    task = irregular_sines(40, 13, 17, readings=7)
    settings: dict[str, Any] = {"hidden_size": 4, "backbone_units": 5, "steps": 20, "learning_rate": 0.3}
    stopped = []
    config = complete_config("CfC", settings | {"time_scaling": "log", "schedule": "constant"})
    population = TrialPopulation(task, "CfC", [config] * 3, [0, 1, 2], [0, 1, 2])
    population.train()
    for seed, score in enumerate(scores_of(population.trainer, ["mae"])):
        model = CfC(1, 4, backbone_units=5, output_size=1, return_sequences=False, seed=seed)
        alike: dict[str, Any] = {"steps": 20, "schedule": "constant", "learning_rate": 0.3, "time_scaling": "log"}
        history = fit(model, task, seed=seed, progress=False, **alike)
        assert score.kept == {name: evaluate(model, task, name) for name in task.splits}
        assert score.kept["validation"] == history.best_score
        assert score.last["validation"] == history.validation_score[-1]
        assert score.metrics["mae"]["test"] == evaluate(model, task, metric="mae")
        stopped.append(history.best_step < 20)
        assert (score.last["test"] != score.kept["test"]) == stopped[-1]
    assert any(stopped)


def test_a_member_that_diverged_has_no_scores() -> None:
    task = irregular_sines(40, 13, 17, readings=7)
    wild: dict[str, Any] = {"initializer": None, "learning_rate": 1e30, "clip_norm": None}
    configs = [
        complete_config("CfC", {"hidden_size": 4, "backbone_units": 5, "steps": 10, **more}) for more in ({}, wild)
    ]
    population = TrialPopulation(task, "CfC", configs, [0, 0], [0, 1])
    population.train()
    tame, lost = scores_of(population.trainer)
    assert population.trainer.members[1].status == "diverged"
    assert None not in tame.kept.values() and None not in tame.last.values()
    assert set(lost.kept.values()) == set(lost.last.values()) == {None}


def test_residuals_on_a_labelled_series_are_scored_as_a_detector() -> None:
    task = injected_anomalies(48)
    config = complete_config("CfC", {"hidden_size": 2, "backbone_units": 2, "steps": 1})
    population = TrialPopulation(task, "CfC", [config], [0], [0])
    population.train()
    (score,) = scores_of(population.trainer, ["auroc"])
    assert score.metrics["auroc"]["train"] is None
    assert 0 < (score.metrics["auroc"]["test"] or 0) < 1
