"""What a table learned, as JSON: a version, every field, and no other."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.validation import check_int, check_number
from ncps_mlx.data._encoder import TIME_KINDS
from ncps_mlx.data._labels import check_classes
from ncps_mlx.data._split import Array

if TYPE_CHECKING:
    from ncps_mlx.data._table import Table

__all__ = ["read_fitted", "write_fitted"]

VERSION = 1


def write_fitted(parts: Mapping[str, Any]) -> str:
    """Write a fitted table's fields."""
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in parts.items()}
    return json.dumps({"version": VERSION} | plain, allow_nan=False)


def read_fitted(text: str, table: type[Table], names: Collection[str]) -> dict[str, Any]:
    """Read the fields of a fitted table, ``names``, each checked; its settings are a ``table``."""
    try:
        parts = json.loads(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"text must be the JSON of a fitted table, got {text!r:.80}.") from error
    version = parts.pop("version", None) if isinstance(parts, dict) else None
    if isinstance(version, bool) or version != VERSION:
        raise ValueError(f"version must be {VERSION} in the JSON of a fitted table, got {version!r}.")
    _check_fields("a fitted table", parts, names)
    _check_fields("a table's settings", parts["settings"], [field.name for field in fields(table)])
    settings = table(**parts["settings"])
    regression = settings.kind == "regression"
    features, targets = len(settings.features), len(settings.targets) if regression else 0
    holes = parts["holes"]
    if not isinstance(holes, list) or len(holes) != features or not all(isinstance(hole, bool) for hole in holes):
        raise ValueError(f"holes must be {features} booleans, got {holes!r:.80}.")
    if (parts["classes"] is None) != regression:
        raise ValueError(f"classes must be there for classification alone, got {parts['classes']!r:.80}.")
    kinds = list(TIME_KINDS)  # of a list, as what is looked for may be anything
    if parts["time_kind"] not in kinds or (parts["time_kind"] is None) != (settings.time is None):
        raise ValueError(f"time_kind must fit the table's time, {settings.time!r}, got {parts['time_kind']!r}.")
    return {
        "settings": settings,
        "means": _vector("means", parts["means"], features),
        "deviations": _vector("deviations", parts["deviations"], features, positive=True),
        "holes": tuple(holes),
        "target_means": _vector("target_means", parts["target_means"], targets),
        "target_deviations": _vector("target_deviations", parts["target_deviations"], targets, positive=True),
        "classes": None if regression else check_classes(parts["classes"]),
        "typical_gap": check_number("typical_gap", parts["typical_gap"], low=0, open_low=True),
        "steps": check_int("steps", parts["steps"], maximum=settings.window),
        "time_kind": parts["time_kind"],
    }


def _check_fields(what: str, parts: Any, expected: Collection[str]) -> None:
    found = set(parts) if isinstance(parts, dict) else set()
    if found != set(expected):
        raise ValueError(
            f"{what} must have the fields {', '.join(expected)}; unknown: {sorted(found - set(expected))}, missing: "
            f"{sorted(set(expected) - found)}."
        )


def _vector(name: str, value: Any, size: int, *, positive: bool = False) -> Array:
    if not isinstance(value, list) or len(value) != size:
        raise ValueError(f"{name} must be {size} numbers, got {value!r:.80}.")
    low = 0.0 if positive else -math.inf
    return np.array([check_number(name, item, low=low, open_low=positive) for item in value], dtype=np.float64)
