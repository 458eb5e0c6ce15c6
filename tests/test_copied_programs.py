"""What a copy button gives: each block with what it needs, and no more."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

from copied_programs import programs_of
from pageblocks import Block, parse_page
from pagerun import pages_of

PAGES = pages_of()


def code_of(*blocks: str) -> str:
    """The program of the last block."""
    return programs_of([Block(line=1, code=block) for block in blocks])[-1].code


def test_imports_come_by_name_and_what_only_prints_stays_out() -> None:
    first = "import numpy as np\nfrom ncps_mlx import CfC, LTC, fit\n\nx = np.ones(3)\nprint(x)\nassert x.sum() == 3"
    assert code_of(first, "model = CfC(3)") == "from ncps_mlx import CfC\n\nmodel = CfC(3)"
    assert code_of(first, "print(x)") == "import numpy as np\n\nx = np.ones(3)\n\nprint(x)"


@pytest.mark.parametrize(
    "change",
    ["fit(models, task)", "history = fit(models, task)", "models.append(3)", "models[0] = 3", "models.rate = 3",
     "for each in range(2):\n    models.append(each)", "fit([models], task)", "models += [3]"],
)  # fmt: skip
def test_what_changes_a_needed_object_comes_along(change: str) -> None:
    before = "from ncps_mlx import fit\nmodels = []\ntask = None\nother = 2"
    assert change in code_of(before, change, "print(models)")
    assert "other" not in code_of(before, change, "print(models)")


@pytest.mark.parametrize(
    "harmless",
    ["print(models)", "figure = plots.lines(models)", "assert len(models) == 0", "batch = np.array(models.x)",
     "score = sum(each for each in models)"],
)  # fmt: skip
def test_what_only_reads_a_needed_object_stays_out(harmless: str) -> None:
    before = "import numpy as np\nfrom ncps_mlx import plots\nmodels = []"
    assert harmless not in code_of(before, harmless, "print(len(models))")


def test_only_the_last_of_several_meanings_of_a_name_is_kept() -> None:
    code = code_of("task = 1", "task = 2", "other = task", "print(other)")
    assert code == "task = 2\nother = task\n\nprint(other)"
    assert code_of("task = 1", "task = task + 1", "print(task)") == "task = 1\ntask = task + 1\n\nprint(task)"


def test_what_a_function_reads_is_needed_and_its_own_names_are_not() -> None:
    before = "scale = 2\nx = 9\ndef double(x, *more, by=scale):\n    y = x * factor\n    return y + by"
    code = code_of("factor = 3", before, "print(double(1))")
    assert "factor = 3" in code and "scale = 2" in code and "x = 9" not in code


def test_comments_above_a_statement_come_with_it() -> None:
    assert "# why\nx = 1" in code_of("y = 0\n# why\nx = 1", "print(x)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_program_of_a_page_compiles_and_reads_no_name_that_it_lacks(page: Path) -> None:
    blocks = parse_page(page).blocks
    for block, program in zip(blocks, programs_of(blocks), strict=True):
        assert program.code.removesuffix("\nplots.show()\n").endswith(block.code)
        assert not undefined(program.code), (page.name, undefined(program.code), program.code)


def undefined(code: str) -> set[str]:
    """Names that are read but bound nowhere in a program."""
    tree = ast.parse(code)
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound - set(dir(builtins)) - {"__file__"}
