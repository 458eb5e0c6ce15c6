"""Tasks made by a function that is named by its path."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from ncps_mlx._utils.by_name import import_by_name
from ncps_mlx._utils.validation import check_text
from ncps_mlx.data._source import TaskSource
from ncps_mlx.data._task import Task

__all__ = ["build_task", "load_task"]


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
        >>> from ncps_mlx.data import load_task
        >>> load_task("ncps_mlx.data:irregular_sines", n_train=20, n_validation=10, n_test=10, readings=8)
        Task('irregular sines', regression, rmse, T=7, D=1, O=1, 20/10/10 sequences)
    """
    try:
        kept = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"arguments must be what JSON can hold, got {arguments!r}: {error}. Let the function load its own data."
        ) from error
    return _call_factory(path, kept).with_source(path, **kept)


def build_task(source: TaskSource) -> Task:
    """Make a task again from its source."""
    task = _call_factory(source.factory, source.arguments).with_source(source.factory, **source.arguments)
    for method, arguments in source.steps:
        task = getattr(task, method)(*arguments)
    return task


def _call_factory(path: str, arguments: Mapping[str, Any]) -> Task:
    function = import_by_name("path", check_text("path", path))
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"arguments must be those of {path!r}: {error}.") from error
    task = function(**arguments)
    if not isinstance(task, Task):
        raise ValueError(
            f"path must name a function that returns a Task, got {type(task).__name__} from {path!r}."
        )
    return task
