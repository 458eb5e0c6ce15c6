"""Models by name, a user's own too: ``"CfC"``, ``"module:Class"``, ``"file.py:Class"``; and how an own one is built."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx._utils.by_name import _import_module
from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import check_text, did_you_mean
from ncps_mlx.cells._initializers import seeded
from ncps_mlx.losses import Loss
from ncps_mlx.models._structure import contents, differing

__all__ = [
    "ABOUT",
    "CLASSES",
    "FROM_TASK",
    "build_own",
    "check_seeded",
    "defaults_of",
    "find_model",
    "is_importable",
    "is_imported",
    "loss_of_model",
    "name_model",
    "register_model",
    "time_scaler_of",
]

Model = TypeVar("Model", bound=nn.Module)

CLASSES: dict[str, type[nn.Module]] = {}
"""The library's models by name; each registers itself."""


FROM_TASK = ("input_size", "output_size", "return_sequences", "seed")
"""Arguments of a model that its task decides, and its seed: no hyperparameters."""

ABOUT = "CfC, LTC, GRU, LSTM or a class of your own (an mlx.nn.Module, or its path 'module:Class')"

_seen: dict[str, type[nn.Module]] = {}  # own classes of this process by name; some cannot be imported


def register_model(kind: type[Model]) -> type[Model]:
    """Register a class of models under its name."""
    CLASSES[kind.__name__] = kind
    return kind


def find_model(name: str, argument: str = "model") -> type[nn.Module]:
    """Return the class of this name, imported if it is a path.

    Raises:
        ValueError: There is no such class.
        ImportError: The module of the path is not there.
    """
    if check_text(argument, name) in CLASSES:
        return CLASSES[name]
    path, _, attribute = name.rpartition(":")
    if not path or not attribute:
        raise ValueError(f"{argument} must be {ABOUT}, got {name!r}.{did_you_mean(name, CLASSES)}")
    module = sys.modules.get(path) or (None if path == "__main__" else _import_module(argument, path))
    found = getattr(module, attribute, None) or _seen.get(name)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        what = "no class of that name" if found is None else f"a {type(found).__name__}"
        raise ValueError(
            f"{argument} must name a class of mlx.nn.Module, got {name!r}: {path} has {what}. A class that was made in "
            "another program is not here: define it in a module of its own."
        )
    _seen[name] = found
    return found


def is_imported(name: str) -> bool:
    """Whether the class of this name is there without importing anything."""
    path, _, attribute = name.rpartition(":")
    return name in _seen or isinstance(getattr(sys.modules.get(path), attribute, None), type)


def name_model(model: Any, argument: str = "model") -> str:
    """Return the name of a class, or of the class that a name stands for; refuses what is neither."""
    if isinstance(model, str):
        find_model(model, argument)
        return model
    if not isinstance(model, type) or not issubclass(model, nn.Module):
        what = f"a {type(model).__name__}, which is built" if isinstance(model, nn.Module) else f"{model!r:.60}"
        raise ValueError(f"{argument} must be {ABOUT}, got {what}.")
    if CLASSES.get(model.__name__) is model:
        return model.__name__
    for name, seen in _seen.items():
        if seen is model:
            return name
    name = f"{model.__module__}:{model.__qualname__}"
    _seen[name] = model
    if find_model(name, argument) is not model:
        raise ValueError(f"{argument} must be the class of its name, got another than {name}.")
    return name


def is_importable(name: str) -> bool:
    """Whether another process finds the class of this name."""
    if name in CLASSES:
        return True
    path, _, attribute = name.rpartition(":")
    if path == "__main__" or not attribute.isidentifier():
        return False
    try:
        return getattr(_import_module("model", path), attribute, None) is find_model(name)
    except ImportError:
        return False


def defaults_of(kind: type[nn.Module]) -> dict[str, Any]:
    """Return a model's hyperparameters with their defaults, as its constructor has them.

    Raises:
        ValueError: The constructor of an own class is not one that a study can call.
    """
    parameters = signature(kind).parameters
    own = CLASSES.get(kind.__name__) is not kind
    if own:
        _check_constructor(kind.__name__, parameters)
    found = {}
    for name, item in parameters.items():
        if name in FROM_TASK or item.kind is Parameter.VAR_KEYWORD:
            continue
        if own:
            try:
                to_json_value(name, item.default)
            except ValueError as error:
                raise ValueError(
                    f"{error} A default of {kind.__name__} is written into records: take a name or a number for it."
                ) from None
        found[name] = None if item.default is Parameter.empty else item.default
    return found


def _check_constructor(name: str, parameters: Mapping[str, Parameter]) -> None:
    cure = f"Write it as {name}(input_size, output_size, *, hidden=16, ...), with a default for each hyperparameter."
    for size in ("input_size", "output_size"):
        if size not in parameters or parameters[size].kind is Parameter.POSITIONAL_ONLY:
            raise ValueError(f"model must take {size} by name, got {name}({', '.join(parameters)}). {cure}")
    if "seed" in parameters:
        raise ValueError(
            f"model must take no seed, got one in {name}({', '.join(parameters)}). Draw from mx.random, which is "
            "seeded before the constructor is called."
        )
    for each, item in parameters.items():
        unnamed = item.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL)
        needed = item.default is Parameter.empty and item.kind is not Parameter.VAR_KEYWORD
        if unnamed or (needed and each not in FROM_TASK):
            raise ValueError(f"model must have a default for its argument {each}, got none in {name}. {cure}")


def time_scaler_of(model: nn.Module) -> TimeScaler | None:
    """How a model reads time: a module of an own class has a scaler if training gave it one."""
    scaler: TimeScaler | None = _given_by_training(model, "time_scaler", TimeScaler)
    return scaler


def loss_of_model(model: nn.Module) -> Loss | None:
    """The loss that a model was trained with, as far as it knows."""
    loss: Loss | None = _given_by_training(model, "loss", Loss)
    return loss


def _given_by_training(model: nn.Module, name: str, kind: type[Any]) -> Any:
    value = getattr(model, name, None)
    if value is not None and not isinstance(value, kind):
        raise ValueError(
            f"model must leave the attribute {name} to training, which sets it, got a {type(value).__name__} of that "
            f"name in {type(model).__name__}. Give it another name."
        )
    return value


def build_own(kind: type[nn.Module], arguments: Mapping[str, Any], seed: int) -> nn.Module:
    """Build a model of an own class; what it draws from ``mx.random`` follows from the seed, and the stream stays.

    ``arguments`` may hold what the task decided beside the hyperparameters; the constructor gets what it takes.
    """
    taken = signature(kind).parameters
    given = {name: value for name, value in arguments.items() if name != "return_sequences" or name in taken}
    with seeded(seed):
        model = kind(**given)
        mx.eval([array for _, array in contents(model).items() if isinstance(array, mx.array)])
    object.__setattr__(model, "_arguments", {**given, "seed": seed})  # so that it can be saved
    return model


def check_seeded(kind: type[nn.Module], arguments: Mapping[str, Any]) -> None:
    """Refuse a class whose models do not follow from the seed."""
    one, other = (build_own(kind, arguments, seed=0) for _ in range(2))
    parts = set(differing(one, other))
    pairs = zip(*(sorted(contents(each).items(), key=lambda item: item[0]) for each in (one, other)), strict=False)
    for (path, a), (_, b) in pairs:
        if isinstance(a, mx.array) and isinstance(b, mx.array) and not mx.array_equal(a, b, equal_nan=True).item():
            parts.add(path)
    if parts:
        raise ValueError(
            f"model must draw from mx.random alone in its constructor, got {kind.__name__}, whose {min(parts)} is "
            "another each time with one seed."
        )
