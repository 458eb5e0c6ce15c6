"""The API reference's machinery: one page per public object, no private name, every path leads to its page."""

from __future__ import annotations

import ast
import builtins
import doctest
import os
import subprocess
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import api_names
import api_pages
import public_api
from tests.docs_project import make_project, run

CONF = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx", "api_names", "api_pages",
              "stale_pages"]
inventories = Path(__file__).parent / "_inventories"
intersphinx_mapping = {
    name: (f"https://{name}.org/", str(inventories / f"{name}.inv")) for name in ("python", "matplotlib")
}
nitpicky = True
exclude_patterns = ["guide", "_*"]
autodoc_typehints = "description"
add_module_names = False


def setup(app):
    from docutils.parsers.rst import Directive, directives

    class NoGallery(Directive):
        optional_arguments, final_argument_whitespace = 1, True
        option_spec = {"add-heading": directives.unchanged, "heading-level": directives.unchanged}

        def run(self):
            return []

    app.add_directive("minigallery", NoGallery)
"""
INDEX = """Mini
====

Every path: :class:`ncps_mlx.training.Fit`, :class:`ncps_mlx.training._fit.Fit`, :meth:`ncps_mlx.training.Fit.again`,
:func:`ncps_mlx.training.double`, :func:`double`, :data:`ncps_mlx.training.LIMITS`, :mod:`ncps_mlx.plots`.

.. toctree::

   api/index
"""
PAGES = [
    "ncps_mlx",
    "ncps_mlx.double",
    "ncps_mlx.plots",
    "ncps_mlx.plots.alt_text",
    "ncps_mlx.plots.numbers",
    "ncps_mlx.plots.points",
    "ncps_mlx.training",
    "ncps_mlx.training.Fit",
    "ncps_mlx.training.LIMITS",
    "ncps_mlx.training.fit",
]


def build(project: Path) -> subprocess.CompletedProcess[str]:
    return run(project, "-m", "sphinx", "-nWT", "--keep-going", "-q", "docs", "docs/_build/html")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("reference"))
    for name in ("start.md", "notebooks/session.md"):
        (project / "docs" / name).unlink()
    (project / "docs" / "conf.py").write_text(CONF)
    (project / "docs" / "index.rst").write_text(INDEX)
    result = build(project)
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def test_a_page_for_each_public_object_and_package(project: Path) -> None:
    built = project / "docs" / "_build" / "html" / "api" / "generated"
    pages = [name.replace(".Fit", ".Fit-class") for name in PAGES]  # .fit is a page too: only the case differs
    assert sorted(path.stem for path in built.glob("*.html")) == pages


def test_no_private_name_is_in_the_inventory(project: Path) -> None:
    path = project / "docs" / "_build" / "html" / "objects.inv"
    inventory = InventoryFile.loads(path.read_bytes(), uri="").data
    names = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    assert names == {*PAGES, "ncps_mlx.training.Fit.again"}


def test_data_shows_the_docstring_and_type_of_its_private_file(project: Path) -> None:
    html = (project / "docs/_build/html/api/generated/ncps_mlx.training.LIMITS.html").read_text()
    assert "Lowest and highest score" in html
    assert 'href="ncps_mlx.training.fit.html#ncps_mlx.training.fit"' in html
    assert "tuple" in html


def test_private_bases_are_not_shown(project: Path) -> None:
    html = (project / "docs/_build/html/api/generated/ncps_mlx.training.Fit-class.html").read_text()
    assert "Base" not in html.partition("Bases")[2].partition("</p>")[0]


def test_a_private_type_is_text_in_a_signature_and_an_error_in_prose(project: Path) -> None:
    html = (project / "docs/_build/html/api/generated/ncps_mlx.training.fit.html").read_text()
    assert "Base" in html
    index = project / "docs" / "index.rst"
    text = index.read_text()
    index.write_text(text.replace("Every path:", "Every path: :class:`ncps_mlx.training._fit.Base`,"))
    result = build(project)
    index.write_text(text)
    assert "reference target not found: ncps_mlx.training._fit.Base" in result.stderr


def test_pages_are_written_again_only_where_their_text_changed(project: Path) -> None:
    generated = project / "docs" / "api" / "generated"
    for path in generated.iterdir():
        os.utime(path, (1, 1))
    library = project / "ncps_mlx" / "__init__.py"
    library.write_text(library.read_text().replace("Return twice ``x``.", "Return the double."))
    assert build(project).returncode == 0
    written = sorted(path.name for path in generated.iterdir() if path.stat().st_mtime > 1)
    assert written == ["contents.txt", "ncps_mlx.rst", "ncps_mlx.training.rst"]
    assert "Return the double." in (project / "docs/_build/html/api/generated/ncps_mlx.double.html").read_text()


def test_the_page_of_a_name_that_is_gone_goes(project: Path) -> None:
    library = project / "ncps_mlx" / "__init__.py"
    text = library.read_text()
    page = project / "docs/_build/html/api/generated/ncps_mlx.twice.html"
    library.write_text(text + '\n\ndef twice(x):\n    """Return twice ``x``."""\n\n\n__all__ += ["twice"]\n')
    assert build(project).returncode == 0 and page.exists()
    library.write_text(text)
    assert build(project).returncode == 0 and not page.exists()
    assert page.with_name("ncps_mlx.double.html").exists()


def test_what_is_public_has_no_private_part() -> None:
    for path in [*public_api.public_modules(), *public_api.public_names()]:
        assert not public_api.is_private(path)
    assert public_api.is_private("ncps_mlx.training._fit.fit")
    assert not public_api.is_private("ncps_mlx.CfC.__call__")


def test_every_listed_path_leads_to_the_documented_one() -> None:
    for path, entry in public_api.public_names().items():
        for alias in (*entry.listed, *entry.aliases):
            assert api_names.canonical(alias) == path
    assert api_names.canonical("ncps_mlx.CfC.parameter_count") == "ncps_mlx.CfC.parameter_count"
    assert api_names.canonical("numpy.ndarray") == "numpy.ndarray"


def test_page_names_differ_where_the_file_system_ignores_case() -> None:
    names = [name.lower() for name in api_pages.pages()]
    assert len(names) == len(set(names))


def missing_names(source: str) -> set[str]:
    """Names that a program uses, and neither imports nor binds."""
    bound = set(vars(builtins))
    used: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return used - bound


def test_every_example_runs_as_copied_from_its_page() -> None:
    finder, examples = doctest.DocTestFinder(exclude_empty=True), 0
    for path, entry in public_api.public_names().items():
        if entry.is_data:
            continue
        for found in finder.find(entry.value, path, module=False):
            assert missing_names("".join(example.source for example in found.examples)) == set(), found.name
            examples += bool(found.examples)
    assert examples > 100
    assert missing_names("import numpy as np\nx = [np.sin(y) for y in z]") == {"z"}
