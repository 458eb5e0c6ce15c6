"""The benchmark's verdict: a missed Must is seen, and so is a row that is absent."""

from __future__ import annotations

from tests.bench.report import WANTED, Row, failures, table


def rows(**changed):
    ratios = {key: wanted.goal for key, wanted in WANTED.items()} | changed
    return [Row(key, 1.0, 2.0, ratio, (ratio, ratio), (1.0, 2.0)) for key, ratio in ratios.items()]


def test_goals_pass():
    assert failures(rows()) == []


def test_a_missed_must_is_seen_on_either_side():
    slow = rows(**{"one small": WANTED["one small"].must - 0.01})
    (message,) = failures(slow)
    assert message.startswith("one small: the ratio is 2.19")
    (message,) = failures(rows(length=9.0))
    assert "it must be at most 8.8" in message


def test_an_absent_row_is_seen():
    (message,) = failures(rows()[1:])
    assert "not measured" in message


def test_every_row_is_in_the_table():
    text = table([*rows(), Row("plain small", 1.0, 2.0, 2.0)])
    assert all(key in text for key in [*WANTED, "plain small"])
