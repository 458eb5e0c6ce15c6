"""Record what ncps 1.0.1 is and computes, for tests/test_parity.py and tests/test_convert.py.

Needs torch and ncps, which the project does not install: ``pip install torch ncps==1.0.1`` in an environment
of its own, then ``python tests/references/make_ncps.py``. Writes ``ncps.npz`` beside this file, or the file named as
its argument.
"""

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import ncps.torch
import ncps.wirings
import numpy as np
import torch
from cases import CASES, B, D, H, T

PLAIN = (bool, int, float, str, type(None))


def build(case: dict[str, Any]) -> torch.nn.Module:
    """Make the module, with every parameter away from what it begins with."""
    options = dict(case)
    kind, wiring, units = options.pop("model"), options.pop("wiring", None), options.pop("units", H)
    options.pop("time_scale", None)
    if wiring is not None:
        units = getattr(ncps.wirings, wiring[0])(*wiring[1:])
    module = getattr(ncps.torch, kind)(D, units, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    if kind == "LTC":
        module.rnn_cell.apply_weight_constraints()  # without implicit constraints, some weights become 0
    return module.train(options.get("backbone_dropout", 0.0) == 0)


def structure(module: torch.nn.Module) -> dict[str, Any]:
    """Describe each part of a module by its class and plain attributes, and its wiring."""
    known = vars(torch.nn.Module())
    parts = {
        path: {
            "class": [type(part).__module__, type(part).__name__],
            "attributes": {k: v for k, v in vars(part).items() if k not in known and isinstance(v, PLAIN)}
            | {"training": part.training},
        }
        for path, part in module.named_modules()
    }
    wiring = getattr(module, "wiring", getattr(module, "_wiring", None))
    return {
        "parts": parts,
        "parameters": {name: list(parameter.shape) for name, parameter in module.named_parameters()},
        "wiring": None
        if wiring is None
        else {
            "units": wiring.units,
            "output_dim": wiring.output_dim,
            "num_layers": wiring.num_layers,
            "layers": [wiring.get_neurons_of_layer(i) for i in range(wiring.num_layers)],
            "adjacency_matrix": wiring.adjacency_matrix.tolist(),
            "sensory_adjacency_matrix": wiring.sensory_adjacency_matrix.tolist(),
        },
    }


if __name__ == "__main__":
    arrays: dict[str, np.ndarray] = {}
    torch.manual_seed(0)
    x, time_delta = torch.randn(B, T, D), torch.rand(B, T) * 3
    arrays["x"], arrays["time_delta"] = x.numpy(), time_delta.numpy()
    for name, case in CASES.items():
        module = build(case)
        mixed = case.get("mixed_memory", False)
        start = [torch.randn(B, module.state_size) for _ in range(1 + mixed)]
        steps = time_delta * case.get("time_scale", 1.0)
        # In double precision: its own rounding is not what is recorded.
        double = deepcopy(module).double()
        given = [tensor.double().requires_grad_(True) for tensor in (x, steps, *start)]
        own, steps, *first = given
        # One sequence at a time: with time steps per sample ncps fails for B != H, and is wrong for B = H.
        y, last = [], []
        for i in range(B):
            before = tuple(state[i : i + 1] for state in first)
            out, state = double(own[i : i + 1], before if mixed else before[0], timespans=steps[i : i + 1])
            y.append(out)
            last.append(state if mixed else (state,))
        outputs = [torch.cat(y), *(torch.cat(states) for states in zip(*last, strict=True))]
        sum(torch.square(output).sum() for output in outputs).backward()
        for key, tensor in zip("yhc", outputs, strict=False):
            arrays[f"{name}/{key}"] = tensor.detach().float().numpy()
        for i, state in enumerate(start):
            arrays[f"{name}/state {i}"] = state.numpy()
        for key, tensor in zip(("x", "time_delta", "state 0", "state 1"), given, strict=False):
            arrays[f"{name}/gradient of {key}"] = tensor.grad.float().numpy()
        arrays[f"{name}/structure"] = np.array(json.dumps(structure(module)))
        # End to end, in the order of the structure: a file of many small arrays would be mostly headers.
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in double.parameters()]
        arrays[f"{name}/parameters"] = torch.cat([p.detach().flatten() for p in module.parameters()]).numpy()
        arrays[f"{name}/gradients"] = torch.cat([g.flatten() for g in gradients]).float().numpy()
    np.savez_compressed(sys.argv[1] if sys.argv[1:] else Path(__file__).with_name("ncps.npz"), **arrays)
