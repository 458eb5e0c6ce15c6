"""A search seen across all its knobs at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ncps_mlx._trials import Trials, as_records, mean_scores
from ncps_mlx.plots._axis import Scale, score_limits
from ncps_mlx.plots._captions import (
    best_row,
    capital,
    knobs_of,
    pruned_words,
    score_name,
    score_of,
    show,
    spread,
)
from ncps_mlx.plots._figure import COLOURS, describe, draw_legend, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["parallel"]

BEST = 0.2  # share of the configurations that are drawn in colour
TICKS = 6  # at most so many values get a tick each
ROOM = 0.06  # between two ticks, as a share of the axis


def parallel(records: Trials, knobs: Sequence[str] | None = None, *, split: str = "validation") -> Figure:
    """Draw each configuration as a line across one axis for each knob and one for its score.

    The best fifth is drawn in colour over the others, the best one thick; what was pruned ranks after what was not.
    Where its lines run together on an axis, that knob decided; where they are spread, it did not.

    Args:
        records: Trials of one metric.
        knobs: The knobs, an axis each (default: all that vary).
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, or no knob varies, or one that they do not have.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"hidden_size": 8 * i, "warmup_steps": 10 * i, "seed": 0, "score": 4.0 - i} for i in (1, 2, 3)]
        >>> plots.alt_text(plots.parallel(rows))
        'Validation score of 3 configurations across hidden size and warmup steps: ...'
    """
    runs = as_records(records)
    names = knobs_of(runs, knobs)
    higher = runs[0].higher_is_better
    rows: list[dict[str, Any]] = [
        {"x": {name: config[name] for name in names}}
        | spread([score_of(run) for run in group])
        | {"pruned": sum(run.status == "pruned" for run in group)}
        for config, _, group in mean_scores(runs)
    ]
    best = best_row([row for row in rows if not row["pruned"]], higher)
    order = sorted(
        (row for row in rows if row["mean"] is not None),
        key=lambda row: (row["pruned"] > 0, -row["mean"] if higher else row["mean"]),
    )
    top = order[: max(1, math.ceil(BEST * len(order)))]
    scales = {name: Scale(name, [run.config[name] for run in runs]) for name in names}
    limits = score_limits(
        [math.nan if row["mean"] is None else row["mean"] for row in rows], higher_is_better=higher
    )
    y = score_name(runs, split)

    with figure(size=(max(7.0, 1.6 * (len(names) + 1)), 4.0)) as (fig, (ax,)):
        ax.grid(False)
        ax.spines[["left", "bottom"]].set_visible(False)
        labels: dict[str, None] = {}
        for row in [*(row for row in rows if row not in top), *reversed(top)]:
            kind = "best" if row is best else "best fifth" if row in top else "the others"
            styles: dict[str, dict[str, Any]] = {
                "best": {"color": COLOURS[1], "linewidth": 3.2, "marker": "o", "zorder": 3},
                "best fifth": {"color": COLOURS[0], "linewidth": 1.6, "zorder": 2},
                "the others": {"color": "#B8B8B8", "linewidth": 1.0, "linestyle": (0, (4, 2)), "zorder": 1},
            }
            heights = [_height(scales[name], row["x"][name]) for name in names]
            heights.append(_score_height(row["mean"], limits, higher))
            ax.plot(range(len(heights)), heights, label=None if kind in labels else kind, **styles[kind])
            labels[kind] = None
        for i, name in enumerate(names):
            _draw_axis(ax, i, _ticks(scales[name]))
        ends = [(_score_height(value, limits, higher), f"{value:.3g}") for value in limits]
        lost = sum(row["mean"] is None for row in rows)
        _draw_axis(ax, len(names), ends)
        ax.set_xticks(
            range(len(names) + 1), [*(name.replace("_", "\n") for name in names), y.replace(" ", "\n", 1)]
        )
        ax.tick_params(axis="x", length=0)
        ax.set_yticks([])
        ax.set_xlim(-0.1, len(names) + 0.45)
        ax.set_ylim(-0.05, 1.05)
        draw_legend(ax)

    listed = " and ".join(
        filter(None, [", ".join(n.replace("_", " ") for n in names[:-1]), names[-1].replace("_", " ")])
    )
    task = f" on {runs[0].task}" if runs[0].task else ""
    if best is None:
        verdict = "none converged with every seed"
    else:
        at = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in best["x"].items())
        verdict = f"best {show(best)} at {at}"
    said = f" {lost} with diverged runs, ending at the bottom." if lost else ""
    text = f"{capital(y)} of {len(rows)} configurations{task} across {listed}: {verdict}."
    return describe(
        fig,
        text + pruned_words(runs) + said,
        {
            "kind": "parallel",
            "x": names,
            "y": y,
            "points": [
                {"x": {name: run.config[name] for name in names}, "seed": run.seed, "score": score_of(run)}
                | {"status": run.status}
                for run in runs
            ],
            "summary": [
                row["x"] | {key: row[key] for key in ("mean", "low", "high", "n", "diverged", "pruned")}
                for row in rows
            ],
            "best": best,
            "baselines": {},
        },
    )


def _height(scale: Scale, value: Any) -> float:
    """Where a value lies between the least and the greatest, from 0 to 1."""
    if scale.kind == "category":
        return 0.5 if len(scale.values) == 1 else scale.place(value) / (len(scale.values) - 1)
    low, high = scale.values[0], scale.values[-1]
    if low == high:
        return 0.5
    if scale.kind == "log":
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _score_height(mean: float | None, limits: tuple[float, float], higher: bool) -> float:
    """The better score higher up; what diverged, or lies beyond, at the bottom."""
    if mean is None:
        return 0.0
    share = (mean - limits[0]) / (limits[1] - limits[0])
    return min(max(share if higher else 1 - share, 0.0), 1.0)


def _ticks(scale: Scale) -> list[tuple[float, str]]:
    """Heights and texts of an axis: every value where they are few, else the ends."""
    few = scale.kind == "category" or len(scale.values) <= TICKS
    values = scale.values if few else [scale.values[0], scale.values[-1]]
    ticks: list[tuple[float, str]] = []
    for value in values:
        height = _height(scale, value)
        if not ticks or height - ticks[-1][0] > ROOM:
            ticks.append((height, f"{value:.2g}" if isinstance(value, float) else show(value)))
    return ticks


def _draw_axis(ax: Axes, x: float, ticks: Sequence[tuple[float, str]]) -> None:
    ax.plot([x, x], [0, 1], color="#444444", linewidth=1.0, zorder=4)
    for height, text in ticks:
        ax.annotate(
            text,
            (x, height),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=11,
            zorder=5,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
        )
