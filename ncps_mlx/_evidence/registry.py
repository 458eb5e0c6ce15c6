"""The registry of claims: what the advice says, and which contrast decides it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ncps_mlx._evidence.pool import BUDGETS, Pool, check_keys, read_toml
from ncps_mlx._utils.validation import check_choice, check_number, did_you_mean
from ncps_mlx.stats._finding import DIRECTIONS

__all__ = [
    "KINDS",
    "RATIOS",
    "SHARES",
    "STATISTICS",
    "TERMS",
    "Claim",
    "Part",
    "Registry",
    "Term",
    "levels_of",
    "read_deltas",
    "read_registry",
    "single_level",
]

KINDS = ("measured", "checked", "shown")

STATISTICS = {
    "test": "score on the test split, of the parameters that were kept",
    "train": "score on the training split",
    "gap": "how much worse the test score is than the training score",
    "last gap": "how much worse the test score is than the training score, at the last step",
    "last against best": "test score of the parameters that were kept, against that of the last ones",
    "auroc": "area under the ROC curve of the residuals on the test split",
    "average_precision": "average precision of the residuals on the test split",
    "largest good rate": "largest learning rate of a grid whose validation score is within δ of the best on the grid",
    "edge": "test score at twice the largest good rate of the second side, chosen on the tuning seeds",
    "step time": "processor seconds of a training step",
    "speed": "training sequences that a processor second gets through",
    "memory": "most megabytes that a training step takes beside data, parameters and the optimizer's state",
    "retrained best": "mean test score of what a search chose by validation, trained again with new seeds",
    "percentile": "percent of a search's trials with a better test score than a trial has; 0 is the best",
    "early correlation": "Spearman's, over a search's trials, of validation scores at a third of the steps and the end",
    "estimate": "score that the folds of a cross-validation give on average",
    "error of estimate": "distance of the folds' average from the score that then came",
    "agreement of metrics": "Spearman's correlation over configurations of the task's metric with another",
    "domain metric": "test score in the first side's metric, of the configuration that a side's metric chooses",
    "failures": "whether a training was lost (1) or not (0): it diverged, or ended beyond use",
    "spikes": "whether its loss was ever beyond use, though it may have come back since (1), or not (0)",
}
"""What a contrast may compare, and is computed from trials. Any other name says what is still to be measured."""

RATIOS = {"largest good rate": "", "step time": "s", "speed": "1/s", "memory": "MB"}
"""Statistics that are compared by their ratio, with their units: their values are natural logarithms."""

SHARES = ("failures", "spikes")
"""Statistics of trainings in a pool of the design failures, compared as shares; δ is a share."""

TERMS = ("best", "worst", "minus", "by_task")
"""A side of a contrast, if no level: the best or the worst of some by tuning seeds; one minus another; one by task."""

Term = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One contrast of a claim.

    Attributes:
        name: Within the claim.
        statistic: What is compared.
        direction: What the claim says of ``first`` against ``second``.
        first: A level, ``{best = [...]}``, ``{worst = [...]}``, ``{minus = [a, b]}`` or ``{by_task = {...}}``.
        second: Likewise.
        tasks: Those it rests on.
        deltas: The smallest difference that matters, by task: of a statistic with a ``ratio``, its logarithm.
        ratio: The smallest ratio that matters, of a statistic that is compared so; 0 for others.
        score_deltas: The smallest difference of scores that matters, by task.
        reported: It is shown, and does not count for the claim's verdict.
        contrast: In words, where nothing computes it yet.
        pool: Whose trials it rests on, if not the claim's.
    """

    name: str
    statistic: str
    direction: str
    first: Term = ""
    second: Term = ""
    tasks: Sequence[str] = ()
    deltas: Mapping[str, float] = field(default_factory=dict)
    ratio: float = 0.0
    score_deltas: Mapping[str, float] = field(default_factory=dict)
    reported: bool = False
    contrast: str = ""
    pool: str = ""

    @property
    def is_computed(self) -> bool:
        """Whether trials give it."""
        return self.statistic in STATISTICS


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One piece of advice.

    Attributes:
        id: Its name.
        section: The page of the guide that gives it.
        statement: The advice as it circulates.
        kind: ``"measured"``, ``"checked"`` or ``"shown"``, or both of the first two.
        pool: Whose trials its parts rest on, unless they say; "" for none.
        parts: Its contrasts.
        budgets: At which it is measured.
        note: Why the experiment is as it is.
        changed: What was changed of it after its first run, and why; told with the next change of its verdict.
    """

    id: str
    section: str
    statement: str
    kind: Sequence[str]
    pool: str = ""
    parts: Sequence[Part] = ()
    budgets: Sequence[str] = BUDGETS
    note: str = ""
    changed: str = ""


Registry = Mapping[str, Claim]


def levels_of(term: Term, task: str) -> list[str]:
    """The levels that a side names for a task."""
    if isinstance(term, str):
        return [term]
    ((kind, named),) = term.items()
    return levels_of(named[task], task) if kind == "by_task" else list(named)


def single_level(term: Term, task: str) -> str:
    """The level that a side is for a task, where a design offers no choice and no difference of levels."""
    if isinstance(term, str):
        return term
    ((kind, named),) = term.items()
    if kind != "by_task":
        raise ValueError(f"a side must be a level, or one by task, in a pool of this design, got {term}.")
    return single_level(named[task], task)


def read_deltas(path: Path) -> dict[str, float]:
    """The smallest differences that matter, by task."""
    deltas: dict[str, float] = read_toml(path)["deltas"]
    return deltas


def read_registry(path: Path, pools: Mapping[str, Pool]) -> dict[str, Claim]:
    """Read and check the registry."""
    document = read_toml(path)
    deltas = document.pop("deltas")
    return {name: _claim(f"{path.name}: {name}", name, table, deltas, pools) for name, table in document.items()}


def _claim(
    where: str, name: str, table: Mapping[str, Any], deltas: Mapping[str, float], pools: Mapping[str, Pool]
) -> Claim:
    check_keys(where, table, Claim, without=("id",), more=("tasks",))
    kind = [table["kind"]] if isinstance(table["kind"], str) else table["kind"]
    for each in kind:
        check_choice(f"{where}: kind", each, KINDS)
    parts = [
        _part(f"{where}.{number}", {"pool": table.get("pool", ""), **part}, table.get("tasks", []), deltas, pools)
        for number, part in enumerate(table.get("parts", []), start=1)
    ]
    if ("measured" in kind) != bool(parts):
        raise ValueError(f"{where} must have parts if it is measured, and only then.")
    if len({part.name for part in parts}) < len(parts):
        raise ValueError(f"{where}: parts must have different names, got {[part.name for part in parts]}.")
    own = {key: table[key] for key in ("section", "statement", "pool", "budgets", "note", "changed") if key in table}
    return Claim(id=name, kind=kind, parts=parts, **own)


def _part(
    where: str,
    table: Mapping[str, Any],
    tasks: Sequence[str],
    deltas: Mapping[str, float],
    pools: Mapping[str, Pool],
) -> Part:
    check_keys(where, table, Part, without=("score_deltas",), more=("times",), optional=("deltas",))
    check_choice(f"{where}: direction", table["direction"], DIRECTIONS)
    chosen = table.get("tasks", tasks)
    of_scores = {task: deltas[task] for task in chosen if task in deltas}
    known = {task: deltas.get(table["statistic"], deltas.get(task)) for task in chosen}
    own = {task: table.get("times", 1) * delta for task, delta in known.items() if delta is not None}
    own |= table.get("deltas", {})
    ratio = _ratio(where, table, deltas)
    if ratio:
        own = dict.fromkeys(chosen, math.log(ratio))
    given = {key: value for key, value in table.items() if key != "times"}
    part = Part(**given | {"tasks": chosen, "deltas": own, "score_deltas": of_scores, "ratio": ratio})
    if not part.is_computed:
        if not part.contrast:
            raise ValueError(f"{where}: contrast must say in words what {part.statistic!r} compares.")
        return part
    if (pool := pools.get(part.pool)) is None:
        raise ValueError(f"{where}: pool must be one of docs/evidence/pools for the statistic {part.statistic!r}.")
    for side in (part.first, part.second):
        _check_term(where, side)
        for task in chosen:
            _check_side(f"{where}: {task}", levels_of(side, task), task, pool)
    for task in chosen:
        if task not in part.deltas:
            raise ValueError(f"{where}: deltas must hold one for {task!r}.")
    return part


def _ratio(where: str, table: Mapping[str, Any], deltas: Mapping[str, float]) -> float:
    """The smallest ratio that matters; 0 for a statistic that is compared by its difference."""
    is_ratio = table["statistic"] in RATIOS
    for key in ("times", "deltas") if is_ratio else ("ratio",):
        if key in table:
            compared = "ratio, for instance ratio = 1.15" if is_ratio else "difference"
            raise ValueError(f"{where}: {key} must be left out: {table['statistic']} is compared by its {compared}.")
    if not is_ratio:
        return 0.0
    return check_number(f"{where}: ratio", table.get("ratio", deltas.get("ratio")), low=1, open_low=True)


def _check_term(where: str, side: Term) -> None:
    if isinstance(side, str):
        return
    if len(side) != 1 or next(iter(side)) not in TERMS:
        raise ValueError(f"{where}: a side must be a level or one of {', '.join(TERMS)}, got {side}.")
    for each in side.get("by_task", {}).values():
        _check_term(where, each)


def _check_side(where: str, levels: Sequence[str], task: str, pool: Pool) -> None:
    if task not in pool.tasks:
        raise ValueError(f"{where} must be a task of the pool {pool.name}.")
    known = pool.level_names(task)
    for level in levels:
        if level not in known:
            raise ValueError(
                f"{where}: levels must be those of the pool {pool.name}, got {level!r}.{did_you_mean(level, known)}"
            )
