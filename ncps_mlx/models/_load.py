"""A saved model, or another thing in a safetensors file, read and checked."""

from __future__ import annotations

import json
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx.models._own import CLASSES, find_model, is_imported
from ncps_mlx.models._serialization import (
    CURE,
    FORMAT,
    _build,
    _loss_from_json,
    _mismatch,
    _shapes,
    arrays_by_name,
    read_arrays,
)

__all__ = ["model_of", "read_file"]


def read_file(path: Path) -> tuple[Any, dict[str, mx.array]]:
    """The metadata of a safetensors file, and its arrays; every byte is checked to belong to one."""
    if path.is_dir():
        raise ValueError(f"path must name a file that save() wrote, got the folder {path}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        what = "There is no file to load a model from"
        raise FileNotFoundError(error.errno, what, str(path)) from None
    return read_arrays(path, content)


def model_of(path: Path, metadata: Any, arrays: dict[str, mx.array], trust: str | None = None) -> Any:
    """The model that a file's metadata and arrays describe."""
    model = _model(path, metadata, trust)
    problem = _mismatch(_shapes(arrays_by_name(model)), _shapes(arrays))
    if problem:
        raise ValueError(f"{path} does not hold the parameters of its configuration: {problem}. {CURE}")
    model.update(tree_unflatten(list(arrays.items())))
    return model


def _model(path: Path, metadata: Any, trust: str | None) -> Any:
    """A new model of the class and configuration in a file's metadata."""
    written_by_save = isinstance(metadata, dict) and all(
        isinstance(metadata.get(f"ncps_mlx.{key}"), str) for key in ("format", "version", "class", "config")
    )
    if not written_by_save:
        raise ValueError(f"{path} was not written by save(): it has parameters, but not of which model.")
    version, writer = metadata["ncps_mlx.format"], metadata["ncps_mlx.version"]
    if version not in map(str, range(1, FORMAT + 1)):
        raise ValueError(
            f"{path} is of format {version!r}, written by ncps-mlx {writer}; this version reads formats up to "
            f"{FORMAT}. Upgrade ncps-mlx."
        )
    name = metadata["ncps_mlx.class"]
    kind = _class(path, name, trust)
    known = signature(kind).parameters.values()
    try:
        config = json.loads(metadata["ncps_mlx.config"])
        if not isinstance(config, dict):
            raise ValueError(f"config must be a dictionary, got {config!r:.80}.")
        missing = {p.name for p in known if p.default is Parameter.empty} - config.keys()
        unknown = config.keys() - {p.name for p in known} - ({"seed"} if name not in CLASSES else set())
        if any(p.kind is Parameter.VAR_KEYWORD for p in known):
            missing, unknown = missing - {p.name for p in known if p.kind is Parameter.VAR_KEYWORD}, set()
        if missing or unknown:
            raise ValueError(
                f"config must hold the arguments of {name}, got unknown {sorted(unknown)}, missing {sorted(missing)}."
            )
        model = _build(kind, config)
        scaler = metadata.get("ncps_mlx.time_scaler")
        if scaler is not None:
            model.time_scaler = TimeScaler.from_config(json.loads(scaler))
        if isinstance(loss := metadata.get("ncps_mlx.loss"), str):
            model.loss = _loss_from_json(loss)
        return model
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, written by ncps-mlx {writer}, has a bad configuration: {error}") from error


def _class(path: Path, name: str, trust: str | None) -> type[nn.Module]:
    """The class that a file names: the library's, or an own one that is imported already or may be."""
    if name in CLASSES:
        return CLASSES[name]
    module, _, attribute = name.rpartition(":")
    if not module or not attribute:
        raise ValueError(f"{path} must hold a {' or a '.join(CLASSES)}, or a class of your own, got {name!r}. {CURE}")
    if trust is not None and trust != module:
        raise ValueError(f"trust must name {module!r}, the module of the class in {path}, got {trust!r:.60}.")
    if trust is None and not is_imported(name):
        raise ValueError(
            f"{path} holds a model of your own class {name!r}, which is not imported. Import it first, or load(path, "
            f"trust={module!r}) to import, and so execute, that module."
        )
    return find_model(name)
