"""Comparisons: a level of a pool against all its others, task by task, decided by the rule that decides claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ncps_mlx._evidence.pool import BUDGETS, Pool, TaskSpec, check_keys, read_toml
from ncps_mlx._evidence.registry import Claim, Part, Registry
from ncps_mlx._evidence.scores import DETECTION
from ncps_mlx._evidence.verdicts import Verdict, effect
from ncps_mlx._utils.text_table import text_table
from ncps_mlx._utils.validation import check_choice

__all__ = ["Comparison", "findings", "read_comparisons"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared.

    Attributes:
        pool: Whose levels.
        first: The level that is compared with each other one: of these, the one that a task has.
        statement: What it is to find out.
    """

    pool: str
    first: Sequence[str]
    statement: str


def read_comparisons(path: Path, pools: Mapping[str, Pool], deltas: Mapping[str, float]) -> Registry:
    """Read comparisons in the form of claims: one for each task, with a part for each opponent; none without a file.

    A part says ``more``: it is supported if the first level is better than the opponent by what matters, and refuted if
    it is worse by as much or the difference is negligible. The finding says which.
    """
    found = {}
    for name, table in (read_toml(path) if path.exists() else {}).items():
        check_keys(f"{path.name}: {name}", table, Comparison)
        comparison = Comparison(**table)
        pool = pools[check_choice(f"{path.name}: {name}.pool", comparison.pool, pools)]
        for task in pool.tasks.values():
            levels = pool.level_names(task.name)
            first = [level for level in comparison.first if level in levels]
            if len(first) != 1:
                raise ValueError(f"{path.name}: {name}.first must hold one level of {task.name}, got {first}.")
            parts = [
                Part(
                    name=level if statistic == "test" else f"{level}, {statistic}", statistic=statistic,
                    direction="more", pool=pool.name, first=first[0], second=level, tasks=[task.name],
                    deltas={task.name: deltas[task.name]},
                )
                for statistic in _statistics(task)
                for level in levels
                if level != first[0]
            ]  # fmt: skip
            claim = Claim(
                id=f"{name}-{task.name}", section="", statement=comparison.statement, kind=("comparison",),
                pool=pool.name, parts=parts,
            )  # fmt: skip
            found[claim.id] = claim
    return found


def _statistics(task: TaskSpec) -> list[str]:
    """The test score; of a task that seeks anomalies, how well they are found."""
    return [metric for metric in task.metrics if metric in DETECTION] or ["test"]


def findings(found: Sequence[Verdict]) -> str:
    """What came of comparisons as a table: larger is better for the first level; effects are in δ."""
    by_budget = {(entry["id"], entry["part"], entry["budget"]): entry for entry in found}
    rows = [["comparison", "against", *BUDGETS, *(f"effect, {budget}" for budget in BUDGETS)]]
    for name, part in dict.fromkeys((entry["id"], entry["part"]) for entry in found):
        entries = [by_budget[name, part, budget] for budget in BUDGETS]
        rows.append([name, part, *(entry["finding"] or entry["verdict"] for entry in entries), *map(effect, entries)])
    return text_table(rows, left=6)
