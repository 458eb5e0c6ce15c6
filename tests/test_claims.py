"""The registry of claims, and the verdicts that follow from it and the trials."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx._evidence import contrasts
from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.comparisons import read_comparisons
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.failures import FailuresPool, members_of
from ncps_mlx._evidence.plan import Member, Tuning, index_of, key_of, report, tuning
from ncps_mlx._evidence.pool import BUDGETS, LevelPool, Pool, TaskSpec, TunedPool, read_tasks
from ncps_mlx._evidence.registry import STATISTICS, levels_of, read_deltas, read_registry
from ncps_mlx._evidence.runner import run
from ncps_mlx._evidence.tasks import make_task
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._evidence.verdicts import (
    NOT_MEASURED,
    ONCE,
    changes,
    claim_verdict,
    read_verdicts,
    table,
    verdicts,
)
from ncps_mlx.training._hyperparameters import check_config, complete_config
from tests.evidence_pool import CLAIMS, tiny_pool, write_docs

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    return {path.stem: read_pool(path, tasks) for path in sorted((DOCS / "evidence" / "pools").glob("*.toml"))}


@pytest.fixture(scope="module")
def level_pools(pools: Mapping[str, Pool]) -> dict[str, LevelPool]:
    return {name: pool for name, pool in pools.items() if isinstance(pool, TunedPool | FailuresPool)}


@pytest.fixture(scope="module")
def registry(pools: Mapping[str, Pool]) -> Any:
    return read_registry(DOCS / "claims.toml", pools)


def test_all_advice_has_its_claim(registry: Any) -> None:
    assert len(registry) == 55  # names are unique, or this is no TOML
    for claim in registry.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", claim.id)
        assert (DOCS / "guide" / f"{claim.section}.rst").exists(), claim.id
        assert claim.statement.endswith(".")
        for part in claim.parts:
            assert part.deltas.keys() == set(part.tasks), claim.id
    assert sum("measured" in claim.kind for claim in registry.values()) == 48
    assert len({part.statistic for claim in registry.values() for part in claim.parts} & set(STATISTICS)) > 5


def test_every_level_of_a_pool_is_part_of_a_contrast(registry: Any, level_pools: Mapping[str, LevelPool]) -> None:
    used: dict[str, set[str]] = {name: set() for name in level_pools}
    deltas = read_deltas(DOCS / "claims.toml")
    comparisons = read_comparisons(DOCS / "evidence" / "comparisons.toml", level_pools, deltas)
    for claim in (*registry.values(), *comparisons.values()):
        for part in claim.parts:
            for task in part.tasks if part.pool in used and part.is_computed else ():
                used[part.pool] |= {*levels_of(part.first, task), *levels_of(part.second, task)}
    assert used == {name: set(pool.levels) for name, pool in level_pools.items()}


def test_every_level_can_be_trained(level_pools: Mapping[str, LevelPool]) -> None:
    for pool in level_pools.values():
        for task in pool.tasks.values():
            members = {each.level.name: each for each in planned_on(pool, task, "short", {})}
            assert members.keys() == {level.name for level in pool.levels_of(task.name)}
            for member in (each for each in members.values() if not each.level.baseline):
                made = make_task(task, member.level, member.data_seed)
                model = member.level.model or pool.model
                check_config(made, model, complete_config(model, member.settings))


def test_recorded_trials_belong_to_their_pools(level_pools: Mapping[str, LevelPool]) -> None:
    for name, pool in level_pools.items():
        rows = read_trials(DOCS / "evidence" / "trials" / f"{name}.jsonl")
        index = index_of(rows)
        known = {key_of(member.identity) for member in planned(pool, index)}
        assert len(index) == len(rows) and index.keys() <= known, name
        for budget in {row["budget"] for row in rows}:
            devices = {row["device"] for row in rows if row["budget"] == budget}
            assert len(devices) == 1, f"{name}: trials of one contrast must come from one processor model"


def planned(pool: LevelPool, index: Mapping[str, Any]) -> list[Member]:
    """All members of a pool as far as its trials say."""
    each = ((task, budget) for task in pool.tasks.values() for budget in BUDGETS)
    return [member for task, budget in each for member in planned_on(pool, task, budget, index)]


def planned_on(pool: LevelPool, task: TaskSpec, budget: str, index: Mapping[str, Any]) -> list[Member]:
    """Those of a task at a budget."""
    if isinstance(pool, FailuresPool):
        return members_of(pool, task, budget)
    assert isinstance(pool, TunedPool)
    tuned = tuning(pool, task, budget, index)
    return [*tuned.members, *([] if tuned.missing else report(pool, task, budget, tuned.chosen))]


def test_recorded_verdicts_follow_from_the_recorded_trials(registry: Any, pools: Mapping[str, Pool]) -> None:
    trials = {name: read_trials(DOCS / "evidence" / "trials" / f"{name}.jsonl") for name in pools}
    recorded = [entry for entry in read_verdicts(DOCS / "evidence" / "verdicts.json") if entry["budget"] is not ONCE]
    now = verdicts(registry, pools, trials)
    assert len(recorded) == len(now)
    for then, entry in zip(recorded, now, strict=True):
        for name in ("id", "part", "budget", "verdict", "finding", "reason"):
            assert then[name] == entry[name]
        for task, again in zip(then["tasks"], entry["tasks"], strict=True):
            assert task["pairs"] == again["pairs"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pool, trained at the short budget."""
    docs = write_docs(tmp_path_factory.mktemp("evidence") / "docs")
    run(tiny_pool(docs), docs / "evidence" / "trials" / "tiny.jsonl", ["short"], lambda _: None)
    return docs


def tiny_verdicts(docs: Path) -> tuple[Any, list[dict[str, Any]]]:
    pools = {"tiny": tiny_pool(docs)}
    registry = read_registry(docs / "claims.toml", pools)
    return registry, verdicts(registry, pools, {"tiny": read_trials(docs / "evidence" / "trials" / "tiny.jsonl")})


def test_verdicts_come_from_pairs_that_are_in_the_trials(tiny: Path) -> None:
    registry, found = tiny_verdicts(tiny)
    rows = read_trials(tiny / "evidence" / "trials" / "tiny.jsonl")
    reported = [row for row in rows if row["stage"] == "report"]

    def score(seed: int, **level: Any) -> float:
        (row,) = [
            row for row in reported
            if row["seed"] == seed and {k: v for k, v in row["level"].items() if k != "learning_rate"} == level
        ]  # fmt: skip
        return float(row["scores"]["test"])

    test, few, best = (
        next(entry for entry in found if entry["part"] == part and entry["budget"] == "short")
        for part in ("test", "few", "best")
    )
    taken = ["take", 20, "draw"]
    for entry in (test, few, best):
        (task,) = entry["tasks"]
        assert [pair[0] for pair in task["pairs"]] == [100, 101, 102] and task["lost"] == 0
        assert not task["higher_is_better"] and task["delta"] == 0.02
        assert entry["pooled"] == pytest.approx(task["effect"])
    for seed, first, second in test["tasks"][0]["pairs"]:
        assert (first, second) == (score(seed, hidden_size=7), score(seed, hidden_size=4))
    for seed, first, second in few["tasks"][0]["pairs"]:
        narrow = score(seed, hidden_size=4)
        assert first == score(seed, hidden_size=7) - narrow
        assert second == score(seed, hidden_size=4, forms=[taken]) - narrow
    ((chosen, _),) = best["tasks"][0]["levels"]["first"]
    means = {
        size: min(
            np.mean([row["scores"]["validation"] for row in rows
                     if row["stage"] == "tune" and row["level"] == {"hidden_size": size, "learning_rate": rate}])
            for rate in {row["level"]["learning_rate"] for row in rows if row["level"].get("hidden_size") == size}
            - {0.02}
        )
        for size in (4, 7)
    }  # fmt: skip
    assert chosen == {4: "narrow", 7: "wide"}[min(means, key=lambda size: means[size])]
    assert {entry["verdict"] for entry in found if entry["budget"] == "long"} == {NOT_MEASURED}
    assert "trials are missing: sines 27" in str([entry["reason"] for entry in found if entry["budget"] == "long"])
    text = table(registry, found)
    assert "wider" in text and "shown" in text and f"{test['pooled']:+.1f} [" in text
    assert any(line.startswith("wider, test, short: not measured -> ") for line in changes([], found)) == (
        test["verdict"] != NOT_MEASURED
    )


def test_a_task_is_tuned_once_for_all_its_contrasts(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, tuned = tiny_verdicts(tiny)[1], []

    def noted(pool: TunedPool, task: TaskSpec, budget: str, index: Mapping[str, Any]) -> Tuning:
        tuned.append((task.name, budget))
        return tuning(pool, task, budget, index)

    monkeypatch.setattr(contrasts, "tuning", noted)
    assert tiny_verdicts(tiny)[1] == wanted
    assert tuned == [("sines", "short"), ("sines", "long")]


def test_a_training_that_diverged_is_counted_not_hidden(tiny: Path) -> None:
    pools = {"tiny": tiny_pool(tiny)}
    registry = read_registry(tiny / "claims.toml", pools)
    rows = read_trials(tiny / "evidence" / "trials" / "tiny.jsonl")
    wide = [row for row in rows if row["stage"] == "report" and row["level"].get("hidden_size") == 7]
    wide[0]["status"] = "diverged"
    found = verdicts(registry, pools, {"tiny": rows})
    entry = next(each for each in found if each["part"] == "test" and each["budget"] == "short")
    assert entry["tasks"][0]["lost"] == 1 and len(entry["tasks"][0]["pairs"]) == 2
    assert "1 diverged" in table(registry, found)
    for row in wide:
        row["status"] = "diverged"
    found = verdicts(registry, pools, {"tiny": rows})
    entry = next(each for each in found if each["part"] == "test" and each["budget"] == "short")
    assert entry["verdict"] == NOT_MEASURED and "nearly all trainings diverged: sines" in entry["reason"]


@pytest.mark.parametrize(
    ("verdict_of_parts", "whole"),
    [
        (("supported", "supported", "refuted"), "supported"),  # the third is only reported
        (("supported", "refuted", "supported"), "refuted"),
        (("refuted", NOT_MEASURED, "open"), "refuted"),
        (("supported", NOT_MEASURED, "open"), NOT_MEASURED),
        (("supported", "open", "open"), "open"),
        (("differs by task", "open", "open"), "differs by task"),
    ],
)
def test_a_claim_is_supported_if_all_its_parts_are(tiny: Path, verdict_of_parts: Sequence[str], whole: str) -> None:
    registry, found = tiny_verdicts(tiny)
    entries = [entry for entry in found if entry["budget"] == "short"]
    for entry, verdict in zip(entries, verdict_of_parts, strict=True):
        entry["verdict"] = verdict
    assert claim_verdict(registry["wider"], found, "short") == whole


def test_the_command_writes_verdicts_and_says_what_changed(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--docs", str(tiny)]) == 0
    assert "wider" in capsys.readouterr().out
    *measured, checked = read_verdicts(tiny / "evidence" / "verdicts.json")
    assert measured == tiny_verdicts(tiny)[1]
    assert (checked["id"], checked["verdict"], checked["reason"]) == ("shown", NOT_MEASURED, "nothing checks it")
    assert main(["--docs", str(tiny)]) == 0
    assert "No verdict has changed." in capsys.readouterr().out
    assert main(["wild", "--docs", str(tiny)]) == 2
    assert "POOL must be one of tiny, got 'wild'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('first = "wide"', 'first = "wild"', "levels must be those of the pool tiny, got 'wild'. Did you mean"),
        ('direction = "more"', 'direction = "up"', "direction must be"),
        ("{ best = [", "{ beast = [", "a side must be a level or one of best, worst, minus, by_task"),
        ('pool = "tiny"', 'pool = "huge"', "pool must be one of docs/evidence/pools"),
        ('statistic = "test"', 'statistic = "taste"', "contrast must say in words what 'taste' compares"),
        ('kind = "measured"', 'kind = "shown"', "must have parts if it is measured, and only then"),
        ('tasks = ["sines"]', 'tasks = ["vowels"]', "vowels must be a task of the pool tiny"),
        ("sines = 0.02", "vowels = 0.02", "deltas must hold one for 'sines'"),
        ('name = "few"', 'name = "test"', "parts must have different names"),
    ],
)
def test_a_faulty_claim_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    docs = write_docs(tmp_path / "docs")
    (docs / "claims.toml").write_text(CLAIMS.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_registry(docs / "claims.toml", {"tiny": tiny_pool(docs)})
