"""Plans: the configurations of a grid, random or quasi-random study, and those that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import did_you_mean
from ncps_mlx.search._distributions import Choice, Distribution
from ncps_mlx.search._space import Space

__all__ = ["Pick", "check_first", "check_size", "grid_plan", "quasi_random_plan", "random_pick", "random_plan"]

Pick = Callable[[str, Distribution], Any]

CHUNK = 64  # quasi-random points made at once


def check_size(space: Space, trials: int) -> None:
    """Refuse more configurations than there are."""
    if trials > space.size:
        raise ValueError(f"trials must be at most {space.size}, the size of the space, got {trials}.")


def check_first(space: Space, first: Any) -> list[dict[str, Any]]:
    """Return known configurations in the space's order, each value as the space has it; refuse what lies outside."""
    if not isinstance(first, list | tuple):
        raise ValueError(
            f"first must be a sequence of configurations such as [{{'learning_rate': 0.01}}], got {first!r:.80}."
        )
    checked: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for i, config in enumerate(first):
        checked.append(_check_config(space, f"first[{i}]", config))
        if (before := seen.setdefault(repr(checked[-1]), i)) < i:
            raise ValueError(f"first must hold distinct configurations, got first[{i}] equal to first[{before}].")
    return checked


def _check_config(space: Space, argument: str, config: Any) -> dict[str, Any]:
    """Refuse what is not a complete configuration of the space."""
    if not isinstance(config, Mapping):
        raise ValueError(f"{argument} must be a mapping of hyperparameters by name, got {config!r:.80}.")
    for name in config:
        if name not in space.distributions:
            known = ", ".join(space.distributions)
            hint = did_you_mean(name, space.distributions)
            raise ValueError(f"{argument} must name what the space varies ({known}), got {name!r}.{hint}")

    def pick(name: str, distribution: Distribution) -> Any:
        if name not in config:
            raise ValueError(f"{argument} must have a value of {name}, got none. The space varies it.")
        value = to_json_value(f"{argument}[{name!r}]", config[name])
        own = distribution.decode(distribution.encode(value)) if distribution.contains(value) else ...
        if own is ... or isinstance(own, bool) != isinstance(value, bool):  # True is not 1
            raise ValueError(f"{argument} must have a {name} of {distribution!r}, got {value!r}.")
        return own

    complete = space.sample(pick)
    for name in config:
        if name not in complete:
            raise ValueError(
                f"{argument} must have no {name}, which is {space.describe(name)} and does not exist there, "
                f"got {config[name]!r}."
            )
    return complete


def grid_plan(space: Space) -> list[dict[str, Any]]:
    """List every combination of choices, the last hyperparameter varying fastest."""
    plan: list[dict[str, Any]] = [{}]
    for name, values in space.distributions.items():
        if not isinstance(values, Choice):
            raise ValueError(f"{name} must be a list of choices in a grid, got {space.describe(name)}.")
        plan = [
            config | one
            for config in plan
            for one in ([{name: value} for value in values.values] if space.exists(name, config) else [{}])
        ]
    return plan


def random_plan(space: Space, trials: int, draws_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Draw shapes, each with several draws of what varies within a population.

    No configuration is drawn twice. A longer plan from the same seed begins with the shorter one.
    """
    pick = random_pick(np.random.default_rng(seed))
    return _plan(space, trials, draws_per_shape, lambda: pick, lambda: pick)


def random_pick(rng: np.random.Generator) -> Pick:
    """Draw each value at random."""
    return lambda _, distribution: distribution.sample(rng)


def quasi_random_plan(space: Space, trials: int, draws_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Spread configurations evenly: shapes by one scrambled Sobol sequence, what varies within them by another.

    Random draws leave gaps and crowds; these points fill each range, and each pair of ranges, with fewer of both. The
    second sequence goes on from shape to shape. No configuration comes twice, and a longer plan from the same seed
    begins with the shorter one.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity, 1998; the points are SciPy's.
    """

    def picks(names: list[str], sequence: int) -> Callable[[], Pick]:
        points = _sobol(len(names), [seed, sequence])

        def next_pick() -> Pick:
            point = dict(zip(names, next(points), strict=True))
            return lambda name, distribution: distribution.quantile(float(point[name]))

        return next_pick

    return _plan(space, trials, draws_per_shape, picks(list(space.shape), 0), picks(list(space.member), 1))


def _plan(
    space: Space, trials: int, draws_per_shape: int, next_shape: Callable[[], Pick], next_member: Callable[[], Pick]
) -> list[dict[str, Any]]:
    """Choose shapes and their members, each configuration once; each call of ``next_...`` begins a new choice."""
    check_size(space, trials)
    drawn: dict[str, set[str]] = {}
    plan: list[dict[str, Any]] = []
    while len(plan) < trials:
        shape = space.sample(next_shape(), space.shape)
        seen = drawn.setdefault(repr(shape), set())
        wanted = trials if not space.shape else draws_per_shape
        left = space.count(space.member, shape) - len(seen)
        for _ in range(int(min(wanted, left, trials - len(plan)))):
            while repr(config := space.sample(next_member(), space.member, shape)) in seen:
                pass
            seen.add(repr(config))
            plan.append(config)
    return plan


def _sobol(dimensions: int, seed: list[int]) -> Iterator[np.ndarray]:
    """Points of a scrambled Sobol sequence in [0, 1)."""
    if not dimensions:
        while True:
            yield np.empty(0)
    from scipy.stats.qmc import Sobol

    engine = Sobol(dimensions, scramble=True, seed=np.random.default_rng(seed))
    while True:
        yield from engine.random(CHUNK)
