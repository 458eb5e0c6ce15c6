"""Every block of every page that is a program runs, and every output shown is what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

import pagerun


@pytest.mark.slow
@pytest.mark.parametrize("page", pagerun.pages_of(), ids=lambda path: path.relative_to(pagerun.ROOT).as_posix())
def test_page(page: Path) -> None:
    """In a process of its own, unless the build of the site or an earlier test has run the same code."""
    run = pagerun.run_page(page)
    if run.problems:
        pytest.fail("\n".join(map(str, run.problems)), pytrace=False)
    assert len(run.results) == len(run.page.blocks) > 0, "a page of the guide is a program"
