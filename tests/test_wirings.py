"""Wirings are immutable, say what is wrong with their arguments, and have the synapses of ncps 1.0.1.

Its synapses were recorded by tests/references/make_wirings.py.
"""

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncps_mlx import NCP, AutoNCP, FullyConnected, Random, wirings
from ncps_mlx.wirings import Circuit, Wiring
from tests.references.wiring_cases import CASES

REFERENCE = np.load(Path(__file__).with_name("references") / "wirings.npz")
D, U = 3, 11

untyped: Any = wirings  # for arguments that its types forbid

seeds = st.integers(0, 2**32 - 1)
shares = st.floats(0, 1, exclude_max=True)


def make(name: str, arguments: dict[str, Any]) -> Wiring:
    wiring = getattr(wirings, name)(**arguments)
    assert isinstance(wiring, Wiring)
    return wiring


@st.composite
def ncps(draw: st.DrawFn) -> NCP:
    inter, command, motor = (draw(st.integers(1, most)) for most in (13, 9, 7))
    return NCP(
        inter,
        command,
        motor,
        sensory_fanout=draw(st.integers(1, inter)),
        inter_fanout=draw(st.integers(1, command)),
        recurrent_command_synapses=draw(st.integers(0, 15)),
        motor_fanin=draw(st.integers(1, command)),
        seed=draw(seeds),
    )


@st.composite
def auto_ncps(draw: st.DrawFn) -> AutoNCP:
    units = draw(st.integers(4, 30))
    share = draw(st.floats(0, 1))
    return AutoNCP(units, draw(st.integers(1, units - 3)), sparsity_level=share, seed=draw(seeds))


@st.composite
def flat(draw: st.DrawFn) -> FullyConnected | Random:
    units = draw(st.integers(1, 13))
    motor = draw(st.none() | st.integers(1, units))
    if draw(st.booleans()):
        return FullyConnected(units, motor, self_connections=draw(st.booleans()), seed=draw(seeds))
    return Random(units, motor, sparsity_level=draw(shares), seed=draw(seeds))


every = st.one_of(ncps(), auto_ncps(), flat())
inputs = st.integers(1, 17)


@pytest.mark.parametrize("i", range(len(CASES)), ids=lambda i: f"{i}-{CASES[i][0]}")
def test_synapses_equal_those_of_ncps(i: int) -> None:
    name, arguments, input_size = CASES[i]
    circuit = make(name, arguments).build(input_size)
    for part in ("adjacency", "sensory_adjacency"):
        np.testing.assert_array_equal(getattr(circuit, part), REFERENCE[f"{i}/{part}"])
    assert circuit.neuron_types == tuple(REFERENCE[f"{i}/neuron_types"].tolist())
    starts = np.cumsum(REFERENCE[f"{i}/layer_sizes"])[:-1]
    expected = np.split(REFERENCE[f"{i}/layers"], starts)
    assert circuit.layers == tuple(tuple(layer.tolist()) for layer in expected)
    assert circuit.output_size == REFERENCE[f"{i}/output_size"]
    assert circuit.input_size == input_size


def test_an_auto_ncp_without_sparsity_is_the_ncp_that_ncps_would_make() -> None:
    wiring = AutoNCP(19, 4, sparsity_level=0.0)  # ncps refuses it, though it documents 0.0
    (i,) = [i for i, case in enumerate(CASES) if case[0] == "NCP" and make(*case[:2]) == wiring.ncp]
    assert wiring.build(5) == make(*CASES[i][:2]).build(5)
    assert np.array_equal(wiring.build(5).adjacency, REFERENCE[f"{i}/adjacency"])
    assert np.all(wiring.build(5).sensory_adjacency[:, 10:])


@pytest.mark.parametrize("wiring", [FullyConnected(U, seed=1), Random(U, sparsity_level=0.0, seed=1)])
def test_without_sparsity_every_synapse_is_there(wiring: Wiring) -> None:
    circuit = wiring.build(D)
    assert (circuit.synapse_count, circuit.sensory_synapse_count) == (U * U, D * U)


@settings(deadline=None, max_examples=60)
@given(every, inputs, inputs)
def test_building_again_gives_the_same_and_leaves_the_wiring_as_it_was(
    wiring: Wiring, first: int, other: int
) -> None:
    before = (repr(wiring), hash(wiring), wiring.config)
    circuit = wiring.build(first)
    wiring.build(other)  # in ncps the second build of a wiring adds synapses, or fails
    again = wiring.build(first)
    assert circuit is not again
    assert circuit == again
    assert hash(circuit) == hash(again)
    assert before == (repr(wiring), hash(wiring), wiring.config)


@settings(deadline=None, max_examples=60)
@given(every, inputs)
def test_every_circuit_is_well_formed(wiring: Wiring, input_size: int) -> None:
    circuit = wiring.build(input_size)
    assert circuit.adjacency.shape == (wiring.units, wiring.units)
    assert circuit.sensory_adjacency.shape == (input_size, wiring.units)
    assert (circuit.units, circuit.output_size) == (wiring.units, wiring.output_size)
    for matrix, count in (
        (circuit.adjacency, circuit.synapse_count),
        (circuit.sensory_adjacency, circuit.sensory_synapse_count),
    ):
        assert matrix.dtype == np.int8
        assert set(np.unique(matrix).tolist()) <= {-1, 0, 1}
        assert count == np.abs(matrix).sum()
    assert sorted(n for layer in circuit.layers for n in layer) == list(range(wiring.units))
    motor = [n for n, kind in enumerate(circuit.neuron_types) if kind == "motor"]
    assert motor == list(range(wiring.output_size))
    graph = circuit.graph()
    assert graph.number_of_edges() == circuit.synapse_count + circuit.sensory_synapse_count
    assert all(graph.in_degree(f"sensory_{i}") == 0 for i in range(input_size))


@settings(deadline=None, max_examples=60)
@given(st.one_of(ncps(), auto_ncps()), inputs)
def test_an_ncp_connects_only_layer_to_layer_and_leaves_no_neuron_out(
    wiring: NCP | AutoNCP, input_size: int
) -> None:
    circuit = wiring.build(input_size)
    inter, command, motor = map(list, circuit.layers)
    ncp = wiring if isinstance(wiring, NCP) else wiring.ncp
    assert [len(inter), len(command), len(motor)] == [
        ncp.inter_neurons, ncp.command_neurons, ncp.motor_neurons,
    ]  # fmt: skip
    allowed = np.zeros_like(circuit.adjacency, dtype=bool)
    for sources, targets in ((inter, command), (command, command), (command, motor)):
        allowed[np.ix_(sources, targets)] = True
    assert not circuit.adjacency[~allowed].any()
    assert not circuit.sensory_adjacency[:, command + motor].any()
    assert (np.count_nonzero(circuit.sensory_adjacency, axis=1) >= ncp.sensory_fanout).all()
    assert (np.count_nonzero(circuit.adjacency[np.ix_(inter, command)], axis=1) >= ncp.inter_fanout).all()
    assert (np.count_nonzero(circuit.adjacency[:, motor], axis=0) >= ncp.motor_fanin).all()
    loop = np.count_nonzero(circuit.adjacency[np.ix_(command, command)])
    assert (loop > 0) == (ncp.recurrent_command_synapses > 0)
    assert loop <= ncp.recurrent_command_synapses
    assert circuit.sensory_adjacency[:, inter].any(axis=0).all()  # each inter neuron has a synapse from an input
    assert circuit.adjacency[np.ix_(inter, command)].any(axis=0).all()
    assert circuit.adjacency[np.ix_(command, motor)].any(axis=0).all()
    assert (
        circuit.adjacency[np.ix_(command, motor)].any(axis=1).all()
    )  # each command neuron reaches a motor neuron


@settings(deadline=None, max_examples=60)
@given(every, inputs)
def test_config_round_trips_through_json(wiring: Wiring, input_size: int) -> None:
    circuit = wiring.build(input_size)
    for each in (wiring, circuit):
        config = json.loads(json.dumps(each.config))
        assert config["name"] == type(each).__name__
        for kind in (Wiring, type(each)):
            again = kind.from_config(config)
            assert type(again) is type(each)
            assert again == each
            assert hash(again) == hash(each)
    assert Wiring.from_config(wiring.config).build(input_size) == circuit


@pytest.mark.parametrize("case", [case for case in CASES if "seed" in case[1]], ids=lambda case: case[0])
def test_repr_makes_an_equal_wiring(case: Any) -> None:
    wiring = make(*case[:2])
    kinds = {kind.__name__: kind for kind in (NCP, AutoNCP, FullyConnected, Random)}
    assert eval(repr(wiring), kinds) == wiring


def test_wirings_are_equal_by_class_and_arguments() -> None:
    assert untyped.FullyConnected(5) == untyped.FullyConnected(5, 5, self_connections=True, seed=1111)
    assert untyped.FullyConnected(5) != untyped.FullyConnected(5, seed=1)
    assert untyped.FullyConnected(5) != untyped.Random(5)
    assert untyped.Random(np.int64(5), sparsity_level=0) == untyped.Random(5, sparsity_level=np.float64(0.0))
    assert untyped.AutoNCP(12, 3) != untyped.AutoNCP(12, 3).ncp
    assert len({untyped.AutoNCP(12, 3), untyped.AutoNCP(12, 3, seed=1), untyped.AutoNCP(12, 3)}) == 2
    assert untyped.AutoNCP(12, 3).build(5) == untyped.AutoNCP(12, 3).ncp.build(5)
    assert untyped.AutoNCP(12, 3).build(5) != untyped.AutoNCP(12, 3).build(6)
    assert Circuit([[1]], [[1]]) != "a circuit"
    two = Circuit([[1, 0], [0, 1]], [[1, 1]])
    assert two != Circuit(two.adjacency, two.sensory_adjacency, output_size=1)


@pytest.mark.parametrize("wiring", [FullyConnected(U), Random(U), AutoNCP(U, 2), AutoNCP(U, 2).ncp])
def test_nothing_can_be_changed(wiring: Wiring) -> None:
    circuit = wiring.build(D)
    for each, name in ((wiring, "units"), (circuit, "units"), (circuit, "adjacency")):
        with pytest.raises(FrozenInstanceError):
            setattr(each, name, getattr(each, name))
    for each in (circuit, copy.copy(circuit), copy.deepcopy(circuit), pickle.loads(pickle.dumps(circuit))):
        assert each == circuit
        for matrix in (each.adjacency, each.sensory_adjacency):
            with pytest.raises(ValueError, match="read-only"):
                matrix[0, 0] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                matrix.setflags(write=True)
    assert copy.deepcopy(wiring) == wiring


def test_a_circuit_keeps_no_hold_on_the_arrays_it_is_given() -> None:
    given_array = np.array([[0, 1], [-1, 0]])
    circuit = Circuit(given_array, np.ones((D, 2)), output_size=1)
    given_array[0, 0] = 1
    assert circuit.adjacency.tolist() == [[0, 1], [-1, 0]]
    assert circuit.build(D) is circuit


def test_your_own_wiring_works_like_the_others() -> None:
    @dataclass(frozen=True)
    class Ring(Wiring):
        """A synapse from each neuron to the next."""

        units: int
        output_size: int = 1

        def build(self, input_size: int) -> Circuit:
            ring = np.roll(np.eye(self.units), 1, axis=1)
            return Circuit(ring, np.ones((input_size, self.units)), output_size=self.output_size)

    ring = Ring(5)
    assert Wiring.from_config(ring.config) == ring
    assert replace(ring, units=7).build(3).synapse_count == 7


def test_graph_has_layers_and_polarities() -> None:
    circuit = AutoNCP(12, 3).build(5)
    graph = circuit.graph()
    kinds = [layer for _, layer in graph.nodes(data="layer")]
    assert {kind: kinds.count(kind) for kind in kinds} == {"sensory": 5, "inter": 6, "command": 3, "motor": 3}
    for source, target, polarity in graph.edges(data="polarity"):
        matrix = circuit.sensory_adjacency if source.startswith("sensory") else circuit.adjacency
        i, j = (int(name.partition("_")[2]) for name in (source, target))
        assert matrix[i, j] == {"excitatory": 1, "inhibitory": -1}[polarity]


SIZES: dict[str, Any] = {
    "inter_neurons": 6, "command_neurons": 4, "motor_neurons": 2, "sensory_fanout": 3, "inter_fanout": 2,
    "recurrent_command_synapses": 5, "motor_fanin": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: untyped.FullyConnected(0), "units must be at least 1, got 0"),
        (lambda: untyped.FullyConnected(2.5), "units must be an integer, got 2.5"),
        (lambda: untyped.FullyConnected(True), "units must be an integer, got True"),
        (lambda: untyped.FullyConnected(4, 5), r"output_size must be at most units \(4\), got 5"),
        (lambda: untyped.FullyConnected(4, 0), "output_size must be at least 1, got 0"),
        (
            lambda: untyped.FullyConnected(4, self_connections=1),
            "self_connections must be True or False, got 1",
        ),
        (lambda: untyped.FullyConnected(4, seed=-1), "seed must be at least 0, got -1"),
        (lambda: untyped.FullyConnected(4, seed=None), "seed must be an integer, got None"),
        (lambda: untyped.FullyConnected(4).build(0), "input_size must be at least 1, got 0"),
        (lambda: untyped.Random(4).build(1.0), "input_size must be an integer, got 1.0"),
        (lambda: untyped.Random(4, sparsity_level=1), "sparsity_level must be at least 0 and below 1, got 1"),
        (
            lambda: untyped.Random(4, sparsity_level=-0.1),
            "sparsity_level must be at least 0 and below 1, got -0.1",
        ),
        (
            lambda: untyped.Random(4, sparsity_level=float("nan")),
            "sparsity_level must be a finite number, got nan",
        ),
        (lambda: untyped.AutoNCP(3, 1), "units must be at least 4, got 3"),
        (lambda: untyped.AutoNCP(8, 6), r"output_size must be at most units - 3 \(5\).*got 6"),
        (
            lambda: untyped.AutoNCP(8, 2, sparsity_level=1.5),
            "sparsity_level must be at least 0 and at most 1, got 1.5",
        ),
        (lambda: untyped.AutoNCP(8, 2, seed=2**32), "seed must be at most 4294967295, got 4294967296"),
        (lambda: untyped.AutoNCP(8, 2).build("3"), "input_size must be an integer, got '3'"),
        *(
            (lambda name=name: untyped.NCP(**SIZES | {name: -1}), f"{name} must be at least [01], got -1")
            for name in SIZES
        ),
        (
            lambda: untyped.NCP(**SIZES | {"sensory_fanout": 7}),
            r"sensory_fanout must be at most inter_neurons \(6\), got 7",
        ),
        (
            lambda: untyped.NCP(**SIZES | {"inter_fanout": 5}),
            r"inter_fanout must be at most command_neurons \(4\), got 5",
        ),
        (
            lambda: untyped.NCP(**SIZES | {"motor_fanin": 5}),
            r"motor_fanin must be at most command_neurons \(4\), got 5",
        ),
        (lambda: untyped.NCP(**SIZES).build(-1), "input_size must be at least 1, got -1"),
        (lambda: Circuit([[1, 0]], [[1, 0]]), r"adjacency must be square, got the shape \(1, 2\)"),
        (lambda: Circuit([1, 0], [[1, 0]]), r"adjacency must be a matrix.*got the shape \(2,\)"),
        (lambda: Circuit([[1, 0], [1]], [[1, 0]]), "adjacency must be as long in every row, got rows that differ"),
        (lambda: Circuit([[2]], [[1]]), r"adjacency must hold only -1, 0 and 1, got \[\[2\]\]"),
        (lambda: Circuit([[0]], [[0.5]]), "sensory_adjacency must hold only -1, 0 and 1"),
        (lambda: Circuit([["a"]], [[1]]), "adjacency must hold only -1, 0 and 1"),
        (lambda: Circuit([[1]], np.zeros((0, 1))), r"sensory_adjacency must be a matrix that is not empty"),
        (
            lambda: Circuit([[1]], [[1, 1]]),
            "sensory_adjacency must have a column for each of the 1 neurons",
        ),
        (
            lambda: Circuit([[1]], [[1]], output_size=2),
            r"output_size must be at most the number of neurons \(1\)",
        ),
        (
            lambda: Circuit(np.eye(3), np.ones((2, 3)), output_size=1, command_neurons=2),
            "command_neurons must leave at least 1 of 2 neurons as inter neuron, got 2",
        ),
        (
            lambda: Circuit([[1]], [[1]]).build(2),
            "input_size must be 1, for which this circuit was built, got 2",
        ),
        (
            lambda: untyped.Wiring.from_config({"units": 4}),
            "config must be a dictionary whose name is one of 'AutoNCP'",
        ),
        (lambda: untyped.Wiring.from_config({"name": []}), "config must be a dictionary whose name"),
        (lambda: untyped.Wiring.from_config("NCP"), "config must be a dictionary whose name"),
        (
            lambda: untyped.NCP.from_config(untyped.AutoNCP(8, 2).config),
            "config must be .* name is one of 'NCP', got",
        ),
        (
            lambda: untyped.FullyConnected.from_config({"name": "FullyConnected", "units": 4}),
            "config of FullyConnected must hold units, output_size, self_connections, seed, got units",
        ),
        (
            lambda: untyped.Random.from_config(untyped.Random(4).config | {"colour": 1}),
            "config of Random must hold units, output_size, sparsity_level, seed, got .*colour",
        ),
        (
            lambda: untyped.Random.from_config(untyped.Random(4).config | {"units": -4}),
            "units must be at least 1, got -4",
        ),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


anything = st.one_of(st.none(), st.booleans(), st.integers(-3, 40), st.floats(), st.text(max_size=2))


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([FullyConnected, Random, AutoNCP, NCP]),
    st.dictionaries(st.sampled_from(["units", "output_size", "sparsity_level", "seed", *SIZES]), anything),
)
def test_any_argument_gives_a_wiring_or_an_error_that_names_it(kind: Any, arguments: dict[str, Any]) -> None:
    valid = kind.from_config(
        {
            FullyConnected: FullyConnected(8, 2),
            Random: Random(8, 2),
            AutoNCP: AutoNCP(8, 2),
            NCP: NCP(**SIZES),
        }[kind].config
    ).config
    arguments = {name: value for name, value in arguments.items() if name in valid}
    try:
        wiring = kind.from_config(valid | arguments)
    except ValueError as error:
        assert any(str(error).startswith(f"{name} must be") for name in valid)  # noqa: PT017  # either is right
    else:
        assert wiring.build(D).units == wiring.units


def test_wirings_do_not_load_what_draws_them() -> None:
    code = "import sys, ncps_mlx.wirings; print({'scipy', 'matplotlib', 'networkx', 'optuna'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
