"""Removes from the built site the pages whose source is gone, which Sphinx leaves where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

__all__ = ["setup"]

WITHOUT_SOURCE = {"404", "genindex", "py-modindex", "search"}


def remove_stale_pages(app: Sphinx, error: Exception | None) -> None:
    """Delete every page that is no document of this build."""
    if error is not None or app.builder.name != "html":
        return
    site = Path(app.outdir)
    for path in site.rglob("*.html"):
        page = path.relative_to(site).with_suffix("").as_posix()
        if not page.startswith("_") and page not in WITHOUT_SOURCE and page not in app.env.found_docs:
            path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("build-finished", remove_stale_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
