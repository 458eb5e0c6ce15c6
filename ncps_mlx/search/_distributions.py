"""Distributions of hyperparameters: what one of a :class:`~ncps_mlx.Space` may be, and when it exists.

Each draws by itself, so that a plan needs no Optuna, and gives Optuna's form of it for the storage and for TPE.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.json_values import format_value, to_json_value
from ncps_mlx._utils.validation import check_choice, check_flag, check_int, check_mapping, check_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = [
    "Choice", "Distribution", "Integer", "LogUniform", "Uniform", "When", "as_distribution", "decode", "encode",
    "from_json", "to_optuna",
]  # fmt: skip


class Distribution:
    """What every distribution can do; ``log`` says whether its logarithm is drawn evenly."""

    log: bool = False

    @property
    def size(self) -> float:
        """How many values there are; infinite where they are continuous."""
        return math.inf

    def quantile(self, q: float) -> Any:
        """Return the value below which the share ``q`` of the draws lies, 0 <= q < 1."""
        raise NotImplementedError  # abstract

    def bounds(self) -> tuple[Any, ...]:
        """Return the values that show whether the distribution is allowed: both ends, or every choice."""
        raise NotImplementedError  # abstract

    def contains(self, value: Any) -> bool:
        """Whether a value can be drawn."""
        raise NotImplementedError  # abstract

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.quantile(_check_rng(rng).random())

    def encode(self, value: Any) -> Any:
        """Write a value as Optuna can store it."""
        return value

    def decode(self, stored: Any) -> Any:
        """Find the value that Optuna stored."""
        return stored

    def to_json(self) -> dict[str, Any]:
        """Write the distribution as JSON can hold it."""
        assert dataclasses.is_dataclass(self)  # every kind is
        return {"kind": type(self).__name__} | dataclasses.asdict(self)


@dataclass(frozen=True)
class Choice(Distribution):
    """One of a few values, at least one, all different and equally likely; a list in a Space becomes one."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.values, tuple | list):
            raise ValueError(f"values must be a tuple of choices, got {self.values!r:.80}.")
        object.__setattr__(self, "values", tuple(to_json_value("values", value) for value in self.values))
        if not self.values:
            raise ValueError("values must hold at least 1 choice, got none.")
        for one, other in itertools.combinations(self.values, 2):
            if one == other:
                raise ValueError(f"values must be distinct, got {one!r} and {other!r}.")

    @property
    def size(self) -> int:
        """How many choices there are."""
        return len(self.values)

    def quantile(self, q: float) -> Any:
        """Return the value at this share of the list."""
        return self.values[min(int(_check_share(q) * len(self.values)), len(self.values) - 1)]

    def bounds(self) -> tuple[Any, ...]:
        """Return every choice."""
        return self.values

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the choices."""
        return not getattr(value, "ndim", 0) and value in self.values

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(_check_rng(rng).integers(len(self.values)))]

    def encode(self, value: Any) -> Any:
        """Write a tuple, a wiring or another mapping as a text, for Optuna stores no such choice."""
        return format_value(value) if isinstance(value, tuple | Mapping) else value

    def decode(self, stored: Any) -> Any:
        """Find the value that Optuna stored."""
        if getattr(stored, "ndim", 0) or stored not in self.encoded:
            raise ValueError(f"stored must be one of {self!r} as encode() writes it, got {stored!r:.80}.")
        return self.values[self.encoded.index(stored)]

    @cached_property
    def encoded(self) -> list[Any]:
        """Every choice as Optuna can store it."""
        return [self.encode(value) for value in self.values]

    def __repr__(self) -> str:
        return f"[{', '.join(format_value(v) if isinstance(v, Mapping) else repr(v) for v in self.values)}]"


@dataclass(frozen=True)
class Uniform(Distribution):
    """A number between two ends, all equally likely.

    Args:
        low: Least value.
        high: Greatest value, above the least.

    Raises:
        ValueError: An end is not finite, or the upper one is not above the lower.

    Example:
        >>> from ncps_mlx import Uniform
        >>> Uniform(0.0, 0.4).quantile(0.5)
        0.2
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not check_number("low", self.low) < check_number("high", self.high):
            raise ValueError(f"low must be below high, got {self.low} and {self.high}.")

    def quantile(self, q: float) -> float:
        """Return the value at this share of the way."""
        return float(self.low + _check_share(q) * (self.high - self.low))

    def bounds(self) -> tuple[float, float]:
        """Return both ends."""
        return float(self.low), float(self.high)

    def contains(self, value: Any) -> bool:
        """Whether a value is a number between the ends."""
        return _is_number(value) and bool(self.low <= value <= self.high)

    def decode(self, stored: Any) -> float:
        """Find the value that Optuna stored."""
        return check_number("stored", stored)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.low!r}, {self.high!r})"


@dataclass(frozen=True, repr=False)
class LogUniform(Uniform):
    """A positive number whose logarithm is uniform: as many draws from 0.001 to 0.01 as from 0.01 to 0.1.

    Args:
        low: Least value, above 0.
        high: Greatest value, above the least.

    Raises:
        ValueError: An end is not a positive number, or the upper one is not above the lower.

    Example:
        >>> from ncps_mlx import LogUniform
        >>> round(LogUniform(1e-4, 1e-1).quantile(1 / 3), 6)
        0.001
    """

    log = True

    def __post_init__(self) -> None:
        check_number("low", self.low, low=0, open_low=True)
        super().__post_init__()

    def quantile(self, q: float) -> float:
        """Return the value at this share of the way, on a logarithmic scale."""
        value = math.exp(math.log(self.low) + _check_share(q) * (math.log(self.high) - math.log(self.low)))
        return float(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Integer(Distribution):
    """A whole number between two ends, both included.

    Args:
        low: Least value.
        high: Greatest value, above the least.
        log: Draw its logarithm uniformly (default False); ``low`` must then be at least 1.

    Raises:
        ValueError: An end is no integer, or they are in the wrong order.

    Example:
        >>> from ncps_mlx import Integer
        >>> Integer(8, 64).quantile(0.5), Integer(8, 64, log=True).quantile(0.5)
        (36, 22)
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        check_flag("log", self.log)
        check_int("low", self.low, minimum=1 if self.log else -(2**53))
        if check_int("high", self.high, minimum=-(2**53)) <= self.low:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}.")

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    @property
    def values(self) -> tuple[int, ...]:
        """All values."""
        return tuple(range(self.low, self.high + 1))

    def quantile(self, q: float) -> int:
        """Return the value at this share of the draws."""
        q = _check_share(q)
        if not self.log:
            return min(self.low + int(q * self.size), self.high)
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(low + q * (high - low))), self.low), self.high)

    def bounds(self) -> tuple[int, int]:
        """Return both ends."""
        return self.low, self.high

    def contains(self, value: Any) -> bool:
        """Whether a value is a whole number between the ends."""
        return _is_number(value) and isinstance(value, int) and self.low <= value <= self.high

    def sample(self, rng: np.random.Generator) -> int:
        """Draw one value."""
        return super().sample(rng) if self.log else int(_check_rng(rng).integers(self.low, self.high + 1))

    def __repr__(self) -> str:
        return f"Integer({self.low}, {self.high}{', log=True' if self.log else ''})"


class When:
    """A hyperparameter that exists only where others have certain values; elsewhere it keeps its default.

    Args:
        distribution: Its values where it exists: a list of choices, or a range.
        **conditions: For each hyperparameter that it depends on, the values that let it exist: one, a list of them, or
            a range. All conditions must be met, so each of those must exist itself.

    Raises:
        ValueError: No condition, or no values.

    Example:
        >>> from ncps_mlx import FullyConnected, Integer, Space, When
        >>> space = Space(backbone_layers=[0, 1, 2], backbone_units=When([16, 32], backbone_layers=[1, 2]))
        >>> space.size  # no backbone; or 1 or 2 layers of 16 or 32 units
        5
        >>> Space(wiring=[None, FullyConnected(8)], hidden_size=When(Integer(4, 32), wiring=None))
        Space(wiring=[None, FullyConnected(8)], hidden_size=When(Integer(4, 32), wiring=[None]))
    """

    def __init__(
        self, distribution: list[Any] | tuple[Any, ...] | Distribution, /, **conditions: Any
    ) -> None:
        if not conditions:
            raise ValueError("conditions must name at least 1 other hyperparameter, got none.")
        if isinstance(distribution, When):
            raise ValueError(
                f"distribution must be a list of choices or a range, got {distribution!r}. "
                "Give all conditions at once."
            )
        self.distribution = as_distribution("distribution", distribution)
        self.conditions: Mapping[str, Distribution] = {
            name: as_distribution(name, values if isinstance(values, Distribution | list) else [values])
            for name, values in conditions.items()
        }

    def __repr__(self) -> str:
        conditions = ", ".join(f"{name}={values!r}" for name, values in self.conditions.items())
        return f"When({self.distribution!r}, {conditions})"


def as_distribution(name: str, values: Any) -> Distribution:
    """Make a list of choices a :class:`Choice`; leave a range as it is; refuse anything else."""
    if isinstance(values, tuple) and len(values) == 2 and all(map(_is_number, values)):
        raise ValueError(
            f"{name} must say whether it is a range or a list, got {values!r}: write Uniform{values}, "
            f"LogUniform{values}, Integer{values} or {list(values)}."
        )
    if isinstance(values, range | np.ndarray):
        values = np.asarray(values).tolist()
    if isinstance(values, list | tuple):
        choices = tuple(to_json_value(name, value) for value in values)
        try:
            values = Choice(choices)
        except ValueError as error:
            raise ValueError(f"{name} must be a list of choices, got {choices!r:.80}: {error}") from error
    if not isinstance(values, Distribution):
        raise ValueError(
            f"{name} must be a list of choices, Uniform, LogUniform or Integer, got {values!r}. "
            "A single value belongs in Study(..., fixed={...})."
        )
    return values


def to_optuna(values: Distribution) -> BaseDistribution:
    """Return Optuna's form of a distribution, for its storages and samplers."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, Choice):
        return CategoricalDistribution(values.encoded)
    kind = IntDistribution if isinstance(values, Integer) else FloatDistribution
    low, high = values.bounds()
    return kind(low, high, log=values.log)


def encode(distributions: Mapping[str, Distribution], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as Optuna keeps it."""
    return {name: distributions[name].encode(value) for name, value in config.items()}


def decode(distributions: Mapping[str, Distribution], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that Optuna kept, in the order of the distributions; what is not theirs is left out."""
    return {name: each.decode(params[name]) for name, each in distributions.items() if name in params}


def from_json(written: Mapping[str, Any]) -> Distribution:
    """Make a distribution from what its ``to_json`` gave, after JSON held it."""
    kinds: dict[str, type[Distribution]] = {each.__name__: each for each in (Choice, Uniform, LogUniform, Integer)}
    given = check_mapping("written", written, "what to_json gave of a distribution")
    kind = kinds[check_choice("kind", given.pop("kind", None), kinds)]
    try:
        return kind(**{name: to_json_value(name, value) for name, value in given.items()})
    except TypeError as error:
        raise ValueError(f"written must hold the arguments of a {kind.__name__}, got {', '.join(given)}.") from error


def _check_share(q: Any) -> float:
    return check_number("q", q, low=0, high=1)


def _check_rng(rng: Any) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a generator, np.random.default_rng(seed), got {rng!r:.80}.")
    return rng


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
