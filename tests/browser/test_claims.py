"""The table of all claims: sorted, filtered, by keyboard, on a phone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import HTML, Visit


@pytest.fixture(scope="module")
def claims() -> dict[str, Any]:
    """What the site says of them, by their names."""
    document = json.loads((HTML / "evidence" / "claims.json").read_text(encoding="utf-8"))
    return {claim["id"]: claim for claim in document["claims"]}


def shown(page: Page) -> list[str]:
    """The claims that are to be seen, in their order."""
    links = page.locator("table.claims tbody tr:visible td:first-child a").all()
    return [str(link.get_attribute("href")).rpartition("#claim-")[2] for link in links]


def test_a_head_sorts_by_keyboard_and_says_so(desktop: Visit, claims: dict[str, Any]) -> None:
    page = desktop.open("evidence/claims")
    assert shown(page) == list(claims)
    head = page.locator("table.claims th", has_text="Section")
    head.locator("button").focus()
    sections = {name: claim["section"].replace("-", " ") for name, claim in claims.items()}
    for state in ("ascending", "descending"):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == state
        found = [sections[name] for name in shown(page)]
        assert found == sorted(found, reverse=state == "descending")
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") is None and shown(page) == list(claims)


def test_filters_leave_the_claims_that_match_and_count_them(desktop: Visit, claims: dict[str, Any]) -> None:
    page = desktop.open("evidence/claims")
    page.get_by_label("Long trainings").select_option("refuted")
    refuted = [name for name, claim in claims.items() if claim["verdicts"]["long"] == "refuted"]
    assert shown(page) == refuted
    page.get_by_label("Words").fill("dropout")
    some = shown(page)
    assert some and set(some) < set(refuted)
    assert page.locator("article p[role=status]").inner_text() == f"{len(some)} of {len(claims)} claims"


def test_the_address_keeps_what_was_selected(desktop: Visit, claims: dict[str, Any]) -> None:
    page = desktop.open("evidence/claims")
    page.locator("ul.verdict-legend a", has_text="hold").first.click()
    held = [name for name, claim in claims.items() if claim["verdicts"]["long"] == "supported"]
    assert shown(page) == held and "verdict=supported" in page.url
    page.get_by_label("Long trainings").select_option("refuted: the other way round")
    refuted = shown(page)
    assert refuted and all(claims[name]["verdicts"]["long"] == "refuted" for name in refuted)
    page.reload()
    assert shown(page) == refuted


def test_a_phone_shows_cards_and_nothing_too_small_to_press(phone: Visit) -> None:
    page = phone.open("evidence/claims")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator("table.claims th button, form.claims-filter input, form.claims-filter select").all():
        box = control.bounding_box()
        assert box is not None and min(box["width"], box["height"]) >= 24
    box = page.locator("table.claims tbody tr").first.bounding_box()
    assert box is not None and box["width"] <= 390
