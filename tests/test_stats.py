"""Intervals against scipy and by simulation, expected best against enumeration."""

import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from ncps_mlx import stats

anyhow: Any = stats  # to be called with what its types forbid
numbers = st.floats(-1e6, 1e6, allow_nan=False, width=32)
samples = st.lists(numbers, min_size=2, max_size=12)


@given(samples, st.floats(0.5, 0.999))
@settings(deadline=None)
def test_interval_is_students(values: list[float], confidence: float) -> None:
    found = stats.interval(values, confidence)
    assert found.n == len(values)
    assert found.low <= found.mean <= found.high
    error = reference.sem(values)
    low, high = (
        reference.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=error)
        if error
        else [found.mean] * 2
    )
    assert found.low == pytest.approx(low, rel=1e-6, abs=1e-6)
    assert found.high == pytest.approx(high, rel=1e-6, abs=1e-6)


def test_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [found.low <= 3.0 <= found.high for found in map(stats.interval, rng.normal(3.0, 2.0, (2000, 5)))]
    assert 0.935 < np.mean(hits) < 0.965


@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=12), st.floats(0.5, 0.999),
    st.sampled_from([(0.0, 1.0), (0, 100), (-1.0, 1.0)]),
)  # fmt: skip
@settings(deadline=None)
def test_an_interval_on_a_scale_stays_within_it(
    shares: list[float], confidence: float, scale: tuple[float, float]
) -> None:
    lowest, highest = scale
    values = [min(lowest + (highest - lowest) * share, highest) for share in shares]
    free, found = stats.interval(values, confidence), stats.interval(values, confidence, scale=scale)
    assert lowest <= found.low <= found.mean <= found.high <= highest
    assert (found.mean, found.n) == (free.mean, free.n)
    assert (found.low == found.high) == (free.low == free.high)


def test_in_the_middle_of_a_scale_the_interval_is_nearly_students() -> None:
    values = [0.48, 0.52, 0.50, 0.49, 0.53]
    free, found = stats.interval(values), stats.interval(values, scale=(0, 1))
    assert found.low == pytest.approx(free.low, abs=2e-4)
    assert found.high == pytest.approx(free.high, abs=2e-4)


def test_the_interval_on_a_scale_is_that_of_the_logit_by_the_delta_method() -> None:
    values = [90.0, 99.0, 100.0, 97.0]
    found, mean = stats.interval(values, scale=(0, 100)), 0.965
    error = reference.sem(values) / 100 / (mean * (1 - mean))
    ends = np.log(mean / (1 - mean)) + reference.t.ppf([0.025, 0.975], 3) * error
    assert (found.low, found.high) == pytest.approx(tuple(100 / (1 + np.exp(-ends))))
    assert stats.interval(values).high > 100  # what it is for


def test_an_interval_on_a_scale_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    accuracies = rng.binomial(200, rng.beta(27, 3, (2000, 5))) / 200  # about 0.9
    hits = [
        found.low <= 0.9 <= found.high
        for found in (stats.interval(each, scale=(0, 1)) for each in accuracies)
    ]
    assert 0.93 < np.mean(hits) < 0.98


@pytest.mark.parametrize(
    "found",
    [
        stats.interval([0.1] * 5),
        stats.interval([1.0, 1.0, 1.0, 1.0, 1.0], scale=(0, 1)),
        stats.paired([35.1, 34.3, 30.2, 7.7, 0.3], [34.1, 33.3, 29.2, 6.7, -0.7]),  # equal but for rounding
    ],
)
def test_equal_runs_have_no_interval_and_say_so(found: stats.Interval) -> None:
    assert found.low == found.mean == found.high
    assert str(found).endswith(" (all 5 equal)")
    assert "[" not in str(found)


def test_a_small_difference_is_no_rounding() -> None:
    found = stats.paired([1.0, 1.0 + 1e-9, 1.0], [0.0, 0.0, 0.0])
    assert found.low < found.high


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12))
@settings(deadline=None)
def test_swapping_the_pair_mirrors_the_contrast(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    forth, back = stats.paired(a, b), stats.paired(b, a)
    assert forth.mean == pytest.approx(-back.mean, abs=1e-9)
    assert forth.low == pytest.approx(-back.high, abs=1e-6)
    assert forth.p_greater + back.p_greater == pytest.approx(1.0)
    assert forth.wins == sum(x > y for x, y in pairs)


def test_pairing_removes_what_seeds_share() -> None:
    shared = np.array([0.0, 100.0, -50.0, 20.0, 7.0])
    contrast = stats.paired(shared + np.array([1.0, 1.1, 0.9, 1.0, 1.0]), shared)
    assert contrast.low > 0.9
    assert contrast.wins == 5


@given(st.lists(numbers, min_size=1, max_size=7), st.booleans())
@settings(deadline=None)
def test_expected_best_equals_enumeration(scores: list[float], higher: bool) -> None:
    best = max if higher else min
    wanted = [
        np.mean([best(subset) for subset in itertools.combinations(scores, size)])
        for size in range(1, len(scores) + 1)
    ]
    assert stats.expected_best(scores, higher_is_better=higher) == pytest.approx(wanted, rel=1e-9, abs=1e-6)


@given(st.lists(numbers, min_size=1, max_size=60))
@settings(deadline=None)
def test_expected_best_runs_from_the_mean_to_the_best(scores: list[float]) -> None:
    curve = stats.expected_best(scores)
    assert curve[0] == pytest.approx(np.mean(scores), rel=1e-9, abs=1e-6)
    assert curve[-1] == min(scores)
    assert (np.diff(curve) <= 1e-6 + 1e-9 * np.abs(curve[1:])).all()


def test_expected_best_counts_diverged_trials() -> None:
    assert stats.expected_best([1.0, math.inf, 2.0]).tolist() == [math.inf, pytest.approx(4 / 3), 1.0]
    assert stats.expected_best([0.5, -math.inf], higher_is_better=True).tolist() == [-math.inf, 0.5]


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (0.3128, 0.2541, 0.3715, "0.31 [0.25, 0.37]"),
        (23.12, 22.81, 23.43, "23.1 [22.8, 23.4]"),
        (5.0, 4.88, 5.12, "5.00 [4.88, 5.12]"),
        (1234.0, 1190.0, 1278.0, "1234 [1190, 1278]"),
        (2.0, 2.0, 2.0, "2.00 (all 5 equal)"),
        (1.0, -0.04, 2.04, "1.0 [0.0, 2.0]"),
        (2.0, -0.4, 4.4, "2 [0, 4]"),
        (0.0, 0.0, 0.0, "0.00 (all 5 equal)"),
    ],
)
def test_text_has_the_digits_the_width_supports(mean: float, low: float, high: float, text: str) -> None:
    assert str(stats.Interval(mean=mean, low=low, high=high, n=5, confidence=0.95)) == text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.interval([1.0]), r"values must hold at least 2 numbers, got 1\. .*more seeds"),
        (lambda: stats.interval([]), "values must hold at least 2 numbers, got 0"),
        (lambda: stats.interval([1.0, math.nan]), "values must be finite, got nan at position 1"),
        (lambda: stats.interval(np.ones((2, 3))), "values must be a flat sequence"),
        (lambda: stats.interval([0.9, 1.2], scale=(0, 1)), "values must lie within the scale .*got 1.2 at position 1"),
        (lambda: anyhow.interval([0.9, 1.0], scale=1.0), r"scale must be a pair \(lowest, highest\), got 1.0"),
        (lambda: stats.interval([0.9, 1.0], scale=(1, 0)), r"scale\[1\] must be above 1, got 0"),
        (lambda: stats.interval([0.9, 1.0], scale=(0, math.inf)), r"scale\[1\] must be a finite number, got inf"),
        (lambda: stats.interval([1.0, 2.0], 95), "confidence must be above 0 and below 1, got 95"),
        (lambda: stats.paired([1.0, 2.0], [1.0]), r"b must have as many values as a \(2\), got 1"),
        (lambda: stats.paired([1.0], [2.0]), "a must hold at least 2 numbers, got 1"),
        (lambda: stats.paired([1.0, math.inf], [2.0, 1.0]), r"a must be finite, got inf at position 1\. Count"),
        (lambda: anyhow.interval(3), "values must be a flat sequence of numbers, got 3"),
        (lambda: anyhow.interval("12"), "values must be a flat sequence of numbers, got '12'"),
        (lambda: anyhow.paired([1.0, 2.0], ["a", "b"]), "b must hold real numbers, got dtype <U1"),
        (lambda: anyhow.paired([1.0, 2.0], [[1.0], [1.0, 2.0]]), "b must be as long in every row"),
        (lambda: anyhow.interval(np.ma.masked_equal([1.0, 2.0, -9.0], -9.0)), "values must hold all .* hides 1"),
        (lambda: anyhow.failure_rate([]), "failed must hold at least 1 trial, got none"),
        (lambda: anyhow.failure_rate([1.0, 0.0]), "failed must hold True or False"),
        (lambda: anyhow.failure_rate(True), "failed must hold True or False"),
        (lambda: anyhow.failure_rate(np.zeros(0, dtype=bool)), "failed must hold at least 1 trial, got none"),
        (lambda: anyhow.failure_rate([True], 1.0), "confidence must be above 0 and below 1, got 1.0"),
        (lambda: anyhow.expected_best(None), "scores must be a flat sequence of numbers, got None"),
        (lambda: anyhow.expected_best([1.0], 3), "budgets must be a sequence of integers, got 3"),
        (lambda: anyhow.expected_best([1.0], higher_is_better="x"), "higher_is_better must be True or False, got 'x'"),
        (lambda: stats.expected_best([]), "scores must hold at least 1 number"),
        (lambda: stats.expected_best([1.0, math.nan]), "scores must be finite, or inf .* got nan"),
        (lambda: stats.expected_best([1.0, -math.inf]), "scores must be finite, or inf .* got -inf"),
        (lambda: stats.expected_best([1.0], [2]), "budgets must be at most 1, the number of scores, got 2"),
        (lambda: stats.expected_best([1.0], [0]), "budgets must be at least 1, got 0"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(st.integers(1, 40), st.floats(0.5, 0.99), st.data())
@settings(deadline=None)
def test_the_failure_rate_is_wilsons(n: int, confidence: float, data: st.DataObject) -> None:
    failures = data.draw(st.integers(0, n))
    found = stats.failure_rate([True] * failures + [False] * (n - failures), confidence)
    expected = reference.binomtest(failures, n).proportion_ci(confidence, method="wilson")
    assert (found.mean, found.n) == (failures / n, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_importing_stats_loads_no_scipy() -> None:
    code = "import sys, ncps_mlx.stats; print({'scipy', 'matplotlib', 'optuna'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
