"""What pages say of forms of LTC, of solver steps and of the best level is what claims hold of the same."""

from __future__ import annotations

from docs.evidence import levels, ltc_forms, says, unfolds
from ncps_mlx import plots


def test_the_best_level_is_the_one_a_claim_takes() -> None:
    for task in says.entry_of("lr-critical", "long")["tasks"]:
        ((chosen, _),) = task["levels"]["first"]
        assert levels.best("rate", task["task"], "long") == chosen


def test_unfolds_are_said_in_the_tasks_unit() -> None:
    assert " mg/dl " in unfolds.six_against_two("glucose", "long")
    assert " sunspots " in unfolds.six_against_two("sunspots", "short")


def test_forms_of_ltc_are_tabled_and_drawn_from_one_claim() -> None:
    head, *rows = ltc_forms.gains("long")
    assert head == ["", "XOR", "glucose", "sines", "CO₂"] and len(rows) == len(ltc_forms.FORMS)
    assert rows[3][2] == says.effect("ltc-tanh", "long", "glucose", ltc_forms.FORMS["mixed memory"])
    figure = ltc_forms.figure()
    assert len(plots.numbers(figure)["summary"]) == 4 * 2 * len(ltc_forms.DRAWN)
    assert "glucose: as it is" in plots.alt_text(figure)
