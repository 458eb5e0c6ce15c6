"""What comparisons of models and classical methods say: the tables and words of their page, none of them typed.

All follows from ``comparisons.json``, which ``nox -s evidence`` computes from the trials.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ncps_mlx import stats
from ncps_mlx._evidence.pool import BUDGETS, read_tasks
from ncps_mlx._evidence.trial_file import read_trials

__all__ = ["against", "entries", "overview", "recorded_on", "task"]

FOLDER = Path(__file__).parent
NAMES = {
    "cfc": "CfC",
    "small": "small CfC",
    "forecast": "the forecasting configuration",
    "forecast_as_given": "the same at its rate of 1e-3",
    "anomaly": "the LTC configuration",
    "gru": "GRU",
    "lstm": "LSTM",
    "gru_time": "GRU",
    "lstm_time": "LSTM",
    "gru_decay": "GRU with decay",
    "gru_normalized": "GRU (gaps over their mean)",
    "lstm_normalized": "LSTM (gaps over their mean)",
    "gru_decay_normalized": "GRU with decay (gaps over their mean)",
    "ltc": "LTC",
    "ltc_gap": "LTC",
    "nearest_dtw": "nearest neighbour by time warping",
    "logistic": "logistic regression on summaries",
}
"""What a level is called, where its name does not say it. Where there is a gap the LTC has it as an input."""

MODELS = (
    "small", "forecast_as_given", "gru", "lstm", "gru_time", "lstm_time", "gru_decay", "gru_normalized",
    "lstm_normalized", "gru_decay_normalized", "ltc", "ltc_gap",
)  # fmt: skip
"""Opponents that are trained; all others are classical."""

CLASSICAL = "best classical"

FINDINGS = {
    "larger": "better",
    "smaller": "worse",
    "negligible": "no difference that matters",
    "differs by task": "differs",
    "open": "open",
}
"""What a finding says of the level that is compared."""

STATISTICS = {"test": "", "auroc": ", AUROC", "average_precision": ", average precision"}

Entry = dict[str, Any]


@cache
def entries() -> list[Entry]:
    """All that was compared, an entry for each task, opponent and budget."""
    found: list[Entry] = json.loads((FOLDER / "comparisons.json").read_text(encoding="utf-8"))
    return found


def select(comparison: str, budget: str) -> list[Entry]:
    """The entries of a comparison at a budget that were measured."""
    return [
        entry for entry in entries()
        if entry["id"].startswith(f"{comparison}-") and entry["budget"] == budget and entry["tasks"]
    ]  # fmt: skip


def name_of(level: str) -> str:
    """What a level is called."""
    return NAMES.get(level, level.replace("_", " "))


def opponent(entry: Entry) -> str:
    """The level that an entry is against."""
    return str(entry["part"].partition(",")[0])


def first(entry: Entry) -> str:
    """The level that is compared."""
    return str(entry["tasks"][0]["levels"]["first"][0][0])


def column(entry: Entry) -> str:
    """The task of an entry, and the statistic if there are several."""
    return str(entry["tasks"][0]["task"] + STATISTICS[entry["statistic"]])


def in_deltas(entry: Entry) -> str:
    """What an entry found, with its effect in units of the smallest difference that matters."""
    return f"{FINDINGS[entry['finding']]}, {entry['pooled']:+.1f} [{entry['low']:+.1f}, {entry['high']:+.1f}]"


def contenders(comparison: str, budget: str) -> dict[str, dict[str, Entry]]:
    """By opponent and task; of several forms of one, and of the classical methods, the best by test scores."""
    found: dict[str, dict[str, Entry]] = {}
    for entry in select(comparison, budget):
        row, place = found.setdefault(contender(opponent(entry)), {}), column(entry)
        if place not in row or entry["pooled"] < row[place]["pooled"]:
            row[place] = entry
    found[CLASSICAL] = found.pop(CLASSICAL)
    return found


def contender(level: str) -> str:
    """What a level is a form of."""
    return name_of(level).partition(" (")[0] if level in MODELS else CLASSICAL


def overview(comparison: str, budget: str) -> list[list[str]]:
    """Tasks down, opponents across: what was found, in δ."""
    every = contenders(comparison, budget)
    table = [["", *every]]
    for place in dict.fromkeys(map(column, select(comparison, budget))):
        cells = [in_deltas(row[place]) if place in row else "" for row in every.values()]
        table.append([place, *cells[:-1], f"{name_of(opponent(every[CLASSICAL][place]))}: {cells[-1]}"])
    return table


def task(comparison: str, name: str, statistic: str = "test") -> list[list[str]]:
    """All scores on a task, and what the level that is compared gains on each, at the budgets that were measured."""
    found: dict[str, dict[str, Entry]] = {}
    place = name + STATISTICS[statistic]
    for budget in BUDGETS:
        own = {opponent(each): each for each in select(comparison, budget) if column(each) == place}
        found |= {budget: own} if own else {}
    some = [next(iter(own.values())) for own in found.values()]
    head = ["", *(f"{what}, {budget}" for budget in found for what in (measure(some[0]), "difference"))]
    table = [head, [name_of(first(some[0])), *(text for each in some for text in (score(each, 1), ""))]]
    for level in dict.fromkeys(level for own in found.values() for level in own):
        cells = [(score(own[level], 2), difference(own[level])) if level in own else ("", "") for own in found.values()]
        table.append([name_of(level), *(text for pair in cells for text in pair)])
    return table


def measure(entry: Entry) -> str:
    """What is measured, with its unit."""
    (of,) = entry["tasks"]
    name = read_tasks(FOLDER / "tasks.toml")[of["task"]].metric if entry["statistic"] == "test" else entry["statistic"]
    name = {"rmse": "RMSE", "auroc": "AUROC"}.get(name, name.replace("_", " "))
    return f"{name}, {of['unit']}" if of["unit"] and entry["statistic"] == "test" else str(name)


def score(entry: Entry, side: int) -> str:
    """The mean of a side with its interval over draws and seeds; and how many seeds were lost."""
    (of,) = entry["tasks"]
    found = stats.interval([pair[side] for pair in of["pairs"]])
    lost = f", {of['lost']} diverged" if of["lost"] and side == 2 else ""
    return (str(found) if found.high - found.low > 1e-9 else f"{found.mean:.3g}") + lost


def difference(entry: Entry) -> str:
    """What the level that is compared gains on its opponent, in the task's unit, and what that is."""
    (of,) = entry["tasks"]
    own, other = ([pair[side] for pair in of["pairs"]] for side in (1, 2))
    found = stats.paired(own, other) if of["higher_is_better"] else stats.paired(other, own)
    digits = found.decimals
    ends = ", ".join(f"{round(end, digits) + 0.0:.{digits}f}" for end in (found.low, found.high))
    return f"{FINDINGS[entry['finding']]}, {round(found.mean, digits) + 0.0:+.{digits}f} [{ends}]"


def against(comparison: str, budget: str, finding: str) -> str:
    """On which tasks against which contenders this was found, for a sentence."""
    by_task: dict[str, list[str]] = {}
    for row in contenders(comparison, budget).values():
        for place, entry in row.items():
            if entry["finding"] == finding:
                by_task.setdefault(place, []).append(name_of(opponent(entry)).partition(" (")[0])
    return "; ".join(f"{place} against {', '.join(names)}" for place, names in by_task.items()) or "nowhere"


def recorded_on(comparison: str) -> str:
    """The processors that trained it."""
    return ", ".join(sorted({row["device"] for row in read_trials(FOLDER / "trials" / f"{comparison}.jsonl")}))
