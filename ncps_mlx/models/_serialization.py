"""A model's file: parameters as safetensors, the configuration in its metadata, nothing pickled."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from ncps_mlx._runtime.version import __version__
from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import check_path
from ncps_mlx.cells._initializers import seeded
from ncps_mlx.losses import FunctionLoss, Loss, as_loss
from ncps_mlx.models._own import CLASSES, build_own, loss_of_model, name_model, time_scaler_of
from ncps_mlx.models._structure import differing
from ncps_mlx.wirings._base import Wiring

__all__ = [
    "CURE", "FORMAT", "arrays_by_name", "check_parameters", "copy_parts", "from_parts", "metadata_of", "save",
    "write_file",
]  # fmt: skip

FORMAT = 2
"""The version of the file format; a reader refuses newer ones. Before 2, files had no time scaler."""
DTYPES = {"F64": mx.float64, "F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}
"""What a parameter may be of, by the names of safetensors."""


def save(model: nn.Module, path: str | os.PathLike[str], arguments: Mapping[str, Any] | None = None) -> None:
    """Write a model, the library's or your own, to one safetensors file that :func:`ncps_mlx.load` reads.

    For a model of the library this is what its method ``save`` does. A file of your own class holds the name of the
    class, not its code.

    Args:
        model: A :class:`~ncps_mlx.CfC` or another of the library, or an ``mlx.nn.Module`` of your own class.
        path: The file's name, used as it is; ``.safetensors`` is the customary ending.
        arguments: What an own class was built with, by name. A model that a study or a record built knows it.

    Raises:
        ValueError: The class is not at the top of a module, or the arguments do not make an equal model.
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from ncps_mlx import CfC, load, save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(CfC(3, 11, seed=0), f"{folder}/model.safetensors")
        ...     load(f"{folder}/model.safetensors").parameter_count
        7596
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a model of this library or an mlx.nn.Module, got {type(model).__name__}.")
    target = check_path("path", path)
    write_file(target, arrays_by_name(model), metadata_of(model, arguments), "The model")


def write_file(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str], what: str) -> None:
    """Write arrays and what is said of them to a safetensors file: complete, or not at all."""
    buffer = io.BytesIO()
    mx.save_safetensors(buffer, arrays, {"format": "mlx", **metadata})  # given a path, it would append an ending
    atomic_write(Path(os.path.realpath(path)), buffer.getvalue(), what)


def metadata_of(model: nn.Module, arguments: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Say what makes the model again but its parameters; refuse one that its configuration does not make."""
    kind = name_model(type(model))
    if kind in CLASSES:
        if arguments is not None:
            raise ValueError(f"arguments must be left out for a {kind}, which knows them, got {arguments!r:.80}.")
        own: Any = model
        config = {name: _to_json_value(name, value) for name, value in own.config.items()}
        check_parameters(model, "saved")
    else:
        config = _own_config(model, kind, arguments)
    metadata = {
        "ncps_mlx.format": str(FORMAT),
        "ncps_mlx.version": __version__,
        "ncps_mlx.class": kind,
        "ncps_mlx.config": json.dumps(config, allow_nan=False),
    }
    scaler = time_scaler_of(model)
    if scaler is not None:
        metadata["ncps_mlx.time_scaler"] = json.dumps(scaler.config, allow_nan=False)
    if (loss := _loss_to_json(loss_of_model(model))) is not None:
        metadata["ncps_mlx.loss"] = loss
    return metadata


def _own_config(model: nn.Module, kind: str, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a model of an own class was built with; refuses what would not make an equal one."""
    name = type(model).__name__
    if "<" in kind:
        raise ValueError(f"model must be of a class at the top of a module to be found again, got {kind}.")
    made = getattr(model, "_arguments", None) if arguments is None else arguments
    if not isinstance(made, Mapping):
        raise ValueError(
            f"arguments must say what {name} was built with, got {made!r:.60}: save(model, path, "
            "{'input_size': 1, 'output_size': 1, ...})."
        )
    config = {key: to_json_value(key, value) for key, value in made.items()}
    taken = signature(type(model)).parameters
    unknown = sorted(config.keys() - taken.keys() - {"seed"})
    if unknown and not any(item.kind is Parameter.VAR_KEYWORD for item in taken.values()):
        raise ValueError(f"arguments must be those of {name}, got {', '.join(unknown)}.")
    different = differing(_build(type(model), config), model)
    if different:
        raise ValueError(
            f"arguments must make an equal {name}, got {config}, which make another {', '.join(different[:3])}."
        )
    return config


def check_parameters(model: Any, purpose: str) -> None:
    """Refuse a model with other parameters than its configuration's, for example while it holds a population."""
    kind, config, parameters, *_ = copy_parts(model)
    with seeded(0):
        wanted = arrays_by_name(kind(**config))
    problem = _mismatch(_shapes(wanted), _shapes(parameters))
    if problem:
        raise ValueError(f"model must hold the parameters of its configuration to be {purpose}, got {problem}.")


def copy_parts(model: Any) -> tuple[Any, ...]:
    """What :func:`from_parts` makes an equal model of: arguments, arrays, clock and loss, who is in training or frozen.

    Cells hold functions, which cannot be copied or pickled; a callable ``initializer`` is left out for the same reason.
    """
    config = {name: None if callable(value) else value for name, value in model.config.items()}
    modes = {name: (part.training, sorted(part._no_grad)) for name, part in model.named_modules()}
    return type(model), config, arrays_by_name(model), (model.time_scaler, model.loss), modes


def from_parts(
    kind: Callable[..., nn.Module],
    config: dict[str, Any],
    parameters: dict[str, mx.array],
    own: tuple[TimeScaler | None, Loss | None],
    modes: dict[str, tuple[bool, list[str]]],
) -> Any:
    """The model of :func:`copy_parts`; MLX's global stream stays as it is."""
    with seeded(0):
        model: Any = kind(**config)
    model.time_scaler, model.loss = own
    model.update(tree_unflatten(list(parameters.items())))
    for name, part in model.named_modules():
        part._training, frozen = modes[name]
        part._no_grad = set(frozen)
    return model


CURE = "The file is damaged or was changed by other means: save the model again, or take another copy."


def _to_json_value(name: str, value: Any) -> Any:
    """A value of a configuration as JSON holds it."""
    if isinstance(value, Wiring):
        return value.config
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _to_json_value(name, part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_value(name, part) for part in value]
    return None if callable(value) else value


def _loss_to_json(loss: Loss | None) -> str | None:
    """The loss a model was trained with, as JSON; ``None`` for a function, and for a class that lives here alone."""
    if loss is None or isinstance(loss, FunctionLoss):
        return None
    try:
        return json.dumps(loss.spec(), allow_nan=False)
    except ValueError:
        return None  # whoever evaluates the model is told that it has more outputs than targets


def _loss_from_json(text: str) -> Loss:
    """The loss that :func:`_loss_to_json` wrote; nothing is imported for it."""
    spec = _from_json_value(json.loads(text))
    name = str(spec["name"] if isinstance(spec, dict) else spec)
    module = name.rpartition(":")[0]
    if module and module not in sys.modules:
        raise ValueError(f"its loss is {name!r}: import {module} first, for loading a file imports nothing.")
    return as_loss(spec)


def _from_json_value(value: Any) -> Any:
    """A value of a configuration from JSON, whose lists become tuples."""
    if isinstance(value, dict):
        return {key: _from_json_value(part) for key, part in value.items()}
    return tuple(_from_json_value(part) for part in value) if isinstance(value, list) else value


def _build(kind: type[Any], config: dict[str, Any]) -> Any:
    """Make the model of a configuration from JSON; MLX's global stream stays as it is."""
    if CLASSES.get(getattr(kind, "__name__", "")) is not kind:
        return build_own(kind, {key: value for key, value in config.items() if key != "seed"}, config.get("seed", 0))
    arguments = {name: value if name == "wiring" else _from_json_value(value) for name, value in config.items()}
    if arguments.get("wiring") is not None:
        arguments["wiring"] = Wiring.from_config(arguments["wiring"])
    with seeded(0):
        return kind(**arguments)


def arrays_by_name(model: nn.Module) -> dict[str, mx.array]:
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


def read_arrays(path: Path, content: bytes, cure: str = CURE) -> tuple[Any, dict[str, mx.array]]:
    """The metadata and the arrays in a file, after checking that every byte belongs to one.

    Not by ``mx.load``: a process in which MLX 0.32 has read anything but a file may abort when it ends.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or content[8:9] != b"{":
        raise ValueError(f"{path} is not a safetensors file: it begins with {content[:12]!r}. {cure}")
    if length > len(content) - 8:
        raise ValueError(
            f"{path} is truncated: its header has {length} bytes, of which {len(content) - 8} are there. {cure}"
        )
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        entries = {name: _entry(name, entry) for name, entry in header.items()}
        ends = sorted((begin, end) for _, _, begin, end in entries.values())
        if [0, *(end for _, end in ends)][:-1] != [begin for begin, _ in ends]:
            raise ValueError("the parameters' bytes do not follow one another")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has a header that does not make sense ({error}). {cure}") from None
    wanted, found = ends[-1][1] if ends else 0, len(content) - 8 - length
    if wanted != found:
        raise ValueError(
            f"{path} {'is truncated' if found < wanted else 'has too many bytes'}: "
            f"its parameters need {wanted} bytes, of which {found} are there. {cure}"
        )
    return metadata, {
        name: _array(content[8 + length + begin : 8 + length + end], dtype, shape)
        for name, (dtype, shape, begin, end) in entries.items()
    }


def _array(content: bytes, dtype: mx.Dtype, shape: tuple[int, ...]) -> mx.array:
    """The array that bytes hold, also of a dtype that NumPy lacks."""
    whole = mx.array(np.frombuffer(content, dtype=f"<u{dtype.size}"))
    array = whole.view(dtype).reshape(shape)
    mx.eval(array)
    return array


def _entry(name: str, entry: Any) -> tuple[mx.Dtype, tuple[int, ...], int, int]:
    """Dtype, shape, first byte and end of an array, from the header."""
    entries = entry if isinstance(entry, dict) else {}
    fields: list[Any] = [entries.get(key) for key in ("dtype", "shape", "data_offsets")]
    name_of_dtype, shape, offsets = fields
    dtype = DTYPES.get(name_of_dtype) if isinstance(name_of_dtype, str) else None
    if dtype is not None and _naturals(shape) and _naturals(offsets) and len(offsets) == 2:
        begin, end = offsets
        if end - begin == math.prod(shape) * dtype.size:
            return dtype, tuple(shape), begin, end
    raise ValueError(f"the parameter {name} has dtype, shape and bytes {fields!r:.80}")


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(part) is int and part >= 0 for part in value)
