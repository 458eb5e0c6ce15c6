"""The benchmark's verdict, and the page that shows its record: each missed Must, absent row and missed goal is seen."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evidence_pages
from docs.evidence import bench_table
from ncps_mlx import CfC, plots
from tests.bench import __main__ as bench
from tests.bench.compare import TOLERANCE, differences, train
from tests.bench.models import FORMS, MODELS, forms_of, words
from tests.bench.parent import Child, Children, Times, per_model, ratio
from tests.bench.peers import PEERS
from tests.bench.report import (
    NAMES,
    SITE,
    WANTED,
    Row,
    compared,
    failures,
    named,
    site_failures,
    site_json,
    site_table,
    table,
    wanted_of,
)
from tests.bench.site import CHANGES, PROSE, ROOT, Build, executed

EVIDENCE = Path(bench_table.__file__).parent
MACHINES = [str(i + 1) for i in range(len(bench_table.record()))]


def rows(**changed):
    ratios = {key: wanted.goal for key, wanted in WANTED.items()} | changed
    return [Row(key, 1.0, 2.0, ratio, (ratio, ratio)) for key, ratio in ratios.items()]


def test_goals_pass():
    assert failures(rows()) == []


@pytest.mark.parametrize("key", WANTED)
def test_a_missed_must_is_seen_on_either_side(key):
    wanted = WANTED[key]
    (message,) = failures(rows(**{key: wanted.must + (-0.01 if wanted.least else 0.01)}))
    assert message.startswith(f"{key}: the ratio is")
    assert message.endswith(f"it must be {'at least' if wanted.least else 'at most'} {wanted.must:g}.")
    assert failures(rows(**{key: wanted.must})) == []


@pytest.mark.parametrize("key", WANTED)
def test_an_absent_row_is_seen(key):
    (message,) = failures([row for row in rows() if row.key != key])
    assert message.startswith(f"{key}: not measured")


def test_every_row_is_in_the_table_with_its_verdict():
    low = {"jax small": 1.1, "jit small": 0.8}
    lines = table([*rows(**low), Row("lean small", 1.0, 2.0, 2.0), Row("memory", 1.0, None, 99.0)]).splitlines()[1:]
    assert [line.split("  ")[0] for line in lines[:-2]] == [named(key) for key in WANTED]
    verdicts = dict(zip(WANTED, lines, strict=False))
    assert "MISSED" in verdicts["jax small"] and "must met" in verdicts["jit small"]
    assert all("goal met" in line for key, line in verdicts.items() if key not in low)
    assert lines[-2].startswith(named("lean small")) and "met" not in lines[-2]


def test_every_bound_belongs_to_a_part_of_the_benchmark():
    kinds = [kind for _, kinds in bench.PARTS.values() for kind in kinds]
    assert sorted(wanted_of(kinds, list(MODELS))) == sorted(WANTED)
    assert wanted_of(["jax", "workers"], ["small"]) == ["jax small", "workers"]


def times_of(cost):
    """Times of three rounds, in which the machine is slower each time, by form."""
    made = {}
    for key, ms in cost.items():
        made[key] = Times()
        for slower in (1.0, 1.5, 4.0):
            made[key].add([3.0 * ms * slower, ms * slower])
    return made


def test_the_best_form_in_jax_counts_and_ratios_are_taken_per_model_and_round():
    cost = {"one": 6.0, "population": 32.0, "jax": 3.0, "jax map": 80.0, "jax by hand": 2.5, "ncps": 40.0}
    found = {row.key: row for row in compared("small", times_of(cost))}
    assert list(found) == ["jax small", "jit small", "ncps small"]
    best = found["jax small"]
    assert (best.here, best.beside, best.reference) == ("population", "jax by hand", 3.75)
    assert (best.value, best.ratio, best.quartiles) == (3.0, pytest.approx(1.25), pytest.approx((1.25, 1.25)))
    assert found["jit small"].ratio == pytest.approx(0.5)  # a jitted model as JAX differentiates it, beside one of ours
    assert found["ncps small"].ratio == pytest.approx(20.0)


def test_beside_vmap_over_ncps_stands_a_population_without_c_where_there_is_one():
    cost = {"population": 16.0, "population without C": 64.0, "ncps vmap": 128.0}
    (row,) = compared("ncp-ltc", times_of(cost))
    assert (row.here, row.ratio) == ("population without C", pytest.approx(2.0))
    del cost["population without C"]
    (row,) = compared("ncp-ltc", times_of(cost))
    assert (row.here, row.ratio) == ("population", pytest.approx(8.0))


def test_a_single_round_has_no_spread():
    assert ratio([6.0], [2.0]) == (3.0, (3.0, 3.0))
    times = Times()
    times.add([8.0, 4.0])
    assert per_model(times, 2) == {"cpu": 2.0, "clock": 4.0}


def told(members, **changed):
    return {
        "outputs": [[[0.5], [1.5]]] * members,
        "losses": [2.0] * members,
        "gradients": [3.0] * members,
    } | changed


def test_forms_that_compute_the_same_pass():
    assert differences({}) == []
    assert differences({"plain": None}) == []
    assert differences({"one": told(1), "plain": None, "population": told(2), "jax map": told(2)}) == []


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("outputs", [[[0.5], [1.5]], [[0.5], [1.50001]]]),
        ("outputs", [[[0.5], [1.5]], [[0.5], [float("nan")]]]),
        ("losses", [2.0, 2.0001]),
        ("gradients", [3.0, 3.001]),
    ],
)
def test_a_form_that_computes_something_else_is_named(name, changed):
    (message,) = differences({"one": told(1), "population": told(2), "jax map": told(2, **{name: changed})})
    assert message.startswith(f"{FORMS['jax map'].name} and {FORMS['population'].name} differ in {name} by")
    assert message.endswith(f"at most {TOLERANCE[name]:g} is allowed.")


SIZE = {"kind": "cfc", "inputs": 3, "hidden": 4, "backbone": 6, "steps": 5, "batch": 7}


@pytest.fixture
def folder(tmp_path):
    """Weights and data of two small CfCs, as tests.bench.weights leaves them; without torch, which is not here."""
    x, y = np.random.default_rng(0).normal(size=(2, 7, 5, 3)), np.random.default_rng(1).normal(size=(2, 7, 1))
    np.savez(tmp_path / "arrays.npz", x=x.astype(np.float32), y=y.astype(np.float32))
    (tmp_path / "model.json").write_text(json.dumps(SIZE))
    for i in range(2):
        model = CfC(3, 4, backbone_units=6, output_size=1, return_sequences=False, seed=i)
        model.save(tmp_path / f"member-{i}.safetensors")
    return str(tmp_path)


@pytest.mark.slow
def test_children_train_in_turns_and_compute_the_same(folder):
    forms = {
        key: replace(FORMS[key], members=min(FORMS[key].members, 2))
        for key in ("one", "population", "one without C", "plain", "irregular", "port")
    }
    with Children() as children:
        times, computed = train(folder, forms, 2, children, quick=True)
    assert differences(computed) == []
    assert [key for key, each in computed.items() if each is None] == ["plain", "irregular", "port"]
    assert list(times) == list(forms)
    assert all(len(each.cpu) == len(each.clock) == 2 and min(each.cpu) > 0 for each in times.values())


@pytest.mark.slow
def test_a_child_tells_memory_profile_and_the_cost_of_a_trial(folder):
    child = Child("ncps_mlx_cases")
    one, two = (child.ask(call="peak", settings={"folder": folder, "members": n}) for n in (1, 2))
    assert 0 < one < two
    size = {key: value for key, value in SIZE.items() if key != "kind"}
    profile = child.ask(call="profile", settings={**size, "folder": folder, "members": 2})
    assert profile["operations"] > 10 and profile["graph"] > 0
    cost = child.ask(call="overhead", settings={"trials": 20, "population": 10})
    assert 0 < cost["planning"] < cost["all"]
    assert child.ask(facts=True)["layers in C"]
    child.close()


def test_forms_without_layers_in_c_take_part_only_where_there_are_layers_in_c():
    assert "population without C" in forms_of("middle", native=True)
    assert all(form.native for form in forms_of("middle", native=False).values())


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_trained_here_and_in_jax(name):
    assert {"one", "population", "jax", "jax map"} <= set(forms_of(name, native=False))
    assert str(MODELS[name]["hidden"]) in words(name)


def test_the_page_has_words_for_every_model_form_and_row():
    assert set(bench_table.MODELS) == set(MODELS)
    assert set(bench_table.FORMS) == set(FORMS)
    assert set(bench_table.NAMES) == set(NAMES)
    assert set(bench_table.REASONS) == {key.partition(" ")[0] for key in WANTED}


def test_a_record_keeps_other_machines_and_other_parts(tmp_path, monkeypatch):
    path = tmp_path / "bench.json"
    written = [("A", "training", 1), ("B", "training", 2), ("A", "workers", 3), ("B", "training", 4)]
    for processor, part, value in written:
        monkeypatch.setattr(bench, "machine", lambda processor=processor: {"processor": processor})
        bench.write(path, {part: value})
    assert json.loads(path.read_text()) == [
        {"machine": {"processor": "A"}, "parts": {"training": 1, "workers": 3}},
        {"machine": {"processor": "B"}, "parts": {"training": 4}},
    ]


def test_quick_leaves_out_the_site_and_takes_one_round(monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "--quick"])
    options = bench.arguments()
    assert (options.rounds, options.parts) == (1, ["training", "lengths", "study", "workers"])
    monkeypatch.setattr("sys.argv", ["bench", "--write"])
    options = bench.arguments()
    assert (options.write, options.parts) == (EVIDENCE / "bench.json", list(bench.PARTS))


ALL = {"docs/guide/ltc.rst": 9.0, "gallery/plot_dropout.py": 12.0, "notebooks/sunspots": 8.0}


def site(**changed):
    """Builds that meet every goal, but for these."""
    return {
        "cold": Build(180.0, ALL),
        "again": Build(8.0, {}),
        "prose": Build(15.0, {}),
        "library": Build(175.0, ALL),
    } | changed


def test_a_site_that_meets_its_goals_passes():
    assert list(site()) == list(CHANGES)
    assert site_failures(site()) == []
    assert [row["key"] for row in site_json(site())] == [*CHANGES, "script"]
    assert [line.split()[0] for line in site_table(site()).splitlines()] == ["site", *CHANGES, "script"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cold": Build(301.0, ALL)}, "site, cold: 301.0 s, it must be at most 300."),
        ({"again": Build(20.1, {})}, "site, again: 20.1 s, it must be at most 20."),
        ({"again": Build(10.0, {"README.md": 1.0})}, "site, again: no program may be executed; wrong: README.md."),
        ({"prose": Build(10.0, {"README.md": 1.0})}, "site, prose: no program may be executed; wrong: README.md."),
        (
            {"library": Build(300.0, {"docs/guide/ltc.rst": 9.0})},
            "site, library: all must be executed; wrong: gallery/plot_dropout.py, notebooks/sunspots.",
        ),
        (
            {name: Build(250.0, ALL | {"gallery/plot_dropout.py": 15.5}) for name in ("cold", "library")},
            "site, script: 15.5 s, it must be at most 15.",
        ),
    ],
)
def test_a_missed_must_of_the_site_is_seen(changed, message):
    assert site_failures(site(**changed)) == [message]


def test_a_rebuild_may_take_a_twentieth_of_the_first_build():
    messages = site_failures(site(cold=Build(600.0, ALL), again=Build(29.9, {})))
    assert messages == ["site, cold: 600.0 s, it must be at most 300."]


def test_the_log_of_a_build_tells_what_it_executed():
    log = """\
[pages] executed docs/guide/ltc.rst: 9 blocks, 8.2 s
[gallery] executed plot_dropout: 12.5 s
[pages] executed notebooks/sunspots: 5 blocks, 7.2 s
[pages] 22 pages, 200 blocks; executed now: 1 pages
"""
    found = {"docs/guide/ltc.rst": 8.2, "gallery/plot_dropout.py": 12.5, "notebooks/sunspots": 7.2}
    assert executed(log) == found


def test_what_the_benchmark_changes_is_there():
    assert all((ROOT / name).exists() for files in CHANGES.values() for name in files)
    assert {Path(name).suffix for name in PROSE} == {".md", ".rst", ".py"}


@pytest.mark.parametrize("number", MACHINES)
def test_the_record_of_the_site_holds_every_build_with_what_is_wanted_now(number):
    part = bench_table.parts(number).get("site")
    if part is None:
        return  # a machine on which the site was not built
    found = {row["key"]: row for row in part["site"]}
    assert list(found) == [*CHANGES, "script"]
    builds = {name: Build(found[name]["seconds"], found[name]["executed"]) for name in CHANGES}
    assert site_json(builds) == list(found.values())
    assert {row["key"] for row in found.values() if row["wanted"]} == set(SITE)


@pytest.mark.parametrize("number", MACHINES)
def test_the_record_says_what_is_wanted_now(number):
    wanted = {row.key: row.as_json()["wanted"] for row in rows()}
    found = {row["key"]: row["wanted"] for row in bench_table.all_rows(number)}
    assert found and found == {key: wanted.get(key) for key in found}


def test_the_page_shows_every_machine_under_its_name():
    page = (EVIDENCE / "performance.rst").read_text()
    places = []
    for number, entry in zip(MACHINES, bench_table.record(), strict=True):
        title = entry["machine"]["processor"]
        heading = f"\n{title}\n{'-' * len(title)}\n\nRecorded on: :result:`bench_table.recorded_on, {number}`."
        assert heading in page
        places.append(page.index(heading))
        for shown in ("times_chart", "rows", "times", "missed"):
            assert f"bench_table.{shown}, {number}\n" in page[places[-1] :]
    assert places == sorted(places)


def test_everything_that_the_page_asks_the_record_for_is_there():
    asked = re.findall(r"bench_table\.[\w, -]+\w", (EVIDENCE / "performance.rst").read_text())
    assert len(asked) > 10 * len(MACHINES)
    for each in asked:
        found = evidence_pages.call(each)
        if isinstance(found, list):
            assert len({len(row) for row in found}) == 1 and len(found) > 1
        else:
            assert isinstance(found, str) or plots.alt_text(found)


@pytest.mark.parametrize("number", MACHINES)
def test_no_figure_is_shown_without_its_processor(number):
    processor = bench_table.record()[int(number) - 1]["machine"]["processor"]
    assert bench_table.recorded_on(number).startswith(processor)
    assert processor in plots.alt_text(bench_table.times_chart(number))


@pytest.fixture
def changed(monkeypatch):
    """Give the page another record: that of the first machine and every row, with other ratios."""

    def change(ratios):
        found = copy.deepcopy(bench_table.record()[0])
        parts = found["parts"]
        forms = parts["training"]["models"]["small"]
        parts["training"]["models"] = dict.fromkeys(MODELS, forms)
        parts["lengths"]["lengths"] = {"50": {"one": 8.0}, "1600": {"one": 300.0}}
        each = {"planning": 1.0, "all": 9.0}
        parts["study"] = {"rows": [], "trials": {"most": {"count": 10_000, **each}, "fewer": {"count": 1_000, **each}}}
        for part in parts.values():
            part["rows"] = []
        parts["training"]["rows"] = [row.as_json() for row in rows(**{k: v for k, v in ratios.items() if k in WANTED})]
        for row in parts["site"]["site"]:
            row["seconds"] = ratios.get(row["key"], row["wanted"]["goal"] if row["wanted"] else row["seconds"])
        monkeypatch.setattr(bench_table, "record", lambda: [found])

    return change


def test_a_record_without_missed_goals_names_none(changed):
    changed({})
    assert [row[0] for row in bench_table.missed("1")[1:]] == ["none"]


@pytest.mark.parametrize("key", WANTED)
def test_each_missed_goal_is_explained(changed, key):
    wanted = WANTED[key]
    changed({key: wanted.goal + (-0.01 if wanted.least else 0.01)})
    ((_, _, goal, reason),) = bench_table.missed("1")[1:]
    assert goal == f"{wanted.goal:g}"
    assert any(letter.isdigit() for letter in reason)
    (row,) = (row for row in bench_table.all_rows("1") if row["key"] == key)
    assert bench_table.bound(row).endswith("must met")
    changed({key: wanted.must + (-0.01 if wanted.least else 0.01)})
    (row,) = (row for row in bench_table.all_rows("1") if row["key"] == key)
    assert bench_table.bound(row).endswith("missed")


@pytest.mark.parametrize("key", SITE)
def test_each_missed_goal_of_the_site_is_explained(changed, key):
    changed({key: SITE[key].goal + 1})
    ((name, reached, _, reason),) = bench_table.missed("1")[1:]
    assert (name, reached) == (bench_table.BUILDS[key], f"{SITE[key].goal + 1:.0f} s")
    assert reason


@pytest.mark.parametrize("design", PEERS)
@pytest.mark.parametrize("name", ["small", "middle"])
def test_copies_of_ports_are_within_a_tenth_of_their_published_code(design, name):
    recorded = bench_table.record("port")[design]
    assert recorded["repository"] == PEERS[design].repository
    assert 0.9 < recorded["sizes"][name]["ratio"] < 1.1
