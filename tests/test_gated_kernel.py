"""The custom gradients of GRU and LSTM equal automatic differentiation, in float64."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

# Private: a custom gradient and the automatic one are equal, so only faults planted in its code tell them apart.
import ncps_mlx._kernels.gated
from ncps_mlx import GRU, LSTM, tanh_implementation
from ncps_mlx.cells import Cell
from ncps_mlx.training._population import stack_parameters

B, T, D, H = 5, 7, 3, 11

KINDS: dict[str, tuple[Any, str | None]] = {
    "gru": (GRU, None),
    "gru-input": (GRU, "input"),
    "gru-decay": (GRU, "decay"),
    "lstm": (LSTM, None),
    "lstm-input": (LSTM, "input"),
}


def found(kind: str, double: bool, *, masked: bool, varying: bool, sequences: bool, members: int = 0) -> Any:
    """A loss and its gradients by parameters, inputs, state and time steps: automatic in float64, or custom."""
    cls, time = KINDS[kind]
    models = [cls(D, H, time=time, seed=seed) for seed in range(members or 1)]
    (cell,) = models[0].layers
    assert cell.has_fused_kernel
    leading = (members,) if members else ()
    parameters = stack_parameters(models)["layers"][0] if members else cell.trainable_parameters()
    parameters = tree_map(lambda array: array + 0.1, parameters)  # biases of zero hide what they do
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> mx.array:
        return mx.array(rng.normal(size=(*leading, *shape)).astype(np.float32))

    x, state = draw(T, B, D), [draw(B, H) for _ in range(cell.state_size)]
    dt: Any = mx.abs(draw(T, B, 1)) if varying else 0.7
    mask = mx.array(rng.random((*leading, T, B, 1)) < 0.6) if masked else None

    def loss(parameters: Any, x: mx.array, state: Any, dt: Any) -> mx.array:
        cell.update(parameters)
        run: Any = Cell.run if double else type(cell).run
        y, last = run(cell, x, tuple(state), dt, mask, [], sequences=sequences)
        total: mx.array = (mx.sin(mx.arange(y.size).reshape(y.shape)) * y).sum()
        for i, each in enumerate(last):
            total = total + (mx.cos((i + 1) * mx.arange(each.size).reshape(each.shape)) * mx.square(each)).sum()
        return total

    arguments: Any = [parameters, x, state, dt]
    if double:
        arguments = tree_map(lambda a: a.astype(mx.float64) if isinstance(a, mx.array) else a, arguments)
    value, slopes = mx.value_and_grad(loss, argnums=(0, 1, 2, 3) if varying and time else (0, 1, 2))(*arguments)
    pairs: Any = tree_flatten(slopes)
    return np.array(value), [(name, np.array(array)) for name, array in pairs]


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
@pytest.mark.parametrize(("masked", "varying", "sequences"), list(itertools.product([False, True], repeat=3)))
def test_gradients_equal_automatic_ones(kind: str, masked: bool, varying: bool, sequences: bool) -> None:
    compare(kind, masked=masked, varying=varying, sequences=sequences)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tanh", ["rational", "exp2", "mlx"])
def test_populations_and_every_tanh(kind: str, tanh: str) -> None:
    with tanh_implementation(tanh):
        compare(kind, masked=True, varying=True, sequences=True, members=3)


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = ncps_mlx._kernels.gated.gru_backward
    monkeypatch.setattr(
        ncps_mlx._kernels.gated, "gru_backward", lambda *a: [1.001 * each for each in backward(*a)]
    )
    with pytest.raises(AssertionError):
        compare("gru-decay", masked=True, varying=True, sequences=True)
