"""The child that trains on PyTorch, with one thread: ncps, ``torch.func.vmap`` over it, CfCs as one batched model."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.functional import mse_loss

from tests.bench.child import Case, serve
from tests.bench.weights import module

torch.set_num_threads(1)


def modules(folder: str, members: int) -> list[Any]:
    """The models of ncps."""
    model = json.loads((Path(folder) / "model.json").read_text())
    found = []
    for state in torch.load(Path(folder) / "ncps.pt")[:members]:
        each = module(**model)
        if model["kind"] == "wired":
            each.rnn_cell._params = ByName(each.rnn_cell)
        each.load_state_dict(state)
        found.append(each)
    return found


class ByName:
    """The parameters of a cell as ncps looks them up, but those that it has now: for ``functional_call``."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def __getitem__(self, name: str) -> Any:
        return getattr(self.cell, name)


def data(folder: str, members: int) -> tuple[Any, Any]:
    """Inputs (N, B, T, D) and targets (N, B, O)."""
    arrays = np.load(Path(folder) / "arrays.npz")
    x, y = (torch.from_numpy(arrays[name][:members]) for name in "xy")
    return x, y


def trained(
    parameters: Sequence[Any], predict: Callable[[Any], Any], losses: Callable[[], Any], x: Any, members: int
) -> Case:
    """Adam on parameters whose first axis is the population's, or on those of one model.

    Args:
        parameters: Leaves.
        predict: Outputs (N, B, O) of inputs (N, B, T, D).
        losses: Computes gradients into ``.grad``, and gives the losses (N,).
        x: Inputs.
        members: N.
    """
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    with torch.no_grad():
        outputs = predict(x[:1].expand(members, *x.shape[1:])).tolist()
    optimizer.zero_grad()
    found = losses()
    squares = sum(each.grad.reshape(members, -1).square().sum(1) for each in parameters)
    computed = {"outputs": outputs, "losses": found.tolist(), "gradients": torch.as_tensor(squares).sqrt().tolist()}

    def run(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            losses()
            optimizer.step()

    return Case(run, computed)


def one(*, folder: str) -> Case:
    """As ncps's own examples train."""
    (model,) = modules(folder, 1)
    x, y = data(folder, 1)

    def losses() -> Any:
        loss = mse_loss(model(x[0])[0], y[0])
        loss.backward()
        return loss.detach()[None]

    parameters = [each for each in model.parameters() if each.requires_grad]
    return trained(parameters, lambda x: model(x[0])[0][None], losses, x, 1)


def vmapped(*, folder: str, members: int) -> Case:
    """A population of ncps's models, by ``torch.func``."""
    models = modules(folder, members)
    x, y = data(folder, members)
    stacked, buffers = stack_module_state(models)
    learned = {name for name, each in models[0].named_parameters() if each.requires_grad}
    kept = buffers | {name: each.detach() for name, each in stacked.items() if name not in learned}
    parameters = {name: each.detach().requires_grad_() for name, each in stacked.items() if name in learned}
    base = copy.deepcopy(models[0])

    def predict(own: Any, kept: Any, x: Any) -> Any:
        return functional_call(base, {**own, **kept}, (x,))[0]

    gradient = vmap(grad_and_value(lambda own, kept, x, y: mse_loss(predict(own, kept, x), y)))

    def losses() -> Any:
        gradients, found = gradient({name: each.detach() for name, each in parameters.items()}, kept, x, y)
        for name, each in parameters.items():
            each.grad = gradients[name]
        return found

    return trained(list(parameters.values()), lambda x: vmap(predict)(parameters, kept, x), losses, x, members)


def batched(*, folder: str, members: int) -> Case:
    """A population of CfCs as products with a leading axis, written for this one model."""
    arrays = np.load(Path(folder) / "arrays.npz")
    names = ("input_weight", "recurrent_weight", "bias", "weights.0", "biases.0")
    own = [torch.from_numpy(arrays[f"layers.0.backbone.{name}"][:members]).requires_grad_() for name in names]
    readout = [torch.from_numpy(arrays[f"readout.{name}"][:members]).requires_grad_() for name in ("weight", "bias")]
    x, y = data(folder, members)

    def predict(x: Any) -> Any:
        into, recurrent, bias, weights, biases = own
        _, batch, steps, features = x.shape
        rows = x.transpose(1, 2).reshape(members, steps * batch, features)
        z = torch.baddbmm(bias[:, None], rows, into.mT).reshape(members, steps, batch, -1).unbind(1)
        first, second, slope, offset = weights.chunk(4, 1)
        heads = torch.cat([first, second, slope + offset], 1).mT.contiguous()  # all time steps are 1
        first, second, slope, offset = biases.chunk(4, 1)
        base = torch.cat([first, second, slope + offset], 1)[:, None]
        recurrent = recurrent.mT.contiguous()
        h = x.new_zeros(members, batch, recurrent.shape[1])
        for each in z:
            u = 1.7159 * torch.tanh(0.666 * torch.baddbmm(each, h, recurrent))
            f, g, s = torch.baddbmm(base, u, heads).chunk(3, 2)
            f, g = torch.tanh(f), torch.tanh(g)
            h = torch.lerp(f, g, torch.sigmoid(s))
        return torch.baddbmm(readout[1][:, None], h, readout[0].mT)

    def losses() -> Any:
        found = (predict(x) - y).square().mean((1, 2))
        found.sum().backward()
        return found.detach()

    return trained([*own, *readout], predict, losses, x, members)


def facts() -> dict[str, Any]:
    """Versions."""
    return {"torch": torch.__version__.partition("+")[0], "ncps": "1.0.1"}


if __name__ == "__main__":
    serve({"one": one, "vmap": vmapped, "batched": batched}, facts)
