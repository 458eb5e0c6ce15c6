"""How tanh is computed: its error, the choice, and that runs of one choice are equal bit for bit."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import LTC, AutoNCP, CfC, FullyConnected, LogUniform, Record, Space, Study, fit
from ncps_mlx.base import RecurrentModel
from ncps_mlx.data import irregular_sines
from ncps_mlx.squash import POWERS, TANH, Squash, chosen, squash_for, using

BOTH = pytest.mark.parametrize("tanh", ["powers", "mlx"])
TASK = irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)


@pytest.mark.parametrize(("form", "of_tanh", "of_sigmoid"), [(POWERS, 2e-7, 1e-7), (TANH, 1.1e-7, 0.5e-7)])
def test_errors_are_those_stated(form: Squash, of_tanh: float, of_sigmoid: float) -> None:
    x = np.concatenate([np.linspace(-1, 1, 500001), np.linspace(-100, 100, 500001), np.geomspace(1e-30, 10, 99999)])
    x = x.astype(np.float32)
    exact = x.astype(np.float64)
    with mx.stream(mx.cpu):
        tanh = np.array(form.tanh(x.shape, mx.float32)(form.tanh_rate * mx.array(x)), dtype=np.float64)
        value = np.array(form.sigmoid(x.shape, mx.float32)(form.sigmoid_rate * mx.array(x)), dtype=np.float64)
    offset, gain = form.sigmoid_form
    assert np.abs(tanh - np.tanh(exact)).max() <= of_tanh
    assert np.abs(offset + gain * value - 0.5 * (1 + np.tanh(exact / 2))).max() <= of_sigmoid
    assert np.abs(tanh).max() <= 1.0


@pytest.mark.parametrize(
    ("form", "values", "slopes"), [(POWERS, (2e-7, 1e-7), (4e-7, 2e-7)), (TANH, (1.1e-7, 0.8e-7), (2e-7, 0.8e-7))]
)
def test_they_hold_at_any_number_and_for_derivatives(form: Squash, values: Any, slopes: Any) -> None:
    """Every 4099th float32 there is, subnormal, infinite and no number too; heads as a CfC has them."""
    every = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32)
    extremes = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, -1e-45], dtype=np.float32)
    x = np.concatenate([every, extremes, np.finfo(np.float32).max * np.array([1, -1], dtype=np.float32)])
    exact = np.where(np.isnan(x), np.nan, x).astype(np.float64)
    tanh, sigmoid = np.tanh(exact), 0.5 * (1 + np.tanh(exact / 2))
    want = np.stack([tanh, sigmoid], axis=1)
    with mx.stream(mx.cpu):
        heads = form.heads(want.shape, mx.float32, "ts")
        got = heads(form.head_rates(2, mx.float32, "ts") * mx.array(np.stack([x, x], axis=1)))
        by_value = np.array(form.head_slopes(got, "ts"), dtype=np.float64) * [form.tanh_rate, form.sigmoid_rate]
        alone = form.sigmoid(x.shape, mx.float32)(form.sigmoid_rate * mx.array(x))
        of_alone = np.array(form.sigmoid_slopes(alone), dtype=np.float64)
    of_alone *= form.sigmoid_form[1] * form.sigmoid_rate
    right = np.stack([1 - tanh**2, sigmoid * (1 - sigmoid)], axis=1)
    assert (np.isnan(np.array(got)) == np.isnan(want)).all() and np.isnan(want).any()
    for column in (0, 1):
        assert np.nanmax(np.abs(np.array(got, dtype=np.float64) - want)[:, column]) <= values[column]
        assert np.nanmax(np.abs(by_value - right)[:, column]) <= slopes[column]
    assert np.nanmax(np.abs(of_alone - right[:, 1])) <= slopes[1]


def test_the_choice_holds_within_and_in_its_thread() -> None:
    before = chosen()
    seen: list[str] = []
    with using("powers"):
        assert squash_for(mx.float32) is POWERS and squash_for(mx.bfloat16) is TANH
        with using("mlx"):
            assert squash_for(mx.float32) is TANH
            thread = threading.Thread(target=lambda: seen.append(chosen()))
            thread.start()
            thread.join()
        assert chosen() == "powers"
        with using("auto"):
            assert chosen() == before
    assert seen == [before] and chosen() == before
    with pytest.raises(ValueError, match="tanh must be one of 'auto', 'powers', 'mlx', got 'exact'"), using("exact"):
        pass
    assert chosen() == before


def same(a: RecurrentModel, b: RecurrentModel) -> bool:
    ours: Any = tree_flatten(a.parameters())
    theirs: Any = tree_flatten(b.parameters())
    return all(mx.array_equal(p, q).item() for (_, p), (_, q) in zip(ours, theirs, strict=True))


@BOTH
@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (CfC, {"hidden_size": 4, "backbone_units": 5, "mode": "no_gate"}),
        (CfC, {"hidden_size": 4, "backbone_units": 5, "mixed_memory": True}),
        (CfC, {"wiring": AutoNCP(7, 2)}),
        (CfC, {"wiring": AutoNCP(7, 2), "mixed_memory": True}),
        (LTC, {"hidden_size": 4, "ode_unfolds": 2}),
        (LTC, {"wiring": FullyConnected(4), "ode_unfolds": 2, "mixed_memory": True}),
    ],
)
def test_members_equal_lone_runs_of_the_same_choice(cls: Any, settings: dict[str, Any], tanh: str) -> None:
    training: dict[str, Any] = {"steps": 4, "batch_size": 16, "progress": False}

    def build(seed: int) -> RecurrentModel:
        model: RecurrentModel = cls(1, output_size=1, return_sequences=False, seed=seed, **settings)
        return model

    together = [build(seed) for seed in range(3)]
    with using(tanh):
        fit(together, TASK, learning_rate=[1e-2, 1e-3, 3e-2], **training)
    for seed, rate in enumerate([1e-2, 1e-3, 3e-2]):
        alone, other = build(seed), build(seed)
        with using(tanh):
            fit(alone, TASK, learning_rate=rate, **training)
        with using("mlx" if tanh == "powers" else "powers"):
            fit(other, TASK, learning_rate=rate, **training)
        assert same(alone, together[seed]) and not same(alone, other)


@BOTH
def test_a_trial_reruns_by_its_own_choice(tanh: str) -> None:
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    fixed = {"hidden_size": 4, "backbone_units": 5, "batch_size": 16, "steps": 12}
    with using(tanh):
        study = Study(None, TASK, space, trials=3, fixed=fixed).run(progress=False)
    differing = 0
    for run in study.records:
        assert run.versions["tanh"] == tanh
        for now in ("auto", "powers", "mlx"):
            with using(now):
                again = Record.from_json(run.to_json()).rerun(TASK)
            assert (again.score, again.history, again.versions["tanh"]) == (run.score, run.history, tanh)
        old = replace(run, versions={name: value for name, value in run.versions.items() if name != "tanh"})
        with using("powers" if tanh == "mlx" else "mlx"):
            plain = old.rerun(TASK)  # as by default, which is what made it
        assert plain.versions["tanh"] == chosen()
        differing += plain.history != run.history
    assert (differing > 0) == (tanh != chosen())
