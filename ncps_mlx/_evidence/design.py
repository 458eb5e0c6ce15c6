"""What a design of experiments answers: which members a pool lacks, how they are trained, what a contrast gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.plan import Row
from ncps_mlx._evidence.pool import TaskSpec
from ncps_mlx._evidence.registry import Part

__all__ = ["Design", "Measured", "Missing", "Reproducible"]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a task lacks at a budget.

    Attributes:
        task: Its name.
        budget: Which.
        groups: What is to be trained next, by populations.
        later: How many members follow once these are there.
        seconds: About how long all take on one core.
    """

    task: str
    budget: str
    groups: Sequence[Sequence[Any]]
    later: int
    seconds: float

    @property
    def count(self) -> int:
        """How many members are to be trained next."""
        return sum(len(group) for group in self.groups)


class Design(Protocol):
    """A module that holds a design; each has a class of pools of its own. Members have a ``stage``."""

    def read_pool(self, path: Path, tasks: Mapping[str, TaskSpec], /) -> Any:
        """Read a pool; ``tasks`` are those it may name."""

    def missing(self, pool: Any, budgets: Sequence[str], rows: Sequence[Row], /) -> list[Missing]:
        """What a pool lacks, given the trials that are there. Empty once it lacks nothing."""

    def train(self, members: Sequence[Any], /) -> list[Row]:
        """Train one group of members and return their trials."""

    def contrast(self, part: Part, pool: Any, task: str, budget: str, index: Mapping[str, Row], /) -> Contrast:
        """Compare the two sides of a part on a task, from trials by identity."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the record says of a part on one task at one budget.

    Attributes:
        part: Which.
        task: Of its tasks.
        budget: Which.
        contrast: What it gave: pairs, and the levels that the sides came to, with the rates that were chosen.
    """

    part: Part
    task: str
    budget: str
    contrast: Contrast

    @property
    def levels(self) -> Mapping[str, Sequence[tuple[str, float]]]:
        """For ``first`` and ``second`` the levels that each came to, and their rates."""
        return self.contrast.levels

    @property
    def differences(self) -> list[float]:
        """First minus second in δ."""
        return self.contrast.differences(self.part.deltas[self.task])


@runtime_checkable
class Reproducible(Design, Protocol):
    """A design that can measure a contrast again on seeds of which nothing is recorded; others are refused."""

    def fresh(
        self, pool: Any, measured: Sequence[Measured], seeds: Sequence[int], rows: Sequence[Row] = (), /
    ) -> list[Missing]:
        """What these contrasts lack on seeds that follow one another, given fresh trials: what they need, and no other.

        Asked again after each answer is trained, for what a search chooses next; empty once nothing is lacking.
        """

    def fresh_contrast(self, pool: Any, measured: Measured, rows: Sequence[Row], /) -> Contrast:
        """Compare the two sides on a task, from fresh trials; a seed that lacks one is left out."""
