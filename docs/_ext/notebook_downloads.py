"""Sphinx: notebooks with their outputs to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.application import Sphinx

__all__ = ["setup"]


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """End notebooks with their download."""
    if docname.startswith("notebooks/") and Path(app.env.doc2path(docname)).suffix == ".md":
        name = docname.rpartition("/")[2]
        if name != "index":
            source[0] += (
                f"\n\n```{{rubric}} Download\n```\n\n{{nb-download}}`{name}.ipynb`, with its outputs.\n"
            )


def fill_notebook(app: Sphinx, doctree: nodes.document) -> None:
    """Write a notebook's outputs into the file offered for download: taken from the cache, MyST-NB leaves them out."""
    del doctree
    file = Path(app.outdir).parent / "jupyter_execute" / f"{app.env.docname}.ipynb"
    if not app.env.docname.startswith("notebooks/") or not file.exists():
        return
    notebook = nbformat.read(file, as_version=4)
    cache = get_cache(app.config.nb_execution_cache_path)
    try:
        executed = cache.get_cache_bundle(cache.match_cache_notebook(notebook).pk).nb
    except KeyError:  # its execution failed, which MyST-NB reports
        return
    code = [[cell for cell in nb.cells if cell.cell_type == "code"] for nb in (notebook, executed)]
    for cell, ran in zip(*code, strict=True):
        cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    nbformat.write(notebook, file)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", read_source)
    app.connect("doctree-read", fill_notebook)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
