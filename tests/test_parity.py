"""Our CfC equals that of ncps 1.0.1 (PyTorch), by arrays that tests/references/make_ncps.py recorded."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import CfC
from tests.references.cases import CASES, B, D, H, T, U

REFERENCE = np.load(Path(__file__).with_name("references") / "ncps.npz")
HEADS = ("ff1", "ff2", "time_a", "time_b")


def translate(name, kind):
    """Parameters (kind p) or gradients (kind g) of ncps, in our layout."""
    source = {
        key.removeprefix(f"{name}/{kind}/rnn_cell."): REFERENCE[key]
        for key in REFERENCE
        if f"{name}/{kind}/" in key
    }
    heads = [head for head in HEADS if f"{head}.weight" in source]
    linear = [
        (source[f"backbone.{2 * i}.weight"], source[f"backbone.{2 * i}.bias"])
        for i in range(CASES[name]["backbone_layers"])
    ]
    linear.append(
        tuple(np.concatenate([source[f"{head}.{part}"] for head in heads]) for part in ("weight", "bias"))
    )
    ours = {
        "input_weight": linear[0][0][:, :D],
        "recurrent_weight": linear[0][0][:, D:],
        "bias": linear[0][1],
        "weights": [weight for weight, _ in linear[1:]],
        "biases": [bias for _, bias in linear[1:]],
    }
    cell = {
        "backbone": {
            k: [mx.array(a) for a in v] if isinstance(v, list) else mx.array(v) for k, v in ours.items()
        }
    }
    if CASES[name]["mode"] == "pure":
        cell |= {"decay": mx.array(source["w_tau"][0]), "amplitude": mx.array(source["A"][0])}
    return {"layers": [cell]}


@pytest.mark.parametrize("name", CASES)
def test_equals_ncps(name):
    model = CfC(D, H, backbone_units=U, seed=0, **CASES[name])
    parameters = translate(name, "p")
    assert {k: v.shape for k, v in tree_flatten(parameters)} == {
        k: v.shape for k, v in tree_flatten(model.parameters())
    }
    x, time_delta = mx.array(REFERENCE["x"]), mx.array(REFERENCE["time_delta"])

    def loss(parameters, x):
        model.update(parameters)
        y, state = model(x, time_delta=time_delta)
        return mx.square(y).sum(), y, state

    (_, y, state), (gradients, of_x) = mx.value_and_grad(loss, argnums=(0, 1))(parameters, x)
    assert y.shape == (B, T, H)
    np.testing.assert_allclose(np.array(y), REFERENCE[f"{name}/y"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(np.array(state[0][0]), REFERENCE[f"{name}/h"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(np.array(of_x), REFERENCE[f"{name}/gradient of x"], atol=1e-5, rtol=1e-4)
    for (key, ours), (_, theirs) in zip(
        tree_flatten(gradients), tree_flatten(translate(name, "g")), strict=True
    ):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=2e-5, rtol=1e-4, err_msg=key)
