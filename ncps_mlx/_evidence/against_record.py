"""The differences that a build gives, among those of the record: a rank-sum test for each part and task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured
from ncps_mlx._evidence.pool import TaskSpec
from ncps_mlx._evidence.registry import Part
from ncps_mlx.stats._intervals import interval
from ncps_mlx.stats._rank_sum import rank_sum

__all__ = ["CLAIMS", "LEVEL", "Comparison", "effect_of", "level_of"]

LEVEL = 0.01
"""Share of unbroken builds that may alarm: divided among the claims, and of each among its comparisons."""

CLAIMS = 55


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A part of a claim on one task, in the record and in this build.

    Attributes:
        recorded: What the record has of it.
        task: On which.
        now: The contrast of this build.
        level: The p below which it alarms.
    """

    recorded: Measured
    task: TaskSpec
    now: Contrast
    level: float

    @property
    def p(self) -> float:
        """How likely as few values lie so far out among the recorded ones if nothing has changed."""
        return rank_sum(_differences(self.now), _differences(self.recorded.contrast))

    @property
    def is_alarm(self) -> bool:
        """Whether the build differs from the record."""
        return self.p < self.level

    @property
    def effects(self) -> tuple[str, str]:
        """The mean of the build, and that of the record with its interval."""
        now, decimals = self.now.differences(1.0), interval(self.recorded.contrast.differences(1.0)).decimals
        mean = f"{math.fsum(now) / len(now):.{decimals}f}" if now else "none"
        return mean + _diverged(self.now), effect_of(self.recorded)


def effect_of(measured: Measured) -> str:
    """The mean of what was recorded and its interval, in its unit; of what is compared by its ratio, times."""
    found = interval(measured.contrast.differences(1.0))
    if not measured.part.ratio:
        return str(found) + _diverged(measured.contrast)
    mean, low, high = (f"{math.exp(value):.3g}" for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}] times" + _diverged(measured.contrast)


def _differences(contrast: Contrast) -> list[float]:
    """First minus second, positive in favour of the first; of trainings that diverged, the last of all."""
    return contrast.differences(1.0) + [-math.inf] * contrast.lost


def _diverged(contrast: Contrast) -> str:
    return f", {contrast.lost} diverged" if contrast.lost else ""


def level_of(parts: Sequence[Part]) -> float:
    """The p below which a comparison of a claim with these parts alarms."""
    return LEVEL / CLAIMS / sum(len(part.tasks) for part in parts)
