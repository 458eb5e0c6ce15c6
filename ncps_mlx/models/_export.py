"""A model as one graph in a file, for programs without this library: MLX's own format, or ONNX."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map

from ncps_mlx._kernels.custom_vjp import export_trace
from ncps_mlx._kernels.tanh import tanh_implementation
from ncps_mlx._runtime.version import __version__
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.validation import check_choice, check_flag, check_int, check_path
from ncps_mlx.models._onnx import evaluate_onnx, to_onnx
from ncps_mlx.models._serialization import check_parameters

__all__ = ["FORMS", "export"]

FORMS = ("mlxfn", "onnx")
TOLERANCE = {"mlxfn": 1e-6, "onnx": 1e-5}
"""How far a file's outputs may lie from the model's, in units of the largest of them."""

LONGEST = 10_000  # steps in one graph, which is unrolled over time
MOST_READINGS = 1_000_000  # in one batch, with which the file is compared

Function = Callable[..., list[mx.array]]


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    form: str,
    step: bool,
    batch_size: int | Iterable[int],
    length: int | Iterable[int] | None,
) -> None:
    """Write a model's graph: see :meth:`RecurrentModel.export`."""
    target = check_path("path", path)
    check_choice("form", form, FORMS)
    if check_flag("step", step):
        if length is not None:
            raise ValueError(f"length must be left out with step=True, which takes one reading, got {length!r}.")
        if model.bidirectional:
            raise ValueError("step must be False for a bidirectional model, which needs the whole sequence, got True.")
    elif length is None:
        raise ValueError("length must be given, the number of readings in a sequence, got None. Or give step=True.")
    batches = _sizes("batch_size", batch_size, maximum=MOST_READINGS)
    lengths = [1] if length is None else _sizes("length", length, maximum=LONGEST)
    if form == "onnx" and len(batches) * len(lengths) > 1:
        raise ValueError(
            f"batch_size and length must be one number each with form='onnx', got {batches} and {lengths}. "
            "Write a file for each."
        )
    if max(batches) * max(lengths) > MOST_READINGS:
        raise ValueError(
            f"batch_size times length must be at most {MOST_READINGS}, got {max(batches)} times {max(lengths)}."
        )
    check_parameters(model, "exported")
    twin = copy.deepcopy(model).eval()  # MLX 0.32 writes an array's bytes as they lie: strided ones would be others
    twin.update(tree_map(mx.contiguous, twin.parameters()))
    mx.eval(twin.parameters())
    function = _one_step(twin) if step else _whole_sequence(twin)
    examples = [_example(twin, batch, steps, step=step) for batch in batches for steps in lengths]
    write = _mlxfn if form == "mlxfn" else _onnx
    content = write(function, examples, _names(len(examples[0])), twin)
    atomic_write(Path(os.path.realpath(target)), content, "The exported model")


def _sizes(name: str, value: Any, maximum: int) -> list[int]:
    """One size, or several."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return [check_int(name, value, maximum=maximum)]
    sizes = [check_int(name, each, maximum=maximum) for each in value]
    if not sizes or len(set(sizes)) < len(sizes):
        raise ValueError(f"{name} must be a number, or several different ones, got {value!r:.80}.")
    return sizes


def _whole_sequence(model: Any) -> Function:
    """From x (B, T, D) and time steps (B, T) to the outputs."""
    return lambda x, time_delta: [model(x, time_delta=time_delta)[0]]


def _one_step(model: Any) -> Function:
    """From x (B, D), time steps (B,) and the state's arrays to the outputs (B, O) and the next state's."""
    per_layer = model.layers[0].state_size

    def function(x: mx.array, time_delta: mx.array, *state: mx.array) -> list[mx.array]:
        layers = [state[i : i + per_layer] for i in range(0, len(state), per_layer)]
        y, after = model(x[:, None], layers, time_delta[:, None])
        return [y[:, 0] if model.return_sequences else y, *(array for layer in after for array in layer)]

    return function


def _example(model: Any, batch: int, steps: int, *, step: bool) -> list[mx.array]:
    """Arguments of the function, to trace it and to compare."""
    parameters: Any = tree_flatten(model.parameters())
    rng, dtype = np.random.default_rng(0), parameters[0][1].dtype
    shape = (batch,) if step else (batch, steps)
    unit = 1.0 if model.time_scaler is None else model.time_scaler.scale
    arrays = [rng.normal(size=(*shape, model.input_size)), unit * rng.uniform(0.1, 3.0, shape)]
    if step:
        count = model.num_layers * model.layers[0].state_size
        arrays += [rng.normal(size=(batch, model.hidden_size)) * 0.3 for _ in range(count)]
    return [mx.array(array.astype(np.float32)).astype(dtype) for array in arrays]


def _names(count: int) -> tuple[list[str], list[str]]:
    """The inputs' and outputs' names; a state's first array is the first layer's."""
    states = range(count - 2)
    return ["x", "time_delta", *(f"state_{i}" for i in states)], ["y", *(f"next_state_{i}" for i in states)]


def _mlxfn(
    function: Function, examples: Sequence[list[mx.array]], names: tuple[list[str], list[str]], model: Any
) -> bytes:
    metadata = {
        "ncps_mlx.version": __version__,
        "class": type(model).__name__,
        "inputs": names[0],
        "outputs": names[1],
        "shapes": [[list(array.shape) for array in example] for example in examples],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.mlxfn")
        with export_trace(), mx.exporter(file, function, metadata=json.dumps(metadata)) as exporter:
            for example in examples:
                exporter(*example)
        again: Any = mx.import_function(file)
        for example in examples:
            _compare("mlxfn", again(*example), function(*example))
        return Path(file).read_bytes()


def _onnx(
    function: Function, examples: Sequence[list[mx.array]], names: tuple[list[str], list[str]], model: Any
) -> bytes:
    (example,) = examples
    if example[0].dtype != mx.float32:
        raise ValueError(
            f"form='onnx' needs parameters in float32, got {example[0].dtype}. Call model.set_dtype(mx.float32) first."
        )
    graph: list[dict[str, Any]] = []
    with export_trace(), tanh_implementation("mlx"):
        mx.export_function(graph.append, function, *example)
    content = to_onnx(graph, *names, name=type(model).__name__)
    _compare("onnx", evaluate_onnx(content, dict(zip(names[0], example, strict=True))), function(*example))
    return content


def _compare(form: str, got: Sequence[Any], want: Sequence[mx.array]) -> None:
    """Refuse a file that does not compute what the model does."""
    for a, b in zip(got, want, strict=True):
        found, wanted = (np.array(mx.array(each).astype(mx.float32)) for each in (a, b))
        scale = max(1.0, float(np.abs(wanted).max()))
        error = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else np.inf
        if not error <= TOLERANCE[form] * scale:  # NaN, too
            raise RuntimeError(
                f"The exported graph must compute what the model does, got outputs that differ by {error:g}; nothing "
                f"was written. This is a fault of the export with MLX {version('mlx')}: please report it."
            )
