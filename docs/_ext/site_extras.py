"""Sphinx: the README as a page, notebooks with their outputs to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.application import Sphinx

__all__ = ["setup"]

# What the README links to on its forge, and where the same lies on the site.
LINKS = {
    "docs/_static/": "_static/",
    "docs/guide/worth-it.rst": "guide/worth-it.rst",
    "docs/evidence/performance.rst": "evidence/performance.rst",
    "docs/howto/coming-from-ncps.rst": "howto/coming-from-ncps.rst",
    "docs/howto/your-own-data.rst": "howto/your-own-data.rst",
    "(CONTRIBUTING.md)": "(contributing.md)",
    "(CHANGELOG.md)": "(changelog.md)",
    "(CITATION.cff)": "(../CITATION.cff)",
    "(LICENSE)": "(../LICENSE)",
}


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the README in place of the start page's source; end notebooks with their download."""
    if docname == "start":
        readme = Path(app.srcdir).parent / "README.md"
        app.env.note_dependency(readme)
        source[0] = readme.read_text(encoding="utf-8")
        for old, new in LINKS.items():
            source[0] = source[0].replace(old, new)
    elif docname.startswith("notebooks/") and Path(app.env.doc2path(docname)).suffix == ".md":
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
