"""The way back from standardised values to real units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Standardizer"]


@dataclass(frozen=True, kw_only=True)
class Standardizer:
    """Map standardised values back to real units: the ``inverse`` of a task.

    Args:
        mean: Mean of the training values, on the scale that was learned.
        deviation: Their standard deviation.
        square: The values were learned on a square-root scale. Default: no.

    Example:
        >>> import numpy as np
        >>> Standardizer(mean=3.0, deviation=2.0, square=True)(np.array([-2.0, 0.0, 1.0]))
        array([ 0.,  9., 25.])
    """

    mean: float
    deviation: float
    square: bool = False

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return ``values`` in real units; on a square-root scale nothing below 0 exists."""
        restored = values * self.deviation + self.mean
        return np.square(np.maximum(restored, 0.0)) if self.square else restored
