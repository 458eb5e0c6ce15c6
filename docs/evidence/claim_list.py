"""All claims, a row for each: what they advise and what came of it; and those that were refuted."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from docs.evidence import says
from docs.evidence.claims_table import list_table, plain, record

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.registry import SHARES, Claim
from ncps_mlx._evidence.verdicts import Verdict

__all__ = ["ClaimRow", "bar", "refuted", "rows"]

LEGEND = (
    ("supported", "", "holds", "hold"),
    ("refuted", "no difference that matters", "makes no difference that matters", "make no difference that matters"),
    ("refuted", "the other way round", "comes out the other way round", "come out the other way round"),
    ("differs by task", "", "depends on the task", "depend on the task"),
    ("open", "", "is open", "are open"),
)
"""Verdicts with their reasons, and how one claim and several of it are said."""


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """A claim in the table of all.

    Attributes:
        claim: Which.
        tasks: On which it was measured, in words.
        effect: The pooled effect at the long budget of the part that decides, in words; empty where there is none.
    """

    claim: Claim
    tasks: str
    effect: str


def rows() -> list[ClaimRow]:
    """All claims in the order of the registry."""
    found = []
    for claim in record().registry.values():
        entry = deciding(claim, "long")
        effect = "" if entry is None or entry["pooled"] is None else in_deltas(entry)
        tasks = dict.fromkeys(says.task_name(task) for part in claim.parts if not part.reported for task in part.tasks)
        found.append(ClaimRow(claim=claim, tasks=", ".join(tasks), effect=effect))
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


def refuted(reason: str) -> str:
    """The claims that converged trainings refute for this reason, one that ``says.reason`` gives; with the effect."""
    table = [["Advice", "What was found", "on"]]
    for row in rows():
        name = row.claim.id
        if row.claim.parts and says.verdict(name, "long") == "refuted" and says.reason(name, "long") == reason:
            entry = deciding(row.claim, "long")
            several = sum(not part.reported for part in row.claim.parts) > 1
            part = f" ({plain(entry['part'])})" if entry and several else ""
            table.append([f":ref:`{plain(row.claim.statement)} <claim-{name}>`", f"{row.effect}{part}", row.tasks])
    return list_table(table, (46, 34, 20)) if table[1:] else "None.\n"


def bar(budget: str) -> str:
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
            place = "#what-was-refuted" if why else f"?verdict={quote(verdict)}#the-verdicts"
            spans += f'<span class="{name}" style="flex-grow: {count}"></span>'
            items += f'<li class="{name}"><a href="evidence/claims.html{place}"><b>{count}</b> '
            items += f"{one if count == 1 else several}</a></li>"
    drawn = f'<div class="verdict-bar" aria-hidden="true">{spans}</div><ul class="verdict-legend">{items}</ul>'
    return f".. raw:: html\n\n   {drawn}\n"
