"""Hyperparameters of models and training by name, their defaults, and the checks of a whole configuration."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import check_choice, check_int, check_number
from ncps_mlx.data._task import Task
from ncps_mlx.data._time_scaler import KINDS
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._cfc import CfC
from ncps_mlx.models._ltc import LTC, check_ranges
from ncps_mlx.training._fit import check_batch, evaluation_step, fit
from ncps_mlx.training._member import Member
from ncps_mlx.training._optimizers import OPTIMIZERS, SCHEDULES
from ncps_mlx.training._time_steps import check_time_scaling
from ncps_mlx.wirings._base import Wiring

__all__ = ["MODELS", "build_model", "check_config", "complete", "knobs_of", "sizes_of", "steps_of"]

MODELS: dict[str, type[CfC] | type[LTC]] = {"CfC": CfC, "LTC": LTC}
"""The models a record can name."""

FROM_TASK = ("input_size", "output_size", "return_sequences", "seed")
FROM_CALL = ("model", "task", "seed", "memory_mb", "progress")


@functools.cache
def _defaults(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the knobs of a model and of :func:`~ncps_mlx.fit`, with their defaults."""
    cls = MODELS[check_choice("model", model, MODELS)]
    of_model, of_fit = (
        {name: item.default for name, item in inspect.signature(function).parameters.items()}
        for function in (cls, inspect.unwrap(fit))
    )
    return (
        {name: value for name, value in of_model.items() if name not in FROM_TASK},
        {name: value for name, value in of_fit.items() if name not in FROM_CALL},
    )


def knobs_of(model: str) -> frozenset[str]:
    """Name everything about a model and its training that can be set.

    Example:
        >>> "ode_unfolds" in knobs_of("LTC"), "ode_unfolds" in knobs_of("CfC")
        (True, False)
    """
    of_model, of_fit = _defaults(model)
    return frozenset(of_model) | frozenset(of_fit)


def complete(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of model and training to the knobs given.

    Raises:
        ValueError: A name is no knob of this model, or a value cannot be written down.

    Example:
        >>> config = complete("CfC", {"hidden_size": 16})
        >>> config["hidden_size"], config["learning_rate"], config["mode"]
        (16, 0.01, 'default')
    """
    of_model, of_fit = _defaults(model)
    for name in given:
        if name not in of_model and name not in of_fit:
            known = ", ".join(sorted({*of_model, *of_fit}))
            raise ValueError(f"{name} must be a knob of {model} or of fit, which are {known}.")
    merged = of_fit | of_model | dict(given)  # the model's own dropout rate is the default, not fit's None
    return {name: to_json_value(name, merged[name]) for name in sorted(merged)}


def sizes_of(task: Task) -> dict[str, Any]:
    """Return what the task decides about a model's shape.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> sizes_of(irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8))
        {'input_size': 1, 'output_size': 1, 'return_sequences': False}
    """
    every_step = task.train.y.ndim == 3
    return {"input_size": task.input_size, "output_size": task.output_size, "return_sequences": every_step}


def steps_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """How many steps a configuration trains, and after how many it is evaluated.

    Example:
        >>> steps_of(complete("CfC", {"steps": 250}))
        (250, 25)
    """
    return config["steps"], evaluation_step(config["steps"], config["evaluate_every"])


def build_model(model: str, config: Mapping[str, Any], sizes: Mapping[str, Any], seed: int) -> RecurrentModel:
    """Build the untrained model of a configuration, before its initial scale.

    Raises:
        ValueError: The sizes lack the model's ``input_size``, the wiring's class is not known here, or the constructor
            refuses a value.

    Example:
        >>> build_model("CfC", complete("CfC", {"hidden_size": 4}), {"input_size": 3}, seed=0).hidden_size
        4
    """
    if "input_size" not in sizes:
        raise ValueError(f"sizes must hold the input_size that the task decided, got {dict(sizes)}.")
    of_model, _ = _defaults(model)
    settings = {name: config[name] for name in of_model if name in config}
    if isinstance(settings.get("wiring"), Mapping):
        settings["wiring"] = Wiring.from_config(settings["wiring"])
    return MODELS[model](**sizes, **settings, seed=seed)


def check_config(task: Task, model: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that could not be trained, before anything is.

    Raises:
        ValueError: as the model's constructor or :func:`~ncps_mlx.fit` would.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> check_config(task, "CfC", complete("CfC", {"hidden_size": 8, "batch_size": 65}))
        Traceback (most recent call last):
        ...
        ValueError: batch_size must be at most the 64 training sequences, got 65.
    """
    built = build_model(model, config, sizes_of(task), seed=0)
    check_batch(task, config["batch_size"])
    member = Member.checked(built, config["steps"], config["optimizer"], {**config, "seed": 0})
    check_time_scaling(member.time_scaling, task)


def _at_least(minimum: int, *, optional: bool = False) -> Callable[[str, Any], object]:
    def check(name: str, value: Any) -> object:
        return None if optional and value is None else check_int(name, value, minimum=minimum)

    return check


def _positive(name: str, value: Any) -> object:
    return check_number(name, value, low=0, open_low=True)


RULES: dict[str, Callable[[str, Any], object]] = {
    "learning_rate": _positive,
    "weight_decay": lambda name, value: check_number(name, value, low=0),
    "clip_norm": lambda name, value: None if value is None else _positive(name, value),
    "schedule": lambda name, value: check_choice(name, value, SCHEDULES),
    "warmup_steps": _at_least(0),
    "backbone_dropout": lambda name, value: check_number(name, value, low=0, high=1, open_high=True),
    "time_scaling": lambda name, value: check_choice(name, value, KINDS),
    "initial_scale": _positive,
    "optimizer": lambda name, value: check_choice(name, value, OPTIMIZERS),
    "steps": _at_least(1),
    "batch_size": _at_least(1),
    "grad_accumulation_steps": _at_least(1),
    "patience": _at_least(1, optional=True),
    "evaluate_every": _at_least(1, optional=True),
    "hidden_size": _at_least(1),
    "num_layers": _at_least(1),
    "backbone_units": _at_least(1),
    "backbone_layers": _at_least(0),
    "ode_unfolds": _at_least(1),
    "wiring": lambda _, value: None if value is None else Wiring.from_config(value),
    "initial_ranges": lambda _, value: check_ranges(value, None),
}
