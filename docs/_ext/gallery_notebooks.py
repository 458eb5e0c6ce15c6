"""Sphinx-gallery: the notebooks that readers download hold the outputs of the build, and say what they need.

Sphinx-gallery writes them without; what each block gave is kept by gallery_cache. Its archives are written anew after.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from sphinx.application import Sphinx

from gallery_cache import ROOT

__all__ = ["NEEDS", "fill", "pack", "setup"]

NEEDS = '# Needs ncps-mlx with what its guide uses.\n# In a checkout: %pip install -q ".[guide]"'
"""The first cell of each notebook."""

IMAGE = re.compile(r"\.\. image-sg:: /(\S+)\n\s+:alt: (.*)")
PRINTED = re.compile(r"sphx-glr-script-out\s+\.\. code-block:: none\n((?:\s*\n|[ \t]+.*\n?)+)")


def fill(notebook: Path, outputs: Sequence[str], docs: Path) -> None:
    """Write what each code cell gave into a notebook.

    Args:
        notebook: The file.
        outputs: The text that sphinx-gallery shows for each block of the script; for its prose, an empty one.
        docs: The folder that paths of pictures begin at.
    """
    content = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in content.cells if cell.cell_type == "code" and cell.source.strip() != NEEDS]
    for number, (cell, text) in enumerate(zip(cells, _of_code(content, outputs), strict=True), start=1):
        cell.outputs, cell.execution_count = list(_outputs(text, docs)), number
    nbformat.write(content, notebook)


def _of_code(content: NotebookNode, outputs: Sequence[str]) -> list[str]:
    """The outputs of code cells alone, of one for each cell."""
    cells = [cell for cell in content.cells if cell.source.strip() != NEEDS]
    return [text for cell, text in zip(cells, outputs, strict=True) if cell.cell_type == "code"]


def _outputs(text: str, docs: Path) -> list[NotebookNode]:
    found: list[NotebookNode] = []
    for printed in PRINTED.findall(text):
        lines = textwrap.dedent(printed).strip("\n")
        found.append(nbformat.v4.new_output("stream", name="stdout", text=f"{lines}\n"))
    for place, alt in IMAGE.findall(text):
        data = base64.b64encode((docs / place).read_bytes()).decode()
        found.append(nbformat.v4.new_output("display_data", data={"image/png": data, "text/plain": alt}))
    return found


def pack(archive: Path) -> None:
    """Write an archive anew, with the files of its folder as they are now."""
    with zipfile.ZipFile(archive) as old:
        names = old.namelist()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
        for name in names:
            new.write(archive.parent / name, name)


def fill_all(app: Sphinx, *_: Any) -> None:
    """Fill the notebooks of all scripts that have run, also in archives."""
    docs = Path(app.srcdir)
    for notebook in sorted((docs / "auto_examples").glob("plot_*.ipynb")):
        kept = ROOT / ".cache" / "gallery" / notebook.stem / "run.json"
        if kept.exists():
            fill(notebook, json.loads(kept.read_text(encoding="utf-8"))["outputs"], docs)
    for archive in sorted((docs / "auto_examples").glob("*.zip")):
        pack(archive)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("env-before-read-docs", fill_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
