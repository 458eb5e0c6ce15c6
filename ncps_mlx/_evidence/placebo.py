"""Levels that must train to different bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ncps_mlx._evidence.plan import Member, key_of
from ncps_mlx._evidence.pool import TaskSpec, TunedPool
from ncps_mlx._evidence.train import populations, trained

__all__ = ["Placebo", "placebo"]

PLACEBO_STEPS = 20
"""Enough for a warm-up of a tenth, and for a third of them."""


@dataclass(frozen=True, kw_only=True)
class Placebo:
    """Levels trained for a few steps on one seed and at one rate, so that nothing but the levels can tell them apart.

    Attributes:
        task: On which.
        pairs: How many pairs of levels must differ.
        alike: Those that have the same bits all the same.
        repeated: A level that was trained once more, without the company of others.
        is_repeatable: Whether that gave the same bits.
    """

    task: str
    pairs: int
    alike: Sequence[tuple[str, str]]
    repeated: str
    is_repeatable: bool


def placebo(pool: TunedPool, task: TaskSpec, levels: Sequence[str], seed: int) -> Placebo:
    """Compare the parameters of levels in bits."""
    brief = replace(task, steps=dict.fromkeys(task.steps, PLACEBO_STEPS))
    rate = pool.rates[len(pool.rates) // 2]
    members = {
        name: Member(
            pool=pool, task=brief, budget="short", stage="placebo", level=pool.levels[name],
            rate=pool.levels[name].settings.get("learning_rate", rate), seed=seed,
        )
        for name in levels
    }  # fmt: skip
    keys = {name: key_of(member.identity) for name, member in members.items()}
    groups = populations({keys[name]: member for name, member in members.items()}.values())
    found = {key: each for group in groups for key, each in _bits(group).items()}
    pairs = [pair for pair in combinations(levels, 2) if keys[pair[0]] != keys[pair[1]]]
    again = max(groups, key=len)[0]  # in company, if any is
    return Placebo(
        task=task.name,
        pairs=len(pairs),
        alike=[(a, b) for a, b in pairs if found[keys[a]] == found[keys[b]]],
        repeated=again.level.name,
        is_repeatable=_bits([again]) == {key_of(again.identity): found[key_of(again.identity)]},
    )


def _bits(members: Sequence[Member]) -> dict[str, bytes]:
    """The parameters that each came to."""
    best = np.array(trained(members).reached.best)
    return {key_of(member.identity): row.tobytes() for member, row in zip(members, best, strict=True)}
