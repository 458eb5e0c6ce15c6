"""A study from its first trial to its last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._trials import Trials, as_records, mean_scores
from ncps_mlx.plots._axis import draw_off_scale, score_limits, with_baselines
from ncps_mlx.plots._captions import (
    baseline_words,
    best_row,
    capital,
    off_words,
    pruned_words,
    score_name,
    score_of,
    show,
    spread,
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
    given = dict(baselines or {})
    y = score_name(runs, split)
    best: dict[str, Any] | None = None
    summary: list[dict[str, Any]] = []
    groups = sorted(mean_scores(runs), key=lambda group: group[2][-1].trial)
    for _, _, group in groups:
        row = {"x": group[-1].trial} | spread([score_of(run) for run in group])
        row["pruned"] = sum(run.status == "pruned" for run in group)
        if not row["pruned"]:
            chosen = best_row([row] if best is None else [best, row], higher)
            best = chosen if best is None or (chosen is not None and chosen["mean"] != best["mean"]) else best
        summary.append(row | {"best": None if best is None else best["mean"]})
    line = [(row["x"], row["best"]) for row in summary if row["best"] is not None]
    improvements = len(dict.fromkeys(value for _, value in line))
    scores = [score_of(run) for run in runs]
    limits = with_baselines(score_limits(scores, higher_is_better=higher), given.values())

    from matplotlib.ticker import MaxNLocator

    with figure() as (fig, (ax,)):
        for pruned in (False, True):
            chosen_runs = [run for run in runs if (run.status == "pruned") == pruned]
            inside = [(r.trial, r.score) for r in chosen_runs if limits[0] <= score_of(r) <= limits[1]]
            if inside:
                ax.plot(
                    *np.array(inside).T, "o", ms=6, alpha=0.7, mec=COLOURS[0],
                    mfc="none" if pruned else COLOURS[0], label="pruned" if pruned else "trained to its end",
                )  # fmt: skip
        if line:
            ends = [*line, (runs[-1].trial, line[-1][1])]
            ax.plot(*zip(*ends, strict=True), color=COLOURS[1], drawstyle="steps-post", label="best so far")
        points = [(float(run.trial), score_of(run)) for run in runs]
        ax.set_ylim(limits)
        off = draw_off_scale(ax, points, limits, higher_is_better=higher, colour=COLOURS[1])
        ax.set_xlabel("trial")
        ax.set_ylabel(y)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if ax.get_legend_handles_labels()[1]:
            draw_legend(ax)
        draw_baselines(ax, given, limits)

    task = f" on {runs[0].task}" if runs[0].task else ""
    if best is None:
        verdict = "no configuration converged with every seed"
    else:
        times = f"the last of {improvements} improvements" if improvements > 1 else "the first one"
        verdict = f"best {show(best)} at trial {best['x']}, {times}"
    text = f"{capital(y)} of {len(runs)} trials{task} in their order: {verdict}{baseline_words(given)}."
    return describe(
        fig,
        text + pruned_words(runs) + off_words(*off),
        {
            "kind": "history",
            "x": "trial",
            "y": y,
            "points": [
                {"x": run.trial, "seed": run.seed, "score": score_of(run), "status": run.status}
                for run in runs
            ],
            "summary": summary,
            "best": best,
            "baselines": given,
        },
    )
