"""How a study is made: checked before anything is stored, written as JSON, compared when it is opened again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import check_choice, check_int, check_mapping, check_seeds
from ncps_mlx.data._loading import build_task
from ncps_mlx.data._source import TaskSource
from ncps_mlx.data._task import Task
from ncps_mlx.models._own import is_importable, name_model
from ncps_mlx.search import _halving
from ncps_mlx.search._halving import Bracket, Halving, Hyperband, rung_step
from ncps_mlx.search._optuna_sampler import make_sampler, try_out
from ncps_mlx.search._samplers import check_first, check_size, grid_plan, quasi_random_plan, random_plan
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.trial_store import TrialSpec
from ncps_mlx.training._hyperparameters import (
    HYPERPARAMETERS,
    MODELS,
    check_config,
    complete_config,
    steps_of,
    task_defaults,
)

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["StudyConfig"]

PLANS = {"random": random_plan, "quasi-random": quasi_random_plan}
SAMPLERS = (*PLANS, "grid", "tpe")
TRIALS, MOST_TRIALS = 20, 100_000
PLAIN = (
    "model", "sampler", "sampler_seed", "draws_per_shape", "population_size", "seeds", "trials", "fixed", "first",
)  # fmt: skip
"""What is written as it is."""
BEFORE: dict[str, Any] = {"first": []}
"""What studies had that were written before there was a choice."""
MAY_DIFFER = ("trials", "population_size", "task", "task_source")  # for the data's hash stands for the task


class StudyConfig:
    """All that decides what a study trains; the arguments are those of :class:`~ncps_mlx.Study`, which documents them.

    ``fixed`` holds the defaults too, ``plan`` the configurations by index: where the sampler is adaptive, as TPE and
    others of Optuna's are, and chooses while the study runs, the ``first`` ones alone.
    """

    def __init__(
        self,
        task: Task,
        space: Space,
        model: Any,
        *,
        sampler: str | BaseSampler = "random",
        trials: int | None = None,
        seeds: Iterable[int] = (0,),
        fixed: Mapping[str, Any] | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        draws_per_shape: int = 8,
        sampler_seed: int = 0,
        population_size: int = 32,
        halving: Halving | Hyperband | None = None,
    ) -> None:
        if not isinstance(task, Task):
            raise ValueError(f"task must be a Task, got {type(task).__name__}.")
        if not isinstance(space, Space):
            raise ValueError(f"space must be a Space, got {type(space).__name__}.")
        self.task, self.space, self.model = task, space, name_model(model)
        self.sampler, self.sampler_object = _check_sampler(sampler)
        self.seeds = _check_seeds(seeds)
        self.draws_per_shape = check_int("draws_per_shape", draws_per_shape)
        self.sampler_seed = check_int("sampler_seed", sampler_seed, minimum=0)
        self.population_size = check_int("population_size", population_size)
        fixed = check_mapping("fixed", fixed, "values")
        if both := sorted(space.distributions.keys() & fixed.keys()):
            raise ValueError(f"fixed must not name what the space varies, got {', '.join(both)}.")
        if "seed" in fixed:
            raise ValueError("seed must be given as seeds=(0, 1, 2), got it in fixed.")
        for name, each in space.distributions.items() if self.model in MODELS else ():
            for value in each.bounds() if name in HYPERPARAMETERS else ():
                HYPERPARAMETERS[name].check(name, value)
        complete_config(self.model, {name: each.bounds()[0] for name, each in space.distributions.items()})
        self._defaults = complete_config(self.model, task_defaults(task) | fixed)
        self.fixed = {name: value for name, value in self._defaults.items() if name not in space.distributions}
        self.first = check_first(space, first)
        self.plan, self.trials = self._make_plan(trials)
        self.halving = halving
        self.brackets = self._make_brackets()
        self._check_plan()
        self._notes: dict[int, Any] = {}  # what a sampler notes of the first configurations
        if self.is_adaptive and self.sampler != "tpe":
            tried = try_out(self.sampler_after(0), self.sampler, space, self.first)
            self._notes = dict(enumerate(tried))

    def _make_plan(self, trials: int | None) -> tuple[list[dict[str, Any]], int]:
        if self.sampler == "grid":
            if trials is not None:
                raise ValueError(f"trials must be left out for a grid, which trains all it has, got {trials}.")
            if MOST_TRIALS < self.space.size < math.inf:
                raise ValueError(f"a grid must have at most {MOST_TRIALS} configurations, got {self.space.size}.")
            plan = grid_plan(self.space)
            trials = len(plan)
        else:
            trials = check_int("trials", TRIALS if trials is None else trials, maximum=MOST_TRIALS)
            check_size(self.space, trials)
            if (known := len(self.first)) > trials:
                raise ValueError(f"trials must be at least the {known} configurations of first, got {trials}.")
            if self.is_adaptive:
                return self.first, trials
            plan = PLANS[self.sampler](self.space, trials, self.draws_per_shape, self.sampler_seed)
        if self.first:
            seen = {repr(config) for config in self.first}
            plan = [*self.first, *(config for config in plan if repr(config) not in seen)][:trials]
        return plan, trials

    def _make_brackets(self) -> list[Bracket]:
        if self.halving is None:
            return []
        if not isinstance(self.halving, Halving | Hyperband):
            raise ValueError(f"halving must be a Halving or a Hyperband, got {self.halving!r}.")
        if not self.is_adaptive:
            return self.halving.brackets(self.trials)
        if self.first:
            raise ValueError(
                f"first must be empty with halving and sampler={self.sampler!r}, whose populations are the brackets, "
                f"got {len(self.first)} configurations. Take sampler='random', or no halving."
            )
        size = self.draws_per_shape
        if not isinstance(self.halving, Halving) or self.halving.bracket_size not in (None, size):
            raise ValueError(
                f"halving must be a Halving without bracket_size with sampler={self.sampler!r}, whose populations of "
                f"draws_per_shape={size} are the brackets, got {self.halving}."
            )
        return replace(self.halving, bracket_size=size).brackets(self.trials)

    def _check_plan(self) -> None:
        """Refuse a configuration that could not be trained, or halved."""
        configs = self.plan
        if self.is_adaptive:  # it may choose any: try both ends of each range, every choice of each list
            pairs = self.space.distributions.items()
            ends = [self.space.example_with(name, value) for name, each in pairs for value in each.bounds()]
            configs = [*self.first, *ends]
        shares = {share for bracket in self.brackets for share in bracket.rungs}
        for config in configs or [{}]:  # an empty space has its fixed values alone
            try:
                full = self.with_defaults(config)
                check_config(self.task, self.model, full)
                for share in shares:
                    rung_step(share, *steps_of(full))
            except ValueError as error:
                named = ", ".join(f"{name}={value!r}" for name, value in config.items())
                raise ValueError(f"{error} In the configuration {named or 'of fixed'}.") from error

    @property
    def is_adaptive(self) -> bool:
        """Whether the sampler learns from scores, and so chooses while the study runs."""
        return self.sampler not in PLANS and self.sampler != "grid"

    def sampler_after(self, begun: int) -> BaseSampler:
        """Return the adaptive sampler that chooses what follows the first ``begun`` configurations."""
        made = self.sampler_object
        return made or make_sampler(self.sampler, self.space, len(self.seeds), self.sampler_seed, begun)

    def n_stored_ahead(self, populations: int) -> float:
        """How many trials wait in the storage: so many in populations, or two brackets, which are begun whole.

        All of them where the sampler is adaptive, which is asked when none waits.
        """
        if self.is_adaptive:
            return math.inf
        return max([populations, *(2 * len(self.seeds) * bracket.size for bracket in self.brackets)])

    @property
    def n_trials(self) -> int:
        """How many trials there are: each configuration with each seed."""
        return self.trials * len(self.seeds)

    def with_defaults(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Add the fixed and default values to what a plan chose."""
        return self._defaults | dict(config)

    def specs(
        self, plan: Iterable[tuple[int, Mapping[str, Any]]], notes: Mapping[int, Mapping[str, Any]] | None = None
    ) -> list[TrialSpec]:
        """Pair configurations, each with its index, and what the sampler notes of it, with every seed."""
        notes = self._notes if notes is None else notes
        return [
            TrialSpec(index=at * len(self.seeds) + i, seed=seed, config=config, notes=notes.get(at, {}))
            for at, config in plan
            for i, seed in enumerate(self.seeds)
        ]

    @cached_property
    def ordered_plan(self) -> list[tuple[int, dict[str, Any]]]:
        """The plan with equal shapes of a bracket next to each other, in the order of their first appearance."""
        shapes = [self.space.shape_key(config) for config in self.plan]
        first = {shape: i for i, shape in reversed(list(enumerate(shapes)))}
        order = sorted(range(len(shapes)), key=lambda i: (self._bracket_index(i), first[shapes[i]], i))
        return [(i, self.plan[i]) for i in order]

    def bracket(self, trial: int) -> Bracket:
        """Return the bracket of halving that a trial belongs to."""
        return self.brackets[self._bracket_index(trial // len(self.seeds))]

    def _bracket_index(self, configuration: int) -> int:
        ends = (bracket.first + bracket.size for bracket in self.brackets)
        return next((i for i, end in enumerate(ends) if configuration < end), 0)

    def to_json(self) -> dict[str, Any]:
        """Write it down, enough for a worker on any machine to take part in the study."""
        task, source, halving = self.task, self.task.source, self.halving
        halved = self.draws_per_shape if self.is_adaptive else self.trials
        written = {name: getattr(self, name) for name in PLAIN} | {
            "space": self.space.to_json(),
            "halving": None if halving is None else _halving.to_json(halving, halved),
            "task": task.name,
            "data_hash": task.data_hash,
            "metric": task.metric,
            "task_source": None if source is None else source.to_json(),
        }
        return dict(json.loads(json.dumps(written)))  # lists for tuples, as it will be read

    @classmethod
    def from_json(cls, written: Mapping[str, Any], task: Task | None = None) -> StudyConfig:
        """Make the same configuration again; ``task`` where that cannot be made from its source."""
        if task is None:
            if written["task_source"] is None:
                raise ValueError(_not_shared("this study"))
            task = build_task(TaskSource.from_json(written["task_source"]))
        elif not isinstance(task, Task):
            raise ValueError(f"task must be a Task, got {type(task).__name__}.")
        if task.data_hash != written["data_hash"]:
            raise ValueError(
                f"task must hold the data of the study, with hash {written['data_hash']}, got {task.name!r} with hash "
                f"{task.data_hash}. Install the same version of the package that carries the data."
            )
        given = {name: {**BEFORE, **written}[name] for name in PLAIN if name != "model"}
        if given["sampler"] == "grid":
            given["trials"] = None
        given["fixed"] = {name: to_json_value(name, value) for name, value in given["fixed"].items()}
        given["halving"] = None if written["halving"] is None else _halving.from_json(written["halving"])
        return cls(task, Space.from_json(written["space"]), written["model"], **given)

    def changed(self, **changes: Any) -> StudyConfig:
        """Make another one for the same task and model."""
        given: dict[str, Any] = {name: getattr(self, name) for name in (*PLAIN, "halving", "space") if name != "model"}
        given |= {"sampler": self.sampler_object or self.sampler} | changes
        return StudyConfig(self.task, given.pop("space"), self.model, **given)

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """Say what is not as in a study that is stored, but how many configurations there are."""
        stored = {**BEFORE, **stored}
        missing = {name: value for name, value in self.fixed.items() if name not in stored["fixed"]}
        defaults = complete_config(self.model, {})  # what came with a later version had its default
        fixed = stored["fixed"] | {name: defaults[name] for name in missing}
        before, now = _flatten({**stored, "fixed": json.loads(json.dumps(fixed))}), _flatten(self.to_json())
        changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        return [f"{key} was {before.get(key)!s:.200} and is {now.get(key)!s:.200}" for key in changed]

    def is_of(self, stored: Mapping[str, Any] | None) -> bool:
        """Whether a study that is stored, ``None`` if it was not made here, was made just so."""
        return stored is not None and stored["trials"] == self.trials and not self.differences(stored)

    def check_same(self, stored: Mapping[str, Any], name: str, where: str) -> None:
        """Refuse to open a study that was made differently, saying every difference, or with more configurations."""
        if changed := self.differences(stored):
            raise ValueError(
                f"name must be new for another study; {name!r} in {where} was made differently: {'; '.join(changed)}."
            )
        if self.trials < stored["trials"]:
            raise ValueError(
                f"trials must be at least the {stored['trials']} that {name!r} in {where} has, got {self.trials}."
            )

    def check_stored(self) -> None:
        """Refuse a model whose class another process could not import, and a sampler that none could make."""
        if not is_importable(self.model):
            raise ValueError(
                f"model must be a class that another process can import for a study in a storage, got {self.model!r}. "
                "Put it at the top of a module of its own, and give the class or 'module:Class'."
            )
        if self.sampler_object is not None:
            kind = type(self.sampler_object).__name__
            raise ValueError(
                "sampler must be a name for a study in a storage, which other processes open too, got an object of "
                f"{kind}. Name its class, 'optuna.samplers:{kind}', or a function that makes it, 'module:function'."
            )

    def check_shared(self, name: str) -> None:
        """Refuse a task that other processes cannot make: one made from arrays."""
        if self.task.source is None:
            raise ValueError(_not_shared(repr(name)))


def _flatten(written: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change while a study grows: a line for each value, told as it would be given."""
    flat = {key: value for key, value in written.items() if key not in MAY_DIFFER}
    space, fixed, halving = Space.from_json(flat["space"]), flat.pop("fixed"), flat.pop("halving")
    flat["space"] = list(space.distributions)  # their order decides what is drawn
    flat |= {f"space.{name}": space.describe(name) for name in space.distributions}
    flat |= {f"fixed.{name}": value for name, value in fixed.items()}
    if halving is not None:
        settings = ", ".join(f"{name}={value}" for name, value in halving.items() if name != "kind")
        flat["halving"] = f"{halving['kind']}({settings})"
    return flat


def _check_sampler(sampler: Any) -> tuple[str, BaseSampler | None]:
    """Return a sampler's name, and the sampler itself if it is one of Optuna's."""
    from optuna.samplers import BaseSampler

    if isinstance(sampler, BaseSampler):
        return type(sampler).__name__, sampler
    if isinstance(sampler, str) and ":" in sampler:
        return sampler, None
    try:
        return check_choice("sampler", sampler, SAMPLERS), None
    except ValueError as error:
        raise ValueError(
            f"{error} It may also be a sampler of Optuna's, or the path of one, 'optuna.samplers:NSGAIISampler'."
        ) from None


def _check_seeds(seeds: Any) -> tuple[int, ...]:
    """Check that seeds are distinct integers of at least 0."""
    if not isinstance(seeds, Iterable) or not (checked := tuple(check_seeds(seeds))):
        raise ValueError(f"seeds must be a sequence of at least 1 integer such as (0, 1, 2), got {seeds!r}.")
    if len(set(checked)) < len(checked):
        raise ValueError(f"seeds must be distinct, got {list(checked)}.")
    return checked


def _not_shared(study: str) -> str:
    return (
        f"task must be one that other processes can make, got one made from arrays in {study}. Put the code that makes "
        "it into a function and load it with ncps_mlx.data.load_task('module:function'), or give a worker "
        "`--task module:function`."
    )
