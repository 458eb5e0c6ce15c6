"""What CfC and LTC promise: shapes, state, time steps, masks, gradients, errors."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import LTC, CfC
from ncps_mlx.activations import ACTIVATIONS, LOWER_BOUNDS

B, T, D, H, U = 5, 7, 3, 11, 13

MODELS = {
    "cfc": (CfC, {"backbone_units": U}),
    "cfc-pure": (CfC, {"backbone_units": U, "mode": "pure"}),
    "cfc-no_gate": (CfC, {"backbone_units": U, "mode": "no_gate"}),
    "cfc-bare": (CfC, {"backbone_layers": 0}),
    "cfc-deep": (CfC, {"backbone_units": U, "backbone_layers": 2, "num_layers": 3, "residual": True}),
    "ltc": (LTC, {}),
    "ltc-backbone": (LTC, {"backbone_units": U, "backbone_layers": 2, "activation": "sigmoid"}),
    "ltc-deep": (LTC, {"num_layers": 2, "residual": True, "ode_unfolds": 2}),
}


@pytest.fixture(params=MODELS)
def build(request):
    cls, settings = MODELS[request.param]
    return lambda **more: cls(D, H, seed=more.pop("seed", 0), **{**settings, **more})


def data(batch=B, steps=T):
    rng = np.random.default_rng(0)
    x = mx.array(rng.normal(size=(batch, steps, D)).astype(np.float32))
    return x, mx.array(rng.uniform(0.1, 3.0, size=(batch, steps)).astype(np.float32))


def close(a, b, tolerance=1e-5):
    return np.testing.assert_allclose(np.array(a), np.array(b), atol=tolerance, rtol=tolerance)


def test_parameters_exist_before_the_first_call(build):
    assert build().parameter_count > 0


def test_shapes(build):
    x, dt = data()
    y, state = build()(x, time_delta=dt)
    assert y.shape == (B, T, H) and all(h.shape == (B, H) for (h,) in state)
    y, _ = build(output_size=2)(x, time_delta=dt)
    assert y.shape == (B, T, 2)
    y, _ = build(output_size=2, return_sequences=False)(x)
    assert y.shape == (B, 2)


def test_one_sequence_equals_its_row_of_a_batch(build):
    model = build(output_size=2)
    x, dt = data()
    y, _ = model(x, time_delta=dt)
    one, state = model(x[2], time_delta=dt[2:3])
    close(one, y[2])
    assert one.shape == (T, 2) and state[0][0].shape == (H,)


def test_per_sample_time_steps_with_as_many_samples_as_units(build):
    model = build()
    x, dt = data(batch=H)
    y, _ = model(x, time_delta=dt)
    for i in range(H):
        close(model(x[i : i + 1], time_delta=dt[i : i + 1])[0][0], y[i])


def test_time_delta_forms_agree(build):
    model = build()
    x, _ = data()
    close(model(x)[0], model(x, time_delta=1)[0])
    close(model(x, time_delta=0.5)[0], model(x, time_delta=mx.full((B, T), 0.5))[0])
    steps = mx.arange(T, dtype=mx.float32)
    close(model(x, time_delta=steps)[0], model(x, time_delta=mx.broadcast_to(steps, (B, T)))[0])


def test_a_sequence_in_two_halves_equals_it_in_one(build):
    model = build()
    x, dt = data()
    whole, last = model(x, time_delta=dt)
    first, state = model(x[:, :4], time_delta=dt[:, :4])
    second, end = model(x[:, 4:], state, dt[:, 4:])
    close(mx.concatenate([first, second], axis=1), whole)
    for (a,), (b,) in zip(end, last, strict=True):
        close(a, b)


def test_masked_sequences_equal_each_alone(build):
    lengths = [7, 3, 1, 5, 6]
    x, dt = data()
    mask = mx.array([[t < n for t in range(T)] for n in lengths])
    for sequences in (True, False):
        model = build(output_size=2, return_sequences=sequences)
        y, state = model(x, time_delta=dt, mask=mask)
        for i, n in enumerate(lengths):
            alone, own = model(x[i : i + 1, :n], time_delta=dt[i : i + 1, :n])
            if sequences:
                close(y[i, :n], alone[0])
                close(y[i, n:], mx.broadcast_to(alone[0, -1], (T - n, 2)))
            else:
                close(y[i], alone[0])
            close(state[-1][0][i], own[-1][0][0])


def test_padding_does_not_matter(build):
    model = build(output_size=2, return_sequences=False)
    x, dt = data()
    mask = mx.array([[t < 4 for t in range(T)]] * B)
    other = mx.where(mask[..., None], x, 100.0)
    close(model(x, time_delta=dt, mask=mask)[0], model(other, time_delta=dt, mask=mask)[0])


def test_every_parameter_receives_a_gradient(build):
    model = build(output_size=2)
    x, dt = data()

    def loss(parameters):
        model.update(parameters)
        return mx.square(model(x, time_delta=dt)[0]).sum()

    for name, gradient in tree_flatten(mx.grad(loss)(model.trainable_parameters())):
        assert mx.all(mx.isfinite(gradient)).item() and mx.any(gradient != 0).item(), name


@pytest.mark.parametrize("step", [0.0, 1e-6, 1e6])
def test_extreme_time_steps_stay_finite(build, step):
    model = build(output_size=1, return_sequences=False)
    x, _ = data()

    def loss(parameters):
        model.update(parameters)
        return mx.square(model(1e3 * x, time_delta=step)[0]).sum()

    value, gradients = mx.value_and_grad(loss)(model.trainable_parameters())
    assert math.isfinite(value.item())
    assert all(mx.all(mx.isfinite(g)).item() for _, g in tree_flatten(gradients))


def test_no_time_passes_no_change_in_an_ltc():
    x, _ = data()
    _, state = LTC(D, H, seed=0)(x, time_delta=0.0)
    assert mx.all(state[0][0] == 0).item()


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_dropout_acts_in_training_alone(rate):
    x, dt = data()
    model = CfC(D, H, backbone_units=U, backbone_dropout=rate, seed=0)
    plain = CfC(D, H, backbone_units=U, seed=0)
    mx.random.seed(0)
    first, second = model(x, time_delta=dt)[0], model(x, time_delta=dt)[0]
    assert not mx.array_equal(first, second).item()
    close(model.eval()(x, time_delta=dt)[0], plain(x, time_delta=dt)[0])


def test_dropout_keeps_the_expected_share():
    from ncps_mlx.recurrent import dropout_factors

    factors = dropout_factors(mx.random.key(0), 0.25, 1, (50, 20, 30))
    values = np.array(factors[0])
    np.testing.assert_allclose(np.unique(values), [0.0, 1 / 0.75], rtol=1e-6)
    assert abs((values == 0).mean() - 0.25) < 0.01


def test_seeds():
    def first_weight(model):
        return model.layers[0].backbone.input_weight

    assert mx.array_equal(first_weight(CfC(D, H, seed=3)), first_weight(CfC(D, H, seed=3))).item()
    assert not mx.array_equal(first_weight(CfC(D, H, seed=3)), first_weight(CfC(D, H, seed=4))).item()
    mx.random.seed(9)
    before = mx.random.state[0].tolist()
    CfC(D, H, seed=3)
    assert mx.random.state[0].tolist() == before
    CfC(D, H)
    assert mx.random.state[0].tolist() != before


def test_initializer():
    model = CfC(D, H, initializer=mx_constant, seed=0)
    assert mx.all(model.layers[0].backbone.input_weight == 0.5).item()
    assert CfC(D, H, initializer="he_normal", seed=0).config["initializer"] == "he_normal"


def mx_constant(array):
    return mx.full(array.shape, 0.5)


def test_config_makes_a_twin(build):
    model = build()
    twin = type(model)(**model.config)
    for (name, a), (_, b) in zip(
        tree_flatten(model.parameters()), tree_flatten(twin.parameters()), strict=True
    ):
        assert mx.array_equal(a, b).item(), name


def test_modes_differ_in_heads():
    counts = {mode: CfC(D, H, mode=mode, seed=0).parameter_count for mode in ("default", "no_gate", "pure")}
    assert counts["default"] == counts["no_gate"]
    assert counts["default"] - counts["pure"] == 3 * (128 * H + H) - 2 * H


def test_reference_step_of_each_mode():
    """One step by hand, from the equations."""
    x = np.random.default_rng(1).normal(size=(1, 1, D)).astype(np.float32)
    for mode in ("default", "no_gate", "pure"):
        model = CfC(D, H, mode=mode, backbone_units=U, seed=2)
        p = {name: np.array(a, dtype=np.float64) for name, a in tree_flatten(model.layers[0].parameters())}
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
    ("cls", "arguments", "message"),
    [
        (CfC, {"hidden_size": 0}, "hidden_size must be at least 1, got 0."),
        (CfC, {"hidden_size": 2.5}, "hidden_size must be an integer, got 2.5."),
        (CfC, {"hidden_size": None}, "hidden_size must be given, got None."),
        (CfC, {"input_size": -1}, "input_size must be at least 1, got -1."),
        (CfC, {"num_layers": 0}, "num_layers must be at least 1, got 0."),
        (CfC, {"mode": "gated"}, "mode must be one of 'default', 'no_gate', 'pure', got 'gated'."),
        (CfC, {"activation": "swish"}, "activation must be one of"),
        (CfC, {"residual": 1}, "residual must be True or False, got 1."),
        (CfC, {"backbone_units": 0}, "backbone_units must be at least 1, got 0."),
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
            "time_constant_range\\[1\\] must be at least 0.5, got 0.1.",
        ),
        (LTC, {"time_constant_range": 3}, "time_constant_range must be a pair"),
    ],
)
def test_bad_arguments_are_named(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**{"input_size": D, "hidden_size": H, **arguments})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m(x[..., :2]), "x must have shape"),
        (lambda m, x: m(x.astype(mx.int32)), "x must be of a floating dtype"),
        (lambda m, x: m(x, time_delta=mx.ones((T + 1,))), "time_delta must be a number or have shape"),
        (lambda m, x: m(x, time_delta=[1.0]), "time_delta must be a number or an mx.array"),
        (lambda m, x: m(x, mask=mx.ones((B, T))), "mask must be bool"),
        (lambda m, x: m(x, [(mx.zeros((B, H + 1)),)]), "state must be 1 tuple"),
    ],
)
def test_bad_arrays_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(CfC(D, H, seed=0), data()[0])
