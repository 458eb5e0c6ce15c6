"""Classical baselines as trials, and comparisons of a level with all others of its pool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

import evidence_pages
from docs.evidence import opponents_figure, opponents_table, says
from ncps_mlx import plots
from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.baselines import measure
from ncps_mlx._evidence.comparisons import findings, read_comparisons
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.plan import index_of, report, tuning
from ncps_mlx._evidence.pool import Pool, TunedPool, read_tasks, read_tuned_pool
from ncps_mlx._evidence.registry import read_deltas
from ncps_mlx._evidence.runner import run
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._evidence.tuned import missing
from ncps_mlx._evidence.verdicts import read_verdicts, verdicts
from ncps_mlx.data import detection_baselines, injected_anomalies, irregular_sines
from tests.evidence_pool import write_docs

DOCS = Path(__file__).parents[1] / "docs"
COMPARISONS = """
[rivals]
pool = "rivals"
first = ["wide"]
statement = "Width against ridge."
"""
RIVALS = """
purpose = "A width and two classical methods."
model = "CfC"
tasks = ["sines"]
rates = [0.01]
report_seeds = { short = 3, long = 2 }

[levels]
wide = { hidden_size = 7, batch_size = 16, learning_rate = 0.01 }
narrow = { hidden_size = 4, batch_size = 16, learning_rate = 0.01 }
ridge = { baseline = "ridge" }
last_value = { baseline = "last value", only = ["sines"] }
"""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with baselines, trained at the short budget, and its comparisons."""
    folder = write_docs(tmp_path_factory.mktemp("evidence") / "docs")
    (folder / "evidence" / "pools" / "rivals.toml").write_text(RIVALS)
    (folder / "evidence" / "comparisons.toml").write_text(COMPARISONS)
    assert main(["rivals", "--budget=short", "--docs", str(folder)]) == 0
    return folder


def rivals(docs: Path) -> TunedPool:
    return read_tuned_pool(docs / "evidence" / "pools" / "rivals.toml", read_tasks(docs / "evidence" / "tasks.toml"))


def test_a_baseline_is_measured_on_the_draw_of_each_seed(docs: Path) -> None:
    rows = read_trials(docs / "evidence" / "trials" / "rivals.jsonl")
    found = {row["seed"]: row for row in rows if row["level"] == {"baseline": "ridge"}}
    assert sorted(found) == [0, 1, 2, 100, 101, 102]
    for seed, row in found.items():
        task = irregular_sines(40, 13, 17, readings=7, seed=seed)
        assert row["scores"]["test"] == pytest.approx(task.baselines()["ridge"], rel=1e-6)
        assert row["scores"]["validation"] == pytest.approx(task.baselines("validation")["ridge"], rel=1e-6)
        assert row["data_seed"] == seed and row["steps"] == row["parameters"] == 0
        assert row["stage"] == ("tune" if seed < 100 else "report") and row["fixed"] == {}
    assert {frozenset(row) for row in rows} == {frozenset(rows[0])}  # as every other trial


def test_a_pool_with_baselines_lacks_nothing_once_it_is_trained(docs: Path) -> None:
    pool, path = rivals(docs), docs / "evidence" / "trials" / "rivals.jsonl"
    assert run(pool, path, ["short"], lambda _: None) == []
    assert len(read_trials(path)) == 4 * (3 + 3)
    (lacking,) = missing(pool, ["long"], [])
    assert lacking.seconds == pytest.approx(2 * (3 + 2) * 12 * 0.1 / 100)  # no second for what is not trained


def test_only_models_extend_the_rates(docs: Path) -> None:
    pool = rivals(docs)
    task = pool.tasks["sines"]
    rows = read_trials(docs / "evidence" / "trials" / "rivals.jsonl")
    done = tuning(pool, task, "short", index_of(rows))
    assert not done.missing and done.chosen["ridge"] == 0
    assert done.validation["ridge"] == pytest.approx(
        np.mean([row["scores"]["validation"] for row in rows if row["stage"] == "tune" and "baseline" in row["level"]
                 and row["level"]["baseline"] == "ridge"])
    )  # fmt: skip
    assert len(report(pool, task, "short", done.chosen)) == 4 * 3


def test_each_other_level_is_compared_on_the_same_draws(docs: Path) -> None:
    found = [entry for entry in read_verdicts(docs / "evidence" / "comparisons.json") if entry["budget"] == "short"]
    assert [(entry["id"], entry["part"]) for entry in found] == [
        ("rivals-sines", level) for level in ("narrow", "ridge", "last_value")
    ]
    for entry in found[1:]:
        (task,) = entry["tasks"]
        for seed, _, second in task["pairs"]:
            baselines = irregular_sines(40, 13, 17, readings=7, seed=seed).baselines()
            assert second == pytest.approx(baselines[entry["part"].replace("_", " ")], rel=1e-6)
        difference = np.mean([second - first for _, first, second in task["pairs"]])  # an error: less is better
        assert entry["pooled"] == pytest.approx(difference / 0.02, rel=1e-4)
    assert all(f"{entry['pooled']:+.1f} [" in findings(read_verdicts(docs / "evidence" / "comparisons.json"))
               for entry in found)  # fmt: skip


def test_detectors_are_scored_by_what_they_find() -> None:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    pool = read_tuned_pool(DOCS / "evidence" / "pools" / "configs.toml", tasks)
    members = [
        member
        for member in tuning(pool, pool.tasks["anomalies"], "short", {}).missing
        if member.level.baseline in ("nearest window", "ridge") and member.seed == 1
    ]
    window, ridge = sorted(measure(members), key=lambda row: row["level"]["baseline"])
    task = injected_anomalies(16, seed=1)
    expected = detection_baselines(task)
    for row, name in ((window, "nearest window"), (ridge, "ridge")):
        assert {metric: each["test"] for metric, each in row["metrics"].items()} == pytest.approx(expected[name])
    assert window["scores"]["test"] is None
    assert ridge["scores"]["test"] == pytest.approx(task.baselines()["ridge"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('baseline = "ridge"', 'baseline = "ridge", hidden_size = 4', "hidden_size must be left out of a baseline"),
        ('baseline = "ridge"', 'baseline = "last value"', "levels must differ"),
    ],
)
def test_a_faulty_baseline_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_docs(tmp_path / "docs") / "evidence" / "pools" / "rivals.toml"
    path.write_text(RIVALS.replace(old, new).replace(', only = ["sines"]', ""))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_tuned_pool(path, read_tasks(path.parents[1] / "tasks.toml"))


def test_a_baseline_that_the_task_lacks_is_named(tmp_path: Path) -> None:
    path = write_docs(tmp_path / "docs") / "evidence" / "pools" / "rivals.toml"
    path.write_text(RIVALS.replace('baseline = "ridge"', 'baseline = "rigde"'))
    pool = read_tuned_pool(path, read_tasks(path.parents[1] / "tasks.toml"))
    with pytest.raises(ValueError, match=r"levels\.ridge: baseline must be one of .*'ridge'.*got 'rigde'"):
        run(pool, path.with_suffix(".jsonl"), ["short"], lambda _: None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('pool = "rivals"', 'pool = "revels"', "rivals.pool must be"),
        ('first = ["wide"]', 'first = ["wild"]', "rivals.first must hold one level of sines, got []"),
        ('first = ["wide"]', 'first = ["wide", "narrow"]', "must hold one level of sines, got ['wide', 'narrow']"),
        ("statement", "stetment", "must not hold 'stetment'. Did you mean statement"),
    ],
)
def test_a_faulty_comparison_is_refused(docs: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "comparisons.toml"
    path.write_text(COMPARISONS.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_comparisons(path, {"rivals": rivals(docs)}, {"sines": 0.02})


def test_an_untrained_comparison_is_none(tmp_path: Path) -> None:
    assert read_comparisons(tmp_path / "comparisons.toml", {}, {}) == {}


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    return {path.stem: read_pool(path, tasks) for path in sorted((DOCS / "evidence" / "pools").glob("*.toml"))}


def test_recorded_comparisons_follow_from_the_recorded_trials(pools: Mapping[str, Pool]) -> None:
    comparisons = read_comparisons(
        DOCS / "evidence" / "comparisons.toml", pools, read_deltas(DOCS / "claims.toml")
    )
    trials = {name: read_trials(DOCS / "evidence" / "trials" / f"{name}.jsonl") for name in ("opponents", "configs")}
    recorded, now = read_verdicts(DOCS / "evidence" / "comparisons.json"), verdicts(comparisons, pools, trials)
    assert len(recorded) == len(now)
    for then, entry in zip(recorded, now, strict=True):
        assert [then[name] for name in ("id", "part", "budget", "finding", "reason")] == [
            entry[name] for name in ("id", "part", "budget", "finding", "reason")
        ]
        for task, again in zip(then["tasks"], entry["tasks"], strict=True):
            assert task["pairs"] == [list(pair) for pair in again["pairs"]]
            _, first, second = np.array(task["pairs"]).T  # the rest by other code
            better = (first - second) * (1 if task["higher_is_better"] else -1) / task["delta"]
            half = student.ppf(0.975, len(better) - 1) * better.std(ddof=1) / np.sqrt(len(better))
            expected = [better.mean(), better.mean() - half, better.mean() + half]
            assert [then["pooled"], then["low"], then["high"]] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_the_page_says_what_the_comparisons_found() -> None:
    found = opponents_table.select("opponents", "short")
    assert found
    entry = next(each for each in found if each["id"] == "opponents-xor" and each["part"] == "gru")
    head, *rows = opponents_table.task("opponents", "xor")
    cells = {row[0]: row for row in rows}
    assert head[:3] == ["", "accuracy, short", "difference, short"]
    assert cells["GRU"][1].startswith(f"{np.mean([pair[2] for pair in entry['tasks'][0]['pairs']]):.2f}")
    assert cells["GRU"][2].startswith(opponents_table.FINDINGS[entry["finding"]])
    assert cells["CfC"][1].startswith(f"{np.mean([pair[1] for pair in entry['tasks'][0]['pairs']]):.2f}")
    rivals = opponents_table.contenders("opponents", "short")
    head, *rows = opponents_table.verdicts("opponents", "short")
    told = {(row[0], name) for row in rows for cell in row[1:] if cell for name in cell.split(", ")}
    assert told == {
        (on, opponents_table.name_of(opponents_table.opponent(entry)).partition(" (")[0])
        for row in rivals.values() for on, entry in row.items()
    }  # fmt: skip
    best = {each["part"]: each["pooled"] for each in found if each["id"] == "opponents-glucose"}
    classical = {name: value for name, value in best.items() if name not in opponents_table.MODELS}
    strongest = min(classical, key=lambda name: classical[name])
    assert opponents_table.opponent(rivals["best classical"]["glucose"]) == strongest
    (row,) = [row for row in opponents_table.gains("opponents", "short") if row[0] == "glucose"]
    assert row[-1].startswith(f"{opponents_table.name_of(strongest)} {best[strongest]:+.1f} [")


def test_a_task_stands_once_in_a_sentence_and_an_unknown_contender_is_refused() -> None:
    lstm = [each for each in opponents_table.select("opponents", "long") if each["part"] == "lstm"]
    worse = [each["tasks"][0]["task"] for each in lstm if each["finding"] == "smaller"]
    assert opponents_table.tasks_where("opponents", "long", "smaller", "LSTM") == opponents_table.listed(
        map(opponents_table.place, worse)
    )
    both = opponents_table.tasks_where("opponents", "long", "smaller", "best classical")
    assert both.count("anomalies") == 1  # by two statistics
    assert opponents_table.listed([]) == "none" and opponents_table.listed("aab") == "a and b"
    with pytest.raises(ValueError, match=r"must be one of GRU, .*'Transformer'"):
        opponents_table.tasks_where("opponents", "long", "smaller", "Transformer")


def test_figures_show_each_seed_and_each_gain() -> None:
    gains = plots.numbers(opponents_figure.gains("opponents"))["points"]
    rivals = {budget: opponents_table.contenders("opponents", budget) for budget in ("short", "long")}
    assert len(gains) == sum(len(row) for rows in rivals.values() for row in rows.values())
    assert {point["pooled"] for point in gains if point["opponent"] == "GRU" and point["task"] == "XOR"} == {
        rows["GRU"]["XOR"]["pooled"] for rows in rivals.values()
    }
    shown = opponents_figure.scores("configs", "anomalies auroc")
    points = plots.numbers(shown)["points"]
    own = [row for row in points if (row["level"], row["budget"]) == ("nearest window", "long")]
    entry = opponents_table.find("configs", "nearest_window", "anomalies", "long", "auroc")
    assert [row["score"] for row in own] == [pair[2] for pair in entry["tasks"][0]["pairs"]]
    assert "anomalies, AUROC, long budget: nearest window" in plots.alt_text(shown)  # the best first
    with pytest.raises(ValueError, match="place must be a task of configs, got 'vowels'"):
        opponents_figure.scores("configs", "vowels")


def found_against(comparison: str, budget: str, *tasks: str) -> dict[tuple[str, str], str]:
    """What was found, by task (all if none is given) and contender; of two statistics the first."""
    rivals = opponents_table.contenders(comparison, budget)
    return {
        (on, name): entry["finding"]
        for name, row in rivals.items() for on, entry in row.items()
        if not tasks or on in tasks
    }  # fmt: skip


REAL = (
    "glucose", "sunspots", "vowels", "anomalies, AUROC", "anomalies, average precision", "CO₂", "remifentanil", "HDL",
)  # fmt: skip
TRAINED = ("GRU", "LSTM", "GRU with decay", "LTC")


def test_what_the_page_advises_is_what_was_found() -> None:
    """The words of docs/guide/worth-it.rst that are not computed. Where one fails, the page must say something else."""
    long = found_against("opponents", "long")
    assert {on for on, _ in long} == {*REAL, "XOR", "sines"}
    assert all(finding != "larger" for (on, name), finding in long.items() if on in REAL and name in TRAINED)
    assert {long["XOR", name] for name in ("GRU", "LSTM", "LTC", "best classical")} == {"larger"}
    assert long["XOR", "GRU with decay"] == "open"
    worse = {name: {on for on in REAL if long[on, name] == "smaller"} for name in ("GRU", "LSTM")}
    assert worse["GRU"] == worse["LSTM"]
    short = found_against("opponents", "short")
    assert short["XOR", "best classical"] == "smaller"
    assert {short[on, "GRU"] for on in ("sunspots", "vowels", "HDL")} == {"smaller"}
    time = says.entry_of("time-scale-crucial", "long", "time against none")
    assert time["pooled"] > max(
        abs(entry["pooled"]) for name, row in opponents_table.contenders("opponents", "long").items()
        if name in TRAINED for on, entry in row.items() if on in REAL
    )  # fmt: skip
    mixed = says.entry_of("ltc-tanh", "long", "mixed memory against a CfC of as many parameters")
    gained = {task["task"]: task["effect"] for task in mixed["tasks"]}
    assert {name for name, effect in gained.items() if effect >= 1} == {"co2"} and min(gained.values()) > 0
    assert long["anomalies, AUROC", "LTC"] == "negligible" and long["anomalies, average precision", "LTC"] == "open"


def test_what_the_pages_on_configurations_advise_is_what_was_found() -> None:
    """The same of forecasting.rst and anomaly-detection.rst."""
    levels = ("sunspots", "glucose", "co2")
    long = {name: opponents_table.find("configs", "small", name, "long") for name in levels}
    assert [long[name]["pooled"] > 0 for name in levels] == [True, False, False]
    assert [long[name]["finding"] for name in levels] == ["open", "smaller", "smaller"]
    assert {each["tasks"][0]["levels"]["first"][0][1] for each in long.values()} == {1e-3}  # the rate that circulates
    assert {opponents_table.find("configs", "ridge", name, "long")["finding"] for name in levels} == {"larger"}
    assert {opponents_table.find("configs", "ridge", name, "short")["finding"] for name in ("sunspots", "glucose")} == {
        "smaller"
    }
    first = opponents_table.select("configs", "long")
    assert all(each["pooled"] >= 0 for each in first if each["id"] == "configs-sunspots")  # the best mean of all
    small = {each["tasks"][0]["levels"]["second"][0][1] for each in long.values()}
    assert small == {1e-2}
    for statistic in ("auroc", "average_precision"):
        for budget in ("short", "long"):
            for each in opponents_table.select("configs", budget):
                if each["statistic"] == statistic and opponents_table.opponent(each) != "second_difference":
                    ahead = opponents_table.find("configs", "nearest_window", "anomalies", budget, statistic)
                    assert ahead["pooled"] <= each["pooled"]
    assert opponents_table.find("configs", "ridge", "anomalies", "long", "auroc")["finding"] == "larger"
    assert opponents_table.find("configs", "ridge", "anomalies", "short", "auroc")["finding"] == "smaller"


PAGES = ("evidence/opponents", "evidence/xor", "guide/worth-it", "guide/forecasting", "guide/anomaly-detection")


@pytest.mark.parametrize("page", PAGES)
def test_everything_that_a_page_asks_for_is_there(page: str) -> None:
    text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
    asked = {" ".join(each.split()) for each in re.findall(r"(?:opponents|settings)_table\.\w+(?:,\s+[\w ]+\w)+", text)}
    assert asked
    for each in asked:
        found = evidence_pages.call(each)
        assert found if isinstance(found, str) else len(found) > 1 and len({len(row) for row in found}) == 1
