"""What the record of an LTC of ncps says, which the guide cites."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from scipy import stats as reference

from docs.evidence import ncps_ltc_table


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ncps_ltc_table.RECORD.read_text(encoding="utf-8").splitlines()]


def test_every_form_was_trained_alike() -> None:
    trained = {(row["form"], row["learning_rate"], row["seed"], row["data"]) for row in rows()}
    forms, rates, seeds = ({row[key] for row in rows()} for key in ("form", "learning_rate", "seed"))
    assert len(trained) == len(rows()) == len(forms) * len(rates) * len(seeds) == 3 * 2 * 4
    assert len({(row["seed"], row["data"]) for row in rows()}) == len(seeds)  # each seed its own draw, for all forms
    assert len({json.dumps(row["versions"]) for row in rows()}) == 1


@pytest.mark.parametrize("form", ["gaps", "mixed memory"])
def test_what_is_cited_follows_from_the_record(form: str) -> None:
    tested: dict[str, dict[int, float]] = {}
    for name in (form, "no time"):
        means: dict[float, list[float]] = {}
        for row in rows():
            if row["form"] == name:
                means.setdefault(row["learning_rate"], []).append(row["scores"]["validation"])
        best = min(means, key=lambda rate: sum(means[rate]))
        tested[name] = {
            row["seed"]: row["scores"]["test"] for row in rows() if (row["form"], row["learning_rate"]) == (name, best)
        }
    differences = [tested[form][seed] - tested["no time"][seed] for seed in range(4)]
    low, high = reference.ttest_1samp(differences, 0).confidence_interval(0.95)
    said = [float(each) for each in re.findall(r"-?[\d.]+", ncps_ltc_table.minus_no_time(form))]
    assert said == pytest.approx([sum(differences) / 4, low, high], abs=0.06)


def test_it_reads_hardly_any_time_unless_it_has_a_mixed_memory() -> None:
    plain, mixed = (
        float(ncps_ltc_table.minus_no_time(form).split()[0]) for form in ("gaps", "mixed memory")
    )
    assert -1.5 < plain < 0.5 and mixed < -3
