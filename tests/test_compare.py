"""Levels compared: the same numbers as by numpy and scipy, and errors that say what to do."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from ncps_mlx import plots, stats
from ncps_mlx.records import from_scores, select

numbers = st.floats(-1e4, 1e4, allow_nan=False, width=32)


def rows(scores: dict[Any, list[float]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"mode": mode, "seed": seed, "score": score} | more
        for mode, found in scores.items()
        for seed, score in enumerate(found)
    ]


@given(st.integers(2, 6).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=2, max_size=4)))
@settings(deadline=None)
def test_differences_are_those_of_scipys_paired_test(scores: list[list[float]]) -> None:
    comparison = stats.compare(rows(dict(enumerate(scores))), "mode", 0)
    assert [level.value for level in comparison] == list(range(len(scores)))
    for value, own in enumerate(scores):
        level = comparison[value]
        assert level.mean == pytest.approx(np.mean(own), rel=1e-6, abs=1e-6)
        assert level.pairs == tuple(zip(range(len(own)), own, scores[0], strict=True))
        if value == 0:
            assert level.difference is None
            continue
        difference = np.subtract(own, scores[0])
        assert level.difference is not None
        assert level.difference.mean == pytest.approx(difference.mean(), abs=1e-6)
        assert level.better == sum(difference < 0)
        if np.ptp(difference) > 1e-3:
            low, high = reference.ttest_rel(own, scores[0]).confidence_interval()
            assert (level.difference.low, level.difference.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


@given(st.lists(numbers, min_size=12, max_size=12))
@settings(deadline=None)
def test_other_knobs_are_averaged_within_a_seed(scores: list[float]) -> None:
    cube = np.reshape(scores, (2, 2, 3))  # mode, rate, seed
    trials = [
        {"mode": mode, "learning_rate": rate, "seed": seed, "score": float(cube[i, j, seed])}
        for i, mode in enumerate(("default", "pure"))
        for j, rate in enumerate((0.01, 0.1))
        for seed in range(3)
    ]
    whole = stats.compare(trials, "mode", "default")["pure"].difference
    wanted = stats.paired(cube[1].mean(axis=0), cube[0].mean(axis=0))
    assert whole is not None and whole.mean == pytest.approx(wanted.mean, abs=1e-6)
    assert whole.high == pytest.approx(wanted.high, rel=1e-6, abs=1e-6)
    apart = stats.compare(trials, "mode", "default", within="learning_rate")
    assert len(apart) == 4
    for j, rate in enumerate((0.01, 0.1)):
        assert apart["pure", rate].difference == stats.paired(cube[1, j], cube[0, j])


def test_a_diverged_seed_makes_no_pair_and_is_counted() -> None:
    comparison = stats.compare(rows({"default": [1.0, 2.0, 3.0], "pure": [2.0, math.inf, 5.0]}), "mode", "default")
    pure = comparison["pure"]
    assert (pure.n, pure.diverged, pure.mean, pure.better) == (2, 1, math.inf, 0)
    assert pure.difference == stats.paired([2.0, 5.0], [1.0, 3.0])
    assert comparison.best.value == "default"
    assert "diverged" in str(comparison)
    assert str(comparison).endswith("1 pair is left out: one of the two diverged")


def test_better_follows_the_direction_of_the_score() -> None:
    accuracies = rows({"default": [0.5, 0.6], "pure": [0.7, 0.6]}, higher_is_better=True)
    comparison = stats.compare(accuracies, "mode", "default")
    assert (comparison["pure"].better, comparison["pure"].p_better, comparison.best.value) == (1, 0.75, "pure")


def test_a_statistic_takes_the_place_of_the_score() -> None:
    def seconds(record: Any) -> float:
        return float(record.seconds)

    trials = rows({"default": [1.0] * 3, "pure": [1.0] * 3})
    trials = [row | {"seconds": 2.0 * (row["mode"] == "pure") + row["seed"]} for row in trials]
    comparison = stats.compare(trials, "mode", "default", statistic=seconds)
    assert comparison["pure"].difference == stats.paired([2.0, 3.0, 4.0], [0.0, 1.0, 2.0])
    assert "seconds" in str(comparison).splitlines()[0]
    assert plots.numbers(plots.differences(comparison))["y"] == "seconds minus that of default"


def test_no_end_of_an_interval_reads_as_zero() -> None:
    found = stats.compare(rows({"default": [0.0] * 4, "pure": [0.9, 2.0, 3.0, 1.8]}), "mode", "default")
    difference = found["pure"].difference
    assert difference is not None and 0.5 < difference.low < 1.0
    shifted = [score - difference.low + 0.02 for score in (0.9, 2.0, 3.0, 1.8)]
    text = str(stats.compare(rows({"default": [0.0] * 4, "pure": shifted}), "mode", "default"))
    assert "[+0.02, " in text


def test_shown_knobs_stand_next_to_their_level() -> None:
    trials = rows({"default": [1.0, 2.0]}, learning_rate=0.01) + rows({"pure": [2.0, 2.5]}, learning_rate=0.1)
    comparison = stats.compare(trials, "mode", "default", show=["learning_rate"])
    assert comparison["pure"].shown == {"learning_rate": 0.1}
    assert str(comparison).splitlines()[0].split()[:3] == ["mode", "learning_rate", "score"]


def test_a_comparison_draws_the_same_figure_as_its_records() -> None:
    trials = rows({"default": [1.0, 2.0, 3.0], "pure": [2.0, math.inf, 5.0], "no_gate": [1.1, 2.3, 2.9]})
    drawn = plots.differences(stats.compare(trials, "mode", "default"))
    assert plots.numbers(drawn) == plots.numbers(plots.differences(trials, "mode", "default"))
    assert plots.alt_text(drawn) == plots.alt_text(plots.differences(trials, "mode", "default"))


def test_levels_are_looked_up_by_value() -> None:
    comparison = stats.compare(from_scores({4: [1.0, 2.0], 16: [0.0, 1.0]}, "hidden_size"), "hidden_size", 4)
    assert comparison[np.int64(16)].mean == 0.5
    with pytest.raises(KeyError, match=r"hidden_size must be one of 4, 16, got 8\."):
        comparison[8]
    both = from_scores({("a", 1): [1.0, 2.0], ("b", 1): [0.0, 1.0]}, "mode", "num_layers")
    with pytest.raises(KeyError, match=r"must be asked for as \[value, num_layers\], got 'b'"):
        stats.compare(both, "mode", "a", within="num_layers")["b"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda runs: stats.compare(runs[:0], "mode", "default"), "records must hold at least 1 trial"),
        (lambda runs: stats.compare(runs, "modes", "default"), "hyperparameter must name a hyperparameter of"),
        (lambda runs: stats.compare(runs, "mode", "defaults"), "reference must be a value of mode"),
        (lambda runs: stats.compare(runs, "mode", "pure", within="x"), "within must name a hyperparameter of"),
        (lambda runs: stats.compare(runs, "mode", "pure", show=["x"]), "show must name a hyperparameter of"),
        (lambda runs: stats.compare(runs, "mode", "pure", confidence=1.0), "confidence must be"),
        (lambda runs: stats.compare(runs[:3], "mode", "default"), "records must hold at least 2 seeds"),
        (
            lambda runs: stats.compare([*runs, runs[0] | {"metric": "mae"}], "mode", "pure"),
            "records must share one metric",
        ),
        (lambda runs: plots.differences(runs), "x must name the hyperparameter"),
        (
            lambda runs: plots.differences(stats.compare(runs, "mode", "pure"), "mode", "pure"),
            "x and reference must be left out with a comparison",
        ),
        (
            lambda runs: plots.differences(
                stats.compare([row | {"depth": 1} for row in runs], "mode", "pure", within="depth")
            ),
            "records must be compared without within",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(rows({"default": [1.0, 2.0], "pure": [2.0, 2.5]}))


def test_a_reference_is_needed_within_each_value() -> None:
    records = from_scores({("a", 1): [1.0, 2.0], ("b", 1): [0.0, 1.0], ("b", 2): [0.0, 1.0]}, "mode", "depth")
    with pytest.raises(ValueError, match=r"reference must be a value of mode, which are \['b'\] where depth is 2"):
        stats.compare(records, "mode", "a", within="depth")
    assert len(stats.compare(select(records, depth=1), "mode", "a")) == 2
