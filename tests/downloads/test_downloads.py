"""What readers receive runs as received: `nox -s downloads` builds the wheel and installs it alone with extra guide.

Each page's program as downloaded, and each block as its copy button gives it, which prints and draws what the page
shows; each gallery script and notebook as downloaded; every one in an empty folder, with nothing of this checkout in
reach.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))  # of this process: the programs have the wheel alone

from copied_programs import programs_of, with_figures  # noqa: E402  # its folder comes onto the path above
from pageblocks import parse_page  # noqa: E402  # likewise
from pagerun import docname_of, pages_of  # noqa: E402  # likewise

HTML = ROOT / "docs" / "_build" / "html"
SCRIPTS = sorted((HTML / "_downloads").glob("*/plot_*.py"))
NOTEBOOKS = sorted((HTML / "_downloads").glob("*/*.ipynb"))
ARCHIVES = sorted((HTML / "_downloads").glob("*/*.zip"))
PAGES = {docname_of(path): parse_page(path) for path in pages_of(ROOT) if path.suffix == ".rst"}
BLOCKS = [
    pytest.param(docname, number, program, id=f"{docname}:{page.blocks[number].line}")
    for docname, page in PAGES.items()
    for number, program in enumerate(programs_of(page.blocks))
]
HEADER = re.compile(r"(?m)^# /// script$\s(^#(| .*)$\s)+^# ///$")  # PEP 723
GALLERY = HTML / "auto_examples" / "index.html"


@cache
def read(page):
    """A page of the site."""
    return BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def text_of(page):
    """The page's python blocks as they are shown, in order.

    Not those that need PyTorch, which `parity` runs, nor whole files that need a server, which `scale` runs.
    """
    return [block.get_text() for block in read(page).select("div.highlight-python:not(.recorded, .file) pre")]


def download_of(page):
    """The page as one script, where it is offered."""
    offered = [link["href"] for link in read(page).select(f'a[href$="/{page.rpartition("/")[2]}.py"][download]')]
    return (HTML / page).parent / offered[-1] if offered else None


def drawn_on(page, number):
    """What the figures of a block say to those who do not see them."""
    stem = f"{page.replace('/', '-')}-{number + 1}-"
    images = [each for each in read(page).select("img.drawn") if Path(each["src"]).name.startswith(stem)]
    return [" ".join(image["alt"].split()) for image in images]


def run(program, folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments, str(program)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def environment():
    """A reader's, without a display."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NCPS_MLX_CLAIMS")}
    return {**own, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"}


def outcome(code, folder):
    """What a program printed, and what its figures say; each lies beside it, and it says where."""
    folder.mkdir()
    program = folder / "copied.py"
    program.write_text(code, encoding="utf-8")
    done = run(program, folder, "-W", "error")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    figures = [Path(line.removeprefix("Saved ")) for line in lines if line.startswith("Saved ")]
    assert figures == sorted(folder.glob("copied_*.png"), key=lambda path: int(path.stem.rpartition("_")[2]))
    printed = [line.rstrip() for line in lines if not line.startswith("Saved ")]
    return "\n".join(printed).rstrip(), [" ".join(Image.open(path).info["Description"].split()) for path in figures]


def end_of(printed, shown):
    """As many lines as are shown, from the end."""
    return "\n".join(printed.splitlines()[-len(shown.splitlines()) :])


def problem_of(code, blocks, drawn, folder):
    """What is wrong with a copy of the last block, where the page shows that block's output and draws these figures.

    Digits may differ from those shown only where page or copy does not repeat its own: else the copy lacks something.
    """
    output = blocks[-1].output
    shown = "" if output is None else output.text.strip("\n").rstrip()
    page = "\n".join(block.code for block in blocks)
    page = with_figures(page) if drawn else page

    def end(program, name):
        printed, figures = outcome(program, folder / name)
        return end_of(printed, shown), figures

    given = end(code, "copy")
    if len(given[1]) != len(drawn):
        return f"{len(given[1])} figures, where the page shows {len(drawn)}"
    problem = None if output is None else output.contract.problem(shown, given[0])
    if problem is not None or given == (shown, drawn):
        return problem
    for again in range(3):  # a time may be the same twice
        printed, figures = end(page, f"page{again}")
        repeats = printed == shown and figures[len(figures) - len(drawn) :] == drawn
        if not repeats or end(code, f"copy{again}") != given:
            return None
    return "the page repeats what it shows, the copy does not: something is missing"


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
    assert len(PAGES) >= 40 and len(BLOCKS) >= 200
    assert len(SCRIPTS) >= 15
    assert len(NOTEBOOKS) > len(SCRIPTS)  # one for each script, and the whole session
    assert ARCHIVES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_as_one_script_runs_alone_and_leaves_its_figures(page, tmp_path):
    blocks = [block.code.strip() for block in PAGES[page].blocks]
    assert [text.strip() for text in text_of(page)] == blocks, "the site shows another state of the page: build it"
    offered = download_of(page)
    code = PAGES[page].program if offered is None else offered.read_text(encoding="utf-8")
    assert offered is None or (HEADER.match(code) and PAGES[page].program in code)
    figures = outcome(code, tmp_path / "empty")[1]
    drawn = [alt for number in range(len(blocks)) for alt in drawn_on(page, number)]
    assert len(figures) == (len(drawn) if offered is not None else 0)


@pytest.mark.parametrize(("page", "number", "copy"), BLOCKS)
def test_a_copied_block_runs_alone_and_prints_and_draws_what_the_page_shows(page, number, copy, tmp_path):
    offered = [each.get_text().strip() for each in read(page).select("pre.copied-program")]
    assert not copy.needed or copy.code.strip() in offered
    assert problem_of(copy.code, PAGES[page].blocks[: number + 1], drawn_on(page, number), tmp_path) is None


def test_a_copy_that_is_not_as_the_page_shows_is_seen(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text(PLANTED, encoding="utf-8")
    blocks, copies = parse_page(page).blocks, [copy.code for copy in programs_of(parse_page(page).blocks)]
    trained, timed = blocks[:2], blocks

    def problem(code, blocks, drawn=()):
        return problem_of(code, blocks, list(drawn), Path(tempfile.mkdtemp(dir=tmp_path)))

    assert problem(copies[1], trained) is None and problem(copies[2], timed) is None
    assert "missing" in problem("models = [0.0]\nprint(sum(models))\n", trained)  # right in form, but not trained
    assert "shown" in problem("print('other words', 4.5)", trained)
    assert "figures" in problem(copies[1], trained, drawn=["A curve."])
    with pytest.raises(AssertionError, match="NameError"):
        problem("print(sum(models))\n", trained)


PLANTED = """\
.. code-block:: python

   models = [0.0]
   models.append(4.5)

.. code-block:: python

   print(sum(models))

.. output:: shape

   4.5

.. code-block:: python

   import time
   print(time.perf_counter())

.. output:: shape

   0.1
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_downloaded_script_runs_alone(script, tmp_path):
    program = tmp_path / script.name
    program.write_bytes(script.read_bytes())
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    left = sorted(path for path in tmp_path.iterdir() if path != program)  # its figures, and nothing else
    assert left and all(path.match(f"{script.stem}_*.png") for path in left)
    assert all(f"Saved {path}" in done.stdout for path in left)


def test_a_script_runs_by_the_commands_of_the_gallery(tmp_path):
    index = BeautifulSoup(GALLERY.read_text(encoding="utf-8"), "html.parser")
    commands = "".join(block.get_text() for block in index.select("div.highlight-console pre"))
    build, start = [line.removeprefix("$ ") for line in commands.splitlines() if line.startswith("$ ")]
    assert build == "uv build --wheel"  # as this session has built one
    installed = json.loads(importlib.metadata.distribution("ncps-mlx").read_text("direct_url.json"))
    wheel = Path(unquote(urlsplit(installed["url"]).path))
    (tmp_path / "dist").mkdir()
    shutil.copy2(wheel, tmp_path / "dist")
    uv, *arguments = start.split()
    (script,) = [each for each in SCRIPTS if each.name == arguments[-1]]
    shutil.copy2(script, tmp_path)
    command = [Path(sys.executable).with_name(uv), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = sorted(tmp_path.glob("*.png"))
    assert figures and all(f"Saved {path}" in done.stdout for path in figures)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_downloaded_notebook_says_what_it_needs_holds_its_outputs_and_runs(notebook, tmp_path):
    content = nbformat.read(notebook, as_version=4)
    received = [cell for cell in content.cells if cell.cell_type == "code"]
    assert '%pip install -q ".[guide]"' in received[0].source
    shown = [bool(cell.outputs) for cell in received]
    inline = {name: value for name, value in environment().items() if name != "MPLBACKEND"}
    NotebookClient(content, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute(env=inline)
    given = [[output for output in cell.outputs if output.get("name") != "stderr"] for cell in received]
    assert any(shown) and shown == list(map(bool, given))


def test_archives_hold_what_is_offered_alone():
    single = {path.name: path.read_bytes() for path in [*SCRIPTS, *NOTEBOOKS]}
    for archive in ARCHIVES:
        with zipfile.ZipFile(archive) as zipped:
            assert zipped.testzip() is None and zipped.namelist()
            assert all(zipped.read(name) == single[name] for name in zipped.namelist())
