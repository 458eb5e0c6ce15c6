"""Sphinx: a page for each knob, written when a build begins, and a link to it where the reference describes it.

A knob is a parameter of CfC, LTC or fit that can be tuned, by their signatures (``ncps_mlx/_evidence/knobs.py``). What
its page says is computed when it is read (``docs/evidence/knob_facts.py``, ``sensitivity.py``); the page is the order
of that, with what a person wrote in ``docs/knobs/prose.toml``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import evidence_pages

# Private: what the check of the claim "help-model-pages" counts as knobs.
from ncps_mlx._evidence.knobs import OWNERS, knobs

__all__ = ["page", "pages", "setup", "write_pages"]

FOLDER = "knobs"
KEPT = ("index",)
"""Pages of the folder that are written by hand."""

CURVE = "Every dot is the test score of a recorded training; larger marks are means with their intervals."
TUNED = " Each value had its own learning rate, tuned beforehand."
LOSSES = "How much worse each value's mean is than the best, in δ, the smallest difference that matters. Long budget."
OTHERWISE = {
    "budgets": "What a CfC reaches with few and with many steps, with a learning rate tuned for each.",
    "spread": "How far the test scores of a CfC differ from seed to seed. On most tasks the seed draws the data too.",
}
NUMBERS = "Mean test score with its interval over seeds, and the learning rate that was chosen."


def pages() -> dict[str, str]:
    """The source of every page, by the knob's name."""
    return {name: page(name) for name in knobs()}


def page(name: str) -> str:
    """The source of a knob's page."""
    facts = evidence_pages.module("knob_facts")
    prose = facts.prose(name)
    lines = [f"``{name}``", "=" * (len(name) + 4), "", f".. evidence:: knob_facts.box, {name}", ""]
    lines += list(_measured(name))
    if "low" in prose or "high" in prose:
        lines += [*_heading("Too low and too high")]
        looks = (("Too low", prose.get("low")), ("Too high", prose.get("high")))
        lines += [f"* **{title}:** {text}" for title, text in looks if text]
        lines += [""]
    if together := prose.get("together"):
        lines += [*_heading("Goes together with"), *(f"* {each}" for each in together), ""]
    if facts.claims_of(name):
        lines += [*_heading("Claims about it"), f".. evidence:: knob_facts.claims, {name}", ""]
    if scripts := facts.scripts(name):
        lines += [*_heading("Scripts that vary it"), *(f"* :doc:`/auto_examples/{script}`" for script in scripts), ""]
    return "\n".join(lines)


def _measured(name: str) -> Iterator[str]:
    """The section of figure and tables."""
    yield from _heading("How much it matters")
    sensitivity = evidence_pages.module("sensitivity")
    if name in sensitivity.OTHERWISE:
        function = sensitivity.OTHERWISE[name]
        yield from _shown(f".. evidence:: sensitivity.{function}", OTHERWISE[function])
        return
    if not sensitivity.is_measured(name):
        claims = evidence_pages.module("knob_facts").claims_of(name)
        also = " The claims below were measured in other ways." if claims else ""
        yield from (f"Not measured: no recorded trials vary it alone.{also}", "")
        return
    for position, title in enumerate(sensitivity.conditions(name)):
        words = f"{name}, {title}" if position else name
        if position == 0:
            tuned = "" if name == "learning_rate" else TUNED
            yield from _shown(f".. evidence:: sensitivity.knob, {words}", CURVE + tuned)
            if tuned:
                yield from (f".. evidence:: sensitivity.rates_move, {words}", "")
            yield from _shown(f".. evidence:: sensitivity.losses, {words}", LOSSES)
            yield from (".. dropdown:: The numbers of the figure", "")
            yield from (f"   {line}" for line in _shown(f".. evidence:: sensitivity.table, {words}", NUMBERS))
        else:
            yield from (f".. dropdown:: Also measured: {title}", "")
            yield from (f"   {line}" for line in _shown(f".. evidence:: sensitivity.losses, {words}", LOSSES))
            yield from (f"   {line}" for line in _shown(f".. evidence:: sensitivity.table, {words}", NUMBERS))


def _heading(title: str) -> list[str]:
    return [title, "-" * len(title), ""]


def _shown(directive: str, caption: str) -> list[str]:
    return [directive, "", f"   {caption}", ""]


def write_pages(app: Sphinx) -> None:
    """Write the pages, touching none whose text is the same; the page of a knob that is gone goes."""
    folder, sources = Path(app.srcdir) / FOLDER, pages()
    for old in folder.glob("*.rst"):
        if old.stem not in (*sources, *KEPT):
            old.unlink()
    for name, text in sources.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def note_sources(app: Sphinx, docname: str, source: list[str]) -> None:
    """Have these pages read again when a docstring or the prose changes, as when the record or the code does."""
    del source
    if docname.startswith(f"{FOLDER}/") or docname == "cheat-sheet":
        sources = [inspect.getsourcefile(inspect.unwrap(owner)) for owner in OWNERS.values()]
        for path in (Path(app.srcdir) / FOLDER / "prose.toml", *sources):
            app.env.note_dependency(str(path))


def link_knobs(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """End the description of each knob in the reference with a link to its page."""
    del app, what, name, options
    if not any(obj is owner for owner in OWNERS.values()):
        return
    known, linked, knob = knobs(), list[str](), ""
    for line in lines:
        if knob and (not line.strip() or line.startswith(":")):
            linked[-1] += f" (:doc:`tuning {knob} </{FOLDER}/{knob}>`)"
            knob = ""
        if line.startswith(":param "):
            knob = next((each for each in known if line.startswith(f":param {each}:")), "")
        linked.append(line)
    lines[:] = linked


def sort_tables(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Give the script that sorts tables to the pages that have one."""
    del pagename, templatename, context
    if doctree is not None and any("sortable" in table["classes"] for table in doctree.findall(nodes.table)):
        app.add_js_file("sort.js")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", sort_tables)
    app.connect("builder-inited", write_pages)
    app.connect("source-read", note_sources)
    app.connect("autodoc-process-docstring", link_knobs, priority=900)  # when napoleon has made fields of them
    return {"parallel_read_safe": True, "parallel_write_safe": True}
