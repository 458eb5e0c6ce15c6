"""A circuit as a diagram: a column for each kind of neuron, and every synapse between them.

Excitatory synapses are solid and end in an arrow head, inhibitory ones are dashed and end in a bar, as
neurobiologists draw them; colours repeat the distinction. Everything is computed in the units of the axes, whose
aspect is equal, so a few collections hold thousands of synapses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ncps_mlx.plots._figure import COLOURS, SMALL, describe, draw_legend, figure
from ncps_mlx.plots._told import tell
from ncps_mlx.wirings._base import Circuit, Wiring

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

LAYERS = ("sensory", "inter", "command", "motor")
POLARITIES = {1: "excitatory", -1: "inhibitory"}
LOOKS: dict[int, tuple[str, Any, str]] = {1: (COLOURS[0], "solid", ">"), -1: (COLOURS[1], (0, (4, 2)), "|")}
WIDTH, HEIGHT = 2.4, 9.0  # between columns; of the tallest column at most
RADIUS, GAP = 0.2, 0.06  # of a neuron; between it and the end of a synapse
INCHES = 0.7  # to a unit of the axes
STEPS = 24  # points of a curve


def circuit(circuit: Circuit) -> Figure:
    """Draw a circuit in columns: sensory, inter, command and motor neurons.

    Neurons are numbered from the top as in the circuit's matrices. Synapses to the next column are straight, all
    others bend to the left of their direction, so that those in opposite directions lie apart.

    Args:
        circuit: What to draw.

    Returns:
        Figure: :func:`~ncps_mlx.plots.alt_text` says how many synapses there are of each polarity;
        :func:`~ncps_mlx.plots.numbers` lists every synapse and counts those between each two columns.

    Example:
        >>> from ncps_mlx import plots
        >>> from ncps_mlx import AutoNCP
        >>> fig = plots.circuit(AutoNCP(8, 2).build(3))
        >>> plots.alt_text(fig)
        'Circuit of 3 sensory, 4 inter, 2 command and 2 motor neurons in columns from left to right: 6 synapses
        from the inputs and 8 between neurons, of which 4 excitatory (solid, arrow head) and 10 inhibitory
        (dashed, bar).'
        >>> print(plots.as_table(fig))
        synapses           excitatory  inhibitory
        sensory → inter             2           4
        inter → command             0           4
        command → command           1           0
        command → motor             1           2
    """
    if not isinstance(circuit, Circuit):
        cure = " A wiring becomes one by wiring.build(input_size)." if isinstance(circuit, Wiring) else ""
        raise ValueError(f"circuit must be a Circuit, got {type(circuit).__name__}.{cure}")
    kinds = ["sensory"] * circuit.input_size + list(circuit.neuron_types)
    columns = [layer for layer in LAYERS if layer in kinds]
    positions, radii = _positions(kinds, columns)
    names = [f"sensory_{i}" for i in range(circuit.input_size)]
    names += [f"neuron_{i}" for i in range(circuit.units)]
    # Rows and columns of one matrix: sensory neurons first, then all others.
    everything = np.zeros((len(kinds), len(kinds)), dtype=np.int8)
    everything[:, circuit.input_size :] = np.concatenate([circuit.sensory_adjacency, circuit.adjacency])

    wide, tall = WIDTH * (len(columns) - 1) + 1.8, 2 * positions[:, 1].max() + 1.6
    with figure(size=(max(INCHES * wide, 5.0), INCHES * tall + 0.5)) as (fig, (ax,)):
        ax.set_aspect("equal")
        ax.axis("off")
        ax.set_xlim(-0.9, wide - 0.9)
        ax.set_ylim(-tall / 2 + 0.25, tall / 2 + 0.25)
        for polarity in POLARITIES:
            _draw_synapses(ax, np.argwhere(everything == polarity), polarity, positions, radii)
        neurons = _draw_neurons(ax, kinds, columns, positions, radii, circuit.input_size)
        heard, spoken = (np.count_nonzero(everything, axis=axis) for axis in (0, 1))
        whose = [f"{kind} {n - circuit.input_size * (kind != 'sensory')}" for n, kind in enumerate(kinds)]
        ins = [f"{n} synapse{'s' if n != 1 else ''} in" for n in heard]
        tell(neurons, whose, x=ins, y=[f"{n} out" for n in spoken], at=positions)
        draw_legend(ax)

    points = [
        {"source": names[i], "target": names[j], "polarity": int(everything[i, j])}
        | {"x": f"{kinds[i]} → {kinds[j]}"}
        for i, j in np.argwhere(everything)
    ]
    summary: list[dict[str, Any]] = []
    for source in columns:
        for target in columns:
            pair = f"{source} → {target}"
            row = {
                name: sum(point["x"] == pair and point["polarity"] == sign for point in points)
                for sign, name in POLARITIES.items()
            }
            if any(row.values()):
                summary.append({"x": pair} | row)
    summary = summary or [{"x": "none"} | dict.fromkeys(POLARITIES.values(), 0)]
    counts = {layer: kinds.count(layer) for layer in columns}
    words = [f"{count} {layer}" for layer, count in counts.items()]
    text = (
        f"Circuit of {', '.join(words[:-1])} and {words[-1]} neurons in columns from left to right: "
        f"{circuit.sensory_synapse_count} synapses from the inputs and {circuit.synapse_count} between neurons, "
        f"of which {np.count_nonzero(everything > 0)} excitatory (solid, arrow head) and "
        f"{np.count_nonzero(everything < 0)} inhibitory (dashed, bar)."
    )
    return describe(
        fig, text, kind="circuit", x="synapses", y="count", points=points, summary=summary, layers=counts
    )


def _positions(kinds: list[str], columns: list[str]) -> tuple[Array, Array]:
    """Return centres (N, 2) and radii (N,) of the neurons, in columns around the middle."""
    positions, radii = np.zeros((len(kinds), 2)), np.zeros(len(kinds))
    for i, layer in enumerate(columns):
        members = [n for n, kind in enumerate(kinds) if kind == layer]
        spacing = min(1.0, HEIGHT / max(len(members) - 1, 1))
        heights = spacing * ((len(members) - 1) / 2 - np.arange(len(members)))
        positions[members] = np.column_stack([np.full(len(members), WIDTH * i), heights])
        radii[members] = min(RADIUS, 0.4 * spacing)
    return positions, radii


def _draw_neurons(
    ax: Axes, kinds: list[str], columns: list[str], positions: Array, radii: Array, inputs: int
) -> PatchCollection:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle, Patch, Rectangle

    shapes: list[Patch] = []
    for n, ((x, y), radius) in enumerate(zip(positions, radii, strict=True)):
        square = Rectangle((x - 0.9 * radius, y - 0.9 * radius), 1.8 * radius, 1.8 * radius)
        shapes.append(square if kinds[n] == "sensory" else Circle((x, y), radius))
        if radius > 0.8 * RADIUS:  # else the numbers would run into each other
            label = str(n if kinds[n] == "sensory" else n - inputs)
            size = SMALL if len(label) < 3 else SMALL - 3
            ax.text(x, y, label, ha="center", va="center_baseline", fontsize=size, zorder=4)
    neurons = PatchCollection(shapes, facecolor="white", edgecolor="#222222", linewidth=1.2, zorder=3)
    ax.add_collection(neurons)
    for i, layer in enumerate(columns):
        ax.text(
            WIDTH * i, positions[:, 1].max() + 0.6, f"{layer} ({kinds.count(layer)})", ha="center", va="bottom"
        )
    return neurons


def _draw_synapses(ax: Axes, pairs: Array, polarity: int, positions: Array, radii: Array) -> None:
    """Draw the synapses (n, 2) of one polarity: their lines in one collection, their ends in another."""
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.lines import Line2D

    colour, dashes, marker = LOOKS[polarity]
    curves = [_curve(positions[i], positions[j], radii[i], radii[j], i == j) for i, j in pairs]
    crowd = min(1.0, 6 / max(len(pairs), 1) ** 0.5)  # many synapses are drawn thinner and paler
    look: dict[str, Any] = {"color": colour, "alpha": 0.35 + 0.55 * crowd, "zorder": 2}
    width = 0.5 + 1.0 * crowd
    head = 0.06 + 0.08 * crowd
    tips = np.array([curve[-1] for curve in curves]).reshape(-1, 2)
    along = tips - np.array([curve[-2] for curve in curves]).reshape(-1, 2)
    along *= head / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    across = along[:, ::-1] * (-0.5, 0.5)
    if polarity > 0:
        triangles = np.stack([tips, tips - along + across, tips - along - across], axis=1)
        ax.add_collection(PolyCollection(list(triangles), linewidth=0, **look))
    else:
        bars = np.stack([tips + 1.4 * across, tips - 1.4 * across], axis=1)
        ax.add_collection(LineCollection(list(bars), linewidths=1.6 * width, **look))
    ax.add_collection(LineCollection(curves, linewidths=width, linestyles=[dashes], **look))
    label = f"{POLARITIES[polarity]} ({len(pairs)})"
    ax.add_line(
        Line2D([], [], color=colour, linestyle=dashes, linewidth=1.5, marker=marker, ms=8, mew=2, label=label)
    )


def _curve(start: Array, end: Array, start_radius: float, end_radius: float, itself: bool) -> Array:
    """Return a synapse from rim to rim as points (STEPS, 2): straight, bent, or a loop."""
    if itself:
        distance, radius = 1.3 * start_radius, 0.8 * start_radius
        # Where the loop leaves the neuron: the angle in the triangle of both centres and the crossing.
        cosine = (distance**2 + radius**2 - start_radius**2) / (2 * distance * radius)
        exit_angle = np.arccos(cosine)
        angles = np.linspace(-np.pi / 2 + exit_angle, 3 * np.pi / 2 - exit_angle - GAP / radius, STEPS)
        return np.asarray(
            start + (0.0, distance) + radius * np.column_stack([np.cos(angles), np.sin(angles)])
        )
    way = end - start
    length = np.hypot(*way)
    bend = 0.0 if np.isclose(way[0], WIDTH) else min(0.4 + 0.2 * length, 1.4) / length
    middle = (start + end) / 2 + bend * np.array([-way[1], way[0]])
    first, last = middle - start, end - middle
    start = start + start_radius * first / np.hypot(*first)
    end = end - (end_radius + GAP) * last / np.hypot(*last)
    t = np.linspace(0, 1, STEPS)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)
