"""Where the points of a figure lie in its picture, and what each of them says; ``_static/points.js`` shows it.

Lines, error bars, bars and scattered dots are read from matplotlib's artists, with the names and texts that
``ncps_mlx.plots`` attached to some. Positions are in ten-thousandths of the picture, from its upper left corner; values
are texts, as the axes write them. Dense lines are thinned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox, Transform

__all__ = ["MOST", "TOLD", "points_of"]

MOST = 600  # points of a figure: beyond, lines are thinned
FEWEST = 24  # points of a thinned line
EDGE = 2  # pixels: what lies further outside its axes is cut off there
TOLD = "_ncps_mlx_told"  # the attribute of artists in which ncps_mlx.plots says what points are called
ROUND = 10_000  # the width and the height of the picture


@dataclass(kw_only=True)
class Drawn:
    """An artist's points.

    Attributes:
        name: What each point is.
        x: Its value along x, as text.
        y: Its value along y, as text.
        at: (n, 2) places in pixels of the canvas.
        is_line: Whether it may be thinned.
    """

    name: Sequence[str]
    x: Sequence[str]
    y: Sequence[str]
    at: npt.NDArray[np.float64]
    is_line: bool = False


def points_of(figure: Figure, box: Bbox) -> dict[str, Any]:
    """Return the points of a figure that has been drawn at its present resolution.

    Args:
        figure: The figure.
        box: The part of it that is saved, in inches.

    Returns:
        ``panels``: of each axes its title, if it has one, and the names of its axes; ``series``: each a panel and its
        points, those a place from the left and from the top, the texts of x and y, and a name.
    """
    panels, series = [], []
    for ax in figure.axes:
        found = [drawn for drawn in drawn_in(ax) if len(drawn.at)]
        if found:
            panels.append([title_of(ax), label_of(ax, "x"), label_of(ax, "y")])
            series += [(len(panels) - 1, drawn) for drawn in found]
    thin([drawn for _, drawn in series])
    corner, size = np.array([box.x0, box.y1]), np.array([box.width, -box.height])
    told = []
    for panel, drawn in series:
        places = np.rint(ROUND * (drawn.at / figure.dpi - corner) / size).astype(int)
        rows = zip(places.tolist(), drawn.x, drawn.y, drawn.name, strict=True)
        told.append([panel, [[*place, x, y, name] for place, x, y, name in rows]])
    return {"panels": panels, "series": told}


def drawn_in(ax: Axes) -> Iterator[Drawn]:
    """The points of an axes: means first, so that they are found before the dots around them."""
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer, ErrorbarContainer

    seen: set[int] = set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer):
            line, caps, bars = container.lines
            seen.update(map(id, caps))
            if line is not None:
                seen.add(id(line))
                which, axis, column = ("x", ax.xaxis, 0) if container.has_xerr else ("y", ax.yaxis, 1)
                ends = {which: ends_of(axis, column, bars)} if bars else {}
                yield from read(ax, line, container, line.get_xydata(), line.get_transform(), ends=ends)
        elif isinstance(container, BarContainer):
            yield from bars_of(ax, container)
    for line in ax.lines:
        if id(line) not in seen:
            is_line = line.get_linestyle() != "None"
            yield from read(ax, line, line, line.get_xydata(), line.get_transform(), is_line=is_line)
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            offsets = np.ma.filled(np.ma.asarray(collection.get_offsets(), dtype=float), np.nan)
            yield from read(ax, collection, collection, offsets, collection.get_offset_transform())
        elif "at" in told_of(collection):
            at = np.asarray(told_of(collection)["at"], dtype=float)
            yield from read(ax, collection, collection, at, ax.transData)


def read(
    ax: Axes, artist: Artist, named: Any, data: Any, transform: Transform, *, ends: dict[str, Any] | None = None,
    is_line: bool = False,
) -> Iterator[Drawn]:  # fmt: skip
    """The points of an artist at these data; nothing of one that only marks a level, or is not seen."""
    data, told = np.asarray(data, dtype=float).reshape(-1, 2), told_of(named)
    if not artist.get_visible() or not len(data):
        return
    at = transform.transform(data)
    with np.errstate(invalid="ignore"):  # infinite where a logarithm is
        moved = at - ax.transData.transform(data)
    if not told and np.ptp(moved, axis=0).max() > 0.5:
        return  # a line across the axes, at a level
    low, high = (np.array(corner) for corner in ax.bbox.get_points())
    shown = np.isfinite(at).all(axis=1)
    if artist.get_clip_on():
        shown &= ((at > low - EDGE) & (at < high + EDGE)).all(axis=1)
    label = str(named.get_label())
    texts = {"name": ["" if label.startswith("_") else label] * len(data)}
    for which, axis, column in (("x", ax.xaxis, 0), ("y", ax.yaxis, 1)):
        texts[which] = [written(axis, value) for value in data[:, column]]
        for i, end in enumerate((ends or {}).get(which, [])):
            texts[which][i] += end
    for which in texts.keys() & told.keys():
        texts[which] = [told[which]] * len(data) if isinstance(told[which], str) else list(told[which])
    name, x, y = ([plain(texts[which][i]) for i in np.flatnonzero(shown)] for which in ("name", "x", "y"))
    yield Drawn(name=name, x=x, y=y, at=at[shown], is_line=is_line)


def ends_of(axis: Axis, column: int, bars: Sequence[Any]) -> list[str]:
    """Of each error bar its ends, as text; nothing of one without length."""
    found = []
    for segment in bars[0].get_segments():
        low, high = sorted(segment[:, column].tolist()) if len(segment) == 2 else (0.0, 0.0)
        found.append(f" [{written(axis, low)}, {written(axis, high)}]" if low < high else "")
    return found


def bars_of(ax: Axes, bars: Any) -> Iterator[Drawn]:
    """The ends of bars; the value is a bar's own length, not where it ends in a stack."""
    across = bars.orientation == "horizontal"
    data, lengths = [], []
    for bar in bars.patches:
        x, y, width, height = bar.get_x(), bar.get_y(), bar.get_width(), bar.get_height()
        data.append((x + width, y + height / 2) if across else (x + width / 2, y + height))
        lengths.append(f"{width if across else height:.4g}")
    for drawn in read(ax, bars.patches[0], bars, data, ax.transData):
        if not told_of(bars).keys() & {"x", "y"} and len(drawn.at) == len(data):
            setattr(drawn, "x" if across else "y", lengths)
        yield drawn


def told_of(artist: Any) -> dict[str, Any]:
    """What ncps_mlx.plots attached to an artist."""
    found: dict[str, Any] = getattr(artist, TOLD, {})
    return found


def written(axis: Axis, value: float) -> str:
    """A value as its axis writes it: a category by its name, a date as a date, a number to a thousandth of the axis."""
    from matplotlib.dates import num2date
    from matplotlib.ticker import FixedLocator

    if not math.isfinite(value):
        return ""
    if "Date" in type(axis.get_converter()).__name__:
        return f"{num2date(value):%Y-%m-%d %H:%M}"
    formatter, ticks = axis.get_major_formatter(), np.asarray(axis.get_majorticklocs(), dtype=float)
    if isinstance(axis.get_major_locator(), FixedLocator) and ticks.size:
        texts, nearest = formatter.format_ticks(ticks.tolist()), int(np.abs(ticks - value).argmin())
        is_category = axis.get_scale() == "linear" and any(texts) and not any(map(is_number, texts))
        if is_category or (math.isclose(ticks[nearest], value) and is_number(texts[nearest])):
            return texts[nearest]
    if "StrCategory" in type(formatter).__name__:
        return str(formatter(round(value)))
    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() != "linear" or not high > low:
        return f"{value:.4g}"
    decimals = max(0, math.ceil(-math.log10((high - low) / 1000)))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if value == round(value) and "." in text else text


def is_number(text: str) -> bool:
    """Whether a tick's text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def title_of(ax: Axes) -> str:
    """The title of one of several axes."""
    titles = (ax.get_title(place) for place in ("left", "center", "right"))
    return next((plain(title) for title in titles if title), "") if len(ax.figure.axes) > 1 else ""


def label_of(ax: Axes, which: str) -> str:
    """The name of an axis: its own, else that of axes which share it, else the whole figure's."""
    shared = ax.get_shared_x_axes() if which == "x" else ax.get_shared_y_axes()
    labels = [getattr(each, f"get_{which}label")() for each in [ax, *shared.get_siblings(ax)]]
    labels.append(ax.figure.get_supxlabel() if which == "x" else ax.figure.get_supylabel())
    return next((plain(label) for label in labels if label), "")


def plain(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())


def thin(drawn: Sequence[Drawn]) -> None:
    """Keep one of so many points of dense lines where there are too many in all."""
    dense = [each for each in drawn if each.is_line and len(each.at) > FEWEST]
    rest = sum(len(each.at) for each in drawn) - sum(len(each.at) for each in dense)
    room = max(MOST - rest, FEWEST * len(dense))
    step = math.ceil(sum(len(each.at) for each in dense) / room) if dense else 1
    for each in dense:
        kept = sorted({*range(0, len(each.at), step), len(each.at) - 1})
        each.at = each.at[kept]
        each.name, each.x, each.y = ([texts[i] for i in kept] for texts in (each.name, each.x, each.y))
