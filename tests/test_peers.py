"""One test for each feature by which CfC and LTC implementations are compared, asserting what this one must have.

The peers are ncps 1.0.1 (PyTorch) and its ports to MLX. Each test is short; test_contracts.py, test_parity.py and
test_wirings.py go through every kind of model.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_map

from ncps_mlx import (
    LTC,
    NCP,
    AutoNCP,
    CfC,
    FullyConnected,
    Random,
    Space,
    Split,
    Study,
    Task,
    TimeScaler,
    from_torch,
    load,
)

# Private: the dropout masks, which a model draws for itself.
from ncps_mlx.cells._stack import dropout_masks
from ncps_mlx.stats import paired
from ncps_mlx.wirings import Wiring
from tests.contracts import AUTO, LAYERS, B, D, H, T, U, close, data, equal, finite, flat, gradients, make
from tests.references.recorded import REFERENCE, rebuild
from tests.references.wiring_cases import CASES as WIRINGS
from tests.test_parity import test_outputs_states_and_gradients_equal_ncps as assert_case_equals_ncps
from tests.test_wirings import test_synapses_equal_those_of_ncps as assert_synapses_equal_ncps


@pytest.mark.parametrize("case", ["default", "pure", "no_gate"])
def test_cfc_modes_default_pure_no_gate(case):
    assert_case_equals_ncps(case)


def test_wired_cfc_masks_all_heads():
    """In ncps the heads time_a and time_b read through synapses that are not there; here only if asked to."""
    x, dt = data()
    for as_ncps, heads in ((False, [1, 1, 1, 1]), (True, [1, 1, 0, 0])):
        model = CfC(D, wiring=LAYERS, ncps_masks=as_ncps, seed=0)
        cell = model.layers[0].cells[1]  # of the command neurons
        exists = LAYERS.build(D).adjacency[np.ix_(range(5, 9), range(2, 5))] != 0
        assert not exists.all()
        _, found, _ = gradients(model, x, dt)
        slopes = np.array(found["layers"][0]["cells"][1]["backbone"]["input_weight"])
        for head, masked in zip(np.split(slopes, 4), heads, strict=True):
            assert (head.T[~exists] == 0).all() == bool(masked)
            assert (head.T[exists] != 0).all()
        assert cell.masked_weight_count > 0


@pytest.mark.parametrize("case", ["wired NCP", "wired AutoNCP, no_gate", "wired Random, pure"])
def test_wired_cfc_reproduces_ncps_exactly_for_conversion(case):
    assert_case_equals_ncps(case)
    assert from_torch(rebuild(case)).config["ncps_masks"] is True


@pytest.mark.parametrize("case", ["LTC", "LTC, NCP", "LTC, clipped"])
def test_ltc_semi_implicit_solver_with_conductance_synapses(case):
    assert_case_equals_ncps(case)


def test_ltc_dense_of_the_original_paper():
    """x <- (x + δ f A) / (1 + δ (1/τ + f)), δ = Δt / unfolds, f recomputed in each unfold."""
    model = LTC(D, H, ode_unfolds=3, seed=0)
    cell = model.layers[0]
    p = {name: np.array(a, dtype=np.float64) for name, a in flat(cell.parameters())}
    x, h = np.random.default_rng(0).normal(size=D), np.zeros(H)
    leak = np.array(cell.leak(), dtype=np.float64)
    for _ in range(3):
        f = np.tanh(p["backbone.input_weight"] @ x + p["backbone.recurrent_weight"] @ h + p["backbone.bias"])
        h = (h + 0.7 / 3 * f * p["target"]) / (1 + 0.7 / 3 * (leak + f))
    close(
        model(mx.array(x[None].astype(np.float32)), time_delta=0.7)[1][0][0], mx.array(h.astype(np.float32))
    )


def test_wirings_immutable_built_once_the_graph_of_ncps():
    for i in range(len(WIRINGS)):
        assert_synapses_equal_ncps(i)
    assert {type(wiring) for wiring in (AUTO, LAYERS)} == {AutoNCP, NCP}
    wiring = Random(11, 4, sparsity_level=0.6, seed=2)
    counts = [wiring.build(D).synapse_count for _ in range(2)]
    models = [LTC(D, wiring=wiring, seed=0) for _ in range(2)]
    assert counts[0] == counts[1] == wiring.build(D).synapse_count == models[1].layers[0].slope.size
    equal(models[0].parameters(), models[1].parameters())
    with pytest.raises(AttributeError):
        wiring.units = 12


def stacked(kind, **settings):
    """A model of three layers, and its layers as models of one."""
    model = make(kind, num_layers=3, output_size=None, **settings)
    ones = [
        type(model)(**{**model.config, "input_size": size, "num_layers": 1, "residual": False})
        for size in (D, model.output_size, model.output_size)
    ]
    for one, layer in zip(ones, model.layers, strict=True):
        one.update({"layers": [layer.parameters()]})
    return model, ones


@pytest.mark.parametrize("kind", ["cfc", "cfc-auto", "ltc", "ltc-auto"])
def test_stacking(kind):
    model, ones = stacked(kind)
    x, dt = data()
    want = x
    for one in ones:
        want, _ = one(want, time_delta=dt)
    close(model(x, time_delta=dt)[0], want)


@pytest.mark.parametrize("kind", ["cfc", "cfc-auto", "ltc", "ltc-auto"])
def test_residual(kind):
    """Each layer from the second on adds its input to its output."""
    model, ones = stacked(kind, residual=True)
    x, dt = data()
    want, _ = ones[0](x, time_delta=dt)
    for one in ones[1:]:
        want = want + one(want, time_delta=dt)[0]
    close(model(x, time_delta=dt)[0], want)


@pytest.mark.parametrize("kind", ["cfc", "cfc-auto", "cfc-mixed", "ltc", "ltc-auto"])
def test_bidirectional(kind):
    """Two models, one over the reversed sequence; the last output of each is its own last step.

    Going back, a reading's time step is the time to the reading after it; the last, which has none, takes the first's.
    """
    both = make(kind, bidirectional=True, output_size=None)
    forward, backward = (make(kind, output_size=None) for _ in range(2))
    forward.update({"layers": [both.layers[0].parameters()]})
    backward.update({"layers": [both.backward_layers[0].parameters()]})
    x, dt = data()
    reverse_time = mx.concatenate([dt[:, :1], dt[:, :0:-1]], axis=1)
    there, _ = forward(x, time_delta=dt)
    back, _ = backward(x[:, ::-1], time_delta=reverse_time)
    close(both(x, time_delta=dt)[0], mx.concatenate([there, back[:, ::-1]], axis=-1))
    last = make(kind, bidirectional=True, output_size=None, return_sequences=False)
    last.update(both.parameters())
    close(last(x, time_delta=dt)[0], mx.concatenate([there[:, -1], back[:, -1]], axis=-1))


@pytest.mark.parametrize("case", ["mixed memory", "wired NCP, mixed memory", "LTC, mixed memory, last"])
def test_mixed_memory(case):
    assert_case_equals_ncps(case)


@pytest.mark.parametrize("kind", ["cfc", "cfc-auto", "ltc", "ltc-auto"])
def test_time_steps_per_sample(kind):
    model = make(kind)
    for batch in (B, model.hidden_size):
        x, dt = data(batch)
        y, _ = model(x, time_delta=dt)
        for i in range(batch):
            close(model(x[i], time_delta=dt[i])[0], y[i])
    close(model(x, time_delta=dt[0])[0][0], y[0])
    equal(model(x, time_delta=0.5)[0], model(x, time_delta=mx.full((), 0.5).item())[0])


@pytest.mark.parametrize("kind", ["cfc", "cfc-mixed", "cfc-auto", "ltc", "ltc-auto"])
def test_masks_variable_length(kind):
    """The state is held over padding: it stays, bit for bit, and the output with it."""
    model = make(kind)
    x, dt = data()
    _, three = model(x[:, :3], time_delta=dt[:, :3])
    mask = mx.broadcast_to(mx.arange(T) < 3, (B, T))
    y, state = model(x, time_delta=dt, mask=mask)
    close(state, three)
    equal(y[:, 3:], mx.broadcast_to(y[:, 2:3], y[:, 3:].shape))


@pytest.mark.parametrize("kind", ["cfc", "ltc-auto"])
def test_readout(kind):
    """It is among the parameters, and it learns."""
    model = make(kind, output_size=5)
    _, found, _ = gradients(model, *data())
    assert model(data()[0])[0].shape == (B, T, 5)
    assert set(found["readout"]) == {"weight", "bias"}
    assert all(mx.any(g != 0).item() for g in found["readout"].values())


def test_backbone_dropout_after_every_layer(monkeypatch):
    """Three layers draw three masks, also the first, and each makes its own difference."""
    import ncps_mlx.cells._stack

    x, dt = data()
    outputs = []
    for place in range(3):

        def one_layer(keys, rate, layers, shape, place=place):
            factors = dropout_masks(keys, rate, layers, shape)
            assert layers == 3 and shape == (T, B, U)
            return [f if i == place else mx.ones_like(f) for i, f in enumerate(factors)]

        monkeypatch.setattr(ncps_mlx.cells._stack, "dropout_masks", one_layer)
        model = CfC(D, H, backbone_units=U, backbone_layers=3, backbone_dropout=0.5, seed=0)
        outputs.append(np.array(model(x, time_delta=dt)[0]))
        assert np.abs(outputs[-1] - np.array(model.eval()(x, time_delta=dt)[0])).max() > 1e-3
    assert "dropout" in (CfC.__doc__ or "")


def test_initialisation():
    """Xavier, within its bound and filling it, head by head; another on request."""
    backbone = CfC(D, H, backbone_units=U, seed=0).layers[0].backbone
    first = np.concatenate([np.array(backbone.input_weight), np.array(backbone.recurrent_weight)], axis=1)
    for weight, bound in (
        (first, np.sqrt(6 / (D + H + U))),
        (np.array(backbone.weights[0]), np.sqrt(6 / (U + H))),
    ):
        assert 0.95 * bound < np.abs(weight).max() <= bound
    half = CfC(D, H, initializer=nn.init.constant(0.5), seed=0).layers[0].backbone
    assert all(mx.all(weight == 0.5).item() for weight in (half.input_weight, *half.weights))


@pytest.mark.parametrize("kind", ["ltc", "ltc-auto", "ltc-mixed"])
def test_weight_limits(kind):
    """Positive by construction: time constants can be read, and are positive for any parameters."""
    model = make(kind)
    x, dt = data()
    for amount in (0.0, 30.0, -30.0):
        model.update(tree_map(lambda a, amount=amount: a + amount, model.parameters()))
        for tau in (model.time_constants()[0], model.time_constants(x, dt)[0]):
            finite(tau)
            assert mx.all(tau > 0).item()
        finite(model(x, time_delta=dt))


def test_weights_from_ncps():
    for case in ("default", "wired NCP", "LTC", "LTC, mixed memory, last"):
        model = from_torch(rebuild(case))
        x, dt = mx.array(REFERENCE["x"]), mx.array(REFERENCE["time_delta"])
        state = [
            mx.array(REFERENCE[f"{case}/state {i}"]) for i in range(2) if f"{case}/state {i}" in REFERENCE
        ]
        close(model(x, [tuple(state)] if state else None, dt)[0], REFERENCE[f"{case}/y"])


def test_save_load(tmp_path):
    """One safetensors file with the configuration; bit-equal; nothing pickled (tests/test_storage.py)."""
    model = make("ltc-auto")
    model.save(tmp_path / "model.safetensors")
    twin = load(tmp_path / "model.safetensors")
    assert twin.config == model.config and twin.config["wiring"] == AUTO
    equal(twin.parameters(), model.parameters())
    equal(twin(data()[0]), model(data()[0]))


@pytest.mark.parametrize("kind", ["cfc", "cfc-pure", "cfc-auto", "ltc", "ltc-auto", "ltc-mixed"])
def test_time_delta_zero_or_negative(kind):
    """At 0 all is defined, and the state of an LTC stays; below, data are refused where they enter."""
    model = make(kind)
    x, _ = data()
    outputs, found, _ = gradients(model, x, mx.zeros((B, T)))
    finite([outputs, found])
    if kind in ("ltc", "ltc-auto"):
        _, state = model(x[:, :3])
        close(model(x, state, time_delta=0.0)[1], state, 1e-6)
    bad = {"x": np.zeros((B, T, D)), "y": np.zeros((B, 1)), "time_delta": np.full((B, T), -1.0)}
    good = Split(**{**bad, "time_delta": np.ones((B, T))})
    with pytest.raises(ValueError, match=r"time_delta must be at least 0, got -1.0"):
        Task("negative", train=Split(**bad), validation=good, test=good, kind="regression", metric="rmse")
    with pytest.raises(ValueError, match="at least 0"):
        TimeScaler("log").fit(bad["time_delta"])


def test_sweeps_search_records_statistics():
    """A grid over two learning rates and three seeds, each a record; a paired interval between the rates."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(33, T, D))
    splits = [Split(x=part, y=part[:, -1, :1]) for part in np.split(x, [17, 25])]
    names = ("train", "validation", "test")
    task = Task("last value", **dict(zip(names, splits, strict=True)), kind="regression", metric="rmse")
    study = Study(
        None,
        task,
        Space(learning_rate=[1e-3, 1e-2]),
        seeds=(0, 1, 2),
        fixed={"hidden_size": 3, "backbone_units": 5, "steps": 4, "batch_size": 11},
        sampler="grid",
    )
    records = study.run(progress=False).records
    assert len(records) == 6 and len(study.table()["score"]) == 6
    slow, fast = ([r.score for r in records if r.config["learning_rate"] == rate] for rate in (1e-3, 1e-2))
    assert paired(slow, fast).low < paired(slow, fast).high


def test_what_else_is_wrong_in_ncps():
    """Counts of synapses, configurations that go round, a sparsity of 0, an activation that is ignored."""
    circuit = FullyConnected(7, 2, self_connections=False).build(D)
    assert (circuit.sensory_synapse_count, circuit.synapse_count) == (7 * D, 7 * 6)
    assert Wiring.from_config(LAYERS.config) == LAYERS
    assert AutoNCP(11, 4, sparsity_level=0.0).build(D).synapse_count > AutoNCP(11, 4).build(D).synapse_count
    with pytest.raises(ValueError, match="activation must be left at 'lecun_tanh' with a wiring"):
        CfC(D, wiring=AUTO, activation="relu")
