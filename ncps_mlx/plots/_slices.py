"""A search seen along each of its hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ncps_mlx._trials import Trials, as_records
from ncps_mlx.plots._axis import Scale, draw_off_scale, draw_trials, score_limits, with_baselines
from ncps_mlx.plots._captions import (
    baseline_note,
    best_configuration_note,
    best_row,
    capitalize,
    checked_baselines,
    configuration_rows,
    flat_rows,
    hyperparameters_of,
    list_hyperparameters,
    off_scale_note,
    pruned_note,
    score_name,
    score_of,
    task_note,
    trial_points,
)
from ncps_mlx.plots._figure import COLOURS, WIDTH, describe, draw_baselines, figure
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["slices"]


def slices(
    records: Trials,
    hyperparameters: Sequence[str] | None = None,
    *,
    baselines: Mapping[str, float] | None = None,
    split: str = "validation",
) -> Figure:
    """Draw every trial of a search against each of its hyperparameters, side by side; the best configuration is ringed.

    A best value at the end of a hyperparameter's range says that the range should be wider there.

    Args:
        records: Trials of one metric.
        hyperparameters: The hyperparameters, a panel each (default: all that vary).
        baselines: Scores to beat, by name.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, or no hyperparameter varies, or one that they do not have.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"hidden_size": 8 * i, "warmup_steps": 10 * i, "seed": 0, "score": 4.0 - i} for i in (1, 2, 3)]
        >>> plots.alt_text(plots.slices(rows))
        'Validation score of 3 trials against hidden size and warmup steps: best 1 at hidden size 24, warmup steps 30.'
    """
    runs = as_records(records)
    names = hyperparameters_of(runs, hyperparameters)
    baselines = checked_baselines(baselines)
    higher = runs[0].higher_is_better
    rows = configuration_rows(runs, names)
    best = best_row(rows, higher)
    for row in rows:
        del row["pruned"]  # hollow dots say it
    scores = [score_of(run) for run in runs]
    limits = with_baselines(score_limits(scores, higher_is_better=higher), baselines.values())
    y = score_name(runs, split)
    columns = min(len(names), 2)
    lines = math.ceil(len(names) / columns)
    height = 3.0 * lines + (0.6 if len(names) > 1 else 1.0)

    with figure(lines, columns, (WIDTH, height), sharey=True) as (fig, axes):
        for i, (ax, name) in enumerate(zip(axes, names, strict=False)):
            scale = Scale(name, [run.config[name] for run in runs])
            points = [(scale.position(run.config[name]), score_of(run)) for run in runs]
            draw_trials(ax, runs, points, limits)
            if best is not None:
                at = scale.position(best["x"][name]), best["mean"]
                (ring,) = ax.plot(*at, "o", ms=13, mfc="none", mec=COLOURS[1], mew=2.4)
                tell(ring, "the best configuration")
            ax.set_ylim(limits)
            off_scale = draw_off_scale(ax, points, limits, higher_is_better=higher, colour=COLOURS[1])
            scale.apply(ax)
            if i % columns == 0:
                ax.set_ylabel(y)
            rightmost = i % columns == columns - 1 or i == len(names) - 1
            draw_baselines(ax, baselines, limits, names=rightmost)
        for ax in axes[len(names) :]:
            ax.remove()

    verdict = best_configuration_note(best, "no configuration converged with every seed")
    text = f"{capitalize(y)} of {len(runs)} trials{task_note(runs)} against {list_hyperparameters(names)}: {verdict}"
    text += f"{baseline_note(baselines)}.{pruned_note(runs)}{off_scale_note(*off_scale)}"
    return describe(
        fig, text, kind="slices", x=names, y=y, best=best, baselines=baselines,
        points=trial_points(runs, names), summary=flat_rows(rows),
    )  # fmt: skip
