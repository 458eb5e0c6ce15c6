"""Every python block of the built site was executed: counted from its HTML, compared with what ran."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from jupyter_cache import get_cache
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

import digest
import gallery_cache
import pagerun
import recorded
import verified
from tests.site.site_pages import EXECUTED, HTML, ROOT, pages, python_blocks, session_examples

# Pages with python blocks that nothing executes. It stays empty.
EXCEPTIONS: list[str] = []


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.md"))


def executed_cells(name: str) -> list[nbformat.NotebookNode]:
    """The code cells of a notebook as the build's cache keeps them, each with the number of its execution."""
    shown = nbformat.read(HTML.parent / "jupyter_execute" / "notebooks" / f"{name}.ipynb", as_version=4)
    now = digest.digest_of(digest.library_digest(ROOT), digest.versions())
    kept = get_cache(ROOT / ".cache" / "jupyter" / now)
    cells = kept.get_cache_bundle(kept.match_cache_notebook(shown).pk).nb.cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.execution_count is not None]


def run_by_scale(path: Path) -> list[str]:
    """The programs a page includes that the session `scale` runs, with the servers that they need."""
    included = re.findall(r"literalinclude:: \S*tests/scale/(\w+\.py)", path.read_text(encoding="utf-8"))
    tests = (ROOT / "tests" / "scale" / "test_scale.py").read_text(encoding="utf-8")
    assert all(f'"{name}"' in tests for name in included), f"{path.name} shows a program that nothing runs"
    return included


def executed_blocks() -> dict[str, int]:
    """How many blocks of each page were executed, from what the executions left behind."""
    counts: dict[str, int] = {}
    for path in EXECUTED:
        run = pagerun.run_page(path)
        assert not run.executed, f"{run.page.name} was not executed by the build"
        elsewhere = recorded.shown_cells(path)  # executed where PyTorch is, and recorded
        for program, _ in elsewhere:
            assert recorded.read_record(program).code == recorded.code_of(program), f"{program.name} is stale"
        here = sum(result["error"] is None for result in run.results)
        counts[pagerun.docname_of(path)] = here + len(elsewhere) + len(run_by_scale(path))
    for path in sorted((ROOT / "gallery").glob("*.py")):
        code = [block.content for block in split_code_and_text_blocks(str(path))[1] if block.type == "code"]
        run_file = ROOT / ".cache" / "gallery" / path.stem / "run.json"
        kept = json.loads(run_file.read_text(encoding="utf-8"))
        assert kept["key"] == gallery_cache.script_key(code), f"{path.name} changed since it was executed"
        counts[f"auto_examples/{path.stem}"] = len(code)
    for path in NOTEBOOKS:
        counts[f"notebooks/{path.stem}"] = len(executed_cells(path.stem))
    return counts


def test_every_block_was_executed() -> None:
    shown = {page: len(python_blocks(page)) for page in pages()}
    executed = executed_blocks()
    different = {
        page: f"{count} shown, {executed.get(page, 0)} executed"
        for page, count in shown.items()
        if count != executed.get(page, 0) and page not in EXCEPTIONS
    }
    assert not different
    assert set(executed) <= set(shown), "every executed page is on the site"
    print(f"{sum(shown.values())} blocks on {sum(map(bool, shown.values()))} pages, all executed")


def test_every_example_in_a_docstring_was_executed() -> None:
    ran = Counter(json.loads(verified.RECORD.read_text(encoding="utf-8"))["examples"])
    shown = {page: session_examples(page) for page in pages()}
    missing = {page: dict(examples - ran) for page, examples in shown.items() if examples - ran}
    assert not missing
    assert sum(examples.total() for examples in shown.values()) > 0


def test_no_exceptions() -> None:
    assert EXCEPTIONS == []


@pytest.mark.parametrize("path", sorted((ROOT / "gallery").glob("*.py")), ids=lambda path: path.stem)
def test_gallery_downloads(path: Path) -> None:
    names = {file.name for file in (HTML / "_downloads").rglob("*")}
    assert {f"{path.stem}.py", f"{path.stem}.ipynb", f"{path.stem}.zip"} <= names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_download_has_its_outputs(path: Path) -> None:
    (file,) = (HTML / "_downloads").rglob(f"{path.stem}.ipynb")
    offered = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    kept = executed_cells(path.stem)
    assert [cell.source for cell in offered] == [cell.source for cell in kept]
    assert [len(cell.outputs) for cell in offered] == [len(cell.outputs) for cell in kept]
    assert any(cell.outputs for cell in offered)
