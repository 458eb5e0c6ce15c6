"""Programs beside pages that need what the build does not have (PyTorch, MLflow): shown with recorded outputs.

``docs/howto/NAME.py`` is a program in cells, each under a line ``# %% name``. ``NAME.txt`` beside it records what
each cell printed, with its contract, and the digest of the code that did. The build shows both and fails if the code
has changed since; the session `parity` runs the programs and compares.

From the command line, where the programs can run::

    python docs/_ext/recorded.py             # run all, compare with the records
    python docs/_ext/recorded.py --refresh   # run all, write the records (contracts are kept)
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from contracts import Contract, parse_contract
from digest import code_digest, digest_of
from pageblocks import Block, Page, Problem
from pagerun import ROOT, execute

__all__ = [
    "Entry",
    "Record",
    "cells_of",
    "check",
    "code_of",
    "imports",
    "programs",
    "read_record",
    "run",
    "shown_cells",
]

NAMED = {"ncps": "ncps", "torch": "torch", "mlflow-skinny": "mlflow"}
"""Packages whose versions a record names beside MLX's and NumPy's, and what a program imports that needs them."""

ENTRY = re.compile(
    r"^(?P<name>\S[^\n]*)\n\n\.\. output::(?P<contract>[^\n]*)\n(?:   :range:(?P<range>[^\n]*)\n)?"
    r"\n(?P<text>(?:(?:   [^\n]*)?\n)*)",
    re.MULTILINE,
)
SHOWN = re.compile(r"^ *\.\. recorded:: +(\S+\.py) +(\S+) *$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a cell printed, and how closely a run must repeat it.

    Args:
        name: The cell.
        contract: As written after ``.. output::``.
        range: As written after ``:range:``, or empty.
        text: What it printed.
    """

    name: str
    contract: str = ""
    range: str = ""
    text: str

    @property
    def promise(self) -> Contract:
        """The contract."""
        return parse_contract(self.contract, self.range or None)

    @property
    def directive(self) -> str:
        """The output as a page would write it."""
        options = f"   :range: {self.range}\n" if self.range else ""
        head = f".. output:: {self.contract}".rstrip()
        return f"{head}\n{options}\n{textwrap.indent(self.text, '   ')}\n"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a program printed, cell by cell.

    Args:
        code: Digest of the program.
        versions: What it ran with.
        entries: By the cells' names.
    """

    code: str
    versions: str
    entries: dict[str, Entry]

    @property
    def text(self) -> str:
        """The record as a file."""
        parts = [f"Printed by the code {self.code} with {self.versions}.\n"]
        return "\n".join(parts + [f"{entry.name}\n\n{entry.directive}" for entry in self.entries.values()])


def programs(root: Path = ROOT) -> list[Path]:
    """Return all such programs."""
    return sorted((root / "docs" / "howto").glob("*.py"))


def cells_of(program: Path) -> dict[str, Block]:
    """Return a program's cells by name; each must have one of its own."""
    text = program.read_text(encoding="utf-8")
    marks = list(re.finditer(r"^# %% (\S+)\n", text, re.MULTILINE))
    if not marks or len({mark[1] for mark in marks}) < len(marks):
        raise ValueError(f"{program.name} must have cells, each under a line '# %% name' of its own.")
    cells = {}
    for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)], strict=True):
        code = text[mark.end() : end].rstrip() + "\n"
        cells[mark[1]] = Block(line=text.count("\n", 0, mark.end()) + 1, code=code)
    return cells


def code_of(program: Path) -> str:
    """Return the digest of a program's code; comments and layout do not count."""
    return digest_of(*(f"{name} {code_digest(cell.code)}" for name, cell in cells_of(program).items()))


def read_record(program: Path) -> Record:
    """Return what is recorded of a program; nothing if it never ran."""
    path = program.with_suffix(".txt")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    head = re.match(r"Printed by the code (\w+) with (.*)\.\n", text)
    entries = {
        found["name"]: Entry(
            name=found["name"],
            contract=found["contract"].strip(),
            range=(found["range"] or "").strip(),
            text=textwrap.dedent(found["text"]).strip("\n"),
        )
        for found in ENTRY.finditer(text)
    }
    return Record(code=head[1] if head else "", versions=head[2] if head else "", entries=entries)


def run(program: Path, root: Path = ROOT) -> tuple[dict[str, str], list[Problem]]:
    """Run a program in an empty folder.

    Returns:
        What each cell printed, and what went wrong.
    """
    cells = cells_of(program)
    name = program.relative_to(root).as_posix()
    page = Page(path=program, name=name, text="", blocks=tuple(cells.values()))
    with tempfile.TemporaryDirectory(prefix="recorded-") as scratch:
        # Of networks this small, more threads than one make PyTorch several times slower.
        results, problems = execute(page, Path(scratch), OMP_NUM_THREADS="1")
    return {cell: result["printed"] for cell, result in zip(cells, results, strict=False)}, problems


def check(program: Path, printed: dict[str, str], root: Path = ROOT) -> list[Problem]:
    """Return where the record differs from what the cells printed."""
    record = read_record(program)
    name = program.with_suffix(".txt").relative_to(root).as_posix()
    messages = []
    if record.code != code_of(program):
        messages.append(f"{program.name} has changed since it was recorded")
    spoke = [cell for cell, text in printed.items() if text.strip()]
    if list(record.entries) != spoke:
        messages.append(f"output is recorded of {list(record.entries)}, printed by {spoke}")
    for cell in spoke:
        entry = record.entries.get(cell)
        wrong = None if entry is None else entry.promise.problem(entry.text, printed[cell])
        if wrong is not None:
            messages.append(f"{cell}: {wrong}")
    return [Problem(page=name, line=1, message=message) for message in messages]


def refresh(program: Path, printed: dict[str, str]) -> None:
    """Write the record; the contracts in it stay."""
    before = read_record(program).entries
    entries = {}
    for cell, text in printed.items():
        if text.strip():
            old = before.get(cell, Entry(name=cell, text=""))
            kept = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
            entries[cell] = Entry(name=cell, contract=old.contract, range=old.range, text=kept)
    record = Record(code=code_of(program), versions=versions(program), entries=entries)
    program.with_suffix(".txt").write_text(record.text, encoding="utf-8")


def versions(program: Path) -> str:
    """Return what a program runs with, in one line."""
    names = [name for name, module in NAMED.items() if imports(program, module)]
    named = [f"{name} {importlib.metadata.version(name).partition('+')[0]}" for name in [*names, "mlx", "numpy"]]
    return ", ".join([*named, f"Python {platform.python_version()}"])


def imports(program: Path, module: str) -> bool:
    """Return whether a program imports a module, or a part of it."""
    text = program.read_text(encoding="utf-8")
    return re.search(rf"^(import|from) {module}\b", text, re.MULTILINE) is not None


def shown_cells(page: Path) -> list[tuple[Path, str]]:
    """Return the cells that a page shows: program and name."""
    text = page.read_text(encoding="utf-8")
    return [(page.parent / program, cell) for program, cell in SHOWN.findall(text)]


def main() -> int:
    """Run the command line; return 1 if a record does not hold."""
    parser = argparse.ArgumentParser(
        description="Run the programs beside pages and compare with their records."
    )
    parser.add_argument("programs", nargs="*", type=Path, help="programs (default: all)")
    parser.add_argument("--refresh", action="store_true", help="write what the cells printed")
    options = parser.parse_args()
    problems = []
    for program in [path.resolve() for path in options.programs] or programs():
        printed, wrong = run(program)
        if options.refresh and not wrong:
            refresh(program, printed)
        wrong = wrong or check(program, printed)
        print(f"{program.name}: {len(printed)} cells, {len(wrong)} problems")
        problems += wrong
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
