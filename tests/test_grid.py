"""Levels at every rate of a grid: how large a rate may be, and what happens beyond."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Reproducible
from ncps_mlx._evidence.designs import DESIGNS, read_pool
from ncps_mlx._evidence.grid import GridPool, contrast, fresh, fresh_contrast, missing, train
from ncps_mlx._evidence.plan import Member, Row, index_of, key_of
from ncps_mlx._evidence.pool import read_tasks
from ncps_mlx._evidence.registry import Part
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.trial_file import read_trials
from tests.evidence_pool import write_docs

DOCS = Path(__file__).parents[1] / "docs"

POOL = """
purpose = "A pool of a few seconds."
design = "grid"
model = "CfC"
tasks = ["sines"]
rates = [0.01, 0.02, 0.04, 0.08]
report_seeds = 3

[fixed]
hidden_size = 4
backbone_units = 5
batch_size = 16

[levels]
plain = {}
warm = { warmup_share = 0.5 }
"""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = write_docs(tmp_path / "docs")
    (folder / "evidence" / "pools" / "edge.toml").write_text(POOL)
    return folder


def grid_pool(docs: Path) -> GridPool:
    pool = read_pool(docs / "evidence" / "pools" / "edge.toml", read_tasks(docs / "evidence" / "tasks.toml"))
    assert isinstance(pool, GridPool)
    return pool


@pytest.fixture
def pool(docs: Path) -> GridPool:
    return grid_pool(docs)


def part_of(statistic: str, first: str = "warm", second: str = "plain") -> Part:
    return Part(
        name="", statistic=statistic, direction="more", first=first, second=second, tasks=["sines"],
        deltas={"sines": math.log(2)}, score_deltas={"sines": 0.02},
    )  # fmt: skip


def members_of(pool: GridPool) -> list[Member]:
    (wanted,) = missing(pool, ["short"], [])
    return [member for group in wanted.groups for member in group]


def scored(pool: GridPool, score: Callable[[Member], float | None]) -> dict[str, Row]:
    """Trials whose scores are these (of an error: less is better); test is 1 more than validation."""
    rows = []
    for member in members_of(pool):
        value = score(member)
        scores = {"validation": value, "test": None if value is None else value + 1}
        status = "diverged" if value is None else "finished"
        rows.append(member.identity | {"status": status, "scores": scores, "seconds": 1.0})
    return index_of(rows)


def rates_of(found: Contrast) -> list[tuple[int, float, float]]:
    return [(seed, round(math.exp(first), 6), round(math.exp(second), 6)) for seed, first, second in found.pairs]


def test_every_level_is_trained_at_every_rate_with_all_seeds(docs: Path, pool: GridPool) -> None:
    members = members_of(pool)
    assert len(members) == 2 * 4 * (3 + 3) == len({key_of(member.identity) for member in members})
    assert {(member.stage, member.seed) for member in members} == {
        ("tune", 0), ("tune", 1), ("tune", 2), ("report", 100), ("report", 101), ("report", 102),
    }  # fmt: skip
    path = docs / "evidence" / "trials" / "edge.jsonl"
    rows = run(pool, path, ["short"], lambda _: None)
    assert len(rows) == 48 and describe(pool, path, ["short"]) == "edge: nothing is missing"
    found = contrast(part_of("largest good rate"), pool, "sines", "short", index_of(read_trials(path)))
    assert not found.missing and len(found.pairs) == 3


def test_the_largest_good_rate_is_that_of_each_seed(pool: GridPool) -> None:
    limit = {"plain": {100: 0.04, 101: 0.08, 102: 0.04}, "warm": {100: 0.04, 101: 0.01, 102: 0.02}}

    def score(member: Member) -> float:
        if member.stage == "tune":
            return 0.0
        good = member.rate <= limit[member.level.name][member.seed]
        return 0.5 + (0.019 if good else 0.021) * (member.rate != 0.01)

    found = contrast(part_of("largest good rate"), pool, "sines", "short", scored(pool, score))
    assert found.higher_is_better and not found.lost
    assert rates_of(found) == [(100, 0.04, 0.04), (101, 0.01, 0.08), (102, 0.02, 0.04)]
    assert found.levels == {"first": [("warm", 0.02)], "second": [("plain", 0.0504)]}


def test_a_diverged_training_is_not_good_and_a_seed_without_any_is_lost(pool: GridPool) -> None:
    def score(member: Member) -> float | None:
        if member.level.name == "warm" and (member.seed == 101 or member.rate > 0.02):
            return None
        return 0.5

    found = contrast(part_of("largest good rate"), pool, "sines", "short", scored(pool, score))
    assert found.lost == 1
    assert rates_of(found) == [(100, 0.02, 0.08), (102, 0.02, 0.08)]


def test_beyond_the_edge_is_twice_the_rate_that_the_tuning_seeds_choose(pool: GridPool) -> None:
    def score(member: Member) -> float:
        if member.stage == "report":  # would choose another rate
            return {0.01: 0.5, 0.02: 0.9, 0.04: 0.7, 0.08: 0.8}[member.rate] + 0.1 * (member.level.name == "plain")
        worse = 0.03 * (member.seed == 1)  # 0.01 on average: still within delta
        return {0.01: 0.5, 0.02: 0.5 + worse, 0.04: 0.53, 0.08: 0.5}[member.rate] if member.level.name == "warm" else (
            {0.01: 0.5, 0.02: 0.5 + worse, 0.04: 0.53, 0.08: 0.6}[member.rate]
        )

    found = contrast(part_of("edge"), pool, "sines", "short", scored(pool, score))
    assert found.levels == {"first": [("warm", 0.04)], "second": [("plain", 0.04)]}
    assert [[seed, first] for seed, first, _ in found.pairs] == [[seed, 1.7] for seed in (100, 101, 102)]
    assert not found.higher_is_better and found.differences(1.0) == pytest.approx([0.1] * 3)
    with pytest.raises(ValueError, match=re.escape("rates must go on until none is good any more on sines, got 0.08")):
        contrast(part_of("edge"), pool, "sines", "short", scored(pool, lambda _: 0.5))


def test_a_claim_is_measured_again_on_fresh_seeds(pool: GridPool) -> None:
    def measured_as(statistic: str, first: float, second: float) -> Measured:
        levels = {"first": [("warm", first)], "second": [("plain", second)]}
        of_levels = Contrast(pairs=[], higher_is_better=False, levels=levels, lost=0, missing=0)
        return Measured(part=part_of(statistic), task="sines", budget="short", contrast=of_levels)

    largest, edge = measured_as("largest good rate", 0.02, 0.04), measured_as("edge", 0.08, 0.08)
    (one,) = fresh(pool, [edge], [300, 301])
    assert one.count == 4 and {(member.rate, member.stage) for member in one.groups[0]} == {(0.08, "fresh")}
    (all_of_them,) = fresh(pool, [edge, largest], [300, 301])
    assert all_of_them.count == 2 * 2 * 4
    rows = [row for group in all_of_them.groups for row in train(group)]
    for measured in (edge, largest):
        left = [row for row in rows if row["seed"] == 300 or "warmup_share" in row["level"]]
        found = fresh_contrast(pool, measured, left)
        assert [seed for seed, *_ in found.pairs] == [300] and not found.lost  # 301 lacks a side
        assert len(fresh_contrast(pool, measured, rows).pairs) == 2
    tests = {(row["seed"], "warmup_share" in row["level"]): row["scores"]["test"] for row in rows
             if row["level"]["learning_rate"] == 0.08}  # fmt: skip
    found = fresh_contrast(pool, edge, rows)
    assert found.pairs == [(seed, tests[seed, True], tests[seed, False]) for seed in (300, 301)]
    assert isinstance(DESIGNS["grid"], Reproducible)


def test_what_is_missing_is_counted(pool: GridPool) -> None:
    index = scored(pool, lambda _: 0.5)
    report = [key for key, row in index.items() if row["stage"] == "report"]
    index.pop(report[0])
    assert contrast(part_of("largest good rate"), pool, "sines", "short", index).missing == 1
    for key in [key for key, row in index.items() if row["stage"] == "tune" and row["seed"] == 0]:
        index.pop(key)
    assert contrast(part_of("largest good rate"), pool, "sines", "short", index).missing == 1
    assert contrast(part_of("edge"), pool, "sines", "short", index).missing == 1 + 4  # the second side's tuning
    assert sum(each.count for each in missing(pool, ["short"], list(index.values()))) == 1 + 8
    with pytest.raises(ValueError, match="statistic must be one of"):
        contrast(part_of("test"), pool, "sines", "short", index)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.04, 0.08", "0.03, 0.08", "rates must double"),
        ("warmup_share = 0.5", "learning_rate = 0.5", "levels.warm: learning_rate must be left out"),
        ("report_seeds = 3", "report_seeds = 1", "report_seeds must be at least 2"),
        ("[0.01, 0.02, 0.04, 0.08]", "[]", "rates must be ascending"),
    ],
)
def test_a_faulty_pool_is_refused(docs: Path, old: str, new: str, message: str) -> None:
    (docs / "evidence" / "pools" / "edge.toml").write_text(POOL.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        grid_pool(docs)


def test_recorded_trials_belong_to_their_grids() -> None:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    every: list[Any] = [read_pool(path, tasks) for path in sorted((DOCS / "evidence" / "pools").glob("*.toml"))]
    pools = [pool for pool in every if isinstance(pool, GridPool)]
    assert pools
    for pool in pools:
        wanted = missing(pool, ["short", "long"], [])
        known = {key_of(member.identity) for each in wanted for group in each.groups for member in group}
        rows = read_trials(DOCS / "evidence" / "trials" / f"{pool.name}.jsonl")
        keys = [key_of(row) for row in rows]
        assert len(set(keys)) == len(keys) and set(keys) <= known
        assert len({row["device"] for row in rows}) <= 1
