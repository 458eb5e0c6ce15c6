"""Studies on a tiny task, really trained: plans, records, resuming after Ctrl-C and after a kill."""

import contextlib
import copy
import dataclasses
import itertools
import math
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import optuna
import pytest

from ncps_mlx import (
    LTC,
    NCP,
    AutoNCP,
    FullyConnected,
    Integer,
    LogUniform,
    Record,
    Space,
    Study,
    Task,
    Uniform,
    When,
    evaluate,
    fit,
    plots,
)
from ncps_mlx.data import irregular_sines

# Private: where training is cut off, and the connection that leaves a lock.
from ncps_mlx.search._record import TrialPopulation
from ncps_mlx.search._storage.sqlite import Connection
from ncps_mlx.stats import interval
from ncps_mlx.wirings import Circuit
from tests.small_study import make_study
from tests.small_study import outcome as trained

SMALL = {"backbone_units": 5, "batch_size": 16}
FAST = {**SMALL, "hidden_size": 4, "steps": 4}
RANGES = Space(
    hidden_size=[3, 4, 6], learning_rate=LogUniform(1e-3, 1e-1), backbone_dropout=Uniform(0.0, 0.4)
)


def outcome(study: Study) -> list[tuple[Any, ...]]:
    """Everything that must not depend on interruptions, to the last bit."""
    return [
        (run.trial, tuple(sorted(run.config.items())), run.seed, run.score, run.status, run.history)
        for run in study.records
    ]


class Interrupting:
    """Training that is cut off by Ctrl-C in its n-th population."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.real, self.calls, self.at = TrialPopulation.train, 0, at
        monkeypatch.setattr(TrialPopulation, "train", lambda *args: self(*args))

    def __call__(self, *args: Any) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        self.real(*args)


def test_grid_trains_every_combination_with_every_seed(task: Task) -> None:
    space = Space(learning_rate=[1e-3, 1e-2], hidden_size=[3, 4], clip_norm=[None, 1.0])
    study = Study(None, task, space, sampler="grid", seeds=(5, 7), fixed={**SMALL, "steps": 4})
    assert study.run(progress=False) is study
    records = study.records
    assert [run.trial for run in records] == list(range(16))
    seen = {
        (r.config["learning_rate"], r.config["hidden_size"], r.config["clip_norm"], r.seed) for r in records
    }
    assert len(seen) == 16
    assert all(run.status == "finished" and run.task == task.name for run in records)
    assert all(run.config["backbone_units"] == 5 and run.config["schedule"] == "cosine" for run in records)
    table = study.table()
    assert list(table) == [
        "trial", "learning_rate", "hidden_size", "clip_norm", "seed", "score", "status", "seconds",
    ]  # fmt: skip
    assert {len(column) for column in table.values()} == {16}


def test_a_record_is_what_a_lone_model_gives(task: Task) -> None:
    study = Study(
        None, task, RANGES, trials=3, seeds=(0, 9), fixed={**SMALL, "steps": 6}, draws_per_shape=3
    )
    for run in study.run(progress=False).records[::2]:
        model = run.build()
        training = ("steps", "batch_size", "learning_rate", "backbone_dropout")
        history = fit(
            model, task, seed=run.seed, progress=False, **{name: run.config[name] for name in training}
        )
        assert history.best_score == run.score == evaluate(model, task, "validation")
        assert run.history == history


def test_rerun_gives_the_recorded_score_bit_for_bit(task: Task) -> None:
    study = Study(None, task, RANGES, trials=4, draws_per_shape=2, fixed={**SMALL, "steps": 6})
    for run in study.run(progress=False).records:
        again = Record.from_json(run.to_json()).rerun(task)
        assert (again.score, again.history, again.config) == (run.score, run.history, run.config)


def test_wirings_are_choices_like_any_other(task: Task, tmp_path: Path) -> None:
    own = Circuit([[0, 1, 1], [-1, 0, 1], [1, -1, 0]], [[1, 0, -1]], output_size=2)
    space = Space(wiring=[AutoNCP(7, 2), FullyConnected(5), own], learning_rate=[1e-3, 1e-2])
    settings: dict[str, Any] = {
        "model": LTC,
        "sampler": "grid",
        "fixed": {"initial_ranges": {"slope": (2, 3)}, "ode_unfolds": 2, "steps": 3, "batch_size": 16},
    }
    study = Study(tmp_path / "a.db", task, space, **settings).run(progress=False)
    records = study.records
    assert len({run.score for run in records}) == 6
    names = study.table()["wiring"]
    assert names[0] == "AutoNCP(7, 2)" and names[2] == "FullyConnected(5)" and names[4].startswith("Circuit(")
    for run, wiring in zip(records[::2], (AutoNCP(7, 2), FullyConnected(5), own), strict=True):
        again = Record.from_json(run.to_json())
        assert again == run
        assert again.build().wiring == wiring
        assert again.config["initial_ranges"] == {"slope": (2, 3)}
        assert (again.rerun(task).score, again.rerun(task).history) == (run.score, run.history)
    kept = Study(tmp_path / "a.db", task, space, **settings)
    assert kept.records == records
    assert kept._store.configs()[4]["wiring"] == records[4].config["wiring"]
    text = plots.alt_text(plots.sweep(records, "wiring", hue="learning_rate"))
    assert any(f"best {name} with learning rate" in text for name in names)
    plots.differences([*records, *replaced(records)], "wiring", AutoNCP(7, 2))


@pytest.mark.parametrize("sampler", ["random", "quasi-random", "tpe", "grid"])
def test_knobs_that_exist_only_beside_others(task: Task, tmp_path: Path, sampler: str) -> None:
    ranges: dict[str, Any] = {
        "units": Integer(3, 6),
        "rate": LogUniform(1e-3, 1e-1),
        "dropout": Uniform(0.1, 0.4),
    }
    if sampler == "grid":
        ranges = {"units": [3, 5], "rate": [1e-2], "dropout": [0.0, 0.2]}
    space = Space(
        wiring=[None, AutoNCP(7, 2)],
        hidden_size=When(ranges["units"], wiring=None),
        backbone_layers=When([0, 1], wiring=None),
        backbone_units=When(ranges["units"], backbone_layers=Integer(1, 8)),
        learning_rate=ranges["rate"],
        backbone_dropout=When(ranges["dropout"], backbone_layers=[1]),
    )
    settings: dict[str, Any] = {"sampler": sampler, "fixed": {"steps": 2, "batch_size": 16}}
    if sampler != "grid":
        settings |= {"trials": 12, "draws_per_shape": 1 if sampler == "tpe" else 2}
    where = tmp_path / "a.db" if sampler in ("grid", "tpe") else None
    study = Study(where, task, space, **settings).run(progress=False)
    table = study.table()
    seen = set()
    for i, run in enumerate(study.records):
        row = {name: column[i] for name, column in table.items()}
        dense, deep = run.config["wiring"] is None, row["backbone_layers"] == 1
        seen |= {("dense", dense), ("deep", deep)}
        assert (row["hidden_size"] is None, row["backbone_layers"] is None) == (not dense, not dense)
        assert (row["backbone_units"] is None, row["backbone_dropout"] is None) == (not deep, not deep)
        assert run.config["backbone_units"] == (row["backbone_units"] if deep else 128)
        stored = next(t for t in study.optuna.trials if t.user_attrs["trial"] == run.trial)
        assert set(stored.params) == {
            name for name in space.distributions if row[name] is not None or name == "wiring"
        }
    assert len(seen) == 4
    assert len(study.records) == (1 + 2 * (1 + 4) if sampler == "grid" else 12)
    assert where is None or outcome(Study(where, task, space, **settings)) == outcome(study)


def replaced(records: list[Record]) -> list[Record]:
    """The same trials with another seed, for figures that need two."""
    return [dataclasses.replace(run, seed=1, score=run.score + 0.5 + run.trial / 10) for run in records]


def test_initial_ranges_and_a_fixed_wiring(task: Task) -> None:
    wiring = NCP(4, 3, 2, sensory_fanout=2, inter_fanout=2, recurrent_command_synapses=3, motor_fanin=2)
    space = Space(initial_ranges=[None, {"slope": (1.0, 2.0)}])
    fixed = {"wiring": wiring, "ode_unfolds": 2, "steps": 3, "batch_size": 16}
    study = Study(None, task, space, model=LTC, sampler="grid", fixed=fixed).run(progress=False)
    assert study.table()["initial_ranges"] == [None, "{'slope': (1.0, 2.0)}"]
    first, second = study.records
    assert first.score != second.score == second.rerun(task).score
    assert first.build().wiring == wiring
    again = {name: value for name, value in second.config.items() if name != "learning_rate"}
    rates = Space(learning_rate=[second.config["learning_rate"]])  # a record's configuration can be fixed
    repeated = Study(None, task, rates, model=LTC, sampler="grid", fixed=again).run(progress=False)
    assert repeated.best.score == second.score


def test_a_whole_plan_is_enqueued_at_once_and_sorted_by_shape(task: Task) -> None:
    study = Study(None, task, RANGES, trials=40, draws_per_shape=4, seeds=(0, 1), fixed={**SMALL, "steps": 1})
    trials = study.optuna.trials
    assert {trial.state.name for trial in trials} == {"WAITING"}
    assert sorted(trial.user_attrs["trial"] for trial in trials) == list(range(80))
    widths = [trial.params["hidden_size"] for trial in trials]
    assert len([width for width, _ in itertools.groupby(widths)]) == len(set(widths)) == 3
    places = [trial.user_attrs["trial"] for trial in trials]
    assert places != sorted(places)  # a shape came up again later


def test_a_drawn_shape_is_one_population_of_eight(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = TrialPopulation.__init__

    def counted(self: TrialPopulation, *args: Any) -> None:
        real(self, *args)
        sizes.append(len(self.trials))

    monkeypatch.setattr(TrialPopulation, "__init__", counted)
    space = Space(hidden_size=Integer(2, 60), learning_rate=LogUniform(1e-3, 1e-1))
    for sampler in ("random", "quasi-random", "tpe"):
        sizes.clear()
        study = Study(None, task, space, sampler=sampler, trials=24, fixed={**SMALL, "steps": 1})
        assert len({run.config["hidden_size"] for run in study.run(progress=False).records}) == 3
        assert sizes == [8, 8, 8]


def test_random_draws_are_seeded(task: Task) -> None:
    def draws(seed: int) -> list[Any]:
        study = Study(None, task, RANGES, trials=5, fixed={**SMALL, "steps": 1}, sampler_seed=seed)
        return list(study.run(progress=False).table()["learning_rate"])

    assert draws(0) == draws(0) != draws(1)


@pytest.mark.parametrize("sampler", ["random", "grid", "quasi-random", "tpe"])
def test_a_file_keeps_the_study(task: Task, tmp_path: Path, sampler: str) -> None:
    space = Space(learning_rate=[1e-3, 1e-2, 1e-1], time_constant_range=[None, (0.2, 0.6)])
    more = {} if sampler == "grid" else {"trials": 4}
    settings: dict[str, Any] = {
        "model": LTC,
        "sampler": sampler,
        "fixed": FAST | {"backbone_layers": 1},
        **more,
    }
    first = Study(tmp_path / "tuning.db", task, space, **settings).run(progress=False)
    second = Study(f"sqlite:///{tmp_path / 'tuning.db'}", task, space, **settings)
    assert second.records == first.records
    assert len(second.run(progress=False).records) == (6 if sampler == "grid" else 4)
    assert {trial.state.name for trial in second.optuna.trials} == {"COMPLETE"}


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("storage", [None, "tuning.db"])
def test_ctrl_c_leaves_a_study_that_resumes(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, storage: str | None
) -> None:
    settings: dict[str, Any] = {
        "trials": 6, "draws_per_shape": 2, "seeds": (0, 1), "population_size": 3, "fixed": {**SMALL, "steps": 4},
    }  # fmt: skip
    undisturbed = outcome(Study(None, task, RANGES, **settings).run(progress=False))
    where = None if storage is None else tmp_path / storage
    study = Study(where, task, RANGES, **settings)
    with monkeypatch.context() as patch:
        Interrupting(patch, at)
        with pytest.raises(KeyboardInterrupt):
            study.run(progress=False)
    assert len(study.records) < len(undisturbed)
    assert "RUNNING" not in {trial.state.name for trial in study.optuna.trials}
    if where is not None:
        study = Study(where, task, RANGES, **settings)
    assert outcome(study.run(progress=False)) == undisturbed


def test_ctrl_c_between_two_writes_loses_nothing(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"trials": 5, "fixed": FAST}
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    undisturbed = outcome(Study(None, task, space, **settings).run(progress=False))
    study = Study(None, task, space, **settings)
    real, calls = study._store.set_state, []

    def cut_off(key: int, state: str, values: Any = None) -> bool:
        calls.append(state)
        if calls.count("COMPLETE") == 3 and state == "COMPLETE":
            raise KeyboardInterrupt  # the record is written, the trial not yet marked as done
        return real(key, state, values)

    monkeypatch.setattr(study._store, "set_state", cut_off)
    with pytest.raises(KeyboardInterrupt):
        study.run(progress=False)
    monkeypatch.undo()
    assert outcome(study.run(progress=False)) == undisturbed


def test_ctrl_c_in_a_statement_leaves_no_lock(tmp_path: Path) -> None:
    """As SQLAlchemy ends a connection when Ctrl-C hits a statement: closed, while the exception holds its cursor."""
    path = str(tmp_path / "a.db")
    first = sqlite3.connect(path, isolation_level=None, factory=Connection)
    first.execute("create table t (a)")
    first.execute("insert into t values (1), (2)")
    first.execute("begin immediate")
    first.execute("insert into t values (3)")
    held = first.execute("select a from t")
    assert held.fetchone() == (1,)
    first.close()
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as second, second:
        second.execute("insert into t values (4)")
        assert second.execute("select sum(a) from t").fetchone() == (7,)


def test_tpe_resumes_without_losing_or_doubling(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "sampler": "tpe", "trials": 9, "draws_per_shape": 4, "seeds": (0, 1), "fixed": {**SMALL, "steps": 3},
    }  # fmt: skip
    study = Study(tmp_path / "tuning.db", task, RANGES, **settings)
    with monkeypatch.context() as patch:
        Interrupting(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            study.run(progress=False)
    before = [trial.params for trial in study.optuna.trials if trial.state.name == "WAITING"]
    study = Study(tmp_path / "tuning.db", task, RANGES, **settings).run(progress=False)
    records = study.records
    assert [run.trial for run in records] == list(range(18))
    assert [run.seed for run in records] == [0, 1] * 9
    assert len({run.config["learning_rate"] for run in records}) == 9
    for params in before:
        assert any(params.items() <= run.config.items() for run in records)
    widths = [run.config["hidden_size"] for run in records[::2]]
    assert len(set(widths[:4])) == len(set(widths[4:8])) == 1


def test_tpe_questions_cut_off_are_forgotten(task: Task, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sampler": "tpe", "trials": 4, "fixed": FAST}
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    study = Study(tmp_path / "tuning.db", task, space, **settings)
    study.optuna.enqueue_trial({}, user_attrs={"trial": 0, "seed": 0})
    study.optuna.ask()
    study.optuna.enqueue_trial({}, user_attrs={"trial": 1, "seed": 0})
    study = Study(tmp_path / "tuning.db", task, space, **settings).run(progress=False)
    assert [run.trial for run in study.records] == [0, 1, 2, 3]


def test_tpe_learns(task: Task) -> None:
    space = Space(learning_rate=LogUniform(1e-6, 1.0))
    study = Study(None, task, space, sampler="tpe", trials=40, fixed=FAST | {"steps": 8})
    rates = [math.log10(rate) for rate in study.run(progress=False).table()["learning_rate"]]
    best = math.log10(study.best.config["learning_rate"])
    early, late = (sum(abs(rate - best) for rate in part) / len(part) for part in (rates[:10], rates[-16:]))
    assert late < early


KILLED = """
import sys
from tests.small_study import die_after
from tests.test_search import search
die_after(5)
search(sys.argv[1], sys.argv[2]).run(progress=False)
"""


def search(storage: Path | str | None, sampler: str) -> Study:
    return Study(
        storage,
        irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7),
        Space(hidden_size=[3, 4, 6], learning_rate=LogUniform(1e-3, 1e-1)),
        trials=12,
        draws_per_shape=2,
        population_size=2,
        sampler=sampler,
        fixed={**SMALL, "steps": 40},
    )


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_killed_process_resumes(tmp_path: Path, sampler: str) -> None:
    path = tmp_path / "tuning.db"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), sampler], cwd=Path(__file__).parents[1], check=False
    )
    assert child.returncode == -signal.SIGKILL
    study = search(path, sampler)
    begun = outcome(study)
    assert len(begun) == 5
    resumed = outcome(study.run(progress=False))
    assert [run[0] for run in resumed] == list(range(12))
    assert all(run in resumed for run in begun)
    if sampler == "random":
        assert resumed == outcome(search(None, sampler).run(progress=False))


def test_a_study_may_grow_but_not_shrink(task: Task, tmp_path: Path) -> None:
    space = Space(hidden_size=[3, 4], learning_rate=LogUniform(1e-3, 1e-1))
    settings: dict[str, Any] = {"draws_per_shape": 2, "seeds": (0, 1), "fixed": {**SMALL, "steps": 2}}
    small = outcome(Study(tmp_path / "a.db", task, space, trials=3, **settings).run(progress=False))
    grown = outcome(Study(tmp_path / "a.db", task, space, trials=6, **settings).run(progress=False))
    assert grown[:6] == small
    assert grown == outcome(Study(None, task, space, trials=6, **settings).run(progress=False))
    with pytest.raises(ValueError, match=r"trials must be at least the 6 that 'study' in .*a\.db has, got 5"):
        Study(tmp_path / "a.db", task, space, trials=5, **settings)


def test_a_plan_added_twice_is_trained_once(task: Task) -> None:
    space = Space(hidden_size=[3, 4], learning_rate=[1e-2, 1e-1])
    study = Study(None, task, space, sampler="grid", fixed={**SMALL, "steps": 2})
    for trial in study.optuna.trials[1:3]:
        study.optuna.add_trial(trial)
    assert [run.trial for run in study.run(progress=False).records] == [0, 1, 2, 3]
    assert [trial.state.name for trial in study.optuna.trials] == ["COMPLETE"] * 4 + ["FAIL"] * 2


def test_another_study_of_the_same_name_is_refused(task: Task, tmp_path: Path) -> None:
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    Study(tmp_path / "a.db", task, space, fixed=FAST)
    wider = Space(learning_rate=LogUniform(1e-3, 1.0))
    for change, message in (
        (
            {"space": wider},
            r"space.learning_rate was LogUniform\(0.001, 0.1\) and is LogUniform\(0.001, 1.0\)",
        ),
        ({"fixed": FAST | {"steps": 5}}, "fixed.steps was 4 and is 5"),
        ({"task": task.take(32)}, "data_hash was .* and is"),
        ({"sampler": "tpe"}, "sampler was random and is tpe"),
        ({"seeds": (0, 1)}, r"seeds was \[0\] and is \[0, 1\]"),
        ({"sampler_seed": 1}, "sampler_seed was 0 and is 1"),
        ({"model": LTC}, "model was CfC and is LTC"),
    ):
        given: dict[str, Any] = {"task": task, "space": space, "fixed": FAST}
        given |= change
        with pytest.raises(ValueError, match=f"name must be new for another study; 'study' .*{message}"):
            Study(tmp_path / "a.db", **given)
    Study(tmp_path / "a.db", task, wider, fixed=FAST, name="another")


def test_the_order_of_knobs_is_part_of_a_study(task: Task, tmp_path: Path) -> None:
    """Draws are made in it: in another order, a longer plan would not begin with the shorter one."""
    hyperparameters = {"learning_rate": LogUniform(1e-3, 1e-1), "initial_scale": LogUniform(0.5, 2.0)}
    Study(tmp_path / "a.db", task, Space(**hyperparameters), trials=2, fixed=FAST)
    turned = Space(**dict(reversed(hyperparameters.items())))
    with pytest.raises(
        ValueError, match=r"space was \['learning_rate', 'initial_scale'\] and is \['initial_scale', 'lea"
    ):
        Study(tmp_path / "a.db", task, turned, trials=4, fixed=FAST)


@pytest.mark.parametrize("name", ["a?b.db", "a{b}.db", "50%20.db", "a {SCHEMA_VERSION}#?.db"])
def test_a_file_may_have_any_name(task: Task, tmp_path: Path, name: str) -> None:
    space = Space(learning_rate=[0.1])
    made = Study(tmp_path / name, task, space, sampler="grid", fixed=FAST).run(progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert Study.open(tmp_path / name).records == made.records


def test_what_others_put_in_the_file_is_left_alone(task: Task, tmp_path: Path) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path / 'a.db'}", study_name="study").optimize(
        lambda _: 0.0, 1
    )
    optuna.create_study(storage=f"sqlite:///{tmp_path / 'a.db'}", study_name="upwards", direction="maximize")
    for name in ("study", "upwards"):
        with pytest.raises(ValueError, match="name must be that of a study made here"):
            Study(tmp_path / "a.db", task, Space(learning_rate=[0.1]), trials=1, fixed=FAST, name=name)


def test_what_others_put_into_a_study_is_no_trial_of_its_plan(task: Task) -> None:
    space = Space(learning_rate=[1e-2, 1e-1])
    undisturbed = outcome(Study(None, task, space, sampler="grid", fixed=FAST).run(progress=False))
    study = Study(None, task, space, sampler="grid", fixed=FAST)
    study.optuna.add_trial(optuna.trial.create_trial(value=0.0))
    study.optuna.tell(study.optuna.ask(), 0.0)  # one of the plan, taken and given a score from elsewhere
    assert outcome(study.run(progress=False)) == undisturbed


def test_a_diverging_trial_is_a_result(task: Task) -> None:
    space = Space(learning_rate=[1e-2, 1e38], clip_norm=[None])
    study = Study(None, task, space, sampler="grid", seeds=(0, 1), fixed=FAST | {"schedule": "constant"})
    records = study.run(progress=False).records
    assert [run.status for run in records] == ["finished", "finished", "diverged", "diverged"]
    assert records[2].score == math.inf
    assert "became" in str(records[2].reason)
    assert {trial.state.name for trial in study.optuna.trials} == {"COMPLETE"}
    assert study.best.config["learning_rate"] == 1e-2


def test_no_trial_that_converged_is_said_with_the_reasons(task: Task) -> None:
    space = Space(learning_rate=[1e37, 1e38])
    study = Study(None, task, space, sampler="grid", fixed=FAST | {"clip_norm": None})
    with pytest.raises(RuntimeError, match=r"'study' has no trial yet. Call run\(\) first"):
        study.best  # noqa: B018  # the property itself raises
    study.run(progress=False)
    with pytest.raises(RuntimeError, match=r"2 of 2 diverged \(.*became.*Search smaller learning rates"):
        study.best  # noqa: B018  # the property itself raises


def test_the_best_configuration_has_the_best_mean(task: Task) -> None:
    study = Study(
        None, task, Space(learning_rate=[1e-3, 1e-2, 1e-1]), sampler="grid", seeds=range(3), fixed=FAST
    )
    records = study.run(progress=False).records
    means = [interval([run.score for run in records[i : i + 3]]).mean for i in (0, 3, 6)]
    best = study.best
    assert best.trial // 3 == means.index(min(means))
    assert best.score == min(run.score for run in records if run.config == best.config)


def test_a_target_at_every_step() -> None:
    every = irregular_sines(n_train=32, n_validation=16, n_test=16, readings=6, targets="every")
    study = Study(None, every, Space(), sampler="grid", fixed=FAST).run(progress=False)
    assert study.best.sizes["return_sequences"] is True
    assert study.best.build()(mx.array(every.test.x))[0].shape == every.test.y.shape


def test_progress_counts_members_and_shows_the_best(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", seeds=(0, 1), fixed=FAST)
    study.run(progress=True)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert f"best={study.best.score:.4g}" in shown
    assert re.search(r"4/4 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+(trial/s|s/trial), best=", shown)  # time left, rate
    assert "Trial" not in shown  # Optuna's own notes


def test_a_limit_of_memory_changes_no_bit(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    def study() -> Study:
        return Study(None, task, Space(learning_rate=[1e-3, 1e-2, 3e-2]), sampler="grid", fixed=FAST)

    free, tight = study().run(progress=False), study().run(memory_mb=1e-3)
    assert [run.history for run in tight.records] == [run.history for run in free.records]
    assert "1 of 3 members at a time: each needs about" in capsys.readouterr().err
    with pytest.raises(ValueError, match="memory_mb must be above 0, got 0"):
        study().run(memory_mb=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": None}, "task must be a Task, got NoneType"),
        ({"space": {"learning_rate": [0.1]}}, "space must be a Space, got dict"),
        ({"model": dict}, "model must be CfC, LTC, GRU, LSTM or a class of your own .*, got <class 'dict'>"),
        ({"sampler": "sobol"}, "sampler must be one of 'random', 'quasi-random', 'grid', 'tpe', got 'sobol'"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"sampler": "grid", "trials": 3}, "trials must be left out for a grid"),
        (
            {"space": Space(learning_rate=Uniform(0.1, 1)), "sampler": "grid"},
            "learning_rate must be a list of",
        ),
        ({"seeds": 3}, "seeds must be a sequence of at least 1 integer"),
        ({"seeds": ()}, "seeds must be a sequence of at least 1 integer"),
        ({"seeds": (1, 1)}, r"seeds must be distinct, got \[1, 1\]"),
        ({"seeds": (-1,)}, "seeds must be at least 0, got -1"),
        ({"population_size": 0}, "population_size must be at least 1"),
        ({"draws_per_shape": 0}, "draws_per_shape must be at least 1"),
        ({"name": ""}, "name must be a non-empty string"),
        ({"name": "a\0b"}, "name must be .*, none of them NUL, got 'a.x00b'"),
        ({"name": "a" * 513}, "name must be a non-empty string of at most 512 characters"),
        (
            {"fixed": FAST | {"learning_rate": 0.1}},
            "fixed must not name what the space varies, got learning_rate",
        ),
        ({"fixed": FAST | {"seed": 1}}, r"seed must be given as seeds=\(0, 1, 2\)"),
        ({"fixed": FAST | {"ode_unfolds": 3}}, r"ode_unfolds must be a hyperparameter of CfC or of fit\. LTC has it"),
        ({"fixed": FAST | {"initializer": print}}, "initializer must be None, a bool"),
        (
            {"fixed": SMALL},
            "hidden_size or wiring must be given, exactly one of them, got neither. In the conf",
        ),
        (
            {"fixed": FAST | {"batch_size": 49}},
            "batch_size must be at most the 48 training sequences, got 49",
        ),
        ({"fixed": FAST | {"mode": "gated"}}, "mode must be one of"),
        ({"fixed": FAST | {"warmup_steps": 9}}, "warmup_steps must be below the 4 steps"),
        ({"space": Space(weight_decay=[0.0, 0.1])}, "weight_decay must be 0 with optimizer='adam'"),
        ({"space": Space(ode_unfolds=Integer(1, 3))}, "ode_unfolds must be a hyperparameter of CfC or of fit"),
        (
            {"space": Space(weight_decay=[0.1]), "sampler": "tpe", "trials": 1},
            "weight_decay must be 0 with optimizer='adam'",
        ),
        ({"trials": 10**9, "space": Space(learning_rate=Uniform(0.1, 1))}, "trials must be at most 100000"),
        ({"storage": True}, "storage must be None, a path or a URL, got True"),
        ({"storage": 5}, "storage must be None, a path or a URL, got 5"),
        ({"fixed": FAST | {"hiden_size": 3}}, r"hiden_size must be .*Did you mean hidden_size\?"),
        ({"storage": "nowhere/tuning.db"}, "storage must lie in a folder that exists, got nowhere/tuning.db"),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(
    task: Task, change: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {
        "storage": None,
        "task": task,
        "space": Space(learning_rate=[0.1, 0.01]),
        "fixed": FAST,
    }
    given |= {"trials": 2} if "sampler" not in change else {}
    with pytest.raises(ValueError, match=message):
        Study(**(given | change))


@pytest.mark.parametrize(
    ("space", "trials"),
    [
        (Space(hidden_size=Integer(4, 8)), 5),
        (Space(hidden_size=[4, 5], clip_norm=[None, 1.0], schedule=["cosine", "constant"]), 8),
        (Space(hidden_size=Integer(4, 60), num_layers=[1, 2]), 16),
        (Space(backbone_layers=[0, 1], backbone_dropout=When([0.0, 0.1, 0.2], backbone_layers=1)), 4),
    ],
    ids=["shapes alone", "all of a space", "two of shape", "conditions"],
)
def test_tpe_trains_no_configuration_twice(task: Task, space: Space, trials: int) -> None:
    fixed = {"hidden_size": 4, **SMALL, "steps": 2}
    fixed = {name: value for name, value in fixed.items() if name not in space.distributions}
    study = Study(None, task, space, sampler="tpe", trials=trials, seeds=(0, 1), draws_per_shape=4, fixed=fixed)
    records = study.run(progress=False).records
    configs = [repr(space.restrict(record.config)) for record in records]
    assert len(records) == 2 * trials and len(set(configs)) == trials
    if not math.isinf(space.size):
        with pytest.raises(ValueError, match=r"trials must be at most \d+, the size of the space"):
            Study(None, task, space, sampler="tpe", trials=int(space.size) + 1, fixed=fixed)


@pytest.mark.parametrize("values", [np.logspace(-3, -1, 3), np.array([1e-3, 1e-2, 1e-1])])
def test_an_array_is_a_list_of_choices(values: np.ndarray) -> None:
    assert repr(Space(learning_rate=values)) == repr(Space(learning_rate=[0.001, 0.01, 0.1]))
    assert repr(Space(num_layers=range(1, 4))) == "Space(num_layers=[1, 2, 3])"


def test_another_programs_database_is_left_alone(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table photos (name)")
    before = path.read_bytes()
    for storage in (path, f"sqlite:///{path}"):
        with pytest.raises(ValueError, match=r"storage must be a new file or a database of studies, got .*photos"):
            Study(storage, task, Space(learning_rate=[0.1]), sampler="grid", fixed=FAST)
    assert path.read_bytes() == before


@pytest.mark.parametrize("way", [copy.deepcopy, lambda study: pickle.loads(pickle.dumps(study))])
def test_a_copy_of_a_study_holds_its_trials_and_goes_on_alone(way, tmp_path):
    study = make_study(None).run(progress=False, max_trials=4)
    twin = way(study)
    assert trained(twin) == trained(study) and repr(twin) == repr(study)
    study.run(progress=False)
    assert len(twin.records) < len(study.records)
    assert trained(twin.run(progress=False)) == trained(study)
    stored = make_study(tmp_path / "tuning.db")
    again = way(stored)  # the same study, opened once more
    stored.run(progress=False, max_trials=2)
    assert trained(again) == trained(stored) != []
