"""A space as TOML holds it: lists of choices, and tables that name a range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncps_mlx._utils.validation import did_you_mean
from ncps_mlx.search._distributions import Integer, LogUniform, Uniform, When
from ncps_mlx.search._space import Space

__all__ = ["space_from_toml"]

RANGES = {"log": LogUniform, "uniform": Uniform, "integer": Integer}
CHOICE = "choice"


def space_from_toml(table: Mapping[str, Any]) -> Space:
    """Make a space of a section such as ``[space]`` in the file of ``ncps-mlx tune``."""
    return Space(**{name: _values(name, given) for name, given in table.items()})


def _values(name: str, given: Any) -> Any:
    """A hyperparameter's values: a list of choices, or a table that names a range."""
    if isinstance(given, list):
        return given
    kinds = [kind for kind in (*RANGES, CHOICE) if isinstance(given, dict) and kind in given]
    if len(kinds) != 1:
        raise ValueError(
            f"{name} must be a list of choices or one of {{ log = [low, high] }}, {{ uniform = [low, high] }}, "
            f"{{ integer = [low, high] }}, got {given!r:.60}. One value alone belongs in [model]."
        )
    kind = kinds[0]
    if unknown := sorted(given.keys() - {kind, "when"}):
        hint = did_you_mean(unknown[0], (kind, "when"))
        raise ValueError(f"{name} must not hold {unknown[0]!r}.{hint} Known: {kind}, when.")
    ends = given[kind]
    if not isinstance(ends, list) or (kind != CHOICE and len(ends) != 2):
        raise ValueError(f"{name} must be {{ {kind} = [low, high] }}, got {ends!r:.60}.")
    try:
        values = list(ends) if kind == CHOICE else RANGES[kind](*ends)
    except ValueError as error:
        raise ValueError(f"{name} must be {{ {kind} = [low, high] }}: {error}") from error
    if "when" not in given:
        return values
    if not isinstance(given["when"], dict):
        raise ValueError(f'{name} must have when = {{ other = "value" }}, got {given["when"]!r:.60}.')
    return When(values, **given["when"])
