"""A study written down: enough for another process to open it."""

from __future__ import annotations

import contextlib
import inspect
import json
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest

from ncps_mlx import LTC, Halving, Integer, LogUniform, Space, Study, Task, Uniform

# Private: what another process reads.
from ncps_mlx.search._config import StudyConfig
from ncps_mlx.search._storage.trial_store import TrialStore, read_config
from tests.shared_study import study_of
from tests.small_study import FIXED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


def test_a_configuration_holds_every_argument(task: Task, path: Path) -> None:
    space = Space(
        ode_unfolds=Integer(2, 5), learning_rate=LogUniform(1e-3, 1e-1), backbone_dropout=Uniform(0.0, 0.4),
        time_constant_range=[None, (0.2, 0.6)], clip_norm=[None, 1.0],
    )  # fmt: skip
    made = Study(
        path, task.take(30), space, model=LTC, sampler="tpe", trials=5, seeds=(3, 1), name="whole", population_size=7,
        draws_per_shape=3, sampler_seed=11,
        fixed={"backbone_layers": 1, "hidden_size": 4, "steps": 3, "batch_size": 16},
    )  # fmt: skip
    opened = Study.open(path, "whole")
    first, second, kept = (
        json.dumps(config)
        for config in (made.config.to_json(), opened.config.to_json(), read_config(path, "whole"))
    )
    assert first == second == kept
    assert repr(opened.space) == repr(made.space) and opened.config.fixed == made.config.fixed
    assert StudyConfig.from_json(read_config(path, "whole")).to_json() == made.config.to_json()
    of_study, of_config = (set(inspect.signature(each).parameters) for each in (Study, StudyConfig))
    assert of_study == of_config | {"storage", "name"}


def test_a_study_of_an_earlier_version_is_refused(task: Task, path: Path) -> None:
    store = TrialStore(path, "old", Space(learning_rate=[0.1]), higher_is_better=False, n_trials=1)
    store.set_attribute("ncps_mlx:definition", {"population": 32, "members_per_shape": 8})
    before = path.read_bytes()
    for open_again in (lambda: Study.open(path, "old"), lambda: study_of(task, path, name="old")):
        with pytest.raises(ValueError, match=r"'old' in .* was made by an earlier one.*under a new name"):
            open_again()
    assert path.read_bytes() == before


def test_equal_shapes_of_a_bracket_come_one_after_another(task: Task) -> None:
    space = Space(learning_rate=[0.1, 0.03, 0.01], hidden_size=[4, 8])
    config = Study(None, task, space, sampler="grid").config
    assert [index for index, _ in config.ordered_plan] == [0, 2, 4, 1, 3, 5]
    halved = Study(None, task, space, sampler="grid", halving=Halving(eta=2, rungs=1, bracket_size=3)).config
    assert [index for index, _ in halved.ordered_plan] == [0, 2, 1, 4, 3, 5]
    assert [halved.bracket(trial).first for trial in range(6)] == [0, 0, 0, 3, 3, 3]


def test_what_cannot_be_opened_is_named(task: Task, path: Path) -> None:
    with pytest.raises(ValueError, match=r"storage must be a file that is there, got .*tuning\.db"):
        Study.open(path)
    study_of(task, path, name="mine")
    optuna.create_study(storage=f"sqlite:///{path}", study_name="theirs")
    for name in ("absent", "theirs"):
        with pytest.raises(
            ValueError, match=rf"name must be that of a study in .*, which holds 'mine', got '{name}'"
        ):
            Study.open(path, name)
    with pytest.raises(
        ValueError, match=r"task must hold the data of the study, with hash .*, got 'irregular sines'"
    ):
        Study.open(path, "mine", task=task.take(20))
    with pytest.raises(ValueError, match="task must be a Task, got int"):
        Study.open(path, "mine", task=3)  # type: ignore[arg-type]  # that is the test


def test_a_file_that_holds_no_study_is_left_as_it_is(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("create table photos (name)")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"name must be that of a study in .*, which holds none, got 'study'"):
        Study.open(path)
    assert path.read_bytes() == before


def test_a_task_from_arrays_needs_to_be_given(task: Task, path: Path) -> None:
    bare = Task("bare", task.train, task.validation, task.test)
    study = study_of(bare, path)
    with pytest.raises(
        ValueError,
        match=r"got one made from arrays in 'study'\. Put the code .* with ncps_mlx\.data\.load_task",
    ):
        study.run(workers=2, progress=False)
    with pytest.raises(ValueError, match=r"made from arrays in this study.*--task module:function"):
        Study.open(path)
    assert len(Study.open(path, task=bare).run(progress=False).records) == 12


def test_a_hyperparameter_that_came_later_does_not_lock_a_study(task: Task, path: Path) -> None:
    study = study_of(task, path)
    stored = study.config.to_json()
    del stored["fixed"]["patience"]  # as if it had been made before there was one
    study._store.set_config(stored)
    assert study_of(task, path).config.fixed["patience"] is None
    assert Study.open(path).config.fixed["patience"] is None
    with pytest.raises(ValueError, match=r"made differently: fixed\.patience was None and is 3"):
        study_of(task, path, fixed={**FIXED, "patience": 3})


@pytest.mark.parametrize("size", [0, 2.5, "x"])
def test_a_population_size_is_checked_when_it_is_changed(task: Task, size: Any) -> None:
    study = study_of(task, None)
    with pytest.raises(ValueError, match="population_size must be"):
        study.population_size = size
    assert study.population_size == 2
