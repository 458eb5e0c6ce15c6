"""The benchmark's verdict, and the page that shows its record: each missed Must, absent row and missed goal is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs.evidence import bench_table
from tests.bench.peers import PEERS
from tests.bench.report import WANTED, Row, failures, table

EVIDENCE = Path(bench_table.__file__).parent


def rows(**changed):
    ratios = {key: wanted.goal for key, wanted in WANTED.items()} | changed
    return [Row(key, 1.0, 2.0, ratio, (ratio, ratio), (1.0, 2.0)) for key, ratio in ratios.items()]


def test_goals_pass():
    assert failures(rows()) == []


@pytest.mark.parametrize("key", WANTED)
def test_a_missed_must_is_seen_on_either_side(key):
    wanted = WANTED[key]
    (message,) = failures(rows(**{key: wanted.must + (-0.01 if wanted.least else 0.01)}))
    assert message.startswith(f"{key}: the ratio is")
    assert message.endswith(f"it must be {'at least' if wanted.least else 'at most'} {wanted.must}.")
    assert failures(rows(**{key: wanted.must})) == []


@pytest.mark.parametrize("key", WANTED)
def test_an_absent_row_is_seen(key):
    (message,) = failures([row for row in rows() if row.key != key])
    assert message.startswith(f"{key}: not measured")


def test_every_row_is_in_the_table():
    text = table([*rows(), Row("plain small", 1.0, 2.0, 2.0)])
    assert all(key in text for key in [*WANTED, "plain small"])


def test_the_record_holds_every_row_with_what_is_wanted_now():
    found = {row["key"]: row for row in bench_table.record()["rows"]}
    for row in rows():
        assert found[row.key]["wanted"] == row.as_json()["wanted"]


@pytest.fixture
def changed(monkeypatch):
    """Give the page another record: the one there is, with other ratios."""

    def change(ratios):
        found = json.loads((EVIDENCE / "bench.json").read_text())
        for row in found["rows"]:
            row["ratio"] = ratios.get(row["key"], row["wanted"]["goal"] if row["wanted"] else row["ratio"])
        monkeypatch.setattr(bench_table, "record", lambda _="bench": found)

    return change


def test_a_record_without_missed_goals_names_none(changed):
    changed({})
    assert [row[0] for row in bench_table.missed()[1:]] == ["none"]


@pytest.mark.parametrize("key", WANTED)
def test_each_missed_goal_is_explained(changed, key):
    wanted = WANTED[key]
    changed({key: wanted.goal + (-0.01 if wanted.least else 0.01)})
    ((_, _, goal, reason),) = bench_table.missed()[1:]
    assert goal == f"{wanted.goal:g}"
    assert any(letter.isdigit() for letter in reason)
    assert bench_table.bound(key).endswith("must met")
    changed({key: wanted.must + (-0.01 if wanted.least else 0.01)})
    assert bench_table.bound(key).endswith("missed")


@pytest.mark.parametrize("design", PEERS)
@pytest.mark.parametrize("name", ["small", "middle"])
def test_copies_of_ports_are_within_a_tenth_of_their_published_code(design, name):
    recorded = bench_table.record("port")[design]
    assert recorded["repository"] == PEERS[design].repository
    assert 0.9 < recorded["sizes"][name]["ratio"] < 1.1
