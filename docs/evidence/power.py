"""How many seeds show a difference: computed, for the pages that say how many to take."""

from __future__ import annotations

import math

from scipy.special import stdtrit
from scipy.stats import nct

__all__ = ["share_found"]


def share_found(seeds: str, spreads: str) -> str:
    """How often the interval of so many paired runs shows a true difference of so many of their standard deviations."""
    n, size = int(seeds), float(spreads)
    return f"{100 * nct.sf(stdtrit(n - 1, 0.975), n - 1, size * math.sqrt(n)):.0f} %"
