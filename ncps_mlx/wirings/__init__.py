"""Wirings: recipes for sparse, reproducible circuits, all of whose synapses are drawn from one seed.

A wiring is immutable and does not depend on the inputs; ``wiring.build(input_size)`` returns a
:class:`~ncps_mlx.wirings.Circuit`, always the same one. With the same arguments, seed and number of inputs it has the
synapses of ncps 1.0.1. :doc:`/models/wirings` shows what each argument does.

Example:
    >>> wiring = AutoNCP(19, 4, seed=7)
    >>> circuit = wiring.build(5)
    >>> circuit
    Circuit(input_size=5, units=19, output_size=4, sensory_synapse_count=22, synapse_count=44)
    >>> circuit == wiring.build(5)
    True
"""

from ncps_mlx.wirings._base import Circuit, Wiring
from ncps_mlx.wirings._ncp import NCP, AutoNCP
from ncps_mlx.wirings._simple import FullyConnected, Random

__all__ = ["AutoNCP", "Circuit", "FullyConnected", "NCP", "Random", "Wiring"]
