"""Sphinx: show what a record says, computed when the page is built: tables, figures, numbers within sentences.

Beside a page of ``docs/evidence`` lie its record, the script that trained it, and a module of functions that read it.
``.. evidence:: MODULE.FUNCTION`` shows what a function returns: rows of text as a table, a figure of ``ncps_mlx.plots``
as a figure, a text as reStructuredText; arguments follow, separated by commas. A module may say by a function
``inputs`` of the same arguments what its figures depend on: while that is the same they are not drawn again. Beside a
function of a figure may stand ``FUNCTION_rows``, the figure as a table, which is folded below it, and
``FUNCTION_trials``, the pools whose trials it shows, which are offered as downloads.
``:result:`MODULE.FUNCTION, ARGUMENT, ...``` puts a text into a sentence. A function that fails, or is not there, is a
warning at its line.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

import figures
from digest import digest_of, file_digest, library_digest

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


def beside(asked: str, what: str) -> str:
    """What is asked of the function of that name beside the one asked; empty if there is none."""
    name, comma, arguments = asked.partition(",")
    where, _, function = name.strip().rpartition(".")
    found = f"{function}_{what}"
    return f"{where}.{found}{comma}{arguments}" if hasattr(module(where), found) else ""


def module(name: str) -> ModuleType:
    """A module of docs/evidence."""
    return importlib.import_module(f"docs.{FOLDER}.{name}")


class Evidence(SphinxDirective):
    """A table, a figure or a text of a record; the content is the caption of the first two."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    shows_record = True  # below a figure: its table, folded, and its trials

    def run(self) -> list[nodes.Node]:
        """Return what the function gives."""
        content = self.parse_content_to_nodes()
        caption = content[0].children if content and isinstance(content[0], nodes.paragraph) else []
        return self.shown(self.arguments[0], caption)

    def shown(self, asked: str, caption: list[nodes.Node]) -> list[nodes.Node]:
        """Return what the function that is asked gives, with its caption."""
        try:
            found = kept_figure(asked) or call(asked)
        except ValueError as error:
            raise self.error(str(error)) from error
        if isinstance(found, str):
            return self.parse_text_to_nodes(found)
        if isinstance(found, list):
            return [table(found, caption)]
        rows = beside(asked, "rows") if self.shows_record else ""
        folded = f".. dropdown:: The figure as a table\n\n   .. evidence:: {rows}\n" if rows else ""
        return [self.figure(asked, found, caption), *self.parse_text_to_nodes(folded)]

    def figure(self, asked: str, found: Any, caption: list[nodes.Node]) -> nodes.figure:
        """Save a figure with its numbers, unless it is a kept one, and show it with its alternative text."""
        saved = found if isinstance(found, dict) else save(asked, found)
        if not saved["alt"]:
            raise self.error("the figure has no alternative text: draw it with ncps_mlx.plots")
        place = f"/../{figure_path(asked).relative_to(ROOT).as_posix()}"
        image = nodes.image(uri=place, alt=saved["alt"], width=f"{saved['width']}px", classes=["drawn"])
        node = nodes.figure("", image, nodes.caption("", "", *caption))
        numbers = Path(place).with_suffix(".json")
        stamp = f"Drawn from the record. :download:`The figure's numbers <{numbers}>` (JSON)"
        trials = beside(asked, "trials") if self.shows_record else ""
        files = [f":download:`{pool} </{FOLDER}/trials/{pool}.jsonl>`" for pool in (call(trials) if trials else [])]
        stamp += f"; its trials: {', '.join(files)} (JSON lines)." if files else "."
        node += nodes.legend("", *self.parse_text_to_nodes(stamp))
        return node


def figure_path(asked: str) -> Path:
    """Where a figure is saved."""
    return ROOT / ".cache" / FOLDER / (re.sub(r"\W+", "-", asked) + ".png")


def inputs_of(asked: str) -> str:
    """What a figure depends on, as its module says it; empty if that says nothing."""
    name, *arguments = (part.strip() for part in asked.split(","))
    inputs = getattr(module(name.rpartition(".")[0]), "inputs", None)
    tools = [file_digest(Path(figures.__file__).with_name(name)) for name in ("figures.py", "points.py")]
    return digest_of(str(inputs(*arguments)), *tools) if inputs else ""


def kept_figure(asked: str) -> dict[str, Any] | None:
    """What is to be known of a figure that was saved from the same inputs."""
    kept = figure_path(asked).with_suffix(".kept")
    try:
        inputs = inputs_of(asked)
    except (ImportError, ValueError):
        return None  # the call says what is wrong
    if not inputs or not kept.exists():
        return None
    saved: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return saved if saved["inputs"] == inputs else None


def save(asked: str, figure: Any) -> dict[str, Any]:
    """Save a figure; pages that are read at the same time may save the same one."""
    path = figure_path(asked)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        saved = figures.save_figure(figure, Path(folder) / path.name)
        known = {"inputs": inputs_of(asked), "width": saved["width"], "alt": saved["alt"]}
        for each in Path(folder).iterdir():
            each.replace(path.parent / each.name)
        kept = Path(folder) / path.with_suffix(".kept").name  # last: it says that the others are there
        kept.write_text(json.dumps(known), encoding="utf-8")
        kept.replace(path.parent / kept.name)
    return known


def table(rows: list[list[str]], caption: list[nodes.Node]) -> nodes.table:
    """Rows of text as a table: the first is the head, the first column names the rows."""
    columns = (nodes.colspec(colwidth=1, stub=int(place == 0)) for place in range(len(rows[0])))
    group = nodes.tgroup("", *columns, cols=len(rows[0]))
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
