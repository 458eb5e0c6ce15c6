"""The custom gradient of an LTC layer, dense and wired, equals automatic differentiation."""

from __future__ import annotations

import itertools

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

# Private: a custom gradient and the automatic one are equal, so only faults planted in its code tell them apart.
import ncps_mlx._kernels.ltc_solver
from ncps_mlx import LTC, AutoNCP, FullyConnected, Random
from ncps_mlx.cells import Cell
from ncps_mlx.cells._stack import dropout_masks
from ncps_mlx.training._population import stack_parameters

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


def compare(kind, *, varying=True, masked=False, sequences=True, members=None, unfolds=3, rate=0.0):
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

    def gradients(run):
        def loss(parameters, x, h, dt):
            cell.update(parameters)
            y, (last,) = run(x, (h,), dt, mask, dropout, sequences=sequences)
            first = (mx.sin(mx.arange(y.size).reshape(y.shape)) * y).sum()
            return first + (mx.cos(mx.arange(last.size).reshape(last.shape)) * mx.square(last)).sum()

        wanted = (0, 1, 2, 3) if varying else (0, 1, 2)
        value, found = mx.value_and_grad(loss, argnums=wanted)(parameters, x, h, dt)
        return value, tree_flatten(found)

    value, want = gradients(lambda *args, **kwargs: Cell.run(cell, *args, **kwargs))
    fused, got = gradients(cell.run)
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
