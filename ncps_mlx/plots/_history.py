"""A study from its first trial to its last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ncps_mlx._trials import Trials, as_records, mean_scores
from ncps_mlx.plots._axis import draw_off_scale, draw_trials, score_limits, with_baselines
from ncps_mlx.plots._captions import (
    as_text,
    baseline_note,
    best_row,
    capitalize,
    checked_baselines,
    off_scale_note,
    pruned_note,
    score_name,
    score_of,
    summarize,
    task_note,
    trial_points,
)
from ncps_mlx.plots._figure import COLOURS, describe, draw_baselines, draw_legend, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["history"]


def history(
    records: Trials,
    *,
    baselines: Mapping[str, float] | None = None,
    split: str = "validation",
) -> Figure:
    """Draw every trial in the order of its number, and the best configuration so far.

    The line follows the mean over the seeds of each configuration, and counts those that were trained to their end.
    A line that still falls at its right end asks for more trials.

    Args:
        records: Trials of one study.
        baselines: Scores to beat, by name.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, or several metrics.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"learning_rate": rate, "seed": 0, "score": score}
        ...         for rate, score in ((0.1, 4.0), (0.03, 2.0), (0.01, 3.0))]
        >>> plots.alt_text(plots.history(rows))
        'Validation score of 3 trials in their order: best 2 at trial 1, the last of 2 improvements.'
    """
    runs = sorted(as_records(records), key=lambda run: run.trial)
    higher = runs[0].higher_is_better
    baselines = checked_baselines(baselines)
    y = score_name(runs, split)
    best: dict[str, Any] | None = None
    summary: list[dict[str, Any]] = []
    for _, _, group in sorted(mean_scores(runs), key=lambda group: group[2][-1].trial):
        row = {"x": group[-1].trial} | summarize([score_of(run) for run in group], group[0].metric)
        row["pruned"] = sum(run.status == "pruned" for run in group)
        best = best_row([row] if best is None else [best, row], higher)
        summary.append(row | {"best": None if best is None else best["mean"]})
    line = [(row["x"], row["best"]) for row in summary if row["best"] is not None]
    improvements = len(dict.fromkeys(value for _, value in line))
    points = [(float(run.trial), score_of(run)) for run in runs]
    limits = score_limits([score for _, score in points], higher_is_better=higher)
    limits = with_baselines(limits, baselines.values())

    from matplotlib.ticker import MaxNLocator

    with figure() as (fig, (ax,)):
        draw_trials(ax, runs, points, limits, labels=True)
        if line:
            ends = [*line, (runs[-1].trial, line[-1][1])]
            ax.plot(*zip(*ends, strict=True), color=COLOURS[1], drawstyle="steps-post", label="best so far")
        ax.set_ylim(limits)
        off_scale = draw_off_scale(ax, points, limits, higher_is_better=higher, colour=COLOURS[1])
        ax.set_xlabel("trial")
        ax.set_ylabel(y)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if ax.get_legend_handles_labels()[1]:
            draw_legend(ax)
        draw_baselines(ax, baselines, limits)

    if best is None:
        verdict = "no configuration converged with every seed"
    else:
        times = f"the last of {improvements} improvements" if improvements > 1 else "the first one"
        verdict = f"best {as_text(best)} at trial {best['x']}, {times}"
    text = f"{capitalize(y)} of {len(runs)} trials{task_note(runs)} in their order: {verdict}"
    text += f"{baseline_note(baselines)}.{pruned_note(runs)}{off_scale_note(*off_scale)}"
    points_shown = [point | {"x": run.trial} for point, run in zip(trial_points(runs, ()), runs, strict=True)]
    return describe(
        fig, text, kind="history", x="trial", y=y, points=points_shown, summary=summary, best=best,
        baselines=baselines,
    )  # fmt: skip
