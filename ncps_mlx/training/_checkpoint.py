"""A training's file: written at evaluations, taken up where it is there, refused where it is another's."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ncps_mlx._runtime.version import __version__
from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.validation import check_path as named_file
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._serialization import _to_json_value, read_arrays
from ncps_mlx.models._structure import contents
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._numerics import numerics

__all__ = ["Checkpoint", "describe_run"]

FORMAT = "1"
CURE = "Delete the file to begin anew, or choose another name."
SHOWN = 4  # differences that an error names


class Checkpoint:
    """The file of one run: ``run`` says which (:func:`describe_run`), ``parameters`` (N, P) what its models hold."""

    def __init__(self, path: str | Path, run: Mapping[str, Any], parameters: mx.array) -> None:
        self.path, self.run = check_path(path), json.loads(json.dumps(run))
        self.begun_with = digests(parameters)

    def write(self, arrays: Mapping[str, mx.array], state: Mapping[str, Any]) -> None:
        """Write the state of the training, whole or not at all."""
        told = {"run": self.run, "begun_with": self.begun_with, "numerics": numerics(), "state": state}
        metadata = {f"ncps_mlx.{name}": json.dumps(value) for name, value in told.items()}
        metadata |= {"format": "mlx", "ncps_mlx.checkpoint": FORMAT, "ncps_mlx.version": __version__}
        buffer = io.BytesIO()
        mx.save_safetensors(buffer, dict(arrays), metadata)
        atomic_write(Path(os.path.realpath(self.path)), buffer.getvalue(), "The checkpoint")

    def read(self) -> Saved | None:
        """What is in the file, or ``None`` where there is none yet; refuses what this run did not write."""
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        metadata, arrays = read_arrays(self.path, content, CURE)
        if not isinstance(metadata, dict) or "ncps_mlx.checkpoint" not in metadata:
            what = "a model" if isinstance(metadata, dict) and "ncps_mlx.class" in metadata else "no checkpoint"
            raise ValueError(f"checkpoint must name a file that fit wrote, or none yet, got {self.path}: {what}.")
        if metadata["ncps_mlx.checkpoint"] != FORMAT:
            raise ValueError(
                f"checkpoint must be of format {FORMAT}, got {self.path} of format "
                f"{metadata['ncps_mlx.checkpoint']}, written by ncps-mlx {metadata.get('ncps_mlx.version')}. {CURE}"
            )
        try:
            run, begun_with, before, state = (
                json.loads(metadata[f"ncps_mlx.{name}"]) for name in ("run", "begun_with", "numerics", "state")
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"checkpoint must be whole, got {self.path}, which lacks {error}. {CURE}") from None
        if differing := differences(run, self.run):
            raise ValueError(
                f"checkpoint must be this run's, got {self.path} of another: {'; '.join(differing)}. {CURE}"
            )
        return Saved(arrays=arrays, state=state, begun_with=begun_with, numerics=before)

    def accept(self, saved: Saved, best: mx.array) -> None:
        """Go on with what was saved; refuses models that hold neither what it began with nor its ``best`` (N, P).

        The best parameters are what a run leaves in its models, so that an interrupted one can simply be called again.
        """
        reached = digests(best)
        for i, now in enumerate(self.begun_with):
            if now not in (saved.begun_with[i], reached[i]):
                raise ValueError(
                    f"model[{i}] must hold the parameters that the run of {self.path} began with, or the best it has "
                    f"reached, got others. Build it as it was then. Else: {CURE[0].lower()}{CURE[1:]}"
                )
        self.begun_with = saved.begun_with


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a file holds: the training's arrays and state, digests of its first parameters, and how it computed."""

    arrays: dict[str, mx.array]
    state: dict[str, Any]
    begun_with: list[str]
    numerics: dict[str, str]


def describe_run(
    models: Sequence[nn.Module],
    task: Task,
    config: FitConfig,
    member_configs: Sequence[MemberConfig],
    time_scalers: Sequence[TimeScaler | None],
) -> dict[str, Any]:
    """What tells a run from others, by name: all that its bits depend on, but the models' parameters."""
    shared = {item.name: getattr(config, item.name) for item in fields(config) if item.name != "memory_mb"}
    shared["loss"] = None if config.loss is None else describe_loss(config.loss)
    settings = [asdict(each) for each in member_configs]
    configs = [describe_model(model) for model in models]
    return {
        "models": len(models),
        "class": type(models[0]).__name__,
        "data_hash": task.data_hash,
        "metric": task.metric,
        "units": task.units,
        **shared,
        **{name: [each[name] for each in settings] for name in settings[0]},
        "time_scaler": [None if each is None else each.config for each in time_scalers],
        **{f"the models' {name}": [each[name] for each in configs] for name in configs[0]},
    }


def describe_loss(loss: Loss) -> Any:
    """What tells a loss from others, also one that no record could hold."""
    try:
        return loss.spec()
    except ValueError:
        function = getattr(loss, "function", None)
        return repr(loss) if function is None else getattr(function, "__qualname__", type(function).__name__)


def describe_model(model: nn.Module) -> dict[str, Any]:
    """A model's configuration; of an own class what it holds: the shapes of its arrays, and plain values."""
    if isinstance(model, RecurrentModel):
        return {name: _to_json_value(name, value) for name, value in model.config.items()}
    held = contents(model)
    return {
        "arrays": {path: list(each.shape) for path, each in held.items() if isinstance(each, mx.array)},
        "values": {
            path: each for path, each in held.items() if isinstance(each, str | int | float | None) and path
        },
    }


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """In words how a run differs from ours."""
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    if "models" in names or "class" in names:
        names = [name for name in ("models", "class") if name in names]
    found = [f"{name} {brief(theirs.get(name))} instead of {brief(ours.get(name))}" for name in names]
    return found[:SHOWN] + ["and more"] * (len(found) > SHOWN)


def brief(value: Any) -> str:
    """A value in an error: of equal ones of all members, one."""
    if isinstance(value, list) and value and all(each == value[0] for each in value):
        value = value[0]
    return f"{value!r:.80}"


def digests(matrix: mx.array) -> list[str]:
    """What tells each row's numbers from others."""
    return [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in np.array(matrix)]


def check_path(path: Any) -> Path:
    """The path of a file that can be written, or refuse it."""
    if not isinstance(path, str | Path) or not str(path).strip() or "\0" in str(path):
        raise ValueError(f"checkpoint must be the path of a file, or None, got {path!r:.80}.")
    file = named_file("checkpoint", path)
    if file.exists() and not file.is_file():
        what = "folder" if file.is_dir() else "device"
        raise ValueError(f"checkpoint must name a file, got the {what} {file}.")
    if not file.parent.is_dir():
        raise ValueError(f"checkpoint must lie in a folder that exists, got {file}. Make {file.parent} first.")
    return file
