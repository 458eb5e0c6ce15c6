"""Progress of long work: one bar, with the best score, the rate and the time left."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any

__all__ = ["Progress", "log"]

LOG_SECONDS = 10.0  # between lines where the bar cannot overwrite itself: a log, a page, a pipe


class Progress:
    """A bar on stderr of ``total`` units, ``done`` of them before it began; several trainings may share it."""

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
        self._told: set[str | None] = set()
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
        """Advance by ``count``; a total that was too small grows."""
        self.done += count
        self._total = self._bar.total = max(self._total, self.done)
        self._bar.update(count)

    def reach(self, done: int) -> None:
        """Advance to ``done`` in all; the bar never goes back."""
        if done > self.done:
            self.add(done - self.done)

    def write(self, text: str, topic: str | None = None) -> None:
        """Write a line above the bar, if it is shown; of one topic only the first."""
        if not self._bar.disable and (topic is None or topic not in self._told):
            self._bar.write(text, file=sys.stderr)
        self._told.add(topic)

    def add_score(self, score: float) -> None:
        """Take a score into account; the best one is shown with the bar's next update."""
        self._best = self._better(self._best, score)
        if self.best_score is not None:
            self._bar.set_postfix(best=f"{self.best_score:.4g}", refresh=False)

    @property
    def best_score(self) -> float | None:
        """The best score, ``None`` before there is a finite one."""
        return self._best if math.isfinite(self._best) else None


def log(line: str) -> None:
    """Print a line on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
