"""The figure of a claim: what the first side gains on the second, seed by seed, on each task and at both budgets."""

from __future__ import annotations

import hashlib
import json
import math
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from docs.evidence import says
from docs.evidence.claims_table import record

# Private: figures of the evidence look and speak as those of plots do.
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.verdicts import Verdict
from ncps_mlx.plots import _figure
from ncps_mlx.plots._figure import COLOURS, MARKERS, WIDTH, describe, draw_legend, figure
from ncps_mlx.plots._told import tell

__all__ = ["inputs", "pairs", "pairs_rows", "pairs_trials"]

WIDEST = 12.0
"""Where differences reach further than this, in δ, the axis is logarithmic beyond ±2."""


def drawn(name: str) -> list[Verdict]:
    """The entries that are drawn: of parts that count and were measured, or if none does those that are only shown."""
    of_claim = [entry for entry in record().verdicts if entry["id"] == says.claim_named(name).id and entry["tasks"]]
    return [entry for entry in of_claim if not entry["reported"]] or of_claim


def inputs(name: str) -> str:
    """A digest of all that the figure depends on; with the same one it need not be drawn again."""
    return hashlib.sha256((json.dumps(drawn(name), sort_keys=True) + code()).encode()).hexdigest()[:16]


@cache
def code() -> str:
    """What draws it."""
    return "".join(Path(str(module)).read_text(encoding="utf-8") for module in (__file__, _figure.__file__))


def pairs(name: str) -> Any:
    """Draw a claim's paired differences in δ, task by task: a dot for each seed, means with their 95 % intervals.

    Raises:
        ValueError: No such claim, or nothing of it was measured.
    """
    entries = drawn(name)
    if not entries:
        raise ValueError(f"{name} must be measured to be drawn")
    parts = list(dict.fromkeys(entry["part"] for entry in entries))
    rows = [
        (part, task)
        for part in parts
        for task in dict.fromkeys(t["task"] for entry in entries if entry["part"] == part for t in entry["tasks"])
    ]
    points, summary = [], []
    with figure(size=(WIDTH, 1.5 + 0.62 * len(rows))) as (fig, (ax,)):
        ax.axvspan(-1, 1, color="#E4E4E4", zorder=0.5)
        ax.axvline(0, color="#222222", linewidth=1.2)
        for i, budget in enumerate(BUDGETS):
            colour, marker, labelled = COLOURS[i], MARKERS[i], False
            for y, (part, name_of_task) in enumerate(rows):
                found = [
                    task
                    for entry in entries
                    if entry["part"] == part and entry["budget"] == budget
                    for task in entry["tasks"]
                    if task["task"] == name_of_task
                ]
                for task in found:
                    values = differences(task)
                    height = y - 0.22 + 0.44 * i
                    spread = height + 0.13 * np.linspace(-1, 1, len(values))  # equal ones lie beside each other
                    (dots,) = ax.plot(values, spread, marker, color=colour, alpha=0.4, ms=4.5, mew=0)
                    whose = ", ".join([*([part] if len(parts) > 1 else []), says.task_name(name_of_task)])
                    tell(dots, [f"{budget} training, seed {seed}" for seed, *_ in task["pairs"]], y=whose)
                    about = {key: task[key] for key in ("low", "high")} | {"mean": task["effect"], "n": len(values)}
                    mean = ax.errorbar(
                        task["effect"], height, xerr=[[max(0.0, task["effect"] - task["low"])],
                        [max(0.0, task["high"] - task["effect"])]], color=colour, marker=marker, ms=7, capsize=4,
                        mec="white", label=None if labelled else f"{budget} training",
                    )  # fmt: skip
                    tell(mean, f"{budget} training, mean of {len(values)}", y=whose)
                    labelled = True
                    x = f"{part}, {name_of_task}, {budget}"
                    summary.append({"x": x, **about})
                    points += [
                        {"x": x, "seed": pair[0], "first": pair[1], "second": pair[2], "difference": value}
                        for pair, value in zip(task["pairs"], values, strict=True)
                    ]
        if max(abs(point["difference"]) for point in points) > WIDEST:
            ax.set_xscale("symlog", linthresh=2.0)
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        begins = {part: [each for each, _ in rows].index(part) for part in parts}  # where a part's rows begin
        for begin in begins.values() if len(parts) > 1 else ():
            ax.axhline(begin - 0.5, color="#444444", linewidth=0.8)
        labels = [
            f"{_short(part)}\n{says.task_name(task)}" if len(parts) > 1 and begins[part] == y else says.task_name(task)
            for y, (part, task) in enumerate(rows)
        ]
        ax.set_yticks(range(len(rows)), labels)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel("first side minus second, in δ (grey: it does not matter)")
        draw_legend(ax)
    return describe(
        fig, _words(name, summary), kind="pairs", x="contrast", y="difference in δ", points=points, summary=summary
    )


def pairs_rows(name: str) -> list[list[str]]:
    """The same as a table: mean differences in δ with their intervals, contrasts and tasks down, budgets across."""
    entries = drawn(name)
    several = len({entry["part"] for entry in entries}) > 1
    cells: dict[str, dict[str, str]] = {}
    for entry in entries:
        for task in entry["tasks"]:
            row = ", ".join([*([entry["part"]] if several else []), says.task_name(task["task"])])
            text = f"{task['effect']:+.1f} [{task['low']:+.1f}, {task['high']:+.1f}]".replace("-", "−")
            cells.setdefault(row, {})[entry["budget"]] = text
    head = ["first side minus second, in δ", *(f"{budget} training" for budget in BUDGETS)]
    return [head, *([row, *(found.get(budget, "") for budget in BUDGETS)] for row, found in cells.items())]


def pairs_trials(name: str) -> list[str]:
    """The pools whose trials are compared, of those that keep them."""
    pools = dict.fromkeys(part.pool for part in says.claim_named(name).parts if part.is_computed)
    return [pool for pool in pools if (Path(__file__).with_name("trials") / f"{pool}.jsonl").exists()]


def differences(task: Verdict) -> list[float]:
    """First minus second in δ, above 0 in favour of the first."""
    sign = 1 if task["higher_is_better"] else -1
    return [sign * (first - second) / task["delta"] for _, first, second in task["pairs"]]


def _short(part: str) -> str:
    """A part's name in at most two lines beside an axis."""
    return textwrap.fill(part, 22, max_lines=2, placeholder=" …")


def _words(name: str, summary: list[dict[str, Any]]) -> str:
    each = "; ".join(f"{row['x']} {row['mean']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]" for row in summary)
    assert all(math.isfinite(row["mean"]) for row in summary)
    return f"{name}: first side minus second in δ, paired by seed, above 0 in favour of the first: {each}."
