"""What readers receive runs as received: `nox -s downloads` builds the wheel and installs it alone with extra guide.

Each page's blocks pasted into one file, and each block as its copy button gives it, which prints what the page shows;
each gallery script and notebook as downloaded; every one in an empty folder, with nothing of this checkout in reach.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))  # of this process: the programs have the wheel alone

from copied_programs import programs_of  # noqa: E402  # its folder comes onto the path above
from pageblocks import parse_page  # noqa: E402  # likewise
from pagerun import FIRST, docname_of, pages_of  # noqa: E402  # likewise

HTML = ROOT / "docs" / "_build" / "html"
FOLDERS = ("guide", "symptoms", "models", "howto")
PAGES = sorted(
    [*(HTML / f"{name}.html" for name in FIRST), *(page for name in FOLDERS for page in (HTML / name).glob("*.html"))]
)
SCRIPTS = sorted((HTML / "_downloads").glob("*/plot_*.py"))
NOTEBOOKS = sorted((HTML / "_downloads").glob("*/*.ipynb"))
ARCHIVES = sorted((HTML / "_downloads").glob("*/*.zip"))
BLOCKS = [
    pytest.param(docname, block, program, id=f"{docname}:{block.line}")
    for page in pages_of(ROOT)
    if page.suffix == ".rst"  # the README is no page of the site
    for docname, parsed in [(docname_of(page), parse_page(page))]
    for block, program in zip(parsed.blocks, programs_of([block.code for block in parsed.blocks]), strict=True)
]


def copied(page):
    """The page's python blocks, in order.

    Not those that need PyTorch, which `parity` runs, nor whole files that need a server, which `scale` runs.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    return [block.get_text() for block in soup.select("div.highlight-python:not(.recorded, .file) pre")]


def run(program, folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments, str(program)],
        cwd=folder,
        env={**environment, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_library_is_the_installed_wheel(tmp_path):
    program = tmp_path / "where.py"
    program.write_text(
        "import ncps_mlx; from ncps_mlx._kernels.native import compiled; print(ncps_mlx.__file__, compiled())"
    )
    done = run(program, tmp_path)
    assert "site-packages" in done.stdout, done.stdout + done.stderr
    assert shutil.which("cc") is None or "about='by " in done.stdout, done.stdout  # its C sources came along


def test_a_claim_is_measured_again_with_the_record_that_came_along(tmp_path):
    command = Path(sys.executable).with_name("ncps-mlx")
    listed = subprocess.run([command, "reproduce"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "depth-residual" in listed
    done = run("depth-residual", tmp_path, "-m", "ncps_mlx", "reproduce", "--seeds", "3", "--seed", "300")
    assert done.returncode in (0, 1), done.stderr  # an answer; which, is the seeds' matter
    assert "depth-residual, short budget:" in done.stdout and "  sunspots  " in done.stdout
    assert not list(tmp_path.iterdir())


def test_there_is_something_to_receive():
    assert len([page for page in PAGES if copied(page)]) >= 17
    assert len(SCRIPTS) >= 15
    assert len(NOTEBOOKS) > len(SCRIPTS)  # one for each script, and the whole session
    assert ARCHIVES


@pytest.mark.parametrize(
    "page", [page for page in PAGES if copied(page)], ids=lambda page: page.relative_to(HTML).as_posix()
)
def test_a_page_pasted_into_one_file_runs(page, tmp_path):
    program = tmp_path / "pasted.py"
    program.write_text("\n".join(copied(page)), encoding="utf-8")
    done = run(program, tmp_path, "-W", "error")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(("docname", "block", "copy"), BLOCKS)
def test_a_copied_block_runs_alone_and_prints_what_the_page_shows(docname, block, copy, tmp_path):
    offered = BeautifulSoup((HTML / f"{docname}.html").read_text(encoding="utf-8"), "html.parser")
    programs = [each.get_text() for each in offered.select("pre.copied-program")]
    assert not copy.needed or copy.code.strip() in [each.strip() for each in programs]
    program = tmp_path / "copied.py"
    program.write_text(copy.code, encoding="utf-8")
    done = run(program, tmp_path, "-W", "error")
    assert done.returncode == 0, done.stderr[-3000:]
    if block.output is not None:
        shown = block.output.text
        last = done.stdout.rstrip().splitlines()[-len(shown.strip().splitlines()) :]
        problem = block.output.contract.problem(shown, "\n".join(last))
        assert problem is None, problem


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_downloaded_script_runs_alone(script, tmp_path):
    program = tmp_path / script.name
    program.write_bytes(script.read_bytes())
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    left = sorted(path for path in tmp_path.iterdir() if path != program)  # its figures, and nothing else
    assert left and all(path.match(f"{script.stem}_*.png") for path in left)
    assert all(f"Saved {path}" in done.stdout for path in left)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_downloaded_notebook_runs(notebook, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    NotebookClient(content, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_archives_hold_what_they_say():
    for archive in ARCHIVES:
        with zipfile.ZipFile(archive) as zipped:
            assert zipped.testzip() is None
            assert all(name.endswith((".py", ".ipynb", ".json", ".txt")) for name in zipped.namelist())
