"""The pages on claims: every claim is on them, and everything that they ask the record for is there."""

from __future__ import annotations

import re

import pytest

import evidence_pages
from docs.evidence import claims_table
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.verdicts import NOT_MEASURED

EVIDENCE = claims_table.DOCS / "evidence"
SIMULATED = ("error_rates", "false_")  # seconds each, and tested below in a few draws


def test_every_claim_has_its_section_and_its_verdicts() -> None:
    page = (EVIDENCE / "claims.rst").read_text()
    shown = re.findall(r"^\.\. evidence:: claims_table\.detail, (.+)$", page, re.MULTILINE)
    assert shown == list(dict.fromkeys(claim.section for claim in claims_table.record().registry.values()))
    details = "\n".join(claims_table.detail(section) for section in shown)
    overview = claims_table.overview()
    for claim in claims_table.record().registry.values():
        assert f".. _claim-{claim.id}:" in details and f"<claim-{claim.id}>`" in overview
        assert claim.statement in details.replace("\\", "")
    for entry in claims_table.record().verdicts:
        assert claims_table.marked(entry["verdict"]) in details and entry["part"] in details.replace("\\", "")
        for task in entry["tasks"]:
            ratio = entry["ratio"]
            effect = f"{ratio ** task['effect']:.3g}" if ratio else f"{task['effect']:+.1f}"
            assert f"{task['task']} {effect} [" in details
            assert not ratio or f"{ratio ** task['high']:.3g}] times" in details


def test_counts_are_of_all_measured_claims() -> None:
    head, *rows = claims_table.counts()
    claims = [claim for claim in claims_table.record().registry.values() if claim.parts]
    entries = [entry for entry in claims_table.record().verdicts if not entry["reported"]]
    wanted = [len(claims)] * 2 + [sum(entry["budget"] == budget for entry in entries) for budget in BUDGETS]
    assert [sum(int(row[column]) for row in rows) for column in range(1, len(head))] == wanted
    assert rows[-1][0] == NOT_MEASURED


@pytest.mark.parametrize("page", ["claims", "rule"])
def test_everything_that_a_page_asks_the_record_for_is_there(page: str) -> None:
    asked = re.findall(r"claims_table\.[\w, -]+\w", (EVIDENCE / f"{page}.rst").read_text())
    assert asked
    for each in asked:
        if not each.partition(".")[2].startswith(SIMULATED):
            found = evidence_pages.call(each)
            assert found and (isinstance(found, str) or len({len(row) for row in found}) == 1)
        assert callable(getattr(claims_table, each.partition(".")[2].partition(",")[0]))


def test_errors_are_simulated_by_the_rule_itself() -> None:
    head, *rows = claims_table.error_rates("20")
    assert len(head) == 5 and [row[0] for row in rows] == ["1 δ", "2 δ", "3 δ"]
    assert rows[0][1].split(" / ")[2] == "1.00" and rows[0][4].split(" / ")[0] == "1.00"
    for row in rows:
        for cell in row[1:]:
            assert sum(map(float, cell.split(" / "))) == pytest.approx(1, abs=0.03)
    expected, _, count = claims_table._expected("short", 0.0, ("larger", "smaller"), repeats=3).partition(" of ")
    measured = [entry for entry in claims_table.record().verdicts if entry["tasks"] and not entry["reported"]]
    assert int(count) == sum(entry["budget"] == "short" for entry in measured)
    assert float(expected) < int(count) / 5


def test_text_is_no_markup() -> None:
    assert claims_table.plain("no_gate is 2* `faster` |x|") == r"no\_gate is 2\* \`faster\` \|x\|"
    with pytest.raises(ValueError, match="section must have claims, got 'hiden-size'"):
        claims_table.detail("hiden-size")
