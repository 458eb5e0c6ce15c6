"""The way back from standardised values to real units."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from ncps_mlx.data._split import Array

__all__ = ["Standardizer"]


@dataclass(frozen=True, kw_only=True)
class Standardizer:
    """The ``inverse`` of a task with standardised targets: back to real units, and written down with a predictor.

    Args:
        mean: What was taken off the targets: a number, or one for each target (O,).
        deviation: What they were divided by: a number, or one for each target (O,).
        square: Square the result, where the square root was learned; on that scale nothing below 0 exists.

    Example:
        >>> from ncps_mlx.data import Standardizer
        >>> import numpy as np
        >>> Standardizer(mean=120.0, deviation=15.0)(np.array([0.0, 2.0])).tolist()
        [120.0, 150.0]
    """

    mean: float | Array
    deviation: float | Array
    square: bool = False

    def __call__(self, values: Array) -> Array:
        """Return ``values`` in real units; on a square-root scale nothing below 0 exists."""
        restored = values * self.deviation + self.mean
        return np.square(np.maximum(restored, 0.0)) if self.square else restored

    def to_json(self) -> str:
        """Write it as JSON, to the bit."""
        return json.dumps(asdict(self), default=np.ndarray.tolist)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote."""
        parts: dict[str, Any] = json.loads(text)
        for name, part in parts.items():
            parts[name] = np.array(part) if isinstance(part, list) else part
        return cls(**parts)
