"""What each form of LTC gains by being told the gaps, against the same without time: a figure, and tables."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from docs.evidence import says

# Private: the evidence's own reading of its files, and the house style.
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx.plots._figure import COLOURS, MARKERS, SMALL, WIDTH, describe, draw_legend
from ncps_mlx.plots._figure import figure as new_figure
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure", "figure_trials", "gains"]

CLAIM = "ltc-tanh"
FORMS = {
    "as it is": "as it is, against no time",
    "gap as an input": "the gap as an input against no time",
    "silent gaps": "silent gaps against no time",
    "mixed memory": "mixed memory against the same without time",
    "AutoNCP": "AutoNCP against the same without time",
    "fully connected": "fully connected against the same without time",
}
"""Parts of the claim, by form."""

DRAWN = ("as it is", "gap as an input", "silent gaps", "mixed memory")


@cache
def measured(form: str, budget: str) -> dict[str, Any]:
    """What was found of a form, by task."""
    return {task["task"]: task for task in says.entry_of(CLAIM, budget, FORMS[form])["tasks"]}


def gains(budget: str) -> list[list[str]]:
    """Forms down, tasks across: what time brings, in the task's unit."""
    tasks = list(measured("as it is", budget))
    table = [["", *map(says.task_name, tasks)]]
    for form, part in FORMS.items():
        table.append([form, *(says.effect(CLAIM, budget, task, part) for task in tasks)])
    return table


def in_deltas(task: Any) -> list[float]:
    """Gains by seed, in the smallest difference that matters."""
    sign = 1 if task["higher_is_better"] else -1
    return [sign * (first - second) / task["delta"] for _, first, second in task["pairs"]]


def figure() -> Figure:
    """The same of dense forms, a panel for each task, every seed a dot."""
    tasks = list(measured("as it is", "long"))
    summary: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for task, budget, form in product(tasks, BUDGETS, DRAWN):
        own, about = measured(form, budget)[task], {"task": task, "budget": budget, "x": form}
        summary.append(about | {"mean": own["effect"], "low": own["low"], "high": own["high"]})
        points += [about | {"difference": gain} for gain in in_deltas(own)]
    with new_figure(2, 2, size=(WIDTH, 6.0), sharey=True) as (fig, axes):
        for ax, task in zip(axes, tasks, strict=True):
            draw(ax, [row for row in summary if row["task"] == task], [row for row in points if row["task"] == task])
            ax.set_title(says.task_name(task))
        fig.supxlabel("gain from time, in the smallest difference that matters", fontsize=SMALL)
        draw_legend(axes[0])
        return describe(
            fig, in_words(summary), kind="differences", x="form", y="gain in the smallest difference that matters",
            points=points, summary=summary,
        )  # fmt: skip


def figure_trials() -> list[str]:
    """The pools of the claim's trials."""
    return list(dict.fromkeys(part.pool for part in says.claim_named(CLAIM).parts if part.is_computed))


def draw(ax: Axes, summary: list[dict[str, Any]], points: list[dict[str, Any]]) -> None:
    """Forms down; of each the seeds as dots, and the mean with its interval, for both budgets."""
    ax.axvspan(-1, 1, color="#EEEEEE", zorder=0)
    ax.axvline(0, color="#222222", linewidth=1.2)
    rng = np.random.default_rng(0)
    for offset, budget, colour, marker in zip((-0.17, 0.17), BUDGETS, COLOURS, MARKERS, strict=False):
        label = f"{budget} trainings"
        heights = {form: place + offset for place, form in enumerate(DRAWN)}
        dots = [row for row in points if row["budget"] == budget]
        scattered = [heights[row["x"]] + rng.uniform(-0.08, 0.08) for row in dots]
        (drawn,) = ax.plot(
            [row["difference"] for row in dots], scattered, marker, color=colour, alpha=0.35, ms=4.5, mew=0
        )
        tell(drawn, f"{budget} training, one seed", y=[row["x"] for row in dots])
        means = [row for row in summary if row["budget"] == budget]
        ends = [[abs(row[end] - row["mean"]) for row in means] for end in ("low", "high")]
        drawn_means = ax.errorbar(
            [row["mean"] for row in means], [heights[row["x"]] for row in means], xerr=ends, color=colour,
            marker=marker, ms=7, mec="white", capsize=4, linestyle="none", label=label,
        )  # fmt: skip
        tell(drawn_means, f"{budget} training, mean", y=[row["x"] for row in means])
    ax.set_yticks(range(len(DRAWN)), DRAWN)
    ax.set_ylim(len(DRAWN) - 0.5, -0.5)


def in_words(summary: list[dict[str, Any]]) -> str:
    """What the figure shows."""
    long = {(row["task"], row["x"]): f"{row['mean']:.1f}" for row in summary if row["budget"] == "long"}
    tasks = dict.fromkeys(task for task, _ in long)
    each = [f"{says.task_name(task)}: " + ", ".join(f"{form} {long[task, form]}" for form in DRAWN) for task in tasks]
    return f"Gain of forms of LTC from being told the gaps, in long trainings. {'; '.join(each)}."
