"""No measured number is typed: finds digits in the prose of a page, which a change of the record would pass by.

What is a setting is a literal (``hidden_size=32``), what was measured is ``:result:``, what others measured is
``:published:``; code, outputs and directives' arguments are no prose. Years pass, and digits within a name (CO2, x86).
With pages as arguments it lists what it finds; as an extension of Sphinx it warns at the line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["setup", "typed_numbers"]

logger = logging.getLogger(__name__)

SILENT = (
    "code-block", "code", "sourcecode", "output", "recorded", "math", "raw", "toctree", "image", "autosummary",
    "autoclass", "autofunction", "automodule", "literalinclude", "include", "contents", "only", "highlight",
)  # fmt: skip
"""Directives whose content is no prose."""
DIRECTIVE = re.compile(r"(\s*)(?:- )?\.\. ([\w:-]+)::")
OPTION = re.compile(r"\s*:[\w-]+:(\s|$)")
INLINE = re.compile(
    r"``.+?``|\{[\w:-]+\}`[^`]+`|:[\w:-]+:`[^`]+`|`[^`]*<[^>]+>`__?|(?<=\])\([^)]*\)|`[^`]+`|<https?:[^>]+>"
    r"|https?:\S+|\|[^|\s]+\|",
    re.DOTALL,
)
"""What is no prose within a paragraph: literals, roles, targets of links."""
NUMBER = re.compile(r"(?<![\w.-])[-+−]?\d[\d.,]*(?:[eE]-?\d+)?")
YEAR = re.compile(r"(?:1[6-9]|20)\d\d[.,]?$")
ENUMERATOR = re.compile(r"\s*(?:\d+|#)\. ")
EXEMPT = ("api/", "auto_examples/", "notebooks/", "changelog", "contributing", "evidence/")
"""Documents that are not written by hand, or hold no advice: the tables of evidence/ are computed."""


def typed_numbers(text: str, *, markdown: bool = False) -> list[tuple[int, str]]:
    """The numbers that stand in prose, with their lines, counted from 1."""
    prose = "\n".join(_prose_markdown(text) if markdown else _prose(text))
    blanked = INLINE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), prose)
    return [
        (number, found[0])
        for number, line in enumerate(blanked.splitlines(), start=1)
        for found in NUMBER.finditer(ENUMERATOR.sub(" ", line, count=1))
        if not YEAR.match(found[0])
    ]


def _prose(text: str) -> Iterator[str]:
    """The lines of a page in reStructuredText; what is no prose is empty."""
    silent: int | None = None  # the indent of what is skipped
    options = False
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if silent is not None and line.strip() and indent <= silent:
            silent = None
        if silent is not None:
            yield ""
            continue
        directive = DIRECTIVE.match(line)
        if directive:
            options = True
            if directive[2] in SILENT:
                silent = len(directive[1])
            yield ""
        elif line.lstrip().startswith(".. "):
            silent = indent  # a target or a comment
            yield ""
        elif options and OPTION.match(line):
            yield ""
        else:
            options = False
            if line.rstrip().endswith("::"):
                silent = indent
            yield line


def _prose_markdown(text: str) -> Iterator[str]:
    """The lines of a page in Markdown; what is no prose is empty."""
    fence = ""
    for line in text.splitlines():
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and not fence:
            fence = mark[1]
            yield ""
        elif fence:
            if line.strip().startswith(fence):
                fence = ""
            yield ""
        else:
            yield re.sub(r"<[^>]+>", lambda found: " " * len(found[0]), re.sub(r"`[^`]+`", "", line))


def warn(app: Sphinx, docname: str, source: list[str]) -> None:
    """Warn of each number that is typed into a page's prose."""
    if docname.startswith(EXEMPT):
        return
    path = Path(app.env.doc2path(docname))
    for line, number in typed_numbers(source[0], markdown=path.suffix == ".md"):
        logger.warning("%s", _message(number), location=f"{path}:{line}")


def _message(number: str) -> str:
    return (
        f"{number} is typed into the prose: a measured number is :result:, a setting a literal, a published one"
        " :published:, a small count a word"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", warn, priority=100)  # before other extensions add text
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main() -> int:
    """List what pages hold; 1 if they hold any."""
    found = [
        f"{page}:{line}: {_message(number)}"
        for page in map(Path, sys.argv[1:])
        for line, number in typed_numbers(page.read_text(encoding="utf-8"), markdown=page.suffix == ".md")
    ]
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
