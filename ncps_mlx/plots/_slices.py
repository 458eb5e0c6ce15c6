"""A search seen along each of its knobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ncps_mlx._trials import Trials, as_records, mean_scores
from ncps_mlx.plots._axis import Scale, draw_off_scale, score_limits, with_baselines
from ncps_mlx.plots._captions import (
    baseline_words,
    best_row,
    capital,
    knobs_of,
    off_words,
    pruned_words,
    score_name,
    score_of,
    show,
    spread,
)
from ncps_mlx.plots._figure import COLOURS, describe, draw_baselines, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["slices"]


def slices(
    records: Trials,
    knobs: Sequence[str] | None = None,
    *,
    baselines: Mapping[str, float] | None = None,
    split: str = "validation",
) -> Figure:
    """Draw every trial of a search against each of its knobs, side by side; the best configuration is ringed.

    A best value at the end of a knob's range says that the range should be wider there.

    Args:
        records: Trials of one metric.
        knobs: The knobs, a panel each (default: all that vary).
        baselines: Scores to beat, by name.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, or no knob varies, or one that they do not have.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"hidden_size": 8 * i, "warmup_steps": 10 * i, "seed": 0, "score": 4.0 - i} for i in (1, 2, 3)]
        >>> plots.alt_text(plots.slices(rows))
        'Validation score of 3 trials against hidden size and warmup steps: best 1 at hidden size 24, warmup steps 30.'
    """
    runs = as_records(records)
    names = knobs_of(runs, knobs)
    given = dict(baselines or {})
    higher = runs[0].higher_is_better
    configs = mean_scores(runs)
    rows = [
        {"x": {name: config[name] for name in names}} | spread([score_of(run) for run in group])
        for config, _, group in configs
    ]
    groups = [group for _, _, group in configs]
    ended = [
        row for row, group in zip(rows, groups, strict=True) if all(run.status != "pruned" for run in group)
    ]
    best = best_row(ended, higher)
    scores = [score_of(run) for run in runs]
    limits = with_baselines(score_limits(scores, higher_is_better=higher), given.values())
    y = score_name(runs, split)
    columns = min(len(names), 2)
    height = 3.0 * math.ceil(len(names) / columns) + (0.6 if len(names) > 1 else 1.0)

    with figure(math.ceil(len(names) / columns), columns, (7.0, height), sharey=True) as (fig, axes):
        off = (0, 0)
        for i, (ax, name) in enumerate(zip(axes, names, strict=False)):
            scale = Scale(name, [run.config[name] for run in runs])
            points = [(scale.place(run.config[name]), score_of(run)) for run in runs]
            for pruned in (False, True):  # pruned ones are drawn hollow
                inside = [
                    point
                    for point, run in zip(points, runs, strict=True)
                    if limits[0] <= point[1] <= limits[1] and (run.status == "pruned") == pruned
                ]
                ax.plot(
                    *np.array(inside or [(math.nan, math.nan)]).T, "o", alpha=0.6, ms=6, mew=1.2 * pruned,
                    mfc="none" if pruned else COLOURS[0], mec=COLOURS[0],
                )  # fmt: skip
            if best is not None:
                ax.plot(
                    scale.place(best["x"][name]),
                    best["mean"],
                    "o",
                    ms=13,
                    mfc="none",
                    mec=COLOURS[1],
                    mew=2.4,
                )
            ax.set_ylim(limits)
            off = draw_off_scale(ax, points, limits, higher_is_better=higher, colour=COLOURS[1])
            scale.apply(ax)
            if i % columns == 0:
                ax.set_ylabel(y)
            rightmost = i % columns == columns - 1 or i == len(names) - 1
            draw_baselines(ax, given, limits, names=rightmost)
        for ax in axes[len(names) :]:
            ax.remove()

    task = f" on {runs[0].task}" if runs[0].task else ""
    listed = " and ".join(
        filter(None, [", ".join(n.replace("_", " ") for n in names[:-1]), names[-1].replace("_", " ")])
    )
    if best is None:
        verdict = "no configuration converged with every seed"
    else:
        at = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in best["x"].items())
        verdict = f"best {show(best)} at {at}"
    text = f"{capital(y)} of {len(runs)} trials{task} against {listed}: {verdict}{baseline_words(given)}."
    return describe(
        fig,
        text + pruned_words(runs) + off_words(*off),
        {
            "kind": "slices",
            "x": names,
            "y": y,
            "points": [
                {"x": {name: run.config[name] for name in names}, "seed": run.seed, "score": score_of(run)}
                | {"status": run.status}
                for run in runs
            ],
            "summary": [
                row["x"] | {key: row[key] for key in ("mean", "low", "high", "n", "diverged")} for row in rows
            ],
            "best": best,
            "baselines": given,
        },
    )
