"""The changelog of advice: a change is told once, with what it was before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.advice import MATERIAL, add_advice, news, read_advice
from ncps_mlx._evidence.record import read_record
from ncps_mlx._evidence.verdicts import NOT_MEASURED, claim_verdict
from tests.evidence_pool import CLAIMS, write_docs

DOCS = Path(__file__).parents[1] / "docs"


def entry(part: str = "test", verdict: str = "open", pooled: float | None = 0.2, **more: Any) -> dict[str, Any]:
    about = {"id": "wider", "budget": "short", "finding": "open", "low": -1.0, "high": 2.0, "reported": False}
    return about | {"part": part, "verdict": verdict, "pooled": pooled} | more


def told(*found: list[dict[str, Any]], reasons: tuple[str, ...] = ("", "", "")) -> list[dict[str, Any]]:
    """What several computations of the verdicts, one after the other, write."""
    lines: list[dict[str, Any]] = []
    for each, reason in zip(found, reasons, strict=False):
        lines += news(lines, each, "2026-12-24", {"wider": reason})
    return lines


def test_a_change_is_told_once() -> None:
    (line,) = told([entry()], [entry()])
    assert (line["before"], line["after"]) == (NOT_MEASURED, "open")
    assert line["parts"] == [
        {"part": "test", "before": None,
         "after": {"verdict": "open", "finding": "open", "pooled": 0.2, "low": -1.0, "high": 2.0}},
    ]  # fmt: skip
    refuted = entry(verdict="refuted", finding="negligible")
    _, line = told([entry()], [refuted], [refuted])
    assert (line["date"], line["before"], line["after"]) == ("2026-12-24", "open", "refuted")
    assert line["parts"][0]["before"]["finding"] == "open" and line["parts"][0]["after"]["finding"] == "negligible"


def test_small_steps_of_an_effect_are_told_where_they_add_up() -> None:
    step = 0.6 * MATERIAL
    lines = told([entry()], [entry(pooled=0.2 + step)], [entry(pooled=0.2 + 2 * step)])
    assert [line["parts"][0]["after"]["pooled"] for line in lines] == [0.2, 0.2 + 2 * step]


def test_what_is_not_measured_is_no_news() -> None:
    empty = entry(verdict=NOT_MEASURED, pooled=None, finding=None)
    assert told([empty]) == []
    lines = told([entry()], [empty])
    assert lines[1]["after"] == NOT_MEASURED


def test_a_part_that_is_new_or_gone_is_told_and_what_the_claim_comes_to() -> None:
    both = [entry(), entry("few", "refuted", finding="negligible")]
    lines = told([entry()], both, [entry()])
    assert [(line["before"], line["after"]) for line in lines[1:]] == [("open", "refuted"), ("refuted", "open")]
    assert [part["part"] for part in lines[1]["parts"]] == ["few"] and lines[2]["parts"][0]["after"] is None
    (gone,) = news(lines, [], "2026-12-24", {})
    assert gone["after"] == NOT_MEASURED and gone["parts"][0]["part"] == "test"


def test_a_reason_of_the_registry_is_told_with_one_change() -> None:
    changes = [entry()], [entry(verdict="refuted")], [entry(verdict="supported")]
    lines = told(*changes, reasons=("", "Rates went on.", "Rates went on."))
    assert [line["reason"] for line in lines] == ["", "Rates went on.", ""]


@pytest.mark.slow
def test_the_command_tells_a_planted_change_and_then_nothing(tmp_path: Path) -> None:
    docs = write_docs(tmp_path / "docs")
    path = docs / "evidence" / "advice.jsonl"
    assert main(["tiny", "--budget", "short", "--docs", str(docs)]) == 0
    (first,) = read_advice(path)
    assert first["id"] == "wider" and first["budget"] == "short"
    changed = CLAIMS.replace("sines = 0.02", "sines = 2000.0")  # then no difference matters
    reason = 'kind = "measured"\nchanged = "δ was too small."'
    (docs / "claims.toml").write_text(changed.replace('kind = "measured"', reason))
    assert main(["--docs", str(docs)]) == 0
    _, second = read_advice(path)
    assert (second["after"], second["reason"]) == ("refuted", "δ was too small.")
    assert second["parts"][0]["after"]["finding"] == "negligible"
    assert main(["--docs", str(docs)]) == 0
    assert read_advice(path) == [first, second]


def test_the_changelog_ends_in_the_recorded_verdicts() -> None:
    record = read_record(DOCS)
    lines = read_advice(DOCS / "evidence" / "advice.jsonl")
    assert news(lines, record.verdicts, "2026-12-24", {}) == []
    last = {(line["id"], line["budget"]): line["after"] for line in lines}
    for (name, budget), after in last.items():
        if name in record.registry and budget is not None:
            assert after == claim_verdict(record.registry[name], record.verdicts, budget)


def test_entries_are_added_behind_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "advice.jsonl"
    one, other = told([entry()], [entry(verdict="refuted")])
    for line in (one, other):
        add_advice(path, [line])
    add_advice(path, [])
    assert read_advice(path) == [one, other]
