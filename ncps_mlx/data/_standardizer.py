"""The way back from standardised values to real units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ncps_mlx.data._split import Array

__all__ = ["Standardizer"]


@dataclass(frozen=True, kw_only=True)
class Standardizer:
    """Map standardised values back to real units; ``square`` them where a square-root scale was learned.

    ``mean`` and ``deviation`` are numbers, or of each target (O,).
    """

    mean: float | Array
    deviation: float | Array
    square: bool = False

    def __call__(self, values: Array) -> Array:
        """Return ``values`` in real units; on a square-root scale nothing below 0 exists."""
        restored = values * self.deviation + self.mean
        return np.square(np.maximum(restored, 0.0)) if self.square else restored
