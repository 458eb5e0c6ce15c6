"""What a search would have found with less."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ncps_mlx._trials import Trials, as_records, mean_scores
from ncps_mlx._utils.validation import check_choice, check_mapping
from ncps_mlx.plots._axis import score_limits, with_baselines
from ncps_mlx.plots._captions import (
    as_text,
    baseline_note,
    best_row,
    checked_baselines,
    score_name,
    score_of,
    summarize,
    task_note,
)
from ncps_mlx.plots._figure import COLOURS, DASHES, MARKERS, describe, draw_baselines, draw_legend, figure
from ncps_mlx.stats import expected_best as expected_best_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["expected_best"]


def expected_best(
    studies: Trials | Mapping[str, Trials],
    *,
    cost: str = "configurations",
    baselines: Mapping[str, float] | None = None,
    split: str = "validation",
) -> Figure:
    """Draw the expected best score had fewer configurations been tried, for one study or several.

    A configuration's score is the mean over its seeds; infinitely bad if one of them diverged. A curve begins where
    no draw consists of diverged configurations alone.

    Args:
        studies: Trials of one study, or several studies by name.
        cost: The axis: ``"configurations"``, or ``"seconds"`` (their mean training time).
        baselines: Scores to beat, by name.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, several metrics, or an unknown cost.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"learning_rate": 10.0**-i, "seed": 0, "score": float(i)} for i in (1, 2, 3)]
        >>> plots.alt_text(plots.expected_best({"random": rows}))
        'Expected best validation score against configurations tried: random from 2 after 1 to 1 after 3.'
    """
    check_choice("cost", cost, ("configurations", "seconds"))
    by_name = check_mapping("studies", studies, "trials") if isinstance(studies, Mapping) else {"": studies}
    groups = {
        name: as_records(trials, f"studies[{name!r}]" if name else "studies")
        for name, trials in cast(Mapping[str, Trials], by_name).items()
    }
    if not groups:
        raise ValueError("studies must hold at least 1 study, got none.")
    every = [run for runs in groups.values() for run in runs]
    higher = every[0].higher_is_better
    baselines = checked_baselines(baselines)
    y = score_name(every, split)
    points, summary = [], []
    for name, runs in groups.items():
        configs = mean_scores(runs)
        scores = [float(np.mean([score_of(run) for run in group])) for _, _, group in configs]
        unit = sum(run.seconds for run in runs) / len(scores) if cost == "seconds" else 1
        curve = expected_best_of(scores, higher_is_better=higher)
        points += [
            {"study": name, "x": (k + 1) * unit, "score": value, "configuration_score": scores[k]}
            for k, value in enumerate(curve)
        ]
        end = float(curve[-1])
        row: dict[str, Any] = {"x": name or "study", "mean": end if math.isfinite(end) else None}
        group = min(configs, key=lambda item: -item[1] if higher else item[1])[2]
        of_best = summarize([score_of(run) for run in group], group[0].metric)
        row |= {"low": of_best["low"], "high": of_best["high"], "n": of_best["n"], "tried": len(scores)}
        summary.append(row | {"diverged": sum(not math.isfinite(score) for score in scores)})
    finite = [point for point in points if math.isfinite(point["score"])]
    limits = with_baselines(
        score_limits([p["score"] for p in finite], higher_is_better=higher), baselines.values()
    )

    with figure() as (fig, (ax,)):
        for i, name in enumerate(groups):
            drawn = [(point["x"], point["score"]) for point in finite if point["study"] == name]
            if drawn:
                ax.plot(
                    *zip(*drawn, strict=True), color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
                    ms=5, markevery=max(1, len(drawn) // 10), linestyle="-" if i == 0 else DASHES[i % 5],
                    label=name or None,
                )  # fmt: skip
        ax.set_ylim(limits)
        ax.set_ylabel(f"expected best\n{y}")
        ax.set_xlabel("seconds of training" if cost == "seconds" else "configurations tried")
        if len(groups) > 1:
            draw_legend(ax)
        draw_baselines(ax, baselines, limits)

    clauses = []
    for name in groups:
        drawn = [(point["x"], point["score"]) for point in finite if point["study"] == name]
        head = f"{name} " if name else ""
        if drawn:
            (first, begin), (last, end) = drawn[0], drawn[-1]
            after_first = f"from {as_text(begin)} after {as_text(first)}"
            clauses.append(f"{head}{after_first} to {as_text(end)} after {as_text(last)}")
        else:
            clauses.append(f"{head}no configuration converged")
    against = "seconds of training" if cost == "seconds" else "configurations tried"
    lost = sum(row["diverged"] for row in summary)
    lost_note = f" {lost} configurations diverged and count as infinitely bad." if lost else ""
    text = f"Expected best {y}{task_note(every)} against {against}: {'; '.join(clauses)}{baseline_note(baselines)}."
    return describe(
        fig, text + lost_note, kind="expected_best", x=against, y=y, points=points, summary=summary,
        best=best_row(summary, higher), baselines=baselines,
    )  # fmt: skip
