"""What a benchmark found, against what is wanted: rows, tables, and what misses its Must."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.models import FORMS, MEMBERS, forms_of
from tests.bench.parent import Times, per_model, ratio
from tests.bench.site import Build

__all__ = [
    "SITE",
    "TRIALS",
    "WANTED",
    "Row",
    "Wanted",
    "compared",
    "failures",
    "named",
    "site_failures",
    "site_json",
    "site_table",
    "table",
    "wanted_of",
]


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


CFC = ("small", "middle", "large")


def each(kind: str, models: Sequence[str], musts: Sequence[float], goals: Sequence[float]) -> dict[str, Wanted]:
    """The same comparison at several models."""
    found = zip(models, musts, goals, strict=True)
    return {f"{kind} {model}": Wanted(must, goal) for model, must, goal in found}


WANTED = {
    **each("jax", CFC, (1.2, 1.05, 1.0), (1.7, 1.4, 1.2)),
    **each("jax", ("ncp-ltc", "full-ltc", "dense-ltc"), (2.0, 2.0, 1.0), (5.0, 8.0, 1.5)),
    **each("jit", CFC, (0.7, 0.7, 0.7), (1.0, 1.0, 1.0)),
    **each("batched", CFC, (1.3, 1.3, 1.3), (2.0, 2.0, 2.0)),
    **each("ncps", (*CFC, "ncp-ltc"), (20.0, 8.0, 4.0, 50.0), (40.0, 12.0, 6.0, 100.0)),
    **each("vmap", (*CFC, "ncp-ltc"), (1.2, 1.2, 1.2, 1.2), (2.0, 2.0, 2.0, 2.0)),
    **each("port", ("small", "middle"), (5.0, 5.0), (8.0, 8.0)),
    "workers": Wanted(1.7, 1.9),
    "length": Wanted(36.0, 33.0, least=False),
    "cliff": Wanted(2.6, 2.1, least=False),
    "memory": Wanted(17.0, 16.0, least=False),
    "trial": Wanted(15.0, 8.0, least=False),
    "trials": Wanted(1.3, 1.1, least=False),
    "planning": Wanted(5.0, 1.0, least=False),
}
"""By the rows' keys; other rows are for information."""

SITE = {
    "cold": Wanted(5 * 60, 3 * 60, least=False),
    "again": Wanted(20, 8, least=False),
    "script": Wanted(15, 15, least=False),
}
"""Seconds that the site's builds may take, and the slowest gallery script of the first."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        key: What was compared, and at which model.
        value: Median of what is ours: processor milliseconds per step and model; in the unit named by ``unit`` else.
        reference: The same for what it is compared with; ``None`` where a bound is on the value itself.
        ratio: Between the two, the median over the rounds: how many times quicker, or how much more.
        quartiles: Of the ratio over the rounds.
        here: The form of ours, a key of :data:`tests.bench.models.FORMS`.
        beside: The form it is compared with.
        unit: Of value and reference.
    """

    key: str
    value: float
    reference: float | None
    ratio: float
    quartiles: tuple[float, float] | None = None
    here: str = ""
    beside: str = ""
    unit: str = "ms"

    def as_json(self) -> dict[str, Any]:
        """With what is wanted of it."""
        wanted = WANTED.get(self.key)
        return {**asdict(self), "wanted": None if wanted is None else asdict(wanted)}


OURS = {
    "jax": "population",
    "jit": "one",
    "batched": "population",
    "ncps": "population",
    "vmap": "population without C",
    "port": "population",
    "lean": "population",
}
"""The form of ours, by the first word of a row's key."""

NAMES = {
    "jax": "population beside the best in JAX",
    "jit": "one model beside JAX, jit",
    "batched": "population beside PyTorch batched",
    "ncps": "population beside ncps on PyTorch",
    "vmap": "no C: beside torch.func.vmap of ncps",
    "port": "population beside the full port",
    "lean": "population beside the lean port",
    "workers": "two workers over one",
    "length": "step at T 1600 over T 50",
    "cliff": "step at T 200 over T 100",
    "memory": "memory of a population over one",
    "trial": "a trial of {most:,} in SQLite",
    "trials": "a trial of {most:,} over one of {fewer:,}",
    "planning": "planning 1,000 trials, PostgreSQL",
}
"""What a row compares, by the first word of its key."""

TRIALS = {"fewer": 1_000, "most": 10_000}
"""Trials of the studies that train next to nothing."""


def compared(name: str, times: Mapping[str, Times], members: int = MEMBERS) -> list[Row]:
    """The rows of one model, from the times of its forms."""
    forms = forms_of(name, native=True, members=members)
    cost = {key: per_model(found, forms[key].members)["cpu"] for key, found in times.items()}
    jax = [key for key in times if key.startswith("jax")]
    beside = {
        "jax": min(jax, key=cost.__getitem__, default=""),
        "jit": "jax" if name in CFC else "",
        "batched": "torch batched",
        "ncps": "ncps",
        "vmap": "ncps vmap",
        "port": "port",
        "lean": "lean",
    }
    rows = []
    for kind, other in beside.items():
        here = OURS[kind] if OURS[kind] in times else OURS[kind].removesuffix(" without C")
        if other not in times or here not in times:
            continue
        ours, theirs = (
            [each / forms[key].members for each in times[key].cpu] for key in (here, other)
        )
        found, quartiles = ratio(theirs, ours)
        rows.append(Row(f"{kind} {name}", cost[here], cost[other], found, quartiles, here, other))
    return rows


def wanted_of(kinds: Sequence[str], models: Sequence[str]) -> list[str]:
    """Keys of rows on which there is a bound, by their first words, for these models."""
    split = {key: key.partition(" ") for key in WANTED}
    return [key for key, (kind, _, model) in split.items() if kind in kinds and (not model or model in models)]


def failures(rows: Sequence[Row], keys: Iterable[str] = WANTED) -> list[str]:
    """A message for each row of these keys that misses its Must, or is absent."""
    found = {row.key: row.ratio for row in rows}
    messages = []
    for key in keys:
        wanted = WANTED[key]
        sign = "at least" if wanted.least else "at most"
        if key not in found:
            messages.append(f"{key}: not measured; it must be {sign} {wanted.must:g}.")
        elif not wanted.met(found[key], wanted.must):
            messages.append(f"{key}: the ratio is {found[key]:.2f}, it must be {sign} {wanted.must:g}.")
    return messages


def named(key: str) -> str:
    """A row in words."""
    kind, _, model = key.partition(" ")
    return NAMES[kind].format(**TRIALS) + (f", {model}" if model else "")


def verdict(row: Row) -> str:
    """What Must and Goal make of a row."""
    wanted = WANTED.get(row.key)
    if wanted is None:
        return ""
    if wanted.met(row.ratio, wanted.goal):
        return "goal met"
    return "must met" if wanted.met(row.ratio, wanted.must) else "MISSED"


def table(rows: Sequence[Row], *, judged: bool = True) -> str:
    """The rows as text, with what is wanted of them if they are to be judged."""
    head = f"{'':47}{'ours':>9}{'theirs':>9}{'ratio':>8}  {'quartiles':15}" + f"{'must':>7}{'goal':>6}" * judged
    lines = [head.rstrip()]
    for row in rows:
        wanted = WANTED.get(row.key) if judged else None
        quartiles = "" if row.quartiles is None else "{:.2f}-{:.2f}".format(*row.quartiles)
        bounds = "" if wanted is None else f"{'≥≤'[not wanted.least]} {wanted.must:g}"
        goal = "" if wanted is None else f"{wanted.goal:g}"
        reference = "" if row.reference is None else f"{row.reference:.2f}"
        numbers = f"{row.value:9.2f}{reference:>9}{row.ratio:8.2f}"
        other = f"   ({FORMS[row.beside].name})" if row.beside.startswith("jax") else ""
        found = f"{bounds:>7}{goal:>6}  {verdict(row):9}" if judged else ""
        lines.append(f"{named(row.key):47}{numbers}  {quartiles:15}{found}{other}".rstrip())
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
