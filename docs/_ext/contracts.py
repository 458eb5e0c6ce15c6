"""What a shown output promises, and whether a run kept the promise."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Contract", "parse_contract"]

Kind = Literal["exact", "approx", "range", "shape"]

# A digit inside a word ("conv1", "x2") is part of a name, not a number.
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?")


def _lines(text: str) -> list[str]:
    """Lines without trailing blanks: how a text looks, not how it is stored."""
    return [line.rstrip() for line in text.strip("\n").rstrip().splitlines()]


def _words(text: str) -> list[str]:
    """Each line with its numbers blanked and its spacing collapsed (columns move with their widths)."""
    return [" ".join(NUMBER.sub("#", line).split()) for line in _lines(text)]


def _is_whole(number: str) -> bool:
    return not any(mark in number for mark in ".eE")


@dataclass(frozen=True, kw_only=True)
class Contract:
    """How closely a run must repeat the output that a page shows.

    Args:
        kind: ``exact`` (the same text), ``approx`` (numbers within ``tolerance``, relative), ``range``
            (numbers with a decimal point inside ``intervals``, whole ones equal) or ``shape`` (the same
            text once numbers are taken out).
        tolerance: Relative tolerance of ``approx``.
        intervals: Of ``range``: one ``(low, high)`` for every decimal number, or as many as a row of
            the output has, taken in turn.
    """

    kind: Kind = "exact"
    tolerance: float = 0.0
    intervals: tuple[tuple[float, float], ...] = ()

    def problem(self, shown: str, printed: str) -> str | None:
        """Return what is wrong with ``printed`` where the page shows ``shown``; None if nothing is."""
        if not printed.strip():
            return "an output is shown but the block printed nothing"
        if not shown.strip():
            return "no output is shown yet: write it with --refresh"
        if self.kind == "exact":
            if _lines(shown) == _lines(printed):
                return None
            return _first_difference(_lines(shown), _lines(printed))
        if _words(shown) != _words(printed):
            return _first_difference(_words(shown), _words(printed))
        pairs = list(zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True))
        if self.kind == "approx":
            for old, new in pairs:
                if not math.isclose(float(old), float(new), rel_tol=self.tolerance, abs_tol=1e-12):
                    return f"shown {old}, printed {new}: not within {self.tolerance:g}"
        if self.kind == "range":
            return self._outside(pairs)
        return None

    def _outside(self, pairs: list[tuple[str, str]]) -> str | None:
        decimals = 0
        for old, new in pairs:
            if _is_whole(old) and _is_whole(new):
                if int(old) != int(new):
                    return f"shown {old}, printed {new}: whole numbers must be equal under range"
                continue
            low, high = self.intervals[decimals % len(self.intervals)]
            decimals += 1
            for number, where in ((new, "printed"), (old, "shown")):
                if not low <= float(number) <= high:
                    return f"{where} {number}: outside [{low:g}, {high:g}]"
        return None

    def describe(self) -> str:
        """Return a reader's line about what may differ on another machine ('' if nothing may)."""
        if self.kind == "approx":
            return f"Each build checks these numbers to within {self.tolerance:.3g} of their size."
        if self.kind == "range":
            (low, high), *others = self.intervals
            where = "each lies in a range of its own" if others else f"they lie between {low:g} and {high:g}"
            return f"From one run; your numbers will differ. Each build checks that {where}."
        if self.kind == "shape":
            return "From one run; your numbers will differ."
        return ""


def _first_difference(shown: list[str], printed: list[str]) -> str:
    for old, new in zip(shown, printed, strict=False):
        if old != new:
            return f"shown {old!r}, printed {new!r}"
    return f"shown {len(shown)} lines, printed {len(printed)}"


def parse_contract(argument: str, intervals: str | None = None) -> Contract:
    """Return the contract written after ``.. output::`` and in its ``:range:`` option.

    Raises:
        ValueError: The text is no contract.
    """
    kind, _, tolerance = argument.strip().partition("=")
    if kind != "range" and intervals is not None:
        raise ValueError(f"output contract must be range where :range: is given, got {argument!r}.")
    if kind in ("", "exact", "shape") and not tolerance:
        return Contract(kind="shape" if kind == "shape" else "exact")
    if kind == "approx":
        try:
            return Contract(kind="approx", tolerance=float(tolerance))
        except ValueError as error:
            raise ValueError(f"output contract must be like approx=1e-3, got {argument!r}.") from error
    if kind == "range" and not tolerance:
        spans = []
        for part in (intervals or "").split(","):
            try:
                low, high = map(float, part.split())
            except ValueError as error:
                raise ValueError(f"range must be like '0.2 0.9, 10 500', got {intervals!r}.") from error
            spans.append((low, high))
        return Contract(kind="range", intervals=tuple(spans))
    raise ValueError(f"output contract must be exact, approx=TOLERANCE, range or shape, got {argument!r}.")
