"""Studies and trials that several workers share: what tests of them have in common."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ncps_mlx import Record, Space, Study, Task, Uniform

# Private: trials without a task, and a queue of them, exist below a Study alone.
from ncps_mlx.search._storage.trial_store import Ledger, Planned
from tests.small_study import FIXED, SPACE

OWN_TASK = """
from ncps_mlx.data import irregular_sines
from ncps_mlx import Task
def make():
    task = irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)
    return Task("mine", task.train, task.validation, task.test)
"""


def study_of(task: Task, storage: Path | None, **changes: Any) -> Study:
    """Twelve configurations of two shapes, in populations of two; a study in memory without a storage."""
    settings: dict[str, Any] = {"trials": 12, "draws_per_shape": 4, "population_size": 2, "fixed": FIXED}
    return Study(storage, task, SPACE, **(settings | changes))


def book(path: Path | None, trials: int = 0) -> Ledger:
    """The trials of a study without a task: they are taken and finished, and never trained."""
    found = Ledger(
        path, "book", Space(learning_rate=Uniform(0.1, 1.1)), {"trials": trials}, higher_is_better=False
    )
    found.add(
        [Planned(trial=i, seed=0, config={"learning_rate": 0.1 + i / (trials + 1)}) for i in range(trials)]
    )
    return found


def alike(_: Planned) -> str:
    """Let any trials be one population."""
    return "all of one shape"


def record(planned: Planned, score: float = 1.0) -> Record:
    """What a worker writes down of a trial."""
    return Record(
        trial=planned.trial,
        model="CfC",
        config={},
        seed=0,
        task="a",
        data_hash="b",
        metric="rmse",
        score=score,
    )


def states(ledger: Ledger) -> Counter[str]:
    """How many trials are in each state."""
    return Counter(trial.state.name for trial in ledger.trials())
