"""Sphinx: on a narrow screen every row of a table is a card.

Tables get the class ``cards``, and where they have three columns or more each cell of a row gets the head of its
column as ``data-label``, which ``site.css`` writes before it. Narrow tables and those of the class ``compact`` stay
tables, as do those with cells that span several.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["make_cards", "setup"]

FEWEST_LABELLED = 3
"""Columns from which a cell has to say what it is; of two the first names the second."""
NARROW = 48
"""Characters side by side for which a phone has room."""


def make_cards(table: nodes.table) -> None:
    """Mark a table, and label the cells of its rows."""
    group = next(table.findall(nodes.tgroup))
    heads = [row for head in group.findall(nodes.thead) for row in head.children]
    spans = any("morecols" in entry or "morerows" in entry for entry in group.findall(nodes.entry))
    if {"compact", "cards"} & set(table["classes"]) or len(heads) > 1 or spans or _width(group) <= NARROW:
        return
    table["classes"].append("cards")
    if group["cols"] < FEWEST_LABELLED or not heads:
        return
    labels = [cell.astext() for cell in heads[0].children]
    for body in group.findall(nodes.tbody):
        for row in body.children:
            for label, cell in zip(labels, row.children, strict=True):
                if isinstance(cell, nodes.entry) and cell is not row.children[0]:
                    cell["label"] = label


def _width(group: nodes.tgroup) -> int:
    """Characters of the longest cells of all columns."""
    rows = [[len(cell.astext()) for cell in row.children] for row in group.findall(nodes.row)]
    return sum(map(max, zip(*rows, strict=True)))


def mark(app: Sphinx, doctree: nodes.document, *_: Any) -> None:
    """Mark all tables of a page."""
    del app
    for table in doctree.findall(nodes.table):
        make_cards(table)


def visit_entry(translator: HTML5Translator, node: nodes.entry) -> None:
    """Write a cell's beginning, with its label."""
    at = len(translator.body)
    HTML5Translator.visit_entry(translator, node)
    if node.get("label"):
        label = f' data-label="{html.escape(node["label"])}"'
        translator.body[at] = re.sub(r"<t[dh]", lambda tag: tag[0] + label, translator.body[at], count=1)


def depart_entry(translator: HTML5Translator, node: nodes.entry) -> None:
    """Write a cell's end."""
    HTML5Translator.depart_entry(translator, node)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_node(nodes.entry, override=True, html=(visit_entry, depart_entry))
    app.connect("doctree-resolved", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
