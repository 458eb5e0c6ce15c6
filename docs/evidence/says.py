"""What the record says, as words for a sentence: ``:result:`says.effect, ID, BUDGET, TASK```; nothing of it is typed.

A part is a contrast of a claim; without a name it is the first one that counts. Its name may hold commas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from docs.evidence.claims_table import DOCS, record
from ncps_mlx import stats

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.contrasts import trials_of
from ncps_mlx._evidence.plan import index_of
from ncps_mlx._evidence.pool import read_tasks
from ncps_mlx._evidence.record import trial_path
from ncps_mlx._evidence.registry import SHARES, Claim
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._evidence.verdicts import Verdict, claim_verdict
from ncps_mlx._utils.validation import did_you_mean

__all__ = [
    "claim_named", "effect", "effect_of", "entry_of", "pairs", "pooled", "pooled_of", "rate", "reason", "score",
    "task_name", "tasks", "trials", "verdict",
]  # fmt: skip

TASKS = {
    "xor": "XOR", "co2": "CO₂", "hdl": "HDL", "glucose": "glucose", "sines": "sines", "sunspots": "sunspots",
    "vowels": "vowels", "remifentanil": "remifentanil", "anomalies": "anomalies",
}  # fmt: skip

UNITS = {"sunspot number": "sunspots"}
"""How a difference's unit is said, where not as a score's."""

WORDS = {
    "gap": ("larger", "smaller"), "last gap": ("larger", "smaller"), "failures": ("more", "fewer"),
    "spikes": ("more", "fewer"), "error of estimate": ("smaller", "larger"),
}  # fmt: skip
"""How a positive and a negative effect are called, where they are not better and worse."""

ALONE = {"percentile": (0.0, 100.0), "early correlation": (-1.0, 1.0), "agreement of metrics": (-1.0, 1.0)}
"""Statistics whose second side is a constant: the first is said by itself, within its scale."""


def claim_named(name: str) -> Claim:
    """The claim of that id."""
    registry = record().registry
    if name not in registry:
        raise ValueError(f"a claim must be one of docs/claims.toml, got {name!r}.{did_you_mean(name, registry)}")
    return registry[name]


def entry_of(name: str, budget: str, part: str = "") -> Verdict:
    """What came of a part at a budget."""
    found = [entry for entry in record().verdicts if entry["id"] == claim_named(name).id and entry["budget"] == budget]
    chosen = [entry for entry in found if (entry["part"] == part if part else not entry["reported"])]
    if not chosen:
        raise ValueError(f"{name} must have the part {part!r} at {budget!r}: {[entry['part'] for entry in found]}")
    return chosen[0]


def task_name(task: str) -> str:
    """What a task is called in a sentence."""
    return TASKS[task]


def verdict(name: str, budget: str) -> str:
    """What a claim came to at a budget."""
    return claim_verdict(claim_named(name), record().verdicts, budget)


def reason(name: str, budget: str) -> str:
    """Why a claim is refuted: nothing comes of it, or the opposite; empty for other verdicts."""
    refuting = {
        entry["finding"] for entry in record().verdicts
        if entry["id"] == name and entry["budget"] == budget and not entry["reported"]
        and entry["verdict"] == "refuted"
    }  # fmt: skip
    if not refuting:
        return ""
    return "no difference that matters" if refuting == {"negligible"} else "the other way round"


def tasks(name: str) -> str:
    """The tasks that a claim rests on, for a sentence."""
    names = dict.fromkeys(
        task_name(task) for part in claim_named(name).parts if not part.reported for task in part.tasks
    )
    return _listed(list(names))


def pairs(name: str, budget: str, *part: str) -> str:
    """How many pairs of trainings a task has, of the fewest."""
    return str(min(len(task["pairs"]) for task in _measured(name, budget, *part)["tasks"]))


def effect(name: str, budget: str, task: str, *part: str) -> str:
    """What the first side of a part gains on the second, in the task's unit, with its 95 % interval."""
    entry = _measured(name, budget, *part)
    found = [each for each in entry["tasks"] if each["task"] == task]
    if not found:
        raise ValueError(f"{name} must rest on {task!r}, got {[each['task'] for each in entry['tasks']]}")
    return effect_of(entry, found[0])


def effect_of(entry: Verdict, task: Verdict) -> str:
    """The effect on one of an entry's tasks, in its unit."""
    statistic, values = entry["statistic"], [task[key] for key in ("effect", "low", "high")]
    if statistic in SHARES:
        first, second = task["shares"]["first"], task["shares"]["second"]
        return f"{first['lost']} of {first['of']} against {second['lost']} of {second['of']}"
    if entry["ratio"]:
        return _times([math.exp(value * task["delta"]) for value in values], len(task["pairs"]))
    if statistic in ALONE:
        found = stats.interval([first for _, first, _ in task["pairs"]], scale=ALONE[statistic])
        return _with(str(found), "%" if statistic == "percentile" else "")
    scale, unit = _scale(statistic, task)
    values = [value * task["delta"] * scale for value in values]
    return _said(values, unit, WORDS.get(statistic, ("better", "worse")), len(task.get("pairs", ())))


def pooled(name: str, budget: str, *part: str) -> str:
    """The effect over all tasks: in units of the smallest difference that matters, or as a ratio."""
    return pooled_of(_measured(name, budget, *part))


def pooled_of(entry: Verdict) -> str:
    """The effect of an entry over all its tasks."""
    values = [entry[key] for key in ("pooled", "low", "high")]
    n = sum(len(task["pairs"]) for task in entry["tasks"])
    if entry["ratio"]:
        return _times([entry["ratio"] ** value for value in values], n)
    if entry["statistic"] in ALONE:  # the first side by itself, as on each task
        task = entry["tasks"][0]
        sign, second = 1 if task["higher_is_better"] else -1, task["pairs"][0][2]
        mean, *ends = (second + sign * task["delta"] * value for value in values)
        text = _number(mean, min(ends), max(ends), n)
        return _with(text, "%" if entry["statistic"] == "percentile" else "")
    if entry["statistic"] in SHARES:
        deltas = {task["delta"] for task in entry["tasks"]}
        return _said([100 * value * min(deltas) for value in values], "points", WORDS[entry["statistic"]], n)
    return _said(values, "", WORDS.get(entry["statistic"], ("better", "worse")), n)


def score(pool: str, level: str, task: str, budget: str) -> str:
    """The mean test score of a tuned level over its report seeds, with its 95 % interval and unit."""
    spec = read_tasks(DOCS / "evidence" / "tasks.toml")[task]
    rows = [row for row in _reported(pool, task, budget)[level].values() if row and row["status"] != "diverged"]
    values = [row["scores"]["test"] for row in rows]
    if spec.metric == "accuracy":
        return _with(str(stats.interval([100 * value for value in values], scale=(0, 100))), "%")
    return _with(str(stats.interval(values)), spec.unit)


def rate(pool: str, level: str, task: str, budget: str) -> str:
    """The learning rate that tuning chose for a level."""
    return f"{trials(pool, task, budget).tuned.chosen[level]:g}"


def _measured(name: str, budget: str, *part: str) -> Verdict:
    entry = entry_of(name, budget, ", ".join(part))  # a role splits its arguments at commas
    if entry["pooled"] is None:
        raise ValueError(f"{name} must be measured at {budget!r}, got: {entry['reason']}")
    return entry


@cache
def _index(pool: str) -> dict[str, Any]:
    return index_of(read_trials(trial_path(DOCS, pool)))


@cache
def trials(pool: str, task: str, budget: str) -> Any:
    """A tuned pool's trials of a task at a budget."""
    of: Any = record().pools[pool]
    return trials_of(of, of.tasks[task], budget, _index(pool))


def _reported(pool: str, task: str, budget: str) -> Any:
    reported = trials(pool, task, budget).reported
    if not reported:
        raise ValueError(f"the pool {pool} must be trained on {task} at {budget!r}")
    return reported


def _scale(statistic: str, task: Verdict) -> tuple[float, str]:
    """By what a difference is multiplied to be read, and its unit."""
    metric = read_tasks(DOCS / "evidence" / "tasks.toml")[task["task"]].metric
    share = not task["unit"] and (metric == "accuracy" or statistic == "domain metric")
    unit: str = task["unit"]
    return (100.0, "points") if share else (1.0, UNITS.get(unit, unit))


def _said(values: Sequence[float], unit: str, words: tuple[str, str], n: int) -> str:
    """A difference in words, its sign as a word: ``4.0 mg/dl better [2.9, 5.1]``."""
    mean, low, high = values
    signed = _number(mean, low, high, n)
    text = _number(-mean, -high, -low, n) if mean < 0 else signed
    if text.split()[0] == "1":
        unit = unit.removesuffix("s")  # one point
    if float(text.split()[0]) == 0:  # nothing to be called better: the ends keep their signs
        return _with(signed, unit)
    return _with(text, f"{unit} {words[mean < 0]}".strip())


def _times(values: Sequence[float], n: int) -> str:
    mean, low, high = values
    return _with(_number(mean, low, high, n), "times")


def _number(mean: float, low: float, high: float, n: int) -> str:
    return str(stats.Interval(mean=mean, low=low, high=high, n=n, confidence=0.95))


def _with(text: str, unit: str) -> str:
    """An interval with its unit after the mean."""
    mean, _, ends = text.partition(" ")
    return f"{mean} {unit} {ends}" if unit else text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
