"""A study's definition, written down: enough for a worker on any machine to take part in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ncps_mlx._utils.json_values import plain
from ncps_mlx.data._loading import build_task
from ncps_mlx.data._source import Origin
from ncps_mlx.search import _distributions as knobs
from ncps_mlx.search import _halving as halving
from ncps_mlx.search._hyperparameters import MODELS
from ncps_mlx.search._space import Space

if TYPE_CHECKING:
    from ncps_mlx.data._task import Task
    from ncps_mlx.search._study import Study

__all__ = ["check_shared", "restored", "written"]

AS_IT_IS = ("sampler", "seeds", "fixed", "population_size", "draws_per_shape", "sampler_seed")
"""Arguments of a study that are written as they are."""


def written(study: Study) -> dict[str, Any]:
    """Write down how a study is made, as JSON can hold it.

    Example:
        >>> from ncps_mlx import LogUniform, Study
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> study = Study(None, task, Space(learning_rate=LogUniform(1e-3, 1e-1)), fixed={"hidden_size": 4})
        >>> written(study)["space"]
        {'learning_rate': {'kind': 'LogUniform', 'low': 0.001, 'high': 0.1}}
    """
    return {
        **{name: getattr(study, name) for name in AS_IT_IS},
        "trials": study.trials,
        "model": study.model,
        "halving": None if study.halving is None else halving.written(study.halving),
        "space": {name: knob.written() for name, knob in study.space.knobs.items()},
        "data_hash": study.task.data_hash,
        "task": None if study.task.origin is None else study.task.origin.to_json(),
    }


def restored(definition: Mapping[str, Any], task: Task | None = None) -> dict[str, Any]:
    """Return the arguments of :class:`~ncps_mlx.Study` that make the same study again.

    Args:
        definition: What :func:`written` gave.
        task: Its task, where that cannot be made from its name.

    Raises:
        ValueError: The task is needed, or holds other data.

    Example:
        >>> from ncps_mlx import Study
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed={"hidden_size": 4})
        >>> restored(written(study))["space"]
        Space(learning_rate=[0.001, 0.01])
    """
    if task is None:
        if definition["task"] is None:
            raise ValueError(_not_shared("this study"))
        task = build_task(Origin.from_json(definition["task"]))
    if task.data_hash != definition["data_hash"]:
        raise ValueError(
            f"task must hold the data of the study, with hash {definition['data_hash']}, got {task.name!r} with hash "
            f"{task.data_hash}. Install the same version of the package that carries the data."
        )
    settings = {name: plain(name, definition[name]) for name in AS_IT_IS}
    settings |= {"task": task, "model": MODELS[definition["model"]]}
    kept = definition.get("halving")
    settings["halving"] = None if kept is None else halving.restored(kept)
    settings["space"] = Space(**{name: knobs.restored(knob) for name, knob in definition["space"].items()})
    settings["trials"] = None if settings["sampler"] == "grid" else definition["trials"]
    return settings


def check_shared(task: Task, name: str) -> None:
    """Refuse a task that other processes cannot make.

    Raises:
        ValueError: It was made from arrays.

    Example:
        >>> from ncps_mlx import Task
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> check_shared(task, "study")  # made by a function with a name
        >>> check_shared(Task("mine", task.train, task.validation, task.test), "study")
        Traceback (most recent call last):
        ...
        ValueError: task must be one that other processes can make, got one made from arrays in 'study'...
    """
    if task.origin is None:
        raise ValueError(_not_shared(repr(name)))


def _not_shared(study: str) -> str:
    return (
        f"task must be one that other processes can make, got one made from arrays in {study}. Put the code that makes "
        "it into a function and load it with ncps_mlx.data.load_task('module:function'), or give a worker "
        "`--task module:function`."
    )
