"""How a page is found: its description, and what the site has once the project has an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from docutils.core import publish_doctree

import found
from tests.docs_project import ROOT, build, make_project

WHOLE = "The first paragraph of some length, with markup and a second line."
ENDS = "This sentence ends well within what is shown anywhere."


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"Short.\n\n{WHOLE.replace('markup', '*markup*')}", WHOLE),
        (f"{ENDS} {'word ' * 60}", ENDS),
        ("word " * 60, "word " * 30 + "word…"),
        ("", ""),
    ],
)
def test_a_description_is_whole_sentences_where_it_can_be(text: str, wanted: str) -> None:
    assert found.description_of(publish_doctree(text)) == wanted and len(wanted) <= found.LONGEST


def test_the_project_has_no_address_that_is_none() -> None:
    assert not any("example" in address for address in found.addresses(ROOT).values())


@pytest.mark.slow
def test_a_site_with_an_address_has_what_belongs_to_it(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    text = (project / "pyproject.toml").read_text()
    urls = '[project.urls]\nDocumentation = "https://ncps.example.org/guide/"\n'
    urls += 'Repository = "https://github.com/you/ncps"\n\n'
    (project / "pyproject.toml").write_text(text.replace("[project.scripts]", f"{urls}[project.scripts]"))
    done = build(project)
    assert done.returncode == 0, done.stderr
    html = project / "docs" / "_build" / "html"
    page = (html / "guide" / "doubling.html").read_text()
    assert '<link rel="canonical" href="https://ncps.example.org/guide/guide/doubling.html"' in page
    assert 'property="og:title"' in page and "https://github.com/you/ncps/issues/new?title=" in page
    assert "https://ncps.example.org/guide/guide/doubling.html" in (html / "sitemap.xml").read_text()
    assert 'href="/guide/_static/' in (html / "404.html").read_text()
    assert 'action="/guide/search.html"' in (html / "404.html").read_text()
    assert "- [Doubling](https://ncps.example.org/guide/guide/doubling.html)" in (html / "llms.txt").read_text()
