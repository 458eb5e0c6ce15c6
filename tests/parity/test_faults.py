"""Where ncps 1.0.1 is wrong, that is shown, and that this library is right."""

from __future__ import annotations

import mlx.core as mx
import ncps.torch
import ncps.wirings
import numpy as np
import pytest
import torch
from mlx.utils import tree_flatten

from ncps_mlx import LTC, NCP, AutoNCP, CfC, FullyConnected, Random, Split, Task, from_torch
from ncps_mlx.wirings import Wiring
from tests.against_ncps import assert_close
from tests.parity.live import one_by_one

B, T, D, H = 5, 7, 3, 11
SIZES = {
    "inter_neurons": 6,
    "command_neurons": 4,
    "motor_neurons": 2,
    "sensory_fanout": 3,
    "inter_fanout": 2,
    "recurrent_command_synapses": 3,
    "motor_fanin": 2,
}


def inputs(batch=B, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(batch, T, D)).astype(np.float32),
        rng.uniform(0.1, 3.0, size=(batch, T)).astype(np.float32),
    )


def test_absent_synapses_of_a_wired_cfc_carry_nothing_here():
    """In ncps the gate's heads are not masked: inputs reach inter neurons that no synapse leads to, and learn to."""
    circuit = NCP(**SIZES).build(D)
    absent = circuit.sensory_adjacency[:, list(circuit.layers[0])] == 0  # from input, to inter neuron
    assert absent.any() and not absent.all()
    torch.manual_seed(0)
    module = ncps.torch.CfC(D, ncps.wirings.NCP(**SIZES))
    x, start = torch.randn(1, 1, D, requires_grad=True), torch.randn(1, 12)
    inter = module(x, start)[1][0, :6]
    jacobian = torch.stack([torch.autograd.grad(h, x, retain_graph=True)[0][0, 0] for h in inter]).T.numpy()
    assert np.abs(jacobian[absent]).max() > 0.01
    inter.square().sum().backward()
    for head in ("time_a", "time_b"):
        leaked = getattr(module.rnn_cell.layer_0, head).weight.grad.numpy()[:, :D].T
        assert np.abs(leaked[absent]).max() > 0.01

    def of_one(model, n):
        return mx.grad(lambda x: model(x, [(mx.array(start.numpy()),)])[1][0][0][0, n])(
            mx.array(x.detach().numpy())
        )

    model = CfC(D, wiring=NCP(**SIZES), seed=0)
    of_model = np.stack([np.array(of_one(model, n))[0, 0] for n in range(6)]).T
    assert np.abs(of_model[absent]).max() == 0 and np.abs(of_model[~absent]).min() > 0
    # Converted, the model computes what ncps computes: there the inputs do reach these neurons.
    of_converted = np.stack([np.array(of_one(from_torch(module), n))[0, 0] for n in range(6)]).T
    assert_close(of_converted, jacobian)


@pytest.mark.parametrize("name", ["NCP", "AutoNCP", "Random"])
def test_a_wiring_serves_many_models_here(name):
    """In ncps each further model adds synapses to the wiring it is given."""
    arguments = {"NCP": SIZES.values(), "AutoNCP": (12, 3), "Random": (H, 4, 0.5)}[name]
    ncps_wiring = getattr(ncps.wirings, name)(*arguments)
    counts = []
    for _ in range(2):
        ncps.torch.CfC(D, ncps_wiring)
        counts.append(int(ncps_wiring.synapse_count + ncps_wiring.sensory_synapse_count))
    assert counts[1] > counts[0]
    wiring = {"NCP": NCP(**SIZES), "AutoNCP": AutoNCP(12, 3), "Random": Random(H, 4, sparsity_level=0.5)}[name]
    first, second = (CfC(D, wiring=wiring, seed=0) for _ in range(2))
    assert first.parameter_count == second.parameter_count
    circuit = wiring.build(D)
    assert circuit == wiring.build(D) and circuit.synapse_count + circuit.sensory_synapse_count == counts[0]


@pytest.mark.parametrize("kind", ["CfC", "LTC"])
def test_time_steps_of_each_sample_are_its_own_here(kind):
    """With several samples ncps fails; with as many as units it gives each unit the time step of another sample."""
    torch.manual_seed(0)
    module = getattr(ncps.torch, kind)(D, H)
    x, time_delta = inputs()
    with pytest.raises(RuntimeError, match="must match the size"):
        module(torch.tensor(x), timespans=torch.tensor(time_delta))
    x, time_delta = inputs(batch=H)
    with torch.no_grad():
        together = module(torch.tensor(x), timespans=torch.tensor(time_delta))[0].numpy()
        alone = one_by_one(module, torch.tensor(x), torch.tensor(time_delta), [])[0].numpy()
    assert np.abs(together - alone).max() > 0.1
    assert_close(from_torch(module)(mx.array(x), time_delta=mx.array(time_delta))[0], alone)


def test_an_ltc_stands_still_when_no_time_passes_here():
    """ncps divides the capacitance by the time step."""
    module = ncps.torch.LTC(D, H)
    x, _ = inputs()
    start = np.random.default_rng(1).normal(size=(B, H)).astype(np.float32)
    nothing = np.zeros((1, T), np.float32)
    y, h = module(torch.tensor(x), torch.tensor(start), timespans=torch.tensor(nothing))
    assert torch.isnan(y).all() and torch.isnan(h).all()
    for model in (from_torch(module), LTC(D, wiring=FullyConnected(H), seed=0), LTC(D, H, seed=0)):

        def last(time_delta, model=model):
            return model(mx.array(x), [(mx.array(start),)], time_delta=time_delta)[1][0][0]

        np.testing.assert_allclose(np.array(last(mx.array(nothing[0]))), start, atol=1e-6)
        gradient = mx.grad(lambda time_delta, last=last: last(time_delta).sum())(mx.array(nothing[0]))
        assert mx.isfinite(gradient).all().item()


def test_negative_time_steps_are_refused_here():
    """ncps runs the equation backwards, until it divides by almost nothing."""
    torch.manual_seed(0)
    module = ncps.torch.LTC(D, H)
    x, _ = inputs()
    assert module(torch.tensor(x), timespans=torch.full((1, T), -0.5))[0].abs().max() > 1e4
    split = Split(x=x, y=np.zeros((B, 1)), time_delta=np.full((B, T), -0.5))
    with pytest.raises(ValueError, match="time_delta must"):
        Task("backwards", split, split, split)


def test_synapses_from_inputs_are_counted_here():
    """ncps's models count those between neurons twice over."""
    wiring = ncps.wirings.AutoNCP(12, 3)
    circuit = AutoNCP(12, 3).build(D)
    module = ncps.torch.LTC(D, wiring)
    assert circuit.sensory_synapse_count == wiring.sensory_synapse_count == 9
    assert circuit.synapse_count == wiring.synapse_count == 12
    assert module.sensory_synapse_count == module.rnn_cell.sensory_synapse_count == 12
    assert ncps.torch.CfC(D, ncps.wirings.AutoNCP(12, 3)).rnn_cell.sensory_synapse_count == 12
    assert from_torch(module).config["wiring"].sensory_synapse_count == 9


def test_an_ncp_comes_back_from_its_configuration_here():
    ncps_wiring = ncps.wirings.NCP(**SIZES)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        ncps.wirings.NCP.from_config(ncps_wiring.get_config())
    wiring = NCP(**SIZES)
    again = Wiring.from_config(wiring.config)
    assert again == wiring and again.build(D) == wiring.build(D)


def test_an_autoncp_can_be_dense_here():
    with pytest.raises(ValueError, match=r"must be between 0.0 and 0.9 \(given 0.0\)"):
        ncps.wirings.AutoNCP(12, 3, sparsity_level=0.0)
    assert AutoNCP(12, 3, sparsity_level=0.0).build(D).synapse_count > AutoNCP(12, 3).build(D).synapse_count


def test_an_activation_that_a_wired_cfc_does_not_use_is_refused_here():
    x = torch.tensor(inputs()[0])
    outputs = []
    for activation in ("relu", "tanh"):
        torch.manual_seed(0)
        outputs.append(ncps.torch.CfC(D, ncps.wirings.AutoNCP(12, 3), activation=activation)(x)[0])
    assert torch.equal(*outputs)
    with pytest.raises(ValueError, match="activation must"):
        CfC(D, wiring=AutoNCP(12, 3), activation="relu")


def test_a_wired_cfc_returns_its_motor_neurons_here():
    """With a wiring of one layer ncps returns all units, and fails where it projects them."""
    module = ncps.torch.CfC(D, ncps.wirings.Random(H, 4, 0.5))
    x = inputs()[0]
    assert module.output_size == 4 and module(torch.tensor(x))[0].shape == (B, T, H)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        ncps.torch.CfC(D, ncps.wirings.Random(H, 4, 0.5), proj_size=2)(torch.tensor(x))
    wiring = Random(H, 4, sparsity_level=0.5)
    assert CfC(D, wiring=wiring, seed=0)(mx.array(x))[0].shape == (B, T, 4)
    assert CfC(D, wiring=wiring, output_size=2, seed=0)(mx.array(x))[0].shape == (B, T, 2)
    assert from_torch(module)(mx.array(x))[0].shape == (B, T, H)


def test_dropout_follows_every_layer_of_a_backbone_here():
    """In ncps the first layer has none: with one layer the rate has no effect."""
    module = ncps.torch.CfC(D, H, backbone_layers=1, backbone_dropout=0.9)
    x = inputs()[0]
    assert torch.equal(*(module(torch.tensor(x))[0] for _ in range(2)))
    model = CfC(D, H, backbone_dropout=0.9, seed=0)
    assert not mx.allclose(*(model(mx.array(x))[0] for _ in range(2))).item()
    converted = from_torch(module)
    assert converted.training and mx.array_equal(*(converted(mx.array(x))[0] for _ in range(2))).item()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_modules_of_any_precision_are_converted(dtype):
    module = ncps.torch.LTC(D, ncps.wirings.AutoNCP(12, 3), mixed_memory=True).to(dtype)
    one, other = (dict(tree_flatten(from_torch(m).parameters())) for m in (module, module.float()))
    assert set(one) == set(other)
    assert all(mx.array_equal(one[name], other[name]).item() for name in one)


def test_modules_around_a_model_are_refused():
    module = ncps.torch.CfC(D, H)
    for wrapped in (torch.nn.Sequential(module), module.rnn_cell, torch.nn.LSTM(D, H)):
        with pytest.raises(ValueError, match=r"module must be a CfC or an LTC of ncps\.torch, got "):
            from_torch(wrapped)
