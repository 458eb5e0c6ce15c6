"""Words of the record: what a page says of a claim is what the verdicts hold."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from docs.evidence import says
from docs.evidence.claims_table import record

ENTRIES = [entry for entry in record().verdicts if entry["pooled"] is not None]
SIGNED = re.compile(r"(-?[\d.]+)(?: %| \S.*?)? \[(-?[\d.]+), (-?[\d.]+)\]")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['id']}-{entry['budget']}-{entry['part']}")
def test_every_measured_effect_can_be_said_and_its_mean_lies_in_its_interval(entry: dict[str, Any]) -> None:
    for text in (says.pooled_of(entry), *(says.effect_of(entry, task) for task in entry["tasks"])):
        found = SIGNED.match(text)
        if found is None:
            assert entry["statistic"] in ("failures", "spikes"), text
            continue
        mean, low, high = map(float, found.groups())
        assert low <= mean <= high, text


@pytest.mark.parametrize(
    ("values", "words", "said"),
    [
        ((0.52, 0.11, 0.93), ("better", "worse"), "0.5 mg/dl better [0.1, 0.9]"),
        ((-0.52, -0.93, -0.11), ("better", "worse"), "0.5 mg/dl worse [0.1, 0.9]"),
        ((-0.52, -1.21, 0.17), ("larger", "smaller"), "0.5 mg/dl smaller [-0.2, 1.2]"),
        ((-0.004, -0.52, 0.51), ("better", "worse"), "0.0 mg/dl [-0.5, 0.5]"),
    ],
)
def test_a_sign_is_said_as_a_word(values: tuple[float, ...], words: tuple[str, str], said: str) -> None:
    assert says._said(values, "mg/dl", words, 10) == said


def test_one_is_said_of_one() -> None:
    assert says._said((1.2, -3.1, 5.4), "points", ("better", "worse"), 10) == "1 point better [-3, 5]"


def test_runs_without_a_difference_are_said_to_be_equal() -> None:
    assert says._said((0.5, 0.5, 0.5), "mg/dl", ("better", "worse"), 10) == "0.500 mg/dl better (all 10 equal)"


def test_what_is_said_by_itself_on_each_task_is_so_of_all_tasks() -> None:
    entry = says.entry_of("resource-small", "long")
    each = [float(says.effect_of(entry, task).split()[0]) for task in entry["tasks"]]
    assert min(each) < float(says.pooled_of(entry).split()[0]) < max(each)
    assert " % [" in says.pooled_of(says.entry_of("start-defaults", "long"))


def test_a_ratio_is_said_as_times_of_the_second_side() -> None:
    task = {"effect": 2.0, "low": 1.0, "high": 3.0, "delta": math.log(1.15), "task": "xor", "unit": "s", "pairs": []}
    assert says.effect_of({"statistic": "step time", "ratio": 1.15}, task) == "1.32 times [1.15, 1.52]"


def test_a_proportion_stays_within_its_scale() -> None:
    for level in ("h4", "h128"):
        ((low, high),) = re.findall(r"\[([\d.]+), ([\d.]+)\]", says.score("width", level, "vowels", "long"))
        assert 0 <= float(low) < float(high) <= 100


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: says.verdict("no-such-claim", "long"), "a claim must be one of"),
        (lambda: says.effect("hidden-size-cost", "long", "vowels"), "must rest on 'vowels'"),
        (lambda: says.effect("hidden-size-cost", "long", "xor", "no such part"), "must have the part"),
    ],
)
def test_what_the_record_does_not_hold_is_refused(asked, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        asked()


def test_a_claim_says_why_it_is_refuted() -> None:
    refuted = [name for name in record().registry if says.verdict(name, "long") == "refuted"]
    reasons = {says.reason(name, "long") for name in refuted if says.claim_named(name).parts}
    assert reasons <= {"no difference that matters", "the other way round"}
    assert says.reason("time-scale-crucial", "short") == ""


def test_a_parts_name_may_hold_commas() -> None:
    part = "score, 8 against 128, equal updates"
    whole = says.effect("batch-both", "long", "glucose", part)
    assert says.effect("batch-both", "long", "glucose", *part.split(", ")) == whole
    assert says.pairs("batch-both", "long", *part.split(", ")) == says.pairs("batch-both", "long")
