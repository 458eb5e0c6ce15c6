"""Plans: the configurations a grid or random study will train, fixed before it begins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ncps_mlx.space import Choice, Integer, Space, Uniform, count

__all__ = ["grid_plan", "random_plan", "shape_key", "shape_order"]


def grid_plan(space: Space) -> list[dict[str, Any]]:
    """List every combination of choices, the last knob varying fastest.

    Raises:
        ValueError: A knob is a range, not a list of choices.

    Example:
        >>> grid_plan(Space(hidden_size=[8, 16], learning_rate=[0.01]))
        [{'hidden_size': 8, 'learning_rate': 0.01}, {'hidden_size': 16, 'learning_rate': 0.01}]
    """
    for name, knob in space.knobs.items():
        if not isinstance(knob, Choice):
            raise ValueError(f"{name} must be a list of choices in a grid, got {knob!r}.")
    values = [knob.edges() for knob in space.knobs.values()]
    return [dict(zip(space.knobs, row, strict=True)) for row in itertools.product(*values)]


def random_plan(space: Space, trials: int, members_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Draw configurations: a shape, then several draws of its member knobs, and the next shape.

    No configuration is drawn twice. A longer plan from the same seed begins with the shorter one.

    Args:
        space: What to draw from.
        trials: How many configurations.
        members_per_shape: Draws of member knobs for each shape; without shape knobs all share one.
        seed: Seed of the draws.

    Raises:
        ValueError: The space has fewer configurations than that.

    Example:
        >>> from ncps_mlx import LogUniform
        >>> space = Space(hidden_size=[8, 16, 32], learning_rate=LogUniform(1e-3, 1e-1))
        >>> [row["hidden_size"] for row in random_plan(space, 4, 2, seed=0)]
        [32, 32, 16, 16]
    """
    if trials > space.size:
        raise ValueError(f"trials must be at most {space.size}, the size of the space, got {trials}.")
    rng = np.random.default_rng(seed)
    per_shape = count(space.member)
    drawn: dict[str, set[str]] = {}
    plan: list[dict[str, Any]] = []
    while len(plan) < trials:
        shape = _draw(space.shape, rng)
        seen = drawn.setdefault(repr(shape), set())
        wanted = trials if not space.shape else members_per_shape
        for _ in range(int(min(wanted, per_shape - len(seen), trials - len(plan)))):
            member = _draw(space.member, rng)
            while repr(member) in seen:
                member = _draw(space.member, rng)
            seen.add(repr(member))
            row = shape | member
            plan.append({name: row[name] for name in space.knobs})
    return plan


def shape_key(space: Space, config: Mapping[str, Any]) -> str:
    """Name the shape of a configuration, so that equal shapes have equal names.

    Example:
        >>> space = Space(hidden_size=[8, 16], learning_rate=[0.1])
        >>> shape_key(space, {"hidden_size": 8, "learning_rate": 0.1})
        "{'hidden_size': 8}"
    """
    return repr({name: config[name] for name in space.shape})


def shape_order(space: Space, plan: list[dict[str, Any]]) -> list[int]:
    """Return the places of a plan with equal shapes side by side, in the order of their first appearance.

    Example:
        >>> space = Space(hidden_size=[8, 16])
        >>> shape_order(space, [{"hidden_size": 8}, {"hidden_size": 16}, {"hidden_size": 8}])
        [0, 2, 1]
    """
    keys = [shape_key(space, config) for config in plan]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    return sorted(range(len(plan)), key=lambda place: (first[keys[place]], place))


def _draw(knobs: Mapping[str, Choice | Uniform | Integer], rng: np.random.Generator) -> dict[str, Any]:
    return {name: knob.draw(rng) for name, knob in knobs.items()}
