"""What a copy button gives: a block of a page with the earlier statements that it needs, as one program that runs.

A page is one program, so a block alone would miss its imports and data. Backwards from the block, an earlier statement
is kept if it makes or changes something that is needed (``fit(models, task)`` changes ``models``). What only prints,
draws or asserts is left out. Imports come first, only the names that are used. A block that draws ends by showing its
figures.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from page_statements import Statement, statements_of
from pageblocks import Block

__all__ = ["Program", "programs_of", "with_figures"]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A block with what it needs.

    Attributes:
        code: The whole program: imports, what is needed, the block, the showing of its figures.
        needed: How many lines there are beside the block's own.
    """

    code: str
    needed: int


def programs_of(blocks: Sequence[Block]) -> list[Program]:
    """The program of each block of a page."""
    parsed = statements_of([block.code for block in blocks])
    found = []
    for number, block in enumerate(blocks):
        earlier = [statement for each in parsed[:number] for statement in each]
        found.append(_program(earlier, parsed[number], block))
    return found


def with_figures(code: str) -> str:
    """A program that draws, with an end that shows its figures: run as a file it would leave nothing to look at."""
    imports = any("plots" in statement.makes for statement in statements_of([code])[0])
    return code + ("\n" if imports else "\nfrom ncps_mlx import plots\n\n") + "plots.show()\n"


def _program(earlier: Sequence[Statement], own: Sequence[Statement], block: Block) -> Program:
    needed = _missing(own)
    kept: list[Statement] = []
    reused = frozenset().union(*(statement.makes for statement in earlier if not statement.is_import))
    for statement in reversed(earlier):
        if statement.is_import:  # chosen by name below, but for a name that also means something else on the page
            names = statement.binds & needed & reused
            if names:
                kept.append(replace(statement, code="\n".join(_imports([statement], names))))
            needed -= names
        elif statement.makes & needed or statement.changes & needed:
            kept.append(statement)
            needed -= statement.binds
            needed |= statement.needs
    kept.reverse()
    used = needed.union(*(statement.needs - reused for statement in kept))
    if block.drawn and not any("plots" in statement.makes for statement in own):
        used.add("plots")
    imports = _imports([each for each in earlier if each.is_import], used)
    future = [line for line in imports if line.startswith("from __future__")]
    parts = [*future, *(line for line in imports if line not in future)]
    before = "\n".join(parts) + ("\n\n" if parts and kept else "\n" if parts else "")
    before += "\n".join(statement.code for statement in kept)
    before = f"{before.rstrip()}\n\n" if before.strip() else ""
    code = before + block.code
    code = with_figures(code) if block.drawn else code
    return Program(code=code, needed=_line_count(code) - _line_count(block.code))


def _line_count(code: str) -> int:
    return sum(bool(line.strip()) for line in code.splitlines())


def _missing(statements: Iterable[Statement]) -> set[str]:
    """Names that statements read before they make them."""
    made: set[str] = set()
    missing: set[str] = set()
    for statement in statements:
        missing |= statement.needs - made
        made |= statement.binds
    return missing


def _imports(statements: Iterable[Statement], used: Iterable[str]) -> list[str]:
    """The imports that bind a name in use, each name once, those from one module as one."""
    used, plain, grouped = set(used), dict[str, None](), dict[str, list[str]]()
    for statement in statements:
        node = statement.node
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if bound not in used and not future:
                continue
            text = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
            if isinstance(node, ast.Import):
                plain[f"import {text}"] = None
            else:
                grouped.setdefault(f"{'.' * node.level}{node.module or ''}", []).append(text)
    lines = list(plain)
    for module, names in grouped.items():
        each = ", ".join(dict.fromkeys(names))
        line = f"from {module} import {each}"
        if len(line) > 76:
            body = textwrap.fill(each, 72, initial_indent="    ", subsequent_indent="    ")
            line = f"from {module} import (\n{body},\n)"
        lines.append(line)
    return lines
