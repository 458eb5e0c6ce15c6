"""Studies and trials that several workers share: what tests of them have in common."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ncps_mlx import Record, Space, Study, Task, Uniform

# Private: trials without a task, and a queue of them, exist below a Study alone.
from ncps_mlx.search._storage.trial_store import TrialSpec, TrialStore
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


def make_store(path: Path | None, trials: int = 0) -> TrialStore:
    """The trials of a study without a task: they are taken and finished, and never trained."""
    space = Space(learning_rate=Uniform(0.1, 1.1))
    store = TrialStore(path, "untrained", space, higher_is_better=False, n_trials=trials)
    store.set_config({"trials": trials})
    store.add(
        [TrialSpec(index=i, seed=0, config={"learning_rate": 0.1 + i / (trials + 1)}) for i in range(trials)]
    )
    return store


def same_shape(_: TrialSpec) -> str:
    """Let any trials be one population."""
    return "all of one shape"


def record(spec: TrialSpec, score: float = 1.0) -> Record:
    """What a worker writes down of a trial."""
    return Record(
        trial=spec.index,
        model="CfC",
        config={},
        seed=0,
        task="a",
        data_hash="b",
        metric="rmse",
        score=score,
    )


def states(store: TrialStore) -> Counter[str]:
    """How many trials are in each state."""
    return Counter(trial.state.name for trial in store.trials())
