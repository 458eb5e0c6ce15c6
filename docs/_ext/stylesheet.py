"""Sphinx: one style sheet with the rules that the pages use, and scripts only where they act.

The theme and its extensions bring a dozen style sheets and most of their rules are for what no page holds. A phone
waits for all of them before it shows a word; so the site serves one, without the rules that name a class that is
neither in a page nor in a script. The templates let scripts wait until the page is shown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import tinycss2
from sphinx.application import Sphinx

__all__ = ["SCRIPTS", "classes_in", "one_sheet", "setup"]

NAME = "style.css"
SCRIPTS = {"sg-tags.js": "sphx-glr-tag", "design-tabs.js": "sd-tab-", "points.js": 'class="pointed"'}
"""Scripts that few pages need, and what those have that need them."""

CLASSES = re.compile(r"""\bclass\s*=\s*["']([^"']*)["']""")
LINK = re.compile(rf"(?<=_static/){re.escape(NAME)}(\?v=\w+)?(?=\")")
WORDS = re.compile(r"[\w-]+")


def classes_in(page: str) -> set[str]:
    """The classes that a page gives."""
    return {name for found in CLASSES.findall(page) for name in found.split()}


def one_sheet(sheets: Iterable[str], used: set[str]) -> str:
    """Join style sheets, and leave out the rules that name a class that is not used.

    Args:
        sheets: Their texts, in the order in which they count.
        used: Classes that pages have, or that scripts may give.
    """
    return "".join(text for sheet in sheets for text in rules_of(tinycss2.parse_stylesheet(sheet), used))


def rules_of(rules: Iterable[Any], used: set[str]) -> Iterator[str]:
    """The rules that are used, as text."""
    for rule in rules:
        if rule.type == "comment" and rule.value.startswith("!"):  # a licence
            yield rule.serialize()
        elif rule.type == "at-rule":
            if rule.lower_at_keyword in ("media", "supports") and rule.content is not None:
                inner = "".join(rules_of(tinycss2.parse_rule_list(rule.content), used))
                if inner:
                    yield f"@{rule.at_keyword}{text_of(rule.prelude)}{{{inner}}}"
            elif rule.content is None:
                yield f"@{rule.at_keyword}{text_of(rule.prelude)};"
            else:
                yield f"@{rule.at_keyword}{text_of(rule.prelude)}{{{text_of(rule.content).strip()}}}"
        elif rule.type == "qualified-rule":
            selectors = [each for each in selectors_of(rule.prelude) if classes_of(each) <= used]
            if selectors:
                yield f"{','.join(text_of(each).strip() for each in selectors)}{{{text_of(rule.content).strip()}}}"


def selectors_of(prelude: list[Any]) -> Iterator[list[Any]]:
    """A rule's selectors, which commas part."""
    selector: list[Any] = []
    for token in prelude:
        if token == ",":
            yield selector
            selector = []
        else:
            selector.append(token)
    yield selector


def classes_of(selector: list[Any]) -> set[str]:
    """The classes that an element must have, itself or above it; those in ``:not()`` do not count."""
    return {after.value for before, after in pairwise(selector) if before == "." and after.type == "ident"}


def text_of(tokens: list[Any]) -> str:
    """Tokens as short text."""
    parts = [" " if token.type == "whitespace" else token.serialize() for token in tokens if token.type != "comment"]
    text = "".join(parts)
    return text if '"' in text else re.sub(r" ?([;{}]) ?", r"\1", text)  # blanks in quotes count


def lighten(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], *_: Any) -> None:
    """Let a page load the one style sheet, and the scripts that find something on it."""
    del pagename, templatename
    if app.builder.format != "html":
        return
    # The same for all pages. Sphinx's application is what `write`, at the build's end, shares with this.
    app.style_sheets = context["css_files"]  # type: ignore[attr-defined]
    context["css_files"] = [f"_static/{NAME}"]
    body = context.get("body", "")
    names = {script: Path(str(script.filename or "")).name for script in context["script_files"]}
    context["script_files"] = [script for script, name in names.items() if SCRIPTS.get(name, "") in body]


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the style sheet for all pages that there are, and tell them its digest, so that browsers see it change."""
    files = getattr(app, "style_sheets", None)
    if exception is not None or files is None:
        return
    out = Path(app.outdir)
    pages = {page: page.read_text(encoding="utf-8") for page in out.rglob("*.html")}
    used = set().union(*map(classes_in, pages.values()))
    for script in (out / "_static").rglob("*.js"):
        used.update(WORDS.findall(script.read_text(encoding="utf-8")))
    names = dict.fromkeys(str(file.filename) for file in files)
    sheet = one_sheet([(out / name).read_text(encoding="utf-8") for name in names], used)
    (out / "_static" / NAME).write_text(sheet, encoding="utf-8")
    link = f"{NAME}?v={hashlib.sha256(sheet.encode()).hexdigest()[:8]}"
    for page, text in pages.items():
        linked = LINK.sub(link, text)
        if linked != text:
            page.write_text(linked, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", lighten, priority=950)
    app.connect("build-finished", write, priority=900)  # after those who write pages and styles
    return {"parallel_read_safe": True, "parallel_write_safe": True}
