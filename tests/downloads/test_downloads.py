"""What readers receive runs as received: `nox -s downloads` builds the wheel and installs it alone with extra guide.

Each page's code as the copy button gives it, pasted into one file; each gallery script and notebook as downloaded;
every one in an empty folder, with nothing of this checkout in reach.
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
HTML = ROOT / "docs" / "_build" / "html"
FOLDERS = ("guide", "models", "howto")
PAGES = sorted([HTML / "start.html", *(page for name in FOLDERS for page in (HTML / name).glob("*.html"))])
SCRIPTS = sorted((HTML / "_downloads").glob("*/plot_*.py"))
NOTEBOOKS = sorted((HTML / "_downloads").glob("*/*.ipynb"))
ARCHIVES = sorted((HTML / "_downloads").glob("*/*.zip"))


def copied(page):
    """The page's python blocks as the copy button gives them, in order.

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
    assert len(SCRIPTS) >= 7
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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_downloaded_script_runs_alone(script, tmp_path):
    program = tmp_path / script.name
    program.write_bytes(script.read_bytes())
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in tmp_path.iterdir()] == [script.name]  # and leaves nothing behind


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
