"""``Wiring``, a recipe for synapses, and ``Circuit``, the finished synapses.

Shapes: D sensory neurons (the inputs), U neurons (the state).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import as_array
from ncps_mlx._utils.json_values import CONSTRUCTORS, as_config
from ncps_mlx._utils.optional import import_optional
from ncps_mlx._utils.validation import check_int

__all__ = ["Circuit", "Wiring"]

Array = npt.NDArray[Any]

MOST_NEURONS = 2**13
"""The most inputs, and the most neurons, of a circuit, whose synapses are dense matrices."""


def check_neurons(name: str, value: object, *, minimum: int = 1) -> int:
    """Return a number of inputs or neurons that a circuit can have."""
    return check_int(name, value, minimum=minimum, maximum=MOST_NEURONS)


class Wiring(ABC):
    """An immutable recipe that builds a circuit for a number of inputs: the base of all wirings.

    Wirings are equal, with equal hashes, if their class and arguments are equal. One wiring can serve many models.
    Your own wiring is a frozen dataclass that derives from this class and has ``units``, ``output_size`` and
    :meth:`build`; its fields are its arguments. :doc:`/models/wirings` shows one.

    Attributes:
        units: Number of neurons U, the size of the state.
        output_size: Number of motor neurons, the first ones.

    Example:
        >>> from ncps_mlx import AutoNCP
        >>> AutoNCP(8, 2).build(3)
        Circuit(input_size=3, units=8, output_size=2, sensory_synapse_count=6, synapse_count=8)
    """

    units: int
    output_size: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        CONSTRUCTORS[cls.__name__] = cls

    @abstractmethod
    def build(self, input_size: int) -> Circuit:
        """Return the circuit for ``input_size`` inputs; the wiring stays as it is.

        Raises:
            ValueError: ``input_size`` is not a positive integer, or cannot be connected.
        """

    @property
    def config(self) -> dict[str, Any]:
        """The class's ``name`` and its arguments, ready for JSON; :meth:`from_config` makes an equal wiring."""
        return {"name": type(self).__name__} | {name: getattr(self, name) for name in _arguments(type(self))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a wiring from its :attr:`config`; ``Wiring.from_config`` makes one of any class.

        Raises:
            ValueError: The class or an argument is unknown, missing or bad.

        Example:
            >>> from ncps_mlx.wirings import Wiring
            >>> from ncps_mlx import FullyConnected
            >>> FullyConnected(7).config
            {'name': 'FullyConnected', 'units': 7, 'output_size': 7, 'self_connections': True, 'seed': 1111}
            >>> Wiring.from_config(FullyConnected(7).config) == FullyConnected(7)
            True
        """
        known = {name: kind for name, kind in CONSTRUCTORS.items() if issubclass(kind, cls)}
        name = None
        if isinstance(config, Mapping):
            name = config.get("name")
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                f"config must be a dictionary whose name is one of {', '.join(map(repr, sorted(known)))}, "
                f"got {config!r:.200}."
            )
        kind = known[name]
        arguments = {key: value for key, value in config.items() if key != "name"}
        if set(arguments) != set(_arguments(kind)):
            raise ValueError(
                f"config of {name} must hold {', '.join(_arguments(kind))}, got {', '.join(map(str, arguments))}."
            )
        return kind(**arguments)

    def _set(self, **values: Any) -> None:
        """Store the constructor's arguments; afterwards a wiring is frozen."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


@as_config.register
def _(wiring: Wiring) -> dict[str, Any]:
    return wiring.config


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Circuit(Wiring):
    """The synapses of a wiring for a given number of inputs, as read-only arrays.

    Neurons are numbered as in ncps: motor neurons (the output) first, then command, then inter neurons. A circuit is
    itself a wiring, already built: :meth:`build` returns it unchanged. Circuits are equal if all their synapses are.
    How to make your own: :doc:`/models/wirings`.

    Args:
        adjacency: Synapses between neurons (U, U), from row to column: 1 excites, -1 inhibits, 0 is none.
        sensory_adjacency: Synapses from the inputs to the neurons (D, U), in the same way.
        output_size: Number of motor neurons; default: all.
        command_neurons: Number of command neurons; with any, the circuit has three layers (NCP).

    Attributes:
        adjacency: int8 array (U, U), read-only.
        sensory_adjacency: int8 array (D, U), read-only.

    Raises:
        ValueError: A shape or a value is wrong.

    Source:
        Lechner et al., "Neural circuit policies enabling auditable autonomy" (Nature Machine Intelligence, 2020).

    Example:
        >>> from ncps_mlx.wirings import Circuit
        >>> circuit = Circuit([[0, 1], [-1, 0]], [[1, 1], [0, -1], [1, 0]], output_size=1)
        >>> circuit.input_size, circuit.units, circuit.output_size
        (3, 2, 1)
        >>> circuit.neuron_types
        ('motor', 'inter')
        >>> circuit.sensory_synapse_count, circuit.synapse_count
        (4, 2)
        >>> circuit.adjacency[0, 0] = 1
        Traceback (most recent call last):
        ...
        ValueError: assignment destination is read-only
    """

    adjacency: Array
    sensory_adjacency: Array
    output_size: int
    command_neurons: int

    def __init__(
        self,
        adjacency: npt.ArrayLike,
        sensory_adjacency: npt.ArrayLike,
        *,
        output_size: int | None = None,
        command_neurons: int = 0,
    ) -> None:
        synapses = _polarities("adjacency", adjacency)
        units = len(synapses)
        if synapses.shape[1] != units:
            raise ValueError(f"adjacency must be square, got the shape {synapses.shape}.")
        check_neurons("the rows of adjacency", units)
        sensory = _polarities("sensory_adjacency", sensory_adjacency)
        if sensory.shape[1] != units:
            raise ValueError(
                f"sensory_adjacency must have a column for each of the {units} neurons, got the shape {sensory.shape}."
            )
        check_neurons("the rows of sensory_adjacency", len(sensory))
        motor = units if output_size is None else check_int("output_size", output_size)
        if motor > units:
            raise ValueError(f"output_size must be at most the number of neurons ({units}), got {motor}.")
        command = check_int("command_neurons", command_neurons, minimum=0)
        if command and motor + command >= units:
            raise ValueError(
                f"command_neurons must leave at least 1 of {units - motor} neurons as inter neuron, got {command}."
            )
        self._set(
            adjacency=synapses,
            sensory_adjacency=sensory,
            output_size=motor,
            command_neurons=command,
            units=units,
        )

    @property
    def input_size(self) -> int:
        """Number of inputs D, the sensory neurons."""
        return int(self.sensory_adjacency.shape[0])

    @property
    def synapse_count(self) -> int:
        """Number of synapses between neurons, without those from the inputs."""
        return int(np.count_nonzero(self.adjacency))

    @property
    def sensory_synapse_count(self) -> int:
        """Number of synapses from the inputs to the neurons."""
        return int(np.count_nonzero(self.sensory_adjacency))

    @property
    def neuron_types(self) -> tuple[str, ...]:
        """What each of the U neurons is: ``"motor"``, ``"command"`` or ``"inter"``."""
        inter = self.units - self.output_size - self.command_neurons
        return ("motor",) * self.output_size + ("command",) * self.command_neurons + ("inter",) * inter

    @property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Neurons in the order in which a CfC computes them, layer by layer.

        With command neurons: inter, command, motor. Without: one layer of all neurons.

        Example:
            >>> from ncps_mlx import AutoNCP, FullyConnected
            >>> AutoNCP(8, 2).build(3).layers
            ((4, 5, 6, 7), (2, 3), (0, 1))
            >>> FullyConnected(4, 2).build(3).layers
            ((0, 1, 2, 3),)
        """
        if not self.command_neurons:
            return (tuple(range(self.units)),)
        first_inter = self.output_size + self.command_neurons
        starts = ((first_inter, self.units), (self.output_size, first_inter), (0, self.output_size))
        return tuple(tuple(range(*pair)) for pair in starts)

    @property
    def config(self) -> dict[str, Any]:
        """``name`` and arguments, the matrices as lists, ready for JSON."""
        lists = {name: getattr(self, name).tolist() for name in ("adjacency", "sensory_adjacency")}
        return super().config | lists

    def build(self, input_size: int) -> Circuit:
        """Return this circuit, which is already built.

        Raises:
            ValueError: It was built for another number of inputs.

        Example:
            >>> from ncps_mlx.wirings import Circuit
            >>> Circuit([[0]], [[1]]).build(2)
            Traceback (most recent call last):
            ...
            ValueError: input_size must be 1, for which this circuit was built, got 2.
        """
        if check_int("input_size", input_size) != self.input_size:
            raise ValueError(
                f"input_size must be {self.input_size}, for which this circuit was built, got {input_size}."
            )
        return self

    def graph(self) -> Any:
        """Return the circuit as a ``networkx.DiGraph`` (needs the extra ``guide``).

        Nodes are named as in ncps, ``"sensory_0"`` and ``"neuron_0"``; their attribute ``layer`` is
        ``"sensory"``, ``"inter"``, ``"command"`` or ``"motor"``. Edges have the attribute ``polarity``:
        ``"excitatory"`` or ``"inhibitory"``.

        Example:
            >>> from ncps_mlx.wirings import Circuit
            >>> graph = Circuit([[0, 1], [-1, 0]], [[1, 0]], output_size=1).graph()
            >>> graph.nodes["neuron_1"]
            {'layer': 'inter'}
            >>> list(graph.edges(data="polarity"))
            [('sensory_0', 'neuron_0', 'excitatory'), ('neuron_0', 'neuron_1', 'excitatory'),
             ('neuron_1', 'neuron_0', 'inhibitory')]
        """
        graph = import_optional("networkx", "graph()").DiGraph()
        graph.add_nodes_from((f"sensory_{i}", {"layer": "sensory"}) for i in range(self.input_size))
        graph.add_nodes_from((f"neuron_{i}", {"layer": kind}) for i, kind in enumerate(self.neuron_types))
        for source, matrix in (("sensory", self.sensory_adjacency), ("neuron", self.adjacency)):
            for i, j in np.argwhere(matrix):
                polarity = "excitatory" if matrix[i, j] > 0 else "inhibitory"
                graph.add_edge(f"{source}_{i}", f"neuron_{j}", polarity=polarity)
        return graph

    def _key(self) -> tuple[Any, ...]:
        matrices = (self.adjacency.tobytes(), self.sensory_adjacency.tobytes())
        return (*matrices, self.units, self.output_size, self.command_neurons)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Circuit) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(
        self,
    ) -> tuple[Any, ...]:  # copies come from the constructor, so that their arrays are read-only too
        make = partial(Circuit, output_size=self.output_size, command_neurons=self.command_neurons)
        return make, (self.adjacency, self.sensory_adjacency)

    def __repr__(self) -> str:
        names = ("input_size", "units", "output_size", "sensory_synapse_count", "synapse_count")
        return f"Circuit({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


def _arguments(kind: type[Wiring]) -> list[str]:
    """The names of a wiring's arguments: the fields by which it is compared."""
    return [field.name for field in fields(kind) if field.compare]  # type: ignore[arg-type]  # each is a dataclass


def _polarities(name: str, value: npt.ArrayLike) -> Array:
    """Return a matrix of -1, 0 and 1 as int8, in memory that cannot be made writable."""
    array = as_array(name, value)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be a matrix that is not empty, got the shape {array.shape}.")
    if array.dtype.kind not in "iuf" or not np.isin(array, (-1, 0, 1)).all():
        raise ValueError(f"{name} must hold only -1, 0 and 1, got {array.tolist()!r:.80}.")
    return np.frombuffer(array.astype(np.int8).tobytes(), dtype=np.int8).reshape(array.shape)
