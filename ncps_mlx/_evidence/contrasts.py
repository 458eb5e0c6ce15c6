"""A part's contrast on one task, from trials: pairs of values by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ncps_mlx._evidence.plan import Row, Tuning, key_of, once, report, tuning
from ncps_mlx._evidence.pool import TaskSpec, TunedPool
from ncps_mlx._evidence.registry import Part, Term, levels_of
from ncps_mlx.data._metrics import METRICS

__all__ = ["Contrast", "TaskTrials", "compare", "joined", "trials_of"]

LARGER_IS_BETTER = ("auroc", "average_precision", "gap", "last gap")
"""Statistics whose differences are not signed by the task's metric. A gap counts as it is: `less` is a smaller one."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What two sides gave on one task.

    Attributes:
        pairs: Seed, first, second; of a statistic that is compared by its ratio, the natural logarithms.
        higher_is_better: How differences are signed.
        levels: The levels that each side came to, with their rates.
        lost: Seeds of which a side diverged.
        missing: Members that are not trained yet, at least.
        unit: Of the values, if it is not the task's.
    """

    pairs: list[tuple[int, float, float]]
    higher_is_better: bool
    levels: dict[str, list[tuple[str, float]]]
    lost: int
    missing: int
    unit: str | None = None

    def differences(self, delta: float) -> list[float]:
        """First minus second in units of δ, positive in favour of the first."""
        sign = 1 if self.higher_is_better else -1
        return [sign * (first - second) / delta for _, first, second in self.pairs]


def joined(contrasts: Sequence[Contrast]) -> Contrast:
    """The same contrast on other seeds each, as one."""
    return replace(
        contrasts[0],
        pairs=[pair for each in contrasts for pair in each.pairs],
        lost=sum(each.lost for each in contrasts),
        missing=sum(each.missing for each in contrasts),
    )


@dataclass(frozen=True, kw_only=True)
class TaskTrials:
    """The trials of a pool on one task at one budget.

    Attributes:
        task: Which.
        tuned: What tuning gave.
        reported: By level and seed; ``None`` where a trial is missing. Empty while tuning lacks any.
    """

    task: TaskSpec
    tuned: Tuning
    reported: Mapping[str, Mapping[int, Row | None]]


def trials_of(pool: TunedPool, task: TaskSpec, budget: str, index: Mapping[str, Row]) -> TaskTrials:
    """Find the trials of a task at a budget; in an index that nothing is added to, once for all contrasts."""
    return once(_trials_of, pool, task, budget, index)


def _trials_of(pool: TunedPool, task: TaskSpec, budget: str, index: Mapping[str, Row]) -> TaskTrials:
    tuned, reported = tuning(pool, task, budget, index), dict[str, dict[int, Row | None]]()
    for member in report(pool, task, budget, tuned.chosen) if not tuned.missing else ():
        reported.setdefault(member.level.name, {})[member.seed] = index.get(key_of(member.identity))
    return TaskTrials(task=task, tuned=tuned, reported=reported)


def compare(part: Part, trials: TaskTrials) -> Contrast:
    """Compare a part's two sides on a task."""
    tuned, metric_higher = trials.tuned, METRICS[trials.task.metric].greater_is_better
    higher = metric_higher or part.statistic in LARGER_IS_BETTER
    if tuned.missing:
        return Contrast(pairs=[], higher_is_better=higher, levels={}, lost=0, missing=len(tuned.missing))
    sides = [_levels(side, trials.task.name, tuned, metric_higher) for side in (part.first, part.second)]
    needed = [trials.reported[level] for level in {level for side in sides for level in side}]
    pairs, lost = [], 0
    for seed in needed[0]:
        values = []
        for position, side in enumerate(sides):
            each = [_value(part.statistic, trials.reported[level][seed], position, metric_higher) for level in side]
            known = [value for value in each if value is not None]
            values.append(None if len(known) < len(each) else known[0] - sum(known[1:]))
        first, second = values
        if first is not None and second is not None:
            pairs.append((seed, first, second))
        elif all(rows[seed] is not None for rows in needed):
            lost += 1
    return Contrast(
        pairs=pairs,
        higher_is_better=higher,
        levels={
            name: [(level, tuned.chosen[level]) for level in side]
            for name, side in zip(("first", "second"), sides, strict=True)
        },
        lost=lost,
        missing=sum(row is None for rows in needed for row in rows.values()),
    )


def _levels(side: Term, task: str, tuned: Tuning, higher_is_better: bool) -> list[str]:
    """The level that a side came to, or the two whose difference it is."""
    names = levels_of(side, task)
    kind = "minus" if isinstance(side, str) else next(iter(side))
    if not isinstance(side, str) and kind == "by_task":
        return _levels(side["by_task"][task], task, tuned, higher_is_better)
    if kind == "minus":
        return names
    known = [name for name in names if math.isfinite(tuned.validation.get(name, math.nan))]
    choose = max if (kind == "best") == higher_is_better else min
    return [choose(known or names, key=lambda name: tuned.validation.get(name, 0.0))]


def _value(statistic: str, row: Row | None, position: int, higher_is_better: bool) -> float | None:
    """What a trial gives; ``None`` if it has none."""
    if row is None or row["status"] == "diverged":
        return None
    kept, last = row["scores"], row["last"]
    found: float | None
    if statistic in ("test", "train"):
        found = kept[statistic]
    elif statistic in ("gap", "last gap"):
        each = kept if statistic == "gap" else last
        test, train = each["test"], each["train"]
        found = None if test is None or train is None else (train - test if higher_is_better else test - train)
    elif statistic == "last against best":
        found = (last if position else kept)["test"]
    else:
        found = row["metrics"][statistic]["test"]
    return found


