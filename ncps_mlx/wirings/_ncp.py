"""``NCP`` and ``AutoNCP``: sparse, layered wirings after the nervous system of *C. elegans*."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ncps_mlx._utils.validation import check_int, check_number
from ncps_mlx.wirings._base import Array, Circuit, Wiring, check_neurons

__all__ = ["AutoNCP", "NCP"]

LARGEST_SEED = 2**32 - 1
MOST_DRAWS = 2**16
"""The most draws of a recurrent synapse, which are made one by one."""


@dataclass(frozen=True, init=False)
class NCP(Wiring):
    """Neural circuit policy: from inputs to inter neurons, to command neurons with loops among them, to motor neurons.

    No neuron is left out: each inter neuron has a synapse from an input, each command neuron from an inter neuron, each
    motor neuron from a command neuron, and each command neuron one to a motor neuron. Half of the synapses excite. The
    synapses of the inputs are drawn first, so those between neurons also depend on the number of inputs. Pictures:
    :doc:`/models/wirings`.

    Args:
        inter_neurons: Number of inter neurons.
        command_neurons: Number of command neurons.
        motor_neurons: Number of motor neurons, the size of the output. Of all neurons there are at most 8192.
        sensory_fanout: Number of inter neurons that each input is connected to.
        inter_fanout: Number of command neurons that each inter neuron is connected to.
        recurrent_command_synapses: Draws of a synapse between command neurons, at most 65536; two draws may hit the
            same pair.
        motor_fanin: Number of command neurons that are connected to each motor neuron.
        seed: Seed of the synapses and their polarities, below 2**32.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Lechner et al., "Neural circuit policies enabling auditable autonomy" (Nature Machine Intelligence, 2020).

    Example:
        >>> from ncps_mlx import NCP
        >>> wiring = NCP(
        ...     6, 4, 2, sensory_fanout=3, inter_fanout=2, recurrent_command_synapses=5, motor_fanin=3
        ... )
        >>> wiring.units
        12
        >>> wiring.build(5)
        Circuit(input_size=5, units=12, output_size=2, sensory_synapse_count=15, synapse_count=23)
    """

    inter_neurons: int
    command_neurons: int
    motor_neurons: int
    sensory_fanout: int
    inter_fanout: int
    recurrent_command_synapses: int
    motor_fanin: int
    seed: int
    units: int = field(compare=False, repr=False)
    output_size: int = field(compare=False, repr=False)

    def __init__(
        self,
        inter_neurons: int,
        command_neurons: int,
        motor_neurons: int,
        *,
        sensory_fanout: int,
        inter_fanout: int,
        recurrent_command_synapses: int,
        motor_fanin: int,
        seed: int = 22222,
    ) -> None:
        inter = check_neurons("inter_neurons", inter_neurons)
        command = check_neurons("command_neurons", command_neurons)
        motor = check_neurons("motor_neurons", motor_neurons)
        check_neurons("the sum of inter_neurons, command_neurons and motor_neurons", inter + command + motor)
        self._set(
            inter_neurons=inter,
            command_neurons=command,
            motor_neurons=motor,
            sensory_fanout=_at_most("sensory_fanout", sensory_fanout, "inter_neurons", inter),
            inter_fanout=_at_most("inter_fanout", inter_fanout, "command_neurons", command),
            recurrent_command_synapses=check_int(
                "recurrent_command_synapses", recurrent_command_synapses, minimum=0, maximum=MOST_DRAWS
            ),
            motor_fanin=_at_most("motor_fanin", motor_fanin, "command_neurons", command),
            seed=_legacy_seed(seed),
            units=inter + command + motor,
            output_size=motor,
        )

    def build(self, input_size: int) -> Circuit:
        """Return the circuit for ``input_size`` inputs D, at most 8192.

        Example:
            >>> from ncps_mlx import NCP
            >>> wiring = NCP(
            ...     3, 2, 1, sensory_fanout=2, inter_fanout=1, recurrent_command_synapses=1, motor_fanin=2
            ... )
            >>> print(wiring.build(2).sensory_adjacency)  # motor, command and inter neurons from the left
            [[ 0  0  0 -1  0 -1]
             [ 0  0  0  1 -1  0]]
        """
        D = check_neurons("input_size", input_size)
        # The generator of ncps; NumPy promises never to change its stream.
        rng = np.random.RandomState(self.seed)
        inputs, motor = np.arange(D), np.arange(self.motor_neurons)
        command = self.motor_neurons + np.arange(self.command_neurons)
        inter = self.motor_neurons + self.command_neurons + np.arange(self.inter_neurons)
        adjacency = np.zeros((self.units, self.units), dtype=np.int8)
        sensory = np.zeros((D, self.units), dtype=np.int8)
        _connect(rng, sensory, inputs, inter, self.sensory_fanout, most=D)
        # As in ncps, the limit for a command neuron left out is the number of command, not of inter neurons.
        _connect(rng, adjacency, inter, command, self.inter_fanout, most=self.command_neurons)
        for _ in range(self.recurrent_command_synapses):
            source, target = rng.choice(command), rng.choice(command)
            adjacency[source, target] = rng.choice((-1, 1))
        _connect(rng, adjacency.T, motor, command, self.motor_fanin, most=self.motor_neurons)
        return Circuit(
            adjacency, sensory, output_size=self.motor_neurons, command_neurons=self.command_neurons
        )


@dataclass(frozen=True, init=False)
class AutoNCP(Wiring):
    """A neural circuit policy from its size and sparsity alone.

    Of the neurons other than motor neurons, 40 % are command neurons and the rest inter neurons; each fan-out and
    fan-in is the share ``1 - sparsity_level`` of its largest value, at least 1. :attr:`ncp` gives all numbers.
    Pictures: :doc:`/models/wirings`.

    Args:
        units: Number of neurons U, at least ``output_size + 3`` and at most 8192.
        output_size: Number of motor neurons; about 0.3 U is a usual choice.
        sparsity_level: Share of possible synapses left out, in [0, 1].
        seed: Seed of the synapses and their polarities, below 2**32.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> from ncps_mlx import AutoNCP
        >>> AutoNCP(19, 4, sparsity_level=0.0).build(5)
        Circuit(input_size=5, units=19, output_size=4, sensory_synapse_count=45, synapse_count=89)
    """

    units: int
    output_size: int
    sparsity_level: float
    seed: int

    def __init__(
        self, units: int, output_size: int, *, sparsity_level: float = 0.5, seed: int = 22222
    ) -> None:
        units, motor = check_neurons("units", units, minimum=4), check_int("output_size", output_size)
        if motor > units - 3:
            raise ValueError(
                f"output_size must be at most units - 3 ({units - 3}), to leave inter and command neurons, "
                f"got {motor}."
            )
        self._set(
            units=units,
            output_size=motor,
            sparsity_level=check_number("sparsity_level", sparsity_level, low=0, high=1),
            seed=_legacy_seed(seed),
        )

    @property
    def ncp(self) -> NCP:
        """The same wiring with every number given.

        Example:
            >>> from ncps_mlx import AutoNCP
            >>> AutoNCP(19, 4, sparsity_level=0.0).ncp
            NCP(inter_neurons=9, command_neurons=6, motor_neurons=4, sensory_fanout=9, inter_fanout=6,
                recurrent_command_synapses=12, motor_fanin=6, seed=22222)
        """
        density = 1.0 - self.sparsity_level
        command = max(int(0.4 * (self.units - self.output_size)), 1)
        inter = self.units - self.output_size - command
        return NCP(
            inter,
            command,
            self.output_size,
            sensory_fanout=max(int(inter * density), 1),
            inter_fanout=max(int(command * density), 1),
            recurrent_command_synapses=max(int(command * density * 2), 1),
            motor_fanin=max(int(command * density), 1),
            seed=self.seed,
        )

    def build(self, input_size: int) -> Circuit:
        """Return the circuit for ``input_size`` inputs D, at most 8192.

        Example:
            >>> from ncps_mlx import AutoNCP
            >>> AutoNCP(12, 3).build(5) == AutoNCP(12, 3).ncp.build(5)
            True
        """
        return self.ncp.build(input_size)


def _connect(
    rng: np.random.RandomState, matrix: Array, sources: Array, targets: Array, fanout: int, *, most: int
) -> None:
    """Connect each source to ``fanout`` targets; then a target left out to an average number of sources."""

    def polarities(count: int) -> Array:
        return rng.choice((-1, 1), size=count)

    reached: set[int] = set()
    for source in sources:
        ends = rng.choice(targets, size=fanout, replace=False)
        matrix[source, ends] = polarities(fanout)
        reached.update(ends.tolist())
    average = min(max(len(sources) * fanout // len(targets), 1), most)
    for target in [target for target in targets.tolist() if target not in reached]:
        ends = rng.choice(sources, size=average, replace=False)
        matrix[ends, target] = polarities(average)


def _at_most(name: str, value: int, other: str, limit: int) -> int:
    if check_int(name, value) > limit:
        raise ValueError(f"{name} must be at most {other} ({limit}), got {value}.")
    return int(value)


def _legacy_seed(seed: int) -> int:
    if check_int("seed", seed, minimum=0) > LARGEST_SEED:
        raise ValueError(f"seed must be at most {LARGEST_SEED}, got {seed}.")
    return int(seed)
