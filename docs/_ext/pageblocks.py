"""A page as a program: its python blocks in order, each with the output and figures it shows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from sybil import Document, Region
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.rest.lexers import DirectiveLexer
from sybil.region import Lexeme

from contracts import Contract, parse_contract

__all__ = ["PYTHON", "Block", "Output", "Page", "Problem", "parse_page"]

PYTHON = ("python", "python3", "py")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong on a page, at a line of its source."""

    page: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Output:
    """An ``.. output::`` directive.

    Args:
        line: The directive's line, counted from 1.
        contract: How closely a run must repeat it.
        text: The output it shows.
        body: Where its body lies in the page's text, for rewriting.
        indent: Blanks before the directive.
    """

    line: int
    contract: Contract
    text: str
    body: tuple[int, int]
    indent: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """A python block.

    Args:
        line: The line of its first line of code, counted from 1.
        code: What it runs.
        output: The output shown right after it, if any.
        drawn: Lines of the ``.. drawn::`` directives after it.
    """

    line: int
    code: str
    output: Output | None = None
    drawn: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A parsed page.

    Args:
        path: The file.
        name: How problems call it (relative to the project where it lies inside).
        text: Its source.
        blocks: Its python blocks.
        problems: What its author got wrong in the directives.
    """

    path: Path
    name: str
    text: str
    blocks: tuple[Block, ...]
    problems: tuple[Problem, ...] = field(default=())

    @property
    def program(self) -> str:
        """The blocks as one program, as a reader would paste them."""
        return "\n\n".join(block.code.strip("\n") for block in self.blocks) + "\n"

    def refreshed(self, printed: list[str]) -> str:
        """Return the page's text with each shown output replaced by what its block printed."""
        text = self.text
        for block, new in reversed(list(zip(self.blocks, printed, strict=True))):
            if block.output is None:
                continue
            start, end = block.output.body
            lines = "\n".join(line.rstrip() for line in new.strip("\n").splitlines())
            body = "\n" + textwrap.indent(lines, block.output.indent + "   ") + "\n"
            after = text[end:]
            if after and not after.startswith("\n"):
                body += "\n"
            text = text[:start] + body + after
        return text


def _source_line(text: str, region: Region) -> int:
    source = region.lexemes["source"]
    assert isinstance(source, Lexeme)
    return text.count("\n", 0, region.start + source.offset) + 1


def _regions(document: Document) -> list[tuple[str, Region]]:
    """The page's directives (or fences) that concern us, in order."""
    if Path(document.path).suffix == ".md":
        return [("code", region) for region in FencedCodeBlockLexer("|".join(PYTHON))(document)]
    found = [("code", region) for region in DirectiveLexer("code-block|code|sourcecode")(document)]
    found = [(name, r) for name, r in found if (r.lexemes["arguments"] or "").strip().lower() in PYTHON]
    for name in ("output", "drawn"):
        found += [(name, region) for region in DirectiveLexer(name)(document)]
    return sorted(found, key=lambda item: item[1].start)


def parse_page(path: Path, name: str | None = None) -> Page:
    """Read a page (reStructuredText, or Markdown with python fences) into its blocks."""
    text = path.read_text(encoding="utf-8")
    name = name or path.name
    document = Document(text, str(path))
    blocks: list[Block] = []
    problems: list[Problem] = []
    for kind, region in _regions(document):
        line = text.count("\n", 0, region.start) + 1
        if kind == "code":
            blocks.append(
                Block(line=_source_line(text, region), code=region.lexemes["source"].rstrip() + "\n")
            )
            continue
        try:
            if not blocks:
                raise ValueError(f"{kind} must follow a python block, got none before it.")
            last = blocks[-1]
            if kind == "drawn":
                blocks[-1] = Block(
                    line=last.line, code=last.code, output=last.output, drawn=(*last.drawn, line)
                )
                continue
            if last.output is not None:
                raise ValueError("output must follow its own python block, got two for one block.")
            output = _output(text, region, line)
            blocks[-1] = Block(line=last.line, code=last.code, output=output, drawn=last.drawn)
        except ValueError as error:
            problems.append(Problem(page=name, line=line, message=str(error)))
    return Page(path=path, name=name, text=text, blocks=tuple(blocks), problems=tuple(problems))


def _output(text: str, region: Region, line: int) -> Output:
    """Build an Output from its region; the lexer ends the region where the indentation does."""
    options = region.lexemes["options"]
    contract = parse_contract(region.lexemes["arguments"] or "", options.get("range"))
    header = 1 + len(options)
    start = region.start
    for _ in range(header):
        start = text.index("\n", start) + 1
    first = text[region.start : text.index("\n", region.start)]
    indent = first[: len(first) - len(first.lstrip())]
    source = region.lexemes["source"]
    return Output(
        line=line, contract=contract, text=source, body=(start, max(start, region.end)), indent=indent
    )
