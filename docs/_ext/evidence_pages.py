"""Sphinx: show what a record says, computed when the page is built: tables, figures, numbers within sentences.

Beside a page of ``docs/evidence`` lie its record, the script that trained it, and a module of functions that read it.
``.. evidence:: MODULE.FUNCTION`` shows what a function returns: rows of text as a table, a figure of ``ncps_mlx.plots``
as a figure, a text as reStructuredText; arguments follow, separated by commas. ``:result:`MODULE.FUNCTION, ARGUMENT,
...``` puts a text into a sentence. A function that fails, or is not there, is a warning at its line.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

import figures
from digest import digest_of, library_digest

__all__ = ["Evidence", "Result", "setup"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "evidence"
SHOWS = re.compile(r"^\.\. (evidence|claim|answer)::|:(result|claim):`", re.MULTILINE)
"""What a page has in its source if it shows the record."""


def call(asked: str) -> Any:
    """Call ``MODULE.FUNCTION, ARGUMENT, ...`` of docs/evidence; arguments are text.

    Raises:
        ValueError: There is no such module or function, or it refused its arguments.
    """
    name, *arguments = (part.strip() for part in asked.split(","))
    where, _, function = name.rpartition(".")
    try:
        return getattr(module(where), function)(*arguments)
    except (ImportError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{asked!r} gives no result: {type(error).__name__}: {error}.") from error


def module(name: str) -> ModuleType:
    """A module of docs/evidence."""
    return importlib.import_module(f"docs.{FOLDER}.{name}")


class Evidence(SphinxDirective):
    """A table, a figure or a text of a record; the content is the caption of the first two."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return what the function gives."""
        try:
            found = call(self.arguments[0])
        except ValueError as error:
            raise self.error(str(error)) from error
        if isinstance(found, str):
            return self.parse_text_to_nodes(found)
        content = self.parse_content_to_nodes()
        caption = content[0].children if content and isinstance(content[0], nodes.paragraph) else []
        return [table(found, caption) if isinstance(found, list) else self.figure(found, caption)]

    def figure(self, found: Any, caption: list[nodes.Node]) -> nodes.figure:
        """Save a figure with its numbers, and show it with its alternative text."""
        folder = ROOT / ".cache" / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (re.sub(r"\W+", "-", self.arguments[0]) + ".png")
        saved = figures.save_figure(found, path)
        if not saved["alt"]:
            raise self.error("the figure has no alternative text: draw it with ncps_mlx.plots")
        place = f"/../{path.relative_to(ROOT).as_posix()}"
        image = nodes.image(uri=place, alt=saved["alt"], width=f"{saved['width']}px", classes=["drawn"])
        node = nodes.figure("", image, nodes.caption("", "", *caption))
        numbers = Path(place).with_suffix(".json")
        stamp = f"Drawn from the record. :download:`The figure's numbers <{numbers}>` (JSON)."
        node += nodes.legend("", *self.parse_text_to_nodes(stamp))
        return node


def table(rows: list[list[str]], caption: list[nodes.Node]) -> nodes.table:
    """Rows of text as a table: the first is the head, the first column names the rows."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in rows[0]), cols=len(rows[0]), stub=1)
    for section, part in ((nodes.thead, rows[:1]), (nodes.tbody, rows[1:])):
        cells = [[nodes.entry("", nodes.paragraph("", text)) for text in row] for row in part]
        group += section("", *(nodes.row("", *entries) for entries in cells))
    title = [nodes.title("", "", *caption)] if caption else []
    return nodes.table("", *title, group, classes=["evidence"])


class Result(SphinxRole):
    """A number of a record within a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text that the function gives."""
        try:
            return [nodes.Text(str(call(self.text)))], []
        except ValueError as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


def outdated(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """Read the pages that show the record again when it or the library's code changed."""
    root = Path(app.srcdir).parent
    folder = Path(app.srcdir) / FOLDER
    files = sorted(path for path in folder.glob("*") if path.suffix in {".py", ".json", ".jsonl", ".toml"})
    files += [*folder.parent.glob("claims.toml"), *sorted((folder / "pools").glob("*.toml"))]
    now = digest_of(library_digest(root), *(path.read_text(encoding="utf-8") for path in files))
    before, env.evidence = getattr(env, "evidence", ""), now  # type: ignore[attr-defined]  # Sphinx keeps it
    if before == now:
        return []
    return [name for name in env.found_docs if SHOWS.search(Path(env.doc2path(name)).read_text(encoding="utf-8"))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # the functions are of docs.evidence
    app.add_directive("evidence", Evidence)
    app.add_role("result", Result())
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
