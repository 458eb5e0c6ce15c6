"""Find the matplotlib figures that code left open and save them with their alternative text and their points."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from points import points_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["POINTS", "open_figures", "save_figure"]

DPI = 192  # twice the 96 of a style pixel: sharp on dense screens
MARGIN = 0.1  # inches around what is drawn
POINTS = ".points.json"
"""How the file ends that says where a picture's points lie."""


def open_figures(values: Iterable[Any], seen: set[int]) -> list[Figure]:
    """Return figures not in ``seen``: those pyplot holds open, then any other among ``values``."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    module = sys.modules.get("matplotlib.figure")
    if module is None:
        return []
    found: list[Figure] = [] if pyplot is None else [pyplot.figure(n) for n in pyplot.get_fignums()]
    found += [value for value in values if isinstance(value, module.Figure)]
    unique = {id(figure): figure for figure in found if id(figure) not in seen}
    return list(unique.values())


def save_figure(figure: Figure, path: Path) -> dict[str, Any]:
    """Save ``figure`` to ``path`` (PNG), its numbers and points beside it as JSON, and close it.

    Returns:
        ``file``, ``width`` in style pixels, ``alt`` (None if the figure carries no alternative text)
        and ``numbers`` (None likewise).
    """
    from ncps_mlx import plots

    alt: str | None
    numbers: dict[str, Any] | None
    try:
        alt, numbers = plots.alt_text(figure), plots.numbers(figure)
    except ValueError:  # a figure that plots did not draw
        alt, numbers = None, None
    figure.set_dpi(DPI)
    figure.canvas.draw()  # lays it out
    box = figure.get_tightbbox().padded(MARGIN)
    points = points_of(figure, box)
    figure.savefig(path, dpi=DPI, bbox_inches=box, metadata={"Software": None})
    if points["series"]:
        text = json.dumps(points, ensure_ascii=False, separators=(",", ":"))
        path.with_suffix(POINTS).write_text(text, encoding="utf-8")
    if numbers is not None:
        text = json.dumps({"alt": alt, "numbers": numbers}, indent=1)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
    from matplotlib.image import imread

    width = round(imread(path).shape[1] * 96 / DPI)
    return {"file": path.name, "width": width, "alt": alt, "numbers": numbers}
