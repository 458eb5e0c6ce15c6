"""What CfC and LTC promise besides the contract of all kinds (test_contracts.py): equations, shapes, seeds, errors."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

# Private: the lists of names that docstrings promise, and the dropout masks.
import ncps_mlx.cells._stack
from ncps_mlx import GRU, LSTM, LTC, AutoNCP, CfC, fit
from ncps_mlx._kernels.activations import ACTIVATIONS, LOWER_BOUNDS
from ncps_mlx.cells._stack import dropout_masks
from ncps_mlx.wirings import Circuit
from tests.contracts import AUTO, KINDS, B, D, H, T, U, close, data, equal, flat, gradients, make


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind):
    x, dt = data()
    model = make(kind)
    assert model.parameter_count > 0  # before the first call
    width = (model.wiring.output_size if model.wiring else H) * (2 if model.bidirectional else 1)
    arrays = (2 if model.mixed_memory or isinstance(model, LSTM) else 1) * (2 if model.bidirectional else 1)
    for size in (None, 3):
        for sequences in (True, False):
            model = make(kind, output_size=size, return_sequences=sequences)
            y, state = model(x, time_delta=dt)
            assert model.output_size == (size or width)
            assert y.shape == ((B, T, model.output_size) if sequences else (B, model.output_size))
            assert [tuple(a.shape for a in layer) for layer in state] == [
                ((B, model.hidden_size),) * arrays
            ] * model.num_layers


@pytest.mark.parametrize("kind", ["cfc-shared", "cfc-auto-shared", "ltc-shared", "ltc-auto-shared"])
def test_shared_layers_have_one_set_of_parameters(kind):
    deep, deeper = make(kind, num_layers=3), make(kind, num_layers=6)
    assert deep.parameter_count == deeper.parameter_count and len(deep.layers) == 2
    assert deep.parameter_count < make(kind, num_layers=3, share_layers=False).parameter_count


def test_no_time_passes_no_change_in_an_ltc():
    x, _ = data()
    _, state = LTC(D, H, seed=0)(x, time_delta=0.0)
    assert mx.all(state[0][0] == 0).item()


def test_dropout_keeps_the_expected_share():
    masks = dropout_masks(mx.random.key(0), 0.25, 1, (50, 20, 30))
    values = np.array(masks[0])
    np.testing.assert_allclose(np.unique(values), [0.0, 1 / 0.75], rtol=1e-6)
    assert abs((values == 0).mean() - 0.25) < 0.01


@pytest.mark.parametrize("kind", ["cfc", "cfc-deep", "cfc-shared", "cfc-mixed-deep-bidirectional"])
def test_each_layer_and_direction_has_its_own_dropout(kind, monkeypatch):
    keys = []

    def noted(key, *rest):
        keys.append(tuple(key.tolist()))
        return dropout_masks(key, *rest)

    monkeypatch.setattr(ncps_mlx.cells._stack, "dropout_masks", noted)
    model = make(kind)
    model.forward(data()[0], None, 1.0, None, dropout_rate=0.3, keys=mx.array([5, 7], dtype=mx.uint32))
    assert len(keys) == len(set(keys)) == model.num_layers * (2 if model.bidirectional else 1)


@pytest.mark.parametrize("kind", ["cfc", "cfc-auto-mixed", "ltc", "ltc-auto"])
def test_without_a_seed_the_global_stream_is_drawn_from(kind):
    mx.random.seed(9)
    before = mx.random.state[0].tolist()
    first, second = make(kind, seed=None), make(kind, seed=None)
    assert mx.random.state[0].tolist() != before
    pairs = zip(flat(first.parameters()), flat(second.parameters()), strict=True)
    assert any(not mx.array_equal(a, b).item() for (_, a), (_, b) in pairs)


def test_initializer():
    model = CfC(D, H, initializer=mx_constant, seed=0)
    assert mx.all(model.layers[0].backbone.input_weight == 0.5).item()
    assert CfC(D, H, initializer="he_normal", seed=0).config["initializer"] == "he_normal"


def mx_constant(array):
    return mx.full(array.shape, 0.5)


def test_modes_differ_in_heads():
    counts = {mode: CfC(D, H, mode=mode, seed=0).parameter_count for mode in ("default", "no_gate", "pure")}
    assert counts["default"] == counts["no_gate"]
    assert counts["default"] - counts["pure"] == 3 * (128 * H + H) - 2 * H


def test_reference_step_of_each_mode():
    """One step, computed from the equations."""
    x = np.random.default_rng(1).normal(size=(1, 1, D)).astype(np.float32)
    for mode in ("default", "no_gate", "pure"):
        model = CfC(D, H, mode=mode, backbone_units=U, seed=2)
        p = {name: np.array(a, dtype=np.float64) for name, a in flat(model.layers[0].parameters())}
        z = 1.7159 * np.tanh(0.666 * (p["backbone.input_weight"] @ x[0, 0] + p["backbone.bias"]))
        out = p["backbone.weights.0"] @ z + p["backbone.biases.0"]
        if mode == "pure":
            want = p["amplitude"] * (1 - np.exp(-0.7 * (np.abs(p["decay"]) + np.abs(out))) * out)
        else:
            f, g, a, b = np.split(out, 4)
            s = 1 / (1 + np.exp(-(a * 0.7 + b)))
            first = np.tanh(f) * (1 - s) if mode == "default" else np.tanh(f)
            want = first + s * np.tanh(g)
        close(model(mx.array(x), time_delta=0.7)[0][0, 0], want)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_time_delta_may_be_a_numpy_number(kind):
    model, (x, _) = CfC(D, H, seed=0), data()
    equal(model(x, time_delta=kind(2)), model(x, time_delta=2))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_lower_bounds_of_activations(name):
    x = mx.linspace(-30, 30, 60001)
    least = mx.min(ACTIVATIONS[name](x)).item()
    assert LOWER_BOUNDS[name] - 1e-2 <= LOWER_BOUNDS[name] <= least + 1e-4


@pytest.mark.parametrize("stability", ["bounded", "softplus", "clip", "none"])
def test_time_constants_begin_in_their_range(stability):
    model = LTC(D, 64, stability=stability, time_constant_range=(0.2, 0.8), seed=0)
    tau = 1 / np.array(model.layers[0].leak())
    assert tau.min() >= 0.2 - 1e-4 and tau.max() <= 0.8 + 1e-4 and tau.std() > 0.05


@pytest.mark.parametrize(
    "settings",
    [{"activation": "sigmoid"}, {"stability": "softplus"}, {"stability": "none"}, {"wiring": AUTO}],
)
def test_slow_time_constants_begin_in_their_range(settings):
    """Or are refused where the leak is clipped."""
    sizes = {} if "wiring" in settings else {"hidden_size": 64}
    for given in ((5e3, 2e4), (1e-6, 1e-5)):
        tau = LTC(D, **sizes, **settings, time_constant_range=given, seed=0).time_constants()[0]
        assert given[0] * 0.999 <= tau.min().item() < 0.7 * given[1] < tau.max().item() <= given[1] * 1.001
    with pytest.raises(
        ValueError, match=r"must end at 1000 or below with stability='clip', got \(5000.0, 20000.0\)"
    ):
        LTC(D, H, stability="clip", time_constant_range=(5e3, 2e4))
    LTC(D, H, stability="clip", time_constant_range=(5e2, 1e3))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize(
    ("cls", "sizes"),
    [
        (
            CfC,
            {"hidden_size": 4, "num_layers": 3, "backbone_layers": 2, "backbone_units": 5, "output_size": 2},
        ),
        (LTC, {"hidden_size": 4, "ode_unfolds": 3, "backbone_layers": 1, "backbone_units": 5, "seed": 7}),
        (LTC, {"wiring": AUTO, "ode_unfolds": 3, "output_size": 2}),
    ],
)
def test_numpy_integers_are_integers(cls, sizes, kind):
    """Searches produce them; an MLX array times a NumPy number would be a NumPy array."""
    converted = {name: kind(size) if isinstance(size, int) else size for name, size in sizes.items()}
    model, other = cls(D, **{"seed": 0, **sizes}), cls(kind(D), **{"seed": kind(0), **converted})
    assert all(not isinstance(value, np.generic) for value in other.config.values())
    x, dt = data()
    for steps in (None, 0.3, dt):
        equal(gradients(other, x, steps), gradients(model, x, steps))


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (CfC, {"hidden_size": 0}, "hidden_size must be at least 1, got 0."),
        (CfC, {"hidden_size": 2.5}, "hidden_size must be an integer, got 2.5."),
        (
            CfC,
            {"hidden_size": None},
            "hidden_size or wiring must be given, exactly one of them, got neither.",
        ),
        (CfC, {"input_size": -1}, "input_size must be at least 1, got -1."),
        (CfC, {"num_layers": 0}, "num_layers must be at least 1, got 0."),
        (CfC, {"mode": "gated"}, "mode must be one of 'default', 'no_gate', 'pure', got 'gated'."),
        (CfC, {"activation": "swish"}, "activation must be one of"),
        (CfC, {"residual": 1}, "residual must be True or False, got 1."),
        (CfC, {"backbone_units": 0}, "backbone_units must be at least 1, got 0."),
        (CfC, {"backbone_dropout": 10**400}, "backbone_dropout must be a finite number, got 1000"),
        (CfC, {"backbone_dropout": 1.0}, "backbone_dropout must be at least 0 and below 1, got 1.0."),
        (
            CfC,
            {"backbone_dropout": 0.1, "backbone_layers": 0},
            "backbone_dropout must be 0 when backbone_layers is 0",
        ),
        (CfC, {"output_size": 0}, "output_size must be at least 1, got 0."),
        (CfC, {"initializer": "xavier"}, "initializer must be one of"),
        (CfC, {"initializer": 3}, "initializer must be a name or a callable"),
        (CfC, {"seed": -1}, "seed must be at least 0, got -1."),
        (LTC, {"ode_unfolds": 0}, "ode_unfolds must be at least 1, got 0."),
        (LTC, {"stability": "free"}, "stability must be one of"),
        (LTC, {"time_constant_range": (0.1, 5.0)}, "time_constant_range must end at 1 or below"),
        (
            LTC,
            {"time_constant_range": (0.5, 0.1)},
            r"time_constant_range\[1\] must be at least 0.5 and at most 1e\+12, got 0.1.",
        ),
        (
            LTC,
            {"time_constant_range": (0, 1)},
            r"time_constant_range\[0\] must be at least 1e-12, got 0",
        ),
        (
            LTC,
            {"time_constant_range": (1, 1e39)},
            r"time_constant_range\[1\] must be at least 1 and at most 1e",
        ),
        (LTC, {"time_constant_range": 3}, "time_constant_range must be a pair"),
        (LTC, {"initial_ranges": {"slope": (3, 8)}}, "initial_ranges must be left at None without a wiring"),
        (CfC, {"ncps_masks": True}, "ncps_masks must be left at False without a wiring"),
        (CfC, {"hidden_size": AUTO}, r"hidden_size must be a number of units, got a wiring.*wiring=AutoNCP\("),
        (CfC, {"wiring": AUTO}, "hidden_size or wiring must be given, exactly one of them, got both"),
        (CfC, {"hidden_size": None, "wiring": 8}, "wiring must be a wiring such as ncps_mlx.AutoNCP"),
        (CfC, {"share_layers": True}, "share_layers must be False with num_layers=1"),
        (CfC, {"seed": 2**64}, "seed must be at most 18446744073709551615"),
        (CfC, {"input_size": 2**31}, "input_size must be at most 16777216"),
        (CfC, {"initializer": len}, "initializer must return an array of the shape it is given"),
    ],
)
def test_bad_arguments_are_named(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**{"input_size": D, "hidden_size": H, **arguments})


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (CfC, {"activation": "relu"}, "activation must be left at 'lecun_tanh' with a wiring"),
        (CfC, {"backbone_units": 64}, "backbone_units must be left at 128 with a wiring"),
        (LTC, {"backbone_dropout": 0.1}, "backbone_dropout must be left at 0.0 with a wiring"),
        (LTC, {"stability": "clip"}, "stability must be left at 'bounded' with a wiring"),
        (LTC, {"input_mapping": "square"}, "input_mapping must be one of 'affine', 'linear', 'none'"),
        (LTC, {"output_mapping": None}, "output_mapping must be one of"),
        (LTC, {"initial_ranges": {"leek": (1, 2)}}, "initial_ranges must be one of 'leak'"),
        (LTC, {"initial_ranges": {"leak": (0, 2)}}, r"initial_ranges\['leak'\]\[0\] must be above 0"),
        (
            LTC,
            {"initial_ranges": {"leak": (1, 1e39)}},
            r"initial_ranges\['leak'\]\[1\] must be at least 1 and",
        ),
        (LTC, {"initial_ranges": {"slope": 3}}, r"initial_ranges\['slope'\] must be a pair"),
        (
            LTC,
            {"wiring": Circuit([[1]], [[1], [1]])},
            "input_size must be 2, for which this circuit was built",
        ),
        (CfC, {"wiring": AutoNCP(8, 2).build(D), "num_layers": 2}, "input_size must be 3, for which"),
    ],
)
def test_bad_arguments_with_a_wiring_are_named(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(D, **{"wiring": AUTO, **arguments})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m(x[..., :2]), "x must have shape"),
        (lambda m, x: m(x.astype(mx.int32)), "x must be of a floating dtype"),
        (lambda m, x: m(x, time_delta=mx.ones((T + 1,))), "time_delta must be a number or have shape"),
        (lambda m, x: m(x, time_delta=[1.0]), "time_delta must be a number or an mx.array"),
        (lambda m, x: m(x, time_delta=True), "time_delta must be a number or an mx.array, got bool"),
        (lambda m, x: m(x, None, mx.ones((B, T), dtype=mx.bool_)), "time_delta must hold real numbers, got"),
        (
            lambda m, x: m(x, None, mx.ones((T,), dtype=mx.complex64)),
            "time_delta must hold real numbers, got",
        ),
        (lambda m, x: m(x, mask=mx.ones((B, T))), "mask must be bool"),
        (lambda m, x: m(np.array(x)), "x must be an mx.array, got ndarray"),
        (lambda m, x: m(x, mask=np.ones((B, T), dtype=bool)), "mask must be an mx.array, got ndarray"),
        (lambda m, x: m(x[0], mask=mx.ones((B, T), dtype=mx.bool_)), r"mask must be bool of shape \(7,\)"),
        (lambda m, x: m(x, [(mx.zeros((B, H + 1)),)]), "state must be 1 tuple"),
        (lambda m, x: m(x, [(np.zeros((B, H)),)]), r"state must be 1 tuple.*got \[\('ndarray',\)\]"),
        (lambda m, x: m(x, [mx.zeros((B, H))]), "state must be 1 tuple"),
        (lambda m, x: m(x, m(x)[1] * 2), "state must be 1 tuple"),
    ],
)
def test_bad_arrays_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(CfC(D, H, seed=0), data()[0])


# GRU and LSTM


@pytest.mark.parametrize("time", [None, "input"])
def test_gru_and_lstm_are_those_of_mlx(time):
    """Without time the same; with the gap as an input the same as with it put there."""
    x, dt = data()
    features = D if time is None else D + 1
    given = x if time is None else mx.concatenate([x, mx.log1p(dt)[..., None]], axis=-1)
    theirs, ours = nn.GRU(features, H), GRU(D, H, time=time, seed=0)
    (cell,) = ours.layers
    cell.update(
        {"input_weight": theirs.Wx, "recurrent_weight": theirs.Wh, "bias": theirs.b, "recurrent_bias": theirs.bhn}
    )
    close(ours(x, time_delta=dt)[0], theirs(given))
    theirs, ours = nn.LSTM(features, H), LSTM(D, H, time=time, seed=0)
    (cell,) = ours.layers

    def reordered(array):  # MLX has i, f, g, o; mixed memory, as ncps, g, i, f, o
        i, f, g, o = mx.split(array, 4)
        return mx.concatenate([g, i, f, o])

    cell.update(
        {
            "input_weight": reordered(theirs.Wx),
            "recurrent_weight": reordered(theirs.Wh),
            "bias": reordered(theirs.bias),
        }
    )
    y, ((h, c),) = ours(x, time_delta=dt)
    hidden, memory = theirs(given)
    close([y, h, c], [hidden, hidden[:, -1], memory[:, -1]])


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_a_state_decays_with_the_gap(kind):
    """Before each reading the state is multiplied by exp(-rate * gap), with a half-life of 1 to begin with."""
    decaying, plain = kind(D, H, time="decay", seed=0), kind(D, H, time=None, seed=0)
    x, _ = data(steps=2)
    state = plain(x[:, :1])[1]
    for gap in (0.0, 1.0, 2.5):
        left = [tuple(each * 0.5**gap for each in layer) for layer in state]
        close(decaying(x[:, 1:], state, gap)[0], plain(x[:, 1:], left)[0])
    close(decaying(x[:, 1:], state, 1e6)[0], plain(x[:, 1:])[0])


@pytest.mark.parametrize(("time", "message"), [("log", "got 'log'"), (1, "got 1"), ([], r"got \[\]")])
def test_ways_to_read_the_gap_are_named(time, message):
    for kind in (GRU, LSTM):
        with pytest.raises(ValueError, match=f"time must be one of 'input', 'decay', None, {message}"):
            kind(D, H, time=time)
    with pytest.raises(ValueError, match="hidden_size must be an integer, got None"):
        GRU(D, None)


def test_a_model_without_a_backbone_has_no_dropout_rate(task):
    with pytest.raises(ValueError, match="backbone_dropout must be left out for a GRU, which has no backbone, got"):
        fit(GRU(1, 4, output_size=1, return_sequences=False), task, backbone_dropout=0.1)


def test_gated_models_train_as_a_population(task):
    """As all models do: each member ends with the bits of a lone run."""
    for kind in (GRU, LSTM):
        for time in ("input", "decay", None):

            def made(kind=kind, time=time):
                return [kind(1, 4, time=time, output_size=1, return_sequences=False, seed=s) for s in range(3)]

            settings = {"steps": 4, "batch_size": 8, "progress": False}
            together, alone = made(), made()
            fit(together, task, learning_rate=[0.01, 0.03, 0.02], seed=[0, 1, 2], **settings)
            for i, rate in enumerate((0.01, 0.03, 0.02)):
                fit(alone[i], task, learning_rate=rate, seed=i, **settings)
                equal(together[i].parameters(), alone[i].parameters())
