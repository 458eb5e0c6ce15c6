"""Known configurations, studies that grow, samplers of Optuna's, and an objective for a study of Optuna's own."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import CmaEsSampler, NSGAIISampler, TPESampler

from ncps_mlx import (
    LTC,
    FullyConnected,
    Halving,
    Hyperband,
    Integer,
    LogUniform,
    Record,
    Space,
    Study,
    Task,
    Uniform,
    When,
    tanh_implementation,
)
from ncps_mlx.search import objective, suggest

# Private: an error of a plan needs no study; what a sampler is told shows in a copy alone.
from ncps_mlx.search._growth import next_names
from ncps_mlx.search._optuna_sampler import known_by_configuration
from tests.small_study import FIXED, SPACE, outcome

NSGA2 = "optuna.samplers:NSGAIISampler"
CHOICES = Space(hidden_size=[3, 4], learning_rate=[1e-3, 3e-3, 1e-2, 3e-2])
KNOWN = [{"learning_rate": 0.01, "hidden_size": 4}, {"hidden_size": 3, "learning_rate": 0.03}]  # in any order
QUICK = FIXED | {"steps": 4}
SETTINGS: dict[str, Any] = {"trials": 8, "draws_per_shape": 2, "fixed": QUICK}


def small_generations(seed: int) -> NSGAIISampler:
    """A sampler of one's own, as a study in a storage wants it: made by a function that a path names."""
    return NSGAIISampler(population_size=4, seed=seed)


def needs_an_argument(size: int) -> NSGAIISampler:
    """What no study can call."""
    return NSGAIISampler(population_size=size)


def no_sampler() -> int:
    """What is none."""
    return 3


OWN = "tests.test_grow:small_generations"


def configs(study: Study) -> list[dict[str, Any]]:
    return [study.space.restrict(record.config) for record in study.records[:: len(study.config.seeds)]]


@pytest.fixture(scope="module")
def grown(task: Task) -> Study:
    """Eight trials that others grow from."""
    return Study(None, task, SPACE, **SETTINGS).run(progress=False)


@pytest.mark.parametrize("sampler", ["random", "quasi-random", "grid", "tpe", OWN])
def test_known_configurations_are_trained_first(task: Task, tmp_path: Path, sampler: str) -> None:
    space = CHOICES if sampler == "grid" else SPACE
    settings = SETTINGS | {"sampler": sampler, "seeds": (0, 1)} | ({"trials": None} if sampler == "grid" else {})
    path = tmp_path / "tuning.db" if sampler in ("random", "tpe") else None
    study = Study(path, task, space, first=KNOWN, **settings).run(progress=False, max_trials=5)
    if path is not None:
        assert study.config.first == Study(path, task, space, first=KNOWN, **settings).config.first
        study = Study.open(path)
    study.run(progress=False)
    found = configs(study)
    assert found[:2] == [space.restrict(config) for config in KNOWN]
    assert len(study.records) == 16 and len(set(map(repr, found))) == 8
    if study.config.plan[2:]:
        plain = Study(None, task, space, **settings).config.plan
        assert found[2:] == [config for config in plain if config not in found[:2]][:6]
    for first in () if path is None else ([], KNOWN[:1], KNOWN[::-1]):
        with pytest.raises(ValueError, match=r"made differently: first was \[\{'hidden_size': 4, .* and is \["):
            Study(path, task, space, first=first, **settings)
    record = study.records[1]
    assert record.seed == 1 and record.rerun(task).score == record.score


def test_a_longer_plan_begins_with_the_shorter_one(task: Task) -> None:
    space = Space(hidden_size=[3, 4], learning_rate=LogUniform(1e-3, 1e-1))
    drawn = Study(None, task, space, **SETTINGS).config.plan
    first = [drawn[5], {"hidden_size": 4, "learning_rate": 0.05}, drawn[1]]  # two of them would be drawn anyway
    for sampler in ("random", "quasi-random"):
        settings: dict[str, Any] = {"sampler": sampler, "first": first, "draws_per_shape": 2, "fixed": QUICK}
        longer, shorter = (Study(None, task, space, trials=n, **settings).config.plan for n in (20, 9))
        assert longer[:9] == shorter and shorter[:3] == first
        assert len(set(map(repr, longer))) == 20


def test_every_kind_of_value_may_be_known(task: Task, tmp_path: Path) -> None:
    space = Space(
        wiring=[None, FullyConnected(4)], hidden_size=When([3, 4], wiring=None), learning_rate=LogUniform(1e-3, 1),
        residual=[False, True], time_constant_range=[None, (0.2, 0.6)], ode_unfolds=Integer(2, 4),
    )  # fmt: skip
    rest: dict[str, Any] = {"learning_rate": 1, "residual": False, "time_constant_range": None, "ode_unfolds": 2}
    first = [
        {"wiring": FullyConnected(4), **rest, "time_constant_range": [0.2, 0.6]},
        {"wiring": None, "hidden_size": 3, **rest},
    ]
    path = tmp_path / "tuning.db"
    made = Study(path, task, space, model=LTC, trials=2, first=first, fixed={"steps": 2, "batch_size": 16})
    opened = Study.open(path).run(progress=False)
    assert made.config.first == opened.config.first == configs(opened)
    assert made.config.first[0]["time_constant_range"] == (0.2, 0.6)
    assert isinstance(made.config.first[1]["learning_rate"], float)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"hidden_size": 3}, r"first must be a sequence of configurations such as .*, got \{'hidden_size': 3\}"),
        (3, "first must be a sequence of configurations such as .*, got 3"),
        ([KNOWN[0], 3], r"first\[1\] must be a mapping of hyperparameters by name, got 3"),
        ([{"hidden": 3}], r"first\[0\] must name what the space varies \(hidden_size, .*, got 'hidden'\. Did you mean"),
        ([{"hidden_size": 3}], r"first\[0\] must have a value of learning_rate, got none"),
        ([KNOWN[0] | {"learning_rate": 0.2}], r"must have a learning_rate of LogUniform\(0\.001, 0\.1\), got 0\.2"),
        ([KNOWN[0] | {"learning_rate": math.nan}], r"first\[0\]\['learning_rate'\] must be .*, got nan"),
        ([KNOWN[0] | {"hidden_size": 5}], r"first\[0\] must have a hidden_size of \[3, 4\], got 5"),
        ([KNOWN[0] | {"hidden_size": None}], r"first\[0\] must have a hidden_size of \[3, 4\], got None"),
        ([*KNOWN, KNOWN[0]], r"first must hold distinct configurations, got first\[2\] equal to first\[0\]"),
        ([KNOWN[0] | {"learning_rate": 0.01 + i / 1e4} for i in range(9)], "at least the 9 configurations of first"),
    ],
)
def test_what_is_no_configuration_of_the_space_is_refused(task: Task, first: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(None, task, SPACE, first=first, **SETTINGS)


def test_a_known_configuration_has_what_exists_alone(task: Task) -> None:
    space = Space(num_layers=[1, 2], residual=When([False, True], num_layers=2))
    for first, message in (
        ([{"num_layers": 1, "residual": True}], r"must have no residual, which is When\(.*does not exist there, got T"),
        ([{"num_layers": 2}], r"must have a value of residual, got none"),
        ([{"num_layers": True}], r"must have a num_layers of \[1, 2\], got True"),
    ):
        with pytest.raises(ValueError, match=message):
            Study(None, task, space, sampler="grid", first=first, fixed=QUICK | {"hidden_size": 3})


def test_an_adaptive_sampler_has_no_place_for_them_among_brackets(task: Task) -> None:
    settings = SETTINGS | {"halving": Halving(eta=2, rungs=1), "first": KNOWN, "draws_per_shape": 4}
    for sampler in ("tpe", NSGA2):
        with pytest.raises(ValueError, match=rf"first must be empty with halving and sampler='{sampler}'.*'random'"):
            Study(None, task, SPACE, sampler=sampler, **settings)
    assert Study(None, task, SPACE, **settings).run(progress=False).records[0].config["learning_rate"] == 0.01


def test_a_study_of_before_has_no_known_configurations(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "tuning.db"
    stored = Study(path, task, SPACE, **SETTINGS).config.to_json()
    assert stored.pop("first") == []
    Study(path, task, SPACE, **SETTINGS)._store.set_config(stored)
    assert Study.open(path).config.first == Study(path, task, SPACE, **SETTINGS).config.first == []
    with pytest.raises(ValueError, match=r"made differently: first was \[\] and is \[\{'hidden_size'"):
        Study(path, task, SPACE, first=KNOWN, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "trials"),
    [
        ({"seeds": (0, 1, 2)}, 24),
        ({"seeds": (2, 0)}, 16),
        ({"space": Space(hidden_size=[3, 4], learning_rate=LogUniform(1e-4, 1)), "trials": 16}, 16),
        ({"space": Space(**SPACE.distributions, clip_norm=[None, 1.0]), "trials": 12}, 12),
        ({"space": Space(learning_rate=LogUniform(1e-4, 1), hidden_size=Integer(3, 9)), "trials": 10}, 10),
        ({"sampler": "tpe", "trials": 12}, 12),
        ({"sampler": NSGA2, "trials": 12, "seeds": (0, 1)}, 24),
        ({"trials": 11}, 11),
    ],
    ids=["seeds", "first seed later", "wider", "new hyperparameter", "other order", "tpe", "nsga2", "more"],
)
def test_what_was_trained_is_adopted(task: Task, grown: Study, changes: dict[str, Any], trials: int) -> None:
    before = outcome(grown)
    study = grown.extended(**changes)
    assert len(study.records) == 8 and repr(study).endswith(f"8 of {trials} trials done)")
    by_config = {json.dumps([record.config, record.seed], sort_keys=True): record for record in grown.records}
    for record in study.records:
        old = by_config[json.dumps([record.config, record.seed], sort_keys=True)]
        assert (record.score, record.history, record.seconds) == (old.score, old.history, old.seconds)
    study.run(progress=False)
    keys = {json.dumps([record.config, record.seed], sort_keys=True): record.score for record in study.records}
    assert len(keys) == trials and keys.items() >= {key: old.score for key, old in by_config.items()}.items()
    assert [record.trial for record in study.records] == list(range(trials))
    adopted, trained = study.records[0], study.records[-1]
    assert adopted.rerun(task).score == adopted.score and trained.rerun(task).score == trained.score
    assert outcome(grown) == before
    assert math.isfinite(study.best.score) and study.importance() and f"{trials} of {trials}" in study.summary()


def test_only_what_lies_in_the_new_space_is_adopted(grown: Study) -> None:
    inside = [record for record in grown.records if record.config["learning_rate"] <= 0.01]
    assert 0 < len(inside) < 8
    study = grown.extended(space=Space(hidden_size=[3, 4, 5], learning_rate=LogUniform(1e-3, 1e-2)))
    assert [record.score for record in study.records] == [record.score for record in inside]
    smaller = [record for record in grown.records if record.config["hidden_size"] == 3]
    study = grown.extended(space=Space(learning_rate=LogUniform(1e-3, 1e-1)), fixed={"hidden_size": 3})
    assert [record.score for record in study.records] == [record.score for record in smaller]


def test_a_space_without_what_was_trained_is_said(grown: Study) -> None:
    space = Space(**SPACE.distributions, clip_norm=[0.5, 2.0])  # where it was 1.0
    message = r"^None of the 8 configurations known lies in the new space: its clip_norm leaves out what they had\.$"
    with pytest.warns(UserWarning, match=message) as said:
        assert not grown.extended(space=space).records
    assert said[0].filename == __file__
    assert not Study(None, grown.task, SPACE, **SETTINGS).extended(trials=9).records  # nothing known, nothing to say


def test_other_settings_train_the_same_configurations_again(grown: Study) -> None:
    study = grown.extended(fixed={"steps": 6})
    assert not study.records
    assert study.config.plan == configs(grown) and study.config.fixed == grown.config.fixed | {"steps": 6}


def test_a_grid_grows(task: Task, grown: Study) -> None:
    grid = Study(None, task, CHOICES, sampler="grid", fixed=QUICK).run(progress=False)
    wider = grid.extended(space=Space(hidden_size=[4, 3, 5], learning_rate=[3e-3, 1e-2, 1e-1]))
    assert len(wider.records) == 4 and wider.config.trials == 9
    assert len({repr(config) for config in configs(wider.run(progress=False))}) == 9
    drawn = grid.extended(sampler="random", space=SPACE, trials=10)
    assert len(drawn.records) == 8 and drawn.config.trials == 10
    with pytest.raises(ValueError, match="trials must be left out for a grid"):
        grown.extended(sampler="grid", space=CHOICES, trials=8)


def test_what_cannot_be_extended_so_is_refused(grown: Study) -> None:
    for changes, message in (
        ({"trials": 5}, "trials must be at least the 8 configurations of first, got 5"),
        ({"space": {"hidden_size": [3]}}, "space must be a Space, got dict"),
        ({"fixed": 3}, "fixed must map names to values, got 3"),
        ({"fixed": {"hidden_size": 3}}, "fixed must not name what the space varies"),
        ({"seeds": ()}, "seeds must be a sequence of at least 1 integer"),
        ({"name": ""}, "name must be a non-empty string"),
        ({"sampler": "sobol"}, "sampler must be one of 'random'"),
    ):
        with pytest.raises(ValueError, match=message):
            grown.extended(**changes)


def test_records_of_other_means_are_trained_again_and_said(task: Task) -> None:
    with tanh_implementation("mlx"):
        old = Study(None, task, SPACE, **SETTINGS).run(progress=False, max_trials=4)
    with tanh_implementation("exp2"):
        old.run(progress=False)
        with pytest.warns(UserWarning, match=r"^4 of 8 trials are trained again: tanh was mlx and is exp2\.$") as said:
            study = old.extended(trials=9)
        assert said[0].filename == __file__
        assert len(study.records) == 4 and study.config.first == configs(old)
        assert {record.versions["tanh"] for record in study.run(progress=False).records} == {"exp2"}


def test_a_study_of_a_storage_is_extended_once_and_opened_again(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "tuning.db"
    study = Study(path, task, SPACE, name="rates", **SETTINGS).run(progress=False, max_trials=6)
    first = study.extended(seeds=(0, 1)).run(progress=False, max_trials=3)
    again = Study.open(path, "rates").extended(seeds=(0, 1))
    assert first.name == again.name == "rates 2" and len(again.records) == len(first.records) > 8
    assert study.extended(trials=9).name == study.extended(trials=9).name == "rates 3"
    assert study.extended("mine", trials=9).name == "mine"
    study.run(progress=False)
    after = study.extended(seeds=(0, 1))
    assert after.name == "rates 4" and len(after.records) == 8
    assert after.extended(seeds=(0, 1, 2)).name == "rates 5"
    with pytest.raises(ValueError, match=r"name must be new for another study; 'rates' in .*: first was"):
        study.extended("rates", seeds=(0, 1))
    assert len(Study.open(path, "rates").records) == 8
    assert outcome(Study.open(path, "rates 2").run(progress=False)) == outcome(first)
    assert list(islice(next_names("run 9"), 2)) == ["run 10", "run 11"]
    assert next(next_names("2")) == "2 2"


PROGRAM = """
import os, signal, sys
from ncps_mlx.search._storage.trial_store import TrialStore
from tests.small_study import die_after
from tests.test_grow import grow

die_after(int(sys.argv[3]))
add = TrialStore._frozen
left = int(sys.argv[2])
def frozen(self, spec, record=None):
    global left
    left -= record is not None
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)  # about to adopt one more
    return add(self, spec, record)
TrialStore._frozen = frozen
grow(sys.argv[1])
"""


def grow(storage: Path | str | None) -> Study:
    """A program that is run again until it ends."""
    from tests.small_study import task

    study = Study(storage, task(), SPACE, **SETTINGS).run(progress=False)
    space = Space(hidden_size=[3, 4], learning_rate=LogUniform(1e-4, 1))
    return study.extended(space=space, trials=12, seeds=(0, 1)).run(progress=False)


def test_killed_at_any_time_it_goes_on(tmp_path: Path) -> None:
    undisturbed = outcome(grow(None))
    path = tmp_path / "tuning.db"
    for adopted, trained in ((3, 99), (99, 5)):  # while it adopts, and after
        command = [sys.executable, "-c", PROGRAM, str(path), str(adopted), str(trained)]
        killed = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    study = grow(path)
    assert study.name == "study 2" and outcome(study) == undisturbed
    assert len(study.optuna.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == 24


@pytest.mark.parametrize("halving", [Halving(eta=2, rungs=1), Hyperband(eta=2, rungs=1)])
def test_a_halved_study_grows_with_what_it_pruned(task: Task, halving: Halving | Hyperband) -> None:
    old = Study(None, task, SPACE, **SETTINGS | {"halving": halving, "fixed": QUICK | {"evaluate_every": 1}})
    old.run(progress=False)
    study = old.extended(trials=16)
    assert len(study.records) == 8
    assert outcome(study) == outcome(old) and any(record.status == "pruned" for record in study.records)
    study.run(progress=False)
    assert len(study.records) == 16 and outcome(study)[:8] == outcome(old)
    states = [trial.state.name for trial in study.optuna.trials]
    assert states.count("PRUNED") == sum(record.status == "pruned" for record in study.records)
    assert study.records[0].rerun(task).score == study.records[0].score


@pytest.mark.parametrize("storage", [None, "tuning.db"])
def test_a_genetic_sampler_breeds_generations(task: Task, tmp_path: Path, storage: str | None) -> None:
    """What it notes of trials is kept between its populations: else each would be drawn at random."""
    path = None if storage is None else tmp_path / storage
    sampler = small_generations(0) if storage is None else OWN
    settings = SETTINGS | {"sampler": sampler, "trials": 16, "seeds": (0, 1)}
    study = Study(path, task, SPACE, first=KNOWN, **settings).run(progress=False, max_trials=14)
    study = study if path is None else Study.open(path)
    study.run(progress=False)
    assert len({repr(config) for config in configs(study)}) == 16 and len(study.records) == 32
    told = known_by_configuration(study._store, 2)
    generations = [trial.system_attrs["NSGAIISampler:generation"] for trial in told if trial.system_attrs]
    assert generations == sorted(generations) and max(generations) >= 2 and len(generations) >= 12
    scores = [record.score for record in study.records]
    assert [trial.value for trial in told] == [(a + b) / 2 for a, b in zip(scores[::2], scores[1::2], strict=True)]
    parents = study.optuna.user_attrs["ncps_mlx:sampler"]["NSGAIISampler:parent:1"]
    begun = [i for i, trial in enumerate(told) if trial.system_attrs.get("NSGAIISampler:generation") == 0]
    assert sorted(parents) == sorted(sorted(begun, key=lambda i: told[i].value or 0.0)[:4])
    assert all(record.rerun(task).score == record.score for record in study.records[::11])


def test_a_sampler_learns_from_what_is_adopted(grown: Study) -> None:
    study = grown.extended(sampler=small_generations(0), trials=12).run(progress=False)
    told = known_by_configuration(study._store, 1)
    assert [trial.system_attrs.get("NSGAIISampler:generation") for trial in told][:8] == [0] * 8
    assert {trial.system_attrs["NSGAIISampler:generation"] for trial in told[8:] if trial.system_attrs} >= {1}


def test_a_sampler_is_told_of_pruned_and_waiting_configurations(task: Task) -> None:
    settings = SETTINGS | {"halving": Halving(eta=2, rungs=1), "fixed": QUICK | {"evaluate_every": 1}, "seeds": (0, 1)}
    study = Study(None, task, SPACE, sampler=TPESampler(seed=0), **settings).run(progress=False, max_trials=1)
    told = known_by_configuration(study._store, 2)
    assert sorted(trial.state.name for trial in told) == ["COMPLETE", "PRUNED"]
    study.run(progress=False)
    assert len({repr(config) for config in configs(study)}) == 8
    waiting = Study(None, task, SPACE, first=KNOWN, sampler=TPESampler(seed=0), **SETTINGS)
    waiting.run(progress=False, max_trials=1)
    assert [trial.state.name for trial in known_by_configuration(waiting._store, 1)] == ["COMPLETE", "RUNNING"]


@pytest.mark.parametrize(
    ("sampler", "error", "message"),
    [
        (3, ValueError, "sampler must be one of 'random', .*, got 3. It may also be a sampler of Optuna's, or the "),
        (NSGAIISampler, ValueError, "sampler must be one of .*, got <class .*the path of one, 'optuna.samplers:NSGA"),
        ("optuna.samplers:Nsga", ValueError, "sampler must name a function, got 'optuna.samplers:Nsga': optuna"),
        ("optuna_samplers:Nsga", ImportError, "got 'optuna_samplers': optuna_samplers is neither installed nor in"),
        ("tests.test_grow:no_sampler", ValueError, "sampler must name a sampler of Optuna's, got int from 'tests"),
        ("tests.test_grow:needs_an_argument", ValueError, "without arguments but seed, got .*'size'. Name a function"),
        ("optuna.samplers:BruteForceSampler", ValueError, "sampler must be able to choose from the space, got .*infin"),
    ],
)
def test_what_is_no_sampler_is_refused(task: Task, sampler: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Study(None, task, SPACE, sampler=sampler, **SETTINGS)


def test_a_package_that_a_sampler_needs_is_missed_at_once(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)  # as if it were not installed
    for sampler in ("optuna.samplers:CmaEsSampler", CmaEsSampler(seed=0)):
        with pytest.raises(ImportError, match=r"sampler .*CmaEsSampler needs the package cmaes\. .*pip install cmaes"):
            Study(None, task, SPACE, sampler=sampler, **SETTINGS)


def test_an_object_is_for_a_study_in_memory(task: Task, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got an object of NSGAIISampler\. Name its class, 'optuna\.samplers:NSGA"):
        Study(tmp_path / "tuning.db", task, SPACE, sampler=NSGAIISampler(), **SETTINGS)
    assert not (tmp_path / "tuning.db").exists()
    sampler = TPESampler()
    sampler._constraints_func = lambda _: [0.0]  # as Optuna 4 and 5 keep it
    with pytest.raises(ValueError, match=r"sampler must have no constraints_func.*, got TPESampler"):
        Study(None, task, SPACE, sampler=sampler, **SETTINGS)


@pytest.mark.parametrize("storage", [None, "tuning.db"])
def test_an_objective_prunes_and_keeps_its_records(task: Task, tmp_path: Path, storage: str | None) -> None:
    fixed = FIXED | {"steps": 12, "evaluate_every": 4}
    url = None if storage is None else f"sqlite:///{tmp_path / storage}"
    study = optuna.create_study(
        storage=url, sampler=TPESampler(seed=0), pruner=optuna.pruners.MedianPruner(n_startup_trials=3)
    )
    study.optimize(objective(task, SPACE, fixed=fixed, seeds=(0, 1)), n_trials=15 if url is None else 6)
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}
    for trial in study.trials:
        records = [Record.from_json(text) for text in trial.user_attrs["records"]]
        histories = [record.history for record in records if record.history is not None]
        assert [record.seed for record in records] == [0, 1]
        assert [record.trial for record in records] == [2 * trial.number, 2 * trial.number + 1]
        assert {name: records[0].config[name] for name in SPACE.distributions} == trial.params
        each = [history.validation_score for history in histories]
        means = [sum(scores) / 2 for scores in zip(*each, strict=True)]
        last = histories[0].step[-1]
        assert list(trial.intermediate_values.values()) == pytest.approx(means, rel=1e-12)
        assert list(trial.intermediate_values) == list(histories[0].step)
        if trial.state.name == "PRUNED":
            assert records[0].status == "pruned" and last < 12
            assert records[0].reason == f"Optuna's pruner stopped it at step {last}"
        else:
            assert trial.value == sum(record.score for record in records) / 2
    best = [Record.from_json(text) for text in study.best_trial.user_attrs["records"]]
    assert [record.rerun(task).score for record in best] == [record.score for record in best]
    known = {name: best[0].config[name] for name in SPACE.distributions}
    alone = Study(None, task, SPACE, first=[known], trials=1, fixed=fixed).run(progress=False)
    assert alone.records[0].score == best[0].score and alone.records[0].history == best[0].history


@pytest.mark.parametrize("storage", [None, "tuning.db"])
def test_an_objective_that_diverges_is_as_bad_as_can_be(task: Task, tmp_path: Path, storage: str | None) -> None:
    url = None if storage is None else f"sqlite:///{tmp_path / storage}"
    study = optuna.create_study(storage=url)
    space = Space(learning_rate=[1e30])
    study.optimize(objective(task, space, fixed=FIXED | {"hidden_size": 3, "clip_norm": None}), n_trials=2)
    assert [trial.value for trial in study.trials] == [math.inf, math.inf]
    assert Record.from_json(study.trials[0].user_attrs["records"][0]).status == "diverged"


def test_an_objective_says_which_direction_it_needs(task: Task) -> None:
    train = objective(task, SPACE, fixed=QUICK)
    for made in ({"direction": "maximize"}, {"directions": ["minimize", "minimize"]}):
        with pytest.raises(ValueError, match=r"study must have the direction of the task's rmse, got .*\"minimize\"\)"):
            optuna.create_study(**made).optimize(train, n_trials=1)
    assert math.isfinite(train(optuna.trial.FixedTrial(KNOWN[0])))  # type: ignore[arg-type]  # it has all but a study
    with pytest.raises(ValueError, match="trial must be one of Optuna's, got dict"):
        train(KNOWN[0])  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ValueError, match=r"hidden_size or wiring must be given.*In the configuration"):
        objective(task, Space(learning_rate=[0.01]))


def test_a_trial_suggests_what_exists() -> None:
    space = Space(
        wiring=[None, FullyConnected(4)], hidden_size=When(Integer(3, 9, log=True), wiring=None),
        learning_rate=LogUniform(1e-3, 1), backbone_dropout=Uniform(0, 0.5),
    )  # fmt: skip
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        config = suggest(study.ask(), space)
        assert space.is_complete(config) and list(config) == [name for name in space.distributions if name in config]
        assert all(space.distributions[name].contains(value) for name, value in config.items())
        assert ("hidden_size" in config) == (config["wiring"] is None)
    with pytest.raises(ValueError, match="space must be a Space, got list"):
        suggest(study.ask(), [space])  # type: ignore[arg-type]  # that is the test
