"""The page on claims: each has its place, to which the overview leads."""

from __future__ import annotations

import tomllib

from tests.site.site_pages import ROOT, soup


def test_the_overview_leads_to_every_claim() -> None:
    registry = tomllib.loads((ROOT / "docs" / "claims.toml").read_text(encoding="utf-8"))
    claims = [name for name in registry if name != "deltas"]
    page = soup("evidence/claims")
    links = [str(link["href"]) for link in page.select("article table a[href^='#claim-']")]
    assert links == [f"#claim-{name}" for name in claims]
    for link in links:
        assert page.find(id=link[1:]) is not None
