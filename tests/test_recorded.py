"""Programs with recorded outputs: run by cells, compared by contract, refreshed, stale when their code changes."""

from __future__ import annotations

from pathlib import Path

import pytest

import recorded
from pagerun import ROOT

PROGRAM = '''"""Two cells."""

# %% draw
import os

value = 0.25
print("drawn", value)

# %% quiet
value += 1

# %% show
print("sum", value)
print(os.environ["OMP_NUM_THREADS"], "thread")
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "docs" / "howto" / "drawing.py"
    path.parent.mkdir(parents=True)
    path.write_text(PROGRAM)
    return path


def problems(program: Path) -> list[str]:
    root = program.parents[2]
    printed, wrong = recorded.run(program, root)
    return [str(problem) for problem in wrong or recorded.check(program, printed, root)]


def refresh(program: Path) -> None:
    recorded.refresh(program, recorded.run(program, program.parents[2])[0])


def test_cells_share_names_and_start_where_they_stand(program: Path) -> None:
    printed, wrong = recorded.run(program, program.parents[2])
    assert not wrong
    assert printed == {"draw": "drawn 0.25\n", "quiet": "", "show": "sum 1.25\n1 thread\n"}
    assert [cell.line for cell in recorded.cells_of(program).values()] == [4, 10, 13]


def test_a_record_holds_what_was_printed(program: Path) -> None:
    assert problems(program)[0].startswith("docs/howto/drawing.txt:1: drawing.py has changed since")
    refresh(program)
    assert problems(program) == []
    record = recorded.read_record(program)
    assert list(record.entries) == ["draw", "show"]
    assert record.entries["show"].text == "sum 1.25\n1 thread"
    assert "mlx" in record.versions
    assert record.text == program.with_suffix(".txt").read_text()


def test_contracts_decide_and_stay(program: Path) -> None:
    refresh(program)
    record = program.with_suffix(".txt")
    record.write_text(record.read_text().replace("drawn 0.25", "drawn 0.26"))
    assert problems(program) == ["docs/howto/drawing.txt:1: draw: shown 'drawn 0.26', printed 'drawn 0.25'"]
    loose = "draw\n\n.. output:: range\n   :range: 0 1\n"
    record.write_text(record.read_text().replace("draw\n\n.. output::\n", loose))
    assert problems(program) == []
    refresh(program)
    assert loose + "\n   drawn 0.25\n" in record.read_text()


def test_changed_code_is_stale_and_comments_are_not(program: Path) -> None:
    refresh(program)
    program.write_text(PROGRAM.replace("value += 1\n", "value += 1  # one more\n"))
    assert recorded.read_record(program).code == recorded.code_of(program)
    program.write_text(PROGRAM.replace("value += 1\n", "value += 2 - 1\n"))
    assert recorded.read_record(program).code != recorded.code_of(program)
    assert problems(program) == ["docs/howto/drawing.txt:1: drawing.py has changed since it was recorded"]


def test_an_output_more_or_less_is_a_problem(program: Path) -> None:
    refresh(program)
    record = program.with_suffix(".txt")
    record.write_text(record.read_text().partition("\nshow\n")[0])
    assert "output is recorded of ['draw'], printed by ['draw', 'show']" in problems(program)[0]


def test_an_error_names_its_line(program: Path) -> None:
    program.write_text(PROGRAM.replace("value += 1", "value += one"))
    assert problems(program)[0].startswith("docs/howto/drawing.py:10: NameError: name 'one'")


@pytest.mark.parametrize("text", ["print(1)\n", "# %% a\n1\n# %% a\n2\n"])
def test_cells_need_names_of_their_own(program: Path, text: str) -> None:
    program.write_text(text)
    with pytest.raises(ValueError, match=r"drawing\.py must have cells"):
        recorded.cells_of(program)


def test_every_program_is_recorded_and_shown() -> None:
    pages = sorted((ROOT / "docs" / "howto").glob("*.rst"))
    shown = [cell for page in pages for cell in recorded.shown_cells(page)]
    assert len(shown) == len(set(shown))
    assert recorded.programs()
    for program in recorded.programs():
        assert recorded.read_record(program).code == recorded.code_of(program), f"{program.name} is stale"
        assert {cell for path, cell in shown if path == program} == set(recorded.cells_of(program))
