"""Scores of a trained population on all splits, at the step that was kept and at the last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ncps_mlx import CfC, Task, evaluate, fit
from ncps_mlx._evidence.draws import DrawsTrainer
from ncps_mlx._evidence.scores import scores_of
from ncps_mlx._evidence.train import trainer_of
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data import bitstream_xor, injected_anomalies, irregular_sines, remifentanil
from ncps_mlx.training._hyperparameters import complete_config


def trained(tasks: list[Task], configs: list[dict[str, Any]], seeds: list[int]) -> DrawsTrainer:
    trainer = trainer_of(tasks, "CfC", configs, seeds)
    with Progress(len(tasks), "", "trial", shown=False) as progress:
        trainer.train(progress, share=len(tasks))
    return trainer


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda seed: irregular_sines(40, 13, 17, readings=7, seed=seed), {"time_scaling": "log"}),
        (lambda seed: bitstream_xor(8, n_train=60, n_validation=20, n_test=20, seed=seed), {"backbone_dropout": 0.2}),
        (lambda seed: irregular_sines(60, 13, 17, readings=7).take(40, seed), {"grad_accumulation_steps": 2}),
        (lambda seed: remifentanil(12, seed=seed), {"time_scaling": "log"}),  # draws of different sizes
    ],
)
def test_members_on_several_draws_are_to_the_bit_those_trained_alone(make: Any, settings: dict[str, Any]) -> None:
    draws = [make(seed) for seed in (5, 6, 7)]
    tasks, seeds = [draws[i] for i in (0, 1, 2, 1)], [0, 1, 2, 3]
    base = {"hidden_size": 4, "backbone_units": 5, "steps": 10, **settings}
    configs = [complete_config("CfC", base | {"learning_rate": rate}) for rate in (0.1, 0.01, 1e30, 0.03)]
    together = trained(tasks, configs, seeds)
    assert together.members[2].status == "diverged"
    for i, score in enumerate(scores_of(together, ())):
        alone = trained([tasks[i]], [configs[i]], [seeds[i]])
        assert together.histories[i] == alone.histories[0] or i == 2
        assert scores_of(alone)[0] == score
        if i != 2:
            assert (np.array(together.reached.best[i]) == np.array(alone.reached.best[0])).all()


def test_scores_are_those_of_evaluate_at_the_step_that_was_kept_and_at_the_last() -> None:
    task = irregular_sines(40, 13, 17, readings=7)
    settings: dict[str, Any] = {"hidden_size": 4, "backbone_units": 5, "steps": 20, "learning_rate": 0.3}
    stopped = []
    config = complete_config("CfC", settings | {"time_scaling": "log", "schedule": "constant"})
    population = trained([task] * 3, [config] * 3, [0, 1, 2])
    for seed, score in enumerate(scores_of(population, ["mae"])):
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
    population = trained([task] * 2, configs, [0, 0])
    tame, lost = scores_of(population)
    assert population.members[1].status == "diverged"
    assert None not in tame.kept.values() and None not in tame.last.values()
    assert set(lost.kept.values()) == set(lost.last.values()) == {None}


def test_residuals_on_a_labelled_series_are_scored_as_a_detector() -> None:
    task = injected_anomalies(48)
    config = complete_config("CfC", {"hidden_size": 2, "backbone_units": 2, "steps": 1})
    (score,) = scores_of(trained([task], [config], [0]), ["auroc"])
    assert score.metrics["auroc"]["train"] is None
    assert 0 < (score.metrics["auroc"]["test"] or 0) < 1
