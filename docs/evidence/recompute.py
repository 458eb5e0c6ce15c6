"""Every verdict computed again from the trials, by other code: pandas and scipy, and nothing of the library.

It follows the page `rule` line by line. ``python recompute.py``, where it lies beside the record, prints what it finds
otherwise than ``verdicts.json``, and fails if that is anything.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta, fisher_exact
from scipy.stats import t as student

PARTS = ("claims.toml", "evidence/tasks.toml", "evidence/pools", "evidence/trials", "evidence/verdicts.json")
BUDGETS = ("short", "long")
TUNE_SEEDS = range(3)
FIRST_REPORT_SEED = 100
REPORT_SEEDS = {"short": 30, "long": 10}
RATES = [float(f"{digit}e{exponent}") for exponent in range(-9, 4) for digit in (1, 3)]
EXTENSIONS = 2
HIGHER_IS_BETTER = {"rmse": False, "mae": False, "log loss": False, "accuracy": True}
NOT_OF_CONTENT = ("only", "task", "steps_times")
OF_DETECTION = ("auroc", "average_precision")
SHARES = ("failures", "spikes")
UNSIGNED = (*OF_DETECTION, "gap", "last gap")
STATISTICS = ("test", "train", "last against best", *UNSIGNED)
SUPPORTS = {"more": ["larger"], "less": ["smaller"], "same": ["negligible"], "not-worse": []}
REFUTES = {
    "more": ["smaller", "negligible"],
    "less": ["larger", "negligible"],
    "same": ["larger", "smaller"],
    "not-worse": ["smaller"],
}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of TOML."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


# -- from trials to pairs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool's file, its tasks, and its trials by seed for each task, budget, stage, key and rate."""

    file: Mapping[str, Any]
    tasks: Mapping[str, Any]
    trials: Mapping[tuple[Any, ...], pd.DataFrame]

    def levels(self, task: str) -> dict[str, Any]:
        """The levels that a task has."""
        every = self.file["levels"]
        return {
            name: level for name, level in every.items() if task in (level.get("only") or level.get("task") or [task])
        }

    def key(self, task: str, budget: str, level: Mapping[str, Any]) -> str:
        """What a level's trials are known by."""
        own = self.tasks[task]
        data = own.get("arguments", {}) | level.get("task", {}).get(task, {})
        content = {name: value for name, value in level.items() if name not in NOT_OF_CONTENT}
        if "baseline" in level:
            return key_of(content, {}, data, 0)
        fixed = {"model": self.file["model"], **self.file.get("fixed", {}), **own.get("settings", {})}
        fixed |= self.file.get("settings", {}).get(task, {})
        steps = self.file.get("steps", {}).get(task, {}).get(budget, own["steps"][budget])
        steps = int(steps * level.get("steps_times", {}).get(task, 1) // level.get("divide_steps_by", 1))
        return key_of(content, fixed, data, max(1, steps))


def key_of(level: Mapping[str, Any], fixed: Mapping[str, Any], data: Mapping[str, Any], steps: int) -> str:
    """A level without its rate, and without the hidden size that was solved for; what is fixed, data and steps."""
    solved = {"learning_rate"} | ({"hidden_size"} if "parameters_of" in level else set())
    content = {name: value for name, value in level.items() if name not in solved}
    return json.dumps([content, fixed, data, steps], sort_keys=True)


def own_rate(level: Mapping[str, Any]) -> float | None:
    """The rate that a level has without being tuned; 0 for a baseline, which is not trained."""
    return 0.0 if "baseline" in level else level.get("learning_rate")


def read_pool(folder: Path, name: str, tasks: Mapping[str, Any]) -> Pool:
    """Read a pool and the columns of its trials that are needed."""
    file, path = read_toml(folder / "pools" / f"{name}.toml"), folder / "trials" / f"{name}.jsonl"
    is_read = path.exists() and file.get("design", "tuned") == "tuned"  # trials of others have other columns
    rows = [
        {
            **{column: row[column] for column in ("task", "budget", "stage", "seed", "status")},
            "rate": row["level"].get("learning_rate", 0.0),
            "key": key_of(row["level"], row["fixed"], row["data"], row["steps"]),
            "validation": row["scores"].get("validation"),
            **{f"kept {split}": row["scores"].get(split) for split in ("train", "test")},
            **{f"last {split}": row["last"].get(split) for split in ("train", "test")},
            **{metric: row["metrics"].get(metric, {}).get("test") for metric in OF_DETECTION},
        }
        for row in (read_trials(path) if is_read else ())
    ]
    columns = ["task", "budget", "stage", "key", "rate"]
    frame = pd.DataFrame(rows, columns=None if rows else [*columns, "seed"])
    if frame.duplicated([*columns, "seed"]).any():
        raise ValueError(f"{path} must hold each trial once.")
    trials = {key: each.set_index("seed") for key, each in frame.groupby(columns)}
    return Pool(file, tasks, trials)


def read_trials(path: Path) -> Iterator[dict[str, Any]]:
    """Read trials: a line with an ``id`` holds what those below share that name it."""
    shared: dict[str | None, Any] = {None: {}}
    for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if "id" in line:
            shared[line["id"]] = line["shared"]
        else:
            yield {**shared[line.pop("shared", None)], **line}


@dataclass(frozen=True)
class Tuned:
    """The rate that tuning chose for each level of a task, and the mean validation score of that rate."""

    rate: Mapping[str, float]
    validation: Mapping[str, float]


@cache
def tune(pool: Pool, task: str, budget: str) -> Tuned | None:
    """Choose each level's rate on the tuning seeds; ``None`` if a trial is missing."""
    higher = HIGHER_IS_BETTER[pool.tasks[task]["metric"]]
    worst, best = (-math.inf, max) if higher else (math.inf, min)
    levels, grid, left = pool.levels(task), list(pool.file["rates"]), {0: EXTENSIONS, -1: EXTENSIONS}
    while True:
        rate, validation = {}, {}
        for name, level in levels.items():
            means: dict[float, float] = {}
            own = own_rate(level)
            for each in grid if own is None else [own]:
                scores = values(pool, task, budget, "tune", level, each, "validation", TUNE_SEEDS)
                if scores is None:
                    return None
                means[each] = float(scores.fillna(worst).mean())
            rate[name] = best(sorted(means), key=means.__getitem__)  # of equal ones the lower
            validation[name] = means[rate[name]]
        free = {rate[name] for name, level in levels.items() if own_rate(level) is None}
        edges = [end for end in (0, -1) if grid[end] in free and left[end]]
        if not edges:
            return Tuned(rate, validation)
        for end in edges:
            left[end] -= 1
            place = int(np.argmin(np.abs(np.log(RATES) - math.log(grid[end]))))
            grid = [RATES[place - 1], *grid] if end == 0 else [*grid, RATES[place + 1]]


def values(
    pool: Pool, task: str, budget: str, stage: str, level: Mapping[str, Any], rate: float, what: str, seeds: range
) -> pd.Series | None:
    """What a level's trials gave, by seed; ``None`` if a trial is missing."""
    found = pool.trials.get((task, budget, stage, pool.key(task, budget, level), rate))
    if found is None or not set(seeds) <= set(found.index):
        return None
    found = found.loc[list(seeds)]
    score = found[what].astype(float)
    return score.where(found["status"] != "diverged") if stage == "report" else score


def pairs_of(part: Mapping[str, Any], pool: Pool, task: str, budget: str) -> dict[str, Any] | None:
    """The pairs of a part on a task, and what they rest on; ``None`` if a trial is missing."""
    tuned = tune(pool, task, budget)
    if tuned is None:
        return None
    higher = HIGHER_IS_BETTER[pool.tasks[task]["metric"]]
    count = pool.file.get("report_seeds", {}).get(budget, REPORT_SEEDS[budget])
    seeds = range(FIRST_REPORT_SEED, FIRST_REPORT_SEED + count)
    sides, levels = [], {}
    for side in ("first", "second"):
        names = levels_of(part[side], task, tuned, higher)
        levels[side] = [[name, tuned.rate[name]] for name in names]
        what = part["statistic"]
        found = [statistic(what, side, pool, task, budget, name, tuned.rate[name], seeds) for name in names]
        each = [score for score in found if score is not None]
        if len(each) < len(found):
            return None
        sides.append(each[0] - sum(each[1:]))
    both = pd.concat(sides, axis=1, keys=["first", "second"])
    there = both.dropna()
    return {
        "pairs": [[int(seed), *map(float, pair)] for seed, pair in zip(there.index, there.to_numpy(), strict=True)],
        "levels": levels,
        "lost": len(both) - len(there),
        "higher_is_better": higher or part["statistic"] in UNSIGNED,
    }


def levels_of(side: Any, task: str, tuned: Tuned, higher: bool) -> list[str]:
    """The levels that a side comes to: one, or those whose difference it is."""
    if isinstance(side, str):
        return [side]
    ((kind, named),) = side.items()
    if kind == "by_task":
        return levels_of(named[task], task, tuned, higher)
    if kind == "minus":
        return list(named)
    finite = [name for name in named if math.isfinite(tuned.validation[name])] or list(named)
    choose = max if (kind == "best") == higher else min
    return [choose(finite, key=tuned.validation.__getitem__)]


def statistic(
    name: str, side: str, pool: Pool, task: str, budget: str, level: str, rate: float, seeds: range
) -> pd.Series | None:
    """A statistic of a level's trials, by seed."""
    sign = 1 if HIGHER_IS_BETTER[pool.tasks[task]["metric"]] else -1

    def value(what: str) -> pd.Series | None:
        return values(pool, task, budget, "report", pool.file["levels"][level], rate, what, seeds)

    if name in ("gap", "last gap"):
        when = "kept" if name == "gap" else "last"
        train, test = value(f"{when} train"), value(f"{when} test")
        return None if train is None or test is None else sign * (train - test)
    if name == "last against best":
        return value("kept test" if side == "first" else "last test")
    return value(name if name in OF_DETECTION else f"kept {name}")


# -- from pairs to a verdict ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """An effect in δ: its mean, whether it differs from 0, and the ends of its 95 % and 90 % intervals."""

    mean: float
    differs: bool
    low: float
    high: float
    lower: float
    upper: float

    @property
    def within(self) -> bool:
        """Whether two one-sided tests put it within ±1."""
        return self.lower > -1 and self.upper < 1


def differences_of(task: Mapping[str, Any], delta: float) -> np.ndarray:
    """The differences of a task's pairs in δ, positive in favour of the first side."""
    first, second = np.array([pair[1:] for pair in task["pairs"]], float).T
    return np.asarray((first - second) * (1 if task["higher_is_better"] else -1) / delta)


def of_scores(tasks: Sequence[Mapping[str, Any]], deltas: Sequence[float], level: float = 0.05) -> Effect:
    """The pooled effect of some tasks, or that of one: Student's intervals, Welch's and Satterthwaite's freedom."""
    each = [differences_of(task, delta) for task, delta in zip(tasks, deltas, strict=True)]
    parts = [(float(one.var(ddof=1)) / len(one), len(one) - 1) for one in each]
    total, spread = sum(part for part, _ in parts), sum(part**2 / free for part, free in parts)
    freedom = total**2 / spread if spread else sum(free for _, free in parts)
    mean, error = math.fsum(float(one.mean()) for one in each) / len(each), math.sqrt(total) / len(each)
    two, one_sided = (float(student.ppf(1 - tail, freedom)) * error for tail in (level / 2, level))
    low, high = mean - two, mean + two
    return Effect(mean, low > 0 or high < 0, low, high, mean - one_sided, mean + one_sided)


def of_shares(tasks: Sequence[Mapping[str, Any]], deltas: Sequence[float], level: float = 0.05) -> Effect:
    """The same of trainings lost: Fisher's exact test of all together, intervals of Zou and Donner."""
    counts = [lost_of(task) for task in tasks]
    mean = math.fsum((a - b) / n / delta for (a, b, n), delta in zip(counts, deltas, strict=True)) / len(counts)

    def ends(tail: float) -> tuple[float, float]:
        below = above = 0.0
        for (a, b, n), delta in zip(counts, deltas, strict=True):
            (a_low, a_high), (b_low, b_high) = clopper_pearson(a, n, tail), clopper_pearson(b, n, tail)
            below += ((a / n - a_low) ** 2 + (b_high - b / n) ** 2) / delta**2
            above += ((a_high - a / n) ** 2 + (b / n - b_low) ** 2) / delta**2
        return mean - math.sqrt(below) / len(counts), mean + math.sqrt(above) / len(counts)

    a, b, n = (sum(column) for column in zip(*counts, strict=True))
    return Effect(mean, fisher(a, b, n) < level, *ends(level / 2), *ends(level))


def lost_of(task: Mapping[str, Any]) -> tuple[int, int, int]:
    """Trainings lost of the first side and of the second, and how many each had."""
    return sum(pair[1] == 1 for pair in task["pairs"]), sum(pair[2] == 1 for pair in task["pairs"]), len(task["pairs"])


def clopper_pearson(lost: int, of: int, tail: float) -> tuple[float, float]:
    """The exact interval of a share that leaves out this on each side."""
    low = float(beta.ppf(tail, lost, of - lost + 1)) if lost else 0.0
    return low, float(beta.ppf(1 - tail, lost + 1, of - lost)) if lost < of else 1.0


def fisher(first: int, second: int, of: int) -> float:
    """The p of Fisher's exact test, two-sided, of two shares of as many trainings."""
    return float(fisher_exact([[first, of - first], [second, of - second]])[1])


def decide(tasks: Sequence[Mapping[str, Any]], deltas: Sequence[float], part: Mapping[str, Any]) -> dict[str, Any]:
    """The pooled effect of a part, the finding and the verdict."""
    measure = of_shares if part["statistic"] in SHARES else of_scores
    count, pooled = len(tasks), measure(tasks, deltas)
    each = [measure([task], [delta], 0.05 / count) for task, delta in zip(tasks, deltas, strict=True)]
    proven = [
        ("helps" if one.mean > 0 else "hurts") if one.differs and abs(one.mean) >= 1
        else "negligible" if one.within
        else ""
        for one in each
    ]  # fmt: skip
    needed = math.ceil(2 * count / 3)
    above, below = pooled.differs and pooled.mean >= 1, pooled.differs and pooled.mean <= -1
    if above and sum(one.mean >= 1 for one in each) >= needed:
        finding = "larger"
    elif below and sum(one.mean <= -1 for one in each) >= needed:
        finding = "smaller"
    elif pooled.within and "helps" not in proven and "hurts" not in proven:
        finding = "negligible"
    elif len(set(proven) - {""}) >= 2 or (above and "helps" in proven) or (below and "hurts" in proven):
        finding = "differs by task"
    else:
        finding = "open"
    direction = part["direction"]
    if finding in REFUTES[direction]:
        verdict = "refuted"
    elif finding in SUPPORTS[direction] or (direction == "not-worse" and pooled.lower > -1):
        verdict = "supported"
    else:
        verdict = finding if finding == "differs by task" else "open"
    return {
        "finding": finding,
        "verdict": verdict,
        "pooled": pooled.mean,
        "low": pooled.low,
        "high": pooled.high,
        "reason": needed_seeds(pooled, min(len(task["pairs"]) for task in tasks)) if finding == "open" else "",
    }


def needed_seeds(pooled: Effect, n: int) -> str:
    """How many seeds would settle an open finding."""
    if abs(pooled.mean) >= 1:
        half, distance = (pooled.high - pooled.low) / 2, abs(pooled.mean)
    else:
        half, distance = (pooled.upper - pooled.lower) / 2, 1 - abs(pooled.mean)
    return f"about {max(n + 1, math.ceil(n * (half / distance) ** 2))} seeds would settle it"


def of_task(task: Mapping[str, Any], delta: float, part: Mapping[str, Any]) -> dict[str, Any]:
    """The effect of one task, as ``verdicts.json`` has it."""
    own = (of_shares if part["statistic"] in SHARES else of_scores)([task], [delta])
    better = differences_of(task, 1.0)
    found: dict[str, Any] = {
        "effect": own.mean,
        "low": own.low,
        "high": own.high,
        "probability": float(np.mean((better > 0) + (better == 0) / 2)),
    }
    if part["statistic"] in SHARES:
        first, second, of = lost_of(task)
        found |= {"p_value": fisher(first, second, of), "shares": {}}
        for side, lost in (("first", first), ("second", second)):
            low, high = clopper_pearson(lost, of, 0.025)
            found["shares"][side] = {"lost": lost, "of": of, "low": low, "high": high}
    return found


# -- all of them ------------------------------------------------------------------------------------------------------


def verdicts(docs: Path, recorded: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each part's entry of ``verdicts.json`` computed again, and where its pairs come from, as ``source_of`` says."""
    folder = docs / "evidence"
    claims, tasks = read_toml(docs / "claims.toml"), read_toml(folder / "tasks.toml")
    deltas = claims.pop("deltas")
    pools = {path.stem: read_pool(folder, path.stem, tasks) for path in (folder / "pools").glob("*.toml")}
    listed = by_name(recorded)
    for name, claim in claims.items():
        kind = [claim["kind"]] if isinstance(claim["kind"], str) else claim["kind"]
        for part in claim.get("parts", []):
            pool = pools.get(part.get("pool", claim.get("pool", "")))
            own = {
                task: part.get("deltas", {}).get(task, part.get("times", 1) * deltas.get(task, math.nan))
                for task in part.get("tasks", claim.get("tasks", []))
            }
            for budget in claim.get("budgets", BUDGETS):
                about = {
                    "id": name, "part": part["name"], "budget": budget, "kind": kind, "statistic": part["statistic"],
                    "direction": part["direction"], "reported": part.get("reported", False),
                }  # fmt: skip
                entry = listed.get((name, part["name"], budget), {})
                yield about | verdict_of(part, pool, budget, own, entry), source_of(part, pool)


def by_name(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Entries by claim, part and budget."""
    return {(entry["id"], entry["part"], entry["budget"]): entry for entry in entries}


def source_of(part: Mapping[str, Any], pool: Pool | None) -> str:
    """Where the pairs of a part come from: trials, the list of its entry, or none."""
    if pool is None or "first" not in part:
        return "none"
    return "trials" if pool.file.get("design", "tuned") == "tuned" else "listed"


def verdict_of(
    part: Mapping[str, Any], pool: Pool | None, budget: str, deltas: Mapping[str, float], entry: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdict of a part at a budget, as ``verdicts.json`` has it."""
    nothing: dict[str, Any] = dict.fromkeys(("finding", "pooled", "low", "high"))
    nothing |= {"verdict": "not measured", "tasks": []}
    source = source_of(part, pool)
    if pool is None or source == "none":
        return nothing | {"reason": f"nothing computes it yet: {part['contrast']}"}
    if source == "trials":
        if part["statistic"] not in STATISTICS:
            raise ValueError(f"recompute.py and rule.rst must say what the statistic {part['statistic']!r} is.")
        found: dict[str, Any] = {task: pairs_of(part, pool, task, budget) for task in deltas}
        about = {task: {"unit": pool.tasks[task].get("unit", ""), "delta": delta} for task, delta in deltas.items()}
    else:
        found = {task["task"]: task for task in entry.get("tasks", [])}
        about = {name: {"unit": task["unit"], "delta": task["delta"]} for name, task in found.items()}
    known = {task: one for task, one in found.items() if one is not None}
    if not known or len(known) < len(found):
        return nothing | {"reason": "trials are missing"}
    if few := [task for task, one in known.items() if len(one["pairs"]) < 2]:
        return nothing | {"reason": f"nearly all trainings diverged: {', '.join(few)}"}
    tasks = [
        {"task": task, **about[task], **of_task(one, about[task]["delta"], part)}
        | {name: one[name] for name in ("pairs", "levels", "lost", "higher_is_better")}
        for task, one in known.items()
    ]
    return decide(tasks, [task["delta"] for task in tasks], part) | {"tasks": tasks}


def disagreements(recorded: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is recorded otherwise than it is computed here. What has no budget is checked, not measured."""
    then, now = by_name([entry for entry in recorded if entry["budget"] is not None]), by_name(again)
    for name in sorted(then.keys() ^ now.keys()):
        yield f"{', '.join(name)}: is {'recorded' if name in then else 'not recorded'}, against claims.toml"
    for name in [name for name in now if name in then]:
        where = ", ".join(name)
        yield from differing(where, then[name], now[name])
        for task, own in zip(then[name]["tasks"], now[name]["tasks"], strict=False):
            yield from differing(f"{where}, {own['task']}", task, own)


def differing(where: str, recorded: Mapping[str, Any], mine: Mapping[str, Any]) -> Iterator[str]:
    """Fields of an entry that differ: texts at all, numbers by more than their rounding to six digits."""
    for name in sorted(recorded.keys() | mine.keys()):
        then, now = recorded.get(name), mine.get(name)
        if name == "ratio":  # of a listed pair's logarithms: δ has it
            continue
        if name == "tasks":
            then, now = ([task["task"] for task in tasks] for tasks in (then or [], now or []))
        if name == "reason" and str(then).startswith("trials are missing"):
            then = "trials are missing"
        if not same(then, now):
            yield f"{where}: {name} is recorded as {then!r:.100}, computed as {now!r:.100}"


def same(then: Any, now: Any) -> bool:
    """Whether two values are equal, numbers to six digits."""
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(same, then, now))
    if isinstance(then, dict) and isinstance(now, dict):
        return then.keys() == now.keys() and all(same(then[name], now[name]) for name in then)
    if isinstance(then, float) and isinstance(now, int | float):
        return math.isclose(then, now, rel_tol=2e-5, abs_tol=1e-6)
    return bool(then == now)


def main(docs: Path) -> int:
    """Compare the record in a folder with what follows from it; return the exit status."""
    if lacking := [name for name in PARTS if not (docs / name).exists()]:
        print(
            f"recompute.py must lie in the folder evidence of the record, got no {lacking[0]} in {docs}. The site's "
            "evidence/record.zip has it all; in a checkout it is docs/evidence.",
            file=sys.stderr,
        )
        return 2
    recorded = json.loads((docs / "evidence" / "verdicts.json").read_text(encoding="utf-8"))
    again = list(verdicts(docs, recorded))
    found = list(disagreements(recorded, [entry for entry, _ in again]))
    sources = Counter(source if entry["finding"] else "none" for entry, source in again)
    print("\n".join(found) or "Nothing is recorded otherwise.")
    print(
        f"{sources['trials']} verdicts from their trials, {sources['listed']} from the pairs they list, "
        f"{sources['none']} not measured"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
