"""What a benchmark found, against what is wanted: rows, tables, and what misses its Must."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.site import Build

__all__ = ["SITE", "WANTED", "Row", "Wanted", "failures", "site_failures", "site_json", "site_table", "table"]


@dataclass(frozen=True)
class Wanted:
    """A condition and where to go.

    Attributes:
        must: What a ratio must reach, or stay below.
        goal: Where to go.
        least: Whether ratios count from below (speed) or from above (growth).
    """

    must: float
    goal: float
    least: bool = True

    def met(self, ratio: float, bound: float) -> bool:
        """Whether a ratio keeps a bound."""
        return ratio >= bound if self.least else ratio <= bound


WANTED = {
    "one middle": Wanted(1.3, 1.6),
    "one small": Wanted(2.2, 3.0),
    "one large": Wanted(1.0, 1.4),
    "sweep middle": Wanted(2.0, 3.0),
    "sweep small": Wanted(5.0, 7.0),
    "port middle": Wanted(5.0, 8.0),
    "port small": Wanted(5.0, 8.0),
    "workers": Wanted(1.7, 1.9),
    "length": Wanted(8.8, 8.2, least=False),
    "memory": Wanted(17.0, 16.0, least=False),
}
"""By the rows' keys; other rows are for information."""

SITE = {
    "cold": Wanted(12 * 60, 6 * 60, least=False),
    "again": Wanted(20, 10, least=False),
    "script": Wanted(20, 20, least=False),
}
"""Seconds that the site's builds may take, and the slowest gallery script of the first."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        key: What was compared, and at which size.
        value: Median: milliseconds per step and model (``memory``: MiB of the population; ``workers``: seconds of two).
        reference: The same for what it is compared with.
        ratio: Between the two, the median over the rounds: how many times faster, or how much more.
        quartiles: Of the ratio over the rounds.
        cpu: Median processor time of all threads, of value and reference, in the same units.
    """

    key: str
    value: float
    reference: float
    ratio: float
    quartiles: tuple[float, float] | None = None
    cpu: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """With what is wanted of it."""
        wanted = WANTED.get(self.key)
        return {**asdict(self), "wanted": None if wanted is None else asdict(wanted)}


def failures(rows: Sequence[Row]) -> list[str]:
    """A message for each row that misses its Must, or is absent."""
    found = {row.key: row.ratio for row in rows}
    messages = []
    for key, wanted in WANTED.items():
        sign = "at least" if wanted.least else "at most"
        if key not in found:
            messages.append(f"{key}: not measured; it must be {sign} {wanted.must}.")
        elif not wanted.met(found[key], wanted.must):
            messages.append(f"{key}: the ratio is {found[key]:.2f}, it must be {sign} {wanted.must}.")
    return messages


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    head = f"{'':17}{'value':>8}{'ref.':>8}{'ratio':>7}  {'quartiles':13}{'must':>5}{'goal':>6}"
    lines = [f"{head}   processor time: value, reference"]
    for row in rows:
        wanted = WANTED.get(row.key)
        quartiles = "" if row.quartiles is None else "{:.2f}-{:.2f}".format(*row.quartiles)
        bounds = " " * 11 if wanted is None else f"{wanted.must:5.1f}{wanted.goal:6.1f}"
        cpu = "" if row.cpu is None else "   {:8.2f}{:8.2f}".format(*row.cpu)
        numbers = f"{row.value:8.2f}{row.reference:8.2f}{row.ratio:7.2f}"
        lines.append(f"{row.key:17}{numbers}  {quartiles:13}{bounds}{cpu}".rstrip())
    return "\n".join(lines)


def site_seconds(builds: Mapping[str, Build]) -> dict[str, float]:
    """The seconds of each build, and of the slowest gallery script of the first."""
    scripts = [seconds for name, seconds in builds["cold"].executed.items() if name.startswith("gallery/")]
    return {**{name: build.seconds for name, build in builds.items()}, "script": max(scripts)}


def site_wanted(builds: Mapping[str, Build]) -> dict[str, Wanted]:
    """What is wanted of them: a rebuild may take a twentieth of the first build, if that is more."""
    again = SITE["again"]
    return {**SITE, "again": Wanted(max(again.must, builds["cold"].seconds / 20), again.goal, least=False)}


def site_json(builds: Mapping[str, Build]) -> list[dict[str, Any]]:
    """For the record: seconds, what is wanted of them, and the programs that each build executed."""
    wanted = site_wanted(builds)
    return [
        {
            "key": key,
            "seconds": seconds,
            "wanted": asdict(wanted[key]) if key in wanted else None,
            "executed": builds[key].executed if key in builds else None,
        }
        for key, seconds in site_seconds(builds).items()
    ]


def site_failures(builds: Mapping[str, Build]) -> list[str]:
    """A message for each Must of the site that is missed."""
    seconds = site_seconds(builds)
    messages = [
        f"site, {key}: {seconds[key]:.1f} s, it must be at most {wanted.must:g}."
        for key, wanted in site_wanted(builds).items()
        if not wanted.met(seconds[key], wanted.must)
    ]
    for name, rule in (("again", "no program may be"), ("prose", "no program may be"), ("library", "all must be")):
        due = set(builds["cold"].executed) if name == "library" else set()
        if wrong := due ^ set(builds[name].executed):
            messages.append(f"site, {name}: {rule} executed; wrong: {', '.join(sorted(wrong))}.")
    return messages


def site_table(builds: Mapping[str, Build]) -> str:
    """The builds as text."""
    lines = [f"{'site':17}{'seconds':>8}  programs executed"]
    for key, seconds in site_seconds(builds).items():
        count = str(len(builds[key].executed)) if key in builds else ""
        lines.append(f"{key:17}{seconds:8.1f}  {count}".rstrip())
    return "\n".join(lines)
