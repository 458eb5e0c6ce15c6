"""Random configurations under several metrics: whether these rank alike, and what one chooses by each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

from ncps_mlx._evidence import metrics
from ncps_mlx._evidence.design import Measured
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.metrics import MetricsPool, configurations, members_of
from ncps_mlx._evidence.plan import Row, index_of, key_of
from ncps_mlx._evidence.pool import read_tasks
from ncps_mlx._evidence.registry import Part, Term
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx.data import glucose
from ncps_mlx.data._metrics import METRICS
from tests.fresh_trials import measured_again

EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence"

TASKS = """
[glucose]
factory = "ncps_mlx.data:glucose"
arguments = { n_train = 40, n_validation = 120, n_test = 130, readings = 5 }
draw = "seed"
metric = "rmse"
metrics = ["mae", "low error", "zones A+B"]
unit = "mg/dl"
steps = { short = 3, long = 6 }
"""

POOL = """
purpose = "A few configurations."
design = "metrics"
model = "CfC"
tasks = ["glucose"]
replicates = 2
configurations = 5

[fixed]
batch_size = 8

[space.all]
hidden_size = [4, 5]
learning_rate = { log = [1e-3, 1e-1] }
backbone_dropout = { uniform = [0.0, 0.3] }

[space.glucose]
time_scaling = ["log", "normalized"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tasks.toml").write_text(TASKS)
    (tmp_path / "tiny.toml").write_text(POOL)
    return tmp_path / "tiny.toml"


@pytest.fixture
def pool(file: Path) -> MetricsPool:
    return metrics.read_pool(file, read_tasks(file.parent / "tasks.toml"))


def test_each_replicate_draws_its_own_configurations(pool: MetricsPool) -> None:
    once = configurations(pool, "glucose", 100)
    assert once == configurations(pool, "glucose", 100) and len(once) == 5
    assert not any(config in once for config in configurations(pool, "glucose", 101))
    for config in once:
        assert config.keys() == {"hidden_size", "learning_rate", "backbone_dropout", "time_scaling"}
        assert config["hidden_size"] in (4, 5) and 0.001 <= config["learning_rate"] <= 0.1
    assert pool.level_names("glucose")[:4] == ["rmse", "mae", "low error", "zones A+B"]


def test_members_of_one_shape_train_together_and_are_scored_by_every_metric(pool: MetricsPool, tmp_path: Path) -> None:
    path = tmp_path / "trials" / "tiny.jsonl"
    (lacking,) = metrics.missing(pool, ["short"], [])
    assert lacking.count == 10
    assert all(len({member.config["hidden_size"] for member in group}) == 1 for group in lacking.groups)
    rows = run(pool, path, ["short"], lambda _: None)
    assert describe(pool, path, ["short"]) == "tiny: nothing is missing"
    assert {row["seed"] for row in rows} == {100, 101} == {row["data_seed"] for row in rows}
    (alone,) = metrics.train([lacking.groups[0][0]])
    row = index_of(rows)[key_of(alone)]
    assert alone["scores"] == row["scores"] and alone["metrics"] == row["metrics"]
    assert alone["metrics"].keys() == {"mae", "low error", "zones A+B"}
    assert 0 < alone["metrics"]["zones A+B"]["validation"] <= 1
    assert alone["metrics"]["mae"]["test"] < alone["scores"]["test"]


def trial(member: Any, **scores: float) -> Row:
    """A trial of this member: each metric on test; on validation the same but what ``validation_`` gives."""
    tests = {name: scores[name] for name in ("rmse", "mae", "low", "zones")}
    each = {
        name: {"test": value, "validation": scores.get(f"validation_{name}", value)} for name, value in tests.items()
    }
    more = {"mae": each["mae"], "low error": each["low"], "zones A+B": each["zones"]}
    return {**member.identity, "status": "finished", "scores": each["rmse"], "metrics": more}


@pytest.fixture
def index(pool: MetricsPool) -> Mapping[str, Row]:
    """Ranks: mae as rmse; low error the reverse; zones as rmse but for two. One configuration has diverged."""
    rows = []
    for members in members_of(pool, pool.tasks["glucose"], "short").values():
        for place, member in enumerate(members):
            zones = [0.9, 0.8, 0.7, 0.5, 0.6][place]
            rows.append(
                trial(member, rmse=20 + place, mae=12 + place**2, low=30 - place, zones=zones, validation_low=place)
            )
        rows[-5 if members[0].seed == 100 else -1]["status"] = "diverged"
    return index_of(rows)


def found(pool: MetricsPool, index: Mapping[str, Row], statistic: str, first: Term, second: Term = "rmse") -> Any:
    part = Part(name="part", statistic=statistic, direction="less", first=first, second=second)
    return metrics.contrast(part, pool, "glucose", "short", index)


def test_agreement_is_spearmans_correlation_and_1_with_itself(pool: MetricsPool, index: Mapping[str, Row]) -> None:
    same = found(pool, index, "agreement of metrics", "mae")
    assert [pair[1:] for pair in same.pairs] == [pytest.approx((1.0, 1.0))] * 2
    assert same.higher_is_better and same.unit == "" and (same.lost, same.missing) == (0, 0)
    reverse = found(pool, index, "agreement of metrics", {"by_task": {"glucose": "low error"}})
    assert [pair[1] for pair in reverse.pairs] == [pytest.approx(-1.0)] * 2
    assert reverse.differences(0.1) == [pytest.approx(-20.0)] * 2
    zones = found(pool, index, "agreement of metrics", "zones A+B")
    assert zones.pairs[0][1] == pytest.approx(reference.spearmanr([1, 2, 3, 4], [1, 2, 4, 3]).statistic)
    assert zones.pairs[1][1] == pytest.approx(1.0)  # the last one diverged, and has no rank
    split = found(pool, index, "agreement of metrics", "low error on validation", "rmse on validation")
    assert [pair[1:] for pair in split.pairs] == [pytest.approx((1.0, 1.0))] * 2


def test_what_is_chosen_on_validation_is_scored_on_test(pool: MetricsPool, index: Mapping[str, Row]) -> None:
    low = found(pool, index, "domain metric", "low error")
    assert low.pairs == [(100, 29.0, 29.0), (101, 30.0, 30.0)]  # of 100 the first diverged
    assert not low.higher_is_better and low.unit is None
    zones = found(pool, index, "domain metric", "zones A+B", "low error")
    assert zones.pairs == [(100, 0.8, 0.8), (101, 0.9, 0.9)]
    assert zones.higher_is_better and zones.unit == ""
    other = {
        key: row | {"scores": {"test": row["scores"]["test"], "validation": -row["scores"]["test"]}}
        for key, row in index.items()
    }
    assert found(pool, other, "domain metric", "zones A+B").pairs == [(100, 0.8, 0.6), (101, 0.9, 0.5)]


def test_trials_that_are_not_there_or_diverged_are_counted(pool: MetricsPool, index: Mapping[str, Row]) -> None:
    keys = list(index)
    assert found(pool, {key: index[key] for key in keys[1:]}, "agreement of metrics", "mae").missing == 1
    lost = {key: row | {"status": "diverged"} if row["seed"] == 101 else row for key, row in index.items()}
    assert found(pool, lost, "agreement of metrics", "mae").lost == 1


def test_recorded_correlations_are_those_of_the_trials() -> None:
    pool = read_pool(EVIDENCE / "pools" / "metrics.toml", read_tasks(EVIDENCE / "tasks.toml"))
    assert isinstance(pool, MetricsPool)
    rows = read_trials(EVIDENCE / "trials" / "metrics.jsonl")
    for budget in {row["budget"] for row in rows}:
        own = [row for row in rows if row["budget"] == budget]
        members = [
            member
            for task in pool.tasks.values()
            for every in members_of(pool, task, budget).values()
            for member in every
        ]
        assert {key_of(row) for row in own} <= {key_of(member.identity) for member in members}
        assert len({row["device"] for row in own}) == 1
        for row in own:
            assert row["scores"]["test"] is None or row["metrics"]["mae"]["test"] <= row["scores"]["test"]


def test_a_metric_of_the_field_is_no_metric_of_the_library() -> None:
    assert not {"zones A+B", "low error", "peak error"} & METRICS.keys()
    task = glucose(24, 12, 16, readings=5)
    with pytest.raises(ValueError, match="metric must be"):
        task.score(np.zeros_like(task.test.y), metric="zones A+B")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch_size = 8", "batch_sise = 8", "batch_sise must be a hyperparameter of CfC"),
        ("hidden_size = [4, 5]", "hiden_size = [4, 5]", "hiden_size must be a hyperparameter of CfC"),
        ("{ log = ", "{ logarithm = ", "learning_rate must be a list or a range, log or uniform, got 'logarithm'"),
        ("[space.glucose]", "[space.glucosse]", "space must be that of all or of a task, got 'glucosse'"),
        ("replicates = 2", "", "tiny.toml must hold 'replicates'"),
    ],
)
def test_a_faulty_pool_is_refused(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(POOL.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_pool(file, read_tasks(file.parent / "tasks.toml"))


@pytest.mark.parametrize("statistic", ["agreement of metrics", "domain metric"])
def test_the_seeds_of_the_record_give_the_record(pool: MetricsPool, tmp_path: Path, statistic: str) -> None:
    path = tmp_path / "tiny.jsonl"
    run(pool, path, ["short"], lambda _: None)
    part = Part(name="p", statistic=statistic, direction="less", first="mae", second="rmse", tasks=["glucose"])
    recorded = metrics.contrast(part, pool, "glucose", "short", index_of(read_trials(path)))
    found, rows = measured_again(metrics, pool, part, "glucose", "short", recorded, range(100, 102))
    assert found.pairs == recorded.pairs and len(found.pairs) == 2
    assert len(metrics.fresh_contrast(pool, _measured(part, recorded), rows[:-1]).pairs) == 1  # of whole replicates


def _measured(part: Part, recorded: Any) -> Measured:
    return Measured(part=part, task="glucose", budget="short", contrast=recorded)
