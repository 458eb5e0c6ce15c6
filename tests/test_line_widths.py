"""Code is narrow enough to be read beside its text: 76 columns, on pages and in the scripts of the gallery."""

from __future__ import annotations

from pathlib import Path

import pytest

from pageblocks import parse_page
from pagerun import pages_of

ROOT = Path(__file__).parents[1]
COLUMNS = 76
PAGES = [page for page in pages_of(ROOT) if page.suffix == ".rst"]
SCRIPTS = sorted((ROOT / "gallery").glob("plot_*.py"))


def too_wide(text: str) -> list[str]:
    """The lines that are too long."""
    return [line for line in text.splitlines() if len(line) > COLUMNS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_blocks_of_a_page_are_narrow(page: Path) -> None:
    assert [line for block in parse_page(page).blocks for line in too_wide(block.code)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_scripts_of_the_gallery_are_narrow(script: Path) -> None:
    assert too_wide(script.read_text(encoding="utf-8")) == []


def test_a_line_that_is_too_long_is_seen() -> None:
    assert too_wide("x" * 76 + "\n" + "y" * 77) == ["y" * 77]
