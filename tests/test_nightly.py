"""The claims of a night, and what is reported of them."""

from __future__ import annotations

import datetime

import pytest

from tests.nightly import INCOMPATIBLE, NO_ANSWER, chosen, report

DAY = datetime.date(2026, 11, 29)


def test_a_day_has_its_claims_and_another_day_others() -> None:
    first, again, later = chosen(DAY, 6), chosen(DAY, 6), chosen(DAY + datetime.timedelta(1), 6)
    assert first == again != later and len(set(first)) == 6
    seen = {claim for days in range(60) for claim in chosen(DAY + datetime.timedelta(days), 6)}
    assert {"lr-start", "depth-residual"} <= seen


@pytest.mark.parametrize(
    ("statuses", "reported"),
    [([0], False), ([INCOMPATIBLE, 0], False), ([NO_ANSWER], False), ([INCOMPATIBLE] * 2, True), ([-9], True)],
)
def test_only_what_is_incompatible_twice_or_broken_is_reported(statuses: list[int], reported: bool) -> None:
    text = report({"lr-start": [(status, "what it printed") for status in statuses], "mode-pure": [(0, "fine")]})
    assert ("lr-start" in text and "what it printed" in text) == reported
    assert "mode-pure" not in text
