"""Sphinx: claims on the pages that advise, each bound to what was measured of it.

``.. claim:: ID`` shows the advice with its verdict, its effect at both budgets and the ways to its evidence;
``:claim:`ID``` is the badge alone, within a sentence; ``.. answer::`` is the box at the head of a page of the guide;
``:published:`99 % (SOURCE)``` is a number that somebody else measured. What the registry does not hold is a warning at
its line. A verdict is told by its word and by a sign, never by colour alone.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

import evidence_pages
from evidence_pages import ROOT

__all__ = ["Answer", "ClaimBadge", "ClaimCard", "Published", "scripts_of", "setup"]

BUDGETS = ("long", "short")
"""The long one first: it is the advice."""
FIELDS = ("Start with", "Search", "Effect", "Too small looks like", "Too large looks like", "Claims")
NEEDED = ("Start with", "Claims")
NAMED = re.compile(r"""(?:check\(\s*"|:claim:`)([\w-]+)["`]""")
"""A claim that a script names."""
PUBLISHED = re.compile(r".*\d.*\(.+\)$", re.DOTALL)


def says() -> Any:
    """The module of words; a warning at the claim's line where the record cannot be read."""
    return evidence_pages.module("says")


def scripts_of(name: str) -> list[str]:
    """The gallery's scripts that check a claim or show its badge, or else another of the same pool."""
    registry = says().record().registry
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "gallery").glob("plot_*.py"))}
    checked = {stem: set(NAMED.findall(text)) & set(registry) for stem, text in scripts.items()}
    own = [stem for stem, names in checked.items() if name in names]
    if own:
        return own
    pool = registry[name].pool
    if not pool:
        return []
    return [stem for stem, names in checked.items() if any(registry[each].pool == pool for each in names)]


def verdict_in_words(name: str, budget: str) -> str:
    """A verdict with its reason in brackets."""
    reason = says().reason(name, budget)
    return f"{says().verdict(name, budget)} ({reason})" if reason else str(says().verdict(name, budget))


def badge(name: str, budget: str = "long", words: str = "") -> nodes.inline:
    """A verdict as a word, with its reason if no other words are given; the style sheet adds the sign."""
    verdict = says().verdict(name, budget)
    words = words or verdict_in_words(name, budget)
    return nodes.inline("", words, classes=["badge", f"badge-{verdict.replace(' ', '-')}"])


def link(name: str, *children: nodes.Node) -> nodes.Node:
    """A link to a claim's own page."""
    reference = addnodes.pending_xref(
        "", refdomain="std", reftype="ref", reftarget=f"claim-{name}", refexplicit=True, refwarn=True
    )
    reference += nodes.inline("", "", *children, classes=["std", "std-ref"])
    return reference


def badge_with_link(name: str) -> list[nodes.Node]:
    """The badge of a claim, its name as the link, and the verdict of the short budget where it is another."""
    shown: list[nodes.Node] = [badge(name), nodes.Text(" "), link(name, nodes.Text(name))]
    if says().claim_named(name).parts and says().verdict(name, "short") != says().verdict(name, "long"):
        shown.append(nodes.Text(f" (short: {says().verdict(name, 'short')})"))
    return shown


class ClaimCard(SphinxDirective):
    """A claim with its verdict and effects; the content is what to make of it."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the card."""
        name = self.arguments[0]
        try:
            claim = says().claim_named(name)
            card = nodes.container("", ids=[f"card-{name}"], classes=["claim"])
            card += nodes.paragraph("", "", *self.head(claim), classes=["claim-head"])
            card += nodes.paragraph("", f"“{claim.statement}”", classes=["claim-says"])
            for part in claim.parts:
                if not part.reported:
                    card += self.effects(claim, part)
            card += self.parse_content_to_nodes()
            card += nodes.paragraph("", "", *self.ways(name), classes=["claim-ways"])
        except (ValueError, KeyError) as error:
            raise self.error(f"claim {name!r} cannot be shown: {error}") from error
        return [card]

    def head(self, claim: Any) -> list[nodes.Node]:
        """The verdicts at both budgets, and the claim's name."""
        if not claim.parts:
            return [badge(claim.id), nodes.Text(" "), link(claim.id, nodes.Text(claim.id))]
        shown: list[nodes.Node] = [link(claim.id, nodes.Text(claim.id))]
        for budget in BUDGETS:
            shown += [nodes.Text(f" {budget}: "), badge(claim.id, budget)]
        return shown

    def effects(self, claim: Any, part: Any) -> nodes.Node:
        """What the first side gains on the second, by task and at both budgets."""
        entries = {budget: says().entry_of(claim.id, budget, part.name) for budget in BUDGETS}
        rows = [[part.name, *BUDGETS]]
        for task in part.tasks:
            cells = []
            for entry in entries.values():
                found = [each for each in entry["tasks"] if each["task"] == task]
                cells.append(says().effect_of(entry, found[0]) if found else "not measured")
            rows.append([says().task_name(task), *cells])
        pairs = [min((len(task["pairs"]) for task in entry["tasks"]), default=0) for entry in entries.values()]
        pooled = [
            f"{says().pooled_of(entry)}: {entry['verdict']}" if entry["pooled"] is not None else "not measured"
            for entry in entries.values()
        ]
        in_deltas = not entries["long"]["ratio"] and part.statistic not in (*says().SHARES, *says().ALONE)
        rows.append(["all tasks, δ" if in_deltas else "all tasks", *pooled])
        rows.append(["pairs of trainings", *map(str, pairs)])
        table = evidence_pages.table(rows, [])
        table["classes"] = ["evidence", "claim-effects", "compact"]
        return table

    def ways(self, name: str) -> list[nodes.Node]:
        """Links to the evidence and to the scripts, and the command that measures it again."""
        shown: list[nodes.Node] = [link(name, nodes.Text("Evidence and trials"))]
        for stem in scripts_of(name):
            script = addnodes.pending_xref(
                "", refdomain="std", reftype="doc", reftarget=f"/auto_examples/{stem}", refexplicit=True, refwarn=True
            )
            script += nodes.inline("", "script", classes=["std", "std-doc"])
            shown += [nodes.Text(" · "), script]
        if says().claim_named(name).parts:
            shown += [nodes.Text(" · again: "), nodes.literal("", f"ncps-mlx reproduce {name}")]
        permalink = nodes.reference("", "link to this", refid=f"card-{name}", internal=True)
        return [*shown, nodes.Text(" · "), permalink]


class Answer(SphinxDirective):
    """The answer of a page of the guide: a list of fields, the same on all pages."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the box."""
        fields = [each for node in self.parse_content_to_nodes() for each in node.findall(nodes.field)]
        names = [field[0].astext() for field in fields]
        if names != [name for name in FIELDS if name in names] or any(name not in names for name in NEEDED):
            raise self.error(f"answer must have the fields {', '.join(FIELDS)}, in this order, got {', '.join(names)}")
        group = nodes.tgroup("", nodes.colspec(colwidth=1, stub=1), nodes.colspec(colwidth=4), cols=2)
        body = nodes.tbody()
        for field in fields:
            name = field[0].astext()
            cell = self.badges(field[1].astext().split()) if name == "Claims" else field[1].children
            label = nodes.entry("", nodes.paragraph("", name))
            body += nodes.row("", label, nodes.entry("", *cell))
        group += body
        return [nodes.table("", group, classes=["answer"])]

    def badges(self, names: list[str]) -> list[nodes.Node]:
        """The claims' badges, a line for each."""
        try:
            items = [nodes.list_item("", nodes.paragraph("", "", *badge_with_link(name))) for name in names]
        except (ValueError, KeyError) as error:
            raise self.error(f"answer: {error}") from error
        return [nodes.bullet_list("", *items, classes=["badges"])]


class ClaimBadge(SphinxRole):
    """A claim's badge within a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the badge with its link."""
        try:
            return badge_with_link(self.text), []
        except (ValueError, KeyError) as error:
            message = self.inliner.reporter.error(f"claim: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


class Published(SphinxRole):
    """A number that others measured, with its source in brackets."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text as it stands."""
        if PUBLISHED.match(self.text):
            return [nodes.inline("", self.text, classes=["published"])], []
        message = self.inliner.reporter.error(
            f"published must be a number and its source in brackets, got {self.text!r}", line=self.lineno
        )
        return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("claim", ClaimCard)
    app.add_directive("answer", Answer)
    app.add_role("claim", ClaimBadge())
    app.add_role("published", Published())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
