"""Formulas are written as MathML when the site is built; the build fails for one that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docutils.utils.math import MathError

from formulas import mathml

PAGES = sorted(Path(__file__).parents[1].glob("docs/*/*.rst"))


def test_every_formula_of_the_pages_becomes_mathml() -> None:
    found = [formula for page in PAGES for formula in re.findall(r":math:`([^`]+)`", page.read_text())]
    assert len(found) > 20
    for each in found:
        assert mathml(each).startswith("<math"), each


def test_lines_are_aligned_and_an_unknown_command_is_refused() -> None:
    assert mathml(r"a &= b \\ c &= d", is_block=True).count("<mtr>") == 2
    with pytest.raises(MathError):
        mathml(r"\nosuchcommand")
