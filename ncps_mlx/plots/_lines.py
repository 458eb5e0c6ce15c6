"""Lines over a number: what an equation gives when one quantity in it is varied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ncps_mlx.plots._captions import capital, show
from ncps_mlx.plots._figure import COLOURS, DASHES, MARKERS, describe, draw_legend, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["lines"]

FEW = 12  # so many points get a marker each


def lines(
    at: npt.ArrayLike,
    values: Mapping[str, npt.ArrayLike],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    above: Mapping[str, npt.ArrayLike] | None = None,
    above_y: str = "input",
) -> Figure:
    """Draw lines over a common axis, told apart by colour and dashes, and what drives them in a panel above.

    Args:
        at: (n,) places on the axis, in order.
        values: By name, (n,) values, NaN where there is none; at most seven.
        x: Name of the axis, with its unit.
        y: Name of the values, with their unit.
        log_x: Whether the axis is logarithmic.
        log_y: Whether that of the values is.
        above: By name, (n,) values in a low panel above.
        above_y: Name of those.

    Returns:
        Figure: with :func:`alt_text`, which says where each line begins and ends, and its extremes where they lie
        between; and :func:`numbers`.

    Raises:
        ValueError: Lengths differ, there is nothing to draw, or a logarithm of what is not positive is asked for.

    Example:
        >>> from ncps_mlx import plots
        >>> fig = plots.lines([1, 2, 3], {"square": [1, 4, 9], "tent": [0, 1, 0]}, x="side", y="area")
        >>> plots.alt_text(fig)
        'Area against side, 3 points from 1 to 3: square from 1 to 9; tent from 0 to 0, highest 1 at 2.'
    """
    places = np.asarray(at, dtype=float)
    if places.ndim != 1 or places.size < 2 or not (np.diff(places) > 0).all():
        raise ValueError(f"at must be at least 2 increasing numbers, got the shape {places.shape}.")
    if not 1 <= len(values) <= len(COLOURS):
        raise ValueError(f"values must name 1 to {len(COLOURS)} lines, got {len(values)}.")
    shown = {name: _line(name, line, places) for name, line in values.items()}
    driving = {name: _line(name, line, places) for name, line in (above or {}).items()}
    for flag, found, name in (
        (log_x, [places], "log_x"),
        (log_y, [line[np.isfinite(line)] for line in shown.values()], "log_y"),
    ):
        if flag and min(float(each.min()) for each in found) <= 0:
            raise ValueError(f"{name} must be False where a value is not positive, got True.")

    rows = 2 if driving else 1
    ratios: dict[str, Any] = {"gridspec_kw": {"height_ratios": [1, 3]}} if driving else {}
    with figure(rows, 1, (7.0, 5.0 if driving else 4.0), sharex=True, **ratios) as (fig, axes):
        if driving:
            _draw(axes[0], places, driving, len(shown), drawstyle="steps-mid")
            axes[0].set_ylabel(above_y)
        ax = axes[-1]
        _draw(ax, places, shown, 0)
        ax.set(xlabel=x, ylabel=y)
        if log_x:
            _logarithmic(ax, "x", places if places.size <= FEW else None)
        if log_y:
            _logarithmic(ax, "y", None)
        if len(shown) > 1:
            draw_legend(ax)

    scales = [name for name, flag in ((x, log_x), (y, log_y)) if flag]
    scale = f" (logarithmic: {', '.join(scales)})" if scales else ""
    text = f"{capital(y)} against {x}{scale}, {places.size} points from "
    text += f"{_place(places[0])} to {_place(places[-1])}: {_sentence(shown, places, log_y)}"
    if driving:
        text += f". Above, {above_y}: {_sentence(driving, places, False)}"
    summary = [{"x": name} | _extent(line) for name, line in shown.items()]
    found_values = {"kind": "lines", "x": x, "y": y, "points": {"at": places, **shown}, "above": driving}
    return describe(fig, f"{text}.", found_values | {"summary": summary, "best": None, "baselines": {}})


def _line(name: str, line: npt.ArrayLike, places: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = np.asarray(line, dtype=float)
    if array.shape != places.shape or not np.isfinite(array).any():
        raise ValueError(
            f"{name} must have the shape {places.shape} of at, and a finite value, got {array.shape}."
        )
    return array


def _draw(
    ax: Axes, places: npt.NDArray[Any], named: Mapping[str, npt.NDArray[Any]], first: int, **more: Any
) -> None:
    for i, (name, line) in enumerate(named.items(), first):
        look = more | ({"marker": MARKERS[i % len(MARKERS)]} if places.size <= FEW else {})
        dashes = ("-", *DASHES)[(i - first) % (1 + len(DASHES))]
        ax.plot(places, line, color=COLOURS[i % len(COLOURS)], linestyle=dashes, label=name, **look)


def _logarithmic(ax: Axes, which: str, ticks: npt.NDArray[Any] | None) -> None:
    """Make an axis logarithmic, its ticks (default: powers of ten) written as numbers where these are short."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    if ticks is not None:
        axis.set_major_locator(FixedLocator(ticks.tolist()))
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    if low > 1e-4 and high < 1e5 and high / low > 10:
        axis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
        axis.set_minor_locator(NullLocator())


def _extent(line: npt.NDArray[Any]) -> dict[str, float]:
    """First, last, least and greatest of what is finite."""
    there = line[np.isfinite(line)]
    return {"first": there[0], "last": there[-1], "least": there.min(), "greatest": there.max()}


def _sentence(named: Mapping[str, npt.NDArray[Any]], places: npt.NDArray[Any], log: bool) -> str:
    """What the lines of one panel do."""
    everything = np.concatenate(list(named.values()))
    room = 0.0 if log else float(np.nanmax(everything) - np.nanmin(everything))
    return "; ".join(_words(name, line, places, room) for name, line in named.items())


def _words(name: str, line: npt.NDArray[Any], places: npt.NDArray[Any], room: float) -> str:
    """Where a line begins and ends, and where it turns."""
    there = np.isfinite(line)
    line, places = line[there], places[there]
    text = f"{name} from {_brief(line[0], room)} to {_brief(line[-1], room)}"
    ends, least = line[[0, -1]], 0.02 * float(np.ptp(line))
    if line.max() > ends.max() + least:
        text += f", highest {_brief(line.max(), room)} at {_place(places[line.argmax()])}"
    if line.min() < ends.min() - least:
        text += f", lowest {_brief(line.min(), room)} at {_place(places[line.argmin()])}"
    return text


def _place(value: float) -> str:
    """Write where something is: whole numbers in full, as the axis has them."""
    return f"{value:,.0f}" if value == round(value) and 1e3 <= abs(value) < 1e7 else _brief(value)


def _brief(value: float, room: float = 0.0) -> str:
    """Write a number with three digits, and no finer than a thousandth of what the panel spans."""
    rounded = round(value, 3 - math.ceil(math.log10(room))) if room > 0 else value
    text = f"{rounded + 0.0:.3g}"
    return f"{float(text):,.0f}" if 1e3 <= abs(rounded) < 1e7 else text
