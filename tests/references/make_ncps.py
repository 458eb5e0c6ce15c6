"""Record what ncps 1.0.1 computes, for tests/test_parity.py.

Needs torch and ncps, which the project does not install: ``pip install torch ncps==1.0.1`` in an environment
of its own, then ``python tests/references/make_ncps.py``. Writes ``ncps.npz`` beside this file.
"""

from pathlib import Path

import numpy as np
import torch
from cases import CASES, B, D, H, T, U
from ncps.torch import CfC

if __name__ == "__main__":
    arrays: dict[str, np.ndarray] = {}
    torch.manual_seed(0)
    x = torch.randn(B, T, D)
    time_delta = torch.rand(B, T) * 3
    arrays["x"], arrays["time_delta"] = x.numpy(), time_delta.numpy()
    for name, case in CASES.items():
        model = CfC(D, H, backbone_units=U, backbone_dropout=0.0, return_sequences=True, **case)
        own = x.clone().requires_grad_(True)
        # One sequence at a time: with time steps per sample ncps fails for B != H, and is wrong for B = H.
        pairs = [model(own[i : i + 1], timespans=time_delta[i : i + 1]) for i in range(B)]
        y, h = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        torch.square(y).sum().backward()
        arrays[f"{name}/y"] = y.detach().numpy()
        arrays[f"{name}/h"] = h.detach().numpy()
        arrays[f"{name}/gradient of x"] = own.grad.numpy()
        for key, parameter in model.named_parameters():
            arrays[f"{name}/p/{key}"] = parameter.detach().numpy()
            if parameter.grad is not None:
                arrays[f"{name}/g/{key}"] = parameter.grad.numpy()
    np.savez_compressed(Path(__file__).with_name("ncps.npz"), **arrays)
