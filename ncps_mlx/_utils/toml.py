"""Sections of plain values as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["to_toml"]


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Write sections as TOML; what is None, which TOML lacks, is left out."""
    lines: list[str] = []
    for name, values in sections.items():
        given = {key: value for key, value in values.items() if value is not None}
        lines += [f"[{name}]", *(f"{key} = {_written(value)}" for key, value in given.items()), ""]
    return "\n".join(lines)


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_written(part)}" for key, part in value.items() if part is not None)
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans are written alike
