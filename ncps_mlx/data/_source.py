"""How a task was made: enough for another process, or another machine, to make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TaskSource"]


@dataclass(frozen=True, kw_only=True)
class TaskSource:
    """A function that makes a task, its arguments, and what was derived from it.

    Args:
        maker: ``"module:function"``, or ``"folder/file.py:function"``.
        arguments: What it is called with, by name, each as JSON can hold it.
        steps: Methods of :class:`~ncps_mlx.Task` called after it, each a name and its arguments.

    Example:
        >>> origin = TaskSource(maker="ncps_mlx.data:irregular_sines", arguments={"n_train": 20, "readings": 8},
        ...                 steps=[["take", [12, 0]], ["scaled_time", ["log"]]])
        >>> TaskSource.from_json(origin.to_json()) == origin
        True
    """

    maker: str
    arguments: Mapping[str, Any]
    steps: list[list[Any]]

    def then(self, method: str, *arguments: Any) -> TaskSource:
        """Return the origin of what that method of the task returns.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = TaskSource(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> origin.then("take", 12).steps
            [['take', [12]]]
        """
        steps = [*self.steps, [method, list(arguments)]]
        return TaskSource(maker=self.maker, arguments=self.arguments, steps=steps)

    def to_json(self) -> str:
        """Write it as one line of JSON.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = TaskSource(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> origin.to_json()
            '{"arguments": {"n_train": 20, "readings": 8}, "maker": "ncps_mlx.data:irregular_sines", "steps": []}'
        """
        parts = {"maker": self.maker, "arguments": self.arguments, "steps": self.steps}
        return json.dumps(parts, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TaskSource:
        """Read what :meth:`to_json` wrote.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = TaskSource(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> TaskSource.from_json(origin.to_json()).arguments
            {'n_train': 20, 'readings': 8}
        """
        return cls(**json.loads(text))
