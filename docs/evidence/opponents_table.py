"""What comparisons of models and classical methods say: tables and words of pages, none of them typed.

All follows from ``comparisons.json``, which ``nox -s evidence`` computes from the trials. Functions that pages ask for
take text: a comparison (``opponents``, ``configs``), a budget, a task and, where there are several, its statistic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from docs.evidence import says
from ncps_mlx import stats
from ncps_mlx._evidence.pool import BUDGETS, read_tasks
from ncps_mlx._evidence.trial_file import read_trials

__all__ = [
    "best",
    "effect",
    "entries",
    "gains",
    "recorded_on",
    "sizes",
    "task",
    "tasks_where",
    "tasks_where_all",
    "times_larger",
    "verdicts",
]

FOLDER = Path(__file__).parent
NAMES = {
    "cfc": "CfC",
    "small": "small CfC",
    "forecast": "circulating CfC",
    "forecast_as_given": "circulating CfC at 1e-3",
    "anomaly": "circulating LTC",
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
    "nearest_dtw": "nearest by time warping",
    "logistic": "logistic regression",
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

SHARES = ("accuracy", "auroc", "average_precision")
"""What cannot exceed 1."""

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
    return place(entry["tasks"][0]["task"], entry["statistic"])


def place(name: str, statistic: str = "test") -> str:
    """What a task is called, and its statistic if there are several."""
    return says.task_name(name) + STATISTICS[statistic]


def find(comparison: str, level: str, name: str, budget: str, statistic: str = "test") -> Entry:
    """The entry against a level on a task."""
    for entry in select(comparison, budget):
        if opponent(entry) == level and column(entry) == place(name, statistic):
            return entry
    raise ValueError(f"level must be compared in {comparison} on {place(name, statistic)} ({budget}), got {level!r}")


def contenders(comparison: str, budget: str) -> dict[str, dict[str, Entry]]:
    """By opponent and task; of several forms of one, and of the classical methods, the best by test scores."""
    found: dict[str, dict[str, Entry]] = {}
    for entry in select(comparison, budget):
        row, on = found.setdefault(contender(opponent(entry)), {}), column(entry)
        if on not in row or entry["pooled"] < row[on]["pooled"]:
            row[on] = entry
    found[CLASSICAL] = found.pop(CLASSICAL)
    return found


def contender(level: str) -> str:
    """What a level is a form of."""
    return name_of(level).partition(" (")[0] if level in MODELS else CLASSICAL


def verdicts(comparison: str, budget: str) -> list[list[str]]:
    """Tasks down, findings across: against whom the level that is compared was better, worse, ..."""
    heads = {"larger": "better than", "negligible": "level with", "smaller": "worse than", "open": "cannot tell"}
    every = contenders(comparison, budget)
    table = [["", *heads.values()]]
    for on in dict.fromkeys(map(column, select(comparison, budget))):
        own = [row[on] for row in every.values() if on in row]
        cells = [", ".join(_short_name(each) for each in own if each["finding"] == finding) for finding in heads]
        table.append([on, *cells])
    return table


def gains(comparison: str, budget: str) -> list[list[str]]:
    """Tasks down, opponents across: what the level that is compared gains on each, in δ."""
    every = contenders(comparison, budget)
    table = [["", *every]]
    for on in dict.fromkeys(map(column, select(comparison, budget))):
        cells = [_gain(row[on]) if on in row else "" for row in every.values()]
        table.append([on, *cells[:-1], f"{_short_name(every[CLASSICAL][on])} {cells[-1]}"])
    return table


def _short_name(entry: Entry) -> str:
    """What an opponent is called where it stands for all of its forms."""
    return name_of(opponent(entry)).partition(" (")[0]


def _gain(entry: Entry) -> str:
    mean, low, high = (f"{round(entry[name], 1) + 0.0:+.1f}" for name in ("pooled", "low", "high"))  # no -0.0
    return f"{mean} [{low}, {high}]"


def task(comparison: str, name: str, statistic: str = "test") -> list[list[str]]:
    """All scores on a task, and what the level that is compared gains on each, at the budgets that were measured."""
    found: dict[str, dict[str, Entry]] = {}
    for budget in BUDGETS:
        own = {opponent(each): each for each in select(comparison, budget) if column(each) == place(name, statistic)}
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
    name = metric(entry)
    name = {"rmse": "RMSE", "auroc": "AUROC"}.get(name, name.replace("_", " "))
    return f"{name}, {of['unit']}" if of["unit"] and entry["statistic"] == "test" else str(name)


def metric(entry: Entry) -> str:
    """The name of what is measured."""
    (of,) = entry["tasks"]
    return str(tasks()[of["task"]].metric if entry["statistic"] == "test" else entry["statistic"])


@cache
def tasks() -> Any:
    """The tasks of all pools."""
    return read_tasks(FOLDER / "tasks.toml")


def score(entry: Entry, side: int) -> str:
    """The mean of a side with its interval over draws and seeds; and how many seeds were lost."""
    (of,) = entry["tasks"]
    scale = (0, 1) if metric(entry) in SHARES else None
    found = stats.interval([pair[side] for pair in of["pairs"]], scale=scale)
    lost = f", {of['lost']} diverged" if of["lost"] and side == 2 else ""
    return f"{found}{lost}"


def effect(comparison: str, level: str, name: str, budget: str, statistic: str = "test") -> str:
    """What the level that is compared gains on another, or on a contender such as ``GRU``, in the task's unit."""
    rivals = contenders(comparison, budget)
    if level in rivals:
        entry = rivals[level][place(name, statistic)]
    else:
        entry = find(comparison, level, name, budget, statistic)
    return says.effect_of(entry, entry["tasks"][0])


def difference(entry: Entry) -> str:
    """What the level that is compared gains on its opponent, in the task's unit, and what that is."""
    (of,) = entry["tasks"]
    own, other = ([pair[side] for pair in of["pairs"]] for side in (1, 2))
    if own == other:
        return f"all {len(own)} equal"
    found = stats.paired(own, other) if of["higher_is_better"] else stats.paired(other, own)
    digits = found.decimals
    ends = ", ".join(f"{round(end, digits) + 0.0:.{digits}f}" for end in (found.low, found.high))
    return f"{FINDINGS[entry['finding']]}, {round(found.mean, digits) + 0.0:+.{digits}f} [{ends}]"


def tasks_where(comparison: str, budget: str, finding: str, *names: str) -> str:
    """On which tasks this was found against one of some contenders (``GRU``, ``best classical``), for a sentence."""
    return listed(on for tasks in _tasks_where(comparison, budget, finding, names) for on in tasks)


def tasks_where_all(comparison: str, budget: str, finding: str, *names: str) -> str:
    """On which tasks this was found against each of some contenders."""
    first, *others = _tasks_where(comparison, budget, finding, names)
    return listed(on for on in first if all(on in tasks for tasks in others))


def _tasks_where(comparison: str, budget: str, finding: str, names: Iterable[str]) -> list[list[str]]:
    """For each contender the tasks on which this was found: by one statistic, if there are several."""
    every = contenders(comparison, budget)
    for name in names:
        if name not in every:
            raise ValueError(f"name must be one of {', '.join(every)}, got {name!r}")
    return [
        [on.partition(",")[0] for on, entry in every[name].items() if entry["finding"] == finding] for name in names
    ]


def best(comparison: str, budget: str) -> list[list[str]]:
    """Tasks down: the level with the best mean test score, and what it is better than the one that is compared by."""
    table = [["", "best mean test score", "of the CfC", "what the CfC gains"]]
    for on in dict.fromkeys(map(column, select(comparison, budget))):
        of_task = [each for each in select(comparison, budget) if column(each) == on]
        entry = min(of_task, key=lambda each: float(each["pooled"]))
        own = entry["pooled"] > 0
        name = f"{'CfC' if own else _short_name(entry)} {score(entry, 1 if own else 2)}"
        unit = f" ({measure(entry)})" if entry["statistic"] == "test" else ""
        table.append([on + unit, name, score(entry, 1), "" if own else difference(entry)])
    return table


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, each once: "XOR, sines and vowels"."""
    *others, last = dict.fromkeys(names) or ("none",)
    return f"{', '.join(others)} and {last}" if others else last


@cache
def trials(comparison: str) -> list[dict[str, Any]]:
    """All that was trained for a comparison."""
    return read_trials(FOLDER / "trials" / f"{comparison}.jsonl")


def recorded_on(comparison: str) -> str:
    """The processors that trained it."""
    return ", ".join(sorted({trial["device"] for trial in trials(comparison)}))


def parameters(comparison: str, **level: Any) -> tuple[int, int]:
    """The fewest and the most parameters of the trials that have these hyperparameters."""
    found = {
        trial["parameters"]
        for trial in trials(comparison)
        if trial["parameters"] and level.items() <= ({"model": "CfC"} | trial["level"]).items()
    }
    return min(found), max(found)


def sizes(comparison: str, model: str) -> str:
    """How many parameters a model was compared with, by task: "2,705 to 3,337"."""
    low, high = parameters(comparison, model=model)
    return f"{low:,} to {high:,}"


def times_larger(comparison: str, hidden_size: str, than: str) -> str:
    """How many times the parameters of a CfC with fewer units one with this many has, by task: "39 to 46"."""
    (fewest, most), (low, high) = (parameters(comparison, model="CfC", hidden_size=int(h)) for h in (hidden_size, than))
    return " to ".join(f"{ratio:.0f}" for ratio in sorted({round(fewest / low), round(most / high)}))
