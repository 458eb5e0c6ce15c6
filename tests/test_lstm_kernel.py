"""The custom gradient of an LSTM step before a cell's equals automatic differentiation, for every cell."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

# Private: a custom gradient and the automatic one are equal, so only faults planted in its code tell them apart.
import ncps_mlx._kernels.cfc_scan
import ncps_mlx._kernels.lstm
import ncps_mlx._kernels.wired_cfc
from ncps_mlx import LTC, AutoNCP, CfC, FullyConnected, Random, tanh_implementation
from ncps_mlx.cells import Cell, MixedMemory
from ncps_mlx.cells._base import FusedCell
from ncps_mlx.cells._stack import dropout_masks
from ncps_mlx.models import RecurrentModel
from ncps_mlx.training._population import stack_parameters

B, T, D, H, U = 5, 7, 3, 11, 13

KINDS: dict[str, tuple[type[CfC] | type[LTC], dict[str, Any]]] = {
    "cfc": (CfC, {"hidden_size": H, "backbone_units": U}),
    "no_gate": (CfC, {"hidden_size": H, "backbone_units": U, "mode": "no_gate", "backbone_layers": 3}),
    "pure": (CfC, {"hidden_size": H, "backbone_units": U, "mode": "pure"}),
    "bare": (CfC, {"hidden_size": H, "backbone_layers": 0}),
    "cfc-ncp": (CfC, {"wiring": AutoNCP(H, 4, seed=1)}),
    "pure-ncp": (CfC, {"wiring": AutoNCP(H, 4, seed=1), "mode": "pure"}),
    "no_gate-random": (CfC, {"wiring": Random(H, 4, sparsity_level=0.5), "mode": "no_gate"}),
    "ltc": (LTC, {"hidden_size": H, "ode_unfolds": 3}),
    "ltc-backbone": (LTC, {"hidden_size": H, "backbone_layers": 1, "backbone_units": U, "ode_unfolds": 2}),
    "ltc-ncp": (LTC, {"wiring": AutoNCP(H, 4, seed=1), "ode_unfolds": 3}),
    "ltc-full": (LTC, {"wiring": FullyConnected(H), "ode_unfolds": 1}),
}
SETTINGS = list(itertools.product([False, True], repeat=3))


def build(kind: str, seed: int = 0) -> RecurrentModel:
    cls, settings = KINDS[kind]
    return cls(D, mixed_memory=True, seed=seed, **settings)


def found(
    kind: str,
    double: bool,
    *,
    masked: bool,
    varying: bool,
    sequences: bool,
    rate: float = 0.0,
    members: int = 0,
) -> Any:
    """A loss and its gradients by parameters, inputs, state, memory, time steps: automatic in float64, or custom."""
    cell = build(kind).layers[0]
    assert isinstance(cell, MixedMemory) and isinstance(cell.cell, FusedCell) and cell.cell.has_fused_kernel
    leading = (members,) if members else ()
    models = [build(kind, seed) for seed in range(members or 1)]
    parameters = stack_parameters(models)["layers"][0] if members else cell.trainable_parameters()
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> mx.array:
        return mx.array(rng.normal(size=(*leading, *shape)).astype(np.float32))

    x, h, c = draw(T, B, D), draw(B, H), draw(B, H)
    dt: Any = mx.abs(draw(T, B, 1)) if varying else 0.7
    mask = mx.array(rng.random((*leading, T, B, 1)) < 0.6) if masked else None
    keys = mx.array(rng.integers(0, 2**32, size=(*leading, 2), dtype=np.uint32))
    count, units = cell.dropout_shape
    dropout = dropout_masks(keys, rate, count, (T, B, units)) if rate and count else []

    def loss(parameters: Any, x: mx.array, h: mx.array, c: mx.array, dt: Any) -> mx.array:
        cell.update(parameters)
        run: Any = Cell.run if double else MixedMemory.run
        y, (last, memory) = run(cell, x, (h, c), dt, mask, dropout, sequences=sequences)
        weights = mx.cos(mx.arange(last.size).reshape(last.shape))
        of_state = (weights * mx.square(last)).sum() + (mx.sin(weights) * mx.square(memory)).sum()
        total: mx.array = of_state + (mx.sin(mx.arange(y.size).reshape(y.shape)) * y).sum()
        return total

    arguments = [parameters, x, h, c, dt]
    if double:

        def doubled(array: Any) -> Any:
            return array.astype(mx.float64) if isinstance(array, mx.array) else array

        arguments, dropout = tree_map(doubled, arguments), [doubled(each) for each in dropout]
    want_value, slopes = mx.value_and_grad(loss, argnums=tuple(range(5 if varying else 4)))(*arguments)
    pairs: Any = tree_flatten(slopes)
    return np.array(want_value), [(name, np.array(array)) for name, array in pairs]


def compare(kind: str, **settings: Any) -> None:
    with mx.stream(mx.cpu):  # the only device that has float64
        want_value, want = found(kind, True, **settings)
    got_value, got = found(kind, False, **settings)
    np.testing.assert_allclose(got_value, want_value, rtol=1e-5, atol=2e-5)
    assert [name for name, _ in want] == [name for name, _ in got]
    for (name, a), (_, b) in zip(want, got, strict=True):
        scale = max(1.0, float(np.abs(a).max()))
        np.testing.assert_allclose(b / scale, a / scale, atol=2e-5, rtol=0, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("masked", "varying", "sequences"), SETTINGS)
def test_gradients_equal_automatic_ones(kind: str, masked: bool, varying: bool, sequences: bool) -> None:
    compare(kind, masked=masked, varying=varying, sequences=sequences)


@pytest.mark.parametrize("kind", KINDS)
def test_populations(kind: str) -> None:
    compare(kind, masked=True, varying=True, sequences=True, rate=0.3, members=4)


@pytest.mark.parametrize("tanh", ["rational", "exp2", "mlx"])
@pytest.mark.parametrize("kind", ["cfc", "ltc"])
def test_each_tanh(kind: str, tanh: str) -> None:
    with tanh_implementation(tanh):
        compare(kind, masked=True, varying=True, sequences=True)


@pytest.mark.parametrize("kind", ["cfc", "cfc-ncp", "ltc", "ltc-ncp"])
@pytest.mark.parametrize("fault", ["recurrent", "memory", "state"])
def test_a_planted_fault_is_seen(monkeypatch: pytest.MonkeyPatch, kind: str, fault: str) -> None:
    step, gradients = ncps_mlx._kernels.lstm.Backward.step, ncps_mlx._kernels.lstm.Backward.gradients

    def wrong_step(self: Any, t: int, g: mx.array) -> mx.array:
        result = step(self, t, g)
        if fault == "memory":
            self.grad_c = 1.01 * self.grad_c
        return 1.01 * result if fault == "state" else result

    def wrong_gradients(self: Any) -> list[mx.array]:
        grad_z, grad_c, grad_recurrent = gradients(self)
        return [grad_z, grad_c, 1.01 * grad_recurrent if fault == "recurrent" else grad_recurrent]

    monkeypatch.setattr(ncps_mlx._kernels.lstm.Backward, "step", wrong_step)
    monkeypatch.setattr(ncps_mlx._kernels.lstm.Backward, "gradients", wrong_gradients)
    with pytest.raises(AssertionError):
        compare(kind, masked=False, varying=True, sequences=True)


@pytest.mark.parametrize("fault", ["weight_gradient", "gate_slopes", "transposed"])
def test_a_planted_fault_in_a_circuit_is_seen(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    module = ncps_mlx._kernels.cfc_scan if fault == "gate_slopes" else ncps_mlx._kernels.wired_cfc
    right = getattr(module, fault)
    monkeypatch.setattr(module, fault, lambda *args: 1.01 * right(*args))
    with pytest.raises(AssertionError):
        compare("cfc-ncp", masked=False, varying=True, sequences=True)
