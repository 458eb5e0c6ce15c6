"""A search seen across all its hyperparameters at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._trials import Trials, as_records
from ncps_mlx.plots._axis import Scale, score_limits
from ncps_mlx.plots._captions import (
    as_text,
    best_configuration_note,
    best_row,
    capitalize,
    configuration_rows,
    flat_rows,
    hyperparameters_of,
    list_hyperparameters,
    pruned_note,
    score_name,
    task_note,
    trial_points,
)
from ncps_mlx.plots._figure import COLOURS, SMALL, WIDTH, describe, draw_legend, figure
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["parallel"]

BEST = 0.2  # share of the configurations that are drawn in colour
TICKS = 6  # values of a hyperparameter that still get a tick each
ROOM = 0.06  # between two ticks, as a share of the axis
STYLES: dict[str, dict[str, Any]] = {
    "best": {"color": COLOURS[1], "linewidth": 3.2, "marker": "o", "zorder": 3},
    "best fifth": {"color": COLOURS[0], "linewidth": 1.6, "zorder": 2},
    "the others": {"color": "#B8B8B8", "linewidth": 1.0, "linestyle": (0, (4, 2)), "zorder": 1},
}


def parallel(records: Trials, hyperparameters: Sequence[str] | None = None, *, split: str = "validation") -> Figure:
    """Draw each configuration as a line across one axis for each hyperparameter and one for its score.

    The best fifth is drawn in colour over the others, the best one thick; what was pruned ranks after what was not.
    Where its lines run together on an axis, that hyperparameter decided; where they are spread, it did not.

    Args:
        records: Trials of one metric.
        hyperparameters: The hyperparameters, an axis each (default: all that vary).
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, or no hyperparameter varies, or one that they do not have.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"hidden_size": 8 * i, "warmup_steps": 10 * i, "seed": 0, "score": 4.0 - i} for i in (1, 2, 3)]
        >>> plots.alt_text(plots.parallel(rows))
        'Validation score of 3 configurations across hidden size and warmup steps: ...'
    """
    runs = as_records(records)
    names = hyperparameters_of(runs, hyperparameters)
    higher = runs[0].higher_is_better
    rows = configuration_rows(runs, names)
    best = best_row(rows, higher)
    order = sorted(
        (row for row in rows if row["mean"] is not None),
        key=lambda row: (row["pruned"] > 0, -row["mean"] if higher else row["mean"]),
    )
    top = order[: max(1, math.ceil(BEST * len(order)))]
    scales = [Scale(name, [run.config[name] for run in runs]) for name in names]
    limits = score_limits([row["mean"] for row in order], higher_is_better=higher)
    y = score_name(runs, split)

    def score_height(mean: float | None) -> float:
        """The better the higher; what diverged, or lies beyond, at the bottom."""
        return 0.0 if mean is None else float(np.interp(mean, limits, (0, 1) if higher else (1, 0)))

    with figure(size=(max(WIDTH, 1.6 * (len(names) + 1)), 4.0)) as (fig, (ax,)):
        ax.grid(False)
        ax.spines[["left", "bottom"]].set_visible(False)
        labels: set[str] = set()
        for row in [*(row for row in rows if row not in top), *reversed(top)]:
            kind = "best" if row is best else "best fifth" if row in top else "the others"
            heights = [scale.fraction(row["x"][scale.name]) for scale in scales] + [score_height(row["mean"])]
            (line,) = ax.plot(range(len(heights)), heights, label=None if kind in labels else kind, **STYLES[kind])
            texts = [*(as_text(row["x"][name]) for name in names), "diverged" if row["mean"] is None else as_text(row)]
            tell(line, kind, y=texts)
            labels.add(kind)
        for i, scale in enumerate(scales):
            _draw_axis(ax, i, _ticks(scale))
        _draw_axis(ax, len(names), [(score_height(limit), f"{limit:.3g}") for limit in limits])
        axis_names = [*(name.replace("_", "\n") for name in names), y.replace(" ", "\n", 1)]
        ax.set_xticks(range(len(axis_names)), axis_names)
        ax.tick_params(axis="x", length=0)
        ax.set_yticks([])
        ax.set_xlim(-0.1, len(names) + 0.45)
        ax.set_ylim(-0.05, 1.05)
        draw_legend(ax)

    verdict = best_configuration_note(best, "none converged with every seed")
    across = list_hyperparameters(names)
    text = f"{capitalize(y)} of {len(rows)} configurations{task_note(runs)} across {across}: {verdict}."
    lost = sum(row["mean"] is None for row in rows)
    lost_note = f" {lost} with diverged runs, ending at the bottom." if lost else ""
    return describe(
        fig, text + pruned_note(runs) + lost_note, kind="parallel", x=names, y=y, best=best,
        points=trial_points(runs, names), summary=flat_rows(rows),
    )  # fmt: skip


def _ticks(scale: Scale) -> list[tuple[float, str]]:
    """Heights and texts of an axis: every value where they are few, else the ends."""
    few = scale.kind == "category" or len(scale.values) <= TICKS
    ticks: list[tuple[float, str]] = []
    for value in scale.values if few else (scale.values[0], scale.values[-1]):
        height = scale.fraction(value)
        if not ticks or height - ticks[-1][0] > ROOM:
            ticks.append((height, f"{value:.2g}" if isinstance(value, float) else as_text(value)))
    return ticks


def _draw_axis(ax: Axes, x: float, ticks: Sequence[tuple[float, str]]) -> None:
    ax.axvline(x, 0.05 / 1.1, 1.05 / 1.1, color="#444444", linewidth=1.0, zorder=4)  # from 0 to 1
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
    for height, text in ticks:
        ax.annotate(
            text, (x, height), xytext=(5, 0), textcoords="offset points", va="center", fontsize=SMALL, zorder=5,
            bbox=box,
        )  # fmt: skip
