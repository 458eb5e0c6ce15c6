"""Modules of ncps as they were recorded: objects with the same classes, attributes, parameters and wiring.

What ``from_torch`` reads of a module is here, so that the tests need neither torch nor ncps.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

REFERENCE = np.load(Path(__file__).with_name("ncps.npz"))


class Tensor:
    """An array with the few methods of a tensor by which one reads it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def detach(self) -> Tensor:
        return self

    cpu = float = detach

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def numpy(self) -> np.ndarray:
        return self.array


class Part:
    """A module of torch: its children lie in their order."""

    def __iter__(self):
        return (child for child in vars(self).values() if isinstance(child, Part))


def described(name: str) -> dict[str, Any]:
    """What was recorded of a case's structure."""
    structure: dict[str, Any] = json.loads(str(REFERENCE[f"{name}/structure"]))
    return structure


def by_name(name: str, kind: str) -> dict[str, np.ndarray]:
    """All ``"parameters"`` of a case, or their ``"gradients"``, by the names of ncps."""
    shapes = described(name)["parameters"]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])
    pieces = np.split(REFERENCE[f"{name}/{kind}"], ends[:-1])
    return {key: piece.reshape(shape) for (key, shape), piece in zip(shapes.items(), pieces, strict=True)}


def rebuild(name: str) -> Any:
    """The module of a case."""
    recorded = described(name)
    parts: dict[str, Any] = {}
    for path, part in recorded["parts"].items():
        module, kind = part["class"]
        parts[path] = type(kind, (Part,), {"__module__": module})()
        vars(parts[path]).update(part["attributes"])
        if path:
            parent, _, own = path.rpartition(".")
            setattr(parts[parent], own, parts[path])
    for path, array in by_name(name, "parameters").items():
        parent, _, own = path.rpartition(".")
        setattr(parts[parent], own, Tensor(array))
    if recorded["wiring"] is not None:
        plain = recorded["wiring"]
        wiring = SimpleNamespace(**plain, get_neurons_of_layer=plain["layers"].__getitem__)
        wiring.adjacency_matrix = np.array(plain["adjacency_matrix"])
        wiring.sensory_adjacency_matrix = np.array(plain["sensory_adjacency_matrix"])
        for owner, attribute in (("", "wiring"), ("", "_wiring"), ("rnn_cell", "_wiring")):
            setattr(parts[owner], attribute, wiring)
    return parts[""]
