"""Designs: what a study will train, decided and checked before anything is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.json_values import plain
from ncps_mlx._utils.validation import check_choice, check_int
from ncps_mlx.data._task import Task
from ncps_mlx.search._distributions import When
from ncps_mlx.search._halving import Bracket, Halving, Hyperband, rung_step
from ncps_mlx.search._hyperparameters import MODELS, check_config, complete, steps_of
from ncps_mlx.search._samplers import grid_plan, quasi_random_plan, random_plan, shape_order
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet
from ncps_mlx.search._storage.trial_store import Planned

if TYPE_CHECKING:
    import optuna

__all__ = ["Design"]

PLANS = {"random": random_plan, "quasi-random": quasi_random_plan}
SAMPLERS = ("random", "grid", "quasi-random", "tpe")
TRIALS = 20
STARTUP = 10  # configurations that TPE draws at random before it models anything


class Design:
    """A plan of configurations and seeds; by TPE, the frame of one.

    Args:
        task: What to learn.
        space: The knobs to vary.
        model: :class:`~ncps_mlx.CfC` or :class:`~ncps_mlx.LTC`.
        sampler: One of ``SAMPLERS``.
        trials: How many configurations; ``None`` for 20, or all of a grid.
        seeds: Each configuration is trained with each.
        fixed: Values of further knobs.
        draws_per_shape: Draws of the member knobs for each shape.
        sampler_seed: Seed of the draws.
        halving: Who stops early; ``None`` for nobody.

    Attributes:
        order: (place, configuration), those of one bracket and shape side by side; empty by TPE.
        defaults: Values of all knobs that a configuration does not name.

    Raises:
        ValueError: An argument is out of its range, or a configuration could not be trained.

    Example:
        >>> from ncps_mlx import CfC
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> design = Design(task, Space(learning_rate=[1e-3, 1e-2]), CfC, sampler="grid", trials=None,
        ...                 seeds=(0, 1), fixed={"hidden_size": 4}, draws_per_shape=8, sampler_seed=0, halving=None)
        >>> [(item.trial, item.seed) for item in design.items(design.order)]
        [(0, 0), (1, 1), (2, 0), (3, 1)]
    """

    def __init__(
        self,
        task: Task,
        space: Space,
        model: Any,
        *,
        sampler: str,
        trials: int | None,
        seeds: Iterable[int],
        fixed: Mapping[str, Any] | None,
        draws_per_shape: int,
        sampler_seed: int,
        halving: Halving | Hyperband | None,
    ) -> None:
        if not isinstance(task, Task):
            raise ValueError(f"task must be a Task, got {type(task).__name__}.")
        if not isinstance(space, Space):
            raise ValueError(f"space must be a Space, got {type(space).__name__}.")
        if model not in MODELS.values():
            raise ValueError(f"model must be CfC or LTC, got {model!r}.")
        self.task, self.space, self.model = task, space, model.__name__
        self.sampler = check_choice("sampler", sampler, SAMPLERS)
        self.seeds = _seeds(seeds)
        self.draws_per_shape = check_int("draws_per_shape", draws_per_shape)
        self.sampler_seed = check_int("sampler_seed", sampler_seed, minimum=0)
        if both := sorted(space.knobs.keys() & dict(fixed or {}).keys()):
            raise ValueError(f"fixed must not name a knob of the space, got {', '.join(both)}.")
        if "seed" in (fixed or {}):
            raise ValueError("seed must be given as seeds=(0, 1, 2), got it in fixed.")
        firsts = {knob: values.edges()[0] for knob, values in space.knobs.items()}
        complete(self.model, firsts)  # names each knob that the model does not have
        self.defaults = complete(self.model, dict(fixed or {}))
        self.fixed = {knob: value for knob, value in self.defaults.items() if knob not in space.knobs}
        plan = self._plan(trials)
        self.halving = halving
        self._brackets = self._divided()
        self._check(plan)
        places = range(0 if sampler == "tpe" else self.trials)
        first = {place: rank for rank, place in enumerate(shape_order(space, plan))}
        places_by_bracket = sorted(places, key=lambda place: (self._bracket_at(place), first[place]))
        self.order = [(place, plan[place]) for place in places_by_bracket]

    def _plan(self, trials: int | None) -> list[dict[str, Any]]:
        space = self.space
        if self.sampler == "grid":
            if trials is not None:
                raise ValueError(
                    f"trials must be left out for a grid, which trains all it has, got {trials}."
                )
            self.trials = len(plan := grid_plan(space))
            return plan
        self.trials = check_int("trials", TRIALS if trials is None else trials)
        if self.sampler in PLANS:
            return PLANS[self.sampler](space, self.trials, self.draws_per_shape, self.sampler_seed)
        # TPE plans nothing ahead: try the ends of each knob
        return [space.corner(knob, v) for knob, values in space.knobs.items() for v in values.edges()]

    def _divided(self) -> list[Bracket]:
        if self.halving is None:
            return []
        if not isinstance(self.halving, Halving | Hyperband):
            raise ValueError(f"halving must be a Halving or a Hyperband, got {self.halving!r}.")
        if self.sampler != "tpe":
            return self.halving.brackets(self.trials)
        if not isinstance(self.halving, Halving) or self.halving.bracket_size not in (
            None,
            self.draws_per_shape,
        ):
            raise ValueError(
                "halving must be a Halving without bracket_size by TPE, where each population asked for is a bracket "
                f"of draws_per_shape={self.draws_per_shape}, got {self.halving}."
            )
        return replace(self.halving, bracket_size=self.draws_per_shape).brackets(self.trials)

    def _check(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a configuration that could not be trained, or halved."""
        shares = {share for bracket in self._brackets for share in bracket.rungs}
        for config in plan or [{}]:  # a space without knobs has its fixed values alone
            try:
                full = self.full(config)
                check_config(self.task, self.model, full)
                for share in shares:
                    rung_step(share, *steps_of(full))
            except ValueError as error:
                shown = ", ".join(f"{knob}={value!r}" for knob, value in config.items())
                raise ValueError(f"{error} In the configuration {shown or 'of fixed'}.") from error

    def full(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all knobs in a configuration.

        Example:
            >>> from ncps_mlx import CfC
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> design = Design(task, Space(learning_rate=[1e-3, 1e-2]), CfC, sampler="grid", trials=None, seeds=(0, 1),
            ...                 fixed={"hidden_size": 4}, draws_per_shape=8, sampler_seed=0, halving=None)
            >>> full = design.full({"learning_rate": 1e-3})
            >>> full["learning_rate"], full["hidden_size"], full["mode"]
            (0.001, 4, 'default')
        """
        return self.defaults | dict(config)

    def items(self, plan: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Planned]:
        """Pair configurations, each with its place, with every seed.

        Example:
            >>> from ncps_mlx import CfC
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> design = Design(task, Space(learning_rate=[1e-3, 1e-2]), CfC, sampler="grid", trials=None, seeds=(0, 1),
            ...                 fixed={"hidden_size": 4}, draws_per_shape=8, sampler_seed=0, halving=None)
            >>> [(item.trial, item.seed) for item in design.items([(1, {"learning_rate": 1e-2})])]
            [(2, 0), (3, 1)]
        """
        return [
            Planned(trial=place * len(self.seeds) + j, seed=seed, config=config)
            for place, config in plan
            for j, seed in enumerate(self.seeds)
        ]

    def bracket(self, trial: int) -> Bracket:
        """Return the bracket of halving that a trial belongs to.

        Example:
            >>> from ncps_mlx import CfC
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> design = Design(task, Space(learning_rate=[1e-3, 1e-2]), CfC, sampler="grid", trials=None, seeds=(0, 1),
            ...                 fixed={"hidden_size": 4}, draws_per_shape=8, sampler_seed=0,
            ...                 halving=Halving(eta=2, rungs=1))
            >>> design.bracket(3)
            Bracket(first=0, size=2, rungs=(0.5,), eta=2)
        """
        return self._brackets[self._bracket_at(trial // len(self.seeds))]

    def _bracket_at(self, place: int) -> int:
        ends = (bracket.first + bracket.size for bracket in self._brackets)
        return next((i for i, end in enumerate(ends) if place < end), 0)

    def tpe(self, begun: int) -> optuna.samplers.TPESampler:
        """Make Optuna's sampler for the batch that follows so many configurations.

        It has a seed of its own: a study taken up again must not draw its first numbers again.
        """
        from optuna.samplers import TPESampler

        seed = np.random.SeedSequence([self.sampler_seed, begun]).generate_state(1)
        with quiet():
            return TPESampler(
                n_startup_trials=STARTUP * len(self.seeds),
                multivariate=True,
                group=any(isinstance(knob, When) for knob in self.space.knobs.values()),
                constant_liar=True,  # the members of a population do not know each other's scores
                seed=int(seed[0]),
            )

    @property
    def members(self) -> int:
        """How many trials there are: each configuration with each seed.

        Example:
            >>> from ncps_mlx import CfC
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> design = Design(task, Space(learning_rate=[1e-3, 1e-2]), CfC, sampler="grid", trials=None, seeds=(0, 1),
            ...                 fixed={"hidden_size": 4}, draws_per_shape=8, sampler_seed=0, halving=None)
            >>> design.members
            4
        """
        return self.trials * len(self.seeds)

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same when a study is opened again, as JSON can hold it.

        Example:
            >>> from ncps_mlx import CfC
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> design = Design(task, Space(learning_rate=[1e-3, 1e-2]), CfC, sampler="grid", trials=None, seeds=(0, 1),
            ...                 fixed={"hidden_size": 4}, draws_per_shape=8, sampler_seed=0, halving=None)
            >>> design.settings["space.learning_rate"], design.settings["seeds"]
            ('[0.001, 0.01]', [0, 1])
        """
        task, space = self.task, self.space
        settings = {
            "space": list(space.knobs),  # their order decides what is drawn
            **{f"space.{knob}": repr(values) for knob, values in space.knobs.items()},
            **{f"fixed.{knob}": value for knob, value in self.fixed.items()},
            "task": task.name,
            "data_hash": task.data_hash,
            "metric": task.metric,
            "model": self.model,
            "sampler": self.sampler,
            "sampler_seed": self.sampler_seed,
            "draws_per_shape": self.draws_per_shape,
            "seeds": list(self.seeds),
            "trials": self.trials,
        }
        return settings if self.halving is None else settings | {"halving": self.halving.over(self.trials)}


def _seeds(seeds: Any) -> tuple[int, ...]:
    """Check that seeds are distinct integers of at least 0."""
    values = plain("seeds", list(seeds)) if isinstance(seeds, Iterable) else ()
    if not values or isinstance(seeds, str):
        raise ValueError(f"seeds must be a sequence of at least 1 integer such as (0, 1, 2), got {seeds!r}.")
    checked = tuple(check_int("seeds", seed, minimum=0) for seed in values)
    if len(set(checked)) < len(checked):
        raise ValueError(f"seeds must be distinct, got {list(checked)}.")
    return checked
