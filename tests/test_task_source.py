"""How a task was made: each loader's note makes the same data again."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import Task, data

# Private: a source as it is written down.
from ncps_mlx.data._loading import build_task
from ncps_mlx.data._source import TaskSource

LOADERS: dict[str, dict[str, Any]] = {
    "sunspots": {"months_per_step": 6},
    "glucose": {"n_train": 21, "n_validation": 11, "n_test": 12, "readings": 5, "seed": 3},
    "japanese_vowels": {"validation_share": 0.3},
    "co2": {"n_train": 21, "n_validation": 11, "n_test": 12, "readings": 5, "seed": 3},
    "remifentanil": {"readings": 4, "seed": 3},
    "hdl": {"n_train": 21, "n_validation": 11, "n_test": 12, "readings": 5, "seed": 3},
    "injected_anomalies": {"points_per_step": 12, "seed": 2},
    "irregular_sines": {
        "n_train": 21, "n_validation": 11, "n_test": 12, "readings": 5, "noise": 0.1, "targets": "every",
        "shortest": 0.1, "longest": 0.8, "seed": 3,
    },
    "bitstream_xor": {
        "length": 7, "encoding": "dense", "n_train": 21, "n_validation": 11, "n_test": 12, "seed": 3,
    },
}  # fmt: skip
MODULE = """
import numpy as np
from ncps_mlx import Split, Task
def make(n=7, scale=1.0):
    x = scale * np.arange(n * 15, dtype=float).reshape(n, 5, 3)
    parts = [Split(x=x + i, y=x[:, -1, :1] / 100) for i in range(3)]
    return Task("mine", *parts)
def nothing():
    return 3
"""


def again(task: Task) -> Task:
    assert task.source is not None
    return build_task(TaskSource.from_json(task.source.to_json()))


def test_every_loader_is_listed() -> None:
    others = ("baselines", "detection", "load", "from_file")  # test_table.py has the last
    loaders = [name for name in data.__all__ if name[0].islower() and not name.startswith(others)]
    assert sorted(LOADERS) == sorted(loaders)


@pytest.mark.parametrize("name", LOADERS)
def test_a_loaders_note_makes_the_same_data(name: str) -> None:
    task = getattr(data, name)(**LOADERS[name])
    assert again(task).data_hash == task.data_hash != getattr(data, name)().data_hash


def test_what_was_derived_is_derived_again() -> None:
    task = data.irregular_sines(30, 11, 12, readings=6)
    derived = task.take(20, 3).scaled_time("log").take(9)
    assert again(derived).data_hash == derived.data_hash != again(task).data_hash == task.data_hash
    for other in (task.with_gap_as_input(), task.without_time()):
        assert again(other).data_hash == other.data_hash
        assert again(other).input_size == other.input_size


def test_a_source_is_written_as_studies_hold_it() -> None:
    source = data.sunspots(12).take(9).source
    assert source is not None
    text = source.to_json()
    assert text == (
        '{"arguments": {"months_per_step": 12}, "maker": "ncps_mlx.data:sunspots", "steps": [["take", [9, 0]]]}'
    )
    assert TaskSource.from_json(text) == source


def test_a_task_from_arrays_has_no_source() -> None:
    task = data.irregular_sines(9, 7, 5, readings=6)
    bare = Task("bare", task.train, task.validation, task.test)
    assert bare.source is None and bare.take(5).source is None


@pytest.mark.parametrize("form", ["own_tasks", "own_tasks.py", "{folder}/own_tasks.py"])
def test_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    (tmp_path / "own_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_tasks", raising=False)
    task = data.load_task(form.format(folder=tmp_path) + ":make", n=6, scale=2.0)
    assert (len(task.train), task.train.x.max()) == (6, 178.0)
    assert again(task.take(4)).data_hash == task.take(4).data_hash
    source = again(task).source
    assert source is not None and json.loads(source.to_json())["arguments"] == {"n": 6, "scale": 2.0}


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("own_tasks", ValueError, "path must be 'module:function' or 'file.py:function', got 'own_tasks'"),
        ("own_tasks.py:absent", ValueError, "own_tasks.py has no function absent"),
        ("own_tasks.py:nothing", ValueError, "path must name a function that returns a Task, got int"),
        ("nowhere.py:make", ValueError, r"path must name a file that is there, got nowhere\.py"),
        ("no_such_module:make", ModuleNotFoundError, "no_such_module"),
    ],
)
def test_a_path_that_makes_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "own_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(error, match=message):
        data.load_task(path)


def test_arguments_that_cannot_be_written_down() -> None:
    with pytest.raises(ValueError, match="arguments must be what JSON can hold"):
        data.load_task("ncps_mlx.data:irregular_sines", seed=print)


def test_a_numpy_number_is_written_as_a_number() -> None:
    task = data.irregular_sines(np.int64(9), 7, 5, readings=6)  # type: ignore[arg-type]  # searches produce them
    assert again(task).data_hash == task.data_hash
