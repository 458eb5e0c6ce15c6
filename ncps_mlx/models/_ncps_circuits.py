"""The circuit of a module of ncps (PyTorch), read from its masks: what it computes with, whatever became of its wiring.

In ncps a wiring that a second model is made with has other synapses from then on; the first model's masks are what
it was made with. They do not say which synapses excite: that, the wiring does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx.wirings._base import Circuit

__all__ = ["cfc_circuit", "ltc_circuit"]

Mask = npt.NDArray[np.bool_]


def ltc_circuit(wiring: Any, present: Mask, heard: Mask) -> Circuit:
    """Return the circuit of an LTC.

    Args:
        wiring: An ``ncps.wirings.Wiring``.
        present: Where there are synapses between neurons, (U, U).
        heard: Where there are synapses from inputs, (D, U).

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> wiring = SimpleNamespace(units=2, output_dim=1, num_layers=1, get_neurons_of_layer=lambda i: [0, 1])
        >>> wiring.adjacency_matrix = [[1, -1], [1, 1]]
        >>> wiring.sensory_adjacency_matrix = [[-1, 0]]
        >>> print(ltc_circuit(wiring, np.eye(2) > 0, np.array([[True, True]])).adjacency)
        [[1 0]
         [0 1]]
    """
    return Circuit(
        signed(present, wiring.adjacency_matrix),
        signed(heard, wiring.sensory_adjacency_matrix),
        output_size=wiring.output_dim,
        command_neurons=command_neurons(wiring),
    )


def cfc_circuit(wiring: Any, masks: Sequence[Mask]) -> Circuit:
    """Return the circuit of a wired CfC: what the masks cover as they say, the rest as the wiring says.

    A CfC of ncps returns the last layer's state: all units of a wiring of one layer, which are its motor neurons then.

    Args:
        wiring: An ``ncps.wirings.Wiring``.
        masks: For each layer, which weights of its first head there are, (units, inputs + units).

    Raises:
        ValueError: The wiring's layers are neither one nor NCP's three.
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
        place = np.ix_(sources, neurons)
        matrix[place] = signed(mask.T[: len(sources)], matrix[place])
    motor = wiring.output_dim if command else wiring.units
    return Circuit(adjacency, sensory, output_size=motor, command_neurons=command)


def layers_of(wiring: Any) -> list[list[int]]:
    """The neurons of each layer, by their numbers."""
    return [[int(n) for n in wiring.get_neurons_of_layer(i)] for i in range(wiring.num_layers)]


def command_neurons(wiring: Any) -> int:
    """The number of command neurons of a wiring whose layers are those of NCP, or 0."""
    layers = layers_of(wiring)
    numbered = [n for layer in reversed(layers) for n in layer] == list(range(wiring.units))
    return len(layers[1]) if len(layers) == 3 and numbered and len(layers[2]) == wiring.output_dim else 0


def signed(present: Mask, polarity: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Give the synapses that are there their polarity; one that the wiring does not know excites."""
    return np.where(present, np.where(np.asarray(polarity) < 0, -1, 1), 0).astype(np.int8)
