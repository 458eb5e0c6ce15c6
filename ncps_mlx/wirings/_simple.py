"""``FullyConnected`` and ``Random``: wirings without layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ncps_mlx._utils.validation import check_flag, check_int, check_number
from ncps_mlx.wirings._base import Array, Circuit, Wiring, check_neurons

__all__ = ["FullyConnected", "Random"]


@dataclass(frozen=True, init=False)
class FullyConnected(Wiring):
    """Synapses from every input and every neuron to every neuron; two in three excite.

    The polarities between neurons are drawn before those of the inputs, so they are the same for every number of
    inputs. Pictures: :doc:`/models/wirings`.

    Args:
        units: Number of neurons U, at most 8192.
        output_size: Number of motor neurons; default: all.
        self_connections: Whether each neuron also has a synapse to itself.
        seed: Seed of the polarities (``erev_init_seed`` in ncps).

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> from ncps_mlx import FullyConnected
        >>> FullyConnected(4, 2, self_connections=False).build(3)
        Circuit(input_size=3, units=4, output_size=2, sensory_synapse_count=12, synapse_count=12)
    """

    units: int
    output_size: int
    self_connections: bool
    seed: int

    def __init__(
        self, units: int, output_size: int | None = None, *, self_connections: bool = True, seed: int = 1111
    ) -> None:
        self._set(
            units=check_neurons("units", units),
            output_size=_output_size(output_size, units),
            self_connections=check_flag("self_connections", self_connections),
            seed=check_int("seed", seed, minimum=0),
        )

    def build(self, input_size: int) -> Circuit:
        """Return the circuit for ``input_size`` inputs D, at most 8192.

        Example:
            >>> from ncps_mlx import FullyConnected
            >>> print(FullyConnected(3, seed=3).build(2).sensory_adjacency)
            [[-1 -1  1]
             [ 1  1 -1]]
        """
        D = check_neurons("input_size", input_size)
        rng = np.random.default_rng(self.seed)
        present = np.ones((self.units, self.units), dtype=bool)
        if not self.self_connections:
            np.fill_diagonal(present, False)
        adjacency = np.zeros((self.units, self.units), dtype=np.int8)
        adjacency[present] = _mostly_excitatory(rng, int(present.sum()))
        sensory = _mostly_excitatory(rng, D * self.units).reshape(D, self.units)
        return Circuit(adjacency, sensory, output_size=self.output_size)


@dataclass(frozen=True, init=False)
class Random(Wiring):
    """A given share of all possible synapses, placed at random; two in three excite.

    An input or a neuron may be left without a synapse; in :class:`~ncps_mlx.NCP` none is. Pictures:
    :doc:`/models/wirings`.

    Args:
        units: Number of neurons U, at most 8192.
        output_size: Number of motor neurons; default: all.
        sparsity_level: Share of synapses left out, in [0, 1); 0 connects everything.
        seed: Seed of the synapses and their polarities (``random_seed`` in ncps).

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> from ncps_mlx import Random
        >>> Random(10, 2, sparsity_level=0.75).build(3)
        Circuit(input_size=3, units=10, output_size=2, sensory_synapse_count=8, synapse_count=25)
    """

    units: int
    output_size: int
    sparsity_level: float
    seed: int

    def __init__(
        self, units: int, output_size: int | None = None, *, sparsity_level: float = 0.0, seed: int = 1111
    ) -> None:
        self._set(
            units=check_neurons("units", units),
            output_size=_output_size(output_size, units),
            sparsity_level=check_number("sparsity_level", sparsity_level, low=0, high=1, open_high=True),
            seed=check_int("seed", seed, minimum=0),
        )

    def build(self, input_size: int) -> Circuit:
        """Return the circuit for ``input_size`` inputs D, at most 8192.

        Example:
            >>> from ncps_mlx import Random
            >>> print(Random(4, sparsity_level=0.5).build(3).sensory_adjacency)
            [[ 0  1  0  1]
             [ 1  0  0  0]
             [-1  1  0  1]]
        """
        D = check_neurons("input_size", input_size)
        rng = np.random.default_rng(self.seed)
        adjacency = self._scatter(rng, self.units)
        # ncps draws the polarity of a synapse from an input twice and keeps the second.
        return Circuit(adjacency, self._scatter(rng, D, draws=2), output_size=self.output_size)

    def _scatter(self, rng: np.random.Generator, sources: int, *, draws: int = 1) -> Array:
        """Place synapses from ``sources`` to all units; each polarity is the last of ``draws``."""
        pairs = sources * self.units
        connected = rng.choice(pairs, size=round(pairs * (1 - self.sparsity_level)), replace=False)
        matrix = np.zeros(pairs, dtype=np.int8)
        matrix[connected] = _mostly_excitatory(rng, draws * len(connected))[draws - 1 :: draws]
        return matrix.reshape(sources, self.units)


def _mostly_excitatory(rng: np.random.Generator, count: int) -> Array:
    """Draw polarities, two in three excitatory."""
    return rng.choice(np.array([-1, 1, 1], dtype=np.int8), size=count)


def _output_size(value: int | None, units: int) -> int:
    size = units if value is None else check_int("output_size", value)
    if size > units:
        raise ValueError(f"output_size must be at most units ({units}), got {size}.")
    return int(size)
