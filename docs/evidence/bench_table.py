"""What the record of the session bench says: the tables and numbers of the performance page, none of them typed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["bound", "number", "operations", "profile", "ratios", "recorded_on", "rows", "share"]

NAMES = {
    "one": "one model, as fit trains it",
    "plain": "one model, a loop of your own with mlx.optimizers",
    "irregular": "one model, a time step for each reading",
    "sweep": "a population of {members}, per model",
}
"""What is compared with ncps, by the first word of a row's key."""


@cache
def record() -> dict[str, Any]:
    """The record."""
    path = Path(__file__).with_name("bench.json")
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


def bound(key: str) -> str:
    """What is wanted of a ratio, and whether it is met."""
    wanted, ratio = row(key)["wanted"], row(key)["ratio"]
    if wanted is None:
        return ""
    sign = 1 if wanted["least"] else -1
    met = [sign * ratio >= sign * wanted[name] for name in ("must", "goal")]
    verdict = "goal met" if met[1] else "must met" if met[0] else "missed"
    return f"{'≥' if wanted['least'] else '≤'} {wanted['must']:g}, goal {wanted['goal']:g}: {verdict}"


def ratios() -> list[list[str]]:
    """Training steps beside ncps."""
    made = [["", "size", "ms here", "ms ncps", "times quicker", "by processor time", "wanted"]]
    for each in record()["rows"]:
        kind, _, name = each["key"].partition(" ")
        if kind not in NAMES:
            continue
        low, high = each["quartiles"]
        here, there = each["cpu"]
        made.append(
            [
                NAMES[kind].format(members=record()["members"]),
                size_of(name),
                f"{each['ours']:.1f}",
                f"{each['theirs']:.1f}",
                f"{each['ratio']:.2f} ({low:.2f} to {high:.2f})",
                f"{there / here:.2f}",
                bound(each["key"]),
            ]
        )
    return made


def rows() -> list[list[str]]:
    """How time grows with T, and memory with the members."""
    length, memory = row("length"), row("memory")
    members = record()["members"]
    return [
        ["", "more", "less", "ratio", "wanted"],
        [
            "a step at T = 400 over one at T = 50",
            f"{length['ours']:.1f} ms",
            f"{length['theirs']:.1f} ms",
            f"{length['ratio']:.2f}",
            bound("length"),
        ],
        [
            f"peak memory of a population of {members} over that of one",
            f"{memory['ours']:.1f} MiB",
            f"{memory['theirs']:.1f} MiB",
            f"{memory['ratio']:.1f}",
            bound("memory"),
        ],
    ]


def profile() -> list[list[str]]:
    """Where the processor time of one model's step goes."""
    made = [["size", "building the graph", "handing it over", "computing", "operations"]]
    for name, each in record()["profiles"].items():
        parts = [f"{each[part]:.1f} ms" for part in ("graph", "handing", "computing")]
        made.append([size_of(name), *parts, str(each["operations"])])
    return made


def share(name: str) -> str:
    """How much of a step's processor time is computing, in per cent."""
    each = record()["profiles"][name]
    return f"{100 * each['computing'] / (each['graph'] + each['handing'] + each['computing']):.0f} %"


def operations(name: str) -> str:
    """Operations in a step's graph."""
    return str(record()["profiles"][name]["operations"])


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
