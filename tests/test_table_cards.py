"""Tables on a narrow screen: every cell says which column it is of."""

from __future__ import annotations

import io

import pytest
from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

PAGE = """
Page
====

.. list-table::
   :header-rows: 1

   * - Task
     - Long & < short
     - *Effect*
   * - XOR, the parity of a stream of bits
     - 92 % of the streams
     -

.. list-table::
   :header-rows: 1

   * - You have
     - Look at
   * - a knob of which you want to know the range
     - its page, which has the default too

.. list-table::
   :header-rows: 1

   * - Task
     - Score
     - δ
   * - XOR
     - accuracy
     - 0.05

.. list-table::
   :header-rows: 1
   :class: compact

   * - Task
     - long
     - short
   * - XOR, the parity of a stream of bits
     - 1.2 points better [0.3, 2.1]
     - 2

====  ====  =============================================
spans       one
----------  ---------------------------------------------
a     b     what is long enough to be a card on a phone
====  ====  =============================================
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Tag]:
    folder = tmp_path_factory.mktemp("cards")
    (folder / "conf.py").write_text('extensions = ["table_cards"]\nhtml_theme = "basic"\n')
    (folder / "index.rst").write_text(PAGE)
    Sphinx(
        srcdir=folder, confdir=folder, outdir=folder / "html", doctreedir=folder / "trees", buildername="html",
        status=None, warning=io.StringIO(), freshenv=True,
    ).build()  # fmt: skip
    return BeautifulSoup((folder / "html" / "index.html").read_text(), "html.parser").select("table")


def test_a_cell_says_its_column_as_it_is_written(tables: list[Tag]) -> None:
    cells = tables[0].select("tbody td")
    assert "cards" in tables[0]["class"]
    assert [cell.get("data-label") for cell in cells] == [None, "Long & < short", "Effect"]
    assert [cell.get_text() for cell in cells] == ["XOR, the parity of a stream of bits", "92 % of the streams", ""]
    assert not tables[0].select("thead [data-label]")


def test_of_two_columns_the_first_names_the_second(tables: list[Tag]) -> None:
    assert "cards" in tables[1]["class"] and not tables[1].select("[data-label]")


@pytest.mark.parametrize("place", [2, 3, 4])
def test_a_narrow_table_a_compact_one_and_one_that_spans_stay_tables(tables: list[Tag], place: int) -> None:
    assert "cards" not in tables[place]["class"] and not tables[place].select("[data-label]")
