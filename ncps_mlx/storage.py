"""Models in one file: parameters as safetensors, the configuration in its metadata, nothing pickled."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from ncps_mlx.files import write_whole
from ncps_mlx.initializers import seeded
from ncps_mlx.models import LTC, CfC, RecurrentModel
from ncps_mlx.wirings import Wiring

__all__ = ["FORMAT", "load", "save"]

FORMAT = 1
"""The version of the file's format; a reader refuses newer ones."""

CLASSES: dict[str, type[CfC] | type[LTC]] = {"CfC": CfC, "LTC": LTC}
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes of a number in each dtype that a parameter may have


def save(model: RecurrentModel, path: str | os.PathLike[str]) -> None:
    """Write a model to one file in the format safetensors, with all that :func:`load` needs.

    The file appears whole or not at all: it is written beside ``path``, forced to the disk and then put in its place,
    so that an error or a crash leaves what was there. The parameters keep their dtype. An ``initializer`` that is a
    callable is stored as ``None``, for a function cannot be stored without pickling; it has done its work.
    Not stored: training or evaluation mode, frozen parameters, the state of a stream.

    Args:
        model: A :class:`~ncps_mlx.CfC` or :class:`~ncps_mlx.LTC`.
        path: The file's name, taken as it is; ``.safetensors`` is the customary ending.

    Raises:
        ValueError: Not a model of this library, or its parameters are not those of its configuration (as while it
            holds a population).
        OSError: The file cannot be written: no such folder, no permission, disk full.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from ncps_mlx import CfC
        >>> model = CfC(3, 11, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, Path(folder) / "model.safetensors")
        ...     twin = load(Path(folder) / "model.safetensors")
        >>> twin.config == model.config
        True
    """
    if CLASSES.get(type(model).__name__) is not type(model):
        raise ValueError(f"model must be a CfC or an LTC, got {type(model).__name__}.")
    config = {name: _plain(name, value) for name, value in model.config.items()}
    parameters = _named(model)
    problem = _mismatch(_shapes(_named(_build(CLASSES[type(model).__name__], config))), _shapes(parameters))
    if problem:
        raise ValueError(f"model must hold the parameters of its configuration to be saved, got {problem}.")
    from ncps_mlx import __version__

    metadata = {
        "format": "mlx",
        "ncps_mlx.format": str(FORMAT),
        "ncps_mlx.version": __version__,
        "ncps_mlx.class": type(model).__name__,
        "ncps_mlx.config": json.dumps(config, allow_nan=False),
    }
    buffer = io.BytesIO()
    mx.save_safetensors(buffer, parameters, metadata)  # to a path it would append an ending
    write_whole(Path(os.path.realpath(path)), buffer.getvalue(), "The model")


def load(path: str | os.PathLike[str]) -> CfC | LTC:
    """Read a model that :func:`save` wrote: the same class, configuration and parameters, bit for bit.

    The model comes in training mode, as from its constructor: call ``model.eval()`` before predicting with a model
    that has dropout. Nothing in the file is executed or unpickled. A wiring of a class of your own must be imported
    first.

    Args:
        path: The file's name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is cut or damaged, of a newer format, or not a model of this library.

    Example:
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
    problem = _mismatch(_shapes(_named(model)), stored)
    if problem:
        raise ValueError(f"{path} does not hold the parameters of its configuration: {problem}. {CURE}")
    arrays = cast("dict[str, mx.array]", mx.load(io.BytesIO(content), format="safetensors"))
    mx.eval(arrays)
    model.update(tree_unflatten(list(arrays.items())))
    return model


CURE = "The file is damaged or was changed by other means: save the model again, or take another copy."


def _plain(name: str, value: Any) -> Any:
    """What JSON holds of a configuration's value."""
    if isinstance(value, Wiring):
        return value.config
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(name, part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, part) for part in value]
    return None if callable(value) else value


def _restored(value: Any) -> Any:
    """Pairs are tuples in a configuration and lists in JSON."""
    if isinstance(value, dict):
        return {key: _restored(part) for key, part in value.items()}
    return tuple(_restored(part) for part in value) if isinstance(value, list) else value


def _build(kind: type[CfC] | type[LTC], config: dict[str, Any]) -> CfC | LTC:
    """The model of a configuration as JSON holds it; MLX's global stream stays where it is."""
    given = {name: value if name == "wiring" else _restored(value) for name, value in config.items()}
    if given.get("wiring") is not None:
        given["wiring"] = Wiring.from_config(given["wiring"])
    with seeded(0):
        return kind(**given)


def _named(model: RecurrentModel) -> dict[str, mx.array]:
    pairs: Any = tree_flatten(model.parameters())
    return dict(pairs)


def _shapes(arrays: Mapping[str, mx.array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _mismatch(wanted: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]]) -> str:
    """How the parameters differ from those wanted; empty if they do not."""
    parts = [
        f"{what} {', '.join(sorted(names)[:3])}{' and more' if len(names) > 3 else ''}"
        for what, names in (
            ("lacks", wanted.keys() - got.keys()),
            ("has unknown", got.keys() - wanted.keys()),
        )
        if names
    ]
    for name in sorted(wanted.keys() & got.keys()):
        if wanted[name] != got[name]:
            parts.append(f"{name} of shape {got[name]} instead of {wanted[name]}")
            break
    return "; ".join(parts)


def _header(path: Path, content: bytes) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The metadata and the shapes in a file, once every byte is accounted for."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or content[8:9] != b"{":
        raise ValueError(f"{path} is not a safetensors file: it begins with {content[:12]!r}. {CURE}")
    if length > len(content) - 8:
        raise ValueError(
            f"{path} is cut: its header has {length} bytes, of which {len(content) - 8} are there. {CURE}"
        )
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        entries = {name: _entry(name, entry) for name, entry in header.items()}
        ends = sorted((begin, end) for _, begin, end in entries.values())
        if [0, *(end for _, end in ends)][:-1] != [begin for begin, _ in ends]:
            raise ValueError("the parameters' bytes do not follow one another")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has a header that does not make sense ({error}). {CURE}") from None
    wanted, there = ends[-1][1] if ends else 0, len(content) - 8 - length
    if wanted != there:
        raise ValueError(
            f"{path} {'is cut' if there < wanted else 'has bytes too many'}: "
            f"its parameters need {wanted} bytes, of which {there} are there. {CURE}"
        )
    return metadata, {name: shape for name, (shape, _, _) in entries.items()}


def _entry(name: str, entry: Any) -> tuple[tuple[int, ...], int, int]:
    """Shape, first byte and end of one array, from the header."""
    given = entry if isinstance(entry, dict) else {}
    fields: list[Any] = [given.get(key) for key in ("dtype", "shape", "data_offsets")]
    dtype, shape, offsets = fields
    size = SIZES.get(dtype) if isinstance(dtype, str) else None
    if size and _naturals(shape) and _naturals(offsets) and len(offsets) == 2:
        begin, end = offsets
        if end - begin == math.prod(shape) * size:
            return tuple(shape), begin, end
    raise ValueError(f"the parameter {name} has dtype, shape and bytes {fields!r:.80}")


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(part) is int and part >= 0 for part in value)


def _model(path: Path, metadata: Any) -> CfC | LTC:
    """A new model of the class and configuration in a file's metadata."""
    ours = isinstance(metadata, dict) and all(
        isinstance(metadata.get(f"ncps_mlx.{key}"), str) for key in ("format", "version", "class", "config")
    )
    if not ours:
        raise ValueError(f"{path} was not written by save(): it has parameters, but not of which model.")
    version, writer = metadata["ncps_mlx.format"], metadata["ncps_mlx.version"]
    if version != str(FORMAT):
        raise ValueError(
            f"{path} is of format {version!r}, written by ncps-mlx {writer}; this version reads format {FORMAT}. "
            "Upgrade ncps-mlx."
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
        return _build(CLASSES[name], config)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, written by ncps-mlx {writer}, has a bad configuration: {error}") from error
