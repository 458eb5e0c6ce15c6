"""The pool of whole searches: what each trains, what it chooses, how it is compared; the best settings as files."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from ncps_mlx import Halving, Study
from ncps_mlx.__main__ import main as command
from ncps_mlx._evidence import search as design
from ncps_mlx._evidence.__main__ import main as evidence
from ncps_mlx._evidence.best_settings import (
    JUDGING_SEEDS,
    best_settings,
    classical_scores,
    settings_file,
    write_settings,
)
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.plan import Row, index_of, key_of, lacking
from ncps_mlx._evidence.pool import BUDGETS, read_tasks, read_toml
from ncps_mlx._evidence.registry import Part, read_registry
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.search import contrast, due, missing, train
from ncps_mlx._evidence.search_plan import next_trials
from ncps_mlx._evidence.search_pool import SearchPool
from ncps_mlx._evidence.search_results import SearchTrials, search_trials
from ncps_mlx._evidence.tasks import make_task
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._evidence.verdicts import verdicts
from ncps_mlx.training._hyperparameters import check_config, complete_config
from tests.evidence_pool import TASKS
from tests.fresh_trials import measured_again

DOCS = Path(__file__).parents[1] / "docs"
SETTINGS = DOCS / "evidence" / "settings"

POOL = """
design = "search"
purpose = "Searches of a few seconds."
model = "CfC"
tasks = ["sines"]
retrained = 2
repeats = { short = 2, long = 1 }
fixed = { hidden_size = 3, backbone_units = 5, batch_size = 16 }
defaults = { hidden_size = 4 }

[space]
learning_rate = { log = [1e-3, 1e-1] }
hidden_size = [3, 4]
backbone_dropout = { uniform = [0.0, 0.4] }

[searches]
defaults = { sampler = "defaults" }
random_8 = { sampler = "random", knobs = 2, trials = 8 }
random_4 = { of = "random_8", trials = 4 }
quasi_random = { sampler = "quasi-random", knobs = 2, trials = 4 }
grid = { sampler = "grid", levels = [2, 2, 1] }
tpe = { sampler = "tpe", knobs = 2, trials = 6, batch = 3 }
staged = { sampler = "staged", knobs = 2, trials = 8 }
halving = { of = "random_8", trials = 8, halving = { eta = 2, rungs = 2 } }
random_as_tpe = { of = "random_8", trials = 8, work_of = "tpe" }
"""


CLAIMS = """
[deltas]
sines = 0.02

[start-defaults]
section = "best-practices"
statement = "Begin with the defaults."
kind = "measured"
pool = "tiny"
tasks = ["sines"]
budgets = ["short"]
parts = [
  { name = "rank", statistic = "percentile", first = "defaults", second = "random_8", direction = "not-worse", deltas = { sines = 25 } },
  { name = "score", statistic = "retrained best", first = "defaults", second = "tpe", direction = "not-worse" },
]
"""  # noqa: E501  # lines of TOML stay whole


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence") / "docs"
    (folder / "evidence" / "pools").mkdir(parents=True)
    (folder / "evidence" / "tasks.toml").write_text(TASKS.replace("short = 6, long = 12", "short = 9, long = 18"))
    (folder / "evidence" / "pools" / "tiny.toml").write_text(POOL)
    (folder / "claims.toml").write_text(CLAIMS)
    return folder


def tiny_pool(docs: Path) -> SearchPool:
    folder = docs / "evidence"
    pool = read_pool(folder / "pools" / "tiny.toml", read_tasks(folder / "tasks.toml"))
    assert isinstance(pool, SearchPool)
    return pool


@pytest.fixture(scope="module")
def rows(docs: Path) -> list[Row]:
    """All trials of the tiny pool at the short budget."""
    pool, path = tiny_pool(docs), docs / "evidence" / "trials" / "tiny.jsonl"
    run(pool, path, ["short"], lambda _: None)
    assert describe(pool, path, ["short"]) == "tiny: nothing is missing"
    return read_trials(path)


@pytest.fixture
def pool(docs: Path) -> SearchPool:
    return tiny_pool(docs)


@pytest.fixture
def trials(pool: SearchPool, rows: list[Row]) -> SearchTrials:
    return search_trials(pool, pool.tasks["sines"], "short", index_of(rows))


def of(rows: list[Row], search: str, repeat: int) -> list[Row]:
    found = [row for row in rows if (row["level"].get("search"), row["level"].get("repeat")) == (search, repeat)]
    return sorted(found, key=lambda row: row["level"]["trial"])


def without_seconds(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "seconds"}


def test_every_repeat_has_its_own_data_and_draws(pool: SearchPool, rows: list[Row]) -> None:
    for name, search in pool.searches.items():
        if search.sampler:
            each = [of(rows, name, repeat) for repeat in (100, 101)]
            assert [len(found) for found in each] == [search.trials] * 2
            assert all(row["data_seed"] == row["level"]["repeat"] for found in each for row in found)
            if name not in ("defaults", "grid", "staged"):
                assert [row["seed"] for row in each[1]] == [101] * search.trials
                first, second = ({row["level"]["learning_rate"] for row in found} for found in each)
                assert not first & second
    assert {row["status"] for row in rows} == {"finished"}
    assert all(len(row["early"]) == 2 for row in rows)


def test_a_trial_is_the_same_alone(trials: SearchTrials, rows: list[Row]) -> None:
    wanted = {key_of(member.identity): member for member in due(trials)}
    grids = [of(rows, "grid", repeat)[3] for repeat in (100, 101)]  # one of them at least has dropout, or none
    retrained = next(row for row in rows if row["stage"] == "retrain")
    for row in (of(rows, "tpe", 101)[4], of(rows, "staged", 100)[6], retrained, *grids):
        (alone,) = train([wanted[key_of(row)]])
        assert without_seconds(alone) == without_seconds(row)


def test_searches_choose_what_the_library_chooses(pool: SearchPool, trials: SearchTrials) -> None:
    """Random search, and halving computed from trials that were trained to the end, against studies that train."""
    repeat, task = 101, make_task(trials.task, trials.member("search", {}, 0, 0).level, 101)
    fixed = {"backbone_units": 5, "batch_size": 16, "evaluate_every": 2, "steps": 9}
    for name, halving in (("random_8", None), ("halving", Halving(eta=2, rungs=2))):
        study = Study(
            None, task, pool.knobs(2), trials=8, draws_per_shape=1, sampler_seed=repeat, seeds=(repeat,), fixed=fixed,
            halving=halving,
        ).run(progress=False)  # fmt: skip
        choice = trials.choice(pool.searches[name], repeat)
        assert choice == {key: study.best.config[key] for key in ("learning_rate", "hidden_size")}
    assert choice is not None
    pruned = {row.config["learning_rate"] for row in study.records if row.status == "pruned"}
    assert len(pruned) == 6 and choice["learning_rate"] not in pruned


def test_a_grid_lies_at_random_and_leaves_a_knob_of_one_value_at_its_default(pool: SearchPool) -> None:
    left_out = set()
    for repeat in range(100, 120):
        search = pool.searches["grid"]
        configs = [config for config, _ in next_trials(search, pool, pool.tasks["sines"], repeat, {}).values()]
        names = list(configs[0])
        values = [sorted({config[name] for config in configs}) for name in names]
        assert [len(each) for each in values] == [2, 2] and len(configs) == 4
        assert sorted(tuple(c.values()) for c in configs) == sorted(product(*values))
        left_out |= set(pool.space) - set(names)
        if "learning_rate" in names:
            low, high = values[names.index("learning_rate")]
            assert high / low == pytest.approx(10)  # half of two decades
    assert left_out == set(pool.space)


def test_tpe_goes_on_from_what_was_trained(pool: SearchPool, rows: list[Row]) -> None:
    """A killed run lacks some trials of a batch: the same ones are asked for again, and no others."""
    lost = [row for row in of(rows, "tpe", 100) if row["level"]["trial"] in (3, 5)]
    left = [row for row in rows if row not in lost and row["stage"] == "search"]
    index = index_of(left)
    again = lacking(due(search_trials(pool, pool.tasks["sines"], "short", index)), index)
    assert [key_of(member.identity) for member in again if member.stage == "search"] == [key_of(row) for row in lost]
    first = [row for row in left if row["level"]["trial"] < 3 or row["level"]["search"] != "tpe"]
    diverged = [row | {"scores": {"validation": None, "test": None}} for row in first]  # it is told so, and goes on
    (found,) = missing(pool, ["short"], diverged)
    assert sum(member.place.get("search") == "tpe" for group in found.groups for member in group) == 6


def test_stages_vary_one_after_the_other_at_the_best_so_far(pool: SearchPool, trials: SearchTrials) -> None:
    search = pool.searches["staged"]
    for repeat in (100, 101):
        found = trials.trials(search, repeat)
        assert found is not None
        rates, widths = found[:4], found[4:]
        assert [row["level"]["learning_rate"] for row in rates] == pytest.approx(np.geomspace(1e-3, 0.1, 4))
        assert all("hidden_size" not in row["level"] for row in rates)
        best = min(rates, key=lambda row: row["scores"]["validation"])["level"]["learning_rate"]
        assert {row["level"]["learning_rate"] for row in widths} == {best}
        assert [row["level"]["hidden_size"] for row in widths] == [3, 4, 3, 4]
        assert len({row["seed"] for row in widths}) == 2
        mean = {size: np.mean([row["scores"]["validation"] for row in widths if row["level"]["hidden_size"] == size])
                for size in (3, 4)}  # fmt: skip
        assert trials.choice(search, repeat) == {"learning_rate": best, "hidden_size": min(mean, key=lambda k: mean[k])}


def test_equal_work_is_counted_in_parameters_and_steps(pool: SearchPool, trials: SearchTrials) -> None:
    for repeat in (100, 101):
        tpe, own, all_of = (trials.trials(pool.searches[name], repeat) for name in ("tpe", "random_as_tpe", "random_8"))
        assert tpe is not None and own is not None and all_of is not None
        budget, spent = (sum(row["parameters"] for row in each) for each in (tpe, own))
        assert own == all_of[: len(own)]
        assert spent <= budget and (own == all_of or spent + all_of[len(own)]["parameters"] > budget)


def part(statistic: str, first: Any, second: Any) -> Part:
    return Part(name="", statistic=statistic, direction="more", first=first, second=second, tasks=["sines"])


def test_what_was_chosen_is_compared_by_new_trainings(pool: SearchPool, rows: list[Row]) -> None:
    index = index_of(rows)

    def retrained(search: str, repeat: int) -> float:
        best = min(of(rows, search, repeat), key=lambda row: row["scores"]["validation"])["level"]
        config = {name: best[name] for name in pool.space if name in best}
        again = [row for row in rows if (row["stage"], row["level"], row["data_seed"]) == ("retrain", config, repeat)]
        assert sorted(row["seed"] for row in again) == [repeat + 1000, repeat + 2000]
        return float(np.mean([row["scores"]["test"] for row in again]))

    found = contrast(part("retrained best", "tpe", "random_8"), pool, "sines", "short", index)
    assert found.missing == found.lost == 0 and not found.higher_is_better
    wanted = [(repeat, retrained("tpe", repeat), retrained("random_8", repeat)) for repeat in (100, 101)]
    assert [pytest.approx(pair) for pair in wanted] == found.pairs
    term = {"minus": ["tpe", "grid"]}
    found = contrast(part("retrained best", term, "random_8"), pool, "sines", "short", index)
    assert found.pairs[0][1] == pytest.approx(retrained("tpe", 100) - retrained("grid", 100))
    few = [row for row in rows if row["stage"] != "retrain" or row["seed"] < 2000]
    assert contrast(part("retrained best", "tpe", "random_8"), pool, "sines", "short", index_of(few)).missing > 0
    assert contrast(part("retrained best", "tpe", "random_8"), pool, "sines", "long", index).missing == 4
    lost = [row | {"scores": {"test": None, "validation": None}} if row["seed"] == 1100 else row for row in rows]
    found = contrast(part("retrained best", "tpe", "random_8"), pool, "sines", "short", index_of(lost))
    assert found.lost == 1 and [seed for seed, *_ in found.pairs] == [101]


def test_verdicts_come_from_searches_too(docs: Path, pool: SearchPool, rows: list[Row]) -> None:
    found = verdicts(read_registry(docs / "claims.toml", {"tiny": pool}), {"tiny": pool}, {"tiny": rows})
    rank, score = (entry["tasks"][0] for entry in found)
    assert rank["effect"] == pytest.approx(-fmean(first for _, first, _ in rank["pairs"]) / 25)
    gains = [second - first for _, first, second in score["pairs"]]
    assert score["effect"] == pytest.approx(fmean(gains) / 0.02, rel=1e-4)


def test_ranks_and_correlations_follow_from_the_trials(pool: SearchPool, rows: list[Row]) -> None:
    index = index_of(rows)
    found = contrast(part("percentile", "defaults", "random_8"), pool, "sines", "short", index)
    (defaults,) = of(rows, "defaults", 100)
    assert defaults["level"] == {
        "search": "defaults", "repeat": 100, "trial": 0,
        "learning_rate": 0.01, "hidden_size": 4, "backbone_dropout": 0.0,
    }  # fmt: skip
    better = sum(row["scores"]["test"] < defaults["scores"]["test"] for row in of(rows, "random_8", 100))
    assert found.pairs[0] == pytest.approx((100, 100 * better / 8, 0.0)) and not found.higher_is_better
    found = contrast(part("early correlation", "random_8", "random_8"), pool, "sines", "short", index)
    early, final = (
        rankdata([score(row) for row in of(rows, "random_8", 101)])
        for score in (lambda row: row["early"][1], lambda row: row["scores"]["validation"])
    )
    assert found.pairs[1] == pytest.approx((101, np.corrcoef(early, final)[0, 1], 1.0)) and found.higher_is_better
    for row in of(rows, "random_8", 101):
        assert row["early"][0] >= row["early"][1] >= row["scores"]["validation"]  # the best so far


def test_the_best_settings_are_a_file_that_tune_takes(
    docs: Path, pool: SearchPool, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert evidence(["--settings", "--docs", str(docs)]) == 0
    path = docs / "evidence" / "settings" / "sines.toml"
    assert f"wrote {path}" in capsys.readouterr().out
    record = json.loads(path.with_suffix(".json").read_text())
    means = {
        json.dumps(config): np.mean([
            row["scores"]["validation"] for row in rows if row["stage"] == "choose" and row["level"] == config
        ])
        for config in (each["config"] for each in record["candidates"])
    }  # fmt: skip
    assert json.dumps(record["config"]) == min(means, key=lambda config: means[config])
    for name, config in (("best", record["config"]), ("defaults", record["defaults"])):
        judged = [row for row in rows if (row["stage"], row["level"]) == ("judge", config)]
        tested = {row["seed"]: row["scores"]["test"] for row in judged}
        assert [tested.pop(seed) for seed in JUDGING_SEEDS] == record["test"][name] and not tested
    gain = np.subtract(record["test"]["defaults"], record["test"]["best"])
    assert record["gain"]["mean"] == pytest.approx(gain.mean(), rel=1e-4)
    assert record["is_better"] == bool(gain.mean() >= 0.02 and record["gain"]["low"] > 0)
    beaten = "they beat them" if record["is_better"] else "they do not beat them"
    text = path.read_text()
    assert beaten in text and f"test rmse: best {fmean(record['test']['best']):.4g}" in text
    assert tomllib.loads(text)["search"]["first"] == [record["config"]]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.toml").write_text(text.replace("seeds = [0, 1, 2, 3, 4]", "seeds = [0]"))
    assert command(["tune", "job.toml", "--quiet"]) == 0
    assert "saved sines.safetensors" in capsys.readouterr().out
    few = [row for row in rows if row["stage"] != "judge"]
    assert write_settings(pool, few, {"sines": 0.02}, tmp_path / "settings") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tasks = ["sines"]', 'tasks = ["sinse"]', "tasks must be those of tasks.toml, got 'sinse'. Did you mean"),
        ("hidden_size = [3, 4]", "hiden_size = [3, 4]", "hiden_size must be a hyperparameter of CfC"),
        ('sampler = "tpe"', 'sampler = "tea"', "searches.tpe: sampler must be"),
        ("batch = 3", "batch = 4", "searches.tpe: trials must be a multiple of 4, got 6"),
        ('"random_8", trials = 4', '"halving", trials = 4', "must name a search with a sampler, got 'halving'"),
        ('"random_8", trials = 4', '"random_8", trials = 9', "trials must be at most those of random_8, got 9"),
        ('of = "random_8", trials = 4', "trials = 4", "searches.random_4 must have a sampler, or be of another search"),
        ("knobs = 2, trials = 8", "knobs = 4, trials = 8", "knobs must be at most 3, got 4"),
        ("short = 2, long = 1", "short = 2", "repeats must be given for short and long"),
        ("batch = 3", "bach = 3", "searches.tpe must not hold 'bach'. Did you mean batch"),
    ],
)
def test_a_faulty_pool_is_refused(docs: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "tiny.toml").write_text(POOL.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_pool(tmp_path / "tiny.toml", read_tasks(docs / "evidence" / "tasks.toml"))


@pytest.fixture(scope="module")
def recorded() -> tuple[SearchPool, list[Row]]:
    pool = read_pool(DOCS / "evidence" / "pools" / "search.toml", read_tasks(DOCS / "evidence" / "tasks.toml"))
    assert isinstance(pool, SearchPool)
    return pool, read_trials(DOCS / "evidence" / "trials" / "search.jsonl")


def test_every_search_can_be_trained(recorded: tuple[SearchPool, list[Row]]) -> None:
    pool, _ = recorded
    for task in pool.tasks.values():
        members = due(search_trials(pool, task, "long", {}))
        made = make_task(task, members[0].level, members[0].data_seed)
        for member in (members[0], *members[1::97]):
            check_config(made, pool.model, complete_config(pool.model, member.settings))


def test_recorded_searches_are_those_of_the_pool(recorded: tuple[SearchPool, list[Row]]) -> None:
    pool, rows = recorded
    index, known = index_of(rows), set[str]()
    for task in pool.tasks.values():
        for budget in BUDGETS:
            known |= {key_of(member.identity) for member in due(search_trials(pool, task, budget, index))}
    assert len(index) == len(rows) and index.keys() <= known
    for budget in BUDGETS:
        assert len({row["device"] for row in rows if row["budget"] == budget}) <= 1


def test_recorded_settings_follow_from_the_recorded_trials(recorded: tuple[SearchPool, list[Row]]) -> None:
    pool, rows = recorded
    index, deltas = index_of(rows), read_toml(DOCS / "claims.toml")["deltas"]
    for name, task in pool.tasks.items():
        both = {budget: search_trials(pool, task, budget, index) for budget in reversed(BUDGETS)}
        records = {budget: best_settings(trials, deltas[name]) for budget, trials in both.items()}
        budget = next((budget for budget, record in records.items() if record is not None), None)
        path = SETTINGS / f"{name}.json"
        assert path.exists() == (budget is not None)
        if budget is not None:
            record = json.loads(path.read_text())
            assert records[budget] == {key: value for key, value in record.items() if key != "classical"}
            for method, scores in classical_scores(both[budget], JUDGING_SEEDS[:1]).items():
                assert scores[0] == pytest.approx(record["classical"][method][0], rel=1e-3)
            assert settings_file(both[budget], record) == path.with_suffix(".toml").read_text()


@pytest.mark.parametrize("path", sorted(SETTINGS.glob("*.toml")), ids=lambda path: path.stem)
def test_recorded_settings_can_be_tuned_on(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    name, text = path.stem, path.read_text()
    text = re.sub(r"\n(steps|evaluate_every) = \d+", r"\n\1 = 2", text)
    text = text.replace("seeds = [0, 1, 2, 3, 4]", "seeds = [0]")
    (tmp_path / f"{name}.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert command(["tune", f"{name}.toml", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert f"saved {name}.safetensors" in said and "of the baselines" in said


@pytest.mark.parametrize(
    ("statistic", "first", "second", "searched"),
    [
        ("retrained best", "tpe", "random_as_tpe", {"tpe", "random_8"}),
        ("retrained best", "halving", {"minus": ["random_4", "defaults"]}, {"random_8", "defaults"}),
        ("percentile", "defaults", "random_8", {"random_8", "defaults"}),
        ("early correlation", "random_8", "random_8", {"random_8"}),
    ],
)
def test_the_seeds_of_the_record_give_the_record(
    pool: SearchPool, rows: list[Row], statistic: str, first: Any, second: Any, searched: set[str]
) -> None:
    compared = part(statistic, first, second)
    recorded = contrast(compared, pool, "sines", "short", index_of(rows))
    found, trained = measured_again(design, pool, compared, "sines", "short", recorded, range(100, 102))
    assert found.pairs == recorded.pairs and len(found.pairs) == 2
    assert {row["level"]["search"] for row in trained if row["stage"] == "search"} == searched
    assert any(row["stage"] == "retrain" for row in trained) == (statistic == "retrained best")
