"""Ranges of values: what one knob of a :class:`~ncps_mlx.Space` may be, and when it exists."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.json_values import label, plain
from ncps_mlx._utils.validation import check_choice, check_flag, check_int, check_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Choice", "Integer", "Knob", "LogUniform", "Uniform", "When", "restored"]


class Knob:
    """What every range of values can do.

    Example:
        >>> isinstance(Choice(("default", "pure")), Knob)
        True
    """

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value.

        Example:
            >>> Uniform(0.0, 0.5).draw(np.random.default_rng(0)) < 0.5
            True
        """
        raise NotImplementedError  # abstract

    def at(self, share: float) -> Any:
        """Return the value below which this share of the draws lies, 0 <= share < 1.

        Example:
            >>> Uniform(0.0, 0.4).at(0.5), Choice((8, 16, 32)).at(0.5)
            (0.2, 16)
            >>> round(LogUniform(1e-3, 1e-1).at(0.5), 6)
            0.01
        """
        raise NotImplementedError  # abstract

    def edges(self) -> tuple[Any, ...]:
        """Return the values that show whether the range is allowed: the ends, or every choice.

        Example:
            >>> Integer(8, 64).edges(), Choice((8, 16, 32)).edges()
            ((8, 64), (8, 16, 32))
        """
        raise NotImplementedError  # abstract

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range.

        Example:
            >>> Integer(8, 64).distribution()
            IntDistribution(high=64, log=False, low=8, step=1)
        """
        raise NotImplementedError  # abstract

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the range.

        Example:
            >>> Integer(8, 64).holds(16), Integer(8, 64).holds(16.5)
            (True, False)
        """
        raise NotImplementedError  # abstract

    def encode(self, value: Any) -> Any:
        """Write a value as Optuna can store it.

        Example:
            >>> Choice(((0.1, 1.0), None)).encode((0.1, 1.0))
            '(0.1, 1.0)'
        """
        return value

    def decode(self, stored: Any) -> Any:
        """Find the value that Optuna stored.

        Example:
            >>> Choice(((0.1, 1.0), None)).decode("(0.1, 1.0)")
            (0.1, 1.0)
        """
        return stored

    @property
    def size(self) -> float:
        """How many values there are; infinite where they are continuous.

        Example:
            >>> Integer(8, 64).size, Uniform(0.0, 0.4).size
            (57, inf)
        """
        return math.inf

    def written(self) -> dict[str, Any]:
        """Write the range as JSON can hold it; :func:`restored` reads it.

        Example:
            >>> Uniform(0.0, 0.4).written()
            {'kind': 'Uniform', 'low': 0.0, 'high': 0.4}
        """
        raise NotImplementedError  # abstract


@dataclass(frozen=True)
class Choice(Knob):
    """One of a few values, all equally likely. A plain list in a :class:`~ncps_mlx.Space` becomes one.

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

    def at(self, share: float) -> Any:
        """Return the value at this share of the list."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def edges(self) -> tuple[Any, ...]:
        """Return every choice."""
        return self.values

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([self.encode(value) for value in self.values])

    def holds(self, value: Any) -> bool:
        """Whether a value is one of the choices."""
        return value in self.values

    def encode(self, value: Any) -> Any:
        """Write a value as Optuna can store it: a tuple, a wiring or another mapping as its label."""
        return label(value) if isinstance(value, tuple | Mapping) else value

    def decode(self, stored: Any) -> Any:
        """Find the value that Optuna stored."""
        return next(value for value in self.values if self.encode(value) == stored)

    @property
    def size(self) -> int:
        """How many choices there are."""
        return len(self.values)

    def written(self) -> dict[str, Any]:
        """Write the choices as JSON can hold them."""
        return {"kind": "Choice", "values": list(self.values)}

    def __repr__(self) -> str:
        return f"[{', '.join(label(v) if isinstance(v, Mapping) else repr(v) for v in self.values)}]"


@dataclass(frozen=True)
class Uniform(Knob):
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

    def at(self, share: float) -> float:
        """Return the value at this share of the way."""
        return float(self.low + share * (self.high - self.low))

    def edges(self) -> tuple[float, float]:
        """Return both ends."""
        return float(self.low), float(self.high)

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value is a number between the ends."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and bool(self.low <= value <= self.high)

    def written(self) -> dict[str, Any]:
        """Write the ends as JSON can hold them."""
        return {"kind": type(self).__name__, "low": self.low, "high": self.high}

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

    def at(self, share: float) -> float:
        """Return the value at this share of the way, on a logarithmic scale."""
        value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return float(min(max(value, self.low), self.high))

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=True)


@dataclass(frozen=True)
class Integer(Knob):
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
        return self._near(rng.uniform(*self._ends()))

    def at(self, share: float) -> int:
        """Return the value at this share of the draws."""
        if not self.log:
            return min(self.low + int(share * self.size), self.high)
        low, high = self._ends()
        return self._near(low + share * (high - low))

    def edges(self) -> tuple[int, int]:
        """Return both ends."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a value is a whole number between the ends."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    @property
    def values(self) -> tuple[int, ...]:
        """All values.

        Example:
            >>> Integer(1, 3).values
            (1, 2, 3)
        """
        return tuple(range(self.low, self.high + 1))

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def written(self) -> dict[str, Any]:
        """Write the ends as JSON can hold them."""
        return {"kind": "Integer", "low": self.low, "high": self.high, "log": self.log}

    def _ends(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def _near(self, logarithm: float) -> int:
        return min(max(round(math.exp(logarithm)), self.low), self.high)

    def __repr__(self) -> str:
        return f"Integer({self.low}, {self.high}{', log=True' if self.log else ''})"


class When(Knob):
    """A knob that exists only where others have certain values; elsewhere it keeps its default.

    Args:
        knob: Its values where it exists: a list of choices, or a range.
        **conditions: For each knob that it depends on, the values that let it exist: one, a list of them, or a range.
            All conditions must be met, so each of those knobs must exist itself.

    Raises:
        ValueError: No condition, or no values.

    Example:
        >>> from ncps_mlx import FullyConnected, Space
        >>> space = Space(backbone_layers=[0, 1, 2], backbone_units=When([16, 32], backbone_layers=[1, 2]))
        >>> space.size  # no backbone; or 1 or 2 layers of 16 or 32 units
        5
        >>> Space(wiring=[None, FullyConnected(8)], hidden_size=When(Integer(4, 32), wiring=None))
        Space(wiring=[None, FullyConnected(8)], hidden_size=When(Integer(4, 32), wiring=[None]))
    """

    def __init__(self, knob: list[Any] | tuple[Any, ...] | Knob, **conditions: Any) -> None:
        if not conditions:
            raise ValueError("conditions must name at least 1 other knob, got none.")
        if isinstance(knob, When):
            raise ValueError(
                f"knob must be a list of choices or a range, got {knob!r}. Give all conditions at once."
            )
        self.knob = as_knob("knob", knob)
        self.conditions: Mapping[str, Knob] = {
            name: as_knob(name, values if isinstance(values, Knob | list) else [values])
            for name, values in conditions.items()
        }

    def met(self, config: Mapping[str, Any]) -> bool:
        """Whether the knob exists beside these values of the others.

        Example:
            >>> When([16, 32], backbone_layers=[1, 2]).met({"backbone_layers": 0})
            False
        """
        return all(name in config and held.holds(config[name]) for name, held in self.conditions.items())

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.knob.draw(rng)

    def at(self, share: float) -> Any:
        """Return the value below which this share of the draws lies."""
        return self.knob.at(share)

    def edges(self) -> tuple[Any, ...]:
        """Return the values that show whether the range is allowed: the ends, or every choice."""
        return self.knob.edges()

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the range."""
        return self.knob.distribution()

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the range."""
        return self.knob.holds(value)

    def encode(self, value: Any) -> Any:
        """Write a value as Optuna can store it."""
        return self.knob.encode(value)

    def decode(self, stored: Any) -> Any:
        """Find the value that Optuna stored."""
        return self.knob.decode(stored)

    @property
    def size(self) -> float:
        """How many values there are where the knob exists."""
        return self.knob.size

    def written(self) -> dict[str, Any]:
        """Write the range and its conditions as JSON can hold them."""
        conditions = {name: held.written() for name, held in self.conditions.items()}
        return {"kind": "When", "knob": self.knob.written(), "conditions": conditions}

    def __repr__(self) -> str:
        conditions = ", ".join(f"{name}={held!r}" for name, held in self.conditions.items())
        return f"When({self.knob!r}, {conditions})"


def as_knob(name: str, given: Any) -> Knob:
    """Make a list of choices a :class:`Choice`; leave a range as it is.

    Raises:
        ValueError: It is neither, or holds a value that cannot be written down.
    """
    if isinstance(given, list | tuple):
        given = Choice(tuple(plain(name, value) for value in given))
    if not isinstance(given, Knob):
        raise ValueError(
            f"{name} must be a list of choices, Uniform, LogUniform or Integer, got {given!r}. "
            "A single value belongs into Study(..., fixed={...})."
        )
    return given


def restored(written: Mapping[str, Any]) -> Knob:
    """Make a knob from what its ``written()`` gave, read back from JSON.

    Raises:
        ValueError: The kind is unknown.

    Example:
        >>> restored(When([8, 16], num_layers=Integer(2, 3)).written())
        When([8, 16], num_layers=Integer(2, 3))
    """
    given = {name: value for name, value in written.items() if name != "kind"}
    if written["kind"] == "When":
        conditions = {name: restored(held) for name, held in given["conditions"].items()}
        return When(restored(given["knob"]), **conditions)
    if written["kind"] == "Choice":
        return Choice(plain("values", given["values"]))
    ranges = {"Uniform": Uniform, "LogUniform": LogUniform, "Integer": Integer}
    made: Knob = ranges[check_choice("kind", written["kind"], ranges)](**given)
    return made
