"""Halving: train all for a while, go on with the best, so that few configurations cost a whole training.

Synchronous: the members of a bracket wait for each other at every rung, so that what is pruned depends on their scores
alone, not on who came first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ncps_mlx._utils.validation import check_int
from ncps_mlx.search._record import Record

__all__ = [
    "Bracket",
    "Halving",
    "Hyperband",
    "in_contest",
    "kept",
    "rank",
    "restored",
    "rung_step",
    "score_at",
    "written",
]


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Configurations that are ranked together.

    Attributes:
        first: The first one's place in the plan.
        size: How many.
        rungs: Shares of the training after which the worse ones stop, rising.
        eta: At each rung one in so many goes on.

    Example:
        >>> Bracket(first=0, size=27, rungs=(1 / 9, 1 / 3), eta=3).entrants
        (27, 9, 3)
    """

    first: int
    size: int
    rungs: tuple[float, ...]
    eta: int

    @property
    def entrants(self) -> tuple[int, ...]:
        """How many configurations begin at each rung, the first of which is the start.

        Example:
            >>> Bracket(first=0, size=64, rungs=(1 / 16, 1 / 4), eta=4).entrants
            (64, 16, 4)
        """
        counts = [self.size]
        for _ in self.rungs:
            counts.append(kept(counts[-1], self.eta))
        return tuple(counts)

    @property
    def cost(self) -> float:
        """What the bracket costs, in whole trainings.

        Example:
            >>> Bracket(first=0, size=27, rungs=(1 / 9, 1 / 3), eta=3).cost
            7.0
        """
        ends = [0.0, *self.rungs, 1.0]
        shares = [end - begin for begin, end in itertools.pairwise(ends)]
        return sum(n * share for n, share in zip(self.entrants, shares, strict=True))


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Successive halving: at each rung the best one in ``eta`` configurations goes on.

    With ``rungs=2`` and ``eta=3``, the first rung lies after a ninth of the steps, the second after a third; each at
    the last evaluation before. A configuration is ranked by its best validation score so far, the mean over its seeds,
    which go on or stop together.

    Args:
        eta: One in so many goes on (default 3).
        rungs: How often (default 2).
        bracket_size: Configurations ranked together, a divisor of the study's ``trials``; default: all of them. Several
            workers share a study by such brackets.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization" (AISTATS 2016).

    Example:
        >>> (bracket,) = Halving(eta=4, rungs=2).brackets(64)
        >>> bracket.entrants, round(bracket.cost, 1)  # 64 configurations for the price of 10
        ((64, 16, 4), 10.0)
    """

    eta: int = 3
    rungs: int = 2
    bracket_size: int | None = None

    def __post_init__(self) -> None:
        _check(self.eta, self.rungs)
        if self.bracket_size is not None:
            check_int("bracket_size", self.bracket_size, minimum=2)

    def brackets(self, trials: int) -> list[Bracket]:
        """Divide a plan.

        Raises:
            ValueError: ``trials`` is no multiple of ``bracket_size``.

        Example:
            >>> [(bracket.first, bracket.entrants) for bracket in Halving(bracket_size=6).brackets(12)]
            [(0, (6, 2, 1)), (6, (6, 2, 1))]
        """
        size = trials if self.bracket_size is None else self.bracket_size
        if trials % size:
            raise ValueError(f"trials must be a multiple of the {size} members of a bracket, got {trials}.")
        shares = _shares(self.eta, self.rungs)
        return [Bracket(first=i, size=size, rungs=shares, eta=self.eta) for i in range(0, trials, size)]

    def over(self, trials: int) -> str:
        """Say how a plan of so many is halved: what must not change while a study grows.

        Example:
            >>> Halving().over(27)
            'Halving(eta=3, rungs=2, bracket_size=27)'
        """
        return repr(self if self.bracket_size else Halving(eta=self.eta, rungs=self.rungs, bracket_size=trials))


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """Brackets of halving, from one that prunes early and often to one that never prunes.

    A guard against slow starters: how early scores can be trusted is not known beforehand. The brackets get about as
    much training each; their sizes share ``trials``.

    Args:
        eta: At each rung one in so many goes on (default 3).
        rungs: Of the bracket that has most (default 2); there are ``rungs + 1`` brackets.

    Raises:
        ValueError: An argument is out of its range.

    Source:
        Li and others, "Hyperband: a novel bandit-based approach to hyperparameter optimization" (JMLR 2018).

    Example:
        >>> [bracket.entrants for bracket in Hyperband().brackets(33)]
        [(18, 6, 2), (9, 3), (6,)]
    """

    eta: int = 3
    rungs: int = 2

    def __post_init__(self) -> None:
        _check(self.eta, self.rungs)

    def brackets(self, trials: int) -> list[Bracket]:
        """Divide a plan.

        Raises:
            ValueError: There are fewer trials than brackets.

        Example:
            >>> [(bracket.first, bracket.entrants) for bracket in Hyperband(rungs=1).brackets(10)]
            [(0, (6, 2)), (6, (4,))]
        """
        if trials <= self.rungs:
            raise ValueError(
                f"trials must be at least the {self.rungs + 1} brackets of {self}, got {trials}."
            )
        levels = range(self.rungs, -1, -1)
        weights = [self.eta**level / (level + 1) for level in levels]
        exact = [trials * weight / sum(weights) for weight in weights]
        sizes = [max(1, int(size)) for size in exact]
        order = sorted(range(len(sizes)), key=lambda i: int(exact[i]) - exact[i])
        for i in range(trials - sum(sizes)):
            sizes[order[i % len(order)]] += 1
        while sum(sizes) > trials:  # where the smallest were rounded up to 1
            sizes[sizes.index(max(sizes))] -= 1
        made, first = [], 0
        for level, size in zip(levels, sizes, strict=True):
            made.append(Bracket(first=first, size=size, rungs=_shares(self.eta, level), eta=self.eta))
            first += size
        return made

    def over(self, trials: int) -> str:
        """Say how a plan of so many is halved: what must not change while a study grows.

        Example:
            >>> Hyperband().over(33)
            'Hyperband(eta=3, rungs=2) of 33'
        """
        return f"{self!r} of {trials}"


def written(halving: Halving | Hyperband) -> dict[str, Any]:
    """Write down how a study is halved, as JSON can hold it.

    Example:
        >>> written(Hyperband(eta=4))
        {'kind': 'Hyperband', 'eta': 4, 'rungs': 2}
    """
    return {"kind": type(halving).__name__} | asdict(halving)


def restored(written: Mapping[str, Any]) -> Halving | Hyperband:
    """Read what :func:`written` gave.

    Example:
        >>> restored({"kind": "Halving", "eta": 2, "rungs": 1, "bracket_size": 16})
        Halving(eta=2, rungs=1, bracket_size=16)
    """
    given = {name: value for name, value in written.items() if name != "kind"}
    return Halving(**given) if written["kind"] == "Halving" else Hyperband(**given)


def kept(entrants: int, eta: int) -> int:
    """How many go on.

    Example:
        >>> kept(20, 3), kept(2, 3)
        (6, 1)
    """
    return max(1, entrants // eta)


def rung_step(share: float, steps: int, evaluate_every: int) -> int:
    """The step of a rung: the last evaluation within that share of the training.

    Raises:
        ValueError: There is none.

    Example:
        >>> rung_step(1 / 9, 500, 50), rung_step(1 / 3, 500, 50)
        (50, 150)
    """
    step = int(share * steps + 1e-9) // evaluate_every * evaluate_every
    if step < 1:
        raise ValueError(
            f"evaluate_every must be at most {share * steps:.3g} to rank after {share:.3g} of {steps} steps, got "
            f"{evaluate_every}. Evaluate more often, or take fewer rungs or a smaller eta."
        )
    return step


def score_at(record: Record, step: int) -> float:
    """The best validation score that a trial had reached by a step, infinitely bad if it had diverged.

    Example:
        >>> from ncps_mlx._trials import Curves
        >>> curves = Curves(step=(5, 10, 15), train_loss=(3, 2, 1), validation_score=(0.5, 0.3, 0.2), best_step=15)
        >>> trial = Record(trial=0, model="CfC", config={}, seed=0, task="sines", data_hash="", metric="rmse",
        ...                score=0.2, history=curves)
        >>> score_at(trial, 10)
        0.3
    """
    worst = -math.inf if record.higher_is_better else math.inf
    curves = record.history
    if curves is None or (record.diverged and curves.step[-1] <= step):
        return worst
    reached = [score for at, score in zip(curves.step, curves.validation_score, strict=True) if at <= step]
    return (max if record.higher_is_better else min)(reached, default=worst)


def in_contest(record: Record, step: int) -> bool:
    """Whether a trial was still in training at a rung, or had ended by itself: not pruned at an earlier one.

    Example:
        >>> from ncps_mlx._trials import Curves
        >>> curves = Curves(step=(5, 10), train_loss=(3, 2), validation_score=(0.5, 0.3), best_step=10)
        >>> trial = Record(trial=0, model="CfC", config={}, seed=0, task="sines", data_hash="", metric="rmse",
        ...                score=0.3, history=curves, status="pruned")
        >>> in_contest(trial, 10), in_contest(trial, 20)
        (True, False)
    """
    return record.status != "pruned" or (record.history is not None and record.history.step[-1] >= step)


def rank(scores: Mapping[Any, float], higher_is_better: bool) -> list[Any]:
    """Order configurations by score, the best first; equal ones by their names.

    Example:
        >>> rank({0: 0.5, 1: math.inf, 2: 0.3, 3: 0.3}, higher_is_better=False)
        [2, 3, 0, 1]
    """
    sign = -1.0 if higher_is_better else 1.0
    return sorted(scores, key=lambda name: (sign * scores[name], name))


def _shares(eta: int, rungs: int) -> tuple[float, ...]:
    return tuple(1 / eta**level for level in range(rungs, 0, -1))


def _check(eta: int, rungs: int) -> None:
    check_int("eta", eta, minimum=2)
    check_int("rungs", rungs)
