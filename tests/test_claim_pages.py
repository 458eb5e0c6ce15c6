"""A page for each claim: it holds what the record holds, and is written again only when that changes."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

import claim_pages
import evidence_pages
from docs.evidence import claim_figure, claim_page, claims_table, says
from ncps_mlx import plots
from ncps_mlx._evidence.verdicts import NOT_MEASURED

REGISTRY = claims_table.record().registry
CONF = """
extensions = ["sphinx_design", "evidence_pages", "claim_cards", "claim_pages", "table_cards"]
html_theme = "basic"
exclude_patterns = ["evidence/pools", "evidence/trials"]
"""
SHOWN = "mode-no-gate"
"""A claim of several parts, one of a time and one shown only; one page of a site is enough for what all have."""


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return claim_page.pages({SHOWN: ["plot_cfc_modes"]})


def plain(text: str) -> str:
    return text.replace("\\", "")


def test_every_claim_has_a_page_with_all_that_came_of_it(sources: dict[str, str]) -> None:
    assert list(sources) == list(REGISTRY)
    for name, text in sources.items():
        claim, page = REGISTRY[name], plain(text)
        assert page.startswith(f":orphan:\n\n.. _claim-{name}:\n\n“{claim.statement}”\n")
        assert f":doc:`/guide/{claim.section}`" in page
        assert claim.kind == ["shown"] or " ".join(claim.note.split()) in page
        for entry in claim_page.entries(name):
            assert f"**{entry['verdict']}**" in page or entry["verdict"] == NOT_MEASURED
            assert not entry["budget"] or f"**{entry['part']}**" in page
            for task in entry["tasks"]:
                assert plain(says.effect_of(entry, task)) in page
        for part in claim.parts:
            assert not part.is_computed or f":download:`{part.pool} </evidence/pools/{part.pool}.toml>`" in page
    assert "ncps-mlx reproduce mode-no-gate" in sources[SHOWN]
    assert ":doc:`/auto_examples/plot_cfc_modes`" in sources[SHOWN]


def test_a_page_says_where_the_budgets_disagree(sources: dict[str, str]) -> None:
    for name, claim in REGISTRY.items():
        found = {says.verdict(name, budget) for budget in claim.budgets if claim.parts}
        assert ("**The budgets disagree.**" in sources[name]) == (len(found) == 2 and NOT_MEASURED not in found)


@pytest.mark.parametrize(
    ("verdict", "finding", "direction", "said"),
    [
        ("refuted", "negligible", "more", "no difference that matters"),
        ("refuted", "smaller", "more", "it is the other way round"),
        ("refuted", "larger", "less", "it is the other way round"),
        ("refuted", "larger", "same", "the two sides differ"),
        ("refuted", "smaller", "not-worse", "the first side is worse"),
        ("supported", "negligible", "same", "no difference that matters"),
        ("supported", "open", "not-worse", "no loss that matters"),
        ("supported", "larger", "more", "the difference is as claimed, and it matters"),
        ("open", "open", "more", "about 40 seeds would settle it"),
    ],
)
def test_a_verdict_has_its_reason_in_words(verdict: str, finding: str, direction: str, said: str) -> None:
    entry = {"verdict": verdict, "finding": finding, "direction": direction, "statistic": "test"}
    assert claim_page.why(entry | {"reason": "about 40 seeds would settle it"}) == said
    time = {"verdict": "supported", "finding": "larger", "direction": "not-worse", "statistic": "step time"}
    assert claim_page.why(time) == "it is not less, or by nothing that matters"


def test_sides_are_said_in_words() -> None:
    assert claim_page.side({"best": ["a", "b"]}) == "the best of ``a``, ``b``"
    assert claim_page.side({"minus": ["a", "b"]}) == "what ``a`` gains on ``b``"
    assert claim_page.side({"by_task": {"xor": "a", "co2": {"worst": ["b"]}}}).startswith("``a`` on XOR; the worst of")


def test_the_figure_shows_every_seed_of_what_counts() -> None:
    figure = claim_figure.pairs("time-scale-crucial")
    numbers, text = plots.numbers(figure), plots.alt_text(figure)
    counted = [e for e in claim_page.entries("time-scale-crucial") if e["tasks"] and not e["reported"]]
    assert len(numbers["points"]) == sum(len(task["pairs"]) for entry in counted for task in entry["tasks"])
    means = {row["x"]: row["mean"] for row in numbers["summary"]}
    for entry in counted:
        for task in entry["tasks"]:
            place = f"{entry['part']}, {task['task']}, {entry['budget']}"
            assert means[place] == task["effect"] and f"{place} {task['effect']:+.1f} [" in text
            drawn = [point["difference"] for point in numbers["points"] if point["x"] == place]
            assert math.fsum(drawn) / len(drawn) == pytest.approx(task["effect"], rel=1e-4)
    with pytest.raises(ValueError, match="help-community must be measured to be drawn"):
        claim_figure.pairs("help-community")


def test_a_figure_is_drawn_again_only_when_its_record_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(evidence_pages, "figure_path", lambda _: tmp_path / "figure.png")
    asked = f"claim_figure.pairs, {SHOWN}"
    assert evidence_pages.kept_figure(asked) is None
    saved = evidence_pages.save(asked, claim_figure.pairs(SHOWN))
    assert evidence_pages.kept_figure(asked) == saved and saved["alt"].startswith(f"{SHOWN}: ")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".json", ".kept"}
    entry = claim_figure.drawn(SHOWN)[0]
    changed = [entry | {"tasks": [task | {"effect": 0.0} for task in entry["tasks"]]}]
    monkeypatch.setattr(claim_figure, "drawn", lambda _: changed)
    assert evidence_pages.kept_figure(asked) is None


def test_pages_are_written_once_and_go_with_their_claims(
    sources: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app: Any = SimpleNamespace(srcdir=tmp_path)
    claim_pages.write_pages(app)
    assert not list(tmp_path.iterdir())  # no claims, no pages
    (tmp_path / "claims.toml").touch()
    monkeypatch.setattr(claim_page, "pages", lambda _: dict(sources))
    claim_pages.write_pages(app)
    folder = tmp_path / "evidence" / "claims"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {path.stem for path in before} == set(REGISTRY)
    sources = sources | {SHOWN: "another"}
    del sources["mode-pure"]
    claim_pages.write_pages(app)
    changed = {path.stem for path in before if not path.exists() or path.stat().st_mtime_ns != before[path]}
    assert changed == {SHOWN, "mode-pure"} and not (folder / "mode-pure.rst").exists()


@pytest.fixture(scope="module")
def site(sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of the table and of one claim's page, the others being stubs."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    for name in ("claims", "trials"):
        (folder / "evidence" / name).mkdir(parents=True)
    for trials in (claims_table.DOCS / "evidence" / "trials").glob("*.jsonl"):
        (folder / "evidence" / "trials" / trials.name).touch()  # figures offer them
    (folder / "conf.py").write_text(CONF)
    (folder / "index.rst").write_text("Page\n====\n\n.. toctree::\n\n   evidence/claims\n")
    (folder / "evidence" / "claims.rst").write_text("All claims\n==========\n\n.. claim-table::\n")
    for name, text in sources.items():
        stub = f":orphan:\n\n.. _claim-{name}:\n\n{name}\n{'=' * len(name)}\n"
        text = re.sub(r":(doc|download):`[^`]+`", "LINK", text)  # what they lead to is not part of this site
        (folder / "evidence" / "claims" / f"{name}.rst").write_text(text if name == SHOWN else stub)
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence_pages, "ROOT", folder.parent)  # where figures are kept
        Sphinx(
            srcdir=folder, confdir=folder, outdir=folder / "html", doctreedir=folder / "trees", buildername="html",
            status=None, warning=told, freshenv=True,
        ).build()  # fmt: skip
    lines = [line for line in told.getvalue().splitlines() if "already registered" not in line]  # of other tests
    assert not lines
    return folder / "html"


def test_the_table_can_be_read_without_a_script_and_leads_to_every_page(site: Path) -> None:
    page = BeautifulSoup((site / "evidence" / "claims.html").read_text(), "html.parser")
    rows = page.select("table.claims tbody tr")
    links = [link["href"] for row in rows for link in row.select("td:first-child a")]
    assert links == [f"claims/{name}.html#claim-{name}" for name in REGISTRY]
    for row, claim in zip(rows, REGISTRY.values(), strict=True):
        text = row.get_text(" ")
        assert claim.statement in text and all(kind in text for kind in claim.kind)
        verdict = row.select_one('td[data-label="Long trainings"]')
        assert verdict is not None and says.verdict(claim.id, "long") in verdict.get_text()
    assert any("claims.js" in str(script.get("src")) for script in page.select("script"))
    assert "claims.js" not in (site / "index.html").read_text()


def test_a_page_lists_every_pair_and_the_search_leaves_them_out(site: Path) -> None:
    page = BeautifulSoup((site / "evidence" / "claims" / f"{SHOWN}.html").read_text(), "html.parser")
    tables = page.select("table.claim-trials")
    entries = [entry for entry in claim_page.entries(SHOWN) if entry["tasks"]]
    parts = dict.fromkeys((entry["part"], task["task"]) for entry in entries for task in entry["tasks"])
    assert len(tables) == len(parts)
    for (part, task), table in zip(parts, tables, strict=True):
        cells = [[cell.get_text() for cell in row.select("th, td")] for row in table.select("tbody tr")]
        found = [
            each["pairs"]
            for entry in entries
            for each in entry["tasks"]
            if (entry["part"], each["task"]) == (part, task)
        ]
        assert len(cells) == max(map(len, found))
        seed, first, second = found[0][0]
        ratio = next(entry["ratio"] for entry in entries if entry["part"] == part)
        values = [math.exp(value) if ratio else value for value in (first, second)]
        assert cells[0][:3] == [str(seed), *(f"{value:.6g}" for value in values)]
    decimals = (word.partition(".")[2] for word in page.get_text(" ").split())
    digits = max((text for text in decimals if text.isdigit()), key=len)
    assert len(digits) >= 5 and digits not in (site / "searchindex.js").read_text()
