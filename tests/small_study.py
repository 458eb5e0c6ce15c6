"""A study of seconds, made the same by tests and by the processes that they kill."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path
from typing import Any

from ncps_mlx import Halving, LogUniform, Record, Space, Study, Task
from ncps_mlx.data import irregular_sines

# Private: a process is to be killed between two writes, which only the queue makes.
from ncps_mlx.search._storage.trial_queue import TrialQueue
from ncps_mlx.search._storage.trial_store import TrialSpec

SPACE = Space(hidden_size=[3, 4], learning_rate=LogUniform(1e-3, 1e-1))
CHOICES = Space(hidden_size=[3, 4], learning_rate=[1e-3, 3e-3, 1e-2, 3e-2, 1e-1])
FIXED = {"backbone_units": 5, "batch_size": 16, "steps": 10}


@cache
def task() -> Task:
    """The task of tests that train studies."""
    return irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)


def make_study(storage: Path | str | None, kind: str = "random") -> Study:
    """Ten configurations with two seeds, trained in pieces of at most two: a sampler's, or halved ones."""
    grid = kind == "grid"
    settings: dict[str, Any] = {} if grid else {"trials": 10, "draws_per_shape": 2}
    if kind == "halved":
        settings["halving"] = Halving(eta=2, rungs=1, bracket_size=5)
    return Study(
        storage,
        task(),
        CHOICES if grid else SPACE,
        sampler="random" if kind == "halved" else kind,
        seeds=(0, 1),
        population_size=2,
        fixed=FIXED,
        **settings,
    )


def outcome(study: Study) -> list[tuple[Any, ...]]:
    """Everything that must not depend on what went wrong, to the last bit."""
    return [
        (run.trial, tuple(sorted(run.config.items())), run.seed, run.score, run.status, run.history)
        for run in study.records
    ]


def die_after(trials: int) -> None:
    """Let this process be killed as it is about to write down one more trial than these."""
    finish = TrialQueue.finish
    done: list[TrialSpec] = []

    def last(self: TrialQueue, spec: TrialSpec, record: Record) -> bool:
        if len(done) == trials:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(spec)
        return finish(self, spec, record)

    TrialQueue.finish = last  # type: ignore[method-assign]  # in a process that is to be killed
