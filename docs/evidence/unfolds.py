"""What six solver steps of an LTC gain on two: test scores of the pool failures, where no claim compares them."""

from __future__ import annotations

from statistics import fmean

from docs.evidence.claims_table import DOCS, record
from docs.evidence.says import effect_of
from ncps_mlx import stats

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.failures import FailuresPool, members_of
from ncps_mlx._evidence.plan import Row, index_of, key_of
from ncps_mlx._evidence.record import trial_path
from ncps_mlx._evidence.trial_file import read_trials

__all__ = ["six_against_two"]

SIX, TWO = "bounded", "bounded_two"


def six_against_two(task: str, budget: str) -> str:
    """How much better six test, paired by seed, at the learning rate that validates best with both."""
    pool = record().pools["failures"]
    assert isinstance(pool, FailuresPool)
    index = index_of(read_trials(trial_path(DOCS, pool.name)))
    by_rate: dict[float, dict[str, list[Row]]] = {}
    for each in members_of(pool, pool.tasks[task], budget):
        if each.level.name in (SIX, TWO):
            row = index[key_of(each.identity)]
            by_rate.setdefault(each.rate, {SIX: [], TWO: []})[each.level.name].append(row)
    sides = min(by_rate.values(), key=validation)  # the tasks of the pool have errors: the least is best
    gains = [score(two, "test") - score(six, "test") for six, two in zip(sides[SIX], sides[TWO], strict=True)]
    found = stats.interval(gains)
    of_task = {"task": task, "unit": pool.tasks[task].unit, "delta": 1.0}
    ends = {"effect": found.mean, "low": found.low, "high": found.high}
    return effect_of({"statistic": "test", "ratio": None}, of_task | ends)


def validation(sides: dict[str, list[Row]]) -> float:
    """The mean validation score of both sides at a rate."""
    return fmean(score(row, "validation") for rows in sides.values() for row in rows)


def score(row: Row, split: str) -> float:
    """A trial's score on a split."""
    return float(row["scores"][split])
