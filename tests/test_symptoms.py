"""The pages of symptoms: their records are whole, their causes stand in measured order, their cures are asserted."""

from __future__ import annotations

import ast
import builtins
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from docs.evidence import symptoms, symptoms_runs, symptoms_table
from ncps_mlx import CfC, stats
from ncps_mlx.data import irregular_sines
from pageblocks import parse_page

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "symptoms"
PAGES = sorted(path for path in FOLDER.glob("*.rst") if path.stem != "index")
NAMES = {
    "nan", "flat", "collapse", "overfits", "dropout-does-nothing", "saturated-gates", "time-unit", "gaps-ignored",
    "depth-hurts", "ltc", "slow-sweep", "not-reproducible",
}  # fmt: skip
MOST_LINES = 15


def test_every_symptom_has_its_page() -> None:
    assert {page.stem for page in PAGES} == NAMES
    tree = (FOLDER / "index.rst").read_text(encoding="utf-8")
    landing = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"<reproduce-{name}>`" in tree, name
        assert f"      :link: reproduce-{name}\n      :link-type: ref\n" in landing, name
        page = (FOLDER / f"{name}.rst").read_text(encoding="utf-8")
        assert f".. _reproduce-{name}:\n\nReproduce it\n------------\n" in page, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_reproduces_at_once_and_asserts_its_cure(page: Path) -> None:
    first, *later = parse_page(page).blocks
    assert len(first.code.splitlines()) <= MOST_LINES
    tree = ast.parse(first.code)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | {*dir(builtins)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef):
            bound |= {node.name, *(argument.arg for argument in node.args.args)}
            bound |= {node.args.kwarg.arg} if node.args.kwarg else set()
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    assert {node.id for node in names if isinstance(node.ctx, ast.Load)} <= bound
    asserted = [node for block in later for node in ast.walk(ast.parse(block.code)) if isinstance(node, ast.Assert)]
    assert asserted
    assert not any(isinstance(node.test, ast.Constant) for node in asserted)
    text = page.read_text(encoding="utf-8")
    assert f".. evidence:: symptoms_table.causes, {page.stem}\n" in text
    assert re.search(r"^What does not help\n-+$", text, re.MULTILINE)


def test_the_record_of_trainings_is_whole_and_sorted() -> None:
    lines = symptoms.RECORD.read_text(encoding="utf-8").splitlines()
    about, *rows = map(json.loads, lines)
    assert set(about) == {"about"}
    wanted = [(each.change, each.task, each.model, seed) for each in symptoms.plan() for seed in symptoms.SEEDS]
    assert [(row["change"], row["task"], row["model"], row["seed"]) for row in rows] == wanted
    assert [json.dumps(row, sort_keys=True) for row in (about, *rows)] == lines


def test_the_record_of_runs_is_whole() -> None:
    about, *rows = map(json.loads, symptoms_runs.RECORD.read_text(encoding="utf-8").splitlines())
    assert set(about) == {"about"}
    wanted = [(name, number) for name in symptoms_runs.CIRCUMSTANCES for number in range(symptoms_runs.ROUNDS)]
    assert [(row["circumstance"], row["round"]) for row in rows] == wanted
    assert all(len(row["scores"]) == symptoms_runs.MEMBERS and row["seconds"] > 0 for row in rows)


def test_a_training_of_the_record_comes_out_again() -> None:
    population = symptoms.Population(change="20 steps", task="glucose", model="CfC")
    trainings = symptoms_table.trainings("20 steps", model="CfC")
    recorded = [row["best"] for row in trainings if row["task"] == "glucose"]
    again = [row["best"] for row in symptoms.train(population)]
    np.testing.assert_allclose(again, recorded, rtol=1e-3)  # machines differ in the last digits


def test_a_healthy_training_shows_no_fault() -> None:
    for name in ("nan", "flat", "collapse", "saturated-gates"):
        assert symptoms_table.counted(name, [symptoms.HEALTHY]).mean == 0, name


def test_the_gates_of_a_cfc_are_those_it_computes_with() -> None:
    """With its gates at 1 a CfC would return tanh g: the states that follow from the gates are the model's own."""
    split = irregular_sines(20, 10, 10, readings=5).train
    model = CfC(1, 4, backbone_units=8, seed=0)
    assert symptoms.share_of_still_gates(model, split) == 0.0
    net = model.layers[0].backbone
    net.biases[-1] = net.biases[-1] + 1000.0 * np.repeat([0.0, 1.0], [12, 4])  # of the last head, b
    assert symptoms.share_of_still_gates(model, split) == 1.0


def test_causes_stand_in_measured_order_with_check_and_cure() -> None:
    pages = tomllib.loads(symptoms_table.PAGES.read_text(encoding="utf-8"))
    assert set(pages) == {*NAMES, "ltc-unstable"}
    for name, about in pages.items():
        sizes = [size for _, size, _ in symptoms_table.ordered(name)]
        assert sizes == sorted(sizes, reverse=True)
        assert len(about["causes"]) >= 2
        shown = symptoms_table.causes(name)
        assert shown.count("*Check:*") == shown.count("*Cure:*") >= 1
        heads = [f"**{cause}:**" for cause, *_ in symptoms_table.ordered(name)]
        places = [shown.index(head) for head in heads if head in shown]
        assert places == sorted(places)


def test_a_share_that_is_negative_is_said_as_its_opposite() -> None:
    found = stats.Interval(mean=0.15, low=0.07, high=0.23, n=10, confidence=0.95)
    said = symptoms_table.of_the_gain(found, "comes back", "is lost").replace(symptoms_table.NARROW, " ")
    assert said == "15 % [7, 23] of the gain comes back"
    said = symptoms_table.of_the_gain(symptoms_table.negative(found), "comes back", "is lost")
    assert said.replace(symptoms_table.NARROW, " ") == "another 15 % [7, 23] of the gain is lost"


def test_the_first_cause_begins_small_unless_it_is_a_name() -> None:
    for page in symptoms_table.pages():
        word = symptoms_table.first(page).split()[0]
        assert word[0].islower() or any(letter.isupper() for letter in word[1:])


def test_counts_are_said_with_as_many_digits_as_tell_them_from_none_and_all() -> None:
    def said(seen: int, of: int) -> str:
        return symptoms_table.count(stats.failure_rate([True] * seen + [False] * (of - seen))).replace("\u00a0", " ")

    assert said(0, 1780) == "none of 1780 trainings (at most 0.2 %)"
    assert said(0, 20_000) == "none of 20000 trainings (at most 0.02 %)"
    assert said(60, 60) == "all 60 trainings (at least 94 %)"
    assert said(16, 40) == "16 of 40 trainings (26 to 55 %)"
    assert said(1, 80) == "1 of 80 trainings (0.2 to 7 %)" and said(39, 40) == "39 of 40 trainings (87 to 99.6 %)"


def test_what_is_asked_for_wrongly_is_refused() -> None:
    with pytest.raises(ValueError, match="change must be one of"):
        symptoms_table.share("nan", "no such change")
    with pytest.raises(ValueError, match="circumstance must be one of"):
        symptoms_table.times("no such circumstance")
    with pytest.raises(ValueError, match="page must be one of"):
        symptoms_table.first("no such page")
