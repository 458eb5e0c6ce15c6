"""Gallery scripts: what they import is there for readers, and they have the form that CONTRIBUTING.md gives them."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
from pathlib import Path

import pytest

from ncps_mlx._evidence.build_check import checked_parts
from ncps_mlx._evidence.record import read_record

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "gallery").glob("plot_*.py"))
PARTS = ("**Question.**", "**Short answer.**", "**Cost.**", "The task", "What varies", "The sweep", "What happened",
         "How sure we are", "What to do", "When this fails")  # fmt: skip

project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
needed = [*project["dependencies"], *project["optional-dependencies"]["guide"]]
GIVEN = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in needed}


def imports(script):
    """Each import as its module and what is taken from it."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_imports_public_names_and_what_the_extra_guide_installs(script):
    for module, name in imports(script):
        package = module.partition(".")[0]
        if package == "ncps_mlx":
            held = pkgutil.resolve_name(f"{module}.{name}")  # a public module, or a public name of one
            public = inspect.ismodule(held) or name in importlib.import_module(module).__all__
            assert public and "_" not in module.removeprefix("ncps_mlx"), f"{module}.{name} is not public"
        elif package not in sys.stdlib_module_names:
            assert package in GIVEN, f"the extra guide does not install {package}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_has_the_parts_of_every_script_in_their_order(script):
    text = script.read_text(encoding="utf-8")
    places = [text.find(part) for part in PARTS]
    assert -1 not in places, f"missing: {PARTS[places.index(-1)]}"
    assert places == sorted(places)


def test_claims_that_scripts_check_are_in_the_record():
    record = read_record()
    found = [each for script in SCRIPTS for each in re.findall(r'claims\.check\("([^"]+)"', script.read_text("utf-8"))]
    assert len(found) >= 3
    assert all(checked_parts(record.registry[each], record.pools) for each in found)
