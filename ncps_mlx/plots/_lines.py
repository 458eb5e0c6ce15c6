"""Lines over a number: what an equation gives when one quantity in it is varied."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import flat_numbers
from ncps_mlx._utils.validation import check_flag, check_mapping, check_text
from ncps_mlx.plots._captions import as_text, capitalize
from ncps_mlx.plots._figure import COLOURS, DASHES, MARKERS, WIDTH, describe, draw_legend, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["lines"]

FEW = 12  # points that still get a marker each


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
        at: (n,) positions on the axis, increasing.
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
    for name, text in (("x", x), ("y", y), ("above_y", above_y)):
        check_text(name, text)
    positions = flat_numbers("at", at)
    if positions.size < 2 or not (np.diff(positions) > 0).all() or not np.isfinite(positions).all():
        raise ValueError(f"at must be at least 2 increasing finite numbers, got {positions.tolist()!r:.80}.")
    values, above = (
        check_mapping(name, named, "values (n,)") for name, named in (("values", values), ("above", above))
    )
    if not 1 <= len(values) <= len(COLOURS):
        raise ValueError(f"values must name 1 to {len(COLOURS)} lines, got {len(values)}.")
    shown = {name: _line(f"values[{name!r}]", line, positions) for name, line in values.items()}
    driving = {name: _line(f"above[{name!r}]", line, positions) for name, line in above.items()}
    for flag, found, name in (
        (log_x, [positions], "log_x"),
        (log_y, [line[np.isfinite(line)] for line in shown.values()], "log_y"),
    ):
        if check_flag(name, flag) and min(float(each.min()) for each in found) <= 0:
            raise ValueError(f"{name} must be False where a value is not positive, got True.")

    rows = 2 if driving else 1
    ratios: dict[str, Any] = {"gridspec_kw": {"height_ratios": [1, 3]}} if driving else {}
    with figure(rows, 1, (WIDTH, 4.8 if driving else 3.8), sharex=True, **ratios) as (fig, axes):
        if driving:
            _draw(axes[0], positions, driving, [*shown, *driving], drawstyle="steps-mid")
            axes[0].set_ylabel(above_y)
        ax = axes[-1]
        _draw(ax, positions, shown, list(shown))
        ax.set(xlabel=x, ylabel=y)
        if log_x:
            _logarithmic(ax, "x", positions if positions.size <= FEW else None)
        if log_y:
            _logarithmic(ax, "y", None)
        if len(shown) > 1 or driving:
            draw_legend(ax)

    scales = [name for name, flag in ((x, log_x), (y, log_y)) if flag]
    scale = f" (logarithmic: {', '.join(scales)})" if scales else ""
    text = f"{capitalize(y)} against {x}{scale}, {positions.size} points from "
    text += f"{_format_position(positions[0])} to {_format_position(positions[-1])}: "
    text += _describe_panel(shown, positions, log_y)
    if driving:
        text += f". Above, {above_y}: {_describe_panel(driving, positions, False)}"
    summary = [{"x": name} | _extent(line) for name, line in shown.items()]
    points = {"at": positions, **shown}
    return describe(fig, f"{text}.", kind="lines", x=x, y=y, points=points, summary=summary, above=driving)


def _line(name: str, line: npt.ArrayLike, positions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = flat_numbers(name, line)
    if array.shape != positions.shape:
        raise ValueError(f"{name} must have the shape {positions.shape} of at, got {array.shape}.")
    if np.isinf(array).any() or np.isnan(array).all():
        raise ValueError(f"{name} must be finite, or NaN where there is no value, got {array.tolist()!r:.80}.")
    return array


def _draw(
    ax: Axes, positions: npt.NDArray[Any], named: Mapping[str, npt.NDArray[Any]], order: Sequence[str], **more: Any
) -> None:
    """Draw lines that look the same in each panel: as their names' places in ``order`` have it."""
    for name, line in named.items():
        i = order.index(name)
        look = more | ({"marker": MARKERS[i % len(MARKERS)]} if positions.size <= FEW else {})
        dashes = ("-", *DASHES)[i % (1 + len(DASHES))]
        ax.plot(positions, line, color=COLOURS[i % len(COLOURS)], linestyle=dashes, label=name, **look)


def _logarithmic(ax: Axes, which: str, ticks: npt.NDArray[Any] | None) -> None:
    """Make an axis logarithmic, its ticks (default: powers of ten) written as numbers where these are short."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    if ticks is not None:
        axis.set_major_locator(FixedLocator(ticks.tolist()))
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    if low > 1e-4 and high < 1e5 and high / low > 10:
        axis.set_major_formatter(FuncFormatter(lambda value, _: as_text(value)))
        axis.set_minor_locator(NullLocator())


def _extent(line: npt.NDArray[Any]) -> dict[str, float]:
    """First, last, least and greatest of the finite values."""
    finite = line[np.isfinite(line)]
    return {"first": finite[0], "last": finite[-1], "least": finite.min(), "greatest": finite.max()}


def _describe_panel(named: Mapping[str, npt.NDArray[Any]], positions: npt.NDArray[Any], log: bool) -> str:
    """Say what the lines of one panel do."""
    everything = np.concatenate(list(named.values()))
    room = 0.0 if log else float(np.nanmax(everything) - np.nanmin(everything))
    return "; ".join(_describe_line(name, line, positions, room) for name, line in named.items())


def _describe_line(name: str, line: npt.NDArray[Any], positions: npt.NDArray[Any], room: float) -> str:
    """Say where a line begins and ends, and where it turns."""
    finite = np.isfinite(line)
    line, positions = line[finite], positions[finite]
    text = f"{name} from {_format_number(line[0], room)} to {_format_number(line[-1], room)}"
    ends, least = line[[0, -1]], 0.02 * float(np.ptp(line))
    if line.max() > ends.max() + least:
        text += f", highest {_format_number(line.max(), room)} at {_format_position(positions[line.argmax()])}"
    if line.min() < ends.min() - least:
        text += f", lowest {_format_number(line.min(), room)} at {_format_position(positions[line.argmin()])}"
    return text


def _format_position(value: float) -> str:
    """Write a position: whole numbers in full, as the axis has them."""
    return f"{value:,.0f}" if value == round(value) and 1e3 <= abs(value) < 1e7 else _format_number(value)


def _format_number(value: float, room: float = 0.0) -> str:
    """Write a number with three digits, and no finer than a thousandth of what the panel spans."""
    rounded = round(value, 3 - math.ceil(math.log10(room))) if room > 0 else value
    text = f"{rounded + 0.0:.3g}"
    return f"{float(text):,.0f}" if 1e3 <= abs(rounded) < 1e7 else text
