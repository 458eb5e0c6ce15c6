"""A study of one's own modules that is killed and run again, in a file that others open."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from ncps_mlx import Space, Study
from ncps_mlx.data import irregular_sines
from tests.small_study import outcome

KILLED = """
import sys
from tests.small_study import die_after
from tests.test_own_study import search
die_after(3)
search(sys.argv[1]).run(progress=False)
"""


def search(storage: Path | str | None) -> Study:
    return Study(
        storage,
        irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7),
        Space(width=[2, 3], dropout=[0.0, 0.2], learning_rate=[0.003, 0.03]),
        model="tests.own_models:Small",
        sampler="grid",
        population_size=2,
        fixed={"steps": 8, "batch_size": 16},
    )


def test_a_killed_study_of_own_modules_ends_with_the_same_trials(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    child = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[1], check=False)
    assert child.returncode == -signal.SIGKILL
    study = search(path)
    begun = outcome(study)
    assert len(begun) == 3
    resumed = outcome(study.run(progress=False))
    assert resumed == outcome(search(None).run(progress=False))
    assert all(run in resumed for run in begun)
    assert {record.model for record in study.records} == {"tests.own_models:Small"}
    assert study.best.rerun(study.task).score == study.best.score
