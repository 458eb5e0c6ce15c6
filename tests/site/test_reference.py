"""The API reference is what is public: a page and a line for each name, nothing private in search or inventory."""

from __future__ import annotations

import inspect
import itertools
import json
from collections import Counter
from typing import Any

import pytest
from sphinx.util.inventory import InventoryFile

from public_api import is_private, public_modules, public_names
from tests.site.site_pages import HTML, soup

MOST_NAMES = 110
INDEX = "api/index"
PREFIX = "api/generated/"


def inventory() -> dict[str, dict[str, Any]]:
    """What other projects can link to, by kind."""
    return dict(InventoryFile.loads((HTML / "objects.inv").read_bytes(), uri="").data)


def search_index() -> dict[str, Any]:
    """What the browser searches."""
    text = (HTML / "searchindex.js").read_text(encoding="utf-8")
    return dict(json.loads(text.removeprefix("Search.setIndex(").removesuffix(")")))


@pytest.mark.parametrize("path", public_names())
def test_every_public_name_has_its_page(path: str) -> None:
    page = soup(PREFIX + public_names()[path].page)
    assert page.find("h1") is not None
    assert page.find(id=path) is not None, f"{path} must have an entry on its own page"


@pytest.mark.parametrize("name", public_modules())
def test_every_public_package_lists_its_names(name: str) -> None:
    module = public_modules()[name]
    assert inspect.getdoc(module), name
    links = soup(PREFIX + name).select("article section > ul > li > p > a:first-child")
    assert {link.get_text() for link in links} >= set(module.__all__)


def test_the_index_has_one_line_for_each_name() -> None:
    links = soup(INDEX).select("article section > ul > li > p > a:first-child")
    targets = Counter(str(link["href"]).partition("#")[2] for link in links)
    assert targets == Counter(list(public_names()))
    for link in links:
        said = link.parent.get_text() if link.parent else ""
        assert said.partition(": ")[2].strip(), f"{said} must say what it is"


def test_the_reference_has_no_other_page_and_stays_small() -> None:
    built = {path.stem for path in (HTML / PREFIX).glob("*.html")}
    assert built == {*public_modules(), *(entry.page for entry in public_names().values())}
    assert len(public_names()) <= MOST_NAMES


def test_no_private_name_is_in_the_inventory() -> None:
    ours = {kind: names for kind, names in inventory().items() if kind.startswith("py:")}
    assert not [name for names in ours.values() for name in names if is_private(name)]


def test_search_meets_nothing_private() -> None:
    index = search_index()
    objects = [f"{prefix}.{entry[4]}" for prefix, entries in index["objects"].items() for entry in entries]
    pages = [name.removeprefix(PREFIX) for name in index["docnames"] if name.startswith(PREFIX)]
    titles = [title for title in index["alltitles"] if title.startswith("ncps_mlx")]
    entries = [word for entry in index["indexentries"] for word in entry.split() if "ncps_mlx." in word]
    for name in [*objects, *pages, *titles, *entries]:
        assert not is_private(name.strip("()")), name


def test_previous_and_next_lead_through_the_reference_in_its_order() -> None:
    order: list[str] = []
    for module in public_modules():
        order += [module, *(entry.page for entry in public_names().values() if entry.module == module)]
    for here, after in itertools.pairwise(order):
        link = soup(PREFIX + here).find("link", rel="next")
        assert link is not None and link["href"] == f"{after}.html", here


def test_what_a_class_has_from_a_private_base_is_on_its_page() -> None:
    found = {name for names in inventory().values() for name in names}
    assert {"ncps_mlx.Record.to_json", "ncps_mlx.Record.build", "ncps_mlx.Uniform.sample"} <= found
    assert "ncps_mlx.CfC.save" not in found, "it is RecurrentModel's, which is public"
