"""The changelog of advice: what was told of each claim, and when that changed.

``docs/evidence/advice.jsonl`` has a line for each time that a claim at a budget came to another verdict, one of its
parts to another verdict or finding, or a part's pooled effect moved by ``MATERIAL`` or more since it was last told.
``evidence`` adds lines as it computes verdicts, and takes none away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncps_mlx._evidence.verdicts import NOT_MEASURED, Verdict, verdict_of
from ncps_mlx._utils.atomic_write import atomic_write

__all__ = ["MATERIAL", "Entry", "add_advice", "news", "read_advice"]

MATERIAL = 0.5
"""A change of a pooled effect that is told, in δ: half the smallest difference that matters."""

TOLD = ("verdict", "finding", "pooled", "low", "high")
"""What is told of a part."""

Entry = dict[str, Any]
"""Its date, ``id`` and ``budget``; the claim's verdict before and after; the parts that changed; the reason, if any."""


def news(told: Sequence[Entry], found: Sequence[Verdict], date: str, reasons: Mapping[str, str]) -> list[Entry]:
    """What verdicts say that was not told yet, an entry for each claim and budget.

    A reason that the registry gives for a change of a claim is told once.
    """
    whole, parts = _last_told(told)
    given = {(entry["id"], entry["reason"]) for entry in told}
    now: dict[tuple[str, str | None], dict[str, Entry]] = {place: {} for place in whole}
    for each in found:
        about = {name: each[name] for name in TOLD}
        now.setdefault((each["id"], each["budget"]), {})[each["part"]] = about
    entries = []
    for (name, budget), each in now.items():
        before, known = whole.get((name, budget), NOT_MEASURED), parts.get((name, budget), {})
        after = verdict_of(name, found, budget) if each else NOT_MEASURED
        changed = [part for part in {**known, **each} if _is_news(known.get(part), each.get(part))]
        if changed or before != after:
            reason = reasons.get(name, "")
            told_parts = [{"part": part, "before": known.get(part), "after": each.get(part)} for part in changed]
            entries.append(
                {"date": date, "id": name, "budget": budget, "before": before, "after": after, "parts": told_parts}
                | {"reason": "" if (name, reason) in given else reason}
            )
    return entries


def _last_told(
    told: Sequence[Entry],
) -> tuple[dict[tuple[str, str | None], str], dict[tuple[str, str | None], dict[str, Entry]]]:
    """The verdict of each claim and budget as last told, and what was told of its parts."""
    whole, parts = {}, dict[tuple[str, str | None], dict[str, Entry]]()
    for entry in told:
        place = entry["id"], entry["budget"]
        whole[place] = entry["after"]
        known = parts.setdefault(place, {})
        for part in entry["parts"]:
            known[part["part"]] = part["after"]
            if part["after"] is None:
                del known[part["part"]]
    return whole, parts


def _is_news(before: Entry | None, now: Entry | None) -> bool:
    then, after = (each or {"verdict": NOT_MEASURED, "finding": None} for each in (before, now))
    if (then["verdict"], then["finding"]) != (after["verdict"], after["finding"]):
        return True
    one, other = (each.get("pooled") for each in (then, after))
    return one is not None and other is not None and bool(abs(one - other) >= MATERIAL)


def read_advice(path: Path) -> list[Entry]:
    """Read the changelog; nothing where there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def add_advice(path: Path, entries: Sequence[Entry]) -> None:
    """Add entries."""
    if entries:
        before = path.read_bytes() if path.exists() else b""
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        atomic_write(path, before + lines.encode(), "The changelog of advice")
