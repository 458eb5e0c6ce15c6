"""Pools of trials, and the usual one: levels, budgets, rates and seeds, read from TOML and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from ncps_mlx._utils.validation import did_you_mean
from ncps_mlx.training._hyperparameters import check_name

__all__ = [
    "BUDGETS",
    "DRAW",
    "PERIOD",
    "FIRST_REPORT_SEED",
    "Level",
    "LevelPool",
    "Pool",
    "TaskSpec",
    "TunedPool",
    "check_keys",
    "check_rates",
    "level_fields",
    "named_tasks",
    "read_tasks",
    "read_toml",
    "read_tuned_pool",
]

BUDGETS = ("short", "long")
FIRST_REPORT_SEED = 100
TUNE_SEEDS = 3
REPORT_SEEDS = {"short": 30, "long": 10}
OWN = (
    "model", "baseline", "task", "forms", "parameters_of", "divide_steps_by", "steps_times", "warmup_share", "only",
)  # fmt: skip
"""What a level holds besides hyperparameters."""

DRAW = "draw"
"""Stands for the data seed in a form of a task: ``["take", 200, "draw"]``."""

PERIOD = "period"
"""Stands for the task's period in a form."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task as evidence knows it.

    Attributes:
        name: What trials and claims call it.
        factory: ``"module:function"`` that makes it.
        arguments: Of the factory.
        draw: The argument that takes the data seed; "" if its data are not drawn.
        metric: Its metric, by name.
        unit: Of the metric.
        steps: Updates at each budget.
        settings: Hyperparameters that all trials on it have.
        metrics: Others that are recorded beside its own.
        period: Of the data, in the unit of its time, as one who knows them would say.
        seconds: Of one core, about, for 100 steps of a member of the reference shape.
    """

    name: str
    factory: str
    metric: str
    steps: Mapping[str, int]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    draw: str = ""
    unit: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    period: float = 0.0
    seconds: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Level:
    """One way to train: what differs from the pool's fixed settings.

    Attributes:
        name: What contrasts call it.
        settings: Hyperparameters. With a ``learning_rate`` among them none is tuned.
        model: Another model than the pool's.
        baseline: A classical method in place of a model, as the task names it. Nothing is trained.
        task: By task, arguments of its factory.
        forms: What is done to the task, in turn: names and arguments as ``tasks.py`` knows them.
        parameters_of: A level whose number of parameters it has, by another ``hidden_size`` on each task.
        divide_steps_by: It trains this part of the budget's steps.
        steps_times: By task, the multiple of the budget's steps that it trains.
        warmup_share: Of its steps, those of the warm-up.
        only: Tasks that have it; none for all, or with ``task`` those.
    """

    name: str
    settings: Mapping[str, Any]
    model: str = ""
    baseline: str = ""
    task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forms: Sequence[Sequence[Any]] = ()
    parameters_of: str = ""
    divide_steps_by: int = 1
    steps_times: Mapping[str, float] = field(default_factory=dict)
    warmup_share: float = 0.0
    only: Sequence[str] = ()

    @property
    def content(self) -> dict[str, Any]:
        """What is written of it in trials: only what varies, and is not told by their task, data or steps."""
        defaults = Level(name="", settings={})
        parts = {name: getattr(self, name) for name in OWN if name not in ("only", "task", "steps_times")}
        return dict(self.settings) | {name: value for name, value in parts.items() if value != getattr(defaults, name)}

    def is_on(self, task: str) -> bool:
        """Whether a task has it."""
        return task in (self.only or self.task or [task])

    @property
    def is_tuned(self) -> bool:
        """Whether a learning rate is chosen for it."""
        return not self.baseline and "learning_rate" not in self.settings

    @property
    def draws(self) -> bool:
        """Whether it draws data itself."""
        return any(DRAW in form for form in self.forms)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Everything that one file of trials holds.

    Attributes:
        name: Of its files.
        purpose: What it is for, in a sentence.
        tasks: By name.
        design: How its members are chosen and trained, by the name of a module in ``designs.py``.
    """

    name: str
    purpose: str
    tasks: Mapping[str, TaskSpec]
    design: str = "tuned"

    def level_names(self, task: str) -> list[str]:
        """What a contrast on this task may compare."""
        raise NotImplementedError  # each design has pools of its own


@dataclass(frozen=True, kw_only=True)
class LevelPool(Pool):
    """A pool of levels, of one model unless they say otherwise.

    Attributes:
        model: Which model its levels train.
        fixed: Hyperparameters of all levels.
        levels: By name.
    """

    model: str
    fixed: Mapping[str, Any]
    levels: Mapping[str, Level]

    def level_names(self, task: str) -> list[str]:
        """The levels that a task has, by name."""
        return [level.name for level in self.levels_of(task)]

    def levels_of(self, task: str) -> list[Level]:
        """The levels that a task has."""
        return [level for level in self.levels.values() if level.is_on(task)]


@dataclass(frozen=True, kw_only=True)
class TunedPool(LevelPool):
    """A pool whose levels are tuned over learning rates, and then reported at the best.

    Attributes:
        rates: Learning rates that each level is tuned over, ascending.
        report_seeds: How many seeds are reported at each budget, from 100 on.
    """

    rates: Sequence[float]
    report_seeds: Mapping[str, int]

    def seeds(self, stage: str, budget: str) -> range:
        """The seeds of a stage."""
        if stage == "tune":
            return range(TUNE_SEEDS)
        return range(FIRST_REPORT_SEED, FIRST_REPORT_SEED + self.report_seeds[budget])


def read_tasks(path: Path) -> dict[str, TaskSpec]:
    """Read the tasks of all pools."""
    found = {}
    for name, table in read_toml(path).items():
        where = f"{path.name}: {name}"
        check_keys(where, table, TaskSpec, without=("name",))
        if sorted(table["steps"]) != sorted(BUDGETS):
            raise ValueError(f"{where}: steps must be given for {' and '.join(BUDGETS)}, got {table['steps']}.")
        found[name] = TaskSpec(name=name, **table)
    return found


def named_tasks(where: str, names: Sequence[str], tasks: Mapping[str, TaskSpec]) -> dict[str, TaskSpec]:
    """The tasks of these names; refuse one that is none."""
    for name in names:
        if name not in tasks:
            raise ValueError(f"{where}: tasks must be those of tasks.toml, got {name!r}.{did_you_mean(name, tasks)}")
    return {name: tasks[name] for name in names}


def read_tuned_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> TunedPool:
    """Read a pool whose levels are tuned; ``tasks`` are those it may name."""
    table = read_toml(path)
    fields = level_fields(path, table, tasks, TunedPool, optional=("report_seeds",))
    rates = check_rates(path.name, table["rates"])
    return TunedPool(**fields, rates=rates, report_seeds=REPORT_SEEDS | table.get("report_seeds", {}))


def level_fields(
    path: Path,
    table: Mapping[str, Any],
    tasks: Mapping[str, TaskSpec],
    cls: type[LevelPool],
    *,
    optional: Collection[str] = (),
) -> dict[str, Any]:
    """Check the table of a pool of this class, and read what every pool of levels has."""
    optional = (*optional, "fixed", "design")
    check_keys(path.name, table, cls, without=("name",), more=("steps", "settings"), optional=optional)
    chosen, steps = {}, table.get("steps", {})
    for name, task in named_tasks(path.name, table["tasks"], tasks).items():
        own = {budget: steps.get(name, {}).get(budget, task.steps[budget]) for budget in BUDGETS}
        settings = {**task.settings, **table.get("settings", {}).get(name, {})}
        chosen[name] = TaskSpec(**{**vars(task), "steps": own, "settings": settings})
    fields = {
        "name": path.stem,
        "purpose": table["purpose"],
        "design": table.get("design", "tuned"),
        "model": table["model"],
        "fixed": table.get("fixed", {}),
        "tasks": chosen,
        "levels": {name: _level(f"{path.name}: levels.{name}", name, each) for name, each in table["levels"].items()},
    }
    _check_levels(path.name, LevelPool(**fields))
    return fields


def check_rates(where: str, rates: Sequence[float]) -> list[float]:
    """Learning rates in ascending order, or a refusal."""
    found = [float(rate) for rate in rates]
    if found != sorted(set(found)) or not found or found[0] <= 0:
        raise ValueError(f"{where}: rates must be ascending and above 0, got {rates}.")
    return found


def _level(where: str, name: str, table: Mapping[str, Any]) -> Level:
    own = {key: table[key] for key in OWN if key in table}
    settings = {key: value for key, value in table.items() if key not in own}
    if "steps" in settings:
        raise ValueError(f"{where}: steps must be left out: the budget decides it.")
    if own.get("baseline") and (more := sorted(set(table) - {"baseline", "task", "forms", "only"})):
        raise ValueError(f"{where}: {more[0]} must be left out of a baseline, which is not trained.")
    return Level(name=name, settings=settings, **own)


def _check_levels(where: str, pool: LevelPool) -> None:
    written: dict[str, str] = {}
    for name, level in pool.levels.items():
        for key in () if level.baseline else (*level.settings, *pool.fixed):
            check_name(key, level.model or pool.model)
        if level.parameters_of and level.parameters_of not in pool.levels:
            raise ValueError(
                f"{where}: parameters_of must name a level, got {level.parameters_of!r}."
                f"{did_you_mean(level.parameters_of, pool.levels)}"
            )
        if unknown := sorted({*level.only, *level.task} - set(pool.tasks)):
            raise ValueError(f"{where}: levels.{name} must name tasks of the pool, got {unknown[0]!r}.")
        if level.steps_times and (lacks := [t for t in pool.tasks if level.is_on(t) and t not in level.steps_times]):
            raise ValueError(f"{where}: levels.{name}: steps_times must hold {lacks[0]!r}.")
        content = repr(sorted(level.content.items())) + repr((level.task, level.steps_times))
        if content in written:
            raise ValueError(f"{where}: levels must differ, got {written[content]} and {name} alike.")
        written[content] = name


def check_keys(
    where: str,
    table: Mapping[str, Any],
    cls: Any,
    *,
    without: Collection[str] = (),
    more: Collection[str] = (),
    optional: Collection[str] = (),
) -> None:
    """Refuse a table with keys that a dataclass lacks, or without those it needs."""
    names = [name for name in cls.__dataclass_fields__ if name not in without]
    if unknown := sorted(set(table) - set(names) - set(more)):
        raise ValueError(f"{where} must not hold {unknown[0]!r}.{did_you_mean(unknown[0], [*names, *more])}")
    plain = [each for each in names if each not in optional and not _has_default(cls.__dataclass_fields__[each])]
    if missing := [name for name in plain if name not in table]:
        raise ValueError(f"{where} must hold {missing[0]!r}.")


def _has_default(item: Any) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of TOML; name it if it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} must be TOML: {error}.") from None
