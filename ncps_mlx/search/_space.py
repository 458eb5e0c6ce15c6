"""Spaces: which hyperparameters a study varies, and over what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ncps_mlx._utils.validation import check_text
from ncps_mlx.models._own import FROM_TASK
from ncps_mlx.search import _distributions
from ncps_mlx.search._distributions import Choice, Distribution, Integer, When, as_distribution
from ncps_mlx.training._hyperparameters import (
    FIT_PARAMETERS,
    HYPERPARAMETERS,
    MEMBER_PARAMETERS,
    RENAMED,
    check_name,
)

__all__ = ["Space"]


class Space:
    """The hyperparameters that a study varies, and the values that they may take.

    A name says what is varied. Those of the model's shape (its constructor's arguments, batch size, steps, ...) make a
    new graph; those of a member (learning rate, weight decay, dropout rate, clip norm, schedule, warm-up, time scaling,
    initial scale) vary within one population, so drawing more of them costs little.

    Args:
        **distributions: By name: a list, array or ``range`` of choices, :class:`~ncps_mlx.Uniform`,
            :class:`~ncps_mlx.LogUniform` or :class:`~ncps_mlx.Integer`; in a :class:`~ncps_mlx.When`, one that exists
            only where another, named before it, has certain values.

    Attributes:
        distributions: All of them, by name.
        conditions: For each that does not always exist, the values of others that let it exist.
        shape: Those that make a new graph.
        member: Those that vary within a population.

    Raises:
        ValueError: No choices, a setting of :func:`~ncps_mlx.fit` that is not allowed, or a condition never met.
            What belongs to a model is checked by the :class:`~ncps_mlx.Study`, which knows the model.

    Example:
        >>> from ncps_mlx import LogUniform, Space
        >>> space = Space(hidden_size=[16, 32], learning_rate=LogUniform(1e-3, 1e-1))
        >>> list(space.shape), list(space.member)
        (['hidden_size'], ['learning_rate'])
        >>> Space(learning_rate=[0.01, -0.1])
        Traceback (most recent call last):
        ...
        ValueError: learning_rate must be above 0, got -0.1.
    """

    def __init__(self, **distributions: Sequence[Any] | np.ndarray | Distribution | When) -> None:
        self.distributions: dict[str, Distribution] = {}
        self.conditions: dict[str, Mapping[str, Distribution]] = {}
        for name, values in distributions.items():
            if name == "seed":
                raise ValueError("seed must be given as Study(..., seeds=(0, 1, 2)): a seed is not tuned.")
            if name in FROM_TASK:
                raise ValueError(f"{name} must be left to the task, got it in the space.")
            if name in RENAMED:
                check_name(name)
            distribution = as_distribution(name, values.distribution if isinstance(values, When) else values)
            if name in FIT_PARAMETERS | MEMBER_PARAMETERS:  # what a model has is known when there is one
                for value in distribution.bounds():
                    HYPERPARAMETERS[name].check(name, value)
            if isinstance(values, When):
                self._check_conditions(name, values.conditions)
                self.conditions[name] = values.conditions
            self.distributions[name] = distribution
        each = self.distributions.items()
        self.shape = {name: values for name, values in each if name not in MEMBER_PARAMETERS}
        self.member = {name: values for name, values in each if name in MEMBER_PARAMETERS}
        for name in self.conditions:
            self._required_by(name)

    def _check_conditions(self, name: str, conditions: Mapping[str, Distribution]) -> None:
        """Refuse a condition on what is not there or comes later, or that lists a value it never has."""
        for parent, values in conditions.items():
            if parent not in self.distributions:
                raise ValueError(f"{name} must depend on one that the space names before it, got {parent}.")
            if parent in MEMBER_PARAMETERS and name not in MEMBER_PARAMETERS:
                raise ValueError(
                    f"{name} must not depend on {parent}: {parent} varies within a population, whose members share "
                    f"their {name}."
                )
            never = [value for value in values.bounds() if not self.distributions[parent].contains(value)]
            if isinstance(values, Choice) and never:
                raise ValueError(f"{parent} must be able to have the value that {name} asks for, got {values!r}.")

    @property
    def size(self) -> float:
        """How many configurations there are; infinite with a continuous hyperparameter.

        Example:
            >>> from ncps_mlx import Integer, Space
            >>> Space(hidden_size=[16, 32], num_layers=Integer(1, 3)).size
            6
        """
        return self.count(self.distributions)

    def exists(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a hyperparameter exists, given these values of the others."""
        _check_config("config", config)
        conditions = self.conditions.get(self._check_name("name", name), {})
        return all(parent in config and values.contains(config[parent]) for parent, values in conditions.items())

    def is_complete(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration has a value for everything that exists in it."""
        _check_config("config", config)
        return all(name in config for name in self.distributions if self.exists(name, config))

    def sample(
        self,
        pick: Callable[[str, Distribution], Any],
        names: Iterable[str] | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Pick a value, by ``pick(name, distribution)``, for everything that exists of ``names`` (default: all).

        Returns:
            dict: the values in the space's order, those ``known`` before among them.
        """
        given: Any = pick
        if not callable(given) or isinstance(given, type):
            raise ValueError(f"pick must be a function of a name and a distribution, got {pick!r:.80}.")
        config = dict(_check_config("known", {} if known is None else known))
        for name in self.distributions if names is None else self._check_names(names):
            if self.exists(name, config):
                config[name] = pick(name, self.distributions[name])
        return {name: config[name] for name in self.distributions if name in config}

    def restrict(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of what the space varies, and of that what exists, in a complete configuration."""
        _check_config("config", config)

        def value(name: str, _: Distribution) -> Any:
            if name not in config:
                raise ValueError(f"config must have a value of {name}, got {', '.join(map(str, config)) or 'none'}.")
            return config[name]

        return self.sample(value)

    def count(self, names: Iterable[str], known: Mapping[str, Any] | None = None) -> float:
        """Count the combinations of some hyperparameters, given these values of others; infinite with a range."""
        rest = self._check_names(names)
        config = dict(_check_config("known", {} if known is None else known))
        if not rest:
            return 1
        name, after = rest[0], rest[1:]
        values = self.distributions[name]
        if not self.exists(name, config):
            return self.count(after, config)
        is_parent = any(name in self.conditions.get(other, ()) for other in after)
        if is_parent and isinstance(values, Choice | Integer):
            return sum(self.count(after, config | {name: value}) for value in values.values)
        return values.size * self.count(after, config)

    def example_with(self, name: str, value: Any) -> dict[str, Any]:
        """Return a configuration in which ``name`` exists and has this value, all others the first of theirs."""
        if not self.distributions[self._check_name("name", name)].contains(value):
            raise ValueError(f"value must be one of {name}, {self.distributions[name]!r}, got {value!r:.80}.")
        wanted = {name: value} | self._required_by(name)
        return self.sample(lambda each, distribution: wanted.get(each, distribution.bounds()[0]))

    def shape_key(self, config: Mapping[str, Any]) -> str:
        """Name the shape of a configuration: equal shapes, which are trained together, have equal names."""
        _check_config("config", config)
        return repr({name: config[name] for name in self.shape if name in config})

    def _check_name(self, argument: str, name: Any) -> str:
        if not isinstance(name, str) or name not in self.distributions:
            raise ValueError(f"{argument} must be one of {', '.join(self.distributions)}, got {name!r:.80}.")
        return name

    def _check_names(self, names: Any) -> list[str]:
        if not isinstance(names, Iterable) or isinstance(names, str | bytes):
            raise ValueError(f"names must be a sequence of hyperparameters, got {names!r:.80}.")
        return [self._check_name("names", name) for name in names]

    def _required_by(self, name: str) -> dict[str, Any]:
        """Return values of the others that let one exist."""
        required: dict[str, list[Distribution]] = {}  # of each that it depends on, also through others
        for other in reversed(list(self.distributions)):
            if other == name or other in required:
                for parent, values in self.conditions.get(other, {}).items():
                    required.setdefault(parent, []).append(values)
        found = {}
        for parent, wanted in required.items():
            all_of = [self.distributions[parent], *wanted]
            ends = [value for distribution in all_of for value in distribution.bounds()]
            common = [value for value in ends if all(each.contains(value) for each in all_of)]
            if not common:
                asked = " and ".join(map(repr, wanted))
                raise ValueError(f"{parent} must be able to have the value that {name} asks for, got {asked}.")
            found[parent] = common[0]
        return found

    def to_json(self) -> list[list[Any]]:
        """Write the space as JSON can hold it, in its order; :meth:`from_json` reads it."""
        return [
            [name, values.to_json(), {key: each.to_json() for key, each in self.conditions.get(name, {}).items()}]
            for name, values in self.distributions.items()
        ]

    @classmethod
    def from_json(cls, written: Sequence[Sequence[Any]]) -> Space:
        """Read what :meth:`to_json` gave."""
        read = _distributions.from_json
        if not isinstance(written, list | tuple):
            raise ValueError(f"written must be a list that to_json gave, got {written!r:.80}.")
        given: dict[str, Any] = {}
        for part in written:
            if not isinstance(part, list | tuple) or len(part) != 3 or not isinstance(part[2], Mapping):
                raise ValueError(f"written must hold a name, a distribution and conditions each, got {part!r:.80}.")
            name, conditions = check_text("written", part[0]), part[2]
            try:
                values, when = read(part[1]), {key: read(each) for key, each in conditions.items()}
                given[name] = When(values, **when) if when else values
            except ValueError as error:
                raise ValueError(f"written[{name!r}]: {error}") from error
        return cls(**given)

    def describe(self, name: str) -> str:
        """Write one hyperparameter's values as they are given, with its conditions."""
        values = self.distributions[self._check_name("name", name)]
        return repr(When(values, **self.conditions[name]) if name in self.conditions else values)

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={self.describe(name)}' for name in self.distributions)})"


def _check_config(argument: str, config: Any) -> Mapping[str, Any]:
    if not isinstance(config, Mapping):
        raise ValueError(f"{argument} must map hyperparameters to values, got {config!r:.80}.")
    return config
