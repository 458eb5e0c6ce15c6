"""How a task was made: enough for another process, or another machine, to make it again.

A study that several workers train keeps this in its storage instead of the arrays. Nothing here imports MLX.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ncps_mlx.task import Task

__all__ = ["Origin", "load_task"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A function that makes a task, its arguments, and what was derived from it.

    Args:
        maker: ``"module:function"``, or ``"folder/file.py:function"``.
        arguments: What it is called with, by name, each as JSON can hold it.
        steps: Methods of :class:`~ncps_mlx.Task` called after it, each a name and its arguments.

    Example:
        >>> origin = Origin(maker="ncps_mlx.data:irregular_sines", arguments={"n_train": 20, "readings": 8},
        ...                 steps=[["take", [12, 0]], ["scaled_time", ["log"]]])
        >>> len(origin.make().train)
        12
        >>> Origin.from_json(origin.to_json()) == origin
        True
    """

    maker: str
    arguments: Mapping[str, Any]
    steps: list[list[Any]]

    def then(self, method: str, *arguments: Any) -> Origin:
        """Return the origin of what that method of the task returns.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = Origin(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> origin.then("take", 12).steps
            [['take', [12]]]
        """
        steps = [*self.steps, [method, list(arguments)]]
        return Origin(maker=self.maker, arguments=self.arguments, steps=steps)

    def make(self) -> Task:
        """Make the task again.

        Raises:
            ValueError: The path names no function that returns a task.
            ImportError: Its module, or a package that it needs, is not installed.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = Origin(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> len(origin.make().train)
            20
        """
        task = _call(self.maker, self.arguments).made_by(self.maker, **self.arguments)
        for method, arguments in self.steps:
            task = getattr(task, method)(*arguments)
        return task

    def to_json(self) -> str:
        """Write it as one line of JSON.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = Origin(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> origin.to_json()
            '{"arguments": {"n_train": 20, "readings": 8}, "maker": "ncps_mlx.data:irregular_sines", "steps": []}'
        """
        parts = {"maker": self.maker, "arguments": self.arguments, "steps": self.steps}
        return json.dumps(parts, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Origin:
        """Read what :meth:`to_json` wrote.

        Example:
            >>> sines = "ncps_mlx.data:irregular_sines"
            >>> origin = Origin(maker=sines, arguments={"n_train": 20, "readings": 8}, steps=[])
            >>> Origin.from_json(origin.to_json()).arguments
            {'n_train': 20, 'readings': 8}
        """
        return cls(**json.loads(text))


def load_task(path: str, **arguments: Any) -> Task:
    """Make a task with a function of your own, so that workers can make it too.

    A task that is made in a script from arrays exists there alone. Put the code that makes it into a function of a
    module; its path and arguments are then kept in a study's storage, and every worker calls it.

    Args:
        path: ``"module:function"``, of a module that can be imported where the workers run, or
            ``"folder/file.py:function"``, a file that lies there.
        **arguments: What to call the function with: numbers, texts, booleans, ``None``, or lists of them.

    Raises:
        ValueError: The path names no function that returns a :class:`~ncps_mlx.Task`, or an argument cannot be
            written down.
        ImportError: The module is not there.

    Example:
        >>> load_task("ncps_mlx.data:irregular_sines", n_train=20, n_validation=10, n_test=10, readings=8)
        Task('irregular sines', regression, rmse, T=7, D=1, O=1, 20/10/10 sequences)
    """
    try:
        kept = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"arguments must be what JSON can hold, got {arguments!r}: {error}. Let the function load its own data."
        ) from error
    return _call(path, kept).made_by(path, **kept)


def _call(path: str, arguments: Mapping[str, Any]) -> Task:
    from ncps_mlx.task import Task

    module, _, name = path.rpartition(":")
    if not module or not name.isidentifier():
        raise ValueError(f"path must be 'module:function' or 'file.py:function', got {path!r}.")
    function = getattr(_module(module), name, None)
    if not callable(function):
        raise ValueError(f"path must name a function, got {path!r}: {module} has no function {name}.")
    task = function(**arguments)
    if not isinstance(task, Task):
        raise ValueError(
            f"path must name a function that returns a Task, got {type(task).__name__} from {path!r}."
        )
    return task


def _module(name: str) -> ModuleType:
    """Import a module by its name, or a file that lies here."""
    if not name.endswith(".py"):
        folder = str(Path.cwd())  # a worker looks where it was started, as a script would
        if folder not in sys.path:
            sys.path.append(folder)
        return importlib.import_module(name)
    path = Path(name).resolve()
    known = f"_ncps_mlx_task_{path.stem}_{abs(hash(path))}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise ValueError(f"path must name a file that is there, got {name}.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[known]
            raise
    return sys.modules[known]
