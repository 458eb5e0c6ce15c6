"""Sphinx: show a cell of a program that needs what the build does not have, with its recorded output.

Adds the directive ``recorded`` (a program beside the page, the name of a cell). A program that has changed since it was
recorded is a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.directives.code import container_wrapper
from sphinx.util.docutils import SphinxDirective

from recorded import cells_of, code_of, imports, read_record

__all__ = ["Recorded", "setup"]

LABELS = {"torch": "ncps (PyTorch)", "mlflow": "MLflow"}
"""What a program is labelled with, by the package that the build does not have."""
CHECKED = {
    "exact": "The session parity prints the same.",
    "approx": "The session parity prints nearly the same numbers.",
    "range": "The session parity checks that the numbers lie in a range.",
    "shape": "Your numbers will differ.",
}
"""What is promised of a recorded output, by the kind of its contract."""


class Recorded(SphinxDirective):
    """A cell of a program beside the page, and what it printed when it was recorded."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Return the code with a copy button, its output, and what it ran with."""
        name, cell = self.arguments
        program = Path(self.env.doc2path(self.env.docname)).parent / name
        for path in (program, program.with_suffix(".txt")):
            self.env.note_dependency(str(path))
        if not program.exists():
            raise self.error(f"there is no program {program}")
        cells, record = cells_of(program), read_record(program)
        if cell not in cells:
            raise self.error(f"{name} has no cell {cell!r}, but {', '.join(cells)}")
        if record.code != code_of(program):
            raise self.error(
                f"{name} has changed since it was recorded; write it anew with `nox -s parity -- -k page --refresh`"
            )
        code = cells[cell].code
        block = nodes.literal_block(code, code, language="python", classes=["recorded"])
        label = next((label for package, label in LABELS.items() if imports(program, package)), "recorded")
        shown: list[nodes.Node] = [container_wrapper(self, block, label)]
        entry = record.entries.get(cell)
        if entry is not None:
            stamp = f"Recorded with {record.versions}. {CHECKED[entry.promise.kind]}"
            shown.append(nodes.literal_block(entry.text, entry.text, language="text", classes=["output"]))
            shown.append(nodes.paragraph(stamp, stamp, classes=["contract"]))
        return shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("recorded", Recorded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
