"""The custom gradient of an LTC layer, dense and wired, equals automatic differentiation."""

from __future__ import annotations

import itertools
import math
import shutil
from contextlib import nullcontext

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

# Private: a custom gradient and the automatic one are equal, so only faults planted in its code tell them apart.
import ncps_mlx._kernels.ltc_solver
from ncps_mlx import LTC, AutoNCP, FullyConnected, Random
from ncps_mlx._kernels.custom_vjp import no_grad, precompute
from ncps_mlx._kernels.native import _compile, calls, native_layers
from ncps_mlx.cells import Cell
from ncps_mlx.cells._stack import dropout_masks
from ncps_mlx.training._population import stack_parameters
from tests.native import QUICK, compiled_anew, needs_native

B, T, D, H = 5, 7, 3, 11

KINDS = {
    "dense": {"hidden_size": H},
    "sigmoid": {"hidden_size": H, "activation": "sigmoid"},
    "clip": {"hidden_size": H, "stability": "clip", "activation": "relu"},
    "backbone": {"hidden_size": H, "backbone_layers": 1, "backbone_units": 13},
    "deep": {"hidden_size": H, "backbone_layers": 3, "backbone_units": 13, "activation": "lecun_tanh"},
    "ncp": {"wiring": AutoNCP(H, 4, seed=1)},
    "random": {"wiring": Random(H, 4, sparsity_level=0.7, seed=2), "input_mapping": "none"},
    "full": {"wiring": FullyConnected(H), "output_mapping": "linear"},
}


def case(kind, *, varying=True, masked=False, members=None, unfolds=3, rate=0.0):
    """A cell, and its parameters, inputs, first state, time steps, mask and dropout masks."""
    models = [LTC(D, seed=seed, ode_unfolds=unfolds, **KINDS[kind]) for seed in range(members or 1)]
    cell = models[0].layers[0]
    leading = (members,) if members else ()
    parameters = stack_parameters(models)["layers"][0] if members else cell.trainable_parameters()
    rng = np.random.default_rng(0)

    def draw(*shape):
        return mx.array(rng.normal(size=(*leading, *shape)).astype(np.float32))

    x, h = draw(T, B, D), draw(B, H)
    dt = mx.abs(draw(T, B, 1)) if varying else 0.7
    mask = mx.array(rng.random((*leading, T, B, 1)) < 0.6) if masked else None
    keys = mx.array(rng.integers(0, 2**32, size=(*leading, 2), dtype=np.uint32))
    layers, units = cell.dropout_shape
    dropout = dropout_masks(keys, rate, layers, (T, B, units)) if rate else []
    return cell, parameters, x, h, dt, mask, dropout


def gradients(run, cell, parameters, x, h, dt, mask, dropout, *, sequences, native=False):
    """The loss and its gradients; ``native``: in C, with the forward pass in advance, as in training."""

    def loss(parameters, x, h, dt):
        cell.update(parameters)
        y, (last,) = run(x, (h,), dt, mask, dropout, sequences=sequences)
        own = y.shape[-3 if sequences else -2 :]  # of each member the same
        first = (mx.sin(mx.arange(math.prod(own)).reshape(own)) * y).sum()
        return first + (mx.cos(mx.arange(B * H).reshape(B, H)) * mx.square(last)).sum()

    wanted = (0, 1, 2, 3) if isinstance(dt, mx.array) else (0, 1, 2)
    with native_layers(native), precompute(lambda: loss(parameters, x, h, dt)) if native else nullcontext():
        value, found = mx.value_and_grad(loss, argnums=wanted)(parameters, x, h, dt)
    return value, tree_flatten(found)


def compare(kind, *, sequences=True, native=False, **settings):
    cell, *arrays = case(kind, **settings)
    value, want = gradients(
        lambda *args, **kwargs: Cell.run(cell, *args, **kwargs), cell, *arrays, sequences=sequences
    )
    before = calls.copy()
    fused, got = gradients(cell.run, cell, *arrays, sequences=sequences, native=native)
    assert sum((calls - before).values()) == 2 * native
    np.testing.assert_allclose(fused.item(), value.item(), rtol=1e-5, atol=1e-5)
    assert [name for name, _ in want] == [name for name, _ in got]
    for (name, a), (_, b) in zip(want, got, strict=True):
        scale = max(1.0, float(mx.max(mx.abs(a)).item()))
        np.testing.assert_allclose(np.array(b) / scale, np.array(a) / scale, atol=5e-6, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("varying", "masked", "sequences"), list(itertools.product([False, True], repeat=3))
)
def test_gradients_equal_automatic_ones(kind, varying, masked, sequences):
    compare(kind, varying=varying, masked=masked, sequences=sequences)


@pytest.mark.parametrize("kind", ["dense", "deep", "ncp", "full"])
@pytest.mark.parametrize("masked", [False, True])
def test_populations(kind, masked):
    compare(kind, members=4, masked=masked)


@pytest.mark.parametrize("kind", ["backbone", "deep"])
@pytest.mark.parametrize("members", [None, 4])
def test_dropout(kind, members):
    compare(kind, masked=True, members=members, rate=0.3)


def test_one_unfold():
    compare("ncp", unfolds=1)
    compare("dense", unfolds=1)


@pytest.mark.parametrize("kind", ["dense", "backbone", "ncp"])
@pytest.mark.parametrize("fault", ["weight_gradient", "transposed", "slopes", "sum_unfolds"])
def test_a_planted_fault_is_seen(monkeypatch, kind, fault):
    solver = ncps_mlx._kernels.ltc_solver.Synapses if kind == "ncp" else ncps_mlx._kernels.ltc_solver.DenseGate
    place = solver if hasattr(solver, fault) else ncps_mlx._kernels.ltc_solver
    right = getattr(place, fault)

    def wrong(*args):
        found = right(*args)
        return (1.01 * found[0], found[1]) if fault == "slopes" else 1.01 * found

    monkeypatch.setattr(place, fault, wrong)
    with pytest.raises(AssertionError):
        compare(kind)


# The layers in C


@needs_native
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("varying", "masked", "sequences"), list(itertools.product([False, True], repeat=3))
)
def test_gradients_in_c_equal_automatic_ones(kind, varying, masked, sequences):
    compare(kind, native=True, varying=varying, masked=masked, sequences=sequences)


@needs_native
@pytest.mark.parametrize("masked", [False, True])
def test_populations_in_c(masked):
    compare("ncp", native=True, members=4, masked=masked)
    compare("full", native=True, members=2, masked=masked, unfolds=1)
    compare("deep", native=True, members=4, masked=masked, unfolds=1)


@needs_native
@pytest.mark.parametrize("kind", ["backbone", "deep"])
@pytest.mark.parametrize("members", [None, 4])
def test_dropout_in_c(kind, members):
    compare(kind, native=True, masked=True, members=members, rate=0.3)


@needs_native
@pytest.mark.parametrize("batch", [1, 16, 33])
def test_batches_of_any_size(monkeypatch, batch):
    """C takes a wired layer's in blocks of vectors, a dense one's weight gradients in chunks of steps."""
    monkeypatch.setattr("tests.test_ltc_kernel.B", batch)
    compare("backbone", native=True, masked=True)
    compare("ncp", native=True, masked=True)
    compare("ncp", native=True, varying=False, sequences=False)


@needs_native
@pytest.mark.parametrize("flags", [["-march=x86-64"], ["-mavx2", "-mfma", "-mno-avx512f"]])
def test_every_width_of_vectors(monkeypatch, tmp_path, flags):
    """This processor's own is what the other tests use."""
    if _compile.platform.machine() != "x86_64":
        pytest.skip("these are of x86-64")
    if "-mavx2" in flags and "avx2" not in _compile.processor():
        pytest.skip("this processor has no AVX2")
    monkeypatch.setattr("tests.test_ltc_kernel.B", 21)
    with compiled_anew(monkeypatch, tmp_path, flags=lambda: (*QUICK, *flags)):
        compare("ncp", native=True, masked=True)
        compare("random", native=True, varying=False, members=2)
        compare("deep", native=True, masked=True)


@needs_native
@pytest.mark.parametrize(("masked", "varying"), [(True, True), (False, False)])
@pytest.mark.parametrize(("kind", "rate"), [("ncp", 0.0), ("dense", 0.0), ("deep", 0.3)])
def test_members_in_c_equal_lone_runs_bit_for_bit(kind, rate, masked, varying):
    cell, *arrays = case(kind, masked=masked, varying=varying, members=4, rate=rate)

    def predict(parameters, x, h, dt, mask, dropout):
        cell.update(parameters)
        with native_layers(True), no_grad():
            return cell.run(x, (h,), dt, mask, dropout, sequences=True)

    _, together = gradients(cell.run, cell, *arrays, sequences=True, native=True)
    predicted = tree_flatten(predict(*arrays))
    for i in range(4):
        one = [tree_map(lambda a, i=i: a[i] if isinstance(a, mx.array) else a, each) for each in arrays]
        _, alone = gradients(cell.run, cell, *one, sequences=True, native=True)
        for (name, a), (_, b) in zip(
            [*together, *predicted], [*alone, *tree_flatten(predict(*one))], strict=True
        ):
            assert mx.array_equal(a[i], b).item(), name


WIRED_FAULTS = [
    ("w->state[at] = c * above", "w->state[at] = splat(1.01f) * c * above"),
    ("times_x += d * from[i]", "times_x += splat(1.01f) * d * from[i]"),
    ("by_q += y * of_q[i]", "by_q += splat(1.01f) * y * of_q[i]"),
    ("of_times[i] += above * p[at]", "of_times[i] += splat(1.01f) * above * p[at]"),
    ("of_c += above * state[at] + below", "of_c += splat(1.01f) * (above * state[at] + below)"),
    ("to[i] += rate * d", "to[i] += splat(1.01f) * rate * d"),
]
DENSE_FAULTS = [
    ("w->of_target[j] += time", "w->of_target[j] += splat(1.01f) * time"),
    ("w->of_leak[j] += time", "w->of_leak[j] += splat(1.01f) * time"),
    ("by_time += above * gate", "by_time += splat(1.01f) * above * gate"),
    ("by_inputs[j] += d[j]", "by_inputs[j] += splat(1.01f) * d[j]"),
    ("d[j] *= slope_of", "d[j] *= splat(1.01f) * slope_of"),
]


@needs_native
@pytest.mark.parametrize(
    ("kind", "file", "right", "wrong"),
    [
        *(("ncp", "wired_ltc.c", *fault) for fault in WIRED_FAULTS),
        *(("backbone", "ltc.c", *fault) for fault in DENSE_FAULTS),
    ],
)
def test_a_fault_planted_in_c_is_seen(monkeypatch, tmp_path, kind, file, right, wrong):
    copy = tmp_path / "sources"
    shutil.copytree(_compile.FOLDER, copy)
    source = (copy / file).read_text()
    assert source.count(right) == 1
    (copy / file).write_text(source.replace(right, wrong))
    with compiled_anew(monkeypatch, tmp_path, FOLDER=copy), pytest.raises(AssertionError):
        compare(kind, native=True, masked=True)
    compare(kind, native=True, masked=True)
