"""A study written down: enough for another process to open it."""

from __future__ import annotations

import contextlib
import inspect
import json
import sqlite3
from pathlib import Path

import optuna
import pytest

from ncps_mlx import LTC, Integer, LogUniform, Space, Study, Task, Uniform

# Private: what another process reads.
from ncps_mlx.search._definition import restored, written
from ncps_mlx.search._storage.trial_store import read_definition
from tests.shared_study import study_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


def test_a_definition_holds_every_argument(task: Task, path: Path) -> None:
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
        json.dumps(definition, sort_keys=True)
        for definition in (written(made), written(opened), read_definition(path, "whole"))
    )
    assert first == second == kept
    assert repr(opened.space) == repr(made.space) and opened.fixed == made.fixed
    known = restored(written(made)).keys() | {"storage", "name"}
    assert set(inspect.signature(Study.__init__).parameters) - {"self"} <= known


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
