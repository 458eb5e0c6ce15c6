"""The pages on all claims: every claim is on them, and everything that they ask the record for is there."""

from __future__ import annotations

import re

import pytest

import evidence_pages
from docs.evidence import claim_list, claims_json, claims_table, says
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.verdicts import NOT_MEASURED

EVIDENCE = claims_table.DOCS / "evidence"
SIMULATED = ("error_rates", "false_")  # seconds each, and tested below in a few draws


def test_the_table_has_every_claim_once_with_the_effect_that_decides_it() -> None:
    rows = claim_list.rows()
    assert [row.claim.id for row in rows] == list(claims_table.record().registry)
    for row in rows:
        entry = claim_list.deciding(row.claim, "long")
        if entry is None or entry["pooled"] is None:
            assert row.effect == ""
            continue
        assert entry["verdict"] == says.verdict(row.claim.id, "long") and not entry["reported"]
        assert row.effect.replace(" δ ", " ") == says.pooled_of(entry) and row.part == entry["part"]


def test_the_bar_holds_each_measured_claim_once() -> None:
    for budget in BUDGETS:
        html = claim_list.bar(budget)
        shown, drawn = (list(map(int, re.findall(mark, html))) for mark in (r"<b>(\d+)</b>", r"flex-grow: (\d+)"))
        assert shown == drawn and sum(shown) == int(claims_table.number("measured"))
        assert int(claims_table.counts()[1][1 + BUDGETS.index(budget)]) == shown[0]
    assert sum(shown) + int(claims_table.not_measured()) == int(claims_table.number("claims"))


def test_counts_are_of_all_measured_claims() -> None:
    head, *rows = claims_table.counts()
    claims = [claim for claim in claims_table.record().registry.values() if claim.parts]
    entries = [entry for entry in claims_table.record().verdicts if not entry["reported"]]
    wanted = [len(claims)] * 2 + [sum(entry["budget"] == budget for entry in entries) for budget in BUDGETS]
    assert [sum(int(row[column]) for row in rows) for column in range(1, len(head))] == wanted
    assert rows[-1][0] == NOT_MEASURED


@pytest.mark.parametrize("page", ["claims", "rule", "advice"])
def test_everything_that_a_page_asks_the_record_for_is_there(page: str) -> None:
    text = (EVIDENCE / f"{page}.rst").read_text()
    asked = re.findall(r"(?:evidence:: |:result:`)([^`\n]+)", text)
    assert asked
    for each in asked:
        where, _, function = each.partition(",")[0].rpartition(".")
        if not function.startswith(SIMULATED):
            found = evidence_pages.call(each)
            assert found and (isinstance(found, str) or len({len(row) for row in found}) == 1)
        assert callable(getattr(evidence_pages.module(where), function))


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


KEYS = {
    "": ["format", "about", "claims"],
    "claim": ["id", "section", "statement", "kind", "note", "verdicts", "check", "parts"],
    "part": ["name", "pool", "statistic", "direction", "first", "second", "counts", "ratio", "results"],
    "result": ["verdict", "finding", "pooled", "low", "high", "reason", "tasks"],
    "task": ["unit", "delta", "effect", "low", "high", "lost", "probability", "levels", "pairs"],
}
"""Of format 1 of claims.json. What is taken away, or means something else, is another format."""


def test_claims_json_keeps_its_format_and_holds_texts_and_verdicts() -> None:
    document = claims_json.document()
    assert document["format"] == 1 and list(document) == KEYS[""]
    registry, entries = claims_table.record().registry, 0
    assert [claim["id"] for claim in document["claims"]] == list(registry)
    for claim in document["claims"]:
        assert list(claim) == KEYS["claim"] and claim["statement"] == registry[claim["id"]].statement
        assert claim["verdicts"] == {budget: says.verdict(claim["id"], budget) for budget in BUDGETS}
        entries += claim["check"] is not None
        for part in claim["parts"]:
            assert list(part) == KEYS["part"]
            for budget, result in part["results"].items():
                entries += 1
                entry = says.entry_of(claim["id"], budget, part["name"])
                assert list(result) == KEYS["result"] and result["verdict"] == entry["verdict"]
                assert [task["pairs"] for task in result["tasks"].values()] == [t["pairs"] for t in entry["tasks"]]
                assert all(list(task) == KEYS["task"] for task in result["tasks"].values())
    assert entries == len(claims_table.record().verdicts)
