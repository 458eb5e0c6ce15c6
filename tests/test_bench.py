"""The benchmark's verdict, and the page that shows its record: each missed Must, absent row and missed goal is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs.evidence import bench_table
from tests.bench.peers import PEERS
from tests.bench.report import SITE, WANTED, Row, failures, site_failures, site_json, site_table, table
from tests.bench.site import CHANGES, PROSE, ROOT, Build, executed

EVIDENCE = Path(bench_table.__file__).parent


def rows(**changed):
    ratios = {key: wanted.goal for key, wanted in WANTED.items()} | changed
    return [Row(key, 1.0, 2.0, ratio, (ratio, ratio), (1.0, 2.0)) for key, ratio in ratios.items()]


def test_goals_pass():
    assert failures(rows()) == []


@pytest.mark.parametrize("key", WANTED)
def test_a_missed_must_is_seen_on_either_side(key):
    wanted = WANTED[key]
    (message,) = failures(rows(**{key: wanted.must + (-0.01 if wanted.least else 0.01)}))
    assert message.startswith(f"{key}: the ratio is")
    assert message.endswith(f"it must be {'at least' if wanted.least else 'at most'} {wanted.must}.")
    assert failures(rows(**{key: wanted.must})) == []


@pytest.mark.parametrize("key", WANTED)
def test_an_absent_row_is_seen(key):
    (message,) = failures([row for row in rows() if row.key != key])
    assert message.startswith(f"{key}: not measured")


def test_every_row_is_in_the_table():
    text = table([*rows(), Row("plain small", 1.0, 2.0, 2.0)])
    assert all(key in text for key in [*WANTED, "plain small"])


ALL = {"docs/guide/ltc.rst": 9.0, "gallery/plot_dropout.py": 12.0, "notebooks/sunspots": 8.0}


def site(**changed):
    """Builds that meet every goal, but for these."""
    return {
        "cold": Build(360.0, ALL),
        "again": Build(10.0, {}),
        "prose": Build(15.0, {}),
        "library": Build(350.0, ALL),
    } | changed


def test_a_site_that_meets_its_goals_passes():
    assert list(site()) == list(CHANGES)
    assert site_failures(site()) == []
    assert [row["key"] for row in site_json(site())] == [*CHANGES, "script"]
    assert [line.split()[0] for line in site_table(site()).splitlines()] == ["site", *CHANGES, "script"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cold": Build(721.0, ALL)}, "site, cold: 721.0 s, it must be at most 720."),
        ({"again": Build(20.1, {})}, "site, again: 20.1 s, it must be at most 20."),
        ({"again": Build(10.0, {"README.md": 1.0})}, "site, again: no program may be executed; wrong: README.md."),
        ({"prose": Build(10.0, {"README.md": 1.0})}, "site, prose: no program may be executed; wrong: README.md."),
        (
            {"library": Build(300.0, {"docs/guide/ltc.rst": 9.0})},
            "site, library: all must be executed; wrong: gallery/plot_dropout.py, notebooks/sunspots.",
        ),
        (
            {name: Build(350.0, ALL | {"gallery/plot_dropout.py": 20.5}) for name in ("cold", "library")},
            "site, script: 20.5 s, it must be at most 20.",
        ),
    ],
)
def test_a_missed_must_of_the_site_is_seen(changed, message):
    assert site_failures(site(**changed)) == [message]


def test_a_rebuild_may_take_a_twentieth_of_the_first_build():
    assert site_failures(site(cold=Build(600.0, ALL), again=Build(29.9, {}))) == []


def test_the_log_of_a_build_tells_what_it_executed():
    log = """\
[pages] executed docs/guide/ltc.rst: 9 blocks, 8.2 s
[gallery] executed plot_dropout: 12.5 s
/some/where/docs/notebooks/sunspots.md: Executed notebook in 7.25 seconds [mystnb]
[pages] 22 pages, 200 blocks; executed now: 1 pages
"""
    found = {"docs/guide/ltc.rst": 8.2, "gallery/plot_dropout.py": 12.5, "notebooks/sunspots": 7.25}
    assert executed(log) == found


def test_what_the_benchmark_changes_is_there():
    assert all((ROOT / name).exists() for files in CHANGES.values() for name in files)
    assert {Path(name).suffix for name in PROSE} == {".md", ".rst", ".py"}


def test_the_record_of_the_site_holds_every_build_with_what_is_wanted_now():
    found = {row["key"]: row for row in bench_table.record()["site"]}
    assert list(found) == [*CHANGES, "script"]
    builds = {name: Build(found[name]["seconds"], found[name]["executed"]) for name in CHANGES}
    assert site_json(builds) == list(found.values())
    assert {row["key"] for row in found.values() if row["wanted"]} == set(SITE)


def test_the_record_holds_every_row_with_what_is_wanted_now():
    found = {row["key"]: row for row in bench_table.record()["rows"]}
    for row in rows():
        assert found[row.key]["wanted"] == row.as_json()["wanted"]


@pytest.fixture
def changed(monkeypatch):
    """Give the page another record: the one there is, with other ratios."""

    def change(ratios):
        found = json.loads((EVIDENCE / "bench.json").read_text())
        for row in found["rows"]:
            row["ratio"] = ratios.get(row["key"], row["wanted"]["goal"] if row["wanted"] else row["ratio"])
        for row in found["site"]:
            row["seconds"] = ratios.get(row["key"], row["wanted"]["goal"] if row["wanted"] else row["seconds"])
        monkeypatch.setattr(bench_table, "record", lambda _="bench": found)

    return change


def test_a_record_without_missed_goals_names_none(changed):
    changed({})
    assert [row[0] for row in bench_table.missed()[1:]] == ["none"]


@pytest.mark.parametrize("key", WANTED)
def test_each_missed_goal_is_explained(changed, key):
    wanted = WANTED[key]
    changed({key: wanted.goal + (-0.01 if wanted.least else 0.01)})
    ((_, _, goal, reason),) = bench_table.missed()[1:]
    assert goal == f"{wanted.goal:g}"
    assert any(letter.isdigit() for letter in reason)
    assert bench_table.bound(key).endswith("must met")
    changed({key: wanted.must + (-0.01 if wanted.least else 0.01)})
    assert bench_table.bound(key).endswith("missed")


@pytest.mark.parametrize("key", SITE)
def test_each_missed_goal_of_the_site_is_explained(changed, key):
    changed({key: SITE[key].goal + 1})
    ((name, reached, _, reason),) = bench_table.missed()[1:]
    assert (name, reached) == (bench_table.BUILDS[key], f"{SITE[key].goal + 1:.0f} s")
    assert reason


@pytest.mark.parametrize("design", PEERS)
@pytest.mark.parametrize("name", ["small", "middle"])
def test_copies_of_ports_are_within_a_tenth_of_their_published_code(design, name):
    recorded = bench_table.record("port")[design]
    assert recorded["repository"] == PEERS[design].repository
    assert 0.9 < recorded["sizes"][name]["ratio"] < 1.1
