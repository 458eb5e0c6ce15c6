"""The statements of a page: which names and files each of them makes, reads and changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from page_names import BUILTINS, FILE, TEXT, KnownNames, Names

__all__ = ["Statement", "statements_of"]

REFUSALS = frozenset(["ValueError", "TypeError"])
"""What catches one of these shows an error, which comes before anything changes."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of a page at the top level.

    Attributes:
        node: Its syntax tree.
        code: Its source with the comments above it.
        makes: Names that it may bind.
        binds: Those that it binds for sure; what they meant before is gone.
        changes: Names of objects, and files, that it may change.
        needs: Names, and files, that it reads.
    """

    node: ast.stmt
    code: str
    makes: frozenset[str]
    binds: frozenset[str]
    changes: frozenset[str]
    needs: frozenset[str]

    @property
    def is_import(self) -> bool:
        """Whether it only imports."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))


def statements_of(blocks: Sequence[str]) -> list[list[Statement]]:
    """The statements of each block of a page."""
    page = KnownNames()
    return [list(_statements(block, page)) for block in blocks]


def _statements(block: str, page: KnownNames) -> Iterator[Statement]:
    lines, last = block.splitlines(), 0
    for node in ast.parse(block).body:
        start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        while start > last and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        last = node.end_lineno or node.lineno
        names = Names(page)
        names.visit(node)
        changed = names.changed.union(*(page.files.get(name, frozenset()) for name in names.changed))
        written = frozenset(name for name in changed if FILE.fullmatch(name))
        page.files |= dict.fromkeys(names.made, written)
        page.files |= {name: frozenset(names.files - {name}) for name in written if TEXT.search(name)}
        yield Statement(
            node=node,
            code="\n".join(lines[start:last]),
            makes=frozenset(names.made),
            binds=frozenset(names.bound),
            changes=frozenset() if isinstance(node, ast.Assert) or _shows_error(node) else frozenset(changed),
            needs=frozenset((names.read - BUILTINS) | names.files),
        )


def _shows_error(node: ast.stmt) -> bool:
    handlers = node.handlers if isinstance(node, ast.Try) else []
    caught = [each for handler in handlers if handler.type for each in ast.walk(handler.type)]
    return any(isinstance(each, ast.Name) and each.id in REFUSALS for each in caught)
