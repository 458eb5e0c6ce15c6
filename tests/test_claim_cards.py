"""Claims on pages: card, badge and answer say what the record holds; a claim that is none fails the build."""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path

import pytest
from sphinx.application import Sphinx

import claim_cards
from docs.evidence import says
from docs.evidence.claims_table import record

CONF = 'extensions = ["evidence_pages", "claim_cards", "typed_numbers"]\nhtml_theme = "basic"\n'
LABELS = "\n\n".join(f".. _claim-{name}:\n\nThe page of {name}." for name in record().registry)
ANSWER = """
.. answer::

   :Start with: ``32``
   :Search: ``16`` to ``64``
   :Effect: :result:`says.effect, depth-residual, long, glucose`
   :Claims: depth-residual record-seeds
"""


def built(folder: Path, source: str) -> tuple[str, str]:
    """Build a site of one page; its text without tags, and the warnings."""
    (folder / "conf.py").write_text(CONF)
    (folder / "index.rst").write_text(f"Page\n====\n\n{source}\n\n.. toctree::\n\n   labels\n")
    (folder / "labels.rst").write_text(f"Labels\n======\n\n{LABELS}\n")
    warnings = io.StringIO()
    html, trees = str(folder / "html"), str(folder / "trees")
    Sphinx(str(folder), str(folder), html, trees, "html", status=None, warning=warnings, freshenv=True).build()
    page = (folder / "html" / "index.html").read_text()
    body = page.partition('role="main"')[2].partition("sphinxsidebar")[0]
    told = [line for line in warnings.getvalue().splitlines() if "already registered" not in line]  # of other tests
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split()), "\n".join(told)


@pytest.fixture(scope="module")
def every_card(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A page with a card for each claim."""
    page = "\n\n".join(f".. claim:: {name}" for name in record().registry)
    return built(tmp_path_factory.mktemp("cards"), page)


def test_every_claim_has_a_card_with_its_verdict_and_its_effects(every_card: tuple[str, str]) -> None:
    text, warnings = every_card
    assert all("unknown document" in line for line in warnings.splitlines())  # the gallery is not part of this site
    for claim in record().registry.values():
        assert claim.statement in text
        assert says.verdict(claim.id, "long") in text
        for entry in record().verdicts:
            if entry["id"] == claim.id and entry["budget"] and not entry["reported"] and entry["tasks"]:
                assert says.pooled_of(entry) in text
                assert all(says.effect_of(entry, task) in text for task in entry["tasks"])
        assert not claim.parts or f"ncps-mlx reproduce {claim.id}" in text


def test_an_answer_shows_its_fields_and_the_badges_of_its_claims(tmp_path: Path) -> None:
    text, warnings = built(tmp_path, ANSWER)
    assert not warnings
    assert "Start with 32" in text and says.effect("depth-residual", "long", "glucose") in text
    assert f"{claim_cards.verdict_in_words('depth-residual', 'long')} depth-residual" in text
    assert f"(short: {says.verdict('depth-residual', 'short')})" in text


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (".. claim:: no-such-claim", "a claim must be one of docs/claims.toml, got 'no-such-claim'"),
        (".. claim:: record-seed", "got 'record-seed'. Did you mean record-seeds?"),
        ("So says :claim:`no-such-claim`.", "a claim must be one of docs/claims.toml"),
        (ANSWER.replace("record-seeds", "no-such-claim"), "a claim must be one of docs/claims.toml"),
        (ANSWER.replace(":Search:", ":Look for:"), "answer must have the fields Start with, Search"),
        (ANSWER.replace("   :Claims: depth-residual record-seeds\n", ""), "answer must have the fields"),
        ("It is :published:`99.7 %` good.", "published must be a number and its source in brackets"),
        ("It is 4.2 better.", "4.2 is typed into the prose"),
        ("It is :result:`says.effect, depth-residual, long, no-such-task` better.", "gives no result"),
    ],
)
def test_what_no_record_stands_behind_is_a_warning(tmp_path: Path, page: str, message: str) -> None:
    assert message in built(tmp_path, page)[1]
