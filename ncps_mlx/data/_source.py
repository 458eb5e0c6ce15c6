"""How a task was made: enough for another process, or another machine, to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["TaskSource"]


@dataclass(frozen=True, kw_only=True)
class TaskSource:
    """A function that makes a task, its arguments, and the methods of the task that were called after it.

    Args:
        factory: ``"module:function"``, or ``"folder/file.py:function"``.
        arguments: The function's arguments by name, each as JSON can hold it.
        steps: Methods of :class:`~ncps_mlx.Task` called in turn, each a name and its arguments.
    """

    factory: str
    arguments: Mapping[str, Any]
    steps: list[list[Any]]

    def with_step(self, method: str, *arguments: Any) -> TaskSource:
        """Return the source of what that method of the task returns."""
        return replace(self, steps=[*self.steps, [method, list(arguments)]])

    def to_json(self) -> str:
        """Write it as one line of JSON; the factory's key there is ``maker``, as studies hold it."""
        parts = {"maker": self.factory, "arguments": self.arguments, "steps": self.steps}
        return json.dumps(parts, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TaskSource:
        """Read what :meth:`to_json` wrote."""
        parts = json.loads(text)
        return cls(factory=parts["maker"], arguments=parts["arguments"], steps=parts["steps"])
