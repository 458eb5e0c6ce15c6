"""Sphinx: the table of all claims, a page for each, and ``evidence/claims.json``.

The pages are written before any is read, by ``docs/evidence/claim_page.py``; what is the same is not written again.
``.. claim-table::`` lists all claims, which ``_static/claims.js`` filters; ``.. claim-figure:: ID`` draws one,
``.. claim-trials:: ID`` lists its pairs, which the site's search leaves out.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

import evidence_pages
from claim_cards import badge, link, scripts_of

__all__ = ["ClaimFigure", "ClaimTable", "ClaimTrials", "setup", "write_pages"]

FOLDER = Path("evidence") / "claims"
TABLE_PAGE = "evidence/claims"


def write_pages(app: Sphinx) -> None:
    """Write the pages, touching none whose text is the same, and remove those of claims that are gone."""
    if not (Path(app.srcdir) / "claims.toml").exists():
        return
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    claim_page = evidence_pages.module("claim_page")
    sources = claim_page.pages({name: scripts_of(name) for name in claim_page.record().registry})
    for old in folder.glob("*.rst"):
        if old.stem not in sources:
            old.unlink()
    for name, text in sources.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def write_json(app: Sphinx, error: Exception | None) -> None:
    """Write ``claims.json`` beside the page of claims."""
    if error is None and app.builder.format == "html" and (Path(app.srcdir) / "claims.toml").exists():
        text = json.dumps(evidence_pages.module("claims_json").document(), ensure_ascii=False)
        (Path(app.outdir) / "evidence" / "claims.json").write_text(text + "\n", encoding="utf-8")


def add_script(app: Sphinx, page: str, *_: Any) -> None:
    """Give the page with the table its script."""
    if page == TABLE_PAGE:
        app.add_js_file("claims.js")


class ClaimTable(SphinxDirective):
    """All claims: advice, what long and short trainings say of it, and the page of the guide."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        head = ["Advice", "Long trainings", "Effect, long", "Short trainings", "Section"]
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (29, 17, 23, 18, 13)), cols=len(head))
        group += nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph("", text)) for text in head)))
        body = nodes.tbody()
        for each in evidence_pages.module("claim_list").rows():
            claim = each.claim
            how = " and ".join(claim.kind) + (f" on {each.tasks}" if each.tasks else "")
            cells = [
                [link(claim.id, nodes.Text(claim.statement)), f"{claim.id}: {how}"],
                verdict(claim.id, "long"),
                [nodes.Text(each.effect), each.part],
                verdict(claim.id, "short"),
                [section(claim.section), ""],
            ]
            body += nodes.row("", *(cell(*said) for said in cells))
        group += body
        return [nodes.table("", group, classes=["claims", "sortable"])]


def cell(said: nodes.Node, about: str) -> nodes.entry:
    """A cell, with what is to be known about it below."""
    more = [nodes.paragraph("", about, classes=["about"])] if about else []
    return nodes.entry("", nodes.paragraph("", "", said), *more)


def verdict(name: str, budget: str) -> tuple[nodes.Node, str]:
    """The badge of a verdict, and its reason."""
    says = evidence_pages.module("says")
    return badge(name, budget, says.verdict(name, budget)), says.reason(name, budget)


def section(name: str) -> nodes.Node:
    """A link to a page of the guide."""
    reference = addnodes.pending_xref(
        "", refdomain="std", reftype="doc", reftarget=f"/guide/{name}", refexplicit=True, refwarn=False
    )
    reference += nodes.inline("", name.replace("-", " "), classes=["std", "std-doc"])
    return reference


class ClaimFigure(evidence_pages.Evidence):
    """The figure of a claim; its page has a table and the trials anyway."""

    has_content = False
    shows_record = False

    def run(self) -> list[nodes.Node]:
        """Return the figure with its caption."""
        caption = (
            "A dot for each seed, the mean with its 95 % interval, in units of the smallest difference that matters; "
            "right of 0 is in favour of the first side."
        )
        return self.shown(f"claim_figure.pairs, {self.arguments[0]}", [nodes.Text(caption)])


class trial_table(nodes.General, nodes.Element):  # noqa: N801  # docutils finds its visitor by this name
    """Pairs of values as HTML, which neither the search nor another builder reads."""


class ClaimTrials(SphinxDirective):
    """The pairs of a claim's part, by task."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"part": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return a table for each task."""
        says = evidence_pages.module("says")
        name, part = self.arguments[0], self.options["part"]
        try:
            found = {budget: says.entry_of(name, budget, part) for budget in says.claim_named(name).budgets}
        except ValueError as error:
            raise self.error(str(error)) from error
        tasks = dict.fromkeys(task["task"] for entry in found.values() for task in entry["tasks"])
        tables = ("".join(_table(f"{part}, {says.task_name(task)}", task, found)) for task in tasks)
        return [trial_table("", html="".join(tables))]


def _table(title: str, task: str, entries: dict[str, Any]) -> Iterator[str]:
    """A task's pairs: a row for each seed, two columns for each budget."""
    of_task = {
        budget: each for budget, entry in entries.items() for each in entry["tasks"] if each["task"] == task
    }
    is_log = any(entry["ratio"] for entry in entries.values())
    unit = next(iter(of_task.values()))["unit"]
    yield '<div class="table-wrapper docutils container" tabindex="0" role="region" '
    yield f'aria-label="{html.escape(title)}"><table class="docutils claim-trials">'
    yield f"<caption>{html.escape(f'{title}, {unit}' if unit else title)}</caption>"
    yield '<thead><tr><th scope="col">Seed</th>'
    for budget, each in of_task.items():
        for side in ("first", "second"):
            levels = ", ".join(f"{name} at {rate:g}" for name, rate in each["levels"].get(side, [])[:3])
            yield f'<th scope="col">{budget}, {side}<br><small>{html.escape(levels)}</small></th>'
    yield "</tr></thead><tbody>"
    rows: dict[int, dict[str, list[float]]] = {}
    for budget, each in of_task.items():
        for seed, *values in each["pairs"]:
            rows.setdefault(seed, {})[budget] = [math.exp(value) for value in values] if is_log else values
    for seed, row in sorted(rows.items()):
        values = [value for budget in of_task for value in row.get(budget, (math.nan, math.nan))]
        cells = "".join("<td></td>" if math.isnan(value) else f"<td>{value:.6g}</td>" for value in values)
        yield f'<tr><th scope="row">{seed}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def visit_trial_table(translator: HTML5Translator, node: trial_table) -> None:
    """Write the table."""
    translator.body.append(node["html"])
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_node(trial_table, html=(visit_trial_table, None))
    app.add_directive("claim-table", ClaimTable)
    app.add_directive("claim-figure", ClaimFigure)
    app.add_directive("claim-trials", ClaimTrials)
    app.connect("builder-inited", write_pages)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", write_json)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
