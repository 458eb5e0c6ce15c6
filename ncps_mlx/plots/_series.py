"""Series over time: forecasts, anomalies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import as_array, flat_numbers
from ncps_mlx._utils.validation import check_mapping, check_number, check_text
from ncps_mlx.plots._captions import as_text, best_row, capitalize
from ncps_mlx.plots._figure import COLOURS, DASHES, WIDTH, describe, draw_legend, figure
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["series"]


def series(
    time: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    forecasts: Mapping[str, npt.ArrayLike] | None = None,
    regions: Sequence[tuple[float, float]] = (),
    scores: npt.ArrayLike | None = None,
    threshold: float | None = None,
    x: str = "time",
    y: str = "value",
    region_name: str = "anomaly",
) -> Figure:
    """Draw a time series with forecasts, or with anomalous regions and an anomaly score below it.

    Args:
        time: (T,) times, or datetimes.
        truth: (T,) the series.
        forecasts: By name, (T,) forecasts, NaN where there is none.
        regions: (begin, end) in time, shaded.
        scores: (T,) an anomaly score, in a panel below.
        threshold: A level of that score.
        x: Name of the time axis, with its unit.
        y: Name of the series, with its unit.
        region_name: What a shaded region is.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`; for forecasts the root mean squared error of each.

    Raises:
        ValueError: Lengths differ, or the series is empty.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx import plots
        >>> fig = plots.series([0, 1, 2], [1.0, 2.0, 3.0], forecasts={"persistence": [np.nan, 1, 2]}, x="year")
        >>> plots.alt_text(fig)
        'Value over year, 3 values from 0 to 2; root mean squared error of the forecasts: persistence 1.'
    """
    for name, text in (("x", x), ("y", y), ("region_name", region_name)):
        check_text(name, text)
    times, values = _times(time), _values("truth", truth)
    if values.size == 0 or times.shape != values.shape:
        raise ValueError(
            f"truth must be of the shape (T,) of time {times.shape}, T at least 1, got {values.shape}."
        )
    given = check_mapping("forecasts", forecasts, "values (T,)")
    lines = {name: _values(f"forecasts[{name!r}]", line) for name, line in given.items()}
    below = None if scores is None else _values("scores", scores)
    regions = _pairs(regions, times)
    if threshold is not None:
        threshold = check_number("threshold", threshold)
    named = {f"forecasts[{name!r}]": line for name, line in lines.items()}
    for name, line in (named | ({} if below is None else {"scores": below})).items():
        if line.shape != values.shape:
            raise ValueError(f"{name} must have the shape {values.shape} of truth, got {line.shape}.")
    summary = []
    for name, line in lines.items():
        both = np.isfinite(line) & np.isfinite(values)
        error = float(np.sqrt(np.mean((line - values)[both] ** 2))) if both.any() else None
        summary.append({"x": name, "mean": error, "low": None, "high": None, "n": int(both.sum())})

    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    with figure(1 if below is None else 2, 1, (WIDTH, 3.8 if below is None else 5.0), sharex=True) as (
        fig,
        axes,
    ):
        ax = axes[0]
        ax.plot(times, values, color="#222222", linewidth=1.1, label="truth")
        for i, (name, line) in enumerate(lines.items()):
            ax.plot(times, line, color=COLOURS[i % len(COLOURS)], linestyle=("-", *DASHES)[i % 6], label=name)
        for panel in axes:
            for i, (begin, end) in enumerate(regions):
                label = region_name if i == 0 and panel is ax else None
                panel.axvspan(begin, end, color="#F3D9A4", zorder=0.5, label=label)
        if below is not None:
            (line_below,) = axes[1].plot(times, below, color=COLOURS[1], linewidth=1.2)
            tell(line_below, "")
            axes[1].set_ylabel("score")
            if threshold is not None:
                axes[1].axhline(threshold, color="#222222", linewidth=1.4, linestyle=DASHES[0])
        ax.set_ylabel(y)
        axes[-1].set_xlabel(x)
        if times.dtype.kind == "M":
            locator = AutoDateLocator(maxticks=7)
            axes[-1].xaxis.set(major_locator=locator, major_formatter=ConciseDateFormatter(locator))
        if lines or regions:
            draw_legend(ax)

    text = f"{capitalize(y)} over {x}, {values.size} values from {_time_text(times[0])} to {_time_text(times[-1])}"
    if lines:
        text += "; root mean squared error of the forecasts: "
        text += ", ".join(f"{row['x']} {as_text(row['mean'])}" for row in summary)
    if len(regions):
        text += f"; {len(regions)} region{'s' if len(regions) > 1 else ''} marked as {region_name}"
    if below is not None:
        text += "; an anomaly score below"
        text += (
            "" if threshold is None else f", {int((below > threshold).sum())} values above {as_text(threshold)}"
        )
    points = {
        "time": times if np.issubdtype(times.dtype, np.number) else times.astype(str),
        "truth": values,
        "forecasts": lines,
        "regions": [list(map(str, region)) for region in regions],
    }
    return describe(
        fig, f"{text}.", kind="series", x=x, y=y, points=points | ({} if below is None else {"scores": below}),
        summary=summary or [{"x": "truth", "n": int(values.size)}], best=best_row(summary, False),
    )  # fmt: skip


def _time_text(time: Any) -> str:
    """A time with no more digits than tell months and minutes."""
    return f"{time:.6g}" if isinstance(time, float) else str(time)


def _times(time: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return times in their order: numbers, or datetimes."""
    times = as_array("time", time)
    if times.ndim != 1 or times.dtype.kind not in "fiuM":
        raise ValueError(
            f"time must be a flat sequence of numbers or datetimes, got dtype {times.dtype}, shape {times.shape}."
        )
    if np.isnat(times).any() if times.dtype.kind == "M" else not np.isfinite(times).all():
        raise ValueError(f"time must be finite, got {times.tolist()!r:.80}.")
    if (times[1:] < times[:-1]).any():
        raise ValueError(f"time must not go back, got {times.tolist()!r:.80}.")
    return times


def _values(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return numbers, NaN where there is none."""
    array = flat_numbers(name, values)
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite, or NaN where there is no value, got {array.tolist()!r:.80}.")
    return array


def _pairs(regions: Any, times: npt.NDArray[Any]) -> list[tuple[Any, Any]]:
    """Return regions as pairs of times."""
    pairs = list(regions) if isinstance(regions, list | tuple | np.ndarray) else [regions]
    for pair in pairs:
        if not isinstance(pair, list | tuple | np.ndarray) or len(pair) != 2:
            raise ValueError(f"regions must be pairs (begin, end) in time, got {pair!r:.80}.")
        ends = as_array("regions", list(pair))
        datetimes = times.dtype.kind == "M"
        if ends.dtype.kind not in ("M" if datetimes else "fiu") or not (ends[0] <= ends[1]):
            raise ValueError(f"regions must be pairs (begin, end) in time, begin first, got {pair!r:.80}.")
        if not datetimes and not np.isfinite(ends).all():
            raise ValueError(f"regions must be finite, got {pair!r:.80}.")
    return [(begin, end) for begin, end in pairs]
