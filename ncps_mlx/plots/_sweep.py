"""Scores against one hyperparameter, every seed visible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from ncps_mlx.plots._figure import (
    COLOURS,
    DASHES,
    MARKERS,
    WIDTH,
    describe,
    draw_baselines,
    draw_legend,
    figure,
)
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ncps_mlx._trials import TrialResult

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

    Runs that diverged are crosses at the worse edge, and break the line of means; runs far off are triangles. Trials of
    several tasks get a panel for each task, with an axis of scores of its own.

    Args:
        records: Trials, on each task of one metric. Where other hyperparameters vary too,
            :func:`~ncps_mlx.records.tuned` keeps the best for each value.
        x: The hyperparameter along the axis.
        baselines: Scores to beat, by name, such as ``task.baselines()``; with several tasks none.
        hue: A second hyperparameter, by colour, marker and dashes.
        log: Logarithmic axis (default: where the values are geometric).
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`, of several tasks with the best of each by its name.

    Raises:
        ValueError: No trials, several metrics on one task, a hyperparameter that not all trials have, or baselines with
            several tasks.

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
    scale = Scale(x, [run.config[x] for run in runs], log)
    hues = [None] if hue is None else Scale(hue, [run.config[hue] for run in runs]).values
    tasks = list(dict.fromkeys(run.task for run in runs))
    if len(tasks) > 1 and baselines:
        raise ValueError(f"baselines must be left out with trials of several tasks ({', '.join(tasks)}), got some.")
    of_task = {task: [run for run in runs if run.task == task] for task in tasks}
    summaries = {task: _summarize(of_task[task], x, scale, hue, hues) for task in tasks}
    names = {task: score_name(of_task[task], split) for task in tasks}

    columns = min(len(tasks), 2)
    lines = math.ceil(len(tasks) / columns)
    with figure(lines, columns, None if len(tasks) == 1 else (WIDTH, 2.9 * lines + 0.5)) as (fig, axes):
        off_scale = [0, 0]
        for ax, task in zip(axes, tasks, strict=False):
            lost = _draw(ax, of_task[task], summaries[task], x, scale, hue, hues, baselines)
            off_scale = [total + more for total, more in zip(off_scale, lost, strict=True)]
            ax.set_ylabel(names[task])
            scale.apply(ax, len(hues) * columns)  # side by side there is less room
            if len(tasks) > 1:
                ax.set_title(task)
        for ax in axes[len(tasks) :]:
            ax.remove()
        if hue is not None:
            draw_legend(axes[0], spaced(hue))

    bests = {task: best_row(summaries[task], of_task[task][0].higher_is_better) for task in tasks}
    found = {task: _verdict(bests[task], hue) for task in tasks}
    counts = sorted({row["n"] for rows in summaries.values() for row in rows})
    others = [name for name in varied(runs) if name not in (x, hue)]
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    unit = "trials" if others else "seed" if counts == [1] else "seeds"
    if len(tasks) == 1:
        y, where, verdict = names[tasks[0]], task_note(runs), found[tasks[0]]
    else:
        y, where = f"{split} score".strip(), f" on {len(tasks)} tasks"
        verdict = "; ".join(f"{names[task]} on {task}, {found[task]}" for task in tasks)
    text = (
        f"{capitalize(y)} against {spaced(x)}{where}, {each} {unit} each: {verdict}"
        f"{baseline_note(baselines)}.{off_scale_note(*off_scale)}"
    )
    panel = {task: {} if len(tasks) == 1 else {"task": task} for task in tasks}
    points = [
        {"x": run.config[x], "seed": run.seed, "score": score_of(run), "status": run.status}
        | ({} if hue is None else {hue: run.config[hue]})
        | panel[run.task]
        for run in runs
    ]
    summary = [{"x": row["x"]} | panel[task] | row for task in tasks for row in summaries[task]]
    best: Any = bests if len(tasks) > 1 else bests[tasks[0]]
    return describe(
        fig, text, kind="sweep", x=spaced(x), y=y, points=points, summary=summary, best=best, baselines=baselines
    )


def _summarize(
    runs: Sequence[TrialResult], x: str, scale: Scale, hue: str | None, hues: Sequence[Any]
) -> list[dict[str, Any]]:
    """A row for each value of ``x``, and of ``hue``, that has trials."""
    summary = []
    for shade in hues:
        for value in scale.values:
            scores = [
                score_of(run)
                for run in runs
                if has_value(run, x, value) and (hue is None or has_value(run, hue, shade))
            ]
            if scores:
                summary.append({"x": value} | ({} if hue is None else {hue: shade}) | summarize(scores, runs[0].metric))
    return summary


def _draw(
    ax: Axes, runs: Sequence[TrialResult], summary: Sequence[Mapping[str, Any]], x: str, scale: Scale, hue: str | None,
    hues: Sequence[Any], baselines: Mapping[str, float],
) -> tuple[int, int]:  # fmt: skip
    """Draw the trials of one task; return how many diverged, and how many are far off."""
    from matplotlib.transforms import ScaledTranslation

    higher = runs[0].higher_is_better
    ends = [end for row in summary if row["n"] > 3 for end in (row["low"], row["high"]) if end is not None]
    limits = score_limits([score_of(run) for run in runs], ends, higher_is_better=higher)
    limits = with_baselines(limits, baselines.values())
    diverged = far = 0
    single = len(ax.figure.axes) == 1
    crowded = len(hues) * len(scale.values) > (24 if single else 10)
    apart = 8 if crowded else 16 if single else 10  # points between what is side by side
    for i, shade in enumerate(hues):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        shift = ScaledTranslation((i - (len(hues) - 1) / 2) * apart / 72, 0, ax.figure.dpi_scale_trans)
        dot_shift = shift + ScaledTranslation(-apart / 2.7 / 72, 0, ax.figure.dpi_scale_trans)
        shown = [run for run in runs if hue is None or has_value(run, hue, shade)]
        dots = [(scale.position(run.config[x]), score_of(run)) for run in shown]
        inside = [point for point in dots if limits[0] <= point[1] <= limits[1]]
        (drawn,) = ax.plot(
            *np.array(inside or [(math.nan, math.nan)]).T, marker, color=colour, alpha=0.45, mew=0,
            ms=4 if crowded else 5, transform=ax.transData + dot_shift,
        )  # fmt: skip
        whose = "" if hue is None else f"{spaced(hue)} {as_text(shade)}"
        seeds = [run.seed for run, dot in zip(shown, dots, strict=True) if limits[0] <= dot[1] <= limits[1]]
        tell(drawn, [", ".join(filter(None, [whose, f"seed {seed}"])) for seed in seeds] or None)
        rows = [row for row in summary if hue is None or repr(row[hue]) == repr(shade)]
        line = ("-", *DASHES)[i % (1 + len(DASHES))]
        means = ax.errorbar(
            [scale.position(row["x"]) for row in rows],
            [math.nan if row["mean"] is None else row["mean"] for row in rows],
            yerr=[
                [0 if row["low"] is None else sign * (row[end] - row["mean"]) for row in rows]
                for sign, end in ((-1, "low"), (1, "high"))
            ],
            color=colour, marker=marker, ms=5 if crowded else 8, capsize=2 if crowded else 4,
            label=None if hue is None else as_text(shade),
            linestyle="none" if scale.kind == "category" else line, transform=ax.transData + shift,
        )  # fmt: skip
        tell(means, [", ".join(filter(None, [whose, f"mean of {row['n']}"])) for row in rows])
        lost = draw_off_scale(ax, dots, limits, higher_is_better=higher, colour=colour, shift=shift, name=whose)
        diverged, far = diverged + lost[0], far + lost[1]
    ax.set_ylim(limits)
    draw_baselines(ax, baselines, limits)
    return diverged, far


def _verdict(best: Mapping[str, Any] | None, hue: str | None) -> str:
    """Say which value is the best, with its score."""
    if best is None:
        return "no value converged with every seed"
    with_hue = "" if hue is None else f" with {spaced(hue)} {as_text(best[hue])}"
    return f"best {as_text(best['x'])}{with_hue} with {as_text(best)}"
