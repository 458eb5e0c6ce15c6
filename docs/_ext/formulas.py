"""Sphinx: formulas as MathML, written when the site is built, so that a page brings no script to show them.

Docutils converts them. What it cannot is a warning at the formula's line.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["mathml", "setup"]

logger = logging.getLogger(__name__)


def mathml(formula: str, *, is_block: bool = False) -> str:
    """A formula of LaTeX as MathML; lines that end in two backslashes are aligned at their ``&``.

    Raises:
        docutils.utils.math.MathError: Docutils does not know a command.
    """
    if r"\\" in formula and not re.match(r"\s*\\begin\{", formula):
        formula = rf"\begin{{aligned}}{formula}\end{{aligned}}"
    return str(latex2mathml.tex2mathml(formula, as_block=is_block))


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula within a sentence."""
    writer.body.append(_converted(node))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Write formulas of their own: parts between empty lines below each other, scrolling by themselves if too wide."""
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    writer.body.append(_converted(node))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def _converted(node: nodes.math | nodes.math_block) -> str:
    is_block = isinstance(node, nodes.math_block)
    parts = [part for part in re.split(r"\n\s*\n", node.astext()) if part.strip()]
    try:
        return "\n".join(mathml(part, is_block=is_block) for part in parts)
    except MathError as error:
        logger.warning("a formula cannot be written as MathML: %s", error, location=node)
        return ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
