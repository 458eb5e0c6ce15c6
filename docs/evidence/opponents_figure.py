"""Comparisons of models and classical methods as figures: gains at a glance, and the scores of every seed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from docs.evidence import opponents_table
from docs.evidence.opponents_table import CLASSICAL, Entry
from ncps_mlx import stats
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx.plots._figure import COLOURS, MARKERS, SMALL, WIDTH, describe, figure
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gains", "gains_trials", "scores", "scores_trials"]

LONG, SHORT = COLOURS[0], COLOURS[1]
WIDEST = 6.4
"""Gains in δ beyond this are written at the edge: otherwise those that matter could not be told apart."""
KINDS = ("compared", "trained", "classical")
MARGIN = 0.12  # of the range of scores, on both sides


def gains(comparison: str) -> Figure:
    """What the level that is compared gains on each opponent, task by task, at both budgets, in δ."""
    found = {budget: opponents_table.contenders(comparison, budget) for budget in BUDGETS}
    names = list(found["long"])
    places = list(dict.fromkeys(on for row in found["long"].values() for on in row))
    points = [
        {"opponent": name, "task": on, "budget": budget, "level": opponents_table.opponent(entry)}
        | {key: entry[key] for key in ("pooled", "low", "high", "finding")}
        for budget, rows in found.items()
        for name, row in rows.items()
        for on, entry in row.items()
    ]
    with figure(3, 2, size=(WIDTH, 14.0), sharey=True) as (fig, axes):
        for ax, name in zip(axes, names, strict=False):
            ax.axvspan(-1, 1, color="#E0E0E0", zorder=0.5)
            ax.axvline(0, color="#222222", linewidth=1.2)
            for point in points:
                if point["opponent"] == name:
                    _gain(ax, places.index(point["task"]), point)
            ax.set_xlim(-WIDEST, WIDEST)
            ax.set_title(f"against {name}")
        for place, on in enumerate(places):
            best = opponents_table.opponent(found["long"][CLASSICAL][on])
            axes[names.index(CLASSICAL)].annotate(
                opponents_table.name_of(best), (WIDEST, place), (6, 0), textcoords="offset points", va="center",
                fontsize=SMALL, annotation_clip=False,
            ).set_in_layout(False)  # the panel beside it is empty  # fmt: skip
        for ax in axes[::2]:
            ax.set_yticks(range(len(places)), [on.replace(", ", ",\n") for on in places], linespacing=0.95)
        axes[0].set_ylim(len(places) - 0.5, -0.5)
        for ax in axes[len(names) :]:
            ax.axis("off")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        fig.supxlabel("worse  ←  gain of a CfC, in smallest differences that matter  →  better", fontsize=SMALL)
    said = [_said(comparison, name) for name in names]
    text = f"Gains of a CfC in smallest differences that matter, long budget: {'; '.join(said)}."
    return describe(fig, text, kind="gains", x="gain, δ", y="task", points=points, summary=points)


def gains_trials(comparison: str) -> list[str]:
    """The pool of the figure."""
    return [comparison]


def _gain(ax: Axes, row: int, point: dict[str, Any]) -> None:
    """A gain with its interval; one beyond the axis is written at its edge."""
    long = point["budget"] == "long"
    at, colour = row + (-0.16 if long else 0.18), LONG if long else SHORT
    mean, low, high = point["pooled"], point["low"], point["high"]
    label = f"{point['budget']} budget"
    known = ax.get_legend_handles_labels()[1]
    if abs(mean) > WIDEST:
        side = -1 if mean < 0 else 1
        (arrow,) = ax.plot(side * (WIDEST - 0.3), at, "<" if mean < 0 else ">", color=colour, ms=6)
        tell(arrow, f"{label}: {opponents_table.name_of(point['level'])}", x=f"{mean:.1f} [{low:.1f}, {high:.1f}]")
        ax.annotate(
            f"{mean:+.1f}".replace("-", "−"), (side * (WIDEST - 0.3), at), (-6 * side, 0), textcoords="offset points",
            va="center", ha="right" if side > 0 else "left", fontsize=SMALL,
        )  # fmt: skip
        return
    drawn = ax.errorbar(
        mean, at, xerr=[[mean - low], [high - mean]], color=colour, marker="o" if long else "s",
        markerfacecolor=colour if long else "white", ms=6 if long else 5, linewidth=1.8 if long else 1.2, linestyle="",
        label=None if label in known else label,
    )  # fmt: skip
    tell(drawn, f"{label}: {opponents_table.name_of(point['level'])}", x=f"{mean:.2f} [{low:.2f}, {high:.2f}]")


def _said(comparison: str, name: str) -> str:
    clauses = {
        word: opponents_table.tasks_where(comparison, "long", finding, name)
        for word, finding in (("better on", "larger"), ("worse on", "smaller"))
    }
    return f"against {name} {', '.join(f'{word} {on}' for word, on in clauses.items())}"


def scores(comparison: str, *places: str) -> Figure:
    """Test scores of all levels, every seed visible: tasks down (``"co2"``, ``"anomalies auroc"``), budgets across."""
    panels = {(on, budget): _levels(comparison, budget, *on.split()) for on in places for budget in BUDGETS}
    counts = [max(len(panels[on, budget]) for budget in BUDGETS) for on in places]
    points, summary = [], []
    size = (WIDTH, 0.9 + sum(1.0 + 0.36 * count for count in counts))
    ratios = {"height_ratios": [1.0 + 0.36 * count for count in counts]}
    with figure(len(places), 2, size=size, gridspec_kw=ratios) as (fig, axes):
        for ax, ((on, budget), levels) in zip(axes, panels.items(), strict=True):
            order = [level["level"] for level in panels[on, "long"]]
            low, high = _limits([level for which in BUDGETS for level in panels[on, which]])
            for level in levels:
                _level(ax, order.index(level["level"]), level, low, high)
                of = {"task": on, "budget": budget, "level": level["level"]}
                points += [of | {"seed": seed, "score": value} for seed, value in level["scores"]]
                summary.append(of | {name: level[name] for name in ("kind", "mean", "low", "high")})
            ax.set_xlim(low, high)
            ax.set_ylim(len(order) - 0.5, -0.5)
            names = [textwrap.fill(name, 20) for name in order]
            ax.set_yticks(range(len(order)), names if budget == BUDGETS[0] else [""] * len(order), linespacing=0.9)
            ax.set_title(f"{budget} budget")
            if budget == BUDGETS[0]:
                ax.set_ylabel(opponents_table.place(on.split()[0]))
            better = "→" if levels[0]["higher"] else "←"
            ax.set_xlabel(f"{levels[0]['measure']}\n(better {better})", fontsize=SMALL)
            ax.locator_params(axis="x", nbins=4)
    return describe(
        fig, _scores_said(panels), kind="scores", x="test score", y="level", points=points, summary=summary
    )  # fmt: skip


def scores_trials(comparison: str, *_: str) -> list[str]:
    """The pool of the figure."""
    return [comparison]


def _levels(comparison: str, budget: str, name: str, statistic: str = "test") -> list[dict[str, Any]]:
    """The levels compared on a task with the scores of their seeds: at the long budget the best first."""
    on = opponents_table.place(name, statistic)
    by_budget = {
        which: [each for each in opponents_table.select(comparison, which) if opponents_table.column(each) == on]
        for which in (budget, "long")
    }
    if not by_budget[budget]:
        raise ValueError(f"place must be a task of {comparison}, got {name!r} ({statistic})")
    ranks = {opponents_table.opponent(each): -each["pooled"] for each in by_budget["long"]}
    found = [(0.0, _scored(by_budget[budget][0], 1))]
    found += [(ranks[opponents_table.opponent(each)], _scored(each, 2)) for each in by_budget[budget]]
    return [level for _, level in sorted(found, key=lambda pair: -pair[0])]


def _scored(entry: Entry, side: int) -> dict[str, Any]:
    """The scores of a side of an entry."""
    (of,) = entry["tasks"]
    level = opponents_table.first(entry) if side == 1 else opponents_table.opponent(entry)
    kind = KINDS[0] if side == 1 else KINDS[1] if level in opponents_table.MODELS else KINDS[2]
    values = [pair[side] for pair in of["pairs"]]
    found = stats.interval(values)
    return {
        "level": opponents_table.name_of(level), "kind": kind, "mean": found.mean, "low": found.low, "high": found.high,
        "scores": [(pair[0], pair[side]) for pair in of["pairs"]], "higher": of["higher_is_better"],
        "measure": opponents_table.measure(entry),
    }  # fmt: skip


def _limits(levels: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The range that holds all seeds of the trained models, of the best classical method, and of those near them."""
    sign = 1 if levels[0]["higher"] else -1
    best = max((level for level in levels if level["kind"] == KINDS[2]), key=lambda level: sign * level["mean"])
    low, high = _range([level for level in levels if level["kind"] != KINDS[2] or level is best])
    return _range([level for level in levels if low <= level["mean"] <= high])


def _range(levels: Sequence[dict[str, Any]]) -> tuple[float, float]:
    values = [value for level in levels for _, value in level["scores"]]
    margin = MARGIN * (max(values) - min(values))
    return min(values) - margin, max(values) + margin


def _level(ax: Axes, row: int, level: dict[str, Any], low: float, high: float) -> None:
    """A level's seeds and its mean with its interval; one beyond the axis is written at its edge."""
    kind = KINDS.index(level["kind"])
    colour, marker, mean = COLOURS[(0, 1, 4)[kind]], MARKERS[kind], level["mean"]
    if not low <= mean <= high:
        left = mean < low
        ax.annotate(
            f"◂ {mean:.3g}" if left else f"{mean:.3g} ▸", (0 if left else 1, row), xycoords=("axes fraction", "data"),
            ha="left" if left else "right", va="center", fontsize=SMALL, color=colour,
        )  # fmt: skip
        return
    values = [value for _, value in level["scores"]]
    if max(values) - min(values) > 1e-9:
        (dots,) = ax.plot(values, [row + 0.2] * len(values), marker, color=colour, alpha=0.35, ms=4.5, mew=0)
        tell(dots, [f"seed {seed}" for seed, _ in level["scores"]], y=level["level"])
    half = (level["high"] - level["low"]) / 2
    drawn = ax.errorbar(mean, row - 0.14, xerr=half, color=colour, marker=marker, ms=6, capsize=3)
    tell(drawn, f"mean of {len(values)}", y=level["level"])


def _scores_said(panels: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    clauses = []
    for (on, budget), levels in panels.items():
        sign = 1 if levels[0]["higher"] else -1
        ranked = sorted(levels, key=lambda level: -sign * level["mean"])
        means = ", ".join(f"{level['level']} {level['mean']:.3g}" for level in ranked)
        clauses.append(f"{opponents_table.place(*on.split())}, {budget} budget: {means}")
    return f"Mean test scores, the best first. {'; '.join(clauses)}."
