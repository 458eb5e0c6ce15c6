"""A model gives a right answer or a ValueError that names the argument, and never NaN from finite input."""

from __future__ import annotations

import inspect
import math

import mlx.core as mx
import numpy as np
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from ncps_mlx import LTC, NCP, AutoNCP, CfC, FullyConnected, Random

# Private: the lists of names to draw from.
from ncps_mlx._kernels.activations import ACTIVATIONS
from ncps_mlx.cells._initializers import INITIALIZERS
from ncps_mlx.training._parameter_matrix import leaves

SIZES = st.integers(1, 5)
FLAGS = st.booleans()
FLOATING = st.sampled_from([mx.float32, mx.float32, mx.float16, mx.bfloat16])
# What an argument might be given by mistake: right for some, wrong for most.
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4),
    st.sampled_from([2**31 - 1, 2**31, 2**40, 2**63, 2**70, -(2**70)]),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        [(), (1.0,), (0.5, 1.0), (1.0, 0.5), (0.0, 1.0), (1.0, math.inf), ("a", "b"), [0.5, 2.0]]
    ),
    st.sampled_from(
        [{}, {"leak": (1.0, 2.0)}, {"leak": 3}, {"leek": (1.0, 2.0)}, {"slope": (2.0, 1.0)}, {3: 4}]
    ),
    st.sampled_from([np.int64(3), np.float32(0.25), np.float64(math.nan), np.bool_(True), np.array([1, 2])]),
    st.sampled_from([mx.array(2), mx.array([0.5, 2.0]), object(), len, b"tanh", 3j, range(3)]),
    st.sampled_from(["tanh", "relu", "pure", "bounded", "none", "linear", "he_normal", "orthogonal"]),
)


@st.composite
def wirings(draw):
    """A wiring with few neurons."""
    seed = draw(st.integers(0, 999))
    kind = draw(st.sampled_from(["auto", "ncp", "random", "full"]))
    if kind == "auto":
        motor = draw(st.integers(1, 3))
        sparsity = draw(st.sampled_from([0.0, 0.2, 0.5, 0.9]))
        return AutoNCP(motor + draw(st.integers(3, 6)), motor, sparsity_level=sparsity, seed=seed)
    if kind == "ncp":
        inter, command, motor = draw(SIZES), draw(SIZES), draw(st.integers(1, 3))
        return NCP(
            inter,
            command,
            motor,
            sensory_fanout=draw(st.integers(1, inter)),
            inter_fanout=draw(st.integers(1, command)),
            recurrent_command_synapses=draw(st.integers(0, 2 * command)),
            motor_fanin=draw(st.integers(1, command)),
            seed=seed,
        )
    units = draw(st.integers(1, 7))
    motor = draw(st.none() | st.integers(1, units))
    if kind == "full":
        return FullyConnected(units, motor, self_connections=draw(FLAGS), seed=seed)
    return Random(units, motor, sparsity_level=draw(st.sampled_from([0.0, 0.5, 0.99])), seed=seed)


@st.composite
def configurations(draw):
    """A class and arguments that it takes."""
    cls = draw(st.sampled_from([CfC, LTC]))
    wiring = draw(st.none() | wirings())
    layers = draw(st.integers(1, 3))
    given_ = {
        "input_size": draw(SIZES),
        "hidden_size": draw(st.integers(1, 7)) if wiring is None else None,
        "wiring": wiring,
        "num_layers": layers,
        "share_layers": layers > 2 and draw(FLAGS),
        "residual": draw(FLAGS),
        "bidirectional": draw(FLAGS),
        "mixed_memory": draw(FLAGS),
        "initializer": draw(st.none() | st.sampled_from(sorted(INITIALIZERS))),
        "output_size": draw(st.none() | SIZES),
        "return_sequences": draw(FLAGS),
        "seed": draw(st.integers(0, 2**32)),
    }
    if wiring is None:
        deep = draw(st.integers(0, 2))
        given_ |= {
            "activation": draw(st.sampled_from(sorted(ACTIVATIONS))),
            "backbone_units": draw(st.integers(1, 7)),
            "backbone_layers": deep,
            "backbone_dropout": draw(st.sampled_from([0.0, 0.3, 0.9])) if deep else 0.0,
        }
    if cls is CfC:
        given_["mode"] = draw(st.sampled_from(["default", "no_gate", "pure"]))
        if wiring is not None:
            given_["ncps_masks"] = draw(FLAGS)
    else:
        given_["ode_unfolds"] = draw(st.integers(1, 4))
        if wiring is not None:
            mapping = st.sampled_from(["affine", "linear", "none"])
            given_ |= {"input_mapping": draw(mapping), "output_mapping": draw(mapping)}
    return cls, given_


@st.composite
def inputs(draw, input_size):
    """Finite inputs that fit: x, time_delta, mask; with a batch or without."""
    batch, count = draw(st.none() | st.integers(1, 4)), draw(st.integers(1, 4))
    lead = (count,) if batch is None else (batch, count)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    x = draw(st.sampled_from([0.0, 1e-3, 1.0, 1e3])) * rng.normal(size=(*lead, input_size))
    longest = draw(st.sampled_from([0.0, 1e-6, 1.0, 1e6]))
    form = draw(st.sampled_from(["none", "integer", "number", "scalar", "steps", "batch"]))
    shape = {"scalar": (), "steps": (count,), "batch": lead}.get(form, ())
    time_delta = {"none": None, "integer": 2, "number": longest}.get(
        form, mx.array((longest * rng.random(shape)).astype(np.float32))
    )
    mask = mx.array(rng.random(lead) < 0.7) if draw(FLAGS) else None
    return mx.array(x.astype(np.float32)), time_delta, mask


def finite(y):
    return bool(mx.all(mx.isfinite(y)).item())


@given(configurations(), st.data(), FLOATING)
@settings(max_examples=300, deadline=None)
def test_right_arguments_give_a_right_answer(configuration, data, dtype):
    """Of the right shape and dtype, finite, and for each sequence what it is alone."""
    cls, arguments = configuration
    model = cls(**arguments)
    x, time_delta, mask = data.draw(inputs(model.input_size))
    model.set_dtype(dtype)
    y, state = model(x.astype(dtype), None, time_delta, mask)
    lead = x.shape[:-1] if model.return_sequences else x.shape[:-2]
    assert y.shape == (*lead, model.output_size) and y.dtype == dtype
    assert len(state) == model.num_layers
    arrays = [a for layer in state for a in layer]
    assert all(a.shape == (*x.shape[:-2], model.hidden_size) and a.dtype == dtype for a in arrays)
    if dtype != mx.float16:  # which ends at 65504
        assert all(map(finite, [y, *arrays]))
    if x.ndim == 2 or dtype != mx.float32:
        return
    model.eval()
    i = data.draw(st.integers(0, len(x) - 1))
    varies = isinstance(time_delta, mx.array) and time_delta.ndim == 2
    alone, _ = model(x[i], None, time_delta[i] if varies else time_delta, None if mask is None else mask[i])
    y, _ = model(x, None, time_delta, mask)
    np.testing.assert_allclose(
        np.array(alone), np.array(y[i]), rtol=1e-3, atol=1e-3 * max(1.0, np.abs(y).max())
    )


@given(configurations(), st.data(), ANYTHING)
@settings(max_examples=1000, deadline=None)
def test_a_wrong_argument_of_the_constructor_is_named(configuration, data, value):
    cls, arguments = configuration
    names = list(inspect.signature(cls).parameters)
    name = data.draw(st.sampled_from(names))
    assume(name not in ("num_layers", "backbone_layers") or not isinstance(value, int) or value < 10)
    refusal = None
    try:
        model = cls(**{**arguments, name: value})
    except ValueError as error:
        refusal = str(error)
    event("refused" if refusal else "taken")
    if refusal:
        assert name in refusal and refusal.startswith(tuple(names)), (name, refusal)
        return
    sizes = [a.size for a in model.layers[0].parameters().values() if isinstance(a, mx.array)]
    assume(max([model.input_size, model.hidden_size, model.config["backbone_units"], *sizes]) < 1000)
    assume(max(model.num_layers, model.config.get("ode_unfolds", 1), model.config["backbone_layers"]) < 6)
    assume(model.output_size < 1000)
    y, _ = model(mx.ones((2, 3, model.input_size)))
    assert finite(y) or model.config.get("stability", "bounded") != "bounded" or "initializer" in name


def arrays_like(x, state, time_delta, mask):
    """Arguments of a call, each perhaps not what it should be."""
    shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
    dtypes = st.sampled_from(
        [mx.float32, mx.float16, mx.bfloat16, mx.int32, mx.uint8, mx.bool_, mx.complex64, mx.int64]
    )
    strange = st.one_of(
        ANYTHING,
        st.builds(lambda shape, dtype: mx.ones(shape, dtype=dtype), shapes, dtypes),
        st.just(np.ones((2, 3), dtype=np.float32)),
        st.just([[1.0, 2.0]]),
        dtypes.map(x.astype),
        st.just(x[..., :0]),
        st.just(x[:0]),
        st.just(x[None]),
    )
    states = st.one_of(
        strange,
        st.just(state),
        st.just(state[:-1]),
        st.just([*state, state[0]]),
        st.just([layer[:-1] for layer in state]),
        st.just([(*layer, layer[0]) for layer in state]),
        st.just([tuple(a[..., :-1] for a in layer) for layer in state]),
        st.just([list(layer) for layer in state]),
        st.just([None for _ in state]),
        st.just([tuple(np.array(a) for a in layer) for layer in state]),
        dtypes.map(lambda dtype: [tuple(a.astype(dtype) for a in layer) for layer in state]),
    )
    return st.sampled_from(["x", "state", "time_delta", "mask"]).flatmap(
        lambda name: st.tuples(
            st.just({"x": x, "state": None, "time_delta": time_delta, "mask": mask}),
            st.just(name),
            states if name == "state" else strange,
        )
    )


@given(configurations(), st.data())
@settings(max_examples=600, deadline=None)
def test_a_wrong_argument_of_a_call_is_named(configuration, data):
    cls, arguments = configuration
    model = cls(**arguments)
    x, time_delta, mask = data.draw(inputs(model.input_size))
    _, state = model(x)
    call, name, value = data.draw(arrays_like(x, state, time_delta, mask))
    if name == "time_delta" and isinstance(value, int | float):
        assume(0 <= value <= 1e6)  # values of time steps are checked where data enters
    refusal = None
    try:
        y, _ = model(**{**call, name: value})
        mx.eval(y)
    except ValueError as error:
        refusal = str(error)
    event(f"{name} {'refused' if refusal else 'taken'}")
    if refusal:
        named = refusal.split(" ", 1)[0]
        # Another x may have other steps, which the time steps and the mask then do not fit.
        assert named == name or (name == "x" and named in ("time_delta", "mask")), (name, refusal)
    else:
        assert finite(y) or x.dtype == mx.float16


@given(configurations(), st.data())
@settings(max_examples=150, deadline=None)
def test_gradients_of_finite_input_are_finite(configuration, data):
    cls, arguments = configuration
    model = cls(**arguments)
    x, time_delta, mask = data.draw(inputs(model.input_size))

    def loss(parameters, x):
        model.update(parameters)
        return mx.square(model(x, None, time_delta, mask)[0]).sum()

    value, (of_parameters, of_x) = mx.value_and_grad(loss, argnums=(0, 1))(model.parameters(), x)
    assert finite(value) and finite(of_x)
    assert all(map(finite, leaves(of_parameters)))
