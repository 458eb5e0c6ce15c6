"""One style sheet: rules for what no page holds are left out, and every other one stays, in its order."""

from __future__ import annotations

import pytest

from stylesheet import classes_in, one_sheet

USED = {"card", "shown"}


@pytest.mark.parametrize(
    ("sheet", "wanted"),
    [
        ("p  {  color : red ; }", "p{color : red;}"),
        (".card { a: b } .other { c: d }", ".card{a: b}"),
        (".card .other, .card > p { a: b }", ".card > p{a: b}"),
        (".card:not(.other) { a: b }", ".card:not(.other){a: b}"),
        (".other .card { a: b }", ""),
        ("@media print { .other { a: b } .shown { c: d } }", "@media print {.shown{c: d}}"),
        ("@media print { .other { a: b } }", ""),
        ("@keyframes turn { to { a: b } }", "@keyframes turn {to{a: b}}"),
        ("/* a remark */ /*! a licence */ p { a: b }", "/*! a licence */p{a: b}"),
        ('.card::before { content: "; }" / "" }', '.card::before{content: "; }" / ""}'),
    ],
)
def test_what_is_used_stays(sheet: str, wanted: str) -> None:
    assert one_sheet([sheet], USED) == wanted


def test_sheets_keep_their_order() -> None:
    assert one_sheet(["p { a: 1 }", "p { a: 2 }"], set()) == "p{a: 1}p{a: 2}"


def test_a_rule_for_a_child_of_what_a_script_shows_stays() -> None:
    assert one_sheet(["body.shown > p { a: b }"], USED) == "body.shown > p{a: b}"


def test_classes_are_found_however_they_are_written() -> None:
    page = "<p class=\"a b\"><img class = \"c\" alt=\"\"><i class='d'><b class=\"\" data-class=\"e\">"
    assert {"a", "b", "c", "d"} <= classes_in(page)
