"""Spaces: which knobs a study varies, and over what.

A knob's name says what it is. Shape knobs (a model's constructor arguments, batch size, steps...) make
a new graph; member knobs (learning rate, weight decay, dropout rate, clip norm, schedule, warm-up, time scaling,
initial scale) vary within one population, so drawing more of them costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ncps_mlx._utils.validation import check_choice, check_int, check_number
from ncps_mlx.data._time_scaler import KINDS
from ncps_mlx.models._ltc import check_ranges
from ncps_mlx.search._distributions import Choice, Integer, Knob, When, as_knob
from ncps_mlx.search._hyperparameters import FROM_TASK, MODELS, knobs_of
from ncps_mlx.training._fit import MEMBER_PARAMETERS
from ncps_mlx.training._optimizers import OPTIMIZERS, SCHEDULES
from ncps_mlx.wirings._base import Wiring

__all__ = ["Space"]


def _at_least(minimum: int, *, optional: bool = False) -> Callable[[str, Any], object]:
    def check(name: str, value: Any) -> object:
        return None if optional and value is None else check_int(name, value, minimum=minimum)

    return check


def _positive(name: str, value: Any) -> object:
    return check_number(name, value, low=0, open_low=True)


RULES: dict[str, Callable[[str, Any], object]] = {
    "learning_rate": _positive,
    "weight_decay": lambda name, value: check_number(name, value, low=0),
    "clip_norm": lambda name, value: None if value is None else _positive(name, value),
    "schedule": lambda name, value: check_choice(name, value, SCHEDULES),
    "warmup_steps": _at_least(0),
    "backbone_dropout": lambda name, value: check_number(name, value, low=0, high=1, open_high=True),
    "time_scaling": lambda name, value: check_choice(name, value, KINDS),
    "initial_scale": _positive,
    "optimizer": lambda name, value: check_choice(name, value, OPTIMIZERS),
    "steps": _at_least(1),
    "batch_size": _at_least(1),
    "grad_accumulation_steps": _at_least(1),
    "patience": _at_least(1, optional=True),
    "evaluate_every": _at_least(1, optional=True),
    "hidden_size": _at_least(1),
    "num_layers": _at_least(1),
    "backbone_units": _at_least(1),
    "backbone_layers": _at_least(0),
    "ode_unfolds": _at_least(1),
    "wiring": lambda _, value: None if value is None else Wiring.from_config(value),
    "initial_ranges": lambda _, value: check_ranges(value, None),
}
"""What a single value must satisfy; the models check the rest, and what depends on several knobs."""


class Space:
    """The knobs a study varies.

    Args:
        **knobs: By name: a list of choices, :class:`~ncps_mlx.Uniform`, :class:`~ncps_mlx.LogUniform` or
            :class:`~ncps_mlx.Integer`; in a :class:`~ncps_mlx.When`, a knob that exists only where another, named
            before it, has certain values.

    Attributes:
        knobs: All of them, by name.
        shape: Those that make a new graph.
        member: Those that vary within a population.

    Raises:
        ValueError: An unknown name, no choices, a value that the knob does not allow, or a condition that is never met.

    Example:
        >>> from ncps_mlx import LogUniform
        >>> space = Space(hidden_size=[16, 32], learning_rate=LogUniform(1e-3, 1e-1))
        >>> list(space.shape), list(space.member)
        (['hidden_size'], ['learning_rate'])
        >>> Space(learning_rate=[0.01, -0.1])
        Traceback (most recent call last):
        ...
        ValueError: learning_rate must be above 0, got -0.1.
    """

    def __init__(self, **knobs: list[Any] | tuple[Any, ...] | Knob) -> None:
        known = frozenset().union(*map(knobs_of, MODELS))
        checked: dict[str, Knob] = {}
        for name, given in knobs.items():
            if name == "seed":
                raise ValueError(
                    "seed must be given as Study(..., seeds=(0, 1, 2)): it is no knob to choose by."
                )
            if name in FROM_TASK:
                raise ValueError(f"{name} must be left to the task, got it as a knob.")
            if name not in known:
                raise ValueError(f"{name} must be a knob, which are {', '.join(sorted(known))}.")
            knob = as_knob(name, given)
            for value in knob.edges():
                if name in RULES:
                    RULES[name](name, value)
            if isinstance(knob, When):
                _check_conditions(name, knob, checked)
            checked[name] = knob
        self.knobs: Mapping[str, Knob] = checked
        self.shape = {name: knob for name, knob in checked.items() if name not in MEMBER_PARAMETERS}
        self.member = {name: knob for name, knob in checked.items() if name in MEMBER_PARAMETERS}
        for name in checked:
            self._asked(name)

    def exists(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a knob exists beside these values of the others.

        Example:
            >>> from ncps_mlx import When
            >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1))
            >>> space.exists("backbone_units", {"backbone_layers": 0})
            False
        """
        knob = self.knobs[name]
        return knob.met(config) if isinstance(knob, When) else True

    def whole(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration has a value for every knob that exists in it.

        Example:
            >>> from ncps_mlx import When
            >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1))
            >>> space.whole({"backbone_layers": 0}), space.whole({"backbone_layers": 1})
            (True, False)
        """
        return all(name in config for name in self.knobs if self.exists(name, config))

    def fill(
        self,
        pick: Callable[[str, Knob], Any],
        names: Iterable[str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Pick a value for every knob that exists, one after another, and return them in the space's order.

        Args:
            pick: Is given a knob's name and range, and chooses.
            names: The knobs to pick for (default: all).
            given: Values of others, returned too.

        Example:
            >>> from ncps_mlx import When
            >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1))
            >>> space.fill(lambda name, knob: knob.edges()[-1])
            {'backbone_layers': 1, 'backbone_units': 32}
        """
        config = dict(given or {})
        for name in self.knobs if names is None else names:
            if self.exists(name, config):
                config[name] = pick(name, self.knobs[name])
        return {name: config[name] for name in self.knobs if name in config}

    def part_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the knobs that exist in a complete configuration.

        Example:
            >>> from ncps_mlx import When
            >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1))
            >>> space.part_of({"backbone_layers": 0, "backbone_units": 128, "learning_rate": 0.01})
            {'backbone_layers': 0}
        """
        return self.fill(lambda name, _: config[name])

    @property
    def size(self) -> float:
        """How many configurations there are; infinite with a continuous knob.

        Example:
            >>> from ncps_mlx import Integer
            >>> Space(hidden_size=[16, 32], num_layers=Integer(1, 3)).size
            6
        """
        return self.count(self.knobs)

    def count(self, names: Iterable[str], given: Mapping[str, Any] | None = None) -> float:
        """Count the combinations of some knobs, beside these values of others; infinite with a continuous one.

        Example:
            >>> from ncps_mlx import When
            >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1))
            >>> space.count(["backbone_units"], {"backbone_layers": 1}), space.count(space.knobs)
            (2, 3)
        """
        rest = list(names)
        if not rest:
            return 1
        config, name, after = dict(given or {}), rest[0], rest[1:]
        knob = self.knobs[name]
        if not self.exists(name, config):
            return self.count(after, config)
        plain = knob.knob if isinstance(knob, When) else knob
        conditions = [other.conditions for other in map(self.knobs.get, after) if isinstance(other, When)]
        if not isinstance(plain, Choice | Integer) or not any(name in condition for condition in conditions):
            return knob.size * self.count(after, config)
        return sum(self.count(after, config | {name: value}) for value in plain.values)

    def corner(self, name: str, value: Any) -> dict[str, Any]:
        """Return a configuration in which a knob exists and has this value, all others the first of theirs.

        Example:
            >>> from ncps_mlx import When
            >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1))
            >>> space.corner("backbone_units", 32)
            {'backbone_layers': 1, 'backbone_units': 32}
        """
        wanted = {name: value} | self._asked(name)
        return self.fill(lambda each, knob: wanted.get(each, knob.edges()[0]))

    def _asked(self, name: str) -> dict[str, Any]:
        """Return values of other knobs beside which one exists."""
        asked: dict[str, list[Knob]] = {}  # of each knob that it depends on, also through others
        for other in reversed(list(self.knobs)):
            knob = self.knobs[other]
            if isinstance(knob, When) and (other == name or other in asked):
                for parent, held in knob.conditions.items():
                    asked.setdefault(parent, []).append(held)
        found = {}
        for parent, helds in asked.items():
            if not (values := _common(self.knobs[parent], *helds)):
                raise ValueError(
                    f"{parent} must be able to have the value that {name} asks for, got "
                    f"{' and '.join(map(repr, helds))}."
                )
            found[parent] = values[0]
        return found

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={knob!r}' for name, knob in self.knobs.items())})"


def _check_conditions(name: str, knob: When, before: Mapping[str, Knob]) -> None:
    """Refuse a condition on a knob that is not there or comes later, or that lists a value it never has."""
    for parent, held in knob.conditions.items():
        if parent not in before:
            raise ValueError(f"{name} must depend on a knob that the space names before it, got {parent}.")
        if parent in MEMBER_PARAMETERS and name not in MEMBER_PARAMETERS:
            raise ValueError(
                f"{name} must not depend on {parent}: {parent} varies within a population, whose members share "
                f"their {name}."
            )
        never = [value for value in held.edges() if not before[parent].holds(value)]
        if isinstance(held, Choice) and never:
            raise ValueError(f"{parent} must be able to have the value that {name} asks for, got {held!r}.")


def _common(*knobs: Knob) -> list[Any]:
    """Return values that all of some ranges hold: those at their ends, if there are any at all."""
    ends = [value for knob in knobs for value in knob.edges()]
    return [value for value in ends if all(knob.holds(value) for knob in knobs)]
