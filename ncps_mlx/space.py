"""Spaces: which knobs a study varies, and over what.

A knob's name says what it is. Shape knobs (a model's constructor arguments, batch size, steps...) make
a new graph; member knobs (learning rate, weight decay, dropout rate, clip norm, schedule, warm-up) vary
within one population, so drawing more of them costs little.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ncps_mlx.checks import check_choice, check_flag, check_int, check_number
from ncps_mlx.circuit import Wiring
from ncps_mlx.models import check_ranges
from ncps_mlx.optimize import OPTIMIZERS, SCHEDULES
from ncps_mlx.train import MEMBER_KNOBS
from ncps_mlx.trials import FROM_TASK, MODELS, knobs_of
from ncps_mlx.values import label, plain

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Choice", "Integer", "Knob", "LogUniform", "Space", "Uniform"]


class Knob(Protocol):
    """What a range of values can do."""

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value."""

    def edges(self) -> tuple[Any, ...]:
        """Return the values that show whether the range is allowed: the ends, or every choice."""

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""


@dataclass(frozen=True)
class Choice:
    """One of a few values, all equally likely. A plain list in a :class:`Space` becomes one.

    Example:
        >>> Choice(("default", "pure")).draw(np.random.default_rng(0))
        'pure'
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values must hold at least 1 choice, got none.")
        for one, other in itertools.combinations(self.values, 2):
            if one == other:
                raise ValueError(f"values must be distinct, got {one!r} and {other!r}.")

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(rng.integers(len(self.values)))]

    def edges(self) -> tuple[Any, ...]:
        """Return every choice."""
        return self.values

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([self.encode(value) for value in self.values])

    def encode(self, value: Any) -> Any:
        """Write a value as Optuna can store it: a tuple, a wiring or another mapping as its label."""
        return label(value) if isinstance(value, tuple | Mapping) else value

    def decode(self, stored: Any) -> Any:
        """Find the value that Optuna stored."""
        return next(value for value in self.values if self.encode(value) == stored)

    def __repr__(self) -> str:
        return f"[{', '.join(label(v) if isinstance(v, Mapping) else repr(v) for v in self.values)}]"


@dataclass(frozen=True)
class Uniform:
    """A number between two ends, all equally likely.

    Args:
        low: Lower end.
        high: Upper end, above the lower.

    Raises:
        ValueError: An end is not finite, or they are in the wrong order.

    Example:
        >>> Uniform(0.0, 0.5).draw(np.random.default_rng(0)) < 0.5
        True
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        check_number("low", self.low)
        check_number("high", self.high, low=self.low, open_low=True)

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        return float(rng.uniform(self.low, self.high))

    def edges(self) -> tuple[float, float]:
        """Return both ends."""
        return float(self.low), float(self.high)

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.low!r}, {self.high!r})"


@dataclass(frozen=True, repr=False)
class LogUniform(Uniform):
    """A positive number whose logarithm is uniform: as many draws between 0.001 and 0.01 as up to 0.1.

    Args:
        low: Lower end, above 0.
        high: Upper end, above the lower.

    Raises:
        ValueError: An end is not a positive number, or they are in the wrong order.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draws = [LogUniform(1e-4, 1e-1).draw(rng) for _ in range(3000)]
        >>> round(sum(value < 1e-3 for value in draws) / 3000, 1)
        0.3
    """

    def __post_init__(self) -> None:
        check_number("low", self.low, low=0, open_low=True)
        super().__post_init__()

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(min(max(value, self.low), self.high))

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=True)


@dataclass(frozen=True)
class Integer:
    """A whole number between two ends, both included.

    Args:
        low: Least value.
        high: Greatest value, above the least.
        log: Draw its logarithm uniformly (default False); ``low`` must then be at least 1.

    Raises:
        ValueError: An end is no integer, or they are in the wrong order.

    Example:
        >>> Integer(8, 64, log=True).draw(np.random.default_rng(0))
        30
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        check_flag("log", self.log)
        check_int("low", self.low, minimum=1 if self.log else -(2**53))
        check_int("high", self.high, minimum=self.low + 1)

    def draw(self, rng: np.random.Generator) -> int:
        """Draw one value."""
        if not self.log:
            return int(rng.integers(self.low, self.high + 1))
        value = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(value), self.low), self.high)

    def edges(self) -> tuple[int, int]:
        """Return both ends."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log)

    def __repr__(self) -> str:
        return f"Integer({self.low}, {self.high}{', log=True' if self.log else ''})"


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
    "warmup": _at_least(0),
    "backbone_dropout": lambda name, value: check_number(name, value, low=0, high=1, open_high=True),
    "optimizer": lambda name, value: check_choice(name, value, OPTIMIZERS),
    "steps": _at_least(1),
    "batch_size": _at_least(1),
    "accumulate": _at_least(1),
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
        **knobs: By name: a list of choices, :class:`Uniform`, :class:`LogUniform` or :class:`Integer`.

    Attributes:
        knobs: All of them, by name.
        shape: Those that make a new graph.
        member: Those that vary within a population.

    Raises:
        ValueError: An unknown name, no choices, or a value that the knob does not allow.

    Example:
        >>> space = Space(hidden_size=[16, 32], learning_rate=LogUniform(1e-3, 1e-1))
        >>> list(space.shape), list(space.member)
        (['hidden_size'], ['learning_rate'])
        >>> Space(learning_rate=[0.01, -0.1])
        Traceback (most recent call last):
        ...
        ValueError: learning_rate must be above 0, got -0.1.
    """

    def __init__(self, **knobs: list[Any] | tuple[Any, ...] | Choice | Uniform | Integer) -> None:
        known = frozenset().union(*map(knobs_of, MODELS))
        checked: dict[str, Choice | Uniform | Integer] = {}
        for name, knob in knobs.items():
            if name == "seed":
                raise ValueError(
                    "seed must be given as Study(..., seeds=(0, 1, 2)): it is no knob to choose by."
                )
            if name in FROM_TASK:
                raise ValueError(f"{name} must be left to the task, got it as a knob.")
            if name not in known:
                raise ValueError(f"{name} must be a knob, which are {', '.join(sorted(known))}.")
            if isinstance(knob, list | tuple):
                knob = Choice(tuple(plain(name, value) for value in knob))
            if not isinstance(knob, Choice | Uniform | Integer):
                raise ValueError(
                    f"{name} must be a list of choices, Uniform, LogUniform or Integer, got {knob!r}. "
                    "A single value belongs into Study(..., fixed={...})."
                )
            for value in knob.edges():
                if name in RULES:
                    RULES[name](name, value)
            checked[name] = knob
        self.knobs: Mapping[str, Choice | Uniform | Integer] = checked
        self.shape = {name: knob for name, knob in checked.items() if name not in MEMBER_KNOBS}
        self.member = {name: knob for name, knob in checked.items() if name in MEMBER_KNOBS}

    @property
    def size(self) -> float:
        """How many configurations there are; infinite with a continuous knob.

        Example:
            >>> Space(hidden_size=[16, 32], num_layers=Integer(1, 3)).size
            6
        """
        return count(self.knobs)

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={knob!r}' for name, knob in self.knobs.items())})"


def count(knobs: Mapping[str, Choice | Uniform | Integer]) -> float:
    """Count the combinations of some knobs; infinite with a continuous one.

    Example:
        >>> count({"learning_rate": LogUniform(1e-3, 1e-1)})
        inf
    """
    total: float = 1
    for knob in knobs.values():
        if isinstance(knob, Choice):
            total *= len(knob.values)
        else:
            total *= knob.high - knob.low + 1 if isinstance(knob, Integer) else math.inf
    return total
