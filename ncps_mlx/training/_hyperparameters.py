"""Every hyperparameter in one table, and configurations: mappings of hyperparameters by name, as records hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import mlx.nn as nn

from ncps_mlx._kernels.activations import ACTIVATIONS
from ncps_mlx._time_scaler import KINDS
from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import check_flag, did_you_mean
from ncps_mlx.cells._cfc import HEADS
from ncps_mlx.cells._initializers import get_initializer
from ncps_mlx.cells._ltc import STABILITY
from ncps_mlx.cells._wired_ltc import MAPPINGS
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss, loss_of
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._cfc import CfC
from ncps_mlx.models._gated import GRU, LSTM, check_time
from ncps_mlx.models._ltc import LTC, check_ranges
from ncps_mlx.models._own import FROM_TASK, build_own, check_seeded, defaults_of, find_model
from ncps_mlx.training._config import (
    BATCH_SIZE,
    Check,
    FitConfig,
    MemberConfig,
    at_least,
    default_batch_size,
    dropout_rate,
    one_of,
)
from ncps_mlx.training._loss_of_task import LossOfTask
from ncps_mlx.training._time_steps import check_time_scaling
from ncps_mlx.training._validation import check_batch, check_fits
from ncps_mlx.wirings._base import Wiring

__all__ = [
    "FIT_PARAMETERS",
    "FROM_TASK",
    "HYPERPARAMETERS",
    "Hyperparameter",
    "MEMBER_PARAMETERS",
    "MODELS",
    "build_model",
    "check_config",
    "check_name",
    "complete_config",
    "hyperparameter_defaults",
    "hyperparameter_names",
    "model_sizes",
    "recorded_config",
    "steps_of",
    "task_defaults",
]

MODELS: dict[str, type[RecurrentModel]] = {"CfC": CfC, "LTC": LTC, "GRU": GRU, "LSTM": LSTM}
"""The library's models that a record can name; it may name others by their paths."""

RENAMED = {"warmup": "warmup_steps", "accumulate": "grad_accumulation_steps"}
"""Names in records and studies of earlier versions."""

BEFORE = {"time_scaling": "raw", "initial_scale": 1.0, "loss": None}
"""What trainings had before these hyperparameters came: records of that time lack them."""

MODEL_CHECKS: dict[str, Check] = {
    "wiring": lambda _, value: None if value is None else Wiring.from_config(value),
    "hidden_size": at_least(1),
    "num_layers": at_least(1),
    "share_layers": check_flag,
    "residual": check_flag,
    "bidirectional": check_flag,
    "mixed_memory": check_flag,
    "time": check_time,
    "mode": one_of(HEADS),
    "activation": one_of(ACTIVATIONS),
    "initializer": lambda _, value: get_initializer(value),
    "backbone_units": at_least(1),
    "backbone_layers": at_least(0),
    "backbone_dropout": dropout_rate,
    "ode_unfolds": at_least(1),
    "time_constant_range": lambda _, value: value,  # what it may be depends on activation and stability
    "stability": one_of(STABILITY),
    "input_mapping": one_of(MAPPINGS),
    "output_mapping": one_of(MAPPINGS),
    "initial_ranges": lambda _, value: check_ranges(value, None),
    "ncps_masks": check_flag,
}
"""What each argument of a model must satisfy by itself; the models check what depends on several."""

MODEL_DEFAULTS = {model: defaults_of(cls) for model, cls in MODELS.items()}
"""The hyperparameters of each model with their defaults, as its constructor has them."""


IN_CONFIGS: dict[str, tuple[Any, Check]] = {
    "batch_size": (BATCH_SIZE, at_least(1)),
    "time_scaling": ("raw", one_of(KINDS)),
}
"""Default and check, in a configuration, of settings whose ``None`` in fit depends on the task or the model."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """Something about a model or its training that can be set.

    A ``"member"`` kind may differ within a population; a ``"shape"`` kind makes another graph. ``defaults`` are by
    model: those of two models may differ, and a model without the hyperparameter is not among them.
    """

    name: str
    owner: str  # "model" or "fit"
    kind: str  # "shape" or "member"
    defaults: Mapping[str, Any]
    check: Check


def _of_fit(config: type[FitConfig] | type[MemberConfig], kind: str) -> dict[str, Hyperparameter]:
    """The settings of fit that a configuration holds: not its seed, nor how much memory there is.

    Where fit's ``None`` depends on the model or the task, a configuration says what it means: the model's own dropout
    rate, raw time, a batch of 32 (:func:`task_defaults` for fewer sequences).
    A model without a backbone has no dropout rate.
    """
    found = {}
    for item in fields(config):
        check: Check
        default, check = IN_CONFIGS.get(item.name, (item.default, item.metadata["check"]))
        if item.name not in ("seed", "memory_mb"):
            found[item.name] = Hyperparameter(
                name=item.name,
                owner="fit",
                kind=kind,
                defaults={
                    model: own.get(item.name, default)
                    for model, own in MODEL_DEFAULTS.items()
                    if item.name in own or item.name not in MODEL_CHECKS
                },
                check=MODEL_CHECKS.get(item.name, check),
            )
    return found


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    name: Hyperparameter(
        name=name,
        owner="model",
        kind="shape",
        defaults={model: own[name] for model, own in MODEL_DEFAULTS.items() if name in own},
        check=check,
    )
    for name, check in MODEL_CHECKS.items()
}
HYPERPARAMETERS |= _of_fit(FitConfig, "shape") | _of_fit(MemberConfig, "member")

FIT_PARAMETERS = frozenset(
    name for name, each in HYPERPARAMETERS.items() if each.owner == "fit" and each.kind == "shape"
)
"""Settings of :func:`~ncps_mlx.fit` that all members share."""

MEMBER_PARAMETERS = frozenset(name for name, each in HYPERPARAMETERS.items() if each.kind == "member") | {"seed"}
"""Settings of :func:`~ncps_mlx.fit` that may differ between the members of a population."""


def hyperparameter_defaults(model: str) -> dict[str, Any]:
    """Everything about a model and its training that can be set, with its default; of an own class by its path."""
    if model in MODELS:
        return {name: each.defaults[model] for name, each in HYPERPARAMETERS.items() if model in each.defaults}
    own = defaults_of(find_model(model))
    of_fit = {name: each for name, each in HYPERPARAMETERS.items() if each.owner == "fit"}
    if taken := sorted(own.keys() & of_fit.keys()):
        raise ValueError(
            f"{taken[0]} must be another name in the constructor of {model}, for fit has a setting of that name."
        )
    training = {name: next(iter(each.defaults.values())) for name, each in of_fit.items() if name not in MODEL_CHECKS}
    return training | own


def hyperparameter_names(model: str) -> frozenset[str]:
    """Name everything about a model and its training that can be set."""
    return frozenset(hyperparameter_defaults(model))


def check_name(name: str, model: str | None = None) -> None:
    """Refuse what is no hyperparameter of a model or its training (``None``: of any model)."""
    if name in RENAMED:
        raise ValueError(f"{name} is named {RENAMED[name]} now.")
    known = HYPERPARAMETERS if model is None else hyperparameter_names(model)
    if name not in known:
        whose = "" if model is None else f" of {model} or of fit"
        other = [each for each in MODELS if name in HYPERPARAMETERS and name in hyperparameter_names(each)]
        hint = f" {other[0]} has it." if other else did_you_mean(name, known)
        raise ValueError(f"{name} must be a hyperparameter{whose}.{hint} They are {', '.join(sorted(known))}.")


def complete_config(model: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of model and training to a configuration, and sort it by name, every value as JSON holds it."""
    for name in config:
        check_name(name, model)
    merged = hyperparameter_defaults(model) | dict(config)
    return {name: to_json_value(name, merged[name]) for name in sorted(merged)}


def recorded_config(model: str, config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The complete configuration of a record, with changes; refuses one that does not say all that was trained with."""
    merged = {**BEFORE, **config, **changes}
    if missing := sorted(hyperparameter_names(model) - merged.keys()):
        raise ValueError(
            f"config must hold every hyperparameter to train a record again, got none of {', '.join(missing)}: what "
            "it was trained with is not known. Say it as settings: refit([record], task, "
            f"{missing[0]}=..., ...)."
        )
    return complete_config(model, merged)


def task_defaults(task: Task) -> dict[str, Any]:
    """The defaults of a configuration that depend on its task."""
    return {"batch_size": default_batch_size(len(task.train))}


def steps_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """How many steps a complete configuration trains, and after how many it is evaluated."""
    shared = FitConfig(steps=config["steps"], evaluate_every=config["evaluate_every"])
    return shared.steps, shared.evaluation_interval


def model_sizes(task: Task, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the task, and the loss of a complete configuration, decide about a model."""
    loss = loss_of(config["loss"], task.kind)
    return task.sizes | {"output_size": loss.outputs(task.output_size)}


def build_model(model: str, config: Mapping[str, Any], sizes: Mapping[str, Any], seed: int) -> nn.Module:
    """Build the untrained model of a configuration, before its initial scale."""
    if "input_size" not in sizes:
        raise ValueError(f"sizes must hold the input_size that the task decided, got {dict(sizes)}.")
    if model not in MODELS:
        kind = find_model(model)
        return build_own(kind, {**sizes, **{name: config[name] for name in defaults_of(kind) if name in config}}, seed)
    arguments = {name: config[name] for name in MODEL_DEFAULTS[model] if name in config}
    if isinstance(arguments.get("wiring"), Mapping):
        arguments["wiring"] = Wiring.from_config(arguments["wiring"])
    of_library: Any = MODELS[model]
    built: RecurrentModel = of_library(**sizes, **arguments, seed=seed)
    return built


def check_config(task: Task, model: str, config: Mapping[str, Any]) -> None:
    """Refuse a complete configuration that could not be trained, as the model or fit would, before anything is."""
    sizes = model_sizes(task, config)
    built = build_model(model, config, sizes, seed=0)
    if model not in MODELS:
        own = {name: config[name] for name in defaults_of(type(built)) if name in config}
        check_own(built, sizes | own, task, loss_of(config["loss"], task.kind))
    shared = FitConfig.from_config(config)
    if shared.loss is not None or task.metric == "pinball":  # a plan may have thousands of configurations
        LossOfTask(task, shared.loss)
    check_batch(task, shared.batch_size)
    member = MemberConfig.from_config(config, seed=0).for_model(built, shared)
    check_time_scaling(member.time_scaling, built, task)


_checked: set[tuple[type[nn.Module], str, str]] = set()  # own classes, hashes of data, arguments


def check_own(built: nn.Module, arguments: Mapping[str, Any], task: Task, loss: Loss) -> None:
    """Refuse a model of an own class that does not follow from its seed, or cannot be trained on the task."""
    key = (type(built), task.data_hash, json.dumps(arguments, sort_keys=True))
    if key not in _checked:
        check_seeded(type(built), arguments)
        check_fits(built, task, loss)
        _checked.add(key)
