"""Every block of every page that is a program runs, and every output shown is what it prints."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import pagerun

PAGES = pagerun.pages_of()


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[Path, Future[pagerun.PageRun]]]:
    """Run the chosen pages two at a time, each in a process of its own."""
    params = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [p.params["page"] for p in params if p is not None and p.params.get("page") in PAGES]
    pagerun.code_behind()
    with ThreadPoolExecutor(2) as pool:
        yield {page: pool.submit(pagerun.run_page, page) for page in dict.fromkeys(chosen)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(pagerun.ROOT).as_posix())
def test_page(page: Path, runs: dict[Path, Future[pagerun.PageRun]]) -> None:
    run = runs[page].result()
    if run.problems:
        pytest.fail("\n".join(map(str, run.problems)), pytrace=False)
    assert len(run.results) == len(run.page.blocks) > 0, "a page of the guide is a program"
