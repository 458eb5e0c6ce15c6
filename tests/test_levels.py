"""Levels beside each other: what the guide says of two settings agrees with the claims where a claim compares them."""

from __future__ import annotations

import pytest

from docs.evidence import levels, says


@pytest.mark.parametrize("budget", ["short", "long"])
@pytest.mark.parametrize("task", ["glucose", "sunspots", "vowels"])
def test_two_levels_that_a_claim_compares_differ_by_its_effect(task: str, budget: str) -> None:
    assert levels.between("dropout", "d1", "d0", task, budget) == says.effect("dropout-start", budget, task)


def test_another_statistic_has_its_own_words() -> None:
    said = levels.between("dropout", "d3_few", "d0_few", "glucose", "long", "last gap")
    assert said == says.effect("dropout-regularises", "long", "glucose")
    assert "smaller" in said


def test_the_other_way_round_the_word_changes_and_the_numbers_stay() -> None:
    one, other = (levels.between("width", *pair, "sunspots", "long") for pair in (("h16", "h4"), ("h4", "h16")))
    assert one.replace("better", "worse") == other != one


@pytest.mark.parametrize("asked", [("h5", "h4", "glucose"), ("h16_few", "h4", "xor"), ("h16", "h4", "motion")])
def test_what_was_not_trained_is_refused(asked: tuple[str, str, str]) -> None:
    with pytest.raises((ValueError, KeyError)):
        levels.between("width", *asked, "long")


def test_a_pool_of_another_design_is_refused() -> None:
    with pytest.raises(ValueError, match="pool must be"):
        levels.between("search", "tpe", "random_64", "xor", "long")


def test_a_table_has_a_row_for_each_setting_and_budget_and_leaves_out_what_a_task_lacks() -> None:
    head, *rows = levels.scores("dropout", "d1", "d0_few")
    assert head[:3] == ["Setting", "budget", "glucose"]
    assert [row[:2] for row in rows] == [
        ["backbone_dropout=0.1", "short"], ["backbone_dropout=0.1", "long"], ["d0 few", "short"], ["d0 few", "long"],
    ]  # fmt: skip
    assert rows[1][2] == says.score("dropout", "d1", "glucose", "long")
    assert rows[1][head.index("CO₂")] == ""
    assert rows[3][head.index("CO₂")] == says.score("dropout", "d0_few", "co2", "long")


def test_lost_trainings_are_counted() -> None:
    of_width, of_failures = levels.lost("width"), levels.lost("failures")
    assert of_width.startswith("0 of ")
    assert int(of_failures.split()[0].replace(",", "")) > 0
