"""The custom gradient of a CfC layer equals automatic differentiation, for every kind of layer."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from contextlib import nullcontext

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

# Private: a custom gradient and the automatic one are equal, so only faults planted in its code tell them apart.
import ncps_mlx._kernels.cfc_scan
from ncps_mlx import CfC
from ncps_mlx._kernels.custom_vjp import no_grad, precompute
from ncps_mlx._kernels.native import _compile, calls, native_layers
from ncps_mlx.cells import Cell, CfCCell
from ncps_mlx.cells._initializers import get_initializer, seeded
from ncps_mlx.cells._stack import dropout_masks
from tests.native import QUICK, compiled_anew, needs_native

B, T, D, H, U = 5, 7, 3, 11, 13


def case(mode="default", layers=1, activation="lecun_tanh", masked=False, varying=True, rate=0.0, leading=()):
    rng = np.random.default_rng(0)
    with seeded(0):
        cell = CfCCell(
            D,
            H,
            mode=mode,
            activation=activation,
            initializer=get_initializer(None),
            backbone_units=U,
            backbone_layers=layers,
        )
    parameters = cell.parameters()
    if leading:
        cell.update({})
        parameters = {k: spread(v, leading[0]) for k, v in parameters.items()}

    def draw(*shape):
        return mx.array(rng.normal(size=(*leading, *shape)).astype(np.float32))

    x, h = draw(T, B, D), draw(B, H)
    dt = mx.abs(draw(T, B, 1)) if varying else 0.7
    mask = mx.array(rng.random((*leading, T, B, 1)) < 0.6) if masked else None
    dropout = []
    if rate:
        keys = mx.array(rng.integers(0, 2**32, size=(*leading, 2), dtype=np.uint32))
        dropout = dropout_masks(keys, rate, layers, (T, B, U))
    return cell, parameters, x, h, dt, mask, dropout


def spread(tree, members):
    """Smaller parameters for each member: beyond 1.2 times these, gradients hang on the last bit."""
    if isinstance(tree, dict):
        return {k: spread(v, members) for k, v in tree.items()}
    if isinstance(tree, list):
        return [spread(v, members) for v in tree]
    return mx.stack([tree * (1 - 0.1 * i) for i in range(members)]) if isinstance(tree, mx.array) else tree


def gradients(run, cell, parameters, x, h, dt, mask, dropout, sequences, native=False):
    """The loss and its gradients; ``native``: in C, with the forward pass in advance, as in training."""

    def loss(parameters, x, h, dt):
        cell.update(parameters)
        y, (last,) = run(x, (h,), dt, mask, dropout, sequences=sequences)
        weights = mx.cos(mx.arange(B * H).reshape(B, H))  # of each member the same
        total = (weights * mx.square(last)).sum()
        if sequences:
            total = total + (mx.sin(mx.arange(T * B * H).reshape(T, B, H)) * y).sum()
        return total

    wanted = (0, 1, 2, 3) if isinstance(dt, mx.array) else (0, 1, 2)
    with native_layers(native), precompute(lambda: loss(parameters, x, h, dt)) if native else nullcontext():
        value, found = mx.value_and_grad(loss, argnums=wanted)(parameters, x, h, dt)
    return value, tree_flatten(found)


def compare(sequences, native=False, **settings):
    cell, parameters, *rest = case(**settings)

    def plain(*args, **kwargs):
        return Cell.run(cell, *args, **kwargs)

    with mx.stream(mx.cpu):  # the only device that has float64
        value, want = gradients(plain, cell, *in_float64([parameters, *rest]), sequences)
        want = [(name, np.array(a)) for name, a in want]
    _, single = gradients(plain, cell, parameters, *rest, sequences)
    before = calls.copy()
    fused, got = gradients(cell.run, cell, parameters, *rest, sequences, native)
    assert calls - before == (Counter(["cfc forward", "cfc backward"]) if native else Counter())
    np.testing.assert_allclose(fused.item(), value.item(), atol=2e-5, rtol=1e-5)  # a sum that cancels
    assert [name for name, _ in want] == [name for name, _ in got] == [name for name, _ in single]
    for (name, a), (_, rounded), (_, b) in zip(want, single, got, strict=True):
        scale = max(1.0, float(np.abs(a).max()))
        # Where single precision is worth less than this, no further off than twice automatic differentiation in it.
        own = 2 * float(np.abs(np.array(rounded) - a).max()) / scale
        np.testing.assert_allclose(np.array(b) / scale, a / scale, atol=max(2e-5, own), rtol=0, err_msg=name)


def in_float64(tree):
    """Float arrays in double precision, so that only the rounding of the other side differs."""

    def double(a):
        return a.astype(mx.float64) if isinstance(a, mx.array) and a.dtype == mx.float32 else a

    return tree_map(double, tree)


EVERY_SETTING = pytest.mark.parametrize(
    ("masked", "varying", "rate", "sequences"),
    list(itertools.product([False, True], [False, True], [0.0, 0.3], [False, True])),
)


@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
@pytest.mark.parametrize("layers", [0, 1, 3])
@EVERY_SETTING
def test_gradients_equal_automatic_ones(mode, layers, masked, varying, rate, sequences):
    rate = rate if layers else 0.0
    compare(sequences, mode=mode, layers=layers, masked=masked, varying=varying, rate=rate)


@pytest.mark.parametrize("activation", ["lecun_tanh", "tanh", "relu", "sigmoid", "gelu", "silu"])
@pytest.mark.parametrize("layers", [0, 2])
def test_every_activation(activation, layers):
    compare(True, activation=activation, layers=layers)


@pytest.mark.parametrize("mode", ["default", "pure"])
def test_populations(mode):
    compare(True, mode=mode, layers=2, masked=True, rate=0.3, leading=(4,))


@pytest.mark.parametrize("fault", ["weight_gradient", "gate_slopes", "head_parameter_grads"])
def test_a_planted_fault_is_seen(monkeypatch, fault):
    right = getattr(ncps_mlx._kernels.cfc_scan, fault)

    def wrong(*args):
        found = right(*args)
        return [1.01 * a for a in found] if isinstance(found, list) else 1.01 * found

    monkeypatch.setattr(ncps_mlx._kernels.cfc_scan, fault, wrong)
    with pytest.raises(AssertionError):
        compare(True)


# The layer in C


@needs_native
@pytest.mark.parametrize("mode", ["default", "no_gate"])
@pytest.mark.parametrize("layers", [0, 1, 3])
@EVERY_SETTING
def test_gradients_in_c_equal_automatic_ones(mode, layers, masked, varying, rate, sequences):
    rate = rate if layers else 0.0
    compare(sequences, native=True, mode=mode, layers=layers, masked=masked, varying=varying, rate=rate)


@needs_native
@pytest.mark.parametrize("activation", ["lecun_tanh", "tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("masked", [False, True])
def test_every_activation_in_c(activation, masked):
    compare(True, native=True, activation=activation, layers=2, masked=masked, rate=0.3)
    compare(True, native=True, activation=activation, layers=2, leading=(4,))


@needs_native
@pytest.mark.parametrize("flags", [["-march=x86-64"], ["-mavx2", "-mfma", "-mno-avx512f"]])
def test_every_width_of_vectors(monkeypatch, tmp_path, flags):
    """This processor's own is what the other tests use."""
    if _compile.platform.machine() != "x86_64":
        pytest.skip("these are of x86-64")
    if "-mavx2" in flags and "avx2" not in _compile.processor():
        pytest.skip("this processor has no AVX2")
    with compiled_anew(monkeypatch, tmp_path, flags=lambda: (*QUICK, *flags)):
        for layers, mode, rate in [(0, "default", 0.0), (1, "no_gate", 0.0), (2, "default", 0.3)]:
            compare(True, native=True, mode=mode, layers=layers, masked=True, rate=rate)
            compare(True, native=True, mode=mode, layers=layers, varying=False, rate=rate, leading=(2,))


@needs_native
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(("layers", "masked", "varying", "rate"), [(1, True, True, 0.3), (2, False, False, 0.0)])
def test_members_in_c_equal_lone_runs_bit_for_bit(sequences, layers, masked, varying, rate):
    cell, parameters, x, h, dt, mask, dropout = case(
        layers=layers, masked=masked, varying=varying, rate=rate, leading=(4,)
    )

    def member(array, i):
        return array[i] if isinstance(array, mx.array) else array

    def ahead(parameters, x, h, dt, mask, dropout):
        cell.update(parameters)
        with native_layers(True), no_grad():
            return cell.run(x, (h,), dt, mask, dropout, sequences=sequences)

    arrays = (parameters, x, h, dt, mask, dropout)
    _, together = gradients(cell.run, cell, *arrays, sequences, native=True)
    predicted = ahead(*arrays)
    for i in range(4):
        one = [tree_map(lambda array, i=i: member(array, i), each) for each in arrays]
        _, alone = gradients(cell.run, cell, *one, sequences, native=True)
        for (name, a), (_, b) in zip(together, alone, strict=True):
            assert mx.array_equal(a[i], b).item(), name
        for a, b in zip(tree_flatten(predicted), tree_flatten(ahead(*one)), strict=True):
            assert mx.array_equal(a[1][i], b[1]).item()


@needs_native
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("cfc.c", "d * s * (one - g * g)", "splat(1.01f) * (d * s * (one - g * g))"),
        ("cfc.c", "by_time += of_gate", "by_time += splat(1.01f) * of_gate"),
        ("backbone.h", "== TANH) return splat(1.0f) - y * y;", "== TANH) return splat(1.01f) - y * y;"),
        ("backbone.h", "own[j] += rows", "own[j] += splat(1.01f) * rows"),
        ("backbone.h", "* n->units + k] = scale", "* n->units + k] = 1.01f * scale"),
    ],
)
def test_a_fault_planted_in_c_is_seen(monkeypatch, tmp_path, file, right, wrong):
    copy = tmp_path / "sources"
    shutil.copytree(_compile.FOLDER, copy)
    source = (copy / file).read_text()
    assert source.count(right) == 1
    (copy / file).write_text(source.replace(right, wrong))
    settings = {"layers": 1, "varying": True, "masked": True}
    with compiled_anew(monkeypatch, tmp_path, FOLDER=copy), pytest.raises(AssertionError):
        compare(True, native=True, **settings)
    compare(True, native=True, **settings)


def test_under_vmap_it_is_used_if_the_gradient_is_inside(monkeypatch):
    """``vmap(grad(f))`` uses the custom gradient, ``grad(vmap(f))`` the automatic one; both are right."""
    model, x = CfC(D, H, backbone_units=U, seed=0), mx.random.normal((B, T, D), key=mx.random.key(0))
    stacked = tree_map(lambda a: mx.stack([a, 1.3 * a]), model.parameters())

    def loss(parameters):
        model.update(parameters)
        return mx.square(model(x)[0]).sum()

    def largest(gradient):
        return max(mx.abs(a).max().item() for _, a in tree_flatten(gradient))

    def difference():
        inside = mx.vmap(mx.grad(loss))(stacked)
        around = mx.grad(lambda parameters: mx.vmap(loss)(parameters).sum())(stacked)
        return largest(tree_map(lambda a, b: a - b, inside, around)) / largest(around)

    assert difference() < 1e-5
    right = ncps_mlx._kernels.layout.weight_gradient
    monkeypatch.setattr(ncps_mlx._kernels.cfc_scan, "weight_gradient", lambda *args: 1.01 * right(*args))
    assert difference() > 1e-3
