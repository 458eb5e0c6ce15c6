"""Scores and losses over the steps of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._trials import History, TrialResult, check_records
from ncps_mlx._utils.validation import check_flag, check_text
from ncps_mlx.plots._axis import score_limits, with_baselines
from ncps_mlx.plots._captions import (
    as_text,
    baseline_note,
    best_row,
    capitalize,
    check_hyperparameter,
    checked_baselines,
    score_name,
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
    from matplotlib.figure import Figure

__all__ = ["learning_curves"]


def learning_curves(
    trials: TrialResult | History | Sequence[TrialResult | History] | Mapping[str, TrialResult | History],
    *,
    hue: str | None = None,
    train: bool = False,
    baselines: Mapping[str, float] | None = None,
    higher_is_better: bool = False,
    split: str = "validation",
) -> Figure:
    """Draw validation scores over training steps, a line for each trial; dots mark the parameters kept.

    Args:
        trials: Records with their histories or the histories of :func:`~ncps_mlx.fit`, one or several; or a mapping
            of names to them.
        hue: A hyperparameter that gives the colour (records); default: a colour each for up to seven trials.
        train: Draw the training loss too, in a panel below.
        baselines: Scores to beat, by name.
        higher_is_better: Direction of the score; records know theirs.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, something that is neither record nor history, a trial without history, or a
            hyperparameter that they do not have.

    Example:
        >>> from ncps_mlx import History, plots
        >>> history = History(
        ...     step=(10, 20), train_loss=(1.0, 0.6), validation_score=(9.0, 7.0), best_step=20, best_score=7.0)
        >>> plots.alt_text(plots.learning_curves({"CfC": history}))
        'Validation score over training steps, 1 run: best CfC with 7 at step 20.'
    """
    if isinstance(trials, TrialResult | History):
        trials = [trials]
    check_records(trials, "trials")
    named: dict[str, Any] = dict(trials) if isinstance(trials, Mapping) else {}
    given = list(named.values() if named else trials)
    if not given:
        raise ValueError("trials must hold at least 1 trial, got none.")
    for run in given:
        if not isinstance(run, TrialResult | History):
            raise ValueError(f"trials must be records with a history, or histories of fit, got {run!r:.80}.")
    if not named and any(isinstance(run, History) for run in given):
        named = {f"run {i}": run for i, run in enumerate(given)}
    runs = [run for run in given if isinstance(run, TrialResult)]
    if hue is not None:
        if len(runs) != len(given):
            raise ValueError(f"hue must be None for histories, which have no hyperparameters, got {hue!r}.")
        check_hyperparameter("hue", hue, runs)
    names = list(named) or [
        as_text(run.config[hue]) if hue is not None else f"trial {run.trial}, seed {run.seed}" for run in runs
    ]
    curves = []
    for run in given:
        history = run.history if isinstance(run, TrialResult) else run
        if history is None or not history.step:
            raise ValueError(f"trials must have a history of at least 1 evaluation, got {run}.")
        curves.append(history)
    check_flag("train", train)
    given_higher = check_flag("higher_is_better", higher_is_better)
    higher = runs[0].higher_is_better if runs else given_higher
    y = score_name(runs, split) if runs else f"{check_text('split', split)} score"
    baselines = checked_baselines(baselines)
    labels = list(dict.fromkeys(names))
    everything = [score for curve in curves for score in curve.validation_score]
    limits = with_baselines(score_limits(everything, higher_is_better=higher), baselines.values())
    points: list[dict[str, Any]] = []
    diverged = 0
    for i, (name, curve) in enumerate(zip(names, curves, strict=True)):
        kept = [s for at, s in zip(curve.step, curve.validation_score, strict=True) if at == curve.best_step]
        failed = not math.isfinite(curve.validation_score[-1]) or not math.isfinite(curve.train_loss[-1])
        diverged += failed
        worst = -math.inf if higher else math.inf
        final = worst if failed or not kept else kept[0]
        points.append(
            {"x": name, "seed": getattr(given[i], "seed", None), "score": final, "best_step": curve.best_step}
            | {"step": curve.step, "validation_score": curve.validation_score, "train_loss": curve.train_loss}
        )
    metric = runs[0].metric if runs else ""
    summary = [
        {"x": label} | summarize([point["score"] for point in points if point["x"] == label], metric)
        for label in labels
    ]
    best = best_row(summary, higher)

    with figure(2 if train else 1, 1, (WIDTH, 5.7 if train else 3.8), sharex=True) as (fig, axes):
        for name, curve, point in zip(names, curves, points, strict=True):
            i = labels.index(name)
            colour = COLOURS[i % len(COLOURS)]
            look: dict[str, Any] = {
                "color": colour,
                "alpha": 0.85,
                "linestyle": ("-", *DASHES)[i % (1 + len(DASHES))],
            }
            (line,) = axes[0].plot(curve.step, curve.validation_score, **look)
            line.set_label(name if names.index(name) == points.index(point) else None)
            whose = name if hue is None else f"{spaced(hue)} {name}, seed {point['seed']}"
            tell(line, whose)
            if math.isfinite(point["score"]):
                (kept_one,) = axes[0].plot(
                    point["best_step"], point["score"], MARKERS[i % len(MARKERS)], color=colour, ms=7
                )
                tell(kept_one, f"{whose}, kept")
            else:  # a cross where the line ends; at the worse edge if it diverged before the first evaluation
                finite = np.flatnonzero(np.isfinite(curve.validation_score))
                last = int(finite[-1]) if finite.size else 0
                score = curve.validation_score[last] if finite.size else worst
                at = min(max(score, limits[0]), limits[1])
                (cross,) = axes[0].plot(curve.step[last], at, "x", color=colour, ms=9, mew=2.2, clip_on=False)
                tell(cross, whose, y="diverged")
            if train:
                (loss,) = axes[1].plot(curve.step, curve.train_loss, **look)
                tell(loss, whose)
        axes[0].set_ylim(limits)
        axes[0].set_ylabel(y)
        axes[-1].set_xlabel("step")
        if train:
            axes[1].set_ylabel("training loss")
            losses = np.concatenate([np.asarray(curve.train_loss, dtype=float) for curve in curves])
            if (losses[np.isfinite(losses)] > 0).all():
                axes[1].set_yscale("log")
        if 1 < len(labels) <= len(COLOURS):
            draw_legend(axes[0], None if hue is None else spaced(hue))
        draw_baselines(axes[0], baselines, limits)

    if best is None:
        verdict = "none converged"
    else:
        steps = sorted({p["best_step"] for p in points if p["x"] == best["x"]})
        when = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
        group = best["x"] if hue is None else f"{spaced(hue)} {best['x']}"
        verdict = f"best {group} with {as_text(best)} at {when}"
    lost_note = f" {diverged} diverged, ending in a cross." if diverged else ""
    count = f"{len(curves)} run{'s' if len(curves) > 1 else ''}"
    text = f"{capitalize(y)} over training steps{task_note(runs)}, {count}: {verdict}{baseline_note(baselines)}."
    return describe(
        fig, text + lost_note, kind="learning_curves", x="run" if hue is None else hue, y=y, points=points,
        summary=summary, best=best, baselines=baselines,
    )  # fmt: skip
