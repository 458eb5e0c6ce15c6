"""On real data a small CfC, tuned over three learning rates, beats the least one may ask of it."""

from __future__ import annotations

import pytest

from ncps_mlx import CfC, evaluate, fit
from ncps_mlx.data import glucose, sunspots

RATES = [3e-3, 1e-2, 3e-2]


@pytest.mark.parametrize(
    ("task", "baseline"),
    [(sunspots(months_per_step=12), "persistence"), (glucose().scaled_time("log"), "last value")],
    ids=["sunspots", "glucose"],
)
def test_tuned_cfc_beats_persistence(task, baseline):
    settings = {"output_size": task.output_size, "return_sequences": False, "backbone_units": 32, "seed": 0}
    models = [CfC(task.input_size, 16, **settings) for _ in RATES]
    histories = fit(models, task, steps=200, learning_rate=RATES, evaluate_every=50, progress=False)
    chosen = min(range(len(RATES)), key=lambda i: histories[i].best_score)
    score = evaluate(models[chosen], task)
    others = task.baselines()
    assert score < others[baseline], (score, others)
