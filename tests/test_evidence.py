"""Pools of trials: what is planned, trained and written down; what a killed process leaves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import LTC, CfC, FullyConnected
from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.plan import IDENTITY, Row, _beyond, index_of, key_of, report, tuning
from ncps_mlx._evidence.pool import Level, TunedPool, read_tasks, read_tuned_pool
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.tasks import make_task
from ncps_mlx._evidence.train import populations, train
from ncps_mlx._evidence.trial_file import (
    SHARED,
    append,
    as_bytes,
    forget,
    read_trials,
    rewritten,
    sorted_trials,
)
from ncps_mlx._evidence.tuned import missing
from ncps_mlx.data import irregular_sines
from tests.evidence_pool import POOL, tiny_pool, write_docs

ROOT = Path(__file__).parents[1]

FIELDS = {
    *IDENTITY, "status", "best_step", "largest_loss", "last_loss", "scores", "last", "metrics", "seconds", "parameters",
    "versions", "device", "blas", "native", "flush", "tanh", "code",
}  # fmt: skip


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write_docs(tmp_path / "docs")


@pytest.fixture
def pool(docs: Path) -> TunedPool:
    return tiny_pool(docs)


def without_time(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_trial_says_what_was_trained_where_and_how_well(pool: TunedPool) -> None:
    wanted = tuning(pool, pool.tasks["sines"], "short", {}).missing
    assert len(wanted) == (4 * 2 + 1) * 3  # one level has a rate of its own
    groups = populations(wanted)
    assert sum(map(len, groups)) == len(wanted)
    for group in groups:
        assert len({member.level.name == "few" for member in group}) == 1
    rows = train(groups[0])
    assert all(row.keys() == FIELDS for row in rows)
    assert rows[0]["level"] == {"hidden_size": 4, "learning_rate": 0.003}
    assert rows[0]["fixed"] == {"model": "CfC", "backbone_units": 5, "batch_size": 16}
    assert rows[0]["seed"] == rows[0]["data_seed"] == 0 and rows[0]["steps"] == 6
    assert rows == json.loads(json.dumps(rows))
    (member,) = [
        member
        for member in groups[0]
        if (member.rate, member.level.name, member.seed, member.data_seed) == (0.01, "narrow", 1, 1)
    ]
    (alone,) = train([member])
    assert without_time([alone]) == without_time([row for row in rows if key_of(row) == key_of(member.identity)])
    model = CfC(1, 4, backbone_units=5, output_size=1, return_sequences=False)
    assert alone["parameters"] == model.parameter_count


def test_levels_change_the_task_its_steps_or_the_size_that_equals_parameters(pool: TunedPool) -> None:
    wanted = {member.level.name: member for member in tuning(pool, pool.tasks["sines"], "long", {}).missing}
    assert wanted["warm"].settings["warmup_steps"] == 6
    few = make_task(wanted["few"].task, wanted["few"].level, 5)
    assert len(few.train) == 20
    assert few.data_hash == irregular_sines(40, 13, 17, readings=7, seed=5).take(20, 5).data_hash
    counts = {name: train([member])[0]["parameters"] for name, member in wanted.items()}
    assert abs(counts["as_wide"] / counts["wide"] - 1) < 0.05
    assert wanted["as_wide"].identity["level"]["hidden_size"] == wanted["as_wide"].settings["hidden_size"] > 7
    third = replace(wanted["narrow"], level=replace(wanted["narrow"].level, divide_steps_by=3))
    assert third.steps == third.settings["steps"] == 4
    more = replace(wanted["narrow"], level=replace(wanted["narrow"].level, steps_times={"sines": 1.3}))
    assert more.steps == more.settings["steps"] == 15 and "steps_times" not in more.identity["level"]
    assert key_of(more.identity) != key_of(wanted["narrow"].identity)


@pytest.mark.parametrize(
    ("form", "mean", "factor"),
    [(["in_unit", 10], 10, None), (["in_periods", "period", 0.1], None, 0.1 / 4), (["z_scored"], 0, None)],
)
def test_time_in_another_unit_is_the_same_time(pool: TunedPool, form: Any, mean: Any, factor: Any) -> None:
    level = replace(pool.levels["narrow"], forms=[form])
    task = make_task(replace(pool.tasks["sines"], period=4.0), level, 1)
    raw = irregular_sines(40, 13, 17, readings=7, seed=1)
    train, test, before = (np.asarray(split.time_delta) for split in (task.train, task.test, raw.test))
    slope, offset = np.polyfit(before.ravel(), test.ravel(), 1)
    assert test == pytest.approx(slope * before + offset, abs=1e-4) and slope > 0
    assert mean is None or train.mean() == pytest.approx(mean, abs=1e-5)
    assert factor is None or slope == pytest.approx(factor)


def test_a_silent_gap_is_a_step_of_its_own_after_each_reading(pool: TunedPool) -> None:
    spec = replace(pool.tasks["sines"], arguments={**pool.tasks["sines"].arguments, "targets": "every"})
    level = replace(pool.levels["narrow"], forms=[["with_silent_gaps", 0.5]])
    task, plain = make_task(spec, level, 1), make_task(spec, replace(level, forms=[]), 1)
    mean = float(np.asarray(plain.train.time_delta).mean())
    for name, split in task.splits.items():
        given = plain.splits[name]
        assert np.array_equal(split.x[:, ::2, :1], given.x) and not split.x[:, 1::2].any() and split.x[:, ::2, 1].all()
        steps, before = np.asarray(split.time_delta), np.asarray(given.time_delta)
        assert (steps[:, ::2] == 0.5).all() and steps[:, 1::2] == pytest.approx(before / mean, rel=1e-5)
        assert np.array_equal(split.y[:, 1::2], given.y) and np.isnan(split.y[:, ::2]).all()
    guess = np.zeros_like(plain.test.y)
    assert task.score(np.repeat(guess, 2, axis=1)) == plain.score(guess)
    regular = make_task(spec, replace(level, forms=[["without_time"], ["with_silent_gaps", 0.5]]), 1)
    assert regular.steps == plain.steps  # all steps last alike: there is nothing to tell


def test_gaps_until_the_next_reading_are_those_of_the_one_after() -> None:
    spec = read_tasks(ROOT / "docs" / "evidence" / "tasks.toml")["xor"]
    level = Level(name="held", settings={}, forms=[["with_gaps_until_next", 0.125]])
    task, plain = make_task(spec, level, 3), make_task(spec, Level(name="plain", settings={}), 3)
    for name, split in task.splits.items():
        each = (split.time_delta, plain.splits[name].time_delta, split.mask)
        for own, since, there in zip(*map(np.asarray, each), strict=True):
            assert own[there].tolist() == [*since[there][1:], 0.125]
    silent = make_task(spec, replace(level, forms=[*level.forms, ["with_silent_gaps", 1.0]]), 3)
    assert np.array_equal(np.asarray(silent.test.mask), np.repeat(np.asarray(task.test.mask), 2, axis=1))
    assert np.array_equal(silent.test.y, plain.test.y)


def test_a_wiring_has_neurons_of_its_own(pool: TunedPool) -> None:
    wiring = {"name": "FullyConnected", "units": 5, "output_size": 5, "self_connections": True, "seed": 1}
    level = Level(name="wired", settings={"wiring": wiring}, model="LTC")
    pool = replace(pool, fixed={"hidden_size": 4, "batch_size": 16}, levels={"wired": level})
    member = tuning(pool, pool.tasks["sines"], "short", {}).missing[0]
    assert "hidden_size" not in member.settings
    assert train([member])[0]["parameters"] == LTC(1, wiring=FullyConnected(5, seed=1), output_size=1).parameter_count


def scored(pool: TunedPool, best: float, grid: list[float]) -> dict[str, Row]:
    """Tuning trials on these rates, the best of which is the one nearest to ``best``."""
    rows = []
    for member in tuning(replace(pool, rates=grid), pool.tasks["sines"], "short", {}).missing:
        rows.append(member.identity | {"scores": {"validation": abs(member.rate - best)}})
    return index_of(rows)


def test_rates_are_chosen_on_tuning_seeds_and_edges_are_extended_twice(pool: TunedPool) -> None:
    pool = replace(pool, rates=[0.003, 0.01, 0.03])
    task, inside = pool.tasks["sines"], [0.003, 0.01, 0.03]
    done = tuning(pool, task, "short", scored(pool, 0.01, inside))
    assert not done.missing and set(done.chosen.values()) == {0.01, 0.02}
    assert {member.seed for member in report(pool, task, "short", done.chosen)} == {100, 101, 102}
    more = tuning(pool, task, "short", scored(pool, 1.0, inside))
    assert {member.rate for member in more.missing} == {0.1}
    assert {member.level.name for member in more.missing} == {"narrow", "wide", "few", "as_wide"}
    last = tuning(pool, task, "short", scored(pool, 1.0, [*inside, 0.1, 0.3]))
    assert not last.missing and last.chosen["narrow"] == 0.3
    low = tuning(pool, task, "short", scored(pool, 0.0, inside))
    assert {member.rate for member in low.missing} == {0.001}


def test_a_level_that_diverges_while_tuned_is_not_chosen_there(pool: TunedPool) -> None:
    index = scored(pool, 0.01, [0.003, 0.01])
    for row in index.values():
        if row["level"]["learning_rate"] == 0.01 and row["seed"] == 1:
            row["scores"] = {"validation": None}
    chosen = tuning(replace(pool, rates=[0.003, 0.01]), pool.tasks["sines"], "short", index)
    assert {member.rate for member in chosen.missing} == {0.001}  # the lower edge was chosen


def test_a_trial_that_two_levels_share_is_trained_once(pool: TunedPool) -> None:
    fixed_rate = replace(pool.levels["narrow"], name="same", settings={"hidden_size": 4, "learning_rate": 0.01})
    more = replace(pool, levels={**pool.levels, "same": fixed_rate})
    members = tuning(more, more.tasks["sines"], "short", {})
    assert len(members.missing) == 27 == len({key_of(member.identity) for member in members.missing})
    assert len(members.members) == 30


@pytest.mark.parametrize(("rate", "above"), [(1e-3, 3e-3), (3e-3, 1e-2), (0.1, 0.3), (0.3, 1.0), (3e-4, 1e-3)])
def test_rates_go_on_in_ones_and_threes(rate: float, above: float) -> None:
    assert (_beyond(rate, 1), _beyond(above, -1)) == (above, rate)


@pytest.mark.slow
def test_a_killed_run_loses_at_most_the_population_in_flight(docs: Path, tmp_path: Path) -> None:
    path = docs / "evidence" / "trials" / "tiny.jsonl"
    command = [sys.executable, "-m", "ncps_mlx._evidence", "tiny", "--budget=short", f"--docs={docs}"]
    told = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or []:
            told += int(line.partition(": ")[2].split()[0])
            if told > 10:
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL
    pool, left = tiny_pool(docs), read_trials(path)
    assert told <= len(left) < 27 + 5 * 3
    with path.open("a") as file:
        file.write('{"pool": "ti')  # as a full disk leaves it
    assert read_trials(path) == left
    known = {key_of(row) for row in left}
    new = run(pool, path, ["short"], lambda _: None)
    assert not known & {key_of(row) for row in new}
    again = tmp_path / "again.jsonl"
    run(pool, again, ["short"], lambda _: None)
    assert without_time(read_trials(path)) == without_time(read_trials(again))
    assert describe(pool, path, ["short"]) == "tiny: nothing is missing"


def trial(budget: str, seed: int, code: str = "abc") -> dict[str, Any]:
    shared = {"pool": "tiny", "task": "sines", "budget": budget, "stage": "report", "fixed": {"model": "CfC"},
              "data": {}, "steps": 6, "versions": {"mlx": "0.32"}, "code": code}  # fmt: skip
    return shared | {"level": {"hidden_size": 4}, "seed": seed, "data_seed": seed, "scores": {"test": seed / 7}}


def test_what_trials_share_is_written_once(tmp_path: Path) -> None:
    rows = [trial("short", 100), trial("short", 101), trial("long", 100), trial("long", 101, code="def")]
    path = tmp_path / "tiny.jsonl"
    for row in rows:  # as populations end, one after the other
        append(path, [row])
    assert read_trials(path) == rows
    with rewritten(path):
        pass
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert ["id" in line for line in lines] == [True, False, True, False, True, False, False]
    assert not any(name in line for line in lines if "id" not in line for name in SHARED)
    assert read_trials(path) == sorted_trials(rows) and path.read_bytes() == as_bytes(sorted_trials(rows))


def test_lines_that_hold_all_of_a_trial_are_read_and_put_together(tmp_path: Path) -> None:
    rows = [trial("short", seed) for seed in range(3)]
    path = tmp_path / "tiny.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_trials(path) == rows
    with rewritten(path):
        pass
    assert path.read_bytes() == as_bytes(rows)


def test_every_cut_of_an_append_loses_no_more_than_it(tmp_path: Path) -> None:
    path, before, new = tmp_path / "tiny.jsonl", [trial("short", 100)], [trial("long", seed) for seed in (100, 101)]
    append(path, before)
    whole = path.read_bytes() + as_bytes(new)
    for end in range(len(path.read_bytes()), len(whole)):
        path.write_bytes(whole[:end])
        left = read_trials(path)
        assert left == [*before, *new][: len(left)] and len(left) >= 1
        with rewritten(path):
            append(path, [row for row in new if row not in left])
        assert read_trials(path) == sorted_trials([*before, *new])


def test_a_trial_whose_shared_line_is_gone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    path.write_bytes(b"".join(as_bytes([trial("short", 100)]).splitlines(keepends=True)[1:]))
    with pytest.raises(ValueError, match=r"tiny\.jsonl: line 1 must come after the line of what it shares"):
        read_trials(path)


def test_trials_are_forgotten_by_budget(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    append(path, [trial("short", 100), trial("long", 100)])
    forget(path, ["short"])
    assert read_trials(path) == [trial("long", 100)]
    forget(tmp_path / "none.jsonl", ["short"])
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.slow
def test_stale_trials_of_a_budget_are_trained_again(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = docs / "evidence" / "trials" / "tiny.jsonl"
    assert main(["tiny", "--budget", "short", "--docs", str(docs)]) == 0
    append(path, [read_trials(path)[0] | {"budget": "long"}])
    capsys.readouterr()
    assert main(["tiny", "--budget", "short", "--stale", "--docs", str(docs)]) == 0
    short, long = ([row for row in read_trials(path) if row["budget"] == budget] for budget in ("short", "long"))
    assert f"tiny: {len(short)} trials are new" in capsys.readouterr().out and len(long) == 1


def test_two_cannot_train_one_pool_at_once(tmp_path: Path) -> None:
    path = tmp_path / "trials" / "tiny.jsonl"
    with rewritten(path), pytest.raises(ValueError, match="must not be written by two at once"), rewritten(path):
        pass
    with rewritten(path):
        pass


def test_a_dry_run_says_what_is_missing_and_trains_nothing(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--dry-run", "--docs", str(docs)]) == 0
    said = capsys.readouterr().out
    assert "tiny short sines: 27 tune, then 15 or more to report, about" in said and "tiny long sines" in said
    assert not (docs / "evidence" / "trials").exists()


def test_what_changes_in_a_pool_is_trained_again(pool: TunedPool, tmp_path: Path) -> None:
    index = index_of(member.identity for member in tuning(pool, pool.tasks["sines"], "short", {}).missing)
    changed = replace(pool, fixed={**pool.fixed, "backbone_units": 6})
    assert len(tuning(changed, pool.tasks["sines"], "short", index).missing) == 27
    rows = [member.identity for member in tuning(changed, pool.tasks["sines"], "short", {}).missing]
    append(tmp_path / "rows.jsonl", rows)
    assert read_trials(tmp_path / "rows.jsonl") == rows


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tasks = ["sines"]', 'tasks = ["sinse"]', "tasks must be those of tasks.toml, got 'sinse'. Did you mean"),
        ("rates = [0.003, 0.01]", "rates = [0.01, 0.003]", "rates must be ascending"),
        ("hidden_size = 7", "hiden_size = 7", "hiden_size must be a hyperparameter of CfC"),
        ('parameters_of = "wide"', 'parameters_of = "wild"', "parameters_of must name a level, got 'wild'"),
        ("hidden_size = 7", "hidden_size = 4", "levels must differ, got narrow and wide alike"),
        ("hidden_size = 7", "steps = 7", "steps must be left out: the budget decides it"),
        ("purpose", "porpoise", "must not hold 'porpoise'. Did you mean purpose"),
        ("hidden_size = 7", 'only = ["vowels"]', "levels.wide must name tasks of the pool, got 'vowels'"),
        ("hidden_size = 7", "steps_times = { vowels = 2 }", "levels.wide: steps_times must hold 'sines'"),
    ],
)
def test_a_faulty_pool_is_refused(docs: Path, old: str, new: str, message: str) -> None:
    path = docs / "evidence" / "pools" / "tiny.toml"
    path.write_text(POOL.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_tuned_pool(path, read_tasks(docs / "evidence" / "tasks.toml"))


def test_what_is_missing_is_estimated_from_what_was_trained(pool: TunedPool) -> None:
    (first,) = missing(pool, ["short"], [])
    assert first.seconds == pytest.approx(42 * 6 * 0.1 / 100)
    rows = [first.groups[0][0].identity | {"seconds": 12.0, "status": "finished"}]
    (then,) = missing(pool, ["short"], rows)
    assert then.seconds == pytest.approx(41 * 12.0)


def test_the_task_is_what_tasks_toml_says() -> None:
    for spec in read_tasks(ROOT / "docs" / "evidence" / "tasks.toml").values():
        task = make_task(spec, Level(name="plain", settings={}), 100 if spec.draw else None)
        assert task.score_units == spec.unit and task.metric == spec.metric
