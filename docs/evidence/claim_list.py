"""All claims, a row for each: what they advise and what came of it; and how many were refuted, and why."""

from __future__ import annotations

from dataclasses import dataclass

from docs.evidence import says
from docs.evidence.claims_table import record

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.registry import Claim
from ncps_mlx._evidence.verdicts import Verdict

__all__ = ["ClaimRow", "refuted", "rows"]


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
    own_unit = entry["ratio"] or entry["statistic"] in (*says.SHARES, *says.ALONE)
    return said if own_unit else said.replace(" ", " δ ", 1)


def refuted(reason: str) -> str:
    """How many claims converged trainings refute for this reason, one that ``says.reason`` gives."""
    names = [claim.id for claim in record().registry.values() if says.verdict(claim.id, "long") == "refuted"]
    return str(sum(says.reason(name, "long") == reason for name in names))
