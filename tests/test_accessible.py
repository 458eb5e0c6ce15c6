"""What Sphinx and the theme write is mended where people stumble over it; what is right stays as it is."""

from __future__ import annotations

import pytest

from accessible import mended

PAGE = "<title>Search - ncps-mlx</title><article role='main'>{}</article>"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('<p class="caption" role="heading">', 'role="heading" aria-level="2">'),
        ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="All pages">'),
        ('<aside class="toc-drawer no-toc">', '<aside aria-label="On this page" class="toc-drawer no-toc">'),
        ('<th class="head stub"><p></p></th>', '<td class="head stub"></td>'),
        ("<dl>\n<dd>a,</dd>\n<dd>b</dd>\n</dl>", '<span class="sig-line">a,</span><span class="sig-line">b</span>'),
    ],
)
def test_what_is_wrong_is_mended(wrong: str, right: str) -> None:
    assert right in mended(PAGE.format(f"<h1>A</h1>{wrong}"))


def test_breadcrumbs_stand_before_the_text() -> None:
    crumbs = '<nav class="breadcrumbs"><a>Start</a></nav>'
    page = PAGE.format("<h1>A</h1>")
    assert mended(PAGE.format(f"{crumbs}<h1>A</h1>")) == page.replace("<article", f"{crumbs}<article")


def test_a_page_without_a_heading_gets_its_title() -> None:
    assert "<article role='main'><h1>Search</h1>" in mended(PAGE.format("<p>found</p>"))


def test_what_is_right_stays() -> None:
    right = PAGE.format("<h1>A</h1><dl><dt>term</dt><dd>what it is</dd></dl><th class='head'><p>B</p></th>")
    assert mended(right) == right
