"""Wrong-looking values that are right after all, each with its reason."""

from __future__ import annotations

from fnmatch import fnmatch

__all__ = ["ACCEPTED", "reason"]

ACCEPTED: dict[tuple[str, str, str], str] = {}
"""By patterns of function, argument and kind."""


def reason(function: str, argument: str, kind: str) -> str | None:
    """Why a call may be accepted; ``None`` if it may not."""
    for (functions, arguments, kinds), why in ACCEPTED.items():
        if fnmatch(function, functions) and fnmatch(argument, arguments) and fnmatch(kind, kinds):
            return why
    return None
