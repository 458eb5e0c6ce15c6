"""What a contrast over tasks shows: worked cases, the simulated error rates of the rule, and its symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from ncps_mlx import stats

RATES: dict[tuple[float, float], tuple[float, ...]] = {
    # (sd, effect) in δ: shares of larger, negligible, open, differs by task; K = 3 tasks of n = 10 pairs.
    (1, 0.0): (0.00, 1.00, 0.00, 0.00),
    (1, 0.5): (0.00, 0.78, 0.17, 0.05),
    (1, 1.0): (0.41, 0.04, 0.44, 0.11),
    (1, 2.0): (1.00, 0.00, 0.00, 0.00),
    (2, 0.0): (0.00, 0.67, 0.33, 0.00),
    (2, 0.5): (0.07, 0.35, 0.57, 0.01),
    (2, 1.0): (0.42, 0.05, 0.49, 0.05),
    (3, 0.0): (0.02, 0.13, 0.83, 0.01),
    (3, 2.0): (0.91, 0.00, 0.07, 0.02),
}
"""What the rule was designed to do, from 20,000 repeats each."""


@pytest.mark.parametrize(("sd", "effect"), RATES)
def test_the_rule_errs_as_often_as_it_was_designed_to(sd: float, effect: float) -> None:
    rng, repeats = np.random.default_rng(round(10 * sd + effect)), 400
    found = [
        stats.finding({name: rng.normal(effect, sd, 10) for name in "abc"}).finding for _ in range(repeats)
    ]
    for name, wanted in zip(("larger", "negligible", "open", "differs by task"), RATES[sd, effect], strict=True):
        error = math.sqrt(max(wanted * (1 - wanted), 0.01) / repeats)
        assert abs(found.count(name) / repeats - wanted) < 4 * error + 0.005, name


def spread(mean: float, sd: float = 0.1, n: int = 10) -> list[float]:
    """Values of exactly this mean and standard deviation."""
    values = np.linspace(-1, 1, n)
    return list(mean + sd * values / values.std(ddof=1))


@pytest.mark.parametrize(
    ("differences", "found", "verdicts"),
    [
        # verdicts of a claim that says more, less, same, not worse
        ([2.0, 1.5, 1.2], "larger", ("supported", "refuted", "refuted", "supported")),
        ([-2.0, -1.5, -1.2], "smaller", ("refuted", "supported", "refuted", "refuted")),
        ([0.1, -0.2, 0.3], "negligible", ("refuted", "refuted", "supported", "supported")),
        ([5.0, 0.0, 0.0], "differs by task", ("differs by task",) * 3 + ("supported",)),
        ([3.0, -3.0, 0.0], "differs by task", ("differs by task",) * 3 + ("supported",)),
        ([0.95, 0.95, 1.0], "open", ("open", "open", "open", "supported")),  # close to δ from below
        ([2.0, 0.9, 0.9], "differs by task", ("differs by task",) * 3 + ("supported",)),  # one task in three
        ([1.2, 1.2, 0.9], "larger", ("supported", "refuted", "refuted", "supported")),  # two in three
        ([1.5], "larger", ("supported", "refuted", "refuted", "supported")),
    ],
)
def test_worked_cases(differences: list[float], found: str, verdicts: tuple[str, ...]) -> None:
    finding = stats.finding({str(i): spread(mean) for i, mean in enumerate(differences)})
    assert finding.finding == found
    assert tuple(finding.verdict(each) for each in ("more", "less", "same", "not-worse")) == verdicts


def test_an_open_finding_says_how_many_pairs_would_settle_it() -> None:
    finding = stats.finding({"a": spread(0.5, 3.0), "b": spread(0.5, 3.0)})
    assert finding.finding == "open" and finding.verdict("more") == "open"
    needed = finding.pairs_needed
    assert needed is not None and needed > 10
    assert stats.finding({name: spread(0.5, 3.0, 2 * needed) for name in "ab"}).finding == "negligible"
    assert stats.finding({"a": spread(2.0)}).pairs_needed is None


def test_the_pooled_interval_is_that_of_welch_and_satterthwaite() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 10), rng.normal(2, 3, 7)
    finding = stats.finding({"a": a, "b": b})
    wanted = reference.ttest_ind(a, -b, equal_var=False).confidence_interval(0.95)  # of the sum, twice the mean
    assert [finding.low, finding.high] == pytest.approx([wanted.low / 2, wanted.high / 2])
    assert finding.mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert (finding.tasks["b"].low, finding.n) == (stats.interval(b).low, 7)


values = st.lists(st.floats(-5, 5), min_size=2, max_size=6)
MIRROR = {"larger": "smaller", "smaller": "larger"}


@given(st.dictionaries(st.sampled_from("abcd"), values, min_size=1))
@settings(max_examples=50, deadline=None)
def test_exchanging_the_levels_mirrors_the_finding(differences: dict[str, list[float]]) -> None:
    one = stats.finding(differences)
    other = stats.finding({name: [-value for value in each] for name, each in differences.items()})
    assert other.finding == MIRROR.get(one.finding, one.finding)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert one.verdict("more") == other.verdict("less")


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({}, "differences must hold at least 1 task, got none"),
        ([1.0], "differences must map each task to its differences, got list"),
        ({"glucose": [1.0]}, r"differences\['glucose'\] must hold at least 2 pairs, got 1"),
        ({"glucose": [1.0, math.nan]}, r"differences\['glucose'\] must be finite, got nan at position 1"),
    ],
)
def test_what_cannot_be_decided_is_refused(differences: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stats.finding(differences)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direction must be one of"):
        stats.finding({"a": [1.0, 2.0]}).verdict("better")
