"""The cheat sheet: sorted by a press on a head, printed on one page, a card for each knob on a phone."""

from __future__ import annotations

import re

from tests.browser.conftest import HTML, Visit


def first_column(visit: Visit) -> list[str]:
    """The knobs in the order in which the table shows them."""
    return list(visit.page.locator("table.sheet tbody tr td:first-child").all_inner_texts())


def test_a_press_on_a_head_sorts_by_it_and_the_third_gives_the_order_of_the_page(desktop: Visit) -> None:
    page = desktop.open("cheat-sheet")
    before = first_column(desktop)
    assert sorted(before) == sorted(path.stem for path in (HTML / "knobs").glob("*.html") if path.stem != "index")
    name, effect = page.get_by_role("button", name="Knob"), page.get_by_role("button", name="Effect")
    name.click()
    assert first_column(desktop) == sorted(before)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    effect.click()
    effect.click()
    texts = page.locator("table.sheet tbody tr td:nth-child(5)").all_inner_texts()
    found = [re.search(r"([\d.]+) (better|worse) \[", text) for text in texts]
    values = [float(each[1]) * (-1 if each[2] == "worse" else 1) for each in found if each]
    assert len(values) > 9 and values == sorted(values, reverse=True)
    assert found.index(None) == len(values)  # what is not measured comes last
    effect.click()
    assert first_column(desktop) == before


def test_it_prints_on_one_page(desktop: Visit) -> None:
    printed = desktop.open("cheat-sheet").pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


def test_on_a_phone_each_knob_is_a_card_as_wide_as_the_text(phone: Visit) -> None:
    page = phone.open("cheat-sheet")
    row, text = page.locator("table.sheet tbody tr").first, page.locator("article p").first
    wide, of = row.bounding_box(), text.bounding_box()
    assert wide is not None and of is not None
    assert wide["width"] > 0.9 * of["width"] and wide["x"] + wide["width"] <= 390
