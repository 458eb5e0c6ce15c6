"""The page of a claim as reStructuredText: everything that the record holds of it, none of it typed.

The build writes these pages before it reads any (``docs/_ext/claim_pages.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from docs.evidence import claim_figure, says
from docs.evidence.claim_list import in_deltas
from docs.evidence.claims_table import DOCS, effect_in_deltas, list_table, marked, plain, record

# Private: the evidence's own reading of its files.
from ncps_mlx._evidence.advice import Entry, read_advice
from ncps_mlx._evidence.design import Reproducible
from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.pool import BUDGETS, read_toml
from ncps_mlx._evidence.registry import RATIOS, SHARES, STATISTICS, Claim, Part, Term
from ncps_mlx._evidence.verdicts import NOT_MEASURED, ONCE, Verdict

__all__ = ["first_told", "history", "page", "pages", "why"]

AMOUNTS = (*RATIOS, *SHARES, "gap", "last gap", "agreement of metrics")
"""Statistics of which there is more or less; of others one side is better."""

SAID = {"more": "more", "less": "less", "same": "no difference", "not-worse": "not worse"}
"""What a part claims of its first side, in a word or two."""


def pages(scripts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The pages of all claims by name; ``scripts`` are those of the gallery that go with each."""
    return {name: page(name, scripts.get(name, ())) for name in record().registry}


def page(name: str, scripts: Sequence[str] = ()) -> str:
    """The page of a claim."""
    claim, mine = says.claim_named(name), entries(name)
    title = f"“{plain(claim.statement)}”"
    lines = [":orphan:", "", f".. _claim-{name}:", "", title, "=" * len(title), ""]
    lines += [f"Advice on :doc:`/guide/{claim.section}` that circulates, and what came of it: ``{name}``,"]
    known = " δ is the smallest difference that matters." if claim.parts else ""
    lines += [f"one of :doc:`all claims </evidence/claims>`.{known}", ""]
    for section in (_verdicts(claim, mine), _compared(claim), _effects(claim), _trials(claim), _again(claim, scripts)):
        lines += section
    lines += ["History", "-------", "", history(name)]
    # What is drawn and listed when Sphinx reads the page: it is to be read again when that changes.
    seen = hashlib.sha256((json.dumps(mine) + claim_figure.inputs(name)).encode()).hexdigest()[:16]
    return "\n".join([*lines, f".. The record: {seen}", ""])


def entries(name: str) -> list[Verdict]:
    """The verdicts of a claim's parts."""
    return [entry for entry in record().verdicts if entry["id"] == name]


# -- what came of it --------------------------------------------------------------------------------------------------


def _verdicts(claim: Claim, mine: Sequence[Verdict]) -> Iterator[str]:
    """The verdict at each budget with its reason, the long one first."""
    checks = [entry for entry in mine if entry["budget"] is ONCE]
    for entry in checks:
        yield f"* {entry['part'].capitalize()}: {marked(entry['verdict'])}. {plain(entry['reason'])}."
    found = {budget: says.verdict(claim.id, budget) for budget in claim.budgets if claim.parts}
    for budget in reversed(found):
        yield f"* {_budget(budget).capitalize()}: {marked(found[budget])}. {_reasons(claim, mine, budget)}"
    yield ""
    if len(set(found.values()) - {NOT_MEASURED}) > 1 and NOT_MEASURED not in found.values():
        yield "**The budgets disagree.** Short trainings say one thing, converged ones another. The guide follows the"
        yield "converged ones.\n"


def _budget(budget: str) -> str:
    return {"short": "in short trainings", "long": "trained until it converges"}[budget]


def _reasons(claim: Claim, mine: Sequence[Verdict], budget: str) -> str:
    """What each part that decides the verdict found, with its effect."""
    verdict = says.verdict(claim.id, budget)
    counted = [entry for entry in mine if entry["budget"] == budget and not entry["reported"]]
    deciding = [entry for entry in counted if entry["verdict"] == verdict]
    named = len(counted) > 1
    reasons: dict[str, list[str]] = {}
    for entry in deciding:
        effect = [] if entry["pooled"] is None else [in_deltas(entry)]
        reasons.setdefault(why(entry), []).append(": ".join([plain(entry["part"])] * named + effect))
    said = [f"{reason} ({'; '.join(parts)})" if any(parts) else reason for reason, parts in reasons.items()]
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def why(entry: Verdict) -> str:
    """The reason of a part's verdict, in words."""
    verdict, finding, direction = entry["verdict"], entry["finding"], entry["direction"]
    amount = entry["statistic"] in AMOUNTS
    if verdict == "refuted":
        if finding == "negligible":
            return "no difference that matters"
        worse = "it is less" if amount else "the first side is worse"
        return {"same": "the two sides differ", "not-worse": worse}.get(direction, "it is the other way round")
    if verdict == "supported":
        no_loss = "it is not less, or by nothing that matters" if amount else "no loss that matters"
        same = "no difference that matters"
        return {"same": same, "not-worse": no_loss}.get(direction, "the difference is as claimed, and it matters")
    if verdict == "differs by task":
        return "some tasks show one thing, others another"
    return plain(entry["reason"])


# -- what was compared ------------------------------------------------------------------------------------------------


def _compared(claim: Claim) -> Iterator[str]:
    """The contrast of each part in words, and the levels it names."""
    if not claim.parts:
        return
    yield "What was compared"
    yield "-----------------"
    yield ""
    if claim.note:
        yield f"{plain(' '.join(claim.note.split()))}\n"
    alike: dict[str, list[str]] = {}
    for part in claim.parts:
        shown = " (shown only: it does not count)" if part.reported else ""
        contrast = f"{side(part.first)} against {side(part.second)}" if part.is_computed else plain(part.contrast)
        alike.setdefault(_measure(part), []).append(f"* **{plain(part.name)}**{shown}: {contrast}.")
    for measure, parts in alike.items():
        yield f"{measure}\n"
        yield from [*parts, ""]
    if any(kind in str(part.first) + str(part.second) for part in claim.parts for kind in ("'best'", "'worst'")):
        yield "Best and worst are chosen by validation scores, on seeds for tuning.\n"
    for pool in dict.fromkeys(part.pool for part in claim.parts if part.is_computed):
        yield from _levels(pool, [part for part in claim.parts if part.pool == pool])


def _measure(part: Part) -> str:
    """What is compared, where, and what would show the claim."""
    if not part.is_computed:
        return "Not measured yet:"
    where = ", ".join(says.task_name(task) for task in part.tasks)
    what = plain(STATISTICS[part.statistic])
    return f"{what[0].upper()}{what[1:]}; on {where}. Claimed: {_claimed(part)}.{_deltas(part)}"


def _claimed(part: Part) -> str:
    """What a part says of its two sides. δ is the smallest difference that matters."""
    amount = part.statistic in AMOUNTS
    return {
        "more": f"the first side {'has more of it' if amount else 'is better'}, by δ or more on most tasks",
        "less": f"the first side {'has less of it' if amount else 'is worse'}, by δ or more on most tasks",
        "same": "the two sides do not differ by δ or more",
        "not-worse": f"the first side {'has not less of it' if amount else 'is not worse'} by δ or more",
    }[part.direction]


def side(term: Term) -> str:
    """A side of a contrast in words."""
    if isinstance(term, str):
        return f"``{term}``"
    ((kind, named),) = term.items()
    if kind == "by_task":
        tasks: dict[str, list[str]] = {}
        for task, each in named.items():
            tasks.setdefault(side(each), []).append(says.task_name(task))
        return "; ".join(f"{each} on {' and '.join(names)}" for each, names in tasks.items())
    listed = ", ".join(side(each) for each in named)
    if kind == "minus":
        return f"what {side(named[0])} gains on {' and '.join(side(each) for each in named[1:])}"
    return f"the {kind} of {listed}"


def _deltas(part: Part) -> str:
    """The smallest differences that matter."""
    if part.ratio:
        return f" δ is a ratio of {part.ratio:g}."
    pool = record().pools[part.pool]
    each = [
        f"{says.task_name(task)} {delta:g} {_unit(part, pool.tasks[task].unit)}".rstrip()
        for task, delta in part.deltas.items()
    ]
    return f" δ: {', '.join(each)}."


def _unit(part: Part, unit: str) -> str:
    """The unit of a part's values on a task."""
    if part.statistic in (*says.ALONE, *SHARES, "domain metric"):
        return ""
    return says.UNITS.get(unit, unit)


def _levels(pool: str, parts: Sequence[Part]) -> Iterator[str]:
    """The levels that parts name, as the pool's file has them."""
    file = pool_file(pool)
    known: Mapping[str, Any] = file.get("levels") or file.get("searches") or {}
    used = dict.fromkeys(level.partition(" of ")[0] for part in parts for level in _named([part.first, part.second]))
    rows = [[f"``{name}``", _settings(known[name])] for name in used if name in known]
    if not rows:
        return
    fixed = _settings({"model": file["model"], **file.get("fixed", {})})
    yield f"What is compared are levels of the pool *{pool}*. All else is the same for all: {fixed}.\n"
    yield list_table([["Level", "What it sets"], *rows], (25, 75))


def _named(terms: Sequence[Any]) -> Iterator[str]:
    """The levels in sides of a contrast."""
    for term in terms:
        if isinstance(term, str):
            yield term
        else:
            ((_, named),) = term.items()
            yield from _named(list(named.values()) if isinstance(named, Mapping) else named)


def _settings(table: Mapping[str, Any]) -> str:
    each = (f"``{name} = {json.dumps(value, ensure_ascii=False)}``" for name, value in table.items() if name != "only")
    return ", ".join(each) or "nothing"


@cache
def pool_file(pool: str) -> dict[str, Any]:
    """A pool's file as it stands."""
    return read_toml(DOCS / "evidence" / "pools" / f"{pool}.toml")


# -- effects and trials -----------------------------------------------------------------------------------------------


def _effects(claim: Claim) -> Iterator[str]:
    """The figure, and what each part found on each task."""
    if not claim.parts:
        return
    yield "Effects"
    yield "-------"
    yield ""
    if any(entry["tasks"] for entry in entries(claim.id) if not entry["reported"]):
        yield f".. claim-figure:: {claim.id}\n"
    rows = [["Contrast", *(f"{budget} (pairs)" for budget in BUDGETS)]]
    for part in claim.parts:
        found = {budget: says.entry_of(claim.id, budget, part.name) for budget in claim.budgets}
        shown = ", shown only" if part.reported else ""
        verdicts = [_verdict_of(found[budget]) if budget in found else "" for budget in BUDGETS]
        rows.append([f"**{plain(part.name)}** (claimed: {SAID[part.direction]}{shown})", *verdicts])
        for task in part.tasks:
            rows.append([says.task_name(task), *(_of_task(found.get(budget), task) for budget in BUDGETS)])
        pooled = [_pooled(found.get(budget)) for budget in BUDGETS]
        rows.append(["all tasks" if part.ratio else "all tasks, in δ", *pooled])
    yield list_table(rows, (34, 33, 33), "claim-parts compact")
    yield "What the first side gains on the second, with its 95 % interval; in brackets the pairs of trainings.\n"


def _verdict_of(entry: Verdict) -> str:
    if entry["verdict"] == NOT_MEASURED:
        return f"{NOT_MEASURED}: {plain(entry['reason'])}"
    return f"{marked(entry['verdict'])}: {why(entry)}"


def _of_task(entry: Verdict | None, name: str) -> str:
    found = [task for task in entry["tasks"] if task["task"] == name] if entry else []
    if entry is None or not found:
        return ""
    (task,) = found
    lost = f", {task['lost']} lost" if task["lost"] else ""
    return f"{plain(says.effect_of(entry, task))} ({len(task['pairs'])}{lost})"


def _pooled(entry: Verdict | None) -> str:
    if entry is None or entry["pooled"] is None:
        return ""
    return says.pooled_of(entry)


def _trials(claim: Claim) -> Iterator[str]:
    """The trials as tables, folded, and the files they are in."""
    pools = list(dict.fromkeys(part.pool for part in claim.parts if part.is_computed))
    if not pools:
        return
    yield "Trials"
    yield "------"
    yield ""
    for pool in pools:
        trials = f"trials/{pool}.jsonl"
        there = (DOCS / "evidence" / trials).exists()
        download = f", all its :download:`trials </evidence/{trials}>` (JSON lines)" if there else ""
        purpose = plain(pool_file(pool)["purpose"])
        about = f"{purpose[0].lower()}{purpose[1:-1]}"
        yield f"* :download:`{pool} </evidence/pools/{pool}.toml>`, the pool: {about}{download}."
    yield ""
    for part in claim.parts:
        if any(entry["tasks"] for entry in entries(claim.id) if entry["part"] == part.name):
            yield f".. dropdown:: Pairs of “{plain(part.name)}”\n"
            yield f"   .. claim-trials:: {claim.id}"
            yield f"      :part: {part.name}\n"


# -- again, and before ------------------------------------------------------------------------------------------------


def _again(claim: Claim, scripts: Sequence[str]) -> Iterator[str]:
    """How to measure it again, and where else it is told."""
    yield "Again, and elsewhere"
    yield "--------------------"
    yield ""
    pools = [part.pool for part in claim.parts if part.is_computed]
    if any(isinstance(DESIGNS[record().pools[pool].design], Reproducible) for pool in pools):
        yield "On fresh seeds and data, beside this record; ``--budget long`` until it converges:\n"
        yield f".. code-block:: console\n\n   ncps-mlx reproduce {claim.id}\n"
    elif pools:
        yield "Its trainings are drawn together, not one by one. In a checkout all of them run again, with\n"
        yield f".. code-block:: console\n\n   nox -s evidence -- {pools[0]} --stale\n"
    else:
        yield "The build of this site checks it again each time.\n"
    yield f"* The page of the guide: :doc:`/guide/{claim.section}`."
    for script in scripts:
        yield f"* A script: :doc:`/auto_examples/{script}`."
    yield f"* `This page <{claim.id}.html>`__ keeps its address, ``evidence/claims/{claim.id}.html``."
    yield "* To cite it, name this page, the verdict and its date below; of the project, :download:`CITATION.cff"
    yield "  </../CITATION.cff>`."
    yield "* How trials become a verdict: :doc:`/evidence/rule`.\n"


@cache
def advice() -> list[Entry]:
    """The changelog of advice."""
    return read_advice(DOCS / "evidence" / "advice.jsonl")


def history(name: str | None = None) -> str:
    """What was told of a claim, or what changed of all, and when: the latest first."""
    return _told([entry for entry in advice() if (entry["id"] == name if name else _is_change(entry))], name)


def first_told() -> str:
    """What was told of claims when they, or parts of them, were first measured: the latest first."""
    return _told([entry for entry in advice() if not _is_change(entry)])


def _is_change(entry: Entry) -> bool:
    """Whether something else was told before."""
    return entry["before"] not in (NOT_MEASURED, entry["after"]) or any(part["before"] for part in entry["parts"])


def _told(entries: Sequence[Entry], name: str | None = None) -> str:
    """Entries as a table, without the claim's name where it is known."""
    mine = list(reversed(entries))
    if not mine:
        return "Nothing has been told of it yet.\n"
    head = ["Date", *([] if name else ["Claim"]), "Budget", "Verdict", "What changed"]
    rows = [head]
    for entry in mine:
        claim = [] if name else [_link(entry["id"])]
        change = entry["after"] if entry["before"] == entry["after"] else f"{entry['before']} → {entry['after']}"
        rows.append([entry["date"], *claim, entry["budget"] or "any", change, "; ".join(_changed(entry))])
    return list_table(rows, (14, 10, 22, 54) if name else (12, 18, 9, 19, 42))


def _link(name: str) -> str:
    return f":ref:`{name} <claim-{name}>`" if name in record().registry else f"{name} (gone)"


def _changed(entry: Entry) -> Iterator[str]:
    """What changed of an entry's parts, and why where that is known."""
    for part in entry["parts"]:
        before, after = (_short(part[when]) for when in ("before", "after"))
        change = after if part["before"] is None else f"{before} → {after}"
        yield f"{plain(part['part'])}: {change}"
    if entry["reason"]:
        yield f"*why:* {plain(entry['reason'])}"
    if entry.get("commit"):
        yield f"*with:* {plain(entry['commit'])}"


def _short(told: Mapping[str, Any] | None) -> str:
    """What was told of a part, in a few words."""
    if told is None:
        return "gone"
    if told["pooled"] is None:
        return str(told["verdict"])
    finding = "" if told["finding"] == told["verdict"] else f" ({told['finding']})"
    return f"{told['verdict']}{finding}, {effect_in_deltas(told)} δ"
