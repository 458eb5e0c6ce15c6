"""Sphinx: run the pages, and the notebooks beside them, before reading; show their outputs and figures, offer copies.

Adds the directives ``output`` (text that a run is checked against) and ``drawn`` (the figures of the block
before it). A page that fails, or shows what its run did not give, is a warning at its page and line.
"""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from contracts import parse_contract
from copied_programs import programs_of, with_figures
from digest import digest_of, versions
from notebooks import execute_notebook, notebooks_of
from pageblocks import PYTHON, Page
from pagerun import FOLDERS, PageRun, docname_of, pages_of, run_pages

__all__ = ["Drawn", "Output", "setup"]

logger = logging.getLogger(__name__)
RUNS: dict[str, PageRun] = {}
HEADER = """# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///

"""
HOW_TO_RUN = ":doc:`uv </auto_examples/index>`"


def run_all(app: Sphinx) -> None:
    """Run what changed; report problems as warnings."""
    root = Path(app.srcdir).parent
    pages = [path for path in pages_of(root) if path.exists()]

    def report(line: str) -> None:
        logger.info("[pages] %s", line)

    notebooks = [partial(execute_notebook, path, app.env, report) for path in notebooks_of(Path(app.srcdir))]
    for run in run_pages(pages, root=root, report=report, others=notebooks):
        RUNS[docname_of(run.page.path, Path(app.srcdir))] = run
        for problem in run.problems:
            logger.warning("%s", problem.message, location=f"{run.page.path}:{problem.line}")
    executed = sum(run.executed for run in RUNS.values())
    blocks = sum(len(run.page.blocks) for run in RUNS.values())
    logger.info("[pages] %d pages, %d blocks; executed now: %d pages", len(RUNS), blocks, executed)


def outdated(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """Read again the documents whose runs, or the programs that they offer, are not the ones shown."""
    del app
    now = {}
    for name, run in RUNS.items():
        copies = [program.code for program in programs_of(run.page.blocks)]
        now[name] = digest_of(*map(str, run.results), *copies, versions())
    before: dict[str, str] = getattr(env, "guide_runs", {})
    env.guide_runs = now  # type: ignore[attr-defined]  # Sphinx keeps extensions' state on its environment
    return [name for name in now if before.get(name) != now[name] and name in env.found_docs]


def program_of(page: Page) -> str:
    """A page as a file to run: with what it needs, and its figures shown or saved at the end."""
    draws = any(block.drawn for block in page.blocks)
    return HEADER + (with_figures(page.program) if draws else page.program)


def offer_program(app: Sphinx, docname: str, source: list[str]) -> None:
    """End each page with its program as a download."""
    run = RUNS.get(docname)
    if run is None or not run.page.blocks or run.page.path.suffix != ".rst" or run.problems:
        return
    name = f"{run.page.path.stem}.py"
    (run.folder / name).write_text(program_of(run.page), encoding="utf-8")
    draws = any(block.drawn for block in run.page.blocks)
    figures = " Its figures come in windows, or beside it as images where there is no display." if draws else ""
    where = f"/../{run.folder.relative_to(Path(app.srcdir).parent).as_posix()}/{name}"
    source[0] += (
        "\n\n.. container:: no-search\n\n   .. rubric:: This page as one script\n\n"
        f"   :download:`{name} <{where}>` holds the blocks above, in order. "
        'With ``pip install ".[guide]"`` in a checkout it runs by itself in an empty folder, without it by '
        f"{HOW_TO_RUN}; here it took {run.seconds:.0f} s and {run.megabytes:.0f} MB.{figures}\n"
    )


def offer_copies(app: Sphinx, doctree: nodes.document) -> None:
    """Put the program that the copy button gives beside each block of a page that is run."""
    run = RUNS.get(app.env.docname)
    if run is None or run.problems:
        return
    python = [
        node
        for node in doctree.findall(nodes.literal_block)
        if node.get("language") in PYTHON and "recorded" not in node["classes"]
    ]
    programs = programs_of(run.page.blocks)
    by_code = {_plain(block.code): program for block, program in zip(run.page.blocks, programs, strict=True)}
    for node in python:
        program = by_code.get(_plain(node.astext()))
        if program is not None and program.needed:
            text = f'<pre hidden class="copied-program" data-lines="{program.needed}">{escape(program.code)}</pre>'
            place = node.parent if "literal-block-wrapper" in node.parent.get("classes", []) else node
            place.parent.insert(place.parent.index(place) + 1, nodes.raw("", text, format="html"))


def _plain(code: str) -> str:
    return "\n".join(line.rstrip() for line in code.strip("\n").splitlines())


class Output(SphinxDirective):
    """What the block before it prints, with the contract that every build checks."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Any]] = {"range": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the text as a block without a copy button, and what may differ in it."""
        try:
            contract = parse_contract(self.arguments[0] if self.arguments else "", self.options.get("range"))
        except ValueError as error:
            raise self.error(str(error)) from error
        text = "\n".join(self.content)
        block = nodes.literal_block(text, text, language="text", classes=["output"])
        note = contract.describe()
        return [block, nodes.paragraph(note, note, classes=["contract"])] if note else [block]


class Drawn(SphinxDirective):
    """The figures of the block before it, with their alternative text, a caption and a stamp."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return one figure for each that the block drew."""
        run = RUNS.get(self.env.docname)
        if run is None:
            raise self.error(f"drawn belongs on a page that is run: in {' or '.join(FOLDERS)} under docs")
        if run.problems:
            return []  # reported already, with its line
        number = next((i for i, block in enumerate(run.page.blocks) if self.lineno in block.drawn), None)
        if number is None:
            raise self.error("the page has changed since it was run: build again")
        drawn = run.results[number]["figures"]
        caption = self.parse_content_to_nodes()
        shown: list[nodes.Node] = []
        root = Path(self.env.srcdir).parent
        for figure in drawn:
            place = f"/../{(run.folder / figure['file']).relative_to(root).as_posix()}"
            image = nodes.image(uri=place, alt=figure["alt"], width=f"{figure['width']}px", classes=["drawn"])
            node = nodes.figure("", image)
            if figure is drawn[-1]:
                if caption and isinstance(caption[0], nodes.paragraph):
                    node += nodes.caption("", "", *caption[0].children)
                if figure["numbers"] is not None:
                    numbers = f":download:`The figure's numbers <{Path(place).with_suffix('.json')}>` (JSON)."
                    node += nodes.legend("", *self.parse_text_to_nodes(numbers))
            shown.append(node)
        return shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    RUNS.clear()
    app.add_directive("output", Output)
    app.add_directive("drawn", Drawn)
    app.connect("builder-inited", run_all)
    app.connect("env-get-outdated", outdated)
    app.connect("source-read", offer_program)
    app.connect("doctree-read", offer_copies)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
