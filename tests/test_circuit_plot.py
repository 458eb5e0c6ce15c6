"""A circuit's diagram shows every synapse, and its polarity without colour."""

import json
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ncps_mlx import AutoNCP, FullyConnected, Random, plots
from ncps_mlx.wirings import Circuit

CIRCUITS = [
    AutoNCP(19, 4).build(5),
    AutoNCP(9, 2).ncp.build(1),
    FullyConnected(6, 2).build(3),
    FullyConnected(1).build(1),
    FullyConnected(4).build(40),
    Random(30, 4, sparsity_level=0.7).build(5),
    Random(3, sparsity_level=0.95, seed=2).build(1),  # no synapse at all
    Circuit([[0, 1], [1, 0]], [[1, 1]]),  # nothing inhibits
]


@pytest.mark.parametrize("circuit", CIRCUITS, ids=range(len(CIRCUITS)))
def test_plot_draws_every_synapse_by_its_polarity(circuit: Circuit) -> None:
    before = dict(mpl.rcParams)
    fig = plots.circuit(circuit)
    fig.canvas.draw()
    assert dict(mpl.rcParams) == before
    values = plots.numbers(fig)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert {(p["source"], p["target"]): p["polarity"] for p in values["points"]} == {
        (source, target): 1 if polarity == "excitatory" else -1
        for source, target, polarity in circuit.graph().edges(data="polarity")
    }
    everything = np.concatenate([circuit.sensory_adjacency, circuit.adjacency])
    up, down = int((everything > 0).sum()), int((everything < 0).sum())
    assert sum(row["excitatory"] for row in values["summary"]) == up
    assert sum(row["inhibitory"] for row in values["summary"]) == down
    assert values["layers"] == {
        layer: (circuit.input_size if layer == "sensory" else circuit.neuron_types.count(layer))
        for layer in ("sensory", "inter", "command", "motor")
        if layer == "sensory" or layer in circuit.neuron_types
    }
    assert plots.alt_text(fig).endswith(
        f"{circuit.sensory_synapse_count} synapses from the inputs and {circuit.synapse_count} between neurons, "
        f"of which {up} excitatory (solid, arrow head) and {down} inhibitory (dashed, bar)."
    )
    ax: Any = fig.axes[0]
    triangles, solid, bars, dashed, neurons = ax.collections
    drawn = [len(part.get_paths()) for part in (triangles, solid, bars, dashed, neurons)]
    assert drawn == [up, up, down, down, circuit.input_size + circuit.units]
    assert solid.get_linestyle() != dashed.get_linestyle()  # told apart without colour
    assert [line.get_marker() for line in ax.get_lines()] == [">", "|"]
    box = ax.viewLim
    for part in (triangles, solid, bars, dashed):  # nothing lies outside
        for path in part.get_paths():
            assert np.isfinite(path.vertices).all()
            assert box.contains(*path.vertices.min(axis=0))
            assert box.contains(*path.vertices.max(axis=0))
    plt.close(fig)


def test_a_circuit_without_synapses_has_a_table_too() -> None:
    fig = plots.circuit(CIRCUITS[6])
    assert plots.as_table(fig).split() == ["synapses", "excitatory", "inhibitory", "none", "0", "0"]
    plt.close(fig)
