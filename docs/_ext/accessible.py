"""Sphinx: mends what Sphinx, docutils and the theme write that those who do not see, or use no mouse, stumble over.

Each page is mended as it is rendered: captions that are headings get a level, the sidebars a name, empty cells of a
table's head become plain cells, lists without terms (signatures of several lines) become lines, a page without heading
gets one; breadcrumbs stand before the text, for what a search shows of it would begin with them. ``scroll.js`` makes
what scrolls by itself reachable by keyboard.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sphinx.application import Sphinx

__all__ = ["mended", "setup"]

Mend = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

SIGNATURE = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)
MENDS: tuple[Mend, ...] = (
    (re.compile(r'<p class="caption" role="heading">'), '<p class="caption" role="heading" aria-level="2">'),
    (re.compile(r'<aside class="sidebar-drawer"'), '<aside class="sidebar-drawer" aria-label="All pages"'),
    (re.compile(r'<aside class="toc-drawer'), '<aside aria-label="On this page" class="toc-drawer'),
    (re.compile(r'<a href="#" class="back-to-top.*?</a>', re.DOTALL), r'<nav aria-label="Back to the top">\g<0></nav>'),
    (re.compile(r'(<article\b[^>]*>)\s*(<nav class="breadcrumbs".*?</nav>)', re.DOTALL), r"\2\1"),
    (re.compile(r"<th\b([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>"), r"<td\1></td>"),
    (
        SIGNATURE,
        lambda found: re.sub(
            r"<dd>(.*?)</dd>\s*", r'<span class="sig-line">\1</span>', found[1], flags=re.DOTALL
        ),
    ),
)


def mended(html: str) -> str:
    """A page with what is wrong mended."""
    for pattern, replacement in MENDS:
        html = pattern.sub(replacement, html)
    if "<h1" not in html:
        title = re.search(r"<title>(.*?)( - .*?)?</title>", html, re.DOTALL)
        heading = f"<h1>{title[1].strip() if title else 'This page'}</h1>"
        html = re.sub(r"(<article\b[^>]*>)", lambda found: found[1] + heading, html, count=1)
    return html


def connect(app: Sphinx) -> None:
    """Let what renders templates mend what it renders."""
    if app.builder.format != "html":
        return
    render = app.builder.templates.render

    def render_mended(template: str, context: dict[str, Any]) -> str:
        found = render(template, context)
        return mended(found) if template.endswith(".html") else found

    app.builder.templates.render = render_mended


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", connect, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
