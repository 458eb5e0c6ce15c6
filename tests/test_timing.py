"""Times and memory of training steps: levels that take turns, and verdicts on their ratios."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import mlx.core as mx
import pytest

from ncps_mlx import CfC
from ncps_mlx._evidence import timing
from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.design import Reproducible
from ncps_mlx._evidence.designs import DESIGNS, read_pool
from ncps_mlx._evidence.plan import IDENTITY, key_of
from ncps_mlx._evidence.pool import Level, read_tasks, read_tuned_pool
from ncps_mlx._evidence.record import Record
from ncps_mlx._evidence.registry import RATIOS, STATISTICS, levels_of, read_registry
from ncps_mlx._evidence.reproduce import recorded as recorded_parts
from ncps_mlx._evidence.reproduce import reproduce, train_fresh
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.tasks import make_task
from ncps_mlx._evidence.timing import ROUNDS, TimedTrainer, TimingPool, missing, train
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._evidence.verdicts import table, verdicts
from ncps_mlx._kernels.native import calls, is_native_on
from ncps_mlx.training._trainer import PopulationTrainer
from tests.evidence_pool import CLAIMS, write_docs

DOCS = Path(__file__).parents[1] / "docs"

POOL = """
purpose = "A pool of a few seconds."
design = "timing"
model = "CfC"
tasks = ["sines"]
timed_steps = 2
repeats = { short = 3, long = 4 }
population_sizes = [1, 3]

[fixed]
backbone_units = 5
batch_size = 32
learning_rate = 0.01

[levels]
narrow = { hidden_size = 4 }
twin = { hidden_size = 5 }
wide = { hidden_size = 7 }
quarters = { hidden_size = 7, batch_size = 8, grad_accumulation_steps = 4 }
"""

TIMED_CLAIMS = """
[deltas]
ratio = 1.15

[cost]
section = "hidden-size"
statement = "Wider is slower."
kind = "measured"
pool = "timed"
tasks = ["sines"]
parts = [
  { name = "wide", statistic = "step time", first = "wide", second = "narrow", direction = "more" },
  { name = "wide of three", statistic = "step time", first = "wide of 3", second = "narrow of 3", direction = "more" },
  { name = "twin", statistic = "step time", first = "twin", second = "narrow", direction = "same" },
  { name = "speed", statistic = "speed", first = "narrow", second = "wide", direction = "more", ratio = 2 },
  { name = "three", statistic = "speed", first = "narrow of 3", second = "narrow", direction = "more", ratio = 2 },
  { name = "memory", statistic = "memory", first = "quarters", second = "wide", direction = "less" },
]
"""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = write_docs(tmp_path / "docs")
    (folder / "evidence" / "pools" / "tiny.toml").unlink()
    (folder / "evidence" / "pools" / "timed.toml").write_text(POOL)
    (folder / "claims.toml").write_text(TIMED_CLAIMS)
    return folder


def timed_pool(docs: Path) -> TimingPool:
    pool = read_pool(docs / "evidence" / "pools" / "timed.toml", read_tasks(docs / "evidence" / "tasks.toml"))
    assert isinstance(pool, TimingPool)
    return pool


@pytest.fixture
def pool(docs: Path) -> TimingPool:
    return timed_pool(docs)


def hidden_size(trainer: TimedTrainer) -> int:
    return int(vars(trainer.model)["hidden_size"])


def busy(trainer: TimedTrainer) -> float:
    """Seconds that a step is to take: the wide model's twice those of the others."""
    return 0.006 if hidden_size(trainer) == 7 else 0.003


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps that take known times of a clock that stands otherwise; the hidden size of each that was taken."""
    taken = list[int]()
    now = [0.0]

    def slow_step(trainer: TimedTrainer, t: int) -> mx.array:  # noqa: ARG001  # as the step that it replaces
        now[0] += busy(trainer) * (1 + 0.004 * (len(taken) % 7))  # no two measurements are alike
        taken.append(hidden_size(trainer))
        return mx.zeros((len(trainer.members),))

    monkeypatch.setattr(timing, "clocks", lambda: (now[0], 2 * now[0]))
    monkeypatch.setattr(TimedTrainer, "step", slow_step)
    return taken


def found_in(docs: Path) -> dict[str, dict[str, Any]]:
    """The short budget's verdicts, by part."""
    pools = {"timed": timed_pool(docs)}
    registry = read_registry(docs / "claims.toml", pools)
    every = verdicts(registry, pools, {"timed": read_trials(docs / "evidence" / "trials" / "timed.jsonl")})
    return {entry["part"]: entry for entry in every if entry["budget"] == "short"}


def test_a_level_that_is_slower_is_found_and_one_that_is_not_is_not(
    docs: Path, pool: TimingPool, planted: Sequence[int]
) -> None:
    path = docs / "evidence" / "trials" / "timed.jsonl"
    run(pool, path, ["short"], lambda _: None)
    assert planted
    found = found_in(docs)
    assert found["wide"]["verdict"] == "supported" and found["wide of three"]["verdict"] == "supported"
    assert found["twin"]["finding"] == "negligible"
    assert found["speed"]["finding"] != "smaller" and found["speed"]["pooled"] > 0.7
    assert found["three"]["verdict"] == "supported"  # three models in a step that takes as long as one's
    wide = found["wide"]
    assert wide["ratio"] == 1.15 and 1.6 < wide["ratio"] ** wide["pooled"] < 2.1
    (task,) = wide["tasks"]
    assert task["unit"] == "s" and task["delta"] == pytest.approx(math.log(1.15)) and task["higher_is_better"]
    rows = {(row["level"].get("hidden_size"), row["level"]["population_size"], row["seed"]): row
            for row in read_trials(path) if "batch_size" not in row["level"]}  # fmt: skip
    for seed, first, second in task["pairs"]:
        for size, value in ((7, first), (4, second)):
            assert math.exp(value) == pytest.approx(rows[size, 1, seed]["seconds"] / 2, rel=1e-4)
            assert math.exp(value) == pytest.approx({7: 0.006, 4: 0.003}[size], rel=0.03)
    pools = {"timed": pool}
    text = table(read_registry(docs / "claims.toml", pools), list(found.values()))
    assert re.search(r"wide +more +supported .* (1\.9|2)[.\d]* \[(1\.9|2)[.\d]*, (1\.9|2)[.\d]*\] times", text)


def test_the_turns_of_other_processes_count_for_nothing() -> None:
    processor, wall = timing.clocks()
    time.sleep(0.02)
    processor, wall = timing.clocks()[0] - processor, timing.clocks()[1] - wall
    assert wall > 0.02 > processor or mx.default_device() != mx.Device(mx.cpu)


def test_a_trial_says_what_was_timed_beside_what(pool: TimingPool) -> None:
    (wanted,) = missing(pool, ["short"], [])
    assert len(wanted.groups) == 3 and {len(group) for group in wanted.groups} == {8}
    rows = train(wanted.groups[1])
    for row in rows:
        assert row.keys() == {*IDENTITY, "status", "seconds", "wall_seconds", "memory_mb", "sequences", "parameters",
                              "versions", "device", "blas", "native", "flush", "tanh", "code"}  # fmt: skip
        assert row["status"] == "finished" and 0 < row["seconds"] < 2 * row["wall_seconds"] and row["memory_mb"] > 0
        assert (row["seed"], row["data_seed"], row["steps"], row["stage"]) == (101, 101, 2, "timed")
        assert row["fixed"]["in_turn"] == pool.level_names("sines") and "narrow of 3" in row["fixed"]["in_turn"]
    assert rows == json.loads(json.dumps(rows))
    assert [row["level"] for row in rows[:2]] == [
        {"hidden_size": 4, "population_size": 1}, {"hidden_size": 4, "population_size": 3},
    ]  # fmt: skip
    assert [row["sequences"] for row in rows] == [32, 96] * 4
    model = CfC(1, 4, backbone_units=5, output_size=1, return_sequences=False)
    assert {row["parameters"] for row in rows[:2]} == {model.parameter_count}


def test_a_claim_is_timed_again_on_fresh_seeds(docs: Path, pool: TimingPool, planted: Sequence[int]) -> None:
    path = docs / "evidence" / "trials" / "timed.jsonl"
    assert not planted and run(pool, path, ["short"], lambda _: None)
    pools = {"timed": pool}
    registry = read_registry(docs / "claims.toml", pools)
    record = Record(pools=pools, registry=registry, verdicts=verdicts(registry, pools, {"timed": read_trials(path)}))
    parts = recorded_parts(record, registry["cost"], "short")
    rows = train_fresh(parts[:1], [300, 301, 302], math.inf, lambda _: None)
    assert {row["seed"] for row in rows} == {300, 301, 302} and {row["stage"] for row in rows} == {"fresh"}
    (found,) = reproduce(parts[:1], rows)
    assert found.fresh.verdict("more") == "supported" and abs(found.difference[0]) < 1
    (contrast,) = found.contrasts.values()
    assert len(contrast.pairs) == 3 and isinstance(DESIGNS["timing"], Reproducible)


def test_levels_take_turns_in_an_order_that_the_seed_shuffles(
    pool: TimingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, order = TimedTrainer.seconds, list[tuple[int, int, int]]()

    def noted(trainer: TimedTrainer, progress: Any) -> tuple[float, float]:
        order.append((hidden_size(trainer), len(trainer.members), trainer.config.batch_size or 0))
        return seconds(trainer, progress)

    monkeypatch.setattr(TimedTrainer, "seconds", noted)
    (wanted,) = missing(pool, ["short"], [])
    orders = []
    for group in wanted.groups[:2]:
        order.clear()
        train(group)
        rounds = [order[i : i + 8] for i in range(0, len(order), 8)]
        assert len(rounds) == 1 + ROUNDS and all(len(set(each)) == 8 for each in rounds)
        orders += rounds[1:]
    assert len({tuple(each) for each in orders}) == len(orders)


def test_the_first_steps_and_evaluations_are_not_counted(pool: TimingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    step, predict = TimedTrainer.step, PopulationTrainer.predict_validation

    def burn(seconds: float) -> None:
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    def slow_first(trainer: TimedTrainer, t: int) -> mx.array:
        burn(0.1 if trainer.steps_taken == 0 else 0.0)
        return step(trainer, t)

    def slow_prediction(trainer: TimedTrainer) -> Any:
        burn(0.05)
        return predict(trainer)

    monkeypatch.setattr(TimedTrainer, "step", slow_first)
    monkeypatch.setattr(PopulationTrainer, "predict_validation", slow_prediction)
    monkeypatch.setattr(TimedTrainer, "memory_mb", lambda _: 1.0)
    (wanted,) = missing(pool, ["short"], [])
    assert max(row["seconds"] for row in train(wanted.groups[0][:2])) < 0.04


def test_accumulating_takes_less_memory(docs: Path, pool: TimingPool) -> None:
    run(pool, docs / "evidence" / "trials" / "timed.jsonl", ["short"], lambda _: None)
    found = found_in(docs)["memory"]
    assert found["verdict"] == "supported" and found["tasks"][0]["unit"] == "MB"
    assert 0.2 < found["ratio"] ** found["pooled"] < 0.87


def test_layers_can_be_kept_from_running_in_c(docs: Path, pool: TimingPool) -> None:
    (docs / "evidence" / "pools" / "timed.toml").write_text("layers_in_c = false\n" + POOL.replace("[1, 3]", "[1]"))
    (wanted,) = missing(timed_pool(docs), ["short"], [])
    before = calls.copy()
    assert {row["native"] for row in train(wanted.groups[0])} == {"off"} and calls == before
    assert wanted.groups[0][0].identity["fixed"]["layers_in_c"] is False
    if is_native_on():
        train(missing(pool, ["short"], [])[0].groups[0][:1])
        assert calls["cfc backward"] > before["cfc backward"]


def interrupted_after(count: int) -> Callable[..., Any]:
    groups = 0

    def trained(runs: Sequence[Any]) -> Any:
        nonlocal groups
        if groups == count:
            raise KeyboardInterrupt
        groups += 1
        return train(runs)

    return trained


def test_what_a_killed_run_left_is_gone_on_with(
    docs: Path, pool: TimingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = docs / "evidence" / "trials" / "timed.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(timing, "train", interrupted_after(2))
        with pytest.raises(KeyboardInterrupt):
            run(pool, path, ["short"], lambda _: None)
    left = read_trials(path)
    assert {row["seed"] for row in left} == {100, 101} and len(left) == 16
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"seed": 100' in line)[:-9])  # as a full disk leaves it
    new = run(pool, path, ["short"], lambda _: None)
    assert {row["seed"] for row in new} == {100, 101, 102} and len(new) == 24  # a repeat is timed whole or not
    assert describe(pool, path, ["short"]) == "timed: nothing is missing"
    assert all(entry["verdict"] != "not measured" for entry in found_in(docs).values())


def test_a_repeat_beside_other_levels_is_another(docs: Path, pool: TimingPool) -> None:
    (wanted,) = missing(pool, ["short"], [])
    path = docs / "evidence" / "pools" / "timed.toml"
    path.write_text(POOL + "slim = { hidden_size = 3 }\n")
    rows = [one.identity | {"seconds": 1.0} for group in wanted.groups for one in group]
    (again,) = missing(timed_pool(docs), ["short"], rows)
    assert again.count == 3 * 10
    assert not {key_of(row) for row in rows} & {key_of(one.identity) for group in again.groups for one in group}


def test_a_dry_run_says_what_is_missing_and_times_nothing(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["timed", "--dry-run", "--docs", str(docs)]) == 0
    said = capsys.readouterr().out
    assert "timed short sines: 24 timed, about" in said and "timed long sines: 32 timed" in said
    assert not (docs / "evidence" / "trials").exists()


def test_one_that_diverges_is_counted_as_lost(docs: Path, pool: TimingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    step = TimedTrainer.step

    def diverging(trainer: TimedTrainer, t: int) -> mx.array:
        losses = step(trainer, t)
        if hidden_size(trainer) == 4 and trainer.members[0].config.seed == 100:
            trainer.matrix = trainer.matrix * math.nan
        return losses

    monkeypatch.setattr(TimedTrainer, "step", diverging)
    run(pool, docs / "evidence" / "trials" / "timed.jsonl", ["short"], lambda _: None)
    for part in ("wide", "wide of three"):
        (task,) = found_in(docs)[part]["tasks"]
        assert task["lost"] == 1 and [seed for seed, *_ in task["pairs"]] == [101, 102]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hidden_size = 5", "hidden_size = 4", "levels must differ, got narrow and twin alike"),
        ("hidden_size = 5", "warmup_share = 0.5", "levels.twin must train as many steps as the others"),
        ("learning_rate = 0.01", "", "fixed must hold 'learning_rate'"),
        ("long = 4", "large = 5", "repeats must be given for short and long"),
        ("long = 4", "long = 1", "repeats must be at least 2"),
        ("timed_steps", "timed_stops", "must not hold 'timed_stops'. Did you mean timed_steps"),
        ("[1, 3]", "[0, 3]", "population_sizes must be at least 1"),
    ],
)
def test_a_faulty_pool_is_refused(docs: Path, old: str, new: str, message: str) -> None:
    (docs / "evidence" / "pools" / "timed.toml").write_text(POOL.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        timed_pool(docs)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ratio = 2", "times = 2", "times must be left out: speed is compared by its ratio"),
        ("ratio = 2", "ratio = 0.5", "ratio must be above 1"),
        ("ratio = 1.15", "", "ratio must be"),
        ('statistic = "memory"', 'statistic = "test"', "deltas must hold one for 'sines'"),
        ('second = "wide", direction = "more", ratio = 2', 'second = "wild", direction = "more"', "got 'wild'"),
    ],
)
def test_a_faulty_claim_of_ratios_is_refused(docs: Path, pool: TimingPool, old: str, new: str, message: str) -> None:
    (docs / "claims.toml").write_text(TIMED_CLAIMS.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_registry(docs / "claims.toml", {"timed": pool})


def test_a_score_has_no_ratio_and_a_choice_of_levels_has_no_time(docs: Path, pool: TimingPool) -> None:
    (docs / "claims.toml").write_text(CLAIMS.replace('statistic = "test"', 'statistic = "test"\nratio = 2', 1))
    with pytest.raises(ValueError, match="ratio must be left out: test is compared by its difference"):
        read_registry(docs / "claims.toml", {"tiny": pool})
    (docs / "claims.toml").write_text(TIMED_CLAIMS.replace('first = "wide"', 'first = { best = ["wide", "twin"] }', 1))
    registry = read_registry(docs / "claims.toml", {"timed": pool})
    with pytest.raises(ValueError, match="a side must be a level, or one by task"):
        verdicts(registry, {"timed": pool}, {})
    assert set(RATIOS) <= set(STATISTICS)


@pytest.fixture(scope="module")
def recorded() -> dict[str, TimingPool]:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    every = {path.stem: read_pool(path, tasks) for path in sorted((DOCS / "evidence" / "pools").glob("*.toml"))}
    return {name: pool for name, pool in every.items() if isinstance(pool, TimingPool)}


def test_every_timed_level_is_part_of_a_contrast_and_fits_its_task(recorded: dict[str, TimingPool]) -> None:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    pools = {path.stem: read_pool(path, tasks) for path in sorted((DOCS / "evidence" / "pools").glob("*.toml"))}
    used: dict[str, set[str]] = {name: set() for name in recorded}
    for claim in read_registry(DOCS / "claims.toml", pools).values():
        for part in claim.parts:
            if part.pool in used and part.is_computed:
                for task in part.tasks:
                    used[part.pool] |= {*levels_of(part.first, task), *levels_of(part.second, task)}
    assert used == {name: {e for task in pool.tasks for e in pool.level_names(task)} for name, pool in recorded.items()}
    for pool in recorded.values():
        for spec in pool.tasks.values():
            sequences = len(make_task(spec, Level(name="", settings={}), 100 if spec.draw else None).train)
            for level in pool.levels_of(spec.name):
                assert level.settings.get("batch_size", 0) <= sequences


def test_recorded_times_belong_to_their_pools_and_come_from_one_processor(recorded: dict[str, TimingPool]) -> None:
    for name, pool in recorded.items():
        rows = read_trials(DOCS / "evidence" / "trials" / f"{name}.jsonl")
        wanted = missing(pool, ["short", "long"], [])
        known = {key_of(one.identity) for each in wanted for group in each.groups for one in group}
        keys = [key_of(row) for row in rows]
        assert len(set(keys)) == len(keys) and set(keys) <= known, name
        assert len({row["device"] for row in rows}) <= 1


def test_steps_of_equal_seconds_follow_from_the_recorded_times(recorded: dict[str, TimingPool]) -> None:
    pool = read_tuned_pool(DOCS / "evidence" / "pools" / "batch.toml", read_tasks(DOCS / "evidence" / "tasks.toml"))
    rows = read_trials(DOCS / "evidence" / "trials" / "batch_time.jsonl")
    written, measured = dict[str, float](), dict[str, float]()
    for level in pool.levels.values():
        for task, times in level.steps_times.items():
            mean_log = {
                size: fmean(math.log(row["seconds"]) for row in rows
                            if row["task"] == task and row["level"] == {"batch_size": size, "population_size": 1})
                for size in (32, level.settings["batch_size"])
            }  # fmt: skip
            written[f"{level.name} {task}"] = times
            measured[f"{level.name} {task}"] = math.exp(mean_log[32] - mean_log[level.settings["batch_size"]])
    assert recorded["batch_time"].repeats["short"] * 20 <= len(rows) and len(written) == 9
    assert written == pytest.approx(measured, rel=0.15)
