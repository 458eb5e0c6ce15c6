"""Verdicts of all claims, from the registry and the trials alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.plan import Row, TrialIndex, index_of
from ncps_mlx._evidence.pool import BUDGETS, Pool, TaskSpec
from ncps_mlx._evidence.registry import RATIOS, SHARES, Claim, Part, Registry
from ncps_mlx._evidence.shares import finding_of_shares, shares_entry
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.text_table import text_table
from ncps_mlx.stats._finding import Finding, finding
from ncps_mlx.stats._intervals import Paired

__all__ = [
    "NOT_MEASURED",
    "ONCE",
    "Verdict",
    "changes",
    "claim_verdict",
    "effect",
    "in_order",
    "read_verdicts",
    "table",
    "verdict_of",
    "verdicts",
    "write_verdicts",
]

Verdict = dict[str, Any]
"""What ``verdicts.json`` holds of a part at a budget."""

NOT_MEASURED = "not measured"

ONCE = None
"""The budget of what is checked or shown: it holds at any, or at none."""


def verdicts(
    registry: Registry, pools: Mapping[str, Pool], trials: Mapping[str, Sequence[Row] | TrialIndex]
) -> list[Verdict]:
    """Decide every part of every measured claim at each of its budgets."""
    indices = {name: index_of(rows) for name, rows in trials.items()}
    found = []
    for claim in registry.values():
        for part in claim.parts:
            for budget in claim.budgets:
                about = {
                    "id": claim.id, "part": part.name, "budget": budget, "kind": list(claim.kind),
                    "direction": part.direction, "statistic": part.statistic, "reported": part.reported,
                    "ratio": part.ratio or None,
                }  # fmt: skip
                if part.is_computed:
                    pool = pools[part.pool]
                    index, design = indices.get(pool.name, index_of(())), DESIGNS[pool.design]
                    each = {task: design.contrast(part, pool, task, budget, index) for task in part.tasks}
                    found.append(about | _of_part(part, pool, each))
                else:
                    found.append(about | _not_measured(f"nothing computes it yet: {part.contrast}"))
    return found


def _not_measured(reason: str) -> Verdict:
    empty: Verdict = dict.fromkeys(("finding", "pooled", "low", "high"))
    return empty | {"verdict": NOT_MEASURED, "reason": reason, "tasks": []}


def _of_part(part: Part, pool: Pool, each: Mapping[str, Contrast]) -> Verdict:
    missing = {name: one.missing for name, one in each.items() if one.missing}
    if missing:
        lacking = ", ".join(f"{name} {count}" for name, count in missing.items())
        return _not_measured(f"trials are missing: {lacking}")
    few = [name for name, one in each.items() if len(one.pairs) < 2]
    if few:
        return _not_measured(f"nearly all trainings diverged: {', '.join(few)}")
    if part.statistic in SHARES:
        result = finding_of_shares({name: one.pairs for name, one in each.items()}, part.deltas)
    else:
        result = finding({name: one.differences(part.deltas[name]) for name, one in each.items()})
    return {
        "finding": result.finding,
        "verdict": result.verdict(part.direction),
        "pooled": _round(result.mean),
        "low": _round(result.low),
        "high": _round(result.high),
        "reason": _reason(result),
        "tasks": [_of_task(part, pool.tasks[name], one, result.tasks[name]) for name, one in each.items()],
    }


def _of_task(part: Part, task: TaskSpec, one: Contrast, effect: Paired) -> Verdict:
    better = one.differences(1.0)
    wins = sum(1.0 if each > 0 else 0.5 if each == 0 else 0.0 for each in better)
    return {
        "task": task.name,
        "unit": _unit(part, task, one),
        "delta": part.deltas[task.name],
        "higher_is_better": one.higher_is_better,
        "pairs": [list(pair) for pair in one.pairs],
        "levels": {side: [list(level) for level in levels] for side, levels in one.levels.items()},
        "lost": one.lost,
        "effect": _round(effect.mean),
        "low": _round(effect.low),
        "high": _round(effect.high),
        "probability": _round(wins / len(better)),
    } | (shares_entry(one.pairs) if part.statistic in SHARES else {})


def _unit(part: Part, task: TaskSpec, one: Contrast) -> str:
    if part.statistic in SHARES:
        return "share"
    return RATIOS.get(part.statistic, task.unit if one.unit is None else one.unit)


def _reason(result: Finding) -> str:
    needed = result.pairs_needed
    return "" if needed is None else f"about {needed} seeds would settle it"


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def claim_verdict(claim: Claim, found: Sequence[Verdict], budget: str) -> str:
    """What the parts that count say together: supported if all are, refuted if one is."""
    return verdict_of(claim.id, found, budget)


def verdict_of(name: str, found: Sequence[Verdict], budget: str | None) -> str:
    """The same of the claim of this name."""
    each = [
        entry["verdict"]
        for entry in found
        if entry["id"] == name and entry["budget"] in (budget, ONCE) and not entry["reported"]
    ]
    for verdict in ("refuted", NOT_MEASURED, "differs by task", "open"):
        if verdict in each:
            return verdict
    return "supported" if each else NOT_MEASURED


def table(registry: Registry, found: Sequence[Verdict]) -> str:
    """All claims with their verdicts, and the pooled effect of each part: in δ, or as a ratio."""
    rows = [["claim", "part", "says", *BUDGETS, *(f"effect, {budget}" for budget in BUDGETS)]]
    for claim in registry.values():
        totals = [claim_verdict(claim, found, budget) for budget in BUDGETS]
        checks = [entry for entry in found if entry["id"] == claim.id and entry["budget"] is ONCE]
        single = len(claim.parts) + len(checks) == 1
        if not single:
            rows.append([claim.id, "", "", *totals, "", ""])
        for entry in checks:
            about = [claim.id if single else "", entry["part"], "it holds"]
            rows.append([*about, *[entry["verdict"]] * len(BUDGETS), *[""] * len(BUDGETS)])
        for part in claim.parts:
            entries = {
                entry["budget"]: entry
                for entry in found
                if entry["id"] == claim.id and entry["part"] == part.name
            }
            shown = [entries[budget]["verdict"] if budget in entries else "" for budget in BUDGETS]
            effects = [effect(entries.get(budget)) for budget in BUDGETS]
            says = f"({part.direction})" if part.reported else part.direction
            rows.append([claim.id if single else "", part.name, says, *shown, *effects])
    return text_table(rows, left=7)


def effect(entry: Verdict | None) -> str:
    """The pooled effect with its interval, in δ, and how many trainings diverged."""
    if entry is None or entry["pooled"] is None:
        return ""
    lost = sum(task["lost"] for task in entry["tasks"])
    found = [entry[name] for name in ("pooled", "low", "high")]
    if entry["ratio"]:
        mean, low, high = (f"{entry['ratio'] ** value:.3g}" for value in found)
        text = f"{mean} [{low}, {high}] times"
    else:
        mean, low, high = (f"{value:+.1f}" for value in found)
        text = f"{mean} [{low}, {high}]"
    return f"{text}, {lost} diverged" if lost else text


def in_order(registry: Registry, found: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts in the order of the claims."""
    position = {name: i for i, name in enumerate(registry)}
    return sorted(found, key=lambda entry: position[entry["id"]])


def read_verdicts(path: Path) -> list[Verdict]:
    """Read verdicts; none where there is no file."""
    found: list[Verdict] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def write_verdicts(path: Path, found: Sequence[Verdict]) -> None:
    """Write verdicts, a line for each."""
    lines = ",\n".join(json.dumps(entry, sort_keys=True, ensure_ascii=False) for entry in found)
    atomic_write(path, f"[\n{lines}\n]\n".encode(), "Verdicts")


def changes(before: Sequence[Verdict], now: Sequence[Verdict]) -> list[str]:
    """Say which verdicts are others than before."""
    known = {(entry["id"], entry["part"], entry["budget"]): entry["verdict"] for entry in before}
    lines = []
    for entry in now:
        former = known.get((entry["id"], entry["part"], entry["budget"]), NOT_MEASURED)
        if former != entry["verdict"]:
            when = "once" if entry["budget"] is ONCE else entry["budget"]
            lines.append(f"{entry['id']}, {entry['part']}, {when}: {former} -> {entry['verdict']}")
    return lines
