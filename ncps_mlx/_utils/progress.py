"""Progress of long work: one bar, with the best score, the rate and the time left."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any

__all__ = ["Progress"]

LOG_SECONDS = 10.0  # between lines where the bar cannot overwrite itself: a log, a page, a pipe


class Progress:
    """A bar on stderr that several trainings may share; a part of it is one training's.

    Args:
        total: How much there is to do.
        name: What is being done.
        unit: What is counted.
        done: How much of it was done before.
        shown: Whether to show anything.
        higher_is_better: Which score is the best.

    Example:
        >>> with Progress(4, "training", "step", shown=False) as bar:
        ...     bar.add(1)
        ...     bar.best(0.5)
        ...     bar.done
        1
    """

    def __init__(
        self,
        total: int,
        name: str,
        unit: str,
        *,
        done: int = 0,
        shown: bool = True,
        higher_is_better: bool = False,
    ) -> None:
        from tqdm.auto import tqdm

        self.done, self._total = done, total
        self._best = -math.inf if higher_is_better else math.inf
        self._better: Any = max if higher_is_better else min
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=name,
            unit=unit,
            disable=not shown,
            mininterval=0.1 if sys.stderr.isatty() else LOG_SECONDS,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def add(self, count: int) -> None:
        """So much more is done; a total that was too small grows with it.

        Example:
            >>> with Progress(4, "training", "step", shown=False) as bar:
            ...     bar.add(3)
            ...     bar.done
            3
        """
        self.done += count
        self._total = self._bar.total = max(self._total, self.done)
        self._bar.update(count)

    def reach(self, done: int) -> None:
        """So much is done in all; what was reached before stays reached.

        Example:
            >>> with Progress(4, "training", "step", shown=False) as bar:
            ...     bar.reach(3)
            ...     bar.reach(2)
            ...     bar.done
            3
        """
        if done > self.done:
            self.add(done - self.done)

    def say(self, text: str) -> None:
        """Write a line above the bar, if it is shown.

        Example:
            >>> with Progress(4, "training", "step", shown=False) as bar:
            ...     bar.say("half of them at a time")
        """
        if not self._bar.disable:
            self._bar.write(text, file=sys.stderr)

    def best(self, score: float) -> None:
        """A score was reached; the best one is shown with the bar's next update.

        Example:
            >>> with Progress(4, "training", "step", shown=False) as bar:
            ...     bar.best(0.5)
        """
        self._best = self._better(self._best, score)
        if self.score is not None:
            self._bar.set_postfix(best=f"{self.score:.4g}", refresh=False)

    @property
    def score(self) -> float | None:
        """The best score, ``None`` before there is one.

        Example:
            >>> with Progress(4, "training", "step", shown=False) as bar:
            ...     bar.best(0.5)
            ...     bar.score
            0.5
        """
        return self._best if math.isfinite(self._best) else None
