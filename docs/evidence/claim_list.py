"""All claims, a row for each: what they advise and what came of it; how many came to each verdict; δ on each task."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from docs.evidence import says
from docs.evidence.claims_table import DOCS, record

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.pool import read_tasks, read_toml
from ncps_mlx._evidence.registry import SHARES, Claim
from ncps_mlx._evidence.verdicts import Verdict

__all__ = ["ClaimRow", "bar", "deltas", "rows"]

LEGEND = (
    ("supported", "", "holds", "hold"),
    ("refuted", "no difference that matters", "makes no difference that matters", "make no difference that matters"),
    ("refuted", "the other way round", "comes out the other way round", "come out the other way round"),
    ("differs by task", "", "depends on the task", "depend on the task"),
    ("open", "", "is open", "are open"),
)
"""Verdicts with their reasons, and how one claim and several of it are said."""

KEYS = {"long": "verdict", "short": "short"}
"""How the address of the page of all claims says a budget's verdict."""

METRICS = {"rmse": "RMSE"}
JUDGED = {"anomalies": "AUROC"}
"""What claims compare on a task, where that is not the metric by which it is tuned."""


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """A claim in the table of all.

    Attributes:
        claim: Which.
        tasks: On which it was measured, in words.
        effect: The pooled effect at the long budget of the part that decides, in words; empty where there is none.
        part: Which part that is.
    """

    claim: Claim
    tasks: str
    effect: str
    part: str


def rows() -> list[ClaimRow]:
    """All claims in the order of the registry."""
    found = []
    for claim in record().registry.values():
        entry = deciding(claim, "long")
        effect, part = ("", "") if entry is None or entry["pooled"] is None else (in_deltas(entry), entry["part"])
        tasks = dict.fromkeys(says.task_name(task) for part in claim.parts if not part.reported for task in part.tasks)
        found.append(ClaimRow(claim=claim, tasks=", ".join(tasks), effect=effect, part=part))
    return found


def deciding(claim: Claim, budget: str) -> Verdict | None:
    """A part that came to the claim's verdict: of those the one with most to say; ``None`` where none is measured."""
    verdict = says.verdict(claim.id, budget)
    same = [
        entry for entry in record().verdicts
        if entry["id"] == claim.id and entry["budget"] == budget and not entry["reported"]
        and entry["verdict"] == verdict
    ]  # fmt: skip
    return max(same, key=lambda entry: entry["finding"] != "negligible", default=None)


def in_deltas(entry: Verdict) -> str:
    """The pooled effect of a part, in words."""
    said = says.pooled_of(entry)
    own_unit = entry["ratio"] or entry["statistic"] in (*SHARES, *says.ALONE)
    return said if own_unit else said.replace(" ", " δ ", 1)


def bar(budget: str, page: str = "evidence/claims.html") -> str:
    """What the measured claims came to, as a bar with its legend, which leads to them on the page of all claims."""
    found = [
        (says.verdict(claim.id, budget), says.reason(claim.id, budget))
        for claim in record().registry.values() if claim.parts
    ]  # fmt: skip
    spans, items = "", ""
    for verdict, why, one, several in LEGEND:
        count = found.count((verdict, why))
        if count:
            name = f"{verdict} {why}".replace(" ", "-").strip("-")
            place = f"?{KEYS[budget]}={quote(f'{verdict}: {why}' if why else verdict)}#the-verdicts"
            spans += f'<span class="{name}" style="flex-grow: {count}"></span>'
            items += f'<li class="{name}"><a href="{page}{place}"><b>{count}</b> '
            items += f"{one if count == 1 else several}</a></li>"
    drawn = f'<div class="verdict-bar" aria-hidden="true">{spans}</div><ul class="verdict-legend">{items}</ul>'
    return f".. raw:: html\n\n   {drawn}\n"


def deltas() -> list[list[str]]:
    """The smallest difference that matters on each task, as the registry has it."""
    tasks, given = read_tasks(DOCS / "evidence" / "tasks.toml"), read_toml(DOCS / "claims.toml")["deltas"]
    rows = [["Task", "Of what", "δ"]]
    for name, task in tasks.items():
        unit = "" if name in JUDGED else task.unit
        of = JUDGED.get(name, METRICS.get(task.metric, task.metric))
        rows.append([says.task_name(name), of, f"{given[name]:g} {unit}".rstrip()])
    rows.append(["any", "time, speed, memory", f"{given['ratio']:g} times"])
    return [*rows, ["any", "share of trainings that diverge", f"{given['failures']:g}"]]
