"""from_torch: what it converts and what it refuses. Equal outputs are tested in tests/test_parity.py."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import LTC, CfC, from_torch, load
from ncps_mlx.wirings import Circuit
from tests.references.cases import AUTO, CASES, NCP, B, D, H, T, U
from tests.references.recorded import REFERENCE, Part, Tensor, described, rebuild

TENSORS = ("gleak", "cm", "w", "sensory_w")


def same(a, b):
    one, other = (dict(tree_flatten(model.parameters())) for model in (a, b))
    assert set(one) == set(other)
    return all(mx.array_equal(one[name], other[name]).item() for name in one)


def test_a_dense_cfc_keeps_its_settings():
    model = from_torch(rebuild("gelu"))
    assert isinstance(model, CfC)
    kept = {
        "input_size": D,
        "hidden_size": H,
        "mode": "default",
        "activation": "gelu",
        "backbone_units": U,
        "backbone_layers": 3,
        "backbone_dropout": 0.25,
        "mixed_memory": False,
        "output_size": None,
        "return_sequences": True,
    }
    assert {name: model.config[name] for name in kept} == kept
    projected = from_torch(rebuild("projected last")).config
    assert projected["output_size"] == 2 and projected["return_sequences"] is False
    assert from_torch(rebuild("pure")).config["mode"] == "pure"
    assert from_torch(rebuild("mixed memory")).config["mixed_memory"] is True


def test_dropout_that_ncps_never_applies_is_left_out():
    """With one backbone layer ncps applies no dropout, at any rate."""
    module = rebuild("default")
    module.rnn_cell.backbone_dropout = 0.5
    assert from_torch(module).config["backbone_dropout"] == 0.0


def test_training_mode_is_kept():
    assert from_torch(rebuild("default")).training is True
    evaluating = from_torch(rebuild("gelu"))
    assert evaluating.training is False
    x = mx.array(REFERENCE["x"])
    first = evaluating(x)[0]
    assert mx.array_equal(first, evaluating(x)[0]).item()
    evaluating.train()
    assert not mx.allclose(first, evaluating(x)[0]).item()  # there is dropout


@pytest.mark.parametrize(
    ("name", "motor", "command", "output"),
    [
        ("wired NCP", NCP[3], NCP[2], NCP[3]),
        ("wired AutoNCP, no_gate", AUTO[2], 3, 2),
        ("wired Random, pure", H, 0, H),  # ncps's CfC returns all units of a wiring of one layer
        ("LTC, clipped", 4, 0, 4),
        ("LTC, NCP", NCP[3], NCP[2], NCP[3]),
    ],
)
def test_a_wiring_becomes_a_circuit(name, motor, command, output):
    model = from_torch(rebuild(name))
    circuit, recorded = model.config["wiring"], described(name)["wiring"]
    assert isinstance(circuit, Circuit)
    assert (circuit.output_size, circuit.command_neurons) == (motor, command)
    np.testing.assert_array_equal(circuit.adjacency, recorded["adjacency_matrix"])
    np.testing.assert_array_equal(circuit.sensory_adjacency, recorded["sensory_adjacency_matrix"])
    assert model(mx.array(REFERENCE["x"]))[0].shape == (B, T, output)
    if isinstance(model, CfC):
        assert model.config["ncps_masks"] is True


def test_an_ltc_keeps_its_settings():
    model = from_torch(rebuild("LTC, clipped"))
    assert isinstance(model, LTC)
    settings = ("ode_unfolds", "input_mapping", "output_mapping", "return_sequences")
    assert [model.config[name] for name in settings] == [3, "linear", "none", True]
    assert from_torch(rebuild("LTC")).config["wiring"].synapse_count == H * H


@pytest.mark.parametrize("name", ["wired AutoNCP, no_gate", "LTC, clipped"])
def test_a_wiring_that_was_built_again_does_not_change_what_it_was(name):
    """Making a second model with a wiring, ncps adds synapses to it; the first model's masks stay."""
    before, again = from_torch(rebuild(name)), rebuild(name)
    wiring = again.wiring if name.startswith("wired") else again._wiring
    missing = wiring.adjacency_matrix == 0
    assert missing.any() and (wiring.sensory_adjacency_matrix == 0).any()
    wiring.adjacency_matrix[missing] = 1
    wiring.sensory_adjacency_matrix[wiring.sensory_adjacency_matrix == 0] = -1
    after = from_torch(again)
    assert same(before, after) and before.parameter_count == after.parameter_count
    x = mx.array(REFERENCE["x"])
    assert mx.array_equal(before(x)[0], after(x)[0]).item()


def test_an_unused_part_of_a_weight_is_dropped():
    model = from_torch(rebuild("wired NCP"))
    module = rebuild("wired NCP")
    for i in range(3):
        cell = getattr(module.rnn_cell, f"layer_{i}")
        for head in (cell.ff1, cell.ff2):
            absent = cell.sparsity_mask.array == 0
            assert np.abs(head.weight.array[absent]).sum() > 0 or not absent.any()
            head.weight.array[absent] = 1e6
    assert same(model, from_torch(module))


def test_nothing_is_shared_with_the_module():
    module = rebuild("default")
    model = from_torch(module)
    before = mx.array(model.layers[0].backbone.bias)
    module.rnn_cell.backbone.__dict__["0"].bias.array[:] = 7.0
    assert mx.array_equal(before, model.layers[0].backbone.bias).item()
    assert from_torch(module).layers[0].backbone.bias[0].item() == 7.0


def test_weights_of_any_precision_become_float32():
    module = rebuild("default")
    bias = module.rnn_cell.ff1.bias
    bias.array = bias.array.astype(np.float64)
    assert {array.dtype for _, array in tree_flatten(from_torch(module).parameters())} == {mx.float32}


def test_mlx_stream_of_random_numbers_stays_where_it_was():
    before = [key.tolist() for key in mx.random.state]
    from_torch(rebuild("LTC"))
    from_torch(rebuild("default"))
    assert [key.tolist() for key in mx.random.state] == before


def test_a_class_derived_from_ncps_is_taken():
    module = rebuild("default")
    module.__class__ = type("Mine", (type(module),), {"__module__": "mine"})
    assert same(from_torch(module), from_torch(rebuild("default")))


@pytest.mark.parametrize(
    ("module", "given"),
    [
        (None, "builtins.NoneType"),
        ({"rnn_cell": 1}, "builtins.dict"),
        (CfC(D, H, seed=0), "ncps_mlx.models._cfc.CfC"),
        (rebuild("default").rnn_cell, "ncps.torch.cfc_cell.CfCCell"),
        (rebuild("LTC").rnn_cell, "ncps.torch.ltc_cell.LTCCell"),
        (rebuild("wired NCP").rnn_cell, "ncps.torch.wired_cfc_cell.WiredCfCCell"),
        (rebuild("mixed memory").lstm, "ncps.torch.lstm.LSTMCell"),
        (type(rebuild("default")), "builtins.type"),
    ],
)
def test_anything_else_is_refused_by_name(module, given):
    with pytest.raises(
        ValueError, match=f"^module must be a CfC or an LTC of ncps.torch, got {given}. Of a model"
    ):
        from_torch(module)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("bad", [-0.25, float("nan")])
def test_a_negative_weight_is_refused_with_its_cure(name, bad):
    module = rebuild("LTC, clipped")
    tensor = getattr(module.rnn_cell, name)
    present = {"w": "sparsity_mask", "sensory_w": "sensory_sparsity_mask"}.get(name)
    where = np.ones_like(tensor.array) if present is None else getattr(module.rnn_cell, present).array
    tensor.array[tuple(np.argwhere(where)[0])] = bad
    with pytest.raises(
        ValueError, match=rf"^{name} of module must be at least 0, got {bad}.*apply_weight_constraints"
    ):
        from_torch(module)


def test_a_negative_weight_of_no_synapse_does_not_matter():
    module = rebuild("LTC, clipped")
    cell = module.rnn_cell
    cell.w.array[cell.sparsity_mask.array == 0] = -1.0
    assert same(from_torch(module), from_torch(rebuild("LTC, clipped")))


def test_weights_clipped_to_zero_stay_without_effect_and_finite():
    module = rebuild("LTC, clipped")
    cell = module.rnn_cell
    for name in TENSORS:
        getattr(cell, name).array[:] = 0.0
    cell.gleak.array[:] = 0.5
    model = from_torch(module)
    parameters = dict(tree_flatten(model.parameters()))
    assert all(mx.isfinite(array).all().item() for array in parameters.values())
    y, _ = model(mx.array(REFERENCE["x"]))
    # Without capacitance and synapses a neuron is at its resting potential (times 0.5 of 0.5 + epsilon) at once.
    rest = cell.vleak.array[:4] * 0.5 / (0.5 + CASES["LTC, clipped"]["epsilon"])
    np.testing.assert_allclose(np.array(y), np.broadcast_to(rest, y.shape), atol=1e-6)


def test_a_leak_clipped_to_zero_stays_finite():
    module = rebuild("LTC, clipped")
    module.rnn_cell.gleak.array[:] = 0.0
    module.rnn_cell._epsilon = 1e-8
    leak = from_torch(module).layers[0].raw_leak
    assert mx.isfinite(leak).all().item()
    assert mx.logaddexp(leak, mx.zeros_like(leak)).max().item() < 1e-11


@pytest.mark.parametrize("order", [[2, 1, 0], [0, 2, 1]])
def test_layers_other_than_ncps_layers_are_refused_only_in_a_cfc(order):
    module = rebuild("wired NCP")
    layers = [list(layer) for layer in module.wiring.layers]
    module.wiring.layers[:] = [layers[i] for i in order]
    with pytest.raises(
        ValueError, match="module must have a wiring of one layer, or of the three layers of NCP"
    ):
        from_torch(module)
    module = rebuild("LTC, NCP")  # whose layers do not matter
    module._wiring.layers[:] = [layers[i] for i in order]
    model = from_torch(module)
    assert model.config["wiring"].command_neurons == 0
    assert same(model, from_torch(rebuild("LTC, NCP")))


def test_neurons_numbered_otherwise_are_refused_in_a_cfc():
    module = rebuild("wired NCP")
    module.wiring.layers[0].reverse()
    with pytest.raises(
        ValueError, match="module must have a wiring of one layer, or of the three layers of NCP"
    ):
        from_torch(module)


def test_a_readout_that_ncps_cannot_run_is_refused():
    module = rebuild("wired Random, pure")
    module.fc.weight, module.fc.bias = Tensor(np.ones((2, 4))), Tensor(np.ones(2))
    with pytest.raises(ValueError, match=f"got a readout of 4 of the {H} units"):
        from_torch(module)


def test_an_unknown_activation_is_refused():
    module = rebuild("default")
    module.rnn_cell.backbone.__dict__["1"].__class__ = type("Softsign", (Part,), {})
    with pytest.raises(ValueError, match=r"module must have an activation of ncps \(LeCun, Tanh"):
        from_torch(module)
    module = rebuild("gelu")
    module.rnn_cell.backbone.__dict__["1"].approximate = "tanh"
    with pytest.raises(ValueError, match="module must have an activation of ncps"):
        from_torch(module)


def test_a_shape_that_does_not_fit_is_refused():
    module = rebuild("default")
    module.rnn_cell.ff1.weight = Tensor(np.zeros((H + 1, U)))
    with pytest.raises(ValueError, match="module must have the shapes that ncps gives it, got"):
        from_torch(module)


@pytest.mark.parametrize("name", CASES)
def test_a_converted_model_is_saved_and_loaded(name, tmp_path):
    model = from_torch(rebuild(name)).eval()
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors").eval()
    x, time_delta = mx.array(REFERENCE["x"]), mx.array(REFERENCE["time_delta"])
    assert same(model, again)
    assert mx.array_equal(model(x, time_delta=time_delta)[0], again(x, time_delta=time_delta)[0]).item()
