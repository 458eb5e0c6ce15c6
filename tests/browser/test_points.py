"""Figures whose points tell their values: to a mouse, to a finger, to arrow keys; with what lies beside the picture."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HTML, Visit
from tests.browser.test_every_page import faults

PAGE = "guide/learning-rate"
PAGES = (PAGE, "auto_examples/plot_learning_rate", "evidence/performance")


def points_of(figure: Locator) -> list[dict[str, Any]]:
    """The points beside the picture, each with its place and its lines of text."""
    name = re.sub(r".*/(.*)\.webp$", r"\1", str(figure.locator("img").get_attribute("src")))
    script = (HTML / "_images" / f"{name}.points.js").read_text(encoding="utf-8")
    told = json.loads(script[script.index("] = ") + 4 : script.rindex(";")])
    found = []
    for panel, points in told["series"]:
        title, *labels = told["panels"][panel]
        for left, top, *values, named in points:
            pairs = zip(labels, values, strict=True)
            said = [f"{label}: {value}" if label else value for label, value in pairs if value]
            head = ", ".join(filter(None, [title, named]))
            found.append({"at": (left / 1e4, top / 1e4), "lines": [head, *said] if head else said})
    return found


def place(figure: Locator, point: dict[str, Any]) -> tuple[float, float]:
    """Where a point lies in the window."""
    box = figure.bounding_box()
    assert box is not None
    return box["x"] + point["at"][0] * box["width"], box["y"] + point["at"][1] * box["height"]


def alone(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The point that is furthest from all others."""

    def room(point: dict[str, Any]) -> float:
        others = (other["at"] for other in points if other is not point)
        return float(min(abs(point["at"][0] - x) + abs(point["at"][1] - y) for x, y in others))

    return max(points, key=room)


def first_figure(page: Page) -> Locator:
    """The first figure, in sight."""
    figure = page.locator("div.pointed").first
    figure.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    return figure


@pytest.mark.parametrize("name", PAGES)
def test_a_mouse_near_a_point_is_told_its_value(desktop: Visit, name: str) -> None:
    page = desktop.open(name)
    figure, tip = first_figure(page), page.locator("div.point-tip")
    assert page.locator("script[src$='.points.js']").count() == 0  # nothing is loaded before
    point = alone(points_of(figure))
    x, y = place(figure, point)
    page.mouse.move(x + 3, y - 3)
    expect(tip).to_be_visible()
    assert tip.inner_text().split("\n") == point["lines"]
    ring = page.locator("div.point-ring").bounding_box()
    assert ring is not None
    assert abs(ring["x"] + ring["width"] / 2 - x) < 1.5 and abs(ring["y"] + ring["height"] / 2 - y) < 1.5
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.mouse.move(x, y)
    expect(tip).to_be_visible()
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()
    assert desktop.errors == [] and desktop.elsewhere == []


@pytest.mark.parametrize("name", PAGES)
def test_a_tap_near_a_point_tells_its_value(phone: Visit, name: str) -> None:
    page = phone.open(name)
    figure, tip = first_figure(page), page.locator("div.point-tip")
    point = alone(points_of(figure))
    x, y = place(figure, point)
    page.touchscreen.tap(x, y)
    expect(tip).to_be_visible()
    assert tip.inner_text().split("\n") == point["lines"]
    box = tip.bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.locator("h1").tap()
    expect(tip).to_be_hidden()


def test_arrow_keys_walk_through_the_points(desktop: Visit) -> None:
    page = desktop.open(PAGE)
    figure, tip = first_figure(page), page.locator("div.point-tip")
    points, slider = points_of(figure), figure.get_by_role("slider")
    slider.focus()
    expect(tip).to_be_visible()
    for key, number in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", len(points) - 1), ("Home", 0)):
        page.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuenow", str(number + 1))
        expect(slider).to_have_attribute("aria-valuetext", ", ".join(points[number]["lines"]))
        assert tip.inner_text().split("\n") == points[number]["lines"]
    expect(slider).to_have_attribute("aria-valuemax", str(len(points)))
    page.keyboard.press("Tab")
    expect(tip).to_be_hidden()


def test_a_told_value_is_accessible_and_moves_nothing(phone: Visit) -> None:
    page = phone.open(PAGE)
    figure = first_figure(page)
    before = page.evaluate("document.documentElement.scrollHeight")
    page.touchscreen.tap(*place(figure, alone(points_of(figure))))
    expect(page.locator("div.point-tip")).to_be_visible()
    assert faults(phone) == []
    expect(page.locator("div.point-tip")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollHeight") == before


def test_the_script_is_small_and_waits() -> None:
    assert (HTML / "_static" / "points.js").stat().st_size < 5000
    page = (HTML / f"{PAGE}.html").read_text(encoding="utf-8")
    assert re.search(r'<script defer[^>]* src="[^"]*points\.js', page)
    assert "points.js" not in (HTML / "glossary.html").read_text(encoding="utf-8")  # which has no figure
