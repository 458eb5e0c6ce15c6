"""The child that trains ncps on PyTorch, with one thread."""

from __future__ import annotations

from typing import Any

import ncps.torch
import torch

from tests.bench.child import Case, serve

torch.set_num_threads(1)


def step(*, inputs: int, hidden: int, backbone: int, steps: int, batch: int) -> Case:
    """Adam on the mean squared error of the last step's output, as ncps's own examples train."""
    torch.manual_seed(0)
    model = ncps.torch.CfC(inputs, hidden, proj_size=1, backbone_units=backbone, return_sequences=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(batch, steps, inputs), torch.randn(batch, 1)

    def take(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            predicted, _ = model(x)
            loss = torch.nn.functional.mse_loss(predicted, y)
            loss.backward()
            optimizer.step()

    return take


def facts() -> dict[str, Any]:
    """Versions."""
    return {"torch": torch.__version__.partition("+")[0], "ncps": "1.0.1"}


if __name__ == "__main__":
    serve({"step": step}, facts)
