"""``load``: a saved model from its file."""

from __future__ import annotations

import io
import json
import os
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_unflatten

from ncps_mlx.data._time_scaler import TimeScaler
from ncps_mlx.models._cfc import CfC
from ncps_mlx.models._ltc import LTC
from ncps_mlx.models._serialization import (
    CLASSES,
    CURE,
    FORMAT,
    _build,
    _header,
    _loss_from_json,
    _mismatch,
    _parameters_by_name,
    _shapes,
)

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> CfC | LTC:
    """Read a saved model: the same class, configuration, time scaler and parameters, bit for bit.

    The file is one that :meth:`~ncps_mlx.models.RecurrentModel.save` wrote. Nothing in it is executed or unpickled.
    A wiring or a loss of your own class must be imported first. The model is in training mode, as from its constructor:
    before predicting with dropout, call ``model.eval()``.

    Args:
        path: The file's name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated or damaged, of a newer format, or not a model of this library.

    Example:
        >>> from ncps_mlx import load
        >>> load("nowhere.safetensors")
        Traceback (most recent call last):
        ...
        FileNotFoundError: [Errno 2] There is no file to load a model from: 'nowhere.safetensors'
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must name a file that save() wrote, got the folder {path}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        what = "There is no file to load a model from"
        raise FileNotFoundError(error.errno, what, str(path)) from None
    metadata, stored = _header(path, content)
    model = _model(path, metadata)
    problem = _mismatch(_shapes(_parameters_by_name(model)), stored)
    if problem:
        raise ValueError(f"{path} does not hold the parameters of its configuration: {problem}. {CURE}")
    arrays = cast("dict[str, mx.array]", mx.load(io.BytesIO(content), format="safetensors"))
    mx.eval(arrays)
    model.update(tree_unflatten(list(arrays.items())))
    return model


def _model(path: Path, metadata: Any) -> CfC | LTC:
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
    if name not in CLASSES:
        raise ValueError(f"{path} must hold a {' or a '.join(CLASSES)}, got {name!r}. {CURE}")
    known = signature(CLASSES[name]).parameters.values()
    try:
        config = json.loads(metadata["ncps_mlx.config"])
        if not isinstance(config, dict):
            raise ValueError(f"config must be a dictionary, got {config!r:.80}.")
        missing = {p.name for p in known if p.default is Parameter.empty} - config.keys()
        unknown = config.keys() - {p.name for p in known}
        if missing or unknown:
            raise ValueError(
                f"config must hold the arguments of {name}, got unknown {sorted(unknown)}, missing {sorted(missing)}."
            )
        model = cast("CfC | LTC", _build(CLASSES[name], config))
        scaler = metadata.get("ncps_mlx.time_scaler")
        model.time_scaler = None if scaler is None else TimeScaler.from_config(json.loads(scaler))
        if isinstance(loss := metadata.get("ncps_mlx.loss"), str):
            model.loss = _loss_from_json(loss)
        return model
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, written by ncps-mlx {writer}, has a bad configuration: {error}") from error
