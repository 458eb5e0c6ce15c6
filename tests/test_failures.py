"""Trainings that are lost: counted at every rate, and what their shares show."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

from ncps_mlx._evidence import failures
from ncps_mlx._evidence.failures import (
    FailuresPool,
    contrast,
    has_spike,
    is_lost,
    members_of,
    missing,
    read_pool,
)
from ncps_mlx._evidence.plan import Row, index_of
from ncps_mlx._evidence.pool import read_tasks
from ncps_mlx._evidence.registry import Part, read_registry
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.shares import difference_of_shares, finding_of_shares, p_value, share_interval
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._evidence.verdicts import NOT_MEASURED, table, verdicts
from tests.evidence_pool import write_docs
from tests.fresh_trials import measured_again

POOL = """
purpose = "A pool that loses some of its trainings."
design = "failures"
model = "LTC"
tasks = ["sines", "vowels"]
rates = [0.001, 0.01]
trainings = 2

[fixed]
hidden_size = 4

[levels]
bounded = {}
loose = { forms = [["z_scored"]], only = ["sines"] } # steps below 0, which its solver cannot take
"""

CLAIMS = """
[deltas]
sines = 0.02
failures = 0.1

[bounds]
section = "ltc"
statement = "Bound it."
kind = "measured"
pool = "failures"
tasks = ["sines"]
parts = [{ name = "lost", statistic = "failures", first = "bounded", second = "loose", direction = "less" }]
"""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pool, trained at the short budget."""
    folder = write_docs(tmp_path_factory.mktemp("failures") / "docs")
    (folder / "evidence" / "pools" / "failures.toml").write_text(POOL)
    (folder / "claims.toml").write_text(CLAIMS)
    run(pool_of(folder), folder / "evidence" / "trials" / "failures.jsonl", ["short"], lambda _: None)
    return folder


def pool_of(docs: Path) -> FailuresPool:
    return read_pool(docs / "evidence" / "pools" / "failures.toml", read_tasks(docs / "evidence" / "tasks.toml"))


def rows_of(docs: Path) -> list[Row]:
    return read_trials(docs / "evidence" / "trials" / "failures.jsonl")


def test_every_level_is_trained_at_every_rate_and_no_seed_serves_twice(docs: Path) -> None:
    pool = pool_of(docs)
    members = members_of(pool, pool.tasks["sines"], "short")
    by_level = [[(each.rate, each.seed) for each in members if each.level.name == name] for name in pool.levels]
    assert by_level == [[(0.001, 100), (0.001, 101), (0.01, 102), (0.01, 103)]] * 2
    assert len(rows_of(docs)) == 2 * 4 + 4 and {row["stage"] for row in rows_of(docs)} == {"report"}
    path = docs / "evidence" / "trials" / "failures.jsonl"
    assert describe(pool, path, ["short"]) == "failures: nothing is missing"
    lacking = missing(pool, ["short"], rows_of(docs)[:-1])
    assert [each.count for each in lacking] == [1]


def test_lost_is_what_diverges_or_ends_beyond_use(docs: Path) -> None:
    assert all(is_lost(row) == ("forms" in row["level"]) for row in rows_of(docs))
    row = {"status": "finished", "largest_loss": 100.1, "last_loss": 100.0}
    assert has_spike(row) and not is_lost(row)  # it came back
    assert not has_spike(row | {"largest_loss": 100.0})
    for changes in ({"last_loss": 100.1}, {"status": "diverged"}, {"largest_loss": None, "last_loss": None}):
        assert is_lost(row | changes) and has_spike(row | changes)


def test_a_verdict_lists_what_was_lost_and_both_shares_with_exact_intervals(docs: Path) -> None:
    pools = {"failures": pool_of(docs)}
    registry = read_registry(docs / "claims.toml", pools)
    short, long = verdicts(registry, pools, {"failures": rows_of(docs)})
    assert long["verdict"] == NOT_MEASURED and "sines 8" in long["reason"]
    (task,) = short["tasks"]
    assert task["pairs"] == [[seed, 0.0, 1.0] for seed in (100, 101, 102, 103)]
    assert task["delta"] == 0.1 and task["levels"]["first"] == [["bounded", 0.001], ["bounded", 0.01]]
    assert task["shares"]["first"] == {"lost": 0, "of": 4, "low": 0.0, "high": pytest.approx(1 - 0.025**0.25, 1e-5)}
    assert task["shares"]["second"]["low"] == pytest.approx(0.025**0.25, 1e-5)
    assert task["p_value"] == pytest.approx(2 / math.comb(8, 4), 1e-5)
    assert short["pooled"] == -10 and short["finding"] == "smaller" and short["verdict"] == "supported"
    assert "-10.0 [" in table(registry, [short, long])


def test_what_is_no_failure_of_two_levels_is_refused(docs: Path) -> None:
    pool, index = pool_of(docs), index_of(rows_of(docs))
    given = {"name": "x", "statistic": "failures", "direction": "less", "first": "bounded", "second": "loose"}
    for changes, message in (
        ({"statistic": "test"}, "statistic must be one of"),
        ({"second": {"minus": ["bounded", "loose"]}}, "a side must be a level, or one by task"),
    ):
        with pytest.raises(ValueError, match=message):
            contrast(Part(**given | changes), pool, "sines", "short", index)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trainings = 2", "trainings = 0", "failures.toml: trainings must be"),
        ("trainings = 2", "", "must hold 'trainings'"),
        ("rates = [0.001, 0.01]", "rates = [0.01, 0.001]", "rates must be ascending"),
        ("bounded = {}", "bounded = { learning_rate = 0.1 }", "levels.bounded must leave learning_rate out"),
    ],
)
def test_a_faulty_pool_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = write_docs(tmp_path / "docs")
    (folder / "evidence" / "pools" / "failures.toml").write_text(POOL.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        pool_of(folder)


def pairs(first: int, second: int, of: int) -> list[tuple[int, float, float]]:
    """So many trainings, of which so many of each level are lost."""
    return [(seed, float(seed < first), float(seed < second)) for seed in range(of)]


@pytest.mark.parametrize(
    ("lost", "found", "verdict"),
    [
        ([(0, 38), (0, 10)], "smaller", "supported"),
        ([(38, 0), (10, 0)], "larger", "refuted"),
        ([(0, 0), (0, 0)], "negligible", "refuted"),
        ([(0, 0)], "negligible", "refuted"),
        ([(25, 25), (25, 25)], "open", "open"),  # half of 50 may be anything between 35 % and 65 %
        ([(0, 4), (0, 4)], "open", "open"),  # proven, and less than .1
        ([(0, 40), (0, 0)], "differs by task", "differs by task"),
        ([(0, 40), (40, 0)], "differs by task", "differs by task"),
        ([(0, 3)], "open", "open"),
    ],
)
def test_worked_cases(lost: list[tuple[int, int]], found: str, verdict: str) -> None:
    tasks = {str(i): pairs(*each, 50) for i, each in enumerate(lost)}
    finding = finding_of_shares(tasks, dict.fromkeys(tasks, 0.1))
    assert (finding.finding, finding.verdict("less")) == (found, verdict)
    mirrored = finding_of_shares({str(i): pairs(b, a, 50) for i, (a, b) in enumerate(lost)}, dict.fromkeys(tasks, 0.1))
    assert (mirrored.low, mirrored.high) == pytest.approx((-finding.high, -finding.low))
    assert finding.mean == pytest.approx(np.mean([(a - b) / 50 for a, b in lost]) / 0.1)


def test_tests_and_intervals_are_those_of_other_code() -> None:
    for lost, of in ((0, 7), (3, 7), (7, 7), (11, 50)):
        low = reference.beta.ppf(0.025, lost, of - lost + 1) if lost else 0.0
        high = reference.beta.ppf(0.975, lost + 1, of - lost) if lost < of else 1.0
        assert share_interval(lost, of) == pytest.approx((low, high))
    for first, second, of in ((0, 5, 9), (3, 4, 6), (8, 1, 10)):
        ways = {k: math.comb(of, k) * math.comb(of, first + second - k) for k in range(first + second + 1)}
        as_rare = sum(way for way in ways.values() if way <= ways[first])
        assert p_value(first, second, of) == pytest.approx(as_rare / math.comb(2 * of, first + second))


@pytest.mark.parametrize("shares", [(0.02, 0.02), (0.3, 0.3), (0.1, 0.7)])
def test_equal_shares_are_rarely_called_different(shares: tuple[float, ...]) -> None:
    rng, repeats = np.random.default_rng(3), 150
    found = [difference(rng, [(share, share) for share in shares]) for _ in range(repeats)]
    assert sum(each in ("larger", "smaller", "differs by task") for each in found) <= 0.05 * repeats


@pytest.mark.parametrize("shares", list(product([0.0, 0.4], repeat=2)))
def test_a_difference_that_matters_is_rarely_called_negligible(shares: tuple[float, ...]) -> None:
    rng, repeats = np.random.default_rng(4), 150
    found = [difference(rng, [(share, share + 0.1) for share in shares]) for _ in range(repeats)]
    assert found.count("negligible") <= 0.05 * repeats


def difference(rng: np.random.Generator, shares: list[tuple[float, float]]) -> str:
    """What 50 trainings of each level show on each task, lost with these probabilities."""
    tasks: dict[str, Any] = {
        str(i): pairs(int(rng.binomial(50, first)), int(rng.binomial(50, second)), 50)
        for i, (first, second) in enumerate(shares)
    }
    return finding_of_shares(tasks, dict.fromkeys(tasks, 0.1)).finding


def test_fresh_seeds_take_the_rates_in_turn_and_lose_what_the_record_lost(docs: Path) -> None:
    pool = pool_of(docs)
    part = Part(
        name="lost", statistic="failures", direction="less", first="bounded", second="loose", tasks=["sines"],
        deltas={"sines": 0.1},
    )  # fmt: skip
    recorded = contrast(part, pool, "sines", "short", index_of(rows_of(docs)))
    found, rows = measured_again(failures, pool, part, "sines", "short", recorded, range(300, 304))
    assert [seed for seed, *_ in found.pairs] == [300, 301, 302, 303] and found.levels == recorded.levels
    assert {(row["seed"] % 2, row["level"]["learning_rate"]) for row in rows} == {(0, 0.001), (1, 0.01)}
    assert {tuple(values) for _, *values in found.pairs} == {tuple(values) for _, *values in recorded.pairs}


def test_shares_measured_again_are_called_different_once_in_twenty_at_most() -> None:
    rng, repeats, held = np.random.default_rng(3), 400, 0
    for _ in range(repeats):
        fresh, before = (
            {name: [(i, 0.0, float(rng.random() < 0.9)) for i in range(n)] for name in "abc"} for n in (10, 50)
        )
        mean, low, high = difference_of_shares(fresh, before, dict.fromkeys("abc", 0.1), 0.05)
        assert low <= mean <= high
        held += low <= 0 <= high
    assert held / repeats >= 0.95
    all_lost, few_lost = {"a": [(i, 0.0, 1.0) for i in range(10)]}, {"a": [(i, 0.0, i < 5) for i in range(50)]}
    assert difference_of_shares(all_lost, few_lost, {"a": 0.1}, 0.05)[2] < 0
