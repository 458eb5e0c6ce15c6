"""The figure of a check: paired differences in the record at each budget and in this build, every seed visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ncps_mlx.plots._figure import COLOURS, MARKERS, WIDTH, describe, draw_legend, figure
from ncps_mlx.plots._told import tell
from ncps_mlx.stats._intervals import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_check"]

Row = Mapping[str, Any]

LABEL = "first minus second, in δ: right of 0 the first is better,\nin the band it hardly matters"


def draw_check(claim: str, rows: Sequence[Row]) -> Figure:
    """Draw rows of part, task, trials, seed and difference in δ: a panel for each part, in it tasks and whose trials.

    Every pair of a seed is a small mark; the large one is their mean, with Student's 95 % interval.
    """
    parts = list(dict.fromkeys(row["part"] for row in rows))
    kinds = list(dict.fromkeys(row["trials"] for row in rows))
    summary = [_summarize(group) for group in _groups(rows)]
    tasks = [list(dict.fromkeys(row["task"] for row in rows if row["part"] == part)) for part in parts]
    heights = [len(each) * len(kinds) for each in tasks]
    size = (WIDTH, 1.3 + 0.55 * len(parts) + 0.26 * sum(heights))
    with figure(len(parts), 1, size, sharex=True, height_ratios=heights) as (fig, axes):
        for ax, part, names in zip(axes, parts, tasks, strict=True):
            own = [(row, group) for row, group in zip(summary, _groups(rows), strict=True) if row["part"] == part]
            _draw_part(ax, own, names, kinds)
            ax.set_title(part)
        draw_legend(axes[0])
        axes[-1].set_xlabel(LABEL)
    return describe(
        fig, _words(claim, summary), kind="differences", x="task", y="difference in δ", points=rows, summary=summary
    )


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each part, task and trials."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["part"], row["task"], row["trials"]), []).append(row)
    return list(found.values())


def _summarize(group: Sequence[Row]) -> dict[str, Any]:
    values = [row["difference"] for row in group if row["difference"] is not None]
    row: dict[str, Any] = {name: group[0][name] for name in ("part", "task", "trials")}
    row |= {"mean": None, "low": None, "high": None, "n": len(values), "diverged": len(group) - len(values)}
    if len(values) > 1:
        found = interval(values)
        row |= {"mean": found.mean, "low": found.low, "high": found.high, "text": str(found)}
    return row


def _draw_part(
    ax: Axes, own: Sequence[tuple[Row, Sequence[Row]]], tasks: Sequence[str], kinds: Sequence[str]
) -> None:
    ax.axvspan(-1, 1, color="#E4E4E4", zorder=0.5)
    ax.axvline(0, color="#222222", linewidth=1.4)
    for row, group in own:
        y = tasks.index(row["task"]) * (len(kinds) + 0.6) + kinds.index(row["trials"])
        turn = _turn(row["trials"], kinds)
        look: dict[str, Any] = {"color": COLOURS[turn], "marker": MARKERS[turn], "linestyle": "none"}
        pairs = [each for each in group if each["difference"] is not None]
        dots = [each["difference"] for each in pairs]
        (drawn,) = ax.plot(dots, [y - 0.22] * len(dots), alpha=0.4, ms=5, mew=0, **look)
        tell(drawn, [f"{row['trials']}, seed {each['seed']}" for each in pairs], y=row["task"])
        label = row["trials"] if row["task"] == tasks[0] else None
        if row["mean"] is None:
            ax.plot([], [], label=label, **look)
        else:
            half = (row["high"] - row["low"]) / 2
            mean = ax.errorbar(row["mean"], y + 0.18, xerr=half, ms=8, mec="white", capsize=4, label=label, **look)
            tell(mean, f"{row['trials']}, mean of {row['n']}", y=row["task"])
        if row["diverged"]:
            lost = f"{row['diverged']} diverged ×"
            ax.annotate(lost, (1, y), xycoords=("axes fraction", "data"), ha="right", va="center")
    places = [i * (len(kinds) + 0.6) + (len(kinds) - 1) / 2 for i in range(len(tasks))]
    ax.set_yticks(places, tasks)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.set_ylim(places[-1] + len(kinds) / 2 + 0.3, -0.8)


def _turn(trials: str, kinds: Sequence[str]) -> int:
    """The turn of colour and marker: the record first, then this build, then the record of the other budget."""
    return 1 if trials.endswith("this build") else 0 if trials == kinds[0] else 2


def _words(claim: str, summary: Sequence[Row]) -> str:
    """Each difference with its interval, and of how many pairs."""
    clauses = []
    for row in summary:
        lost = f", {row['diverged']} diverged" if row["diverged"] else ""
        value = row.get("text", "no interval")
        clauses.append(f"{row['part']}, {row['task']}, {row['trials']}: {value}, {row['n']} pairs{lost}")
    return f"Paired differences of {claim} in units of the smallest that matters: {'; '.join(clauses)}."
