"""Modules of ncps made from configurations, and what they compute."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import ncps.torch
import ncps.wirings
import numpy as np
import torch

from tests.parity.configurations import Configuration, Wiring


def make_wiring(wiring: Wiring, input_size: int) -> ncps.wirings.Wiring:
    """Make a wiring of ncps."""
    built = getattr(ncps.wirings, wiring.name)(**wiring.arguments)
    if wiring.name == "Wiring":
        rng = np.random.default_rng(wiring.seed)
        built.set_output_dim(wiring.output_dim)
        built.build(input_size)
        for add, sources in ((built.add_synapse, wiring.units), (built.add_sensory_synapse, input_size)):
            for source, target in np.argwhere(rng.random((sources, wiring.units)) < 0.6):
                add(source, target, rng.choice([-1, 1]))
    return built


def make(configuration: Configuration) -> torch.nn.Module:
    """Make a module, with every parameter moved by noise from where ncps puts it."""
    torch.manual_seed(configuration.seed)
    wiring = configuration.wiring
    units = configuration.units if wiring is None else make_wiring(wiring, configuration.input_size)
    kind = getattr(ncps.torch, configuration.model)
    module = kind(configuration.input_size, units, **configuration.options)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += configuration.noise * torch.randn_like(parameter)
    if configuration.model == "LTC":
        module.rnn_cell.apply_weight_constraints()
        if not configuration.options["implicit_param_constraints"]:
            # Clipping may leave a neuron neither capacitance nor leak: its state is then one rounding error by another.
            module.rnn_cell.cm.data.clamp_(min=0.1)
    return module.eval() if configuration.options.get("backbone_dropout") else module


def make_inputs(configuration: Configuration) -> list[np.ndarray | None]:
    """x (B, T, D), time steps (B, T) or ``None``, and the first states (B, H) or none of them."""
    rng = np.random.default_rng(configuration.seed)
    B, T = configuration.batch, configuration.steps
    x = rng.normal(size=(B, T, configuration.input_size)).astype(np.float32)
    scale = configuration.time_scale
    time_delta = None if scale is None else (scale * rng.uniform(0.01, 3.0, size=(B, T))).astype(np.float32)
    count = (1 + configuration.mixed) * configuration.state
    return [x, time_delta, *rng.normal(size=(count, B, configuration.units)).astype(np.float32)]


def one_by_one(
    module: torch.nn.Module, x: torch.Tensor, time_delta: torch.Tensor | None, state: list[torch.Tensor]
) -> list[torch.Tensor]:
    """Run each sequence alone: with time steps per sample ncps fails for B != H, and is wrong for B = H.

    Returns:
        Outputs, h and, with mixed memory, c, the batch first.
    """
    parts = []
    first = module.batch_first
    for i in range(len(x)):
        own = x[i : i + 1] if first else x[i, :, None]
        steps = None if time_delta is None else (time_delta[i : i + 1] if first else time_delta[i, :, None])
        before = tuple(each[i : i + 1] for each in state)
        given = None if not before else before if module.use_mixed else before[0]
        y, last = module(own, given, timespans=steps)
        y = y.transpose(0, 1) if module.return_sequences and not first else y
        parts.append((y, *last) if module.use_mixed else (y, last))
    return [torch.cat(each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Computed:
    """Outputs y, h (and c), and gradients of the sum of their squares."""

    outputs: list[np.ndarray]
    of_given: list[np.ndarray | None]
    of_parameters: dict[str, np.ndarray]


def compute(
    module: torch.nn.Module, given: list[np.ndarray | None], dtype: torch.dtype = torch.float32
) -> Computed:
    """Run a copy of a module one by one in a precision, forward and backward."""
    copy = deepcopy(module).to(dtype)
    tensors = [None if a is None else torch.tensor(a, dtype=dtype, requires_grad=True) for a in given]
    x, time_delta, *state = tensors
    torch.set_default_dtype(dtype)  # of the states that ncps makes
    try:
        outputs = one_by_one(copy, x, time_delta, state)
    finally:
        torch.set_default_dtype(torch.float32)
    sum(output.square().sum() for output in outputs).backward()
    return Computed(
        outputs=[output.detach().numpy() for output in outputs],
        of_given=[None if t is None else gradient(t) for t in tensors],
        of_parameters={name: gradient(p) for name, p in copy.named_parameters()},
    )


def gradient(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's gradient, 0 where nothing depends on it."""
    return np.asarray(torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)


def values(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """All parameters by name."""
    return {name: parameter.detach().numpy().copy() for name, parameter in module.named_parameters()}
