"""What the records of faults say: the causes of each symptom in measured order, for the pages of ``docs/symptoms``.

``symptoms.toml`` names each page's causes, how to tell them apart and their cures; their order and all numbers are
computed here, from ``symptoms.jsonl`` and ``symptoms_runs.jsonl``. Nothing here trains.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from docs.evidence import symptoms, symptoms_runs
from docs.evidence.xor import read
from ncps_mlx import stats

__all__ = [
    "PAGES",
    "SYMPTOMS",
    "causes",
    "first",
    "given_back",
    "in_all",
    "matrix",
    "most",
    "ordered",
    "part_lost",
    "recorded_on",
    "score_difference",
    "share",
    "times",
]

PAGES = Path(__file__).with_name("symptoms.toml")
CLAIMS = Path(__file__).parents[1] / "claims.toml"
BEYOND_USE = 100.0
"""A loss so many times that of a constant answer, at the end of training, is of no use."""
NARROW = "\u00a0"
"""A blank at which no line breaks."""
LEARNT = 0.95
"""A score below this share of a constant answer's shows that something was learnt."""

Row = dict[str, Any]


@cache
def rows() -> list[Row]:
    """The trainings."""
    return [row for row in read(symptoms.RECORD) if "change" in row]


@cache
def runs() -> list[Row]:
    """The runs of the sweep."""
    return [row for row in read(symptoms_runs.RECORD) if "circumstance" in row]


def is_lost(row: Row) -> bool:
    """Diverged, or beyond use at its end."""
    return row["status"] == "diverged" or row["last_loss"] is None or row["last_loss"] > BEYOND_USE


def has_learnt(row: Row) -> bool:
    """Better than a constant answer at some time."""
    return row["best"] is not None and row["best"] < LEARNT * row["constant"]


def kept(row: Row) -> float:
    """Which share of what the best step had won over a constant answer the last step still has."""
    if row["last"] is None:
        return -1.0
    share: float = (row["constant"] - row["last"]) / (row["constant"] - row["best"])
    return share


def is_flat(row: Row) -> bool:
    """Never better than a constant answer, though nothing blew up."""
    return not is_lost(row) and not has_learnt(row)


def collapses(row: Row) -> bool:
    """Had learnt, and lost half of it again, on the training sequences too."""
    return has_learnt(row) and (is_lost(row) or (kept(row) < 0.5 and row["last_loss"] > row["loss_at_best"]))


def overfits(row: Row) -> bool:
    """Validation lost a tenth of what it had won while the training loss fell."""
    return has_learnt(row) and not is_lost(row) and kept(row) < 0.9 and row["last_loss"] < row["loss_at_best"]


def has_still_gates(row: Row) -> bool:
    """More than half of a CfC's gates stand at 0 or 1."""
    return row["still_gates"] is not None and row["still_gates"] > 0.5


def ignores_gaps(row: Row) -> bool:
    """Has learnt, and with shuffled gaps errs less than a twentieth more."""
    if not has_learnt(row) or is_lost(row):
        return False
    return row["shuffled"] is None or bool(row["shuffled"] < 1.05 * row["best"])  # None: it was given no gaps


def has_spike(row: Row) -> bool:
    """The loss was beyond use at some time, though it may have come back."""
    return is_lost(row) or row["largest_loss"] is None or row["largest_loss"] > BEYOND_USE


SYMPTOMS: Mapping[str, Callable[[Row], bool]] = {
    "nan": is_lost,
    "flat": is_flat,
    "collapse": collapses,
    "overfits": overfits,
    "saturated-gates": has_still_gates,
    "gaps-ignored": ignores_gaps,
    "ltc-unstable": has_spike,
}
"""By page: whether a training shows it."""

CAN_SHOW: Mapping[str, Callable[[Row], bool]] = {
    "saturated-gates": lambda row: row["still_gates"] is not None,
    "gaps-ignored": lambda row: row["task"] not in symptoms.TIMELESS,
}
"""Of which trainings it can be told."""


def trainings(change: str, page: str = "", model: str = "") -> list[Row]:
    """The trainings with a change, of those that can show a page's symptom."""
    if change not in symptoms.CHANGES:
        raise ValueError(f"change must be one of {', '.join(symptoms.CHANGES)}, got {change!r}.")
    found = [row for row in rows() if row["change"] == change and model in ("", row["model"])]
    return [row for row in found if CAN_SHOW[page](row)] if page in CAN_SHOW else found


def counted(page: str, changes: Sequence[str], model: str = "") -> stats.Interval:
    """The share of the trainings with any of these changes that show a symptom, with Wilson's interval."""
    found = [row for change in changes for row in trainings(change, page, model)]
    return stats.failure_rate([SYMPTOMS[page](row) for row in found])


def count(found: stats.Interval, what: str = "trainings") -> str:
    """Write how many, with the interval of their share: ``16 of 40 trainings (26 to 55 %)``."""
    number, low, high = round(found.mean * found.n), whole_percent(found.low), whole_percent(found.high)
    if number == 0:
        return f"none of {found.n} {what} (at most {high}{NARROW}%)"
    if number == found.n:
        return f"all {found.n} {what} (at least {low}{NARROW}%)"
    return f"{number} of {found.n} {what} ({low}{NARROW}to{NARROW}{high}{NARROW}%)"


def whole_percent(share: float) -> str:
    """Whole per cent; within one of none or of all, the first digit that tells it from them."""
    value = 100 * share
    near = min(value, 100 - value)
    return f"{value:.0f}" if near <= 0 or near >= 1 else f"{value:.{-math.floor(math.log10(near))}f}"


def share(page: str, change: str, model: str = "") -> str:
    """In how many trainings with a change a symptom was seen, with the 95 % interval of their share."""
    return count(counted(page, [change], model))


def unmoved(changes: Sequence[str], than: str) -> stats.Interval:
    """The share of trainings whose score a change moves by less than the smallest difference that matters."""
    deltas = tomllib.loads(CLAIMS.read_text(encoding="utf-8"))["deltas"]
    others = {(row["task"], row["model"], row["seed"]): row["best"] for row in trainings(than)}
    return stats.failure_rate(
        [
            abs(row["best"] - others[row["task"], row["model"], row["seed"]]) < deltas[row["task"]]
            for change in changes
            for row in trainings(change)
        ]
    )


# Scores


def lost_shares(change: str, than: str = symptoms.HEALTHY, model: str = "") -> stats.Interval:
    """What a change costs, as a share of what a healthy training gains on a constant answer; paired by seed.

    Means over tasks and models first, so that each seed counts once.
    """
    by_key = {(row["change"], row["task"], row["model"], row["seed"]): row for row in trainings(change, model=model)}
    costs: dict[int, list[float]] = {seed: [] for seed in symptoms.SEEDS}
    others = {(row["task"], row["model"], row["seed"]): row for row in trainings(than, model=model)}
    healthy = {(row["task"], row["model"], row["seed"]): row for row in trainings(symptoms.HEALTHY, model=model)}
    for (_, task, kind, seed), row in by_key.items():
        key = (task, kind, seed)
        gain = healthy[key]["constant"] - healthy[key]["best"]
        best, other = (usable(each) for each in (row, others[key]))
        costs[seed].append((best - other) / gain)
    return stats.interval([float(np.mean(each)) for each in costs.values()])


def usable(row: Row) -> float:
    """The best score; a constant answer's where training was lost or ended worse."""
    value: float = row["constant"] if row["best"] is None else min(row["best"], row["constant"])
    return value


def percent(found: stats.Interval) -> str:
    """Write a share in per cent with its interval."""
    return with_unit(scaled(found, 100), "%")


def part_lost(change: str, model: str = "") -> str:
    """What a change costs, in per cent of what a healthy training gains on a constant answer."""
    return percent(lost_shares(change, model=model))


def given_back(change: str, than: str, model: str = "") -> str:
    """What a change gives back of what another costs, in per cent of a healthy training's gain."""
    return percent(negative(lost_shares(change, than, model)))


def negative(found: stats.Interval) -> stats.Interval:
    """The interval of the opposite."""
    return scaled(found, -1)


def scaled(found: stats.Interval, factor: float) -> stats.Interval:
    """The interval in another unit."""
    low, high = sorted((factor * found.low, factor * found.high))
    return stats.Interval(mean=factor * found.mean, low=low, high=high, n=found.n, confidence=found.confidence)


def with_unit(found: stats.Interval, unit: str) -> str:
    """Write an interval with its unit after the mean."""
    mean, _, ends = str(found).partition(" ")
    return f"{mean}{NARROW}{unit} {ends}"


# Runs of the sweep


def by_round(circumstance: str) -> dict[int, Row]:
    """The runs under a circumstance."""
    if circumstance not in symptoms_runs.CIRCUMSTANCES:
        raise ValueError(
            f"circumstance must be one of {', '.join(symptoms_runs.CIRCUMSTANCES)}, got {circumstance!r}."
        )
    return {row["round"]: row for row in runs() if row["circumstance"] == circumstance}


def ratio(circumstance: str, than: str = symptoms_runs.AS_IT_IS) -> stats.Interval:
    """How many times the processor's seconds, paired by round; the mean of logarithms."""
    own, other = by_round(circumstance), by_round(than)
    logs = stats.interval([np.log(own[number]["seconds"] / other[number]["seconds"]) for number in own])
    mean, low, high = (float(np.exp(each)) for each in (logs.mean, logs.low, logs.high))
    return stats.Interval(mean=mean, low=low, high=high, n=logs.n, confidence=logs.confidence)


def times(circumstance: str, than: str = symptoms_runs.AS_IT_IS) -> str:
    """How many times as long a circumstance takes."""
    return written(ratio(circumstance, than))


def written(found: stats.Interval) -> str:
    """Write a ratio with its interval."""
    return with_unit(found, "times")


def differences(circumstance: str) -> list[float]:
    """How far each score of the first round lies from that of the sweep as it is."""
    own, other = by_round(circumstance)[0]["scores"], by_round(symptoms_runs.AS_IT_IS)[0]["scores"]
    return [abs(a - b) for a, b in zip(own, other, strict=True)]


def score_difference(circumstance: str) -> str:
    """How far scores move, in mg/dl, or that all stay the same to the seven digits of the record."""
    found = differences(circumstance)
    if not any(found):
        return f"all {len(found)} scores are the same to seven digits"
    mean, most = (
        np.format_float_positional(each, precision=2, unique=False, fractional=False, trim="-")
        for each in (float(np.mean(found)), max(found))
    )
    return f"{mean} mg/dl on average, {most} at most"


# Pages


NONE = {"seconds": 1.05, "difference": -1.0}
"""What a cause must exceed to be one, by measure; else 0. Differences are all shown: 0 is what a reader hopes for."""

LEAD = {
    "share": "Each fault was put into healthy trainings. Counted are those that then showed the symptom, with the "
    ":term:`interval` of their share.",
}
"""What is said before the causes, by measure."""

SILENT = {
    "share": "Tried, and never seen:",
    "unmoved": "Tried, and never seen:",
    "score": "At no cost:",
    "given back": "What gave nothing back:",
    "seconds": "What took no longer:",
}
"""How the causes are headed that were measured and are none, by measure."""


@cache
def pages() -> dict[str, dict[str, Any]]:
    """The causes of each page, as written."""
    return tomllib.loads(PAGES.read_text(encoding="utf-8"))


def strength(page: str, cause: Mapping[str, Any]) -> tuple[float, str]:
    """What a page's causes are ordered by, and how to say it."""
    if "always" in cause:
        return math.inf, str(cause["always"])
    about = pages()[page]
    model, than = (cause.get(name, about.get(name, "")) for name in ("model", "than"))
    match about["measure"]:
        case "share":
            found = counted(page, cause["changes"], model)
            return found.mean, count(found)
        case "unmoved":
            found = unmoved(cause["changes"], than)
            return found.mean, f"{count(found, 'scores')} moved by less than δ"
        case "score":
            found = lost_shares(cause["change"], model=model)
            if found.mean < 0:
                return found.mean, with_unit(scaled(found, -100), "% more is gained")
            return found.mean, with_unit(scaled(found, 100), "% of the gain is lost")
        case "given back":
            found = negative(lost_shares(cause["change"], than, model))
            return found.mean, of_the_gain(found, "comes back", "is lost")
        case "seconds":
            found = ratio(cause["circumstance"], than or symptoms_runs.AS_IT_IS)
            return found.mean, f"{written(found)} as long"
        case "difference":
            return float(np.mean(differences(cause["circumstance"]))), score_difference(cause["circumstance"])
    raise ValueError(f"measure must be a known one in symptoms.toml, got {about['measure']!r} for {page}.")


def of_the_gain(found: stats.Interval, what: str, opposite: str) -> str:
    """Write which share of a healthy training's gain is lost or comes back; of a negative one the opposite."""
    if found.mean < 0:
        return f"another {percent(negative(found))} of the gain {opposite}"
    return f"{percent(found)} of the gain {what}"


def tried(cause: Mapping[str, Any]) -> str:
    """What was made wrong, where trainings were counted and the cause's name does not say it."""
    made = "; ".join(
        "nothing, the training is healthy" if name == symptoms.HEALTHY else name for name in cause.get("changes", ())
    )
    return "" if made in cause["name"].lower() else made


def ordered(page: str) -> list[tuple[str, float, str]]:
    """A page's causes by name, strongest first, with their measure; those of equal strength as they are written."""
    if page not in pages():
        raise ValueError(f"page must be one of {', '.join(pages())}, got {page!r}.")
    found = [(cause["name"], *strength(page, cause)) for cause in pages()[page]["causes"]]
    return sorted(found, key=lambda each: -each[1])


def causes(page: str) -> str:
    """A page's causes, the strongest first: measure, how to tell, cure; then those that showed nothing."""
    measured_by = pages()[page]["measure"]
    texts = {cause["name"]: cause for cause in pages()[page]["causes"]}
    shown, silent = [], []
    for name, size, measure in ordered(page):
        made = tried(texts[name])
        if size > NONE.get(measured_by, 0.0):
            seen = "seen in " if measured_by == "share" else ""
            shown += [f"#. **{name}:** {seen}{measure}.", ""]
            shown += [f"   | *Tried:* {made}."] if made else []
            shown += [f"   | *Check:* {texts[name]['tell']}", f"   | *Cure:* {texts[name]['cure']}", ""]
        else:
            silent += [f"* {name}{f' ({made})' if made else ''}: {measure}."]
    lead = [LEAD[measured_by], ""] if measured_by in LEAD else []
    return "\n".join([*lead, *shown, *([SILENT[measured_by], "", *silent] if silent else [])])


def first(page: str) -> str:
    """The first cause of a page, within a sentence."""
    name = ordered(page)[0][0]
    is_own = any(letter.isupper() for letter in name.split()[0][1:])  # an abbreviation or a model's name
    return name if is_own else name[:1].lower() + name[1:]


def in_all(page: str, model: str) -> str:
    """In how many of all trainings of a model a symptom was seen, whatever was wrong."""
    changes = [name for name, change in symptoms.CHANGES.items() if model in change.models]
    return count(counted(page, changes, model))


def most(page: str) -> str:
    """In how many trainings without any fault a symptom was seen."""
    return share(page, symptoms.HEALTHY)


def matrix() -> list[list[str]]:
    """For each change, in how many of a hundred of its trainings each symptom was seen; empty where in none."""
    names = {
        "nan": "NaN or beyond use",
        "flat": "flat",
        "collapse": "collapses",
        "overfits": "overfits",
        "saturated-gates": "gates saturated",
        "gaps-ignored": "gaps ignored",
    }
    table = [["What was wrong", *names.values()]]
    for change in symptoms.CHANGES:
        cells = []
        for page in names:
            found = trainings(change, page)
            seen = 100 * np.mean([SYMPTOMS[page](row) for row in found]) if found else math.nan
            cells.append("–" if math.isnan(seen) else f"{seen:.0f}" if seen else "")
        table.append([change, *cells])
    return table


def recorded_on() -> str:
    """Device and versions of the records."""
    (about,) = (row["about"] for row in read(symptoms.RECORD) if "about" in row)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(about["versions"].items()))
    return f"{about['device']}, {versions}"
