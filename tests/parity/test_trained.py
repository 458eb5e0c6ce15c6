"""A model trained in ncps gives the same predictions here, on irregular time steps, for a batch of any size."""

from __future__ import annotations

import mlx.core as mx
import ncps.torch
import ncps.wirings
import numpy as np
import pytest
import torch

from ncps_mlx import from_torch
from tests.against_ncps import assert_close
from tests.parity.live import one_by_one

D, T = 2, 9
EPOCHS = 10

MODELS = {
    "CfC": lambda: ncps.torch.CfC(D, 8, proj_size=1, backbone_units=16),
    "CfC, pure, mixed memory": lambda: ncps.torch.CfC(
        D, 8, proj_size=1, mode="pure", mixed_memory=True, backbone_units=16
    ),
    "CfC, AutoNCP": lambda: ncps.torch.CfC(D, ncps.wirings.AutoNCP(12, 1)),
    "CfC, NCP, mixed memory": lambda: ncps.torch.CfC(
        D, ncps.wirings.NCP(6, 4, 1, 3, 2, 3, 2), mixed_memory=True
    ),
    "LTC": lambda: ncps.torch.LTC(D, 8),
    "LTC, NCP": lambda: ncps.torch.LTC(D, ncps.wirings.NCP(6, 4, 1, 3, 2, 3, 2)),
    "LTC, clipped": lambda: ncps.torch.LTC(
        D, ncps.wirings.AutoNCP(12, 1), implicit_param_constraints=False, mixed_memory=True
    ),
}


def decaying_sums(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pulses, irregular time steps, and what is left of the pulses as they decay: it takes the time steps to tell."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, T, D))
    time_delta = rng.exponential(1.0, size=(count, T))
    y, level = np.zeros((count, T, 1)), np.zeros(count)
    for t in range(T):
        level = level * np.exp(-time_delta[:, t]) + x[:, t, 0]
        y[:, t, 0] = level
    x, time_delta, y = (torch.tensor(array, dtype=torch.float32) for array in (x, time_delta, y))
    return x, time_delta, y


def train(module: torch.nn.Module) -> tuple[float, float]:
    """Train one sequence at a time, as ncps needs for time steps of their own; return the first loss and the last."""
    x, time_delta, y = decaying_sums(6, seed=0)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        predicted = one_by_one(module, x, time_delta, [])[0][..., :1]
        loss = torch.nn.functional.mse_loss(predicted, y)
        loss.backward()
        optimizer.step()
        if isinstance(module, ncps.torch.LTC):
            module.rnn_cell.apply_weight_constraints()
        losses.append(loss.item())
    return losses[0], losses[-1]


@pytest.mark.parametrize("name", MODELS)
def test_predictions_after_training_are_the_same(name):
    torch.manual_seed(0)
    module = MODELS[name]()
    first, last = train(module)
    assert last < 0.9 * first
    model = from_torch(module)
    for batch in (5, model.hidden_size):
        x, time_delta, _ = decaying_sums(batch, seed=1)
        with torch.no_grad():
            outputs = one_by_one(module, x, time_delta, [])
        y, (state,) = model(mx.array(x.numpy()), time_delta=mx.array(time_delta.numpy()))
        for actual, expected in zip((y, *state), outputs, strict=True):
            assert_close(actual, expected.numpy())


def test_training_goes_on_here():
    """The gradient is the same, so is plain gradient descent from there on."""
    torch.manual_seed(0)
    module = ncps.torch.LTC(D, ncps.wirings.AutoNCP(12, 1))
    train(module)
    model = from_torch(module)
    x, time_delta, y = decaying_sums(3, seed=2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    given = [mx.array(array.numpy()) for array in (x, time_delta, y)]

    def loss(parameters):
        model.update(parameters)
        return mx.square(model(given[0], time_delta=given[1])[0] - given[2]).mean()

    for _ in range(5):
        optimizer.zero_grad()
        expected = torch.nn.functional.mse_loss(one_by_one(module, x, time_delta, [])[0], y)
        expected.backward()
        optimizer.step()
        parameters = model.parameters()
        actual, gradients = mx.value_and_grad(loss)(parameters)
        model.update(
            {"layers": [{k: v - 0.1 * gradients["layers"][0][k] for k, v in parameters["layers"][0].items()}]}
        )
        assert actual.item() == pytest.approx(expected.item(), abs=1e-5)
