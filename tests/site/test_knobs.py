"""The pages of knobs as readers get them: each knob has one, and the ways to it and from it are there."""

from __future__ import annotations

from ncps_mlx._evidence.knobs import OWNERS, knobs
from ncps_mlx._evidence.site_checks import every_parameter_has_a_page
from ncps_mlx._evidence.verdicts import read_verdicts
from tests.site.site_pages import ROOT, pages, soup


def test_the_claim_holds_of_this_site() -> None:
    seen = every_parameter_has_a_page(ROOT / "docs")
    assert seen.holds, seen.text
    recorded = read_verdicts(ROOT / "docs/evidence/verdicts.json")
    (entry,) = (each for each in recorded if each["id"] == "help-model-pages")
    assert (entry["verdict"], entry["reason"]) == ("supported", seen.text)


def test_pages_are_those_of_the_knobs_and_the_index_and_the_cheat_sheet_lead_to_each() -> None:
    built = {page.removeprefix("knobs/") for page in pages() if page.startswith("knobs/")}
    assert built == {*knobs(), "index"}
    for page, folder in (("knobs/index", ""), ("cheat-sheet", "knobs/")):
        links = {str(link["href"]) for link in soup(page).select("article td a[href]")}
        assert {f"{folder}{name}.html" for name in knobs()} <= links


def test_the_reference_leads_from_each_parameter_to_its_page() -> None:
    for owner in OWNERS:
        links = {str(link["href"]) for link in soup(f"api/generated/ncps_mlx.{owner}").select("dl a[href]")}
        named = {name for name, knob in knobs().items() if owner in knob.defaults}
        assert {f"../../knobs/{name}.html" for name in named} <= links


def test_what_is_measured_shows_its_figure_and_what_is_not_says_so() -> None:
    assert soup("knobs/hidden_size").select_one("figure img[alt*='against hidden size on']") is not None
    assert "Not measured" in soup("knobs/weight_decay").get_text()
