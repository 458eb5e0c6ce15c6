"""Paired differences from a reference value of a knob."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._trials import TrialResult, Trials, as_records
from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx.plots._axis import Scale
from ncps_mlx.plots._captions import (
    as_text,
    best_row,
    capitalize,
    check_knob,
    has_value,
    score_name,
    score_of,
    spaced,
    task_note,
)
from ncps_mlx.plots._figure import COLOURS, MARKERS, describe, figure
from ncps_mlx.stats import paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["differences"]


def differences(
    records: Trials,
    x: str,
    reference: Any,
    *,
    smallest: float | None = None,
    split: str = "validation",
) -> Figure:
    """Draw how each value of a knob differs from a reference, paired by seed, with its Student interval.

    Where other knobs vary, a seed's scores are averaged over them first, so that seeds are the pairs. A seed that
    diverged with either value makes no pair; how many is said.

    Args:
        records: Trials of one metric.
        x: The knob.
        reference: The value that the others are compared with.
        smallest: Smallest difference of interest, drawn as a band around zero.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, a knob or value that they do not have, or fewer than two pairs throughout.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"mode": mode, "seed": seed, "score": seed + worse + seed * worse / 10}
        ...         for mode, worse in (("default", 0), ("pure", 1)) for seed in range(4)]
        >>> print(plots.alt_text(plots.differences(rows, "mode", "default")))
        Validation score minus that of mode default, paired by seed: pure +1.1 [0.9, 1.4], 4 pairs, better in 0. ...
    """
    runs = as_records(records)
    check_knob("x", x, runs)
    reference = to_json_value(x, reference)
    scale = Scale(x, [run.config[x] for run in runs])
    if repr(reference) not in [repr(value) for value in scale.values]:
        raise ValueError(f"reference must be a value of {x}, which are {scale.values}, got {reference!r}.")
    higher = runs[0].higher_is_better
    others = [value for value in scale.values if repr(value) != repr(reference)]
    base = _by_seed(runs, x, reference)
    summary, points = [], []
    for value in others:
        scores = _by_seed(runs, x, value)
        common = [seed for seed in base if seed in scores]
        good = [seed for seed in common if math.isfinite(scores[seed]) and math.isfinite(base[seed])]
        row: dict[str, Any] = {"x": value, "mean": None, "low": None, "high": None, "n": len(good)}
        if len(good) > 1:
            contrast = paired([scores[seed] for seed in good], [base[seed] for seed in good])
            p_better = contrast.p_greater if higher else 1 - contrast.p_greater
            row |= {"mean": contrast.mean, "low": contrast.low, "high": contrast.high, "p_better": p_better}
        better = [scores[seed] > base[seed] if higher else scores[seed] < base[seed] for seed in good]
        summary.append(row | {"better": sum(better), "diverged": len(common) - len(good)})
        points += [
            {"x": value, "seed": seed, "score": scores[seed], "reference": base[seed]}
            | {"difference": scores[seed] - base[seed] if seed in good else None}
            for seed in common
        ]
    if not any(row["n"] > 1 for row in summary):
        raise ValueError(
            f"records must hold at least 2 seeds that converged both with {x}={reference!r} and another value."
        )
    y = score_name(runs, split)
    knob = spaced(x)

    with figure(size=(7.0, 1.6 + 0.75 * len(others))) as (fig, (ax,)):
        ax.axvline(0, color="#222222", linewidth=1.4)
        if smallest is not None:
            ax.axvspan(-smallest, smallest, color="#E0E0E0", zorder=0.5)
        for i, row in enumerate(summary):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            dots = [p["difference"] for p in points if p["x"] is row["x"] and p["difference"] is not None]
            ax.plot(dots, [i + 0.16] * len(dots), marker, color=colour, alpha=0.45, ms=6, mew=0)
            if row["mean"] is not None:
                half = (row["high"] - row["low"]) / 2
                ax.errorbar(row["mean"], i - 0.12, xerr=half, color=colour, marker=marker, ms=8, capsize=4)
            if row["diverged"]:
                ax.annotate(
                    f"{row['diverged']} diverged ×", (1, i), xycoords=("axes fraction", "data"), ha="right"
                )
        ax.set_yticks(range(len(others)), [as_text(value) for value in others])
        ax.set_ylim(len(others) - 0.5, -0.5)
        ax.set_ylabel(knob)
        ax.set_xlabel(f"{y} minus that of {as_text(reference)} ({'above' if higher else 'below'} 0 is better)")

    clauses = []
    for row in summary:
        head = f"{as_text(row['x'])} "
        head += "no interval" if row["mean"] is None else f"{'+' if row['mean'] > 0 else ''}{as_text(row)}"
        lost = f", {row['diverged']} diverged" if row["diverged"] else ""
        clauses.append(f"{head}, {row['n']} pairs, better in {row['better']}{lost}")
    text = (
        f"{capitalize(y)}{task_note(runs)} minus that of {knob} {as_text(reference)}, paired by seed: "
        f"{'; '.join(clauses)}. {'Above' if higher else 'Below'} 0 is better."
    )
    return describe(
        fig, text, kind="differences", x=knob, y=f"{y} minus that of {as_text(reference)}", points=points,
        summary=summary, best=best_row(summary, higher), reference=reference,
    )  # fmt: skip


def _by_seed(runs: Sequence[TrialResult], x: str, value: Any) -> dict[int, float]:
    """Average the scores with this value for each seed."""
    scores: dict[int, list[float]] = {}
    for run in runs:
        if has_value(run, x, value):
            scores.setdefault(run.seed, []).append(score_of(run))
    return {seed: float(np.mean(found)) for seed, found in scores.items()}
