"""The child that draws what all others train: models of ncps with their counterparts here, and the data.

In a folder: ``member-0.safetensors`` and so on, as this library saves them; ``ncps.pt``, the states of ncps's modules
(not of a dense LTC, which ncps does not have); ``arrays.npz``: this library's parameters by their dotted names, each
(N, ...), the circuit's ``adjacency`` (U, U) and ``sensory_adjacency`` (D, U), and the data: ``x`` (N, B, T, D) and
``y`` (N, B, O), for each member its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncps.torch
import ncps.wirings
import numpy as np
import torch
from mlx.utils import tree_flatten

from ncps_mlx import LTC, from_torch
from tests.bench.child import serve

__all__ = ["OUTPUTS", "module"]

OUTPUTS = {"cfc": 1, "wired": 4, "dense": 1}
"""O, by kind."""


def module(*, kind: str, inputs: int, hidden: int, backbone: int = 0, wiring: str = "", **_: Any) -> Any:
    """A model of ncps, drawn from torch's global seed."""
    if kind == "cfc":
        return ncps.torch.CfC(inputs, hidden, proj_size=1, backbone_units=backbone, return_sequences=False)
    circuit = getattr(ncps.wirings, wiring)(hidden, OUTPUTS[kind])
    return ncps.torch.LTC(inputs, circuit, return_sequences=False)


def draw(*, folder: str, members: int, **model: Any) -> None:
    """Write everything for a model."""
    place, kind = Path(folder), model["kind"]
    if kind == "dense":
        here = [
            LTC(model["inputs"], model["hidden"], output_size=1, return_sequences=False, seed=i)
            for i in range(members)
        ]
    else:
        modules = []
        for i in range(members):
            torch.manual_seed(i)
            modules.append(module(**model))
        torch.save([each.state_dict() for each in modules], place / "ncps.pt")
        here = [from_torch(each) for each in modules]  # type: ignore[misc]
    trees: list[Any] = [dict(tree_flatten(each.parameters())) for each in here]
    arrays: dict[str, Any] = {name: np.stack([np.array(tree[name]) for tree in trees]) for name in trees[0]}
    if here[0].wiring is not None:
        circuit = here[0].wiring.build(model["inputs"])
        arrays |= {"adjacency": circuit.adjacency, "sensory_adjacency": circuit.sensory_adjacency}
    for i, each in enumerate(here):
        each.save(place / f"member-{i}.safetensors")
    rng = np.random.default_rng(0)
    batch = members, model["batch"]
    arrays["x"] = rng.normal(size=(*batch, model["steps"], model["inputs"])).astype(np.float32)
    arrays["y"] = rng.normal(size=(*batch, OUTPUTS[kind])).astype(np.float32)
    np.savez(place / "arrays.npz", **arrays)


if __name__ == "__main__":
    serve({"draw": draw}, dict)
