"""Axes for hyperparameters and scores: logarithmic where a hyperparameter is, and nothing diverged is left out."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.validation import check_flag
from ncps_mlx.plots._captions import as_text, spaced
from ncps_mlx.plots._figure import COLOURS, SMALL
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

    from ncps_mlx._trials import TrialResult

__all__ = ["Scale", "draw_off_scale", "draw_trials", "score_limits", "with_baselines"]

Points = Sequence[tuple[float, float]]
"""Positions along x, and scores."""
Limits = tuple[float, float]
"""Bottom and top of an axis."""
FEW = 9  # values that still get a tick each
WIDE = 41  # characters of their texts that fit beside each other
NAME = 10  # characters of a category in one line
NARROW = 0.07  # ticks closer than this share of the axis would run into each other
FAR = 6.0  # a score this many times further from the best than the third quartile is drawn at the edge,
FARTHEST = 20.0  # and in any case one this many times further than the median


class Scale:
    """How the values of a hyperparameter lie along an axis: by category, linear, or logarithmic.

    ``log`` forces or forbids the last; by default it is taken where ratios are more even than differences.
    """

    def __init__(self, name: str, values: Iterable[Any], log: bool | None = None) -> None:
        self.name = name
        found = list({repr(value): value for value in values}.values())
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
        self.values = sorted(found) if numeric else found
        if log is not None and check_flag("log", log) and not (numeric and all(value > 0 for value in found)):
            raise ValueError(
                f"log must be False for {name}, whose values are not all positive numbers, got True."
            )
        if not numeric:
            self.kind = "category"
        elif log or (log is None and _geometric(self.values)):
            self.kind = "log"
        else:
            self.kind = "linear"

    def position(self, value: Any) -> float:
        """Return where a value lies, in the units of the axis."""
        if self.kind == "category":
            return float([repr(known) for known in self.values].index(repr(value)))
        return float(value)

    def fraction(self, value: Any) -> float:
        """Return where a value lies between the first and the last, from 0 to 1."""
        unit = math.log if self.kind == "log" else float
        low, high, at = (unit(self.position(each)) for each in (self.values[0], self.values[-1], value))
        return 0.5 if low == high else (at - low) / (high - low)

    def _crowded(self) -> bool:
        """Whether a tick for each value would leave too little room for its text."""
        positions = np.asarray(self.values, dtype=float)
        gaps = np.diff(np.log(positions) if self.kind == "log" else positions)
        return len(gaps) > 0 and float(gaps.min()) < NARROW * float(gaps.sum())

    def apply(self, ax: Axes, groups: int = 1) -> None:
        """Set scale, ticks, limits and label of the x axis, with room for groups drawn side by side."""
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

        if self.kind == "log":
            ax.set_xscale("log")
        grid = ax.get_gridspec()
        columns = 1 if grid is None else grid.ncols  # panels side by side leave less room
        texts = [as_text(value) for value in self.values]
        folded = texts
        if self.kind == "category":
            folded = [textwrap.fill(text, NAME, break_long_words=False) for text in texts]
        lengths = [columns * max(map(len, text.split("\n"))) for text in folded]
        slot = WIDE / len(lengths)
        neighbours = self.kind == "category" and any(one + other > 2 * slot for one, other in pairwise(lengths))
        crowded = sum(lengths) > WIDE or neighbours
        if self.kind == "category" or (len(self.values) <= FEW and not self._crowded() and not crowded):
            look: dict[str, Any] = {"rotation": 30, "ha": "right"} if crowded else {}
            ax.set_xticks([self.position(value) for value in self.values], texts if crowded else folded, **look)
            ax.xaxis.set_minor_locator(NullLocator())
        elif self.kind == "log":
            room = columns * math.log10(self.values[-1] / self.values[0])
            subs = (1.0, 2.0, 5.0) if room < 1.5 else (1.0, 3.0) if room < 4 else (1.0,)
            ax.xaxis.set_major_locator(LogLocator(subs=subs))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: as_text(value)))
            ax.xaxis.set_minor_locator(NullLocator())
        else:
            ax.xaxis.set_major_locator(MaxNLocator(5))
        if self.kind == "category":
            ax.set_xlim(-0.5, len(self.values) - 0.5)
        elif len(self.values) > 1:
            first, last, room = self.values[0], self.values[-1], 0.06 + 0.03 * (groups - 1)
            if self.kind == "log":
                pad = (last / first) ** room
                ax.set_xlim(first / pad, last * pad)
            else:
                ax.set_xlim(first - room * (last - first), last + room * (last - first))
        ax.set_xlabel(spaced(self.name))


def score_limits(
    scores: Iterable[float], ends: Iterable[float] = (), *, higher_is_better: bool = False
) -> Limits:
    """Choose bottom and top of a score axis: the finite scores, less those far worse than most.

    ``ends`` of intervals widen it by half its height at most.
    """
    sign = -1.0 if higher_is_better else 1.0
    loss = sign * np.array([score for score in scores if math.isfinite(score)])
    if not loss.size:
        return (0.0, 1.0)
    best, middle, upper = np.quantile(loss, [0, 0.5, 0.75])
    worst = best + FAR * (upper - best)
    if middle > best:
        worst = min(worst, best + FARTHEST * (middle - best))
    elif upper == best:
        worst = math.inf
    kept = loss[loss <= worst]
    low, high = float(kept.min()), float(kept.max())
    room = (high - low) or abs(high) * 0.1 or 1.0
    for end in (sign * value for value in ends if math.isfinite(value)):
        low, high = min(low, max(end, low - room / 2)), max(high, min(end, high + room / 2))
    pad = 0.08 * ((high - low) or room)
    bottom, top = sorted((sign * (low - pad), sign * (high + pad)))
    return bottom, top


def with_baselines(limits: Limits, baselines: Iterable[float]) -> Limits:
    """Widen the range to baselines that are no further away than the range is high."""
    bottom, top = limits
    room = top - bottom
    near = [value for value in baselines if bottom - room <= value <= top + room]
    low, high = min([bottom, *near]), max([top, *near])
    pad = 0.125 * room
    return (low - pad if low < bottom else bottom, high + pad if high > top else top)


def draw_off_scale(
    ax: Axes, points: Points, limits: Limits, *, higher_is_better: bool, colour: str, shift: Transform | None = None,
    name: str = "",
) -> tuple[int, int]:  # fmt: skip
    """Draw at the worse edge what lies beyond it; return how many diverged, and how many are merely far.

    A cross stands for the diverged runs of one position, a triangle for those far off. ``shift`` moves both, ``name``
    says whose they are.
    """
    from matplotlib.transforms import blended_transform_factory

    where: Transform = blended_transform_factory(ax.transData, ax.transAxes)
    if shift is not None:
        where = where + shift
    inward = -1 if not higher_is_better else 1
    edge = 0.5 - 0.47 * inward
    diverged = [point for point in points if not math.isfinite(point[1])]
    far = [point for point in points if math.isfinite(point[1]) and not limits[0] <= point[1] <= limits[1]]
    triangle = "v" if higher_is_better else "^"
    for marker, y, chosen in (("x", edge, diverged), (triangle, edge + 0.07 * inward, far)):
        for x in sorted({x for x, _ in chosen}):
            (drawn,) = ax.plot([x], [y], marker, color=colour, ms=9, mew=2.2, transform=where, clip_on=False, zorder=4)
            there = [as_text(score) if math.isfinite(score) else "diverged" for at, score in chosen if at == x]
            tell(drawn, name, y=", ".join(dict.fromkeys(there)))
            if len(there) > 1:
                ax.annotate(
                    str(len(there)), (x, y), xycoords=where, xytext=(8, 0), textcoords="offset points", va="center",
                    color=colour, fontsize=SMALL,
                )  # fmt: skip
    return len(diverged), len(far)


def draw_trials(
    ax: Axes, runs: Sequence[TrialResult], points: Points, limits: Limits, *, labels: bool = False
) -> None:
    """Draw the trials inside the limits as dots: pruned ones hollow."""
    for pruned in (False, True):
        inside = [
            (point, run)
            for point, run in zip(points, runs, strict=True)
            if limits[0] <= point[1] <= limits[1] and (run.status == "pruned") == pruned
        ]
        if inside:
            (drawn,) = ax.plot(
                *np.array([point for point, _ in inside]).T, "o", alpha=0.6, ms=6, mew=1.2 * pruned, mec=COLOURS[0],
                mfc="none" if pruned else COLOURS[0],
                label=("pruned" if pruned else "trained to its end") if labels else None,
            )  # fmt: skip
            end = ", pruned" if pruned else ""
            tell(drawn, [f"trial {run.trial}, seed {run.seed}{end}" for _, run in inside])


def _geometric(values: Sequence[float]) -> bool:
    """Whether positive values spread more evenly on a logarithmic axis."""
    if len(values) < 2 or values[0] <= 0 or values[-1] / values[0] < 8:
        return False
    if len(values) == 2:
        return True
    steps = [np.diff(np.asarray(values, dtype=float)), np.diff(np.log(np.asarray(values, dtype=float)))]
    uneven = [float(step.std() / step.mean()) for step in steps]
    return uneven[1] < uneven[0]
