"""A population of a pool's members, trained and written as trials."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import ncps_mlx
from ncps_mlx._evidence.draws import DrawsTrainer
from ncps_mlx._evidence.plan import Member, Row
from ncps_mlx._evidence.scores import Scores, scores_of
from ncps_mlx._evidence.tasks import arguments_of, make_task
from ncps_mlx._runtime.flush import can_flush
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data._task import Task
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._hyperparameters import MEMBER_PARAMETERS, build_model, complete_config, model_sizes
from ncps_mlx.training._numerics import numerics

__all__ = [
    "MOST_MEMBERS",
    "means",
    "populations",
    "processor",
    "rounded",
    "train",
    "train_on",
    "trained",
    "trainer_of",
]

MOST_MEMBERS = 40
"""Members of one population."""

DIGITS = 7  # of a score in a trial: single precision has no more


def populations(members: Iterable[Any]) -> list[list[Any]]:
    """Divide members of any design into those that train as one: of one shape, on draws of the same data."""
    groups: dict[str, list[Any]] = {}
    for member in members:
        shape = {name: value for name, value in member.settings.items() if name not in MEMBER_PARAMETERS}
        level = member.level
        data = [member.task.name, arguments_of(member.task, level), level.forms]
        key = json.dumps([member.pool.name, level.model, shape, data], sort_keys=True)
        groups.setdefault(key, []).append(member)
    return [group[i : i + MOST_MEMBERS] for group in groups.values() for i in range(0, len(group), MOST_MEMBERS)]


class Trained(Protocol):
    """What a population needs to know of a member."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its hyperparameters that are not defaults."""

    @property
    def seed(self) -> int:
        """Of its parameters, the order of its data and its dropout."""

    @property
    def identity(self) -> Row:
        """What its trial is told from others by."""


def trained(members: Sequence[Any]) -> DrawsTrainer:
    """Train a population, of members of any design."""
    first = members[0]
    draws = {seed: make_task(first.task, first.level, seed) for seed in {member.data_seed for member in members}}
    return trained_on([draws[each.data_seed] for each in members], first.level.model or first.pool.model, members)


def trained_on(tasks: Sequence[Task], model: str, members: Sequence[Trained]) -> DrawsTrainer:
    """Train members as one population, each on its task."""
    configs = [complete_config(model, member.settings) for member in members]
    trainer = trainer_of(tasks, model, configs, [member.seed for member in members])
    with Progress(len(members), tasks[0].name, "trial", shown=False) as progress:
        trainer.train(progress, share=len(members))
    return trainer


def train(members: Sequence[Member]) -> list[Row]:
    """Train a population and return its trials."""
    return trials_of(trained(members), members, members[0].task.metrics)


def train_on(tasks: Sequence[Task], model: str, members: Sequence[Trained], metrics: Sequence[str]) -> list[Row]:
    """Train members as one population, each on its task, and return their trials."""
    return trials_of(trained_on(tasks, model, members), members, metrics)


def trials_of(trainer: DrawsTrainer, members: Sequence[Trained], metrics: Sequence[str]) -> list[Row]:
    """What a population that has trained is written down as."""
    scores, trained_by = scores_of(trainer, metrics), means()
    return [
        member.identity
        | {
            "status": history.status,
            "best_step": history.best_step,
            "largest_loss": _largest(history.train_loss),
            "last_loss": _largest(history.train_loss[-1:]),
            "scores": rounded(score.kept),
            "last": rounded(score.last),
            "metrics": {name: rounded(each) for name, each in score.metrics.items()},
            "seconds": round(history.seconds, 4),
            "parameters": int(trainer.reached.best.shape[1]),
        }
        | trained_by
        for member, history, score in zip(members, trainer.histories, scores, strict=True)
    ]


def trainer_of(
    tasks: Sequence[Task], model: str, configs: Sequence[Mapping[str, Any]], seeds: Sequence[int]
) -> DrawsTrainer:
    """A population that has yet to train: the task, configuration and seed of each member."""
    sizes = model_sizes(tasks[0], configs[0])
    models = [build_model(model, config, sizes, seed) for config, seed in zip(configs, seeds, strict=True)]
    of_members = [MemberConfig.from_config(config, seed) for config, seed in zip(configs, seeds, strict=True)]
    return DrawsTrainer(models, tasks, FitConfig.from_config(configs[0]), of_members)


def _largest(losses: Sequence[float]) -> float | None:
    """The largest of the mean losses between evaluations; ``None`` if one is not finite."""
    return _round(max(losses)) if losses and all(map(math.isfinite, losses)) else None


def rounded(scores: Scores) -> Scores:
    """Scores with the digits that a trial keeps."""
    return {split: None if score is None else _round(score) for split, score in scores.items()}


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def means() -> Row:
    """By what means a trial was trained here and now."""
    now = numerics()
    own: dict[str, Any] = {name: now.pop(name) for name in ("device", "blas", "native", "tanh")}
    own["device"] = f"{own['device']}, {processor()}"
    return own | {"versions": now, "flush": can_flush(), "code": code_digest()}


@cache
def processor() -> str:
    """The model of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


@cache
def code_digest() -> str:
    """A digest of the library's source (12 hex digits)."""
    files = sorted(path for path in Path(ncps_mlx.__file__).parent.rglob("*") if path.suffix in (".py", ".c", ".h"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
