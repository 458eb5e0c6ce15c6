"""Sphinx: MathJax from its package, the README as a page, notebooks with their outputs to download."""

from __future__ import annotations

import importlib.util
import shutil
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
    "docs/howto/coming-from-ncps.rst": "howto/coming-from-ncps.rst",
    "docs/howto/your-own-data.rst": "howto/your-own-data.rst",
    "(CONTRIBUTING.md)": "(contributing.md)",
    "(CHANGELOG.md)": "(changelog.md)",
    "(CITATION.cff)": "(../CITATION.cff)",
    "(LICENSE)": "(../LICENSE)",
}


def copy_mathjax(app: Sphinx) -> None:
    """Copy MathJax's single file (and its licence) to where the site serves it."""
    spec = importlib.util.find_spec("mathjax")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("mathjax must be installed (group docs: django-static-mathjax).")
    package = Path(spec.submodule_search_locations[0]) / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("es5/tex-svg.js", "LICENSE"):
        shutil.copy2(package / name, target / Path(name).name)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """After an HTML build, add what its pages ask for."""
    if exception is None and app.builder.format == "html":
        copy_mathjax(app)


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
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
