"""The documentation's machinery: what counts as the same output, what makes a page run again, what it reports."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import digest
import pagerun
from contracts import Contract, parse_contract
from pageblocks import parse_page
from tests.docs_project import ROOT, make_project, run

EXACT = parse_contract("")


@pytest.mark.parametrize(
    ("argument", "intervals", "shown", "printed", "fits"),
    [
        ("", None, "rmse 0.31", "rmse 0.31", True),
        ("exact", None, "rmse 0.31  \n", "\nrmse 0.31", True),
        ("exact", None, "rmse 0.31", "rmse 0.32", False),
        ("exact", None, "one\ntwo", "one", False),
        ("approx=1e-2", None, "rmse 0.310", "rmse  0.311", True),
        ("approx=1e-3", None, "rmse 0.310", "rmse 0.311", False),
        ("approx=1e-2", None, "rmse 0.310", "mae 0.310", False),
        ("approx=1e-2", None, "1.0", "1.0 2.0", False),
        ("approx=1e-2", None, "score nan", "score 0.3", False),
        ("approx=0.5", None, "conv1 3.0", "conv2 3.0", False),
        ("range", "0.2 0.9", "H 8 rmse 0.31", "H 8 rmse 0.85", True),
        ("range", "0.2 0.9", "H 8 rmse 0.31", "H 8 rmse 0.95", False),
        ("range", "0.2 0.9", "H 8 rmse 0.31", "H 16 rmse 0.31", False),
        ("range", "0.2 0.9", "rmse 1.31", "rmse 0.31", False),
        ("range", "0 1, 10 99", "a 0.5 20.0\nb 0.6 30.0", "a 0.1 98.5\nb 1.0 10.1", True),
        ("range", "0 1, 10 99", "a 0.5 20.0\nb 0.6 30.0", "a 0.1 98.5\nb 1.0 9.1", False),
        ("range", "-1 1", "gain -0.5", "gain +2e-1", True),
        ("shape", None, "took 12.5 s", "took 3 s", True),
        ("shape", None, "took 12.5 s", "took 3 ms", False),
        ("", None, "", "something", False),
        ("", None, "something", "", False),
    ],
)
def test_contracts(argument: str, intervals: str | None, shown: str, printed: str, fits: bool) -> None:
    assert (parse_contract(argument, intervals).problem(shown, printed) is None) is fits


@pytest.mark.parametrize(
    ("argument", "intervals", "message"),
    [
        ("close", None, "output contract must be exact, approx=TOLERANCE, range or shape, got 'close'."),
        ("approx", None, "output contract must be like approx=1e-3, got 'approx'."),
        ("range", None, "range must be like '0.2 0.9, 10 500', got None."),
        ("range", "0.2", "range must be like '0.2 0.9, 10 500', got '0.2'."),
        ("exact", "0 1", "output contract must be range where :range: is given, got 'exact'."),
    ],
)
def test_contracts_refuse(argument: str, intervals: str | None, message: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse_contract(argument, intervals)
    assert str(caught.value) == message


def test_difference_is_named() -> None:
    assert EXACT.problem("one\ntwo", "one\n2") == "shown 'two', printed '2'"
    assert Contract(kind="approx", tolerance=0.1).problem("a 1.0", "a 2.0") == (
        "shown 1.0, printed 2.0: not within 0.1"
    )


PAGE = """Title
=====

.. code-block:: python

   print(1)

.. output::

   1
.. tab-set::

   .. code-block:: python
      :caption: second

      for i in range(2):

          print(i)

   .. output:: shape

Text.

.. code-block:: console

   $ not python
"""


def test_blocks_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "page.rst"
    path.write_text(PAGE)
    page = parse_page(path)
    assert [block.line for block in page.blocks] == [6, 16]
    assert page.blocks[1].code == "for i in range(2):\n\n    print(i)\n"
    outputs = [block.output for block in page.blocks]
    assert [output.line for output in outputs if output is not None] == [8, 20]
    assert [output.contract.kind for output in outputs if output is not None] == ["exact", "shape"]
    assert page.program == "print(1)\n\nfor i in range(2):\n\n    print(i)\n"


def test_refresh_writes_only_outputs(tmp_path: Path) -> None:
    path = tmp_path / "page.rst"
    path.write_text(PAGE)
    text = parse_page(path).refreshed(["one\n", "0\n1\n"])
    assert text == PAGE.replace("   1\n..", "   one\n\n..").replace(
        ":: shape\n", ":: shape\n\n      0\n      1\n"
    )
    path.write_text(text)
    assert parse_page(path).refreshed(["one\n", "0\n1\n"]) == text


def test_misplaced_directives_are_problems(tmp_path: Path) -> None:
    path = tmp_path / "page.rst"
    path.write_text(
        ".. output::\n\n   1\n\n.. code-block:: python\n\n   print(1)\n\n.. output:: near\n\n   1\n"
    )
    assert [str(problem) for problem in parse_page(path).problems] == [
        "page.rst:1: output must follow a python block, got none before it.",
        "page.rst:9: output contract must be exact, approx=TOLERANCE, range or shape, got 'near'.",
    ]


def test_markdown_fences(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Title\n\n```console\nls\n```\n\n```python\nprint(1)\n```\n")
    page = parse_page(path)
    assert [(block.line, block.code) for block in page.blocks] == [(8, "print(1)\n")]


def test_code_digest_ignores_prose() -> None:
    code = '"""Doc."""\n\ndef f(x):\n    """Doc."""\n    return x + 1\n'
    same = '"""Other."""\n# comment\n\ndef f(x):\n    """Said otherwise."""\n    return (x + 1)  # why\n'
    other = code.replace("+ 1", "+ 2")
    assert digest.code_digest(code) == digest.code_digest(same)
    assert digest.code_digest(code) != digest.code_digest(other)
    assert digest.code_digest("x = 'text'") != digest.code_digest("x = 'prose'")


def test_the_digest_of_the_record_is_that_of_what_was_claimed_and_trained(tmp_path: Path) -> None:
    pools = tmp_path / "docs" / "evidence" / "pools"
    pools.mkdir(parents=True)
    digests = [digest.record_digest(tmp_path)]
    for name in ("evidence/pools/rate.toml", "evidence/tasks.toml", "evidence/verdicts.json", "claims.toml"):
        (tmp_path / "docs" / name).write_text("[]\n")
        digests.append(digest.record_digest(tmp_path))
    assert len({*digests}) == 5 and digest.record_digest(tmp_path) == digests[-1]
    code = ["from ncps_mlx import claims", 'print(claims.check("lr-start"))']
    assert digest.record_behind(code, tmp_path) == digests[-1:] and not digest.record_behind(code[:1], tmp_path)


def test_library_digest_of_a_copy(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    before = digest.library_digest(project), digest.source_digest(project)
    library = project / "ncps_mlx" / "__init__.py"
    text = library.read_text()
    library.write_text(text.replace("Return twice ``x``.", "Return 2 x.") + "# a comment\n")
    assert digest.library_digest(project) == before[0]
    assert digest.source_digest(project) != before[1]
    library.write_text(text.replace("return 2.0 * x", "return x + x"))
    assert digest.library_digest(project) != before[0]
    now = digest.library_digest(project)
    (project / "ncps_mlx" / "double.c").write_text("float twice(float x) { return x + x; }")
    assert digest.library_digest(project) != now


def pages(project: Path) -> subprocess.CompletedProcess[str]:
    return run(project, "docs/_ext/pagerun.py")


def test_page_runs_once_and_fails_by_line(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    page = project / "docs" / "guide" / "doubling.rst"
    text = page.read_text()

    first = pages(project)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("executed ") == 2
    assert list((project / ".cache" / "pages").rglob("*.png"))

    page.write_text(text.replace("Twice as much.", "Prose: twice as much, that is."))
    assert "executed " not in pages(project).stdout

    page.write_text(text.replace("is 5.0", "is 5.1"))
    shown = pages(project)
    assert shown.returncode == 1
    assert "executed " not in shown.stdout
    assert "docs/guide/doubling.rst:12: output: shown 5.1, printed 5.0: not within 1e-06" in shown.stdout

    page.write_text(text.replace("double(1.0), double(3.0)", "double(1.0), triple(3.0)"))
    broken = pages(project)
    assert broken.returncode == 1
    assert "docs/guide/doubling.rst:20: NameError: name 'triple' is not defined" in broken.stdout

    page.write_text(text.replace("figure = plots.points([double(1.0), double(3.0)])", "pass"))
    assert "docs/guide/doubling.rst:22: the block before it draws no figure" in pages(project).stdout

    warns = text.replace('print("twice', 'import warnings; warnings.warn("odd"); print("twice')
    page.write_text(warns)
    assert "docs/guide/doubling.rst:10: UserWarning: odd" in pages(project).stdout

    page.write_text(text.replace("\n   twice 2.5 is 5.0\n", ""))
    assert "docs/guide/doubling.rst:12: output: no output is shown yet" in pages(project).stdout
    assert run(project, "docs/_ext/pagerun.py", "--refresh").returncode == 0
    assert page.read_text() == text


def test_dead_process_is_a_problem(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    page = project / "docs" / "guide" / "doubling.rst"
    page.write_text(page.read_text().replace("figure = plots", "import os; os._exit(3)\n   figure = plots"))
    ended = pages(project)
    assert ended.returncode == 1
    assert "docs/guide/doubling.rst:20: the process ended with status 3" in ended.stdout


def test_broken_docstring_fails(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    library = project / "ncps_mlx" / "__init__.py"
    good = run(project, "docs/_ext/verified.py", "docstrings")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "no example executed" in run(project, "docs/_ext/verified.py", "docstrings").stdout
    library.write_text(library.read_text().replace("4.0", "5.25"))  # longer: bytecode is kept by size and second
    broken = run(project, "docs/_ext/verified.py", "docstrings")
    assert broken.returncode == 1
    assert "ncps_mlx/__init__.py:10: DocTestFailure" in broken.stdout


def test_no_page_is_left_out() -> None:
    folders = [ROOT / "docs" / name for name in pagerun.FOLDERS]
    sources = {path for f in folders for suffix in ("rst", "md") for path in f.rglob(f"*.{suffix}")}
    pages = {*pagerun.pages_of(), *(folder / "index.rst" for folder in folders if folder.exists())}
    assert sources == pages - {ROOT / "README.md", *(ROOT / "docs" / f"{name}.rst" for name in pagerun.FIRST)}
