"""Halving: train all for a while, go on with the best, so that few configurations cost a whole training.

Synchronous: the members of a bracket wait for each other at every rung, so that what is pruned depends on their scores
alone, not on who came first.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ncps_mlx._utils.validation import MOST, check_int
from ncps_mlx.search._record import Record

MOST_RUNGS = 20  # at one in two that is a millionth of the steps

__all__ = [
    "Bracket", "Halving", "Hyperband", "from_json", "loss_at", "rung_step", "survivor_count", "to_json",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Configurations that are ranked together."""

    first: int  # the first one's index in the plan
    size: int
    rungs: tuple[float, ...]  # shares of the training after which the worse ones stop, rising
    eta: int  # at each rung one in ``eta`` goes on

    @property
    def counts_per_rung(self) -> tuple[int, ...]:
        """How many configurations begin at each rung, the first of which is the start."""
        counts = [self.size]
        for _ in self.rungs:
            counts.append(survivor_count(counts[-1], self.eta))
        return tuple(counts)

    @property
    def cost(self) -> float:
        """What the bracket costs, in whole trainings."""
        parts = itertools.pairwise([0.0, *self.rungs, 1.0])
        return sum(n * (end - begin) for n, (begin, end) in zip(self.counts_per_rung, parts, strict=True))


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Successive halving: at each rung the best one in ``eta`` configurations goes on.

    With ``rungs=2`` and ``eta=3``, the first rung lies after a ninth of the steps, the second after a third; each at
    the last evaluation before. A configuration is ranked by its best validation score so far, the mean over its seeds,
    which go on or stop together.

    Args:
        eta: One in ``eta`` goes on (default 3).
        rungs: How often (default 2).
        bracket_size: Configurations ranked together, a divisor of the study's ``trials``; default: all of them. Several
            workers share a study by such brackets.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization" (AISTATS 2016).

    Example:
        >>> from ncps_mlx import Halving
        >>> (bracket,) = Halving(eta=4, rungs=2).brackets(64)
        >>> bracket.counts_per_rung, round(bracket.cost, 1)  # 64 configurations for the price of 10
        ((64, 16, 4), 10.0)
    """

    eta: int = 3
    rungs: int = 2
    bracket_size: int | None = None

    def __post_init__(self) -> None:
        check_int("eta", self.eta, minimum=2, maximum=MOST)
        check_int("rungs", self.rungs, maximum=MOST_RUNGS)
        if self.bracket_size is not None:
            check_int("bracket_size", self.bracket_size, minimum=2, maximum=MOST)

    def brackets(self, trials: int) -> list[Bracket]:
        """Divide a plan of so many configurations; refuse one that is no multiple of ``bracket_size``.

        Example:
            >>> from ncps_mlx import Halving
            >>> [(bracket.first, bracket.counts_per_rung) for bracket in Halving(bracket_size=6).brackets(12)]
            [(0, (6, 2, 1)), (6, (6, 2, 1))]
        """
        check_int("trials", trials, maximum=MOST)
        size = trials if self.bracket_size is None else self.bracket_size
        if trials % size:
            raise ValueError(f"trials must be a multiple of the {size} members of a bracket, got {trials}.")
        shares = _shares(self.eta, self.rungs)
        return [Bracket(first=i, size=size, rungs=shares, eta=self.eta) for i in range(0, trials, size)]


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """Brackets of halving, from one that prunes early and often to one that never prunes.

    A guard against slow starters: how early scores can be trusted is not known beforehand. The brackets get about as
    much training each; their sizes share ``trials``.

    Args:
        eta: At each rung one in ``eta`` goes on (default 3).
        rungs: Of the bracket that has most (default 2); there are ``rungs + 1`` brackets.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Li and others, "Hyperband: a novel bandit-based approach to hyperparameter optimization" (JMLR 2018).

    Example:
        >>> from ncps_mlx import Hyperband
        >>> [bracket.counts_per_rung for bracket in Hyperband().brackets(33)]
        [(18, 6, 2), (9, 3), (6,)]
    """

    eta: int = 3
    rungs: int = 2

    def __post_init__(self) -> None:
        check_int("eta", self.eta, minimum=2, maximum=MOST)
        check_int("rungs", self.rungs, maximum=MOST_RUNGS)

    def brackets(self, trials: int) -> list[Bracket]:
        """Divide a plan of so many configurations; refuse fewer than there are brackets.

        Example:
            >>> from ncps_mlx import Hyperband
            >>> [(bracket.first, bracket.counts_per_rung) for bracket in Hyperband(rungs=1).brackets(10)]
            [(0, (6, 2)), (6, (4,))]
        """
        if check_int("trials", trials, maximum=MOST) <= self.rungs:
            raise ValueError(f"trials must be at least the {self.rungs + 1} brackets of {self}, got {trials}.")
        levels = range(self.rungs, -1, -1)
        weights = [self.eta**level / (level + 1) for level in levels]
        exact = [trials * weight / sum(weights) for weight in weights]
        sizes = [max(1, int(size)) for size in exact]
        order = sorted(range(len(sizes)), key=lambda i: int(exact[i]) - exact[i])
        for i in range(trials - sum(sizes)):
            sizes[order[i % len(order)]] += 1
        while sum(sizes) > trials:  # where the smallest were rounded up to 1
            sizes[sizes.index(max(sizes))] -= 1
        return [
            Bracket(first=sum(sizes[:i]), size=sizes[i], rungs=_shares(self.eta, level), eta=self.eta)
            for i, level in enumerate(levels)
        ]


def to_json(halving: Halving | Hyperband, trials: int) -> dict[str, Any]:
    """Write down how a plan of ``trials`` configurations is halved: what must not change while a study grows."""
    decided = {"bracket_size": halving.bracket_size or trials} if isinstance(halving, Halving) else {"trials": trials}
    return {"kind": type(halving).__name__} | asdict(halving) | decided


def from_json(written: Mapping[str, Any]) -> Halving | Hyperband:
    """Read what :func:`to_json` gave."""
    fields = {name: value for name, value in written.items() if name not in ("kind", "trials")}
    return Halving(**fields) if written["kind"] == "Halving" else Hyperband(**fields)


def survivor_count(count: int, eta: int) -> int:
    """How many of ``count`` configurations go on from a rung."""
    return max(1, count // eta)


def rung_step(share: float, steps: int, evaluate_every: int) -> int:
    """The step of a rung: the last evaluation within that share of the training, refused where there is none."""
    step = int(share * steps + 1e-9) // evaluate_every * evaluate_every
    if step < 1:
        raise ValueError(
            f"evaluate_every must be at most {share * steps:.3g} to rank after {share:.3g} of {steps} steps, got "
            f"{evaluate_every}. Evaluate more often, or take fewer rungs or a smaller eta."
        )
    return step


def loss_at(record: Record, step: int) -> float | None:
    """The best validation score that a trial had reached by a step, less being better; infinite if it had diverged.

    ``None`` of one that was pruned at an earlier rung, and is ranked no more.
    """
    history = record.history
    last = history.step[-1] if history is not None and history.step else 0
    if record.status == "pruned" and last < step:
        return None
    if history is None or (record.diverged and last <= step):
        return math.inf
    sign = -1.0 if record.higher_is_better else 1.0
    losses = [sign * score for score in history.validation_score[: bisect_right(history.step, step)]]
    return min(losses, default=math.inf)


def _shares(eta: int, rungs: int) -> tuple[float, ...]:
    return tuple(1 / eta**level for level in range(rungs, 0, -1))
