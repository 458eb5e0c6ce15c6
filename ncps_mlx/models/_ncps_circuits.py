"""The circuit of a module of ncps (PyTorch), read from the masks with which it computes.

In ncps, making a second model with a wiring changes that wiring's synapses; the first model's masks keep the synapses
it was made with. Only the wiring says which synapses excite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx.wirings._base import Circuit

__all__ = ["cfc_circuit", "ltc_circuit"]

Mask = npt.NDArray[np.bool_]


def ltc_circuit(wiring: Any, synapses: Mask, sensory_synapses: Mask) -> Circuit:
    """The circuit of an LTC, from its masks: synapses between neurons (U, U) and from inputs (D, U)."""
    return Circuit(
        signed(synapses, wiring.adjacency_matrix),
        signed(sensory_synapses, wiring.sensory_adjacency_matrix),
        output_size=wiring.output_dim,
        command_neurons=command_neurons(wiring),
    )


def cfc_circuit(wiring: Any, masks: Sequence[Mask]) -> Circuit:
    """The circuit of a wired CfC: its masks where they cover a synapse, its wiring elsewhere.

    ``masks`` holds each layer's mask of its first head (units, inputs + units). A CfC of ncps returns the last layer's
    state: with a wiring of one layer all units, which are then its motor neurons.
    """
    layers = layers_of(wiring)
    command = command_neurons(wiring)
    if layers != [list(range(wiring.units))] and not command:
        raise ValueError(
            "module must have a wiring of one layer, or of the three layers of NCP (inter, command, motor), got the "
            f"layers {layers}."
        )
    adjacency, sensory = np.array(wiring.adjacency_matrix), np.array(wiring.sensory_adjacency_matrix)
    for i, (mask, neurons) in enumerate(zip(masks, layers, strict=True)):
        sources, matrix = (layers[i - 1], adjacency) if i else (list(range(len(sensory))), sensory)
        block = np.ix_(sources, neurons)
        matrix[block] = signed(mask.T[: len(sources)], matrix[block])
    motor = wiring.output_dim if command else wiring.units
    return Circuit(adjacency, sensory, output_size=motor, command_neurons=command)


def layers_of(wiring: Any) -> list[list[int]]:
    """The neurons of each layer, by their numbers."""
    return [[int(n) for n in wiring.get_neurons_of_layer(i)] for i in range(wiring.num_layers)]


def command_neurons(wiring: Any) -> int:
    """The number of command neurons if the wiring's layers are those of NCP, else 0."""
    layers = layers_of(wiring)
    numbered = [n for layer in reversed(layers) for n in layer] == list(range(wiring.units))
    return len(layers[1]) if len(layers) == 3 and numbered and len(layers[2]) == wiring.output_dim else 0


def signed(synapses: Mask, polarity: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Give existing synapses the wiring's polarity; a synapse that the wiring lacks excites."""
    return np.where(synapses, np.where(np.asarray(polarity) < 0, -1, 1), 0).astype(np.int8)
