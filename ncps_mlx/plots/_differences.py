"""Paired differences from a reference value of a hyperparameter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ncps_mlx._trials import Trials, as_records, check_hyperparameter
from ncps_mlx._utils.validation import check_number, check_text
from ncps_mlx.plots._captions import as_text, best_row, capitalize, score_name, spaced, task_note
from ncps_mlx.plots._figure import COLOURS, MARKERS, WIDTH, describe, figure
from ncps_mlx.plots._told import tell
from ncps_mlx.stats import Comparison, compare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["differences"]


def differences(
    records: Trials | Comparison,
    x: str | None = None,
    reference: Any = None,
    *,
    smallest: float | None = None,
    split: str = "validation",
) -> Figure:
    """Draw how each value of a hyperparameter differs from a reference, paired by seed, with its Student interval.

    Where other hyperparameters vary, a seed's scores are averaged over them first, so that seeds are the pairs. A seed
    that diverged with either value makes no pair; how many is said.

    Args:
        records: Trials of one metric; or what :func:`ncps_mlx.stats.compare` made of them, without ``within``.
        x: The hyperparameter; to be left out with a comparison, which has its own, as is the reference.
        reference: The value that the others are compared with.
        smallest: Smallest difference of interest, drawn as a band around zero.
        split: What the scores were measured on, for the label.

    Returns:
        Figure: with :func:`alt_text` and :func:`numbers`.

    Raises:
        ValueError: No trials, a hyperparameter or value that they do not have, fewer than two pairs throughout,
            or a comparison within another hyperparameter.

    Example:
        >>> from ncps_mlx import plots
        >>> rows = [{"mode": mode, "seed": seed, "score": seed + worse + seed * worse / 10}
        ...         for mode, worse in (("default", 0), ("pure", 1)) for seed in range(4)]
        >>> print(plots.alt_text(plots.differences(rows, "mode", "default")))
        Validation score minus that of mode default, paired by seed: pure +1.1 [0.9, 1.4], 4 pairs, better in 0. ...
    """
    if isinstance(records, Comparison):
        if x is not None or reference is not None:
            raise ValueError(f"x and reference must be left out with a comparison, got {x!r} and {reference!r}.")
        if records.within is not None:
            raise ValueError(
                f"records must be compared without within, got within={records.within!r}. "
                f"Draw one of its values at a time: compare(select(records, {records.within}=...), ...)."
            )
        comparison = records
    elif x is None:
        raise ValueError("x must name the hyperparameter whose values are compared, got None.")
    else:
        trials = as_records(records)
        check_hyperparameter("x", x, trials)
        comparison = compare(trials, x, reference)
    if smallest is not None:
        smallest = check_number("smallest", smallest, low=0, open_low=True)
    check_text("split", split)
    runs, reference = comparison.records, comparison.reference
    higher = runs[0].higher_is_better
    others = [level for level in comparison if repr(level.value) != repr(reference)]
    summary, points = [], []
    for level in others:
        row: dict[str, Any] = {"x": level.value, "mean": None, "low": None, "high": None, "n": level.n}
        if (gap := level.difference) is not None:
            row |= {"mean": gap.mean, "low": gap.low, "high": gap.high, "p_better": level.p_better}
        summary.append(row | {"better": level.better, "diverged": level.diverged})
        points += [
            {"x": level.value, "seed": seed, "score": score, "reference": base}
            | {"difference": score - base if math.isfinite(score) and math.isfinite(base) else None}
            for seed, score, base in level.pairs
        ]
    y = score_name(runs, split) if comparison.name == runs[0].metric else comparison.name
    hyperparameter = spaced(comparison.hyperparameter)

    with figure(size=(WIDTH, 1.8 + 0.75 * len(others))) as (fig, (ax,)):
        ax.axvline(0, color="#222222", linewidth=1.4)
        if smallest is not None:
            ax.axvspan(-smallest, smallest, color="#E0E0E0", zorder=0.5)
        for i, row in enumerate(summary):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            pairs = [p for p in points if p["x"] is row["x"] and p["difference"] is not None]
            dots = [p["difference"] for p in pairs]
            (drawn,) = ax.plot(dots, [i + 0.16] * len(dots), marker, color=colour, alpha=0.45, ms=6, mew=0)
            tell(drawn, [f"seed {p['seed']}" for p in pairs])
            if row["mean"] is not None:
                half = (row["high"] - row["low"]) / 2
                mean = ax.errorbar(row["mean"], i - 0.12, xerr=half, color=colour, marker=marker, ms=8, capsize=4)
                tell(mean, f"mean of {row['n']} pairs")
            if row["diverged"]:
                ax.annotate(
                    f"{row['diverged']} diverged ×", (1, i), xycoords=("axes fraction", "data"), ha="right"
                )
        ax.set_yticks(range(len(others)), [as_text(level.value) for level in others])
        ax.set_ylim(len(others) - 0.5, -0.5)
        ax.set_ylabel(hyperparameter)
        ax.set_xlabel(f"{y} minus that of {as_text(reference)}\n({'above' if higher else 'below'} 0 is better)")

    clauses = []
    for row in summary:
        head = f"{as_text(row['x'])} "
        head += "no interval" if row["mean"] is None else f"{'+' if row['mean'] > 0 else ''}{as_text(row)}"
        lost = f", {row['diverged']} diverged" if row["diverged"] else ""
        clauses.append(f"{head}, {row['n']} pairs, better in {row['better']}{lost}")
    text = (
        f"{capitalize(y)}{task_note(runs)} minus that of {hyperparameter} {as_text(reference)}, paired by seed: "
        f"{'; '.join(clauses)}. {'Above' if higher else 'Below'} 0 is better."
    )
    return describe(
        fig, text, kind="differences", x=hyperparameter, y=f"{y} minus that of {as_text(reference)}", points=points,
        summary=summary, best=best_row(summary, higher), reference=reference,
    )  # fmt: skip
