"""Scores against one hyperparameter, every seed visible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ncps_mlx._trials import Trials, as_records, varied
from ncps_mlx.plots._axis import Scale, draw_off_scale, score_limits, with_baselines
from ncps_mlx.plots._captions import (
    as_text,
    baseline_note,
    best_row,
    capitalize,
    check_hyperparameter,
    checked_baselines,
    has_value,
    off_scale_note,
    score_name,
    score_of,
    spaced,
    summarize,
    task_note,
)
from ncps_mlx.plots._figure import COLOURS, MARKERS, describe, draw_baselines, draw_legend, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["sweep"]


def sweep(
    records: Trials,
    x: str,
    *,
    baselines: Mapping[str, float] | None = None,
    hue: str | None = None,
    log: bool | None = None,
    split: str = "validation",
) -> Figure:
    """Draw scores against one hyperparameter: every seed a dot, the mean with its Student interval, baselines dashed.

    Runs that diverged are crosses at the worse edge, and break the line of means; runs far off are triangles.

    Args:
        records: Trials of one metric. Where other hyperparameters vary too, :func:`~ncps_mlx.records.tuned` keeps the
            best for each value.
        x: The hyperparameter along the axis.
        baselines: Scores to beat, by name, such as ``task.baselines()``.
        hue: A second hyperparameter, by colour and marker.
        log: Logarithmic axis (default: where the values are geometric).
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, several metrics, or a hyperparameter that not all trials have.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"learning_rate": rate, "seed": seed, "score": 1 + abs(rate - 0.01) + seed / 10}
        ...         for rate in (0.001, 0.01, 0.1) for seed in range(3)]
        >>> plots.alt_text(plots.sweep(rows, "learning_rate", baselines={"ridge": 1.3}))
        'Validation score against learning rate, 3 seeds each: best 0.01 with 1.1 [0.9, 1.3]; baseline ridge 1.3.'
    """
    runs = as_records(records)
    check_hyperparameter("x", x, runs)
    if hue is not None:
        check_hyperparameter("hue", hue, runs)
    baselines = checked_baselines(baselines)
    higher = runs[0].higher_is_better
    scale = Scale(x, [run.config[x] for run in runs], log)
    hues = [None] if hue is None else Scale(hue, [run.config[hue] for run in runs]).values
    summary = []
    for shade in hues:
        for value in scale.values:
            scores = [
                score_of(run)
                for run in runs
                if has_value(run, x, value) and (hue is None or has_value(run, hue, shade))
            ]
            if scores:
                summary.append({"x": value} | ({} if hue is None else {hue: shade}) | summarize(scores))
    best = best_row(summary, higher)
    ends = [end for row in summary if row["n"] > 3 for end in (row["low"], row["high"]) if end is not None]
    scores = [score_of(run) for run in runs]
    limits = with_baselines(score_limits(scores, ends, higher_is_better=higher), baselines.values())
    y = score_name(runs, split)

    with figure() as (fig, (ax,)):
        from matplotlib.transforms import ScaledTranslation

        diverged = far = 0
        for i, shade in enumerate(hues):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            shift = ScaledTranslation((i - (len(hues) - 1) / 2) * 16 / 72, 0, fig.dpi_scale_trans)
            dot_shift = shift + ScaledTranslation(-6 / 72, 0, fig.dpi_scale_trans)
            shown = [run for run in runs if hue is None or has_value(run, hue, shade)]
            dots = [(scale.position(run.config[x]), score_of(run)) for run in shown]
            inside = [point for point in dots if limits[0] <= point[1] <= limits[1]]
            ax.plot(
                *np.array(inside or [(math.nan, math.nan)]).T, marker, color=colour, alpha=0.45, ms=5, mew=0,
                transform=ax.transData + dot_shift,
            )  # fmt: skip
            rows = [row for row in summary if hue is None or repr(row[hue]) == repr(shade)]
            ax.errorbar(
                [scale.position(row["x"]) for row in rows],
                [math.nan if row["mean"] is None else row["mean"] for row in rows],
                yerr=[[0 if row["low"] is None else (row["high"] - row["low"]) / 2 for row in rows]] * 2,
                color=colour, marker=marker, ms=8, capsize=4, label=None if hue is None else as_text(shade),
                linestyle="none" if scale.kind == "category" else "-", transform=ax.transData + shift,
            )  # fmt: skip
            lost = draw_off_scale(ax, dots, limits, higher_is_better=higher, colour=colour, shift=shift)
            diverged, far = diverged + lost[0], far + lost[1]
        ax.set_ylim(limits)
        ax.set_ylabel(y)
        scale.apply(ax, len(hues))
        if hue is not None:
            draw_legend(ax, spaced(hue))
        draw_baselines(ax, baselines, limits)

    counts = sorted({row["n"] for row in summary})
    others = [name for name in varied(runs) if name not in (x, hue)]
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    unit = "trials" if others else "seed" if counts == [1] else "seeds"
    if best is None:
        verdict = "no value converged with every seed"
    else:
        with_hue = "" if hue is None else f" with {spaced(hue)} {as_text(best[hue])}"
        verdict = f"best {as_text(best['x'])}{with_hue} with {as_text(best)}"
    text = (
        f"{capitalize(y)} against {spaced(x)}{task_note(runs)}, {each} {unit} each: {verdict}"
        f"{baseline_note(baselines)}.{off_scale_note(diverged, far)}"
    )
    points = [
        {"x": run.config[x], "seed": run.seed, "score": score_of(run), "status": run.status}
        | ({} if hue is None else {hue: run.config[hue]})
        for run in runs
    ]
    return describe(
        fig, text, kind="sweep", x=spaced(x), y=y, points=points, summary=summary, best=best, baselines=baselines
    )
