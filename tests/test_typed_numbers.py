"""Measured numbers are computed: what counts as prose, and what as a number that is typed into it."""

from __future__ import annotations

import pytest

from typed_numbers import typed_numbers

PAGE = """Title
=====

Dropout of ``0.1`` brings :result:`says.effect, dropout-start, long, glucose`, found in 2021 on CO2.

.. code-block:: python

   print(37)

.. output:: range
   :range: 1 2

   38

.. answer::

   :Start with: ``32``
   :Effect: {effect}

.. evidence:: sensitivity.knob, h32

   A caption with {caption}.

1. An enumerated item, of Python's ``3.11``; see `that page <https://example.org/12>`_.
"""


def test_settings_results_code_and_years_pass() -> None:
    assert typed_numbers(PAGE.format(effect="none", caption="dots")) == []


@pytest.mark.parametrize("typed", ["0.5", "-3", "1e-3", "12,000", "99", "3.4"])
def test_a_number_in_a_field_or_a_caption_is_found_at_its_line(typed: str) -> None:
    found = typed_numbers(PAGE.format(effect=f"{typed} better", caption=f"{typed} dots"))
    assert found == [(18, typed), (22, typed)]


def test_markdown_is_read_as_markdown() -> None:
    text = "# Head\n\n```python\nx = 3\n```\n\n`hidden_size=3` and [a link](page-4.html) of 2026 cost 5 s.\n"
    assert typed_numbers(text, markdown=True) == [(7, "5")]
