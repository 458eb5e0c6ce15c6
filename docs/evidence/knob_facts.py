"""What the page of a knob, the index of all and the cheat sheet say: from signatures, docstrings, claims and trials.

What only a person can say stands in ``docs/knobs/prose.toml``, a table for each knob that needs it.
"""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

# Private: the evidence's own reading of its files.
from docs.evidence import says, sensitivity
from docs.evidence.claims_table import list_table, plain
from ncps_mlx._evidence.knobs import Knob, knobs
from ncps_mlx._evidence.pool import BUDGETS, LevelPool
from ncps_mlx._evidence.record import Record, read_record
from ncps_mlx._evidence.registry import Claim, Part, levels_of
from ncps_mlx._evidence.verdicts import Verdict

__all__ = [
    "GROUPS", "all_prose", "box", "claims", "claims_of", "groups", "guide_pages", "index", "prose", "safe", "scripts",
    "sheet", "signs",
]  # fmt: skip

DOCS = Path(__file__).resolve().parents[1]
LONG = BUDGETS[-1]
GROUPS = ("Training", "Size", "Backbone", "Time", "Model", "LTC", "Others")
"""Of the index, in the order in which to tune."""
FIELDS = ("what", "group", "means", "search", "low", "high", "together", "note", "claims", "pages")
"""What prose.toml may say of a knob."""
SIGNS = {"supported": "✓", "refuted": "✗", "differs by task": "≠", "open": "?", "not measured": "–"}
"""Of verdicts, as badges have them."""
MOST_KNOBS = 2
"""A claim whose levels differ in more knobs than this tells nothing of one of them."""


@cache
def prose(name: str) -> dict[str, Any]:
    """What a person wrote of a knob."""
    table = all_prose().get(name, {})
    if unknown := sorted(set(table) - set(FIELDS)):
        raise ValueError(f"prose.toml: {name} must hold {', '.join(FIELDS)}, got {unknown[0]!r}")
    return table


@cache
def all_prose() -> dict[str, dict[str, Any]]:
    """What is written of all knobs; refuses what is none."""
    found: dict[str, dict[str, Any]] = tomllib.loads((DOCS / "knobs" / "prose.toml").read_text(encoding="utf-8"))
    if unknown := sorted(set(found) - set(knobs())):
        raise ValueError(f"prose.toml must hold knobs, got {unknown[0]!r}")
    return found


# -- what claims say of a knob --------------------------------------------------------------------------------------


@cache
def record() -> Record:
    """The registry, pools and verdicts of this checkout."""
    return read_record(DOCS)


@cache
def claims_of(name: str) -> list[Claim]:
    """Claims whose levels differ in a knob, those first that differ in it alone; then those that a person names."""
    found: dict[str, int] = {}
    for claim in record().registry.values():
        for part in claim.parts:
            differ = differing(part)
            if name in differ and len(differ) <= MOST_KNOBS and not part.reported:
                found[claim.id] = min(found.get(claim.id, MOST_KNOBS), len(differ))
    own = sorted(found, key=found.__getitem__)
    named = [each for each in prose(name).get("claims", []) if each not in found]
    return [record().registry[each] for each in [*own, *named]]


def differing(part: Part) -> set[str]:
    """The knobs in which the levels of a part differ, but for a rate that was tuned and a hidden size solved for."""
    pool = record().pools.get(part.pool)
    if not isinstance(pool, LevelPool):
        return set()
    names = {name for side in (part.first, part.second) for task in part.tasks for name in levels_of(side, task)}
    levels = [pool.levels[name.partition(" of ")[0]] for name in names]  # timings name how many trained as one
    levels = [level for level in levels if not level.baseline]
    each = [{**sensitivity.base(pool, level), **sensitivity.own_settings(pool, level)} for level in levels]
    differ = {key for own in each for key in own if len({repr(other.get(key)) for other in each}) > 1}
    if any(level.is_tuned for level in levels):
        differ.discard("learning_rate")
    if any(level.parameters_of for level in levels):
        differ.discard("hidden_size")
    if any(own.get("backbone_layers") == 0 for own in each):
        differ.discard("backbone_units")  # a backbone of no layers has none
    return differ


def effect(name: str) -> tuple[float, str]:
    """The largest effect at the long budget that a claim about the knob alone found: its size, and in words."""
    found = [
        (abs(entry["pooled"]), f"{plain(entry['part'])}: {says.pooled_of(entry)}")
        for claim in claims_of(name)
        for part in claim.parts
        if not part.reported and differing(part) == {name} and part.statistic == "test" and not is_difference(part)
        for entry in [long_entry(claim, part)]
        if entry is not None and entry["pooled"] is not None
    ]
    return max(found, default=(-1.0, ""))


def is_difference(part: Part) -> bool:
    """Whether a side is itself the difference of two levels."""
    return any(not isinstance(side, str) and "minus" in side for side in (part.first, part.second))


def long_entry(claim: Claim, part: Part) -> Verdict | None:
    """The verdict of a part at the long budget."""
    same = (each for each in record().verdicts if each["id"] == claim.id and each["part"] == part.name)
    return next((each for each in same if each["budget"] == LONG), None)


# -- what pages show ------------------------------------------------------------------------------------------------


def value(default: Any) -> str:
    """A default as code."""
    return f"``{default!r}``"


def default(knob: Knob) -> str:
    """The default, by what takes the knob where they differ."""
    owners: dict[str, list[str]] = {}
    for owner, each in knob.defaults.items():
        owners.setdefault(value(each), []).append(owner)
    if len(owners) == 1:
        means = prose(knob.name).get("means")
        return next(iter(owners)) + (f": {means}" if means else "")
    return ", ".join(f"{text} ({' and '.join(names)})" for text, names in owners.items())


def about(knob: Knob) -> list[str]:
    """What the docstrings say, once where they agree."""
    owners: dict[str, list[str]] = {}
    for owner, text in knob.about.items():
        owners.setdefault(re.sub(r":meth:`(\w+)`", rf":meth:`~ncps_mlx.{owner}.\1`", text), []).append(owner)
    if len(owners) == 1:
        return list(owners)
    return [f"{' and '.join(names)}: {text}" for text, names in owners.items()]


def box(name: str) -> str:
    """What a knob does, its default, its safe range, what to search, and where to read on."""
    knob = knobs()[name]
    lines = [line for text in (prose(name)["what"], *about(knob)) for line in (text, "")]
    lines += [f":Default: {default(knob)}"]
    lines += [f":Argument of: {', '.join(f':obj:`~ncps_mlx.{owner}`' for owner in knob.defaults)}"]
    within = safe(name).replace(f"{LONG} budget", f":term:`{LONG} budget <budget>`", 1)
    lines += [f":Within δ of the best on every task: {within}"]
    for title, field in (("Search", "search"), ("Note", "note")):
        lines += [f":{title}: {prose(name)[field]}"] if field in prose(name) else []
    if pages := guide_pages(name):
        lines += [f":Read on: {', '.join(f':doc:`/{page}`' for page in pages)}"]
    return "\n".join(lines)


def safe(name: str) -> str:
    """The safe range in words, of each model that was measured."""
    if name in sensitivity.OTHERWISE:
        return "does not apply"
    if not sensitivity.is_measured(name):
        return "not measured"
    first: dict[str, Any] = {}
    for sweep in sensitivity.sweeps(name):
        first.setdefault(sweep.model, sweep)
    parts = [
        f"{sensitivity.safe(name, *sweep.title.split(', '))} ({sweep.title}; {len(sweep.tasks)} tasks, {LONG} budget)"
        for sweep in first.values()
    ]
    return "; ".join(parts)


def claims(name: str) -> str:
    """The claims about a knob, with their verdicts."""
    return "\n".join(f"* :claim:`{claim.id}` {plain(claim.statement)}" for claim in claims_of(name)) + "\n"


def guide_pages(name: str) -> list[str]:
    """The pages that speak of a knob: those of its claims, and those that a person names."""
    sections = [f"guide/{claim.section}" for claim in claims_of(name)]
    return list(dict.fromkeys([*prose(name).get("pages", []), *sections]))


@cache
def varied_in_gallery() -> dict[str, set[str]]:
    """What each script of the gallery varies: what a Space is given by name, and texts that functions are given."""
    found = {}
    for path in sorted((DOCS.parent / "gallery").rglob("plot_*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        spaces = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Space"]
        names = {str(keyword.arg) for call in spaces for keyword in call.keywords}
        names |= {str(each.value) for call in calls for each in call.args if isinstance(each, ast.Constant)}
        found[path.relative_to(DOCS.parent / "gallery").with_suffix("").as_posix()] = names
    return found


def scripts(name: str) -> list[str]:
    """The scripts of the gallery that vary a knob."""
    return [script for script, names in varied_in_gallery().items() if name in names]


def groups() -> dict[str, list[str]]:
    """Knobs by the group that prose.toml gives them, in its order; the last group has all others."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    written = list(all_prose())
    for name in sorted(knobs(), key=lambda name: written.index(name) if name in written else len(written)):
        found[prose(name).get("group", GROUPS[-1])].append(name)
    return found


def index() -> str:
    """All knobs by group, each with its default and what it does."""
    lines = []
    for group, names in groups().items():
        if not names:
            continue
        lines += [f".. rubric:: {group}", ""]
        rows = [["Knob", "Default", "What it is", "Measured"]]
        for name in names:
            measured = "yes" if sensitivity.is_measured(name) or name in sensitivity.OTHERWISE else "no"
            rows.append([f":doc:`/knobs/{name}`", default(knobs()[name]), prose(name)["what"], measured])
        lines += [list_table(rows, (24, 22, 44, 10)), ""]
    return "\n".join(lines)


def sheet() -> str:
    """The cheat sheet: every knob in a row, those with the largest effect first, then as the index has them."""
    order = [name for names in groups().values() for name in names]
    rows = [["Knob", "Default", "Search", f"Within δ everywhere, {LONG}", f"Effect, {LONG}, in δ", "Claims"]]
    for name in sorted(order, key=lambda name: -effect(name)[0]):
        rows.append([
            f":doc:`/knobs/{name}`", default(knobs()[name]), str(prose(name).get("search", "")), safe_values(name),
            effect(name)[1], ", ".join(signed(claim) for claim in claims_of(name)),
        ])  # fmt: skip
    table = list_table(rows, (15, 11, 19, 14, 20, 21))
    return table.replace("   :header-rows: 1", "   :class: sheet sortable\n   :header-rows: 1")


def signed(claim: Claim) -> str:
    """A claim with the sign of its verdict at the long budget, as short as a cheat sheet needs it."""
    return f"{SIGNS[says.verdict(claim.id, LONG)]}\N{NO-BREAK SPACE}:ref:`{claim.id} <claim-{claim.id}>`"


def signs() -> str:
    """What the signs mean, for a sentence."""
    return ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())


def safe_values(name: str) -> str:
    """The safe values alone; of which model, where several were measured or their defaults differ."""
    first: dict[str, str] = {}
    for sweep in sensitivity.sweeps(name):
        first.setdefault(sweep.model, sensitivity.safe(name, *sweep.title.split(", ")))
    if not first:
        return "" if name in sensitivity.OTHERWISE else "not measured"
    defaults = {value(each) for owner, each in knobs()[name].defaults.items() if owner != "fit"}
    if len(first) == 1 and len(defaults) < 2:
        return next(iter(first.values()))
    return "; ".join(f"{model}: {text}" for model, text in first.items())
