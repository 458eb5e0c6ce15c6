"""Tables on a phone: rows are cards, which say what they are; nothing scrolls sideways."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visit

SCROLLING = """() => [...document.querySelectorAll("article table.cards")]
    .filter((table) => table.offsetWidth && table.scrollWidth > table.closest("section").clientWidth)
    .map((table) => table.textContent.slice(0, 60))"""
PAGES = ("guide/worth-it", "guide/learning-rate", "evidence/opponents", "evidence/advice", "howto/coming-from-ncps")


@pytest.mark.parametrize("page", PAGES)
def test_no_table_scrolls_on_a_phone(phone: Visit, page: str) -> None:
    opened = phone.open(page)
    opened.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert opened.locator("table.cards").count() > 0
    assert opened.evaluate(SCROLLING) == []


def test_a_card_says_its_columns_and_stays_a_table_to_those_who_do_not_see(phone: Visit) -> None:
    page = phone.open("evidence/advice")
    cells = page.get_by_role("table").first.get_by_role("row").nth(1).get_by_role("cell")
    label = cells.nth(1).evaluate("cell => getComputedStyle(cell, '::before').content")
    one, next_one = cells.nth(1).bounding_box(), cells.nth(2).bounding_box()
    assert "Claim" in label and one and next_one and next_one["y"] > one["y"]
