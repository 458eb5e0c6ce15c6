"""``claims.json`` of the site: the registry's texts, and the verdicts with the pairs that they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docs.evidence import says
from docs.evidence.claims_table import record

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.registry import Claim, Part
from ncps_mlx._evidence.verdicts import ONCE, Verdict

__all__ = ["FORMAT", "document", "number"]

FORMAT = 1
"""A higher number where something of it is gone or means something else; what is only added changes nothing."""

OF_TASK = ("unit", "delta", "effect", "low", "high", "lost", "probability", "levels", "pairs")
OF_PART = ("verdict", "finding", "pooled", "low", "high", "reason")


def number() -> str:
    """The number of the format, for a sentence."""
    return str(FORMAT)


def document() -> dict[str, Any]:
    """What ``claims.json`` of the site holds: the registry's texts, and the verdicts with their pairs."""
    return {
        "format": FORMAT,
        "about": "Advice on tuning liquid neural networks, and what was measured of it; effects in units of delta, the "
        "smallest difference that matters, above 0 in favour of the first side, with 95 % intervals.",
        "claims": [_claim(claim) for claim in record().registry.values()],
    }


def _claim(claim: Claim) -> dict[str, Any]:
    checks = [entry for entry in record().verdicts if entry["id"] == claim.id and entry["budget"] is ONCE]
    return {
        "id": claim.id,
        "section": claim.section,
        "statement": claim.statement,
        "kind": list(claim.kind),
        "note": " ".join(claim.note.split()),
        "verdicts": {budget: says.verdict(claim.id, budget) for budget in BUDGETS},
        "check": {"verdict": checks[0]["verdict"], "reason": checks[0]["reason"]} if checks else None,
        "parts": [_part(claim, part) for part in claim.parts],
    }


def _part(claim: Claim, part: Part) -> dict[str, Any]:
    entries = {budget: says.entry_of(claim.id, budget, part.name) for budget in claim.budgets}
    return {
        "name": part.name,
        "pool": part.pool,
        "statistic": part.statistic,
        "direction": part.direction,
        "first": part.first,
        "second": part.second,
        "counts": not part.reported,
        "ratio": part.ratio or None,
        "results": {budget: _result(entry) for budget, entry in entries.items()},
    }


def _result(entry: Verdict) -> dict[str, Any]:
    tasks: Sequence[Verdict] = entry["tasks"]
    return {name: entry[name] for name in OF_PART} | {
        "tasks": {task["task"]: {name: task[name] for name in OF_TASK} for task in tasks}
    }
