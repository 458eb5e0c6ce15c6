"""What the registry and the verdicts say together: tables and numbers of the pages on all claims and on the rule."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ncps_mlx import stats

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.pool import BUDGETS, FIRST_REPORT_SEED, REPORT_SEEDS, TUNE_SEEDS
from ncps_mlx._evidence.record import Record, read_record
from ncps_mlx._evidence.registry import STATISTICS, Claim
from ncps_mlx._evidence.reproduce import FEWEST_SEEDS, FIRST_SEED
from ncps_mlx._evidence.verdicts import NOT_MEASURED, claim_verdict

__all__ = [
    "counts",
    "effect_in_deltas",
    "error_rates",
    "false_differences",
    "false_negligible",
    "fewest_fresh_seeds",
    "first_fresh_seed",
    "list_table",
    "not_measured",
    "number",
    "seeds",
    "statistics",
]

DOCS = Path(__file__).resolve().parents[1]
VERDICTS = ("supported", "refuted", "differs by task", "open", NOT_MEASURED)
FINDINGS = ("larger", "smaller", "negligible", "open", "differs by task")
EFFECTS, SPREADS = (0.0, 0.5, 1.0, 2.0), (1, 2, 3)


@cache
def record() -> Record:
    """The registry, pools and verdicts of this checkout."""
    return read_record(DOCS)


def plain(text: str) -> str:
    """A text in which reStructuredText reads no markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def effect_in_deltas(told: Mapping[str, Any]) -> str:
    """The pooled effect of a part with its interval, in δ."""
    mean, low, high = (told[name] for name in ("pooled", "low", "high"))
    if low == high:
        return f"{mean:+.1f}"
    return f"{'+' if mean > 0 else ''}{stats.Interval(mean=mean, low=low, high=high, n=2, confidence=0.95)}"


def whole(claim: Claim, budget: str) -> str:
    """What a claim's parts and its check say together."""
    return claim_verdict(claim, record().verdicts, budget)


def marked(verdict: str) -> str:
    """A verdict in bold; what is none, plain."""
    return f"**{verdict}**" if verdict in VERDICTS[:-1] else verdict


def list_table(rows: Sequence[Sequence[str]], widths: Sequence[int], name: str = "") -> str:
    """Rows of cells as a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}"]
    lines += [f"   :class: {name}", ""] if name else [""]
    for row in rows:
        lines += [f"   {'* - ' if place == 0 else '  - '}{cell}" for place, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def number(what: str) -> str:
    """How many claims there are, ``"claims"``, or of one kind, such as ``"measured"``."""
    return str(sum(what in ("claims", *claim.kind) for claim in record().registry.values()))


def counts() -> list[list[str]]:
    """How many measured claims, and parts that count, came to each verdict."""
    measured = [claim for claim in record().registry.values() if claim.parts]
    parts = [entry for entry in record().verdicts if not entry["reported"]]
    table = [["Verdict", *(f"claims, {budget}" for budget in BUDGETS), *(f"parts, {budget}" for budget in BUDGETS)]]
    for verdict in VERDICTS:
        of_claims = [sum(whole(claim, budget) == verdict for claim in measured) for budget in BUDGETS]
        of_parts = [
            sum(entry["verdict"] == verdict for entry in parts if entry["budget"] == budget) for budget in BUDGETS
        ]
        table.append([verdict, *map(str, of_claims), *map(str, of_parts)])
    return table


def not_measured() -> str:
    """How many claims are only checked or shown."""
    return str(sum(not claim.parts for claim in record().registry.values()))


def statistics() -> list[list[str]]:
    """What a contrast may compare."""
    return [["Statistic", "What it is"], *([name, about] for name, about in STATISTICS.items())]


def seeds(stage: str) -> str:
    """The seeds of a stage: of ``tune``, or of the report at ``short`` or ``long``."""
    first, count = (0, TUNE_SEEDS) if stage == "tune" else (FIRST_REPORT_SEED, REPORT_SEEDS[stage])
    return f"{first} to {first + count - 1}"


def first_fresh_seed() -> str:
    """The lowest seed that nothing recorded has."""
    return str(FIRST_SEED)


def fewest_fresh_seeds() -> str:
    """How many a fresh look needs."""
    return str(FEWEST_SEEDS)


def error_rates(repeats: str = "500") -> list[list[str]]:
    """How often the rule finds what, on three tasks of ten pairs with a known effect and spread."""
    table = [["Standard deviation of the pairs", *(f"effect {effect:g} δ" for effect in EFFECTS)]]
    for spread in SPREADS:
        cells = []
        for true in EFFECTS:
            rng = np.random.default_rng(round(10 * (spread + 10 * true)))
            draws = rng.normal(true, spread, (int(repeats), 3, 10))
            found = [stats.finding(dict(zip("abc", draw, strict=True))).finding for draw in draws]
            shares = [found.count(name) / len(found) for name in FINDINGS]
            cells.append(" / ".join(f"{share:.2f}" for share in shares))
        table.append([f"{spread} δ", *cells])
    return table


def false_differences(budget: str) -> str:
    """How many measured contrasts would be called larger or smaller if none had any effect."""
    return _expected(budget, 0.0, ("larger", "smaller"))


def false_negligible(budget: str) -> str:
    """How many would be called negligible if each had an effect of δ."""
    return _expected(budget, 1.0, ("negligible",))


def _expected(budget: str, true: float, wrong: Sequence[str], repeats: int = 100) -> str:
    """Expected count over contrasts, simulated with the spread that each had on each task."""
    rng, expected, count = np.random.default_rng(0), 0.0, 0
    for entry in record().verdicts:
        if entry["budget"] != budget or entry["reported"] or not entry["tasks"]:
            continue
        spreads = {}
        for task in entry["tasks"]:
            _, first, second = np.array(task["pairs"], np.float64).T
            spreads[task["task"]] = (float((first - second).std(ddof=1)) / task["delta"], len(first))
        found = [
            stats.finding({name: rng.normal(true, sd, n) for name, (sd, n) in spreads.items()}).finding
            for _ in range(repeats)
        ]
        expected += sum(found.count(name) for name in wrong) / repeats
        count += 1
    return f"{expected:.1f} of {count}"
