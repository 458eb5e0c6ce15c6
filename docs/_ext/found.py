"""Sphinx: how a page is found and what it says of itself: its description, the versions that it was verified with.

The project's addresses are one setting, ``[project.urls]`` of ``pyproject.toml``: with ``Documentation`` in it the
site has canonical addresses, a sitemap and social cards; with ``Repository``, links to edit a page and to report that
something did not replicate. Without them it has none, and no placeholder.
"""

from __future__ import annotations

import datetime
import os
import re
import tomllib
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from docutils import nodes
from sphinx.application import Sphinx

from digest import versions

__all__ = ["addresses", "description_of", "setup"]

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 160  # characters of a description that search engines show


def addresses(root: Path = ROOT) -> dict[str, str]:
    """The project's addresses, by name."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {name: str(address).rstrip("/") for name, address in project.get("urls", {}).items()}


def description_of(doctree: nodes.document | None) -> str:
    """The first sentences of a page, as many as a search engine shows."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree is not None else ():
        text = " ".join(paragraph.astext().split())
        if len(text) > 40:
            if len(text) <= LONGEST:
                return text
            sentences = re.match(rf"(.{{40,{LONGEST}}}[.?!])\s", text)
            return sentences[1] if sentences else f"{text[: LONGEST - 1].rsplit(' ', 1)[0]}…"
    return ""


def verified() -> str:
    """When the site was built, and with what."""
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.fromtimestamp(int(stamp), datetime.UTC) if stamp else datetime.datetime.now(datetime.UTC)
    return f"{now:%-d %B %Y}, executed and verified on a CPU with {versions()}"


def add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give a page its description, what it was verified with, and the link to a report where there is an address."""
    del templatename
    root = str(app.config.root_doc)
    description = description_of(doctree if doctree is not None else app.env.get_doctree(root))
    if description:
        tag = f'<meta name="description" content="{escape(description)}">\n'
        context["metatags"] = context.get("metatags", "") + tag
    context["last_updated"] = app.env.verified  # type: ignore[attr-defined]  # Sphinx keeps what `setup` puts there
    repository = addresses(Path(app.srcdir).parent).get("Repository")
    if repository:
        draft = {"title": f"{pagename}: did not replicate", "body": f"Page: {pagename}\n\nVersions (ncps-mlx info):\n"}
        context["report_address"] = f"{repository}/issues/new?{urlencode(draft)}"


def list_pages(app: Sphinx, exception: Exception | None) -> None:
    """Write ``llms.txt``: what the site holds, a line for each page, for programs that read it."""
    if exception is not None or app.builder.format != "html":
        return
    base, sections = addresses(Path(app.srcdir).parent).get("Documentation", ""), dict[str, list[str]]()
    for name in sorted(app.env.found_docs):
        title = app.env.titles[name].astext() if name in app.env.titles else name
        about = description_of(app.env.get_doctree(name))
        address = f"{base}/{name}.html" if base else f"{name}.html"
        folder = name.partition("/")[0] if "/" in name else "site"
        sections.setdefault(folder, []).append(f"- [{title}]({address})" + (f": {about}" if about else ""))
    root = app.env.get_doctree(app.config.root_doc)
    parts = [f"# {app.config.project}\n\n> {description_of(root)}\n"]
    parts += [f"## {folder.replace('_', ' ')}\n\n" + "\n".join(lines) + "\n" for folder, lines in sections.items()]
    (Path(app.outdir) / "llms.txt").write_text("\n".join(parts), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda app: setattr(app.env, "verified", verified()))
    app.connect("html-page-context", add)
    app.connect("build-finished", list_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
