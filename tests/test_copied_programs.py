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
     "score = sum(each for each in models)", "study = Study(None, models)", "y = evaluate(models, 1)",
     "assert fit(models)", "try:\n    fit(models, -1)\nexcept ValueError as error:\n    print(error)"],
)  # fmt: skip
def test_what_only_reads_a_needed_object_stays_out(harmless: str) -> None:
    before = "import numpy as np\nfrom ncps_mlx import Study, evaluate, fit, plots\nmodels = []"
    assert harmless not in code_of(before, harmless, "print(len(models))")


def test_only_the_last_of_several_meanings_of_a_name_is_kept() -> None:
    code = code_of("task = 1", "task = 2", "other = task", "print(other)")
    assert code == "task = 2\nother = task\n\nprint(other)"
    assert code_of("task = 1", "task = task + 1", "print(task)") == "task = 1\ntask = task + 1\n\nprint(task)"


def test_what_a_function_reads_is_needed_and_its_own_names_are_not() -> None:
    before = "scale = 2\nx = 9\ndef double(x, *more, by=scale):\n    y = x * factor\n    return y + by"
    code = code_of("factor = 3", before, "print(double(1))")
    assert "factor = 3" in code and "scale = 2" in code and "x = 9" not in code


@pytest.mark.parametrize(
    "function",
    ["def change(a, b):\n    fit(b, a)", "def change(a, b):\n    b.append(a)", "def change(*a):\n    models.append(a)"],
)
def test_what_a_function_of_the_page_changes_its_calls_change(function: str) -> None:
    before = "from ncps_mlx import fit\nmodels, task = [], []"
    assert "change(task, models)" in code_of(before, function, "change(task, models)", "print(models)")
    assert "change(task, models)" not in code_of(before, function, "change(task, models)", "print(task)")
    harmless = function.replace("fit(b, a)", "b = fit(CfC(), a)").replace("b.append(a)", "b = [a]")
    code = code_of(before, harmless, "change(task, models)", "print(models)")
    assert "models.append" in harmless or "change" not in code


def test_a_function_that_is_handed_on_may_be_called() -> None:
    before = "from ncps_mlx import fit\nseen, models = [], []"
    for watch in ("seen.append", "lambda each: seen.append(each)", "watch"):
        training = f"fit(models, on_evaluate={watch})"
        code = code_of(before, "def watch(each):\n    seen.append(each)", training, "print(seen)")
        assert "fit(models" in code, watch


def test_an_import_of_a_name_that_meant_something_else_stays_in_its_place() -> None:
    before = ["from ncps_mlx import save\nload = 2\nx = load + 1", "from ncps_mlx import fit, load"]
    assert code_of(*before, "fit(load(x))") == (
        "from ncps_mlx import fit\n\nload = 2\nx = load + 1\nfrom ncps_mlx import load\n\nfit(load(x))"
    )


def test_what_a_name_meant_when_a_function_is_called_is_needed() -> None:
    assert "factor = 3" in code_of("def double(x):\n    return x * factor", "factor = 3", "print(double(1))")


def test_what_a_loop_binds_itself_it_does_not_need() -> None:
    loop = "for x in range(3):\n    y = x\n    print(x, y)"
    assert code_of("x = 1\ny = 2", loop) == loop
    assert "y = 2" in code_of("y = 2", "for x in range(3):\n    print(y)\n    y = x")
    assert "y = 2" in code_of("y = 2", "if False:\n    y = 3\nprint(y)"), "it may not have been bound"
    assert "total = 0" in code_of("total = 0", "for x in range(3):\n    total += x")


def test_files_are_made_and_changed_as_objects_are() -> None:
    save, load = 'save(model, "net.safetensors")', 'again = load("net.safetensors")'
    before = "from ncps_mlx import CfC, Study, load, save\nmodel = CfC(1, 2)"
    assert save in code_of(before, save, load)
    assert load not in code_of(before, save, load, 'print(load("net.safetensors"))')
    study = 'study = Study("study.db", task)'
    code = code_of(before, "task = 1", study, "study.run()", 'print(Study.open("study.db"))')
    assert study in code and "study.run()" in code
    script = """Path("train.py").write_text('fit(model, checkpoint="run.safetensors")')"""
    start = 'killed = Popen(["train.py"])'
    code = code_of(before, script, start, "killed.kill()", 'fit(model, checkpoint="run.safetensors")')
    assert script in code and start in code and "killed.kill()" in code
    assert start not in code_of(before, script, start, 'print(Task(metric="train.py:cost"))')


def test_a_setting_of_a_module_comes_with_its_use() -> None:
    before = "import mlx.core as mx"
    assert "mx.random.seed(0)" in code_of(before, "mx.random.seed(0)", "print(mx.ones(3))")
    assert "mx.eval" not in code_of(before, "x = 1\nmx.eval(x)", "print(mx.ones(3))")


def test_a_block_that_draws_shows_its_figures() -> None:
    def last(*codes: str) -> str:
        return programs_of([Block(line=1, code=code, drawn=(2,)) for code in codes])[-1].code

    code = last("from ncps_mlx import plots", "plots.lines(x)\n")
    assert code == "from ncps_mlx import plots\n\nplots.lines(x)\n\nplots.show()\n"
    assert last("plt.plot(x)\n") == "plt.plot(x)\n\nfrom ncps_mlx import plots\n\nplots.show()\n"


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
