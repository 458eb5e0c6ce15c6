"""What one call of :meth:`Study.run <ncps_mlx.Study.run>` may spend: trials and seconds."""

from __future__ import annotations

import math
import time

from ncps_mlx._utils.validation import check_int, check_number

__all__ = ["Limits"]


class Limits:
    """Counts what was spent.

    Args:
        max_trials: Trials that may be begun; ``None`` for no limit.
        timeout: No population is begun after this many seconds; ``None`` for no limit.

    Raises:
        ValueError: A limit is out of its range.

    Example:
        >>> limits = Limits(max_trials=10)
        >>> limits.spend(8)
        >>> limits.next(32)
        2
    """

    def __init__(self, max_trials: int | None = None, timeout: float | None = None) -> None:
        self._members = math.inf if max_trials is None else check_int("max_trials", max_trials)
        limit = math.inf if timeout is None else check_number("timeout", timeout, low=0, open_low=True)
        self._end = time.monotonic() + limit

    def spend(self, members: int) -> None:
        """So many were begun.

        Example:
            >>> limits = Limits(max_trials=3)
            >>> limits.spend(4)  # a bracket is begun whole
            >>> limits.next(8)
            0
        """
        self._members -= members

    def next(self, most: int) -> int:
        """How many may be begun now.

        Example:
            >>> Limits(max_trials=3).next(8), Limits().next(8)
            (3, 8)
        """
        return 0 if time.monotonic() >= self._end else int(max(0, min(most, self._members)))

    def of(self, members: int) -> int:
        """How many of these the limit on members allows.

        Example:
            >>> Limits(max_trials=3).of(20), Limits().of(20)
            (3, 20)
        """
        return int(min(members, self._members))
