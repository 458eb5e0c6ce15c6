"""What the record of the session bench says: the tables and numbers of the performance page, none of them typed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "bound",
    "copied",
    "missed",
    "number",
    "operations",
    "peer",
    "ports",
    "profile",
    "ratios",
    "recorded_on",
    "rows",
    "share",
    "site",
    "study",
    "workers",
]

NAMES = {
    "one": "one model, as fit trains it",
    "plain": "one model, a loop of your own with mlx.optimizers",
    "irregular": "one model, a time step for each reading",
    "sweep": "a population of {members}, per model",
    "port": "a population of {members}, per model, beside the full port",
    "workers": "two workers over one",
    "length": "a step at T = 400 over one at T = 50",
    "memory": "peak memory of a population over that of one",
}
"""What is compared, by the first word of a row's key."""
DESIGNS = {"port": "full", "lean": "lean"}
BESIDE_NCPS = ("one", "plain", "irregular", "sweep")


KINDS = {"one": "one model", "sweep": "a population of {members}"}
"""What is profiled, by the first word of a profile's key."""


@cache
def record(name: str = "bench") -> dict[str, Any]:
    """The record of the session, or ``port``, of tests.bench.published."""
    path = Path(__file__).with_name(f"{name}.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def row(key: str) -> dict[str, Any]:
    """One row of the record."""
    found: dict[str, Any] = {each["key"]: each for each in record()["rows"]}[key]
    return found


def size_of(name: str) -> str:
    """A size in words."""
    size = record()["sizes"][name]
    return "input {inputs}, hidden {hidden}, backbone {backbone}, T {steps}".format(**size)


def met(found: dict[str, Any], name: str) -> bool:
    """Whether a row reaches its ``"must"`` or its ``"goal"``."""
    sign = 1 if found["wanted"]["least"] else -1
    return bool(sign * found["ratio"] >= sign * found["wanted"][name])


def bound(key: str) -> str:
    """What is wanted of a ratio, and whether it is met."""
    wanted = row(key)["wanted"]
    if wanted is None:
        return ""
    verdict = verdict_of(*(met(row(key), name) for name in ("must", "goal")))
    return f"{'≥' if wanted['least'] else '≤'} {wanted['must']:g}, goal {wanted['goal']:g}: {verdict}"


def verdict_of(must: bool, goal: bool) -> str:
    """What a bound and a goal make of a figure."""
    return "goal met" if goal else "must met" if must else "missed"


def ratios() -> list[list[str]]:
    """Training steps beside ncps."""
    made = [["", "size", "ms here", "ms ncps", "times quicker", "by processor time", "wanted"]]
    for each in record()["rows"]:
        kind, _, name = each["key"].partition(" ")
        if kind in BESIDE_NCPS:
            made.append(
                [NAMES[kind].format(**record()), size_of(name), *compared(each), bound(each["key"])]
            )
    return made


def ports() -> list[list[str]]:
    """A population beside the ports."""
    made = [["", "size", "ms here", "ms port", "times quicker", "by processor time", "wanted"]]
    for each in record()["rows"]:
        kind, _, name = each["key"].partition(" ")
        if kind in DESIGNS:
            made.append([f"the {DESIGNS[kind]} port", size_of(name), *compared(each), bound(each["key"])])
    return made


def compared(each: dict[str, Any]) -> list[str]:
    """A row's times and its ratios, by the clock and by processor time."""
    low, high = each["quartiles"]
    here, there = each["cpu"]
    return [
        f"{each['value']:.1f}",
        f"{each['reference']:.1f}",
        f"{each['ratio']:.2f} ({low:.2f} to {high:.2f})",
        f"{there / here:.2f}",
    ]


def copied(design: str, name: str) -> str:
    """How long our copy of a port takes at a size, as a share of its published code."""
    return f"{100 * record('port')[design]['sizes'][name]['ratio']:.0f} %"


def peer(design: str) -> str:
    """The repository and the commit of a port's published code."""
    return "{repository} at {revision:.7}".format(**record("port")[design])


def workers() -> list[list[str]]:
    """How much sooner two workers end a study."""
    found = row("workers")
    low, high = found["quartiles"]
    return [
        ["", "one worker", "two workers", "times quicker", "wanted"],
        [
            "the study",
            f"{found['reference']:.1f} s",
            f"{found['value']:.1f} s",
            f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})",
            bound("workers"),
        ],
    ]


def study() -> str:
    """The study that the workers end."""
    text = "{rates} learning rates with {seeds} seeds each, {steps} steps, populations of {population}"
    return text.format(**record()["study"])


def rows() -> list[list[str]]:
    """How time grows with T, and memory with the members."""
    length, memory = row("length"), row("memory")
    members = record()["members"]
    return [
        ["", "more", "less", "ratio", "wanted"],
        [
            "a step at T = 400 over one at T = 50",
            f"{length['value']:.1f} ms",
            f"{length['reference']:.1f} ms",
            f"{length['ratio']:.2f}",
            bound("length"),
        ],
        [
            f"peak memory of a population of {members} over that of one",
            f"{memory['value']:.1f} MiB",
            f"{memory['reference']:.1f} MiB",
            f"{memory['ratio']:.1f}",
            bound("memory"),
        ],
    ]


BUILDS = {
    "cold": "the first build, executing everything",
    "again": "again, nothing changed",
    "prose": "the prose of a page, a script, a notebook and the README changed",
    "library": "a line of code in the library changed",
    "script": "the slowest gallery script of the first build",
}
"""What is timed of the site."""


def site() -> list[list[str]]:
    """How long the site's builds take, and what they execute."""
    rules = {"again": "nothing executed", "prose": "nothing executed", "library": "all executed"}
    table = [["", "took", "programs executed", "wanted"]]
    for each in record()["site"]:
        key, wanted, executed = each["key"], each["wanted"], each["executed"]
        parts = [rules[key]] if key in rules else []
        if wanted is not None:
            verdict = verdict_of(*(each["seconds"] <= wanted[name] for name in ("must", "goal")))
            parts.append(f"≤ {wanted['must']:.0f} s, goal {wanted['goal']:.0f} s: {verdict}")
        count = "1" if executed is None else str(len(executed))
        table.append([BUILDS[key], f"{each['seconds']:.1f} s", count, "; ".join(parts)])
    return table


def of_site(key: str) -> str:
    """Why a build of the site is no quicker."""
    if key == "again":
        return (
            "Three processes start, Sphinx is imported with its extensions, and digests of all that an output depends "
            "on are compared; nothing is executed."
        )
    (programs,) = (each["executed"] for each in record()["site"] if each["key"] == "cold")
    return (
        f"{len(programs)} programs take {sum(programs.values()):.0f} s, two at a time; the rest is the examples of "
        "docstrings, Sphinx itself and the tests of the built site."
    )


def profile() -> list[list[str]]:
    """Where the processor time of a step goes, per model."""
    made = [
        ["", "size", "building the graph", "handing it over", "computing", "at least", "operations in the graph"]
    ]
    for key, each in record()["profiles"].items():
        kind, _, name = key.partition(" ")
        parts = [f"{each[part]:.2f} ms" for part in ("graph", "handing", "computing", "least")]
        made.append([KINDS[kind].format(**record()), size_of(name), *parts, str(each["operations"])])
    return made


def missed() -> list[list[str]]:
    """The goals that the record misses, each with what stands between.

    Raises:
        KeyError: Nothing explains a goal that is missed.
    """
    made = [["goal missed", "reached", "goal", "what stands between"]]
    for each in record()["rows"]:
        if each["wanted"] is not None and not met(each, "goal"):
            kind, _, name = each["key"].partition(" ")
            named = f"{NAMES[kind].format(**record())} ({size_of(name)})" if name else NAMES[kind]
            made.append([named, f"{each['ratio']:.2f}", f"{each['wanted']['goal']:g}", REASONS[kind](each, name)])
    for each in record()["site"]:
        if each["wanted"] is not None and each["seconds"] > each["wanted"]["goal"]:
            name, goal = each["key"], each["wanted"]["goal"]
            made.append([BUILDS[name], f"{each['seconds']:.0f} s", f"{goal:.0f} s", of_site(name)])
    return made if len(made) > 1 else [*made, ["none", "", "", ""]]


def of_one(_: dict[str, Any], name: str) -> str:
    """Why one model is no quicker."""
    each = record()["profiles"][f"one {name}"]
    return (
        f"{share(name)} of the step is computing. The rest builds the graph in Python and hands {each['operations']} "
        "operations to the worker; a population shares it."
    )


def of_sweep(found: dict[str, Any], name: str) -> str:
    """Why a population is no quicker."""
    each = record()["profiles"][f"sweep {name}"]
    total = each["graph"] + each["handing"] + each["computing"]
    return (
        f"Per model, {each['computing']:.1f} of {total:.1f} ms are computing. The functions and products alone take "
        f"{each['least']:.1f} ms: with nothing else the ratio would be {found['reference'] / each['least']:.1f}. "
        "Between lie the sums and products of the equations, and copies of what the gradient needs."
    )


def of_workers(found: dict[str, Any], _: str) -> str:
    """Why two workers do not halve the time."""
    idle = record()["idle"]
    busier, alone = found["cpu"]
    return (
        f"Each worker takes {idle:.1f} s to start and to open its study; less that, the ratio would be "
        f"{(found['reference'] - idle) / (found['value'] - idle):.2f}. The busier of two takes {busier:.1f} s of "
        f"processor time, one alone {alone:.1f} s: two share memory and caches, and the last population may "
        "leave one waiting."
    )


def of_length(found: dict[str, Any], _: str) -> str:
    """Why long sequences take more than their share."""
    long, short = (1e3 * ms / steps for ms, steps in ((found["value"], 400), (found["reference"], 50)))
    return (
        f"A reading takes {long:.0f} µs at T = 400 and {short:.0f} µs at T = 50: what the gradient needs no longer "
        "fits the caches."
    )


def of_memory(found: dict[str, Any], _: str) -> str:
    """Why a population takes more than its members' share."""
    members = record()["members"]
    return f"A member takes {found['value'] / members:.1f} MiB, a model alone {found['reference']:.1f} MiB."


REASONS = {
    "one": of_one,
    "sweep": of_sweep,
    "port": of_sweep,
    "workers": of_workers,
    "length": of_length,
    "memory": of_memory,
}
"""By the first word of a row's key."""


def share(name: str) -> str:
    """How much of one model's step is computing, in per cent of its processor time."""
    each = record()["profiles"][f"one {name}"]
    return f"{100 * each['computing'] / (each['graph'] + each['handing'] + each['computing']):.0f} %"


def operations(name: str) -> str:
    """Operations in a step's graph."""
    return str(record()["profiles"][f"one {name}"]["operations"])


def number(key: str) -> str:
    """A row's ratio."""
    return f"{row(key)['ratio']:.2f}"


def recorded_on() -> str:
    """The machine, the versions, and how busy it was."""
    found = record()
    machine = "{processor}, {cores} cores, {system}".format(**found["machine"])
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    busy = "" if found["busy"] is None else f"; {found['busy']:.1f} other threads wanted its cores at the start"
    return f"{machine}{busy}; {versions}; {found['rounds']} rounds"
