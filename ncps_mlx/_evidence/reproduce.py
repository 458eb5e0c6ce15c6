"""A claim measured again on seeds that nobody recorded, beside what the record says of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Missing, Reproducible
from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.plan import Row
from ncps_mlx._evidence.pool import Pool
from ncps_mlx._evidence.record import Record, read_measured
from ncps_mlx._evidence.registry import SHARES, Claim, Part
from ncps_mlx._evidence.shares import difference_of_shares, finding_of_shares
from ncps_mlx._evidence.verdicts import NOT_MEASURED, ONCE, Verdict
from ncps_mlx._utils.validation import did_you_mean
from ncps_mlx.stats._finding import LEVEL, Finding, _degrees_of_freedom, _ends, finding

__all__ = ["FEWEST_SEEDS", "FIRST_SEED", "Comparison", "Recorded", "find_claim", "recorded", "reproduce", "train_fresh"]

FEWEST_SEEDS = 3
"""Fewer say nothing."""

FIRST_SEED = 300
"""Seeds below are those of the record and of the build's checks."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the record says of one part of a claim at a budget.

    Attributes:
        part: Which.
        pool: Whose trials it rests on.
        verdict: Its verdict.
        finding: What its pairs show.
        tasks: Each of its tasks.
    """

    part: Part
    pool: Pool
    verdict: str
    finding: Finding
    tasks: Mapping[str, Measured]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A part on fresh seeds, beside its record.

    Attributes:
        recorded: Its record.
        contrasts: What fresh seeds gave, by task.
        fresh: What these show.
        difference: The pooled effect on fresh seeds minus the recorded one, in δ, and the ends of Welch's interval.
    """

    recorded: Recorded
    contrasts: Mapping[str, Contrast]
    fresh: Finding
    difference: tuple[float, float, float]

    @property
    def is_compatible(self) -> bool:
        """Whether that interval holds 0."""
        _, low, high = self.difference
        return low <= 0 <= high


def find_claim(record: Record, name: str) -> Claim:
    """The claim of this name."""
    if name not in record.registry:
        hint = did_you_mean(name, record.registry)
        raise ValueError(f"ID must be a claim, got {name!r}.{hint} `ncps-mlx reproduce` lists all.")
    return record.registry[name]


def recorded(record: Record, claim: Claim, budget: str) -> list[Recorded]:
    """The measured parts of a claim at a budget, or why it cannot be measured again here.

    Raises:
        ValueError: None is measured, or the pool's design trains no fresh seeds; with what to do instead.
    """
    if not claim.parts:
        kinds = " and ".join(claim.kind)
        raise ValueError(
            f"ID must be a measured claim, got {claim.id}, which is {kinds}: by the build of the site, on the page "
            f"guide/{claim.section}. `nox -s docs` in a checkout does it again."
        )
    entries = {
        entry["part"]: entry
        for entry in record.verdicts
        if entry["id"] == claim.id and entry["budget"] == budget and entry["verdict"] != NOT_MEASURED
    }
    if not entries:
        raise ValueError(_unmeasured(record, claim, budget))
    pools = {part.name: record.pools[part.pool] for part in claim.parts if part.name in entries}
    again = [part for part in claim.parts if part.name in pools and _is_reproducible(pools[part.name])]
    if not again:
        _design(next(iter(pools.values())))
    return [_recorded(part, pools[part.name], entries[part.name]) for part in again]


def _unmeasured(record: Record, claim: Claim, budget: str) -> str:
    of_claim = [entry for entry in record.verdicts if entry["id"] == claim.id and entry["budget"] is not ONCE]
    text = f"ID must be measured at the {budget} budget, got {claim.id}, which is not"
    if reasons := dict.fromkeys(entry["reason"] for entry in of_claim if entry["budget"] == budget):
        text += f": {'; '.join(reasons)}"
    elsewhere = dict.fromkeys(entry["budget"] for entry in of_claim if entry["verdict"] != NOT_MEASURED)
    cure = "".join(f" It is at the {other} one: --budget {other}." for other in elsewhere)
    if not cure and claim.pool in record.pools:
        cure = f" `nox -s evidence -- {claim.pool} --budget {budget}` in a checkout trains what its record lacks."
    return f"{text}.{cure}"


def _is_reproducible(pool: Pool) -> bool:
    return isinstance(DESIGNS[pool.design], Reproducible)


def _design(pool: Pool) -> Reproducible:
    design = DESIGNS[pool.design]
    if not isinstance(design, Reproducible):
        raise ValueError(
            "ID must be a claim whose trainings can be drawn anew one by one, got one of the pool "
            f"{pool.name}, whose design is {pool.design!r}. In a checkout, `nox -s evidence -- {pool.name} --stale` "
            "trains all of it again, and says what changed."
        )
    return design


def _recorded(part: Part, pool: Pool, entry: Verdict) -> Recorded:
    tasks = read_measured(part, entry)
    found = _finding(part, {name: each.contrast for name, each in tasks.items()})
    return Recorded(part=part, pool=pool, verdict=entry["verdict"], finding=found, tasks=tasks)


def _finding(part: Part, contrasts: Mapping[str, Contrast]) -> Finding:
    if part.statistic in SHARES:
        return finding_of_shares({name: each.pairs for name, each in contrasts.items()}, part.deltas)
    return finding({name: each.differences(part.deltas[name]) for name, each in contrasts.items()})


def train_fresh(
    parts: Sequence[Recorded], seeds: Sequence[int], timeout: float, say: Callable[[str], object]
) -> list[Row]:
    """Train what these parts need on fresh seeds: a few first, then as many at once as the time allows.

    No group begins after ``timeout`` seconds.
    """
    whole = [lacking for _, lacking in _fresh(parts, seeds, ())]
    count = sum(each.count + each.later for each in whole)
    say(
        f"{count} trainings on {', '.join(dict.fromkeys(each.task for each in whole))}, "
        f"{len(seeds)} seeds from {seeds[0]} on: very roughly {sum(each.seconds for each in whole):.0f} s of one core"
    )
    rows: list[Row] = []
    begun, done, now = time.perf_counter(), 0, seeds[:FEWEST_SEEDS]
    while now:
        while batch := list(_fresh(parts, now, rows)):  # a search chooses anew from what was trained
            for design, lacking in batch:
                for group in lacking.groups:
                    if time.perf_counter() - begun > timeout:
                        return rows
                    rows += design.train(group)
        done += len(now)
        spent = time.perf_counter() - begun
        each, left = spent / done, len(seeds) - done
        say(f"{done} of {len(seeds)} seeds after {spent:.0f} s" + (f", about {left * each:.0f} s left" if left else ""))
        now = seeds[done : done + int(max(0, min(left, (timeout - spent) / each)))]
    return rows


def _fresh(
    parts: Sequence[Recorded], seeds: Sequence[int], rows: Sequence[Row]
) -> Iterator[tuple[Reproducible, Missing]]:
    """What is still to be trained, by pool and task."""
    for pool in {part.pool.name: part.pool for part in parts}.values():
        measured = [each for part in parts if part.pool is pool for each in part.tasks.values()]
        own = [row for row in rows if row["pool"] == pool.name]
        for lacking in _design(pool).fresh(pool, measured, seeds, own):
            yield _design(pool), lacking


def reproduce(parts: Sequence[Recorded], rows: Sequence[Row]) -> list[Comparison]:
    """Compare each part on fresh seeds with its record.

    Parts share the error that is allowed, so that a right claim is called incompatible at most once in twenty, however
    many it has.

    Raises:
        ValueError: Fewer than three pairs on a task.
    """
    return [_compare(part, rows, LEVEL / len(parts)) for part in parts]


def _compare(recorded: Recorded, rows: Sequence[Row], level: float) -> Comparison:
    pool, part = recorded.pool, recorded.part
    own = [row for row in rows if row["pool"] == pool.name]
    contrasts = {name: _design(pool).fresh_contrast(pool, each, own) for name, each in recorded.tasks.items()}
    for name, contrast in contrasts.items():
        if len(contrast.pairs) < FEWEST_SEEDS:
            lost = f", {contrast.lost} diverged" if contrast.lost else ""
            raise ValueError(
                f"there must be {FEWEST_SEEDS} pairs on each task, got {len(contrast.pairs)} on {name} "
                f"({part.name}){lost}. Give it more time or seeds."
            )
    before = {name: each.contrast for name, each in recorded.tasks.items()}
    if part.statistic in SHARES:
        fresh_pairs, pairs = ({name: one.pairs for name, one in side.items()} for side in (contrasts, before))
        difference = difference_of_shares(fresh_pairs, pairs, part.deltas, level)
    else:
        fresh, recorded_ones = (
            {name: one.differences(part.deltas[name]) for name, one in side.items()} for side in (contrasts, before)
        )
        difference = _difference(fresh, recorded_ones, level)
    return Comparison(
        recorded=recorded, contrasts=contrasts, fresh=_finding(part, contrasts), difference=difference
    )


def _difference(
    fresh: Mapping[str, npt.ArrayLike], before: Mapping[str, npt.ArrayLike], level: float
) -> tuple[float, float, float]:
    """The difference of two pooled effects with Welch's interval: degrees of freedom of Welch and Satterthwaite."""
    samples = [np.asarray(values, np.float64) for side in (fresh, before) for values in side.values()]
    errors = np.array([values.var(ddof=1) / values.size for values in samples])
    freedom = _degrees_of_freedom(errors, np.array([values.size for values in samples]))
    means = [float(values.mean()) for values in samples]
    count = len(before)
    mean = (math.fsum(means[:count]) - math.fsum(means[count:])) / count
    return mean, *_ends(mean, math.sqrt(float(errors.sum())) / count, freedom, level / 2)
