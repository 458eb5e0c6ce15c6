"""What a copy button gives: a block of a page with the earlier statements that it needs, as one program that runs.

A page is one program, so a block alone would miss its imports and data. Backwards from the block, an earlier statement
is kept if it makes a name that is needed, or calls or assigns something on an object that is (``fit(models, task)``
changes ``models``). What only prints, draws or asserts is left out. Imports come first, only the names that are used.
"""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Program", "programs_of"]

BUILTINS = frozenset(dir(builtins))
PURE_MODULES = ("np", "mx", "plots", "stats", "math", "plt")
"""Modules whose functions change none of their arguments."""
PURE_METHODS = ("baselines", "items", "keys", "values", "mean", "sum", "min", "max", "std", "tolist", "join", "format")
"""Methods that do not change their object."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A block with what it needs.

    Attributes:
        code: The whole program: imports, what is needed, the block.
        needed: How many lines come before the block's own.
    """

    code: str
    needed: int


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of a page at the top level.

    Attributes:
        node: Its syntax tree.
        code: Its source with the comments above it.
        makes: Names that it binds.
        changes: Names of objects that it may change: it calls them or with them, or assigns to a part of them.
        needs: Names that it reads.
    """

    node: ast.stmt
    code: str
    makes: frozenset[str]
    changes: frozenset[str]
    needs: frozenset[str]

    @property
    def is_import(self) -> bool:
        """Whether it only imports."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))


def programs_of(blocks: Sequence[str]) -> list[Program]:
    """The program of each block of a page."""
    parsed = [list(_statements(block)) for block in blocks]
    found = []
    for number, block in enumerate(blocks):
        earlier = [statement for each in parsed[:number] for statement in each]
        found.append(_program(earlier, parsed[number], block))
    return found


def _program(earlier: Sequence[Statement], own: Sequence[Statement], block: str) -> Program:
    needed = _missing(own)
    kept: list[Statement] = []
    for statement in reversed(earlier):
        if statement.is_import:
            continue  # chosen by name below
        if statement.makes & needed or statement.changes & needed:
            kept.append(statement)
            if isinstance(statement.node, (ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)):
                needed -= statement.makes
            needed |= statement.needs
    kept.reverse()
    used = needed.union(*(statement.needs for statement in kept))
    imports = _imports([each for each in earlier if each.is_import], used)
    future = [line for line in imports if line.startswith("from __future__")]
    parts = [*future, *(line for line in imports if line not in future)]
    before = "\n".join(parts) + ("\n\n" if parts and kept else "\n" if parts else "")
    before += "\n".join(statement.code for statement in kept)
    before = f"{before.rstrip()}\n\n" if before.strip() else ""
    return Program(code=before + block, needed=len([line for line in before.splitlines() if line.strip()]))


def _missing(statements: Iterable[Statement]) -> set[str]:
    """Names that statements read before they make them."""
    made: set[str] = set()
    missing: set[str] = set()
    for statement in statements:
        missing |= statement.needs - made
        made |= statement.makes
    return missing


def _statements(block: str) -> Iterator[Statement]:
    lines, last = block.splitlines(), 0
    for node in ast.parse(block).body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        start = first
        while start > last and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        end = node.end_lineno or node.lineno
        names = _Names()
        names.visit(node)
        yield Statement(
            node=node,
            code="\n".join(lines[start:end]),
            makes=frozenset(names.made),
            changes=frozenset(names.changed),
            needs=frozenset(names.read - BUILTINS),
        )
        last = end


@dataclass
class _Names(ast.NodeVisitor):
    """Collects the names of a statement; those that are bound within functions and comprehensions stay inside."""

    made: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)

    def visit_Name(self, node: ast.Name) -> None:
        """A name that is read or bound."""
        (self.read if isinstance(node.ctx, ast.Load) else self.made).add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Reads what it binds."""
        self.generic_visit(node)
        self.read |= {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)}
        self._change(node.target)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Assigning to a part of an object changes it."""
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self._change(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Assigning to an element likewise."""
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self._change(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        """A call may change its object and its arguments."""
        self.generic_visit(node)
        function, root = node.func, node.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in (*PURE_MODULES, *BUILTINS, "display"):
            return
        if isinstance(function, ast.Attribute) and function.attr not in PURE_METHODS:
            self._change(function.value)
        for argument in [*node.args, *(each.value for each in node.keywords)]:
            if not isinstance(argument, (ast.Attribute, ast.Subscript)):  # a part, such as task.train.x, is only read
                self._change(argument)

    def visit_Import(self, node: ast.Import) -> None:
        """Binds the name of the package, or the alias."""
        self.made |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Binds its names."""
        self.made |= {alias.asname or alias.name for alias in node.names}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Binds its name; reads what is free in it when it is called, which is later."""
        self._nested(node, [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)])
        self.made.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Reads what is free in it."""
        self._nested(node, [*node.args.defaults, *filter(None, node.args.kw_defaults)])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Binds its name; reads its bases and what is free in its body."""
        inner = _Names()
        for each in node.body:
            inner.visit(each)
        for expression in [*node.bases, *(word.value for word in node.keywords), *node.decorator_list]:
            self.visit(expression)
        self.read |= inner.read - inner.made
        self.made.add(node.name)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Its target stays inside: see :meth:`generic_visit`."""
        self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit the parts; what a comprehension binds does not leave it."""
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            inner = _Names()
            super(_Names, inner).generic_visit(node)
            self.read |= inner.read - inner.made
            self.changed |= inner.changed - inner.made
            return
        super().generic_visit(node)

    def _nested(self, node: ast.FunctionDef | ast.Lambda, outside: Sequence[ast.expr]) -> None:
        inner = _Names()
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        inner.made |= {each.arg for each in named if each is not None}
        body: list[ast.stmt] | list[ast.expr] = node.body if isinstance(node, ast.FunctionDef) else [node.body]
        for part in body:
            inner.visit(part)
        self.read |= inner.read - inner.made
        for expression in outside:
            self.visit(expression)

    def _change(self, node: ast.expr) -> None:
        """The object whose part it is."""
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.value
        if isinstance(node, ast.Name):
            self.changed.add(node.id)
        elif isinstance(node, (ast.List, ast.Tuple)):
            for each in node.elts:
                self._change(each)


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
