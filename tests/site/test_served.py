"""What a reader's browser asks for lies on the site; what it shows has a text for those who do not see it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.site.site_pages import HTML, pages, soup

LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "embed": ("src",),
    "link": ("href",),
}
# Links in the head that are read by no browser on its own.
PASSIVE = {"author", "index", "search", "next", "prev", "canonical", "license"}


def requests(page: str) -> list[str]:
    """Addresses that a browser loads by itself for a page."""
    found = []
    for name, attributes in LOADED.items():
        for element in soup(page).find_all(name):
            if name == "link" and set(element.get_attribute_list("rel")) & PASSIVE:
                continue
            for attribute in attributes:
                value = str(element.get(attribute) or "")
                choices = value.split(",") if attribute == "srcset" else [value]
                found += [choice.split()[0] for choice in choices if choice.split()]
    for style in soup(page).find_all("style"):
        found += re.findall(r"url\(\s*['\"]?([^'\")]+)", style.get_text())
    return [address for address in found if not address.startswith("data:")]


def served_at(page: str, path: str) -> Path:
    """The file that a path on a page means; one that begins with a slash, as where nothing is found, from the root."""
    name = unquote(path)
    return (HTML / name[1:] if name.startswith("/") else (HTML / page).parent / name).resolve()


@pytest.mark.parametrize("page", pages())
def test_every_request_stays_on_the_site(page: str) -> None:
    for address in requests(page):
        parts = urlsplit(address)
        assert not parts.scheme, address
        assert not parts.netloc, address
        assert served_at(page, parts.path).is_file(), f"{address} is not on the site"


def test_styles_load_nothing_from_elsewhere() -> None:
    for path in HTML.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        foreign = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", text)
        assert not foreign, path


@pytest.mark.parametrize("page", pages())
def test_every_picture_has_alternative_text(page: str) -> None:
    for image in soup(page).find_all("img"):
        alt = str(image.get("alt", "")).strip()
        decorative = image.find_parent(class_=["sidebar-brand", "sphx-glr-thumbcontainer"]) is not None
        assert alt or decorative, image


@pytest.mark.parametrize("page", pages())
def test_links_within_the_site_lead_somewhere(page: str) -> None:
    for link in soup(page).select("article a[href]"):
        parts = urlsplit(str(link["href"]))
        if parts.scheme or parts.netloc or not parts.path:
            continue
        assert served_at(page, parts.path).is_file(), link["href"]


def test_formulas_need_no_script() -> None:
    found = [page for page in pages() if soup(page).find("math")]
    assert len(found) >= 5
    for page in found:
        assert not soup(page).select("script[src*=athjax]"), page
        assert all(not re.match(r"\s*\\[(\[]", each.get_text()) for each in soup(page).select(".math")), page
