"""What every figure shares: one style, and words and numbers that say what it shows.

Colours are those of Okabe and Ito ("Color universal design", 2008), told apart with any colour vision; markers
and dashes differ as well. matplotlib loads when the first figure is drawn.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ncps_mlx._utils.text_table import text_table
from ncps_mlx.plots._captions import as_text, spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DASHES",
    "DESCRIPTION",
    "MARKERS",
    "SMALL",
    "WIDTH",
    "alt_text",
    "as_table",
    "describe",
    "draw_baselines",
    "draw_legend",
    "figure",
    "numbers",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#5A5A5A", "#E69F00", "#56B4E9")
"""Colours of what a figure compares, in turn."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Markers of what a figure compares, in turn."""
DASHES = ((0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (9, 3)))
"""Dashes of lines, in turn."""
WIDTH = 6.0
"""Inches. Shown on a phone, 350 pixels wide, the smallest text (11 points) is then 8 to 9 pixels high."""
SIZE = (WIDTH, 3.8)
FONT = 12
SMALL = FONT - 1
"""Of ticks, legends, notes: no text is smaller."""
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.labelsize": FONT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT,
    "figure.constrained_layout.use": True,
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "font.size": FONT,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}
DESCRIPTION = "_ncps_mlx_description"
"""The attribute of a figure that holds its words and numbers."""


@contextmanager
def figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **layout: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Make a figure in the house style and its axes, row by row; pyplot knows it, so notebooks show it."""
    import matplotlib.pyplot as plt

    plt.draw_if_interactive()  # chooses the backend here: the end of the context would undo what a notebook's sets
    with plt.rc_context(cast(Any, STYLE)):  # its keys are checked when it is applied
        fig, axes = plt.subplots(rows, columns, figsize=size or SIZE, squeeze=False, **layout)
        yield fig, list(axes.flat)


def describe(
    fig: Figure, alt: str, *, kind: str, x: Any, y: str, points: Any, summary: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any] | None = None, baselines: Mapping[str, float] | None = None, **more: Any,
) -> Figure:  # fmt: skip
    """Attach to a figure what it shows, in words and as numbers that JSON can hold."""
    values = {"kind": kind, "x": x, "y": y, "points": points, "summary": summary, "best": best}
    setattr(fig, DESCRIPTION, (alt, _to_json(values | {"baselines": baselines or {}} | more)))
    # What notebooks show instead of an image without words.
    setattr(fig, "_repr_html_", partial(_as_html, fig, alt))  # noqa: B010 - mypy lets no method be assigned to
    return fig


def _as_html(fig: Figure, alt: str) -> str:
    """An image with its alternative text, as a notebook embeds it."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=144)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(72 * fig.get_figwidth())
    return f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{data}">'


def alt_text(fig: Figure) -> str:
    """Say in words what a figure of :mod:`ncps_mlx.plots` shows, the best value and its interval included.

    Raises:
        ValueError: Another library made the figure.

    Example:
        >>> from ncps_mlx import plots
        >>> fig = plots.sweep([{"hidden_size": 8, "seed": s, "score": 1.0 + s} for s in range(3)], "hidden_size")
        >>> plots.alt_text(fig)
        'Validation score against hidden size, 3 seeds each: best 8 with 2 [0, 4].'
    """
    return str(_description(fig)[0])


def numbers(fig: Figure) -> dict[str, Any]:
    """Return what a figure of :mod:`ncps_mlx.plots` shows, as numbers.

    Returns:
        dict: at least ``kind``, ``x`` and ``y`` (what the axes are), ``points`` (every raw value), ``summary``
        (a row for each thing compared), ``best`` (``x``, ``mean``, ``low``, ``high``, ``n``, or None) and
        ``baselines``. ``json.dumps`` takes it; a score that was not finite is None.

    Raises:
        ValueError: Another library made the figure.

    Example:
        >>> from ncps_mlx import plots
        >>> fig = plots.sweep([{"hidden_size": 8, "seed": s, "score": 1.0 + s} for s in range(3)], "hidden_size")
        >>> plots.numbers(fig)["best"]["mean"]
        2.0
    """
    values: dict[str, Any] = _description(fig)[1]
    return values


def as_table(fig: Figure) -> str:
    """Write the numbers of a figure as a table of text.

    Raises:
        ValueError: Another library made the figure.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"hidden_size": 8, "seed": s, "score": 1.0 + s} for s in range(3)]
        >>> print(plots.as_table(plots.sweep(rows, "hidden_size", baselines={"ridge": 1.5})))
        hidden size     mean      low   high  n  diverged
        8                  2  -0.4841  4.484  3         0
        baseline ridge   1.5
    """
    values = numbers(fig)
    rows = [dict(row) for row in values["summary"]]
    head = list(dict.fromkeys(name for row in rows for name in row))
    first, value = head[0], "mean" if "mean" in head else head[-1]
    rows += [{first: f"baseline {name}", value: score} for name, score in values["baselines"].items()]
    cells = [[str(values["x"]) if name == "x" else spaced(name) for name in head]]
    for row in rows:  # a None in the first column is a hyperparameter's value; elsewhere nothing could be measured
        cells.append(
            [as_text(row.get(name)) if name == first or row.get(name) is not None else "" for name in head]
        )
    return text_table(cells)


def draw_legend(ax: Axes, title: str | None = None) -> None:
    """Put the legend above the axes, where it hides nothing: one for all axes of the figure."""
    panels = ax.figure.axes
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = list(found)
    points = 45 + 6 * max(map(len, labels), default=0)  # of an entry; the axes have 360
    most = min(max(360 // points, 1), 4)
    rows = max(math.ceil(len(labels) / most), 1)
    columns = math.ceil(len(labels) / rows)
    look: dict[str, Any] = {"title": title, "ncols": columns, "alignment": "left"}
    if len(panels) > 1 or ax.get_title(loc="left"):
        cast("Figure", ax.figure).legend(list(found.values()), labels, loc="outside upper left", **look)
    else:
        ax.legend(list(found.values()), labels, loc="lower left", bbox_to_anchor=(0, 1), **look)


def draw_baselines(
    ax: Axes, baselines: Mapping[str, float], limits: tuple[float, float], *, names: bool = True
) -> None:
    """Draw each baseline as a dashed line with its name at the right, names kept apart.

    A baseline outside the limits of the axis gets an arrow at that edge, so that it does not squeeze the rest.
    """
    bottom, top = limits
    height = (top - bottom) or 1.0
    taken = -math.inf  # the height of the last name
    for i, (name, value) in enumerate(sorted(baselines.items(), key=lambda pair: pair[1])):
        inside = bottom <= value <= top
        if inside:
            ax.axhline(value, color="#222222", linewidth=1.4, linestyle=DASHES[i % len(DASHES)], zorder=1.5)
        if not names:
            continue
        arrow = "" if inside else ("↑ " if value > top else "↓ ")
        at = max((min(max(value, bottom), top) - bottom) / height, taken + 0.075)
        taken = at
        ax.annotate(
            f"{arrow}{name} {as_text(value)}",
            (1.0, at),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            annotation_clip=False,
        )


def _description(fig: Figure) -> tuple[str, dict[str, Any]]:
    found = getattr(fig, DESCRIPTION, None)
    if found is None:
        raise ValueError(f"fig must be a figure that ncps_mlx.plots made, got {fig!r}.")
    return found  # type: ignore[no-any-return]  # an attribute that only describe() sets


def _to_json(value: Any) -> Any:
    """Bring numbers to what JSON can hold; None stands for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
