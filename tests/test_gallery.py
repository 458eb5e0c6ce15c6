"""Gallery scripts: they run for readers as they are, have the form of CONTRIBUTING.md, and say what the record says."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from gallery_figures import ORDER
from guide_pages import program_of
from ncps_mlx._evidence.build_check import VARIABLE, checked_parts
from ncps_mlx._evidence.record import Record, read_compared, read_record, record_folder
from ncps_mlx._evidence.verdicts import claim_verdict, read_verdicts, write_verdicts
from pageblocks import parse_page

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "gallery").glob("plot_*.py"))
PARTS = ("**Question.**", "**Short answer.**", "**Cost.**", "The task", "What varies", "The sweep", "What happened",
         "How sure we are", "What to do", "When this fails")  # fmt: skip
HEADER = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")  # PEP 723
CHECK = re.compile(r'claims\.check\(\s*"([^"]+)"((?:[^()]|\([^()]*\))*)\)')
VERDICT = re.compile(r"\*([^*]+)\*: ([a-z ]+) in short trainings, ([a-z ]+) in long ones")
OWN_MATTER = "plot_imitation"  # an experiment of its own, for which there is no claim

project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
needed = [*project["dependencies"], *project["optional-dependencies"]["guide"]]
GIVEN = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in needed}
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


@pytest.fixture(scope="module")
def record() -> Record:
    return read_record()


def imports(script):
    """Each import as its module and what is taken from it."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@each_script
def test_a_script_imports_public_names_and_what_the_extra_guide_installs(script):
    for module, name in imports(script):
        package = module.partition(".")[0]
        if package == "ncps_mlx":
            held = pkgutil.resolve_name(f"{module}.{name}")  # a public module, or a public name of one
            public = inspect.ismodule(held) or name in importlib.import_module(module).__all__
            assert public and "_" not in module.removeprefix("ncps_mlx"), f"{module}.{name} is not public"
        elif package not in sys.stdlib_module_names:
            assert package in GIVEN, f"the extra guide does not install {package}"


@each_script
def test_a_script_says_in_its_header_what_to_install(script):
    text = script.read_text(encoding="utf-8")
    (header,) = HEADER.finditer(text)
    assert header["type"] == "script" and header.start() == 0, "above the docstring, where the page does not show it"
    content = "".join(line.removeprefix("#").removeprefix(" ") for line in header["content"].splitlines(keepends=True))
    assert tomllib.loads(content) == {
        "requires-python": project["requires-python"],
        "dependencies": [f"{project['name']}[guide]"],
    }


@each_script
def test_a_script_has_the_parts_of_every_script_in_their_order(script):
    text = script.read_text(encoding="utf-8")
    places = [text.find(part) for part in PARTS]
    assert -1 not in places, f"missing: {PARTS[places.index(-1)]}"
    assert places == sorted(places)


@each_script
def test_a_script_shows_no_progress_and_ends_by_showing_its_figures(script):
    text = script.read_text(encoding="utf-8")
    assert text.endswith("\nplots.show()\n")
    assert not re.search(r"progress=True|\.run\(\)", text)


@each_script
def test_what_a_script_says_of_claims_is_the_records_verdict(script, record):
    answer = " ".join(ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))).split())
    said = VERDICT.findall(answer)
    by_statement = {" ".join(claim.statement.rstrip(".").split()): claim for claim in record.registry.values()}
    for statement, *verdicts in said:
        claim = by_statement[statement]
        assert verdicts == [claim_verdict(claim, record.verdicts, budget) for budget in ("short", "long")], statement
    compared = read_compared(record_folder(), record).registry
    named = {name for name, _ in CHECK.findall(script.read_text(encoding="utf-8")) if name not in compared}
    assert said or not named, "the short answer gives the verdict of a claim"


@each_script
def test_a_script_trains_a_claim_and_compares_it_with_the_record(script, record):
    found = CHECK.findall(script.read_text(encoding="utf-8"))
    trained = [name for name, arguments in found if "seeds=None" not in arguments]
    if script.stem == OWN_MATTER:
        assert not found
    else:
        registry = {**record.registry, **read_compared(record_folder(), record).registry}
        assert trained
        assert all(checked_parts(registry[name], record.pools) for name in trained)


def test_every_pool_of_trained_models_has_a_script(record):
    names = {name for script in SCRIPTS for name, _ in CHECK.findall(script.read_text(encoding="utf-8"))}
    registry = {**record.registry, **read_compared(record_folder(), record).registry}
    shown = {part.pool for name in names for part in registry[name].parts}
    seconds = {"timing", "failures", "grid"}  # what steps cost, and where trainings break: no scores of levels
    assert {name for name, pool in record.pools.items() if pool.design not in seconds} <= shown


def test_the_gallery_has_a_place_for_every_script():
    assert sorted(ORDER) == [script.stem.removeprefix("plot_") for script in SCRIPTS]
    assert ORDER[0] == "learning_rate"


def test_a_page_as_a_script_says_what_it_needs_and_leaves_its_figures(tmp_path):
    def script(*lines, after=""):
        page = tmp_path / "page.rst"
        page.write_text("\n".join([".. code-block:: python", "", *(f"   {line}" for line in lines), "", after]))
        return program_of(parse_page(page))

    drawn = script("from ncps_mlx import plots", "figure = plots.sweep(rows, 'mode')", after=".. drawn::\n")
    assert HEADER.match(drawn)["content"] == HEADER.match(SCRIPTS[0].read_text(encoding="utf-8"))["content"]
    assert drawn.endswith("import plots\nfigure = plots.sweep(rows, 'mode')\n\nplots.show()\n")
    alone = script("plt.plot(x)", after=".. drawn::\n")
    assert alone.endswith("plt.plot(x)\n\nfrom ncps_mlx import plots\n\nplots.show()\n")
    assert script("print(1)").endswith("# ///\n\nprint(1)\n")


def test_a_script_fails_where_the_record_says_otherwise(tmp_path, monkeypatch):
    docs = tmp_path / "docs"
    shutil.copytree(record_folder(), docs, ignore=shutil.ignore_patterns("trials", "_*", "*.rst", "auto_examples"))
    path = docs / "evidence" / "verdicts.json"
    found = read_verdicts(path)
    for entry in found:
        if entry["id"] == "lr-critical":
            for task in entry["tasks"]:  # as if the worst rate had been the best
                task["pairs"] = [[seed, second, first] for seed, first, second in task["pairs"]]
    write_verdicts(path, found)
    monkeypatch.setattr("ncps_mlx._evidence.build_check.record_folder", lambda: docs)
    monkeypatch.setenv(VARIABLE, "require")
    with pytest.raises(AssertionError, match=r"lr-critical is not as recorded\.\nbest against worst rate, sunspots: "):
        runpy.run_path(str(ROOT / "gallery" / "plot_learning_rate.py"))
    plt.close("all")
