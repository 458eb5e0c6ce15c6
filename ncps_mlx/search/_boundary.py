"""Whether the best configuration lies at the edge of the space, where a wider one may hold a better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncps_mlx._trials import TrialResult, as_records, mean_scores
from ncps_mlx._utils.validation import check_number
from ncps_mlx.search._distributions import Choice, Integer, Knob, LogUniform, Uniform, When
from ncps_mlx.search._space import RULES, Space

__all__ = ["Edge", "boundary"]

TOP = 0.25  # share of the configurations that are asked whether they lie there too


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One end of one knob's range, where the best configuration lies.

    Attributes:
        knob: Its name.
        side: ``"low"`` or ``"high"``.
        value: The best configuration's.
        end: The end of the range.
        distance: Between them, as a share of the range (of its logarithm, where that is drawn evenly).
        near: How many of the best configurations lie as near this end.
        of: How many were asked: a quarter of all, at least three.

    Example:
        >>> print(Edge(knob="learning_rate", side="high", value=0.094, end=0.1, distance=0.03, near=3, of=5))
        learning_rate: best 0.094 within 3 % of the upper end 0.1, as are 3 of the best 5: widen it upwards
    """

    knob: str
    side: str
    value: float
    end: float
    distance: float
    near: int
    of: int

    def __str__(self) -> str:
        """Say it in a line."""
        end, where = ("upper", "upwards") if self.side == "high" else ("lower", "downwards")
        place = f"within {100 * self.distance:.2g} % of" if self.distance > 0 else "at"
        return (
            f"{self.knob}: best {self.value:.4g} {place} the {end} end {self.end:.4g}, "
            f"as are {self.near} of the best {self.of}: widen it {where}"
        )


def boundary(space: Space, records: Sequence[TrialResult | Mapping[str, Any]], within: float = 0.1) -> list[Edge]:
    """Find the knobs whose best value lies at an end of their range, where that could be wider.

    The ends of a list of numbers are its least and its greatest. An end that no value can lie beyond, such as a dropout
    rate of 0, is none. The best configuration is that with the best mean over its seeds, of those not pruned.

    Args:
        space: What was searched.
        records: Its trials: records, or rows with ``seed``, ``score`` and the knobs by name.
        within: How near an end counts, as a share of the range.

    Returns:
        list[Edge]: in the order of the space; ``[]`` if the best lies inside, or nothing converged.

    Raises:
        ValueError: ``within`` is not between 0 and 0.5.

    Example:
        >>> rows = [{"learning_rate": rate, "hidden_size": 16, "seed": 0, "score": 1 - rate}
        ...         for rate in (0.001, 0.01, 0.09)]
        >>> space = Space(learning_rate=LogUniform(1e-3, 1e-1), hidden_size=[8, 16, 32])
        >>> [(edge.knob, edge.side) for edge in boundary(space, rows)]
        [('learning_rate', 'high')]
    """
    check_number("within", within, low=0, high=0.5, open_high=True)
    groups = [
        (-mean if group[0].higher_is_better else mean, space.part_of(config))
        for config, mean, group in mean_scores(as_records(records) if records else [])
        if math.isfinite(mean) and all(record.status != "pruned" for record in group)
    ]
    if not groups:
        return []
    order = [config for _, config in sorted(groups, key=lambda pair: pair[0])]
    asked = order[: max(3, math.ceil(TOP * len(order)))]
    found = []
    for name, value in order[0].items():
        places = [
            place for config in asked if (place := _place(space.knobs[name], config.get(name))) is not None
        ]
        place = _place(space.knobs[name], value)
        if place is None:
            continue
        side, distance = ("low", place) if place < 0.5 else ("high", 1 - place)
        end = min(_numbers(space.knobs[name])) if side == "low" else max(_numbers(space.knobs[name]))
        if distance <= within and _extensible(name, end, side):
            near = sum((each if side == "low" else 1 - each) <= within for each in places)
            found.append(
                Edge(knob=name, side=side, value=value, end=end, distance=distance, near=near, of=len(asked))
            )
    return found


def _numbers(knob: Knob) -> list[float]:
    """The numbers among the ends of a range, or in a list."""
    return [value for value in knob.edges() if isinstance(value, int | float) and not isinstance(value, bool)]


def _place(knob: Knob, value: Any) -> float | None:
    """Where a value lies between the ends, from 0 to 1; ``None`` if that has no meaning."""
    knob = knob.knob if isinstance(knob, When) else knob
    numbers = _numbers(knob)
    if len(numbers) < 2 or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(knob, Choice):
        return sorted(numbers).index(value) / (len(numbers) - 1)
    low, high = numbers
    if isinstance(knob, LogUniform) or (isinstance(knob, Integer) and knob.log):
        low, high, value = math.log(low), math.log(high), math.log(value)
    assert isinstance(knob, Uniform | Integer)  # there are no others
    return float((value - low) / (high - low))


def _extensible(name: str, end: float, side: str) -> bool:
    """Whether the knob may take values beyond this end."""
    sign = 1 if side == "high" else -1
    beyond = end + sign if isinstance(end, int) else end + sign * 0.1 * (abs(end) or 1.0)
    try:
        RULES.get(name, lambda *_: None)(name, beyond)
    except ValueError:
        return False
    return True
