"""Models converted from ncps 1.0.1 (PyTorch) equal what tests/references/make_ncps.py recorded."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from ncps_mlx import from_torch
from tests.against_ncps import assert_close, assert_equal_to_ncps, compute, converted_gradients, named, run
from tests.references.cases import CASES, B, D, T
from tests.references.recorded import REFERENCE, by_name, rebuild

SQUARE = [name for name in CASES if "as many samples" in name]


def recorded(name, *keys):
    return [REFERENCE[f"{name}/{key}"] for key in keys if f"{name}/{key}" in REFERENCE]


def inputs(name):
    time_delta = REFERENCE["time_delta"] * np.float32(CASES[name].get("time_scale", 1.0))
    return [REFERENCE["x"], time_delta, *recorded(name, "state 0", "state 1")]


def of_parameters(name):
    return converted_gradients(
        by_name(name, "parameters"),
        by_name(name, "gradients"),
        softplus=CASES[name].get("implicit_param_constraints", True),
        epsilon=CASES[name].get("epsilon", 1e-8),
    )


@pytest.mark.parametrize("name", CASES)
def test_outputs_states_and_gradients_equal_ncps(name):
    """A batch in which each sample has its own time steps, against ncps run one sequence at a time."""
    keys = ("x", "time_delta", "state 0", "state 1")
    of_given = recorded(name, *(f"gradient of {key}" for key in keys))
    assert inputs(name)[0].shape == (B, T, D)
    reference = named(recorded(name, "y", "h", "c"), of_given, of_parameters(name))
    assert_equal_to_ncps(compute(from_torch(rebuild(name)), inputs(name)), reference)


@pytest.mark.parametrize("name", SQUARE)
def test_time_steps_are_each_samples_own_in_a_batch_as_large_as_the_state(name):
    model = from_torch(rebuild(name))
    x, time_delta, *state = map(mx.array, inputs(name))
    assert model.hidden_size == B
    y, h = run(model, x, time_delta, state)
    for i in range(B):
        own = slice(i, i + 1)
        alone = run(model, x[own], time_delta[own], [each[own] for each in state])
        assert_close(y[own], alone[0])
        assert_close(h[own], alone[1])
    assert np.abs(np.array(y)[1:] - np.array(y)[:-1]).max() > 0.1


def test_short_steps_leave_the_gradients_of_an_ltc_their_digits():
    """Each changes the state by little: their difference would be a difference of rounding errors."""
    name = "LTC, short steps"
    results = compute(from_torch(rebuild(name)), inputs(name))
    for key, expected in of_parameters(name).items():
        actual = results[f"gradient of {key}"]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=key)


def test_the_records_hold_every_kind_of_model():
    assert {case["model"] for case in CASES.values()} == {"CfC", "LTC"}
    assert {case.get("wiring", ["none"])[0] for case in CASES.values()} == {
        "none",
        "NCP",
        "AutoNCP",
        "Random",
        "FullyConnected",
    }
    assert {case.get("mode", "default") for case in CASES.values()} == {"default", "no_gate", "pure"}
