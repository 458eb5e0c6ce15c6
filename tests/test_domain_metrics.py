"""Metrics of the tasks' own fields, against what the literature says of single cases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ncps_mlx import data
from ncps_mlx._evidence.domain_metrics import DOMAIN_METRICS, clarke_zones, metric_of


# Clarke et al., Diabetes Care 10:622 (1987), figure 1: reference, prediction, zone, on both sides of each line.
@pytest.mark.parametrize(
    ("reference", "predicted", "zone"),
    [
        (100, 100, "A"), (100, 119, "A"), (100, 121, "B"), (100, 81, "A"), (100, 79, "B"),  # 20 % off
        (40, 65, "A"), (65, 40, "A"), (69, 69, "A"), (65, 74, "A"),  # both low, or within 20 % all the same
        (120, 229, "B"), (120, 231, "C"), (71, 182, "C"), (288, 399, "C"), (291, 399, "B"),  # 110 too high
        (150, 29, "B"), (150, 27, "C"), (178, 66, "C"), (178, 68, "B"), (129, 60, "B"),  # below 7/5 x - 182
        (241, 179, "D"), (241, 181, "B"), (239, 179, "B"), (300, 71, "D"),  # a high glucose unseen
        (50, 71, "D"), (50, 69, "A"), (65, 79, "D"), (50, 179, "D"), (69, 100, "D"),  # a low one unseen
        (50, 181, "E"), (69, 185, "E"), (181, 69, "E"), (300, 60, "E"), (179, 69, "B"),  # treated the wrong way
        (400, 400, "A"), (400, 310, "B"), (0, 0, "A"),
    ],
)  # fmt: skip
def test_clarkes_zones(reference: float, predicted: float, zone: str) -> None:
    assert clarke_zones([reference], [predicted]) == [zone]


def test_every_point_of_the_grid_has_one_zone_and_good_ones_lie_around_the_diagonal() -> None:
    true, said = np.meshgrid(np.arange(1.0, 400), np.arange(1.0, 400))
    zones = clarke_zones(true, said)
    assert set(np.unique(zones)) == set("ABCDE")
    assert (zones[true == said] == "A").all()
    dangerous = np.isin(zones, ("C", "D", "E"))
    assert not dangerous[np.abs(said - true) <= 0.2 * true].any()
    assert dangerous[(true <= 70) & (said >= 180)].all() and dangerous[(true >= 240) & (said <= 180)].all()


def test_shares_and_errors_are_in_real_units() -> None:
    task = data.glucose(24, 12, 200, readings=5)
    true = task.to_units(task.test.y)
    zones: Any = metric_of("zones A+B")
    assert task.score(task.test.y, metric=zones) == 1.0
    zero, one = task.to_units([0.0, 1.0])
    constant = np.full_like(task.test.y, (60 - zero) / (one - zero))
    right = ((true <= 70) | (true <= 75)) | ((true > 75) & (true < 180) & (7 / 5 * true - 182 < 60))
    assert task.score(constant, metric=zones) == right.mean() < 1

    low, peak = DOMAIN_METRICS["low error"], DOMAIN_METRICS["peak error"]
    readings = np.array([[60.0], [69.0], [70.0], [150.0]])
    errors = np.array([[3.0], [4.0], [99.0], [-7.0]])
    assert low.score(readings, readings + errors, None) == pytest.approx(math.sqrt(12.5))
    assert peak.score(readings, readings + errors, None) == pytest.approx(7.0)
    assert math.isnan(peak.score(readings[:3], readings[:3], None))
    assert not low.greater_is_better and DOMAIN_METRICS["zones A+B"].greater_is_better
    assert metric_of("rmse").name == "rmse"


def test_peaks_are_about_the_highest_tenth_and_low_glucose_is_there_to_be_scored() -> None:
    sunspots, glucose = data.sunspots(12), data.glucose(2000, 500, 1000, readings=8)
    assert 0.05 < (sunspots.to_units(sunspots.train.y) > 100).mean() < 0.15
    for split in (glucose.validation, glucose.test):
        assert (glucose.to_units(split.y) < 70).sum() >= 10
