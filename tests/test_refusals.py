"""What used to go wrong without a word, or with another's words, and is refused by name where it enters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import CfC, Halving, Space, Split, Study, Task, predict

SIZES: dict[str, Any] = {"hidden_size": 4, "backbone_units": 5, "output_size": 1, "return_sequences": False, "seed": 0}


def split(**changes: Any) -> Split:
    """Three sequences of four readings, of which something is changed."""
    given: dict[str, Any] = {
        "x": np.zeros((3, 4, 2)), "y": np.zeros((3, 1)), "time_delta": np.ones((3, 4)), "mask": np.ones((3, 4), bool),
    }  # fmt: skip
    for name, change in changes.items():
        array = given[name].copy()
        array[1, 2:] = change
        given[name] = array
    return Split(**given)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (split(time_delta=-5.0), r"time_delta must be at least 0, got -5\.0"),
        (split(time_delta=np.inf), "time_delta must be finite, got inf"),
        (split(x=np.nan), r"x must be finite, got 4 values that are not"),
        (Split(x=np.zeros((1, 4, 2)), y=np.zeros((1, 1)), mask=np.zeros((1, 4), bool)), "mask must have a reading"),
        (split()[:0], "must hold at least 1 sequence, got 0"),
    ],
)
def test_no_prediction_is_made_of_what_no_model_could_learn_from(data: Split, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict(CfC(2, **SIZES), data)
    assert predict(CfC(2, **SIZES), split()).shape == (3, 1)


@pytest.mark.parametrize("trials", ["x", 0, -1, 2.5, None])
def test_brackets_are_of_a_number_of_trials(trials: Any) -> None:
    with pytest.raises(ValueError, match="trials must be "):
        Halving().brackets(trials)


@pytest.mark.parametrize("storage", [True, [], b"x.db", 3, ""])
def test_a_storage_is_a_path_or_a_url_and_nothing_else_is_made_a_file(
    storage: Any, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="storage must "):
        Study(storage, task, Space(hidden_size=[4]), sampler="grid")
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_opened_with_a_task_or_without(task: Task, tmp_path: Path) -> None:
    Study(tmp_path / "s.db", task, Space(hidden_size=[4]), sampler="grid")
    with pytest.raises(ValueError, match="task must be a Task, got int"):
        Study.open(tmp_path / "s.db", task=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [10**9, 0, -1, 1.5, "two"])
def test_workers_are_so_many_as_a_machine_may_run(workers: Any, task: Task, tmp_path: Path) -> None:
    study = Study(tmp_path / "s.db", task, Space(hidden_size=[4]), sampler="grid")
    with pytest.raises(ValueError, match="workers must be "):
        study.run(progress=False, workers=workers)
