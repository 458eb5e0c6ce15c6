"""Reading the built site: its pages, their code blocks, what was executed."""

from __future__ import annotations

import doctest
from collections import Counter
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup, Tag

import pagerun

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "docs" / "_build" / "html"

EXECUTED = [path for path in pagerun.pages_of(ROOT) if path.suffix == ".rst"]
"""Sources of the pages that the build executes; the README, which is no page, is run by the session `tests`."""

# How Sphinx names blocks that hold python, whoever wrote them (guide, gallery, notebooks).
PYTHON = {"python", "python3", "py", "ipython", "ipython3", "default"}
SESSION = {"pycon", "pycon3", "doctest"}


def pages() -> list[str]:
    """Names of all built pages, without suffix."""
    return sorted(path.relative_to(HTML).with_suffix("").as_posix() for path in HTML.rglob("*.html"))


@cache
def soup(page: str) -> BeautifulSoup:
    """A parsed page."""
    return BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def _kinds(block: Tag) -> set[str]:
    names = {str(name).lower() for name in block.get_attribute_list("class")}
    return {name.removeprefix("highlight-") for name in names}


def blocks(page: str, kinds: set[str], without: frozenset[str] = frozenset()) -> list[str]:
    """Texts of a page's highlighted blocks of these kinds."""
    found = soup(page).select("div[class*=highlight-]")
    return [block.get_text() for block in found if _kinds(block) & kinds and not _kinds(block) & without]


def python_blocks(page: str) -> list[str]:
    """A page's python blocks, written as programs."""
    return blocks(page, PYTHON, frozenset({"doctest"}))


def session_examples(page: str) -> Counter[str]:
    """The statements of a page's interactive examples (``>>>``)."""
    texts = blocks(page, SESSION)
    return Counter(example.source for text in texts for example in doctest.DocTestParser().get_examples(text))
