"""The knobs: what a user of CfC, LTC and fit can set, by their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ncps_mlx.models import LTC, CfC
from ncps_mlx.training import fit
from ncps_mlx.training._hyperparameters import FROM_TASK

__all__ = ["OWNERS", "Knob", "knobs", "no_knobs"]

OWNERS: Mapping[str, Callable[..., Any]] = {"CfC": CfC, "LTC": LTC, "fit": fit}

OF_DATA = frozenset(FROM_TASK) - {"seed"}

CHANGE_NO_RESULT: Mapping[str, str] = {
    "memory_mb": "how much is computed at once, to the same bits",
    "on_evaluate": "what is told of the training; a function of yours, not a value to search",
    "checkpoint": "where the training is kept, to go on with the same bits",
    "progress": "what is shown while it trains",
}
"""Parameters with which a training ends alike, and why nobody tunes them. Any other with a default is a knob."""


@dataclass(frozen=True, kw_only=True)
class Knob:
    """A parameter that can be tuned.

    Attributes:
        name: The parameter.
        defaults: By what takes it.
        about: What its docstring says, by what takes it.
    """

    name: str
    defaults: Mapping[str, Any]
    about: Mapping[str, str]


def no_knobs(owners: Mapping[str, Callable[..., Any]] = OWNERS) -> dict[str, str]:
    """Parameters that nobody tunes, each with the reason."""
    found = {}
    for owner in owners.values():
        for name, parameter in inspect.signature(owner).parameters.items():
            if name in OF_DATA:
                found[name] = "decided by the data"
            elif parameter.default is parameter.empty:
                found[name] = "what the call is about"
            elif name in CHANGE_NO_RESULT:
                found[name] = CHANGE_NO_RESULT[name]
    return found


def knobs(owners: Mapping[str, Callable[..., Any]] = OWNERS) -> dict[str, Knob]:
    """Every knob by name, in the order of the signatures.

    Raises:
        ValueError: A parameter's docstring says nothing of it.
    """
    left_out, defaults, about = no_knobs(owners), dict[str, dict[str, Any]](), dict[str, dict[str, str]]()
    for owner, value in owners.items():
        entries = documented(value)
        for name, parameter in inspect.signature(value).parameters.items():
            if name in left_out:
                continue
            if not entries.get(name):
                raise ValueError(f"the docstring of {owner} must say under Args what {name} does, got nothing.")
            defaults.setdefault(name, {})[owner] = parameter.default
            about.setdefault(name, {})[owner] = entries[name]
    return {name: Knob(name=name, defaults=defaults[name], about=about[name]) for name in defaults}


def documented(value: Callable[..., Any]) -> dict[str, str]:
    """What the section Args of a docstring says, by argument, each on one line."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)+)", f"{inspect.getdoc(value)}\n", re.MULTILINE)
    entries = re.findall(r"^    (\w+): ?((?:.*\n)(?:     .*\n|\n)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
