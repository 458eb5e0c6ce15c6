"""The contract that every cell and every model passes, dense or wired, stacked, residual, shared or bidirectional."""

from __future__ import annotations

import copy
import math
import pickle

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.utils import tree_map, tree_unflatten

from ncps_mlx import LTC, TimeScaler, load, tanh_implementation

# Private: a precomputed forward pass gives the same gradients, so only the function that takes it shows it.
from ncps_mlx._kernels.custom_vjp import eager, no_grad, precompute
from ncps_mlx._kernels.native import native_layers
from ncps_mlx.cells import Cell, MixedMemory
from ncps_mlx.cells._base import FusedCell
from ncps_mlx.training._population import stack_parameters
from tests.contracts import (
    KINDS,
    B,
    D,
    T,
    close,
    close_in_scale,
    data,
    drops,
    equal,
    finite,
    flat,
    gradients,
    make,
    members,
    primitives,
    streams,
    weighted,
    wired,
    with_parameters,
)


@pytest.fixture(autouse=True)
def stream():
    """Each test starts with its own global stream, no matter what the one before left."""
    mx.random.seed(0)


every = pytest.mark.parametrize("kind", KINDS)
LENGTHS = [7, 3, 1, 5, 6]


def some(test):
    """The kinds that pass the test, as a mark."""
    return pytest.mark.parametrize("kind", [kind for kind in KINDS if test(kind)])


def quick(kind):
    """A smaller graph: MLX calls a C++ compiler for each kernel."""
    return {"ode_unfolds": 1} if KINDS[kind][0] is LTC else {}


# Batches


@every
def test_a_batch_of_one_equals_its_row_of_many(kind):
    model = make(kind)
    x, dt = data()
    y, state = model(x, time_delta=dt)
    for i in range(B):
        one, own = model(x[i : i + 1], time_delta=dt[i : i + 1])
        close(one[0], y[i])
        close([[a[0] for a in layer] for layer in own], [[a[i] for a in layer] for layer in state])


@every
def test_a_sequence_without_a_batch(kind):
    model = make(kind)
    x, dt = data()
    y, state = model(x[2:3], time_delta=dt[2:3])
    one, own = model(x[2], time_delta=dt[2])
    equal(one, y[0])
    equal(own, [tuple(a[0] for a in layer) for layer in state])


@every
def test_as_many_samples_as_units_each_with_its_time_steps(kind):
    model = make(kind)
    batch = model.hidden_size
    x, dt = data(batch)
    y, _ = model(x, time_delta=dt)
    for i in range(batch):
        close(model(x[i : i + 1], time_delta=dt[i : i + 1])[0][0], y[i])
    swapped = mx.concatenate([dt[1:], dt[:1]])
    assert not mx.allclose(model(x, time_delta=swapped)[0], y, atol=1e-4).item()


@every
def test_forms_of_time_delta_agree(kind):
    model = make(kind)
    x, _ = data()
    equal(model(x)[0], model(x, time_delta=1)[0])
    close(model(x, time_delta=0.5)[0], model(x, time_delta=mx.full((B, T), 0.5))[0])
    close(model(x, time_delta=0.5)[0], model(x, time_delta=mx.array(0.5))[0])
    steps = mx.arange(T, dtype=mx.float32)
    equal(model(x, time_delta=steps)[0], model(x, time_delta=mx.broadcast_to(steps, (B, T)))[0])


# Time


@some(streams)
def test_a_sequence_in_two_halves_equals_it_in_one(kind):
    model = make(kind)
    x, dt = data()
    whole, last = model(x, time_delta=dt)
    first, state = model(x[:, :4], time_delta=dt[:, :4])
    second, end = model(x[:, 4:], state, dt[:, 4:])
    close(mx.concatenate([first, second], axis=1), whole)
    close(end, last)
    alone, _ = model(x[1, 4:], [tuple(a[1] for a in layer) for layer in state], dt[1, 4:])
    close(alone, second[1])


@some(lambda kind: not streams(kind))
def test_a_bidirectional_model_refuses_a_state(kind):
    model = make(kind)
    _, state = model(data()[0])
    with pytest.raises(ValueError, match="state must be None for a bidirectional model"):
        model(data()[0], state)


@some(streams)
def test_nothing_depends_on_what_comes_later(kind):
    model = make(kind)
    x, dt = data()
    slope = mx.grad(lambda x, dt: weighted(model(x, time_delta=dt)[0][:, :5]), argnums=(0, 1))(x, dt)
    for each in slope:
        assert mx.all(each[:, 5:] == 0).item() and mx.any(each[:, :5] != 0).item()


@every
@pytest.mark.parametrize("sequences", [True, False])
def test_masked_sequences_equal_each_alone(kind, sequences):
    model = make(kind, return_sequences=sequences)
    x, dt = data()
    mask = mx.arange(T) < mx.array(LENGTHS)[:, None]
    y, state = model(x, time_delta=dt, mask=mask)
    for i, n in enumerate(LENGTHS):
        alone, own = model(x[i : i + 1, :n], time_delta=dt[i : i + 1, :n])
        close(y[i, :n] if sequences else y[i], alone[0], what=f"length {n}")
        close([[a[i] for a in layer] for layer in state], [[a[0] for a in layer] for layer in own])
        if sequences and streams(kind):
            close(y[i, n:], mx.broadcast_to(alone[0, -1], y[i, n:].shape))


@every
def test_readings_may_be_missing_anywhere(kind):
    """A hole in the middle, over which time passes, a late start: the same as the readings alone."""
    model = make(kind)
    x, dt = data()
    there = [1, 2, 5]
    mask = mx.array([[t in there for t in range(T)]])
    rows = mx.array(there)
    y, _ = model(x[:1], time_delta=dt[:1], mask=mask)
    passed = mx.array([[dt[0, 1], dt[0, 2], dt[0, 3] + dt[0, 4] + dt[0, 5]]])
    close(y[:, rows], model(x[:1, rows], time_delta=passed)[0])


@every
def test_padding_does_not_matter(kind):
    model = make(kind, return_sequences=False)
    x, dt = data()
    mask = mx.broadcast_to(mx.arange(T) < 4, (B, T))
    outputs, grad_parameters, grad_x = gradients(model, x, dt, mask)
    for padding in (1e3, np.nan, np.inf):
        filled = mx.where(mask[..., None], x, padding), mx.where(mask, dt, 1e3 * padding)
        others, again, _ = gradients(model, *filled, mask)
        close(others, outputs)
        close(again, grad_parameters, 1e-4)
    assert mx.all(grad_x[:, 4:] == 0).item() and mx.any(grad_x[:, :4] != 0).item()


@every
def test_the_last_output_alone(kind):
    """With ``return_sequences=False``: the last step's output; backward in time the last is the first."""
    x, dt = data()
    y, _ = make(kind, return_sequences=True, output_size=None)(x, time_delta=dt)
    last, _ = make(kind, return_sequences=False, output_size=None)(x, time_delta=dt)
    half = y.shape[-1] // 2
    close(last, y[:, -1] if streams(kind) else mx.concatenate([y[:, -1, :half], y[:, 0, half:]], axis=-1))


# Gradients and extremes


@every
def test_every_parameter_receives_a_gradient(kind):
    model = make(kind)
    _, found, _ = gradients(model, *data())
    finite(found)
    for name, gradient in flat(found):
        assert mx.any(gradient != 0).item(), name


@every
def test_second_derivatives_are_those_of_automatic_differentiation(kind, monkeypatch):
    """A penalty on gradients is itself differentiated, through the custom gradients."""
    model = make(kind, **quick(kind))
    x, dt = data(steps=3)
    mask = mx.arange(3) < mx.array([3, 2, 1, 3, 2])[:, None]

    def output(x, dt):
        return weighted(model(x, time_delta=dt, mask=mask))

    def penalty(parameters, x, dt):
        model.update(parameters)
        return sum(mx.square(slope).sum() for slope in mx.grad(output, argnums=(0, 1))(x, dt))

    def found():
        return mx.grad(penalty, argnums=(0, 1, 2))(model.parameters(), x, dt)

    got = found()
    mx.eval(got)
    monkeypatch.setattr(FusedCell, "run", Cell.run)
    monkeypatch.setattr(MixedMemory, "run", Cell.run)
    for (name, a), (_, b) in zip(flat(got), flat(found()), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * np.abs(b).max(), err_msg=name)


@every
def test_forward_mode_gives_the_same_derivatives(kind):
    model = make(kind, **quick(kind))
    x, dt = data()
    mask = mx.arange(T) < mx.array(LENGTHS)[:, None]
    directions = [mx.random.normal(array.shape, key=mx.random.key(i)) for i, array in enumerate((x, dt))]

    def output(x, dt):
        return weighted(model(x, time_delta=dt, mask=mask))

    _, (ahead,) = mx.jvp(output, [x, dt], directions)
    slopes = mx.grad(output, argnums=(0, 1))(x, dt)
    each = [slope * direction for slope, direction in zip(slopes, directions, strict=True)]
    scale = sum(mx.abs(part).sum().item() for part in each)
    assert abs(ahead.item() - sum(part.sum().item() for part in each)) < 1e-4 * scale


@every
@pytest.mark.parametrize("step", [0.0, 1e-6, 1e6])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e3])
def test_outputs_and_gradients_are_finite_at_extremes(kind, step, size):
    model = make(kind)
    x, _ = data()
    steps = mx.full((B, T), step)

    def loss(parameters, x, steps):
        model.update(parameters)
        outputs = model(x, time_delta=steps)
        return weighted(outputs), outputs

    found = mx.value_and_grad(loss, argnums=(0, 1, 2))(model.parameters(), size * x, steps)
    finite(found)
    assert max(mx.max(mx.abs(a)).item() for _, a in flat(found[0][1])) < 1e5


@some(lambda kind: KINDS[kind][0] is LTC)
def test_an_ltc_trained_at_the_highest_learning_rate_stays_finite(kind):
    """Time steps up to 1e6, at 1e-1, the top of the grid on which learning rates are tuned."""
    model = make(kind, return_sequences=False)
    rng = np.random.default_rng(0)
    optimizer = optim.Adam(learning_rate=1e-1)
    parameters = model.parameters()
    target = mx.array(rng.normal(size=(B, model.output_size)).astype(np.float32))

    def loss(parameters, x, dt):
        model.update(parameters)
        return mx.square(model(x, time_delta=dt)[0] - target).mean()

    for step in range(20):
        x, _ = data(seed=step)
        dt = 10.0 ** rng.uniform(-1, 2, size=(B, T))  # where an unstable solver blows up
        dt = mx.array(np.where(rng.random((B, T)) < 0.1, 1e6, dt).astype(np.float32))
        value, found = mx.value_and_grad(loss)(parameters, 10.0 * x, dt)
        parameters = optimizer.apply_gradients(found, parameters)
        mx.eval(parameters, optimizer.state, value)
        assert math.isfinite(value.item()), step
        finite(found, f"step {step}")
        assert max(mx.max(mx.abs(slope)).item() for _, slope in flat(found)) < 1e4, step
    finite(parameters)


@some(lambda kind: wired(kind) and KINDS[kind][0] is not LTC)
def test_synapses_that_do_not_exist_get_no_gradient_and_have_no_effect(kind):
    """Any number may be stored where there is no synapse: outputs and gradients stay the same."""
    model = make(kind)
    x, dt = data()
    outputs, found, _ = gradients(model, x, dt)
    parameters, slopes = dict(flat(model.parameters())), dict(flat(found))
    absent = {
        name: array == 0
        for name, array in parameters.items()
        if ".cells." in name and name.endswith("t_weight")
    }
    assert absent
    for name, nothing in absent.items():
        assert mx.array_equal(slopes[name] == 0, nothing).item(), name
    total = sum(array.size for array in parameters.values())
    assert model.parameter_count == total - sum(nothing.sum().item() for nothing in absent.values())
    for name, nothing in absent.items():
        parameters[name] = mx.where(nothing, 1e3, parameters[name])
    model.update(tree_unflatten(list(parameters.items())))
    again, others, _ = gradients(model, x, dt)
    equal(again, outputs)
    equal(others, found)


PLAIN = {
    *("cfc-ncp", "cfc-auto", "cfc-auto-no_gate", "cfc-auto-pure", "cfc-random", "cfc-full"),
    *("ltc-ncp", "ltc-auto", "ltc-auto-linear", "ltc-auto-slow", "ltc-random", "ltc-full"),
}
"""Wired kinds of one layer that read nothing but their circuit's synapses."""


@some(PLAIN.__contains__)
def test_one_step_follows_the_synapses(kind):
    """A neuron depends on an input, or on another neuron's state, if and only if a path leads there."""
    model = make(kind, output_size=None)
    circuit = model.wiring.build(D)
    units = circuit.units
    recurrent = (circuit.adjacency != 0) | np.eye(units, dtype=bool)
    sensory = circuit.sensory_adjacency != 0
    if KINDS[kind][0] is LTC:
        order = list(range(units))
        paths = np.linalg.matrix_power(recurrent.astype(int), model.config["ode_unfolds"]) > 0
        reached = sensory @ np.linalg.matrix_power(recurrent.astype(int), model.config["ode_unfolds"] - 1) > 0
    else:
        order = [neuron for layer in circuit.layers for neuron in layer]
        paths, reached = np.zeros((units, units), bool), np.zeros((D, units), bool)
        before = None
        for layer in map(list, circuit.layers):
            paths[:, layer] = recurrent[:, layer] & np.isin(np.arange(units), layer)[:, None]
            if before is None:
                reached[:, layer] = sensory[:, layer]
            else:
                paths[:, layer] |= paths[:, before] @ recurrent[np.ix_(before, layer)]
                reached[:, layer] = reached[:, before] @ recurrent[np.ix_(before, layer)]
            before = layer
    x, _ = data(1, 1)
    h = mx.random.normal((1, units), key=mx.random.key(1)) * 0.3

    def state_after(x, h):
        return model(x, [(h,)], 0.7)[1][0][0]

    for place, neuron in enumerate(order):
        grad_x, grad_h = mx.grad(lambda x, h, place=place: state_after(x, h)[0, place], argnums=(0, 1))(x, h)
        assert (np.array(grad_x[0, 0] != 0) == reached[:, neuron]).all(), neuron
        assert (np.array(grad_h[0] != 0) == paths[order, neuron]).all(), neuron
    motors = [order.index(neuron) for neuron in range(circuit.output_size)]
    if KINDS[kind][1].get("output_mapping") == "none" or KINDS[kind][0] is not LTC:
        equal(model(x, [(h,)], 0.7)[0][0, 0], state_after(x, h)[0, mx.array(motors)])


# Compiled, batched over parameters, in populations


COMPILED = {
    *("cfc", "cfc-pure", "cfc-gelu", "cfc-shared", "cfc-mixed-deep-bidirectional"),
    *("cfc-auto", "cfc-random-as-ncps", "cfc-auto-bidirectional", "cfc-auto-mixed"),
    *("ltc", "ltc-sigmoid", "ltc-deep", "ltc-auto", "ltc-auto-bidirectional", "ltc-auto-mixed"),
}
"""Each cell in each setting once: MLX calls a C++ compiler for every kernel, which takes seconds."""


@some(COMPILED.__contains__)
def test_compiled_equals_eager(kind):
    model = make(kind, **quick(kind))
    x, dt = data(steps=2)
    mask = mx.arange(2) < mx.array([2, 2, 1, 2, 1])[:, None]
    call = with_parameters(model, lambda x, dt: model(x, time_delta=dt, mask=mask))
    parameters = model.parameters()
    close(mx.compile(call)(parameters, x, dt), call(parameters, x, dt))


def train(kind, compiled, steps=3):
    """Parameters after some training steps, and the losses."""
    dropout = {"backbone_dropout": 0.4} if drops(kind) else {}
    model = make(kind, return_sequences=False, **dropout, **quick(kind))
    optimizer = optim.Adam(learning_rate=1e-2)
    optimizer.init(model.parameters())
    x, dt = data(steps=2)
    mask = mx.arange(2) < mx.array([2, 2, 1, 2, 1])[:, None]
    mx.random.seed(5)
    state = [model.state, optimizer.state, mx.random.state]

    def step(x, dt):
        def loss(parameters):
            model.update(parameters)
            return mx.square(model(x, time_delta=dt, mask=mask)[0] - 0.5).mean()

        value, found = mx.value_and_grad(loss)(model.parameters())
        optimizer.update(model, found)
        return value

    run = mx.compile(step, inputs=state, outputs=state) if compiled else step
    losses = []
    for _ in range(steps):
        losses.append(run(x, dt))
        mx.eval(state, losses)
    return model.parameters(), losses


@some({"cfc", "cfc-shared", "cfc-auto-bidirectional", "cfc-mixed", "ltc-deep", "ltc-auto"}.__contains__)
def test_a_compiled_training_step_equals_the_eager_one(kind):
    close(train(kind, compiled=True), train(kind, compiled=False), 1e-4)


@some({"cfc", "ltc-sigmoid"}.__contains__)
def test_dropout_masks_change_from_step_to_step_when_compiled(kind):
    model = make(kind, backbone_dropout=0.4)
    x, dt = data(steps=2)
    call = mx.compile(lambda x: model(x, time_delta=dt)[0], inputs=mx.random.state, outputs=mx.random.state)
    first, second = call(x), call(x)
    assert not mx.array_equal(first, second).item()


@every
def test_vmap_over_parameters_equals_a_loop(kind):
    models = members(kind, 3)
    x, dt = data(steps=3)
    call = with_parameters(models[0], lambda x, dt: weighted(models[0](x, time_delta=dt)))
    gradient = mx.value_and_grad(call, argnums=(0, 1, 2))
    each = [model.parameters() for model in models]
    stacked = tree_map(lambda *arrays: mx.stack(arrays), *each)
    values, slopes = mx.vmap(gradient, in_axes=(0, None, None))(stacked, x, dt)
    for i, parameters in enumerate(each):
        value, slope = gradient(parameters, x, dt)
        close(values[i], value, 1e-4)
        close(tree_map(lambda array, i=i: array[i], slopes), slope, 1e-3)


@every
def test_vmap_over_sequences_equals_a_batch(kind):
    """The gradients that each sequence alone would give."""
    model = make(kind, **quick(kind))
    x, dt = data(steps=3)
    call = with_parameters(model, lambda x, dt: weighted(model(x, time_delta=dt)))
    gradient = mx.value_and_grad(call, argnums=(0, 1, 2))
    parameters = model.parameters()
    values, slopes = mx.vmap(gradient, in_axes=(None, 0, 0))(parameters, x, dt)
    for i in range(B):
        value, slope = gradient(parameters, x[i], dt[i])
        close(values[i], value, 1e-4)
        close(tree_map(lambda array, i=i: array[i], slopes), slope, 1e-3)


@every
@pytest.mark.parametrize("masked", [False, True])
def test_a_population_equals_its_members_bit_for_bit(kind, masked):
    models = members(kind, 3)
    dropout_rate = mx.array([0.0, 0.4, 0.2]) if drops(kind) else 0.0
    keys = mx.array(np.random.default_rng(0).integers(0, 2**32, size=(3, 2), dtype=np.uint32))
    x, dt = (mx.stack([data(seed=i)[part] for i in range(3)]) for part in (0, 1))
    mask = mx.stack([mx.arange(T) < mx.array(LENGTHS[i:] + LENGTHS[:i])[:, None] for i in range(3)])

    def call(model, parameters, x, dt, mask, dropout_rate, keys):
        def loss(parameters):
            model.update(parameters)
            outputs = model.forward(x, None, dt, mask, dropout_rate=dropout_rate, keys=keys)
            return mx.square(outputs[0]).sum(), outputs

        (_, outputs), found = mx.value_and_grad(loss)(parameters)
        return outputs, found

    shell = make(kind)
    together, found = call(shell, stack_parameters(models), x, dt, mask if masked else None, dropout_rate, keys)
    for i, model in enumerate(models):
        rate = dropout_rate[i].item() if drops(kind) else 0.0
        alone, own = call(model, model.parameters(), x[i], dt[i], mask[i] if masked else None, rate, keys[i])
        equal(tree_map(lambda array, i=i: array[i], together), alone, f"member {i}")
        equal(tree_map(lambda array, i=i: array[i], found), own, f"member {i}")


# Forward passes taken in advance


@every
@pytest.mark.parametrize("tanh", ["exp2", "mlx", "rational", "in C"])
def test_a_precomputed_forward_pass_changes_no_gradient(kind, tanh):
    """As in training, where MLX may compile; only there is the rational tanh compiled, and do layers run in C."""
    native, tanh = tanh == "in C", tanh.replace("in C", "rational")
    model, (x, dt) = make(kind), data()
    mask = mx.arange(T) < mx.array([T, T, 1, T - 1, T])[:, None]
    dropout_rate, keys = (0.3, mx.random.key(3)) if drops(kind) else (0.0, None)

    def loss(parameters):
        model.update(parameters)
        return mx.square(model.forward(x, None, dt, mask, dropout_rate=dropout_rate, keys=keys)[0]).sum()

    parameters, gradient = model.parameters(), mx.value_and_grad(loss)
    with tanh_implementation(tanh), native_layers(native):
        plain = gradient(parameters)
        with precompute(lambda: loss(parameters)):
            ahead = gradient(parameters)
        if native and model.has_native_kernel:
            with eager():
                equal(gradient(parameters), ahead)
        with no_grad():
            value = loss(parameters)
    # A compiler may fuse a product and a sum.
    same = close_in_scale if native else close if tanh == "rational" else equal
    same([*ahead, value], [*plain, plain[0]])


# Training and evaluation


@every
def test_training_and_evaluation_differ_by_dropout_alone(kind):
    x, dt = data()
    plain = make(kind)
    want = plain(x, time_delta=dt)
    equal(plain.eval()(x, time_delta=dt), want)
    if drops(kind):
        model = make(kind, backbone_dropout=0.4)
        equal(model.parameters(), plain.parameters())
        mx.random.seed(0)
        first, second = model(x, time_delta=dt)[0], model(x, time_delta=dt)[0]
        assert not mx.array_equal(first, second).item() and not mx.array_equal(first, want[0]).item()
        equal(model.eval()(x, time_delta=dt), want)
        mx.random.seed(0)
        equal(model.train()(x, time_delta=dt)[0], first)


# Numbers


@every
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision(kind, dtype):
    dropout = {"backbone_dropout": 0.2} if drops(kind) else {}
    model = make(kind, **dropout)
    x, dt = data()
    mask = mx.arange(T) < mx.array(LENGTHS)[:, None]
    want, state = model.eval()(x, time_delta=dt, mask=mask)
    model.set_dtype(dtype)
    for steps in (dt, dt.astype(dtype)):
        y, low = model(x.astype(dtype), time_delta=steps, mask=mask)
        assert {a.dtype for _, a in flat([y, low])} == {dtype}
        close([y, low], [want, state], 0.03 if dtype == mx.float16 else 0.2)
    outputs, found, grad_x = gradients(model.train(), x.astype(dtype), dt, mask)
    finite([outputs, found, grad_x])
    assert {a.dtype for _, a in flat([outputs, found, grad_x])} == {dtype}
    finite([model.eval()(x.astype(dtype), time_delta=steps) for steps in (1e6, mx.array(1e6))])


@every
@pytest.mark.parametrize("masked", [False, True])
def test_work_grows_linearly_with_time(kind, masked):
    """Each further step adds the same number of operations, none of them on whole sequences.

    What writes a step into a whole array, as the derivative of a slice does, makes time quadratic. (Derivatives by the
    time steps themselves, one number for each, may do so.)
    """
    model = make(kind, **quick(kind))

    def loss(parameters, x, dt, mask):
        model.update(parameters)
        return weighted(model(x, time_delta=dt, mask=mask)[0])

    parameters = model.parameters()
    counts = []
    for steps in (15, 25, 35):
        x, dt = data(steps=steps)
        mask = mx.arange(steps) < 12 + mx.arange(B)[:, None]
        mx.eval(parameters, x, dt, mask)
        found = mx.value_and_grad(loss, argnums=(0, 1))(parameters, x, dt, mask if masked else None)
        counts.append(primitives(found))
    first, second, third = counts
    assert second.total() > first.total()
    for name in third:
        assert third[name] - second[name] == second[name] - first[name], name
        assert third[name] == first[name] or ("Update" not in name and "Scatter" not in name), name


@pytest.mark.parametrize("kind", ["cfc", "cfc-auto", "cfc-mixed", "ltc", "ltc-auto", "cfc-bidirectional"])
def test_memory_grows_linearly_with_time(kind):
    model = make(kind, return_sequences=False)
    peaks = []
    for steps in (40, 160):
        x, dt = data(64, steps)
        mx.eval(x, dt, model.parameters())
        mx.clear_cache()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        gradients(model, x, dt)
        peaks.append(mx.get_peak_memory() - before)
    assert 0 < peaks[1] <= 6 * peaks[0], peaks  # 4, and the order of evaluation; 16 were it quadratic


# Copies


@every
@pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_equal_and_their_own(kind, way):
    """Trained parameters, frozen ones, evaluation mode; what is done to one is not done to the other."""
    (model,) = members(kind, 1)
    model.layers[0].freeze()
    model.layers[-1].eval()
    model.time_scaler = TimeScaler("log").fit([1.0, 2.0])
    before = mx.random.state[0].tolist()
    twin = way(model)
    assert mx.random.state[0].tolist() == before
    x, dt = data()
    assert type(twin) is type(model) and twin.config == model.config
    equal(twin.parameters(), model.parameters())
    equal(twin.trainable_parameters(), model.trainable_parameters())
    assert twin.time_scaler == model.time_scaler
    assert [part.training for part in twin.modules()] == [part.training for part in model.modules()]
    want = model(x, time_delta=dt)
    equal(twin(x, time_delta=dt), want)
    twin.update(tree_map(lambda array: array + 1, twin.parameters()))
    equal(model(x, time_delta=dt), want)


@every
def test_saved_and_loaded_models_are_equal(kind, tmp_path):
    (model,) = members(kind, 1)
    model.save(tmp_path / "model")
    twin = load(tmp_path / "model")
    x, dt = data()
    assert type(twin) is type(model) and twin.config == model.config
    equal(twin.parameters(), model.parameters())
    equal(twin(x, time_delta=dt), model(x, time_delta=dt))


@every
def test_the_configuration_makes_an_equal_model(kind):
    model = make(kind)
    twin = type(model)(**model.config)
    assert twin.config == model.config and twin.parameter_count == model.parameter_count
    equal(twin.parameters(), model.parameters())


@every
def test_the_seed_decides_the_parameters(kind):
    before = mx.random.state[0].tolist()
    first, again, other = make(kind, seed=3), make(kind, seed=3), make(kind, seed=4)
    assert mx.random.state[0].tolist() == before
    equal(first.parameters(), again.parameters())
    assert any(
        not mx.array_equal(a, b).item()
        for (_, a), (_, b) in zip(flat(first.parameters()), flat(other.parameters()), strict=True)
    )
