"""The pages on claims: the table leads to each, each to its trials and its page of the guide; and claims.json."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from tests.site.site_pages import HTML, ROOT, soup

REGISTRY = tomllib.loads((ROOT / "docs" / "claims.toml").read_text(encoding="utf-8"))
CLAIMS = [name for name in REGISTRY if name != "deltas"]


def test_the_table_leads_to_every_claim() -> None:
    links = [str(link["href"]) for link in soup("evidence/claims").select("article table.claims td:first-child a")]
    assert links == [f"claims/{name}.html#claim-{name}" for name in CLAIMS]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_leads_to_its_trials_and_to_its_page_of_the_guide(name: str) -> None:
    page = soup(f"evidence/claims/{name}")
    assert page.find(id=f"claim-{name}") is not None
    links = [str(link.get("href")) for link in page.select("article a")]
    section = f"guide/{REGISTRY[name]['section']}.html"
    assert any(link.endswith(section) for link in links)
    pool = REGISTRY[name].get("pool")
    if pool is not None:
        files = [link for link in links if re.search(rf"_downloads/\w+/{pool}\.(toml|jsonl)$", link)]
        assert len(files) == 2 and all((HTML / "evidence" / "claims" / link).resolve().is_file() for link in files)
        assert page.select_one("table.claim-trials tbody tr") is not None
        assert page.select_one("figure img[alt]") is not None
    assert page.select_one("a.next-page, a.prev-page") is None  # they are no chapters


def test_claims_json_lies_where_the_page_says() -> None:
    (link,) = soup("evidence/claims").select('article a[href="claims.json"]')
    assert link.get_text() == "claims.json"
    document = json.loads((HTML / "evidence" / "claims.json").read_text(encoding="utf-8"))
    assert [claim["id"] for claim in document["claims"]] == CLAIMS
