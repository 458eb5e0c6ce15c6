"""A model's graph in a file: every kind computes what the model does, in MLX's form and in onnxruntime."""

from __future__ import annotations

import json
import sys

import mlx.core as mx
import numpy as np
import onnxruntime
import pytest
from mlx.utils import tree_map

from ncps_mlx import CfC, TimeScaler, tanh_implementation
from ncps_mlx.models import _export
from ncps_mlx.training._population import stack_parameters
from tests.contracts import KINDS, B, D, H, T, data, make, members, streams

every = pytest.mark.parametrize("kind", KINDS)
streaming = pytest.mark.parametrize("kind", [kind for kind in KINDS if streams(kind)])


def agree(got, want, tolerance):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), atol=tolerance, rtol=tolerance)


def sequence(model):
    """Arguments and outputs of whole sequences."""
    x, dt = data(seed=1)
    return [x, dt], [model(x, time_delta=dt)[0]]


def one_step(model):
    """Arguments and outputs of the second of two readings."""
    x, dt = data(seed=1)
    _, state = model(x[:, :1], time_delta=dt[:, :1])
    y, after = model(x[:, 1:2], state, dt[:, 1:2])
    flat = [array for layer in state for array in layer]
    return [x[:, 1], dt[:, 1], *flat], [y[:, 0], *(array for layer in after for array in layer)]


def run_onnx(path, arguments):
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_inputs()]
    return session.run(None, dict(zip(names, map(np.array, arguments), strict=True)))


@every
def test_mlx_runs_whole_sequences(kind, tmp_path):
    (model,) = members(kind, 1)
    model.export(tmp_path / "model", batch_size=B, length=T)
    arguments, want = sequence(model)
    agree(mx.import_function(str(tmp_path / "model"))(*arguments), want, 1e-6)


@streaming
def test_mlx_takes_one_step(kind, tmp_path):
    (model,) = members(kind, 1)
    model.export(tmp_path / "model", step=True, batch_size=B)
    arguments, want = one_step(model)
    agree(mx.import_function(str(tmp_path / "model"))(*arguments), want, 1e-6)


@every
def test_onnxruntime_runs_whole_sequences(kind, tmp_path):
    (model,) = members(kind, 1)
    model.export(tmp_path / "model", "onnx", batch_size=B, length=T)
    arguments, want = sequence(model)
    agree(run_onnx(tmp_path / "model", arguments), want, 1e-5)


@streaming
def test_onnxruntime_takes_one_step(kind, tmp_path):
    (model,) = members(kind, 1)
    model.export(tmp_path / "model", "onnx", step=True, batch_size=B)
    arguments, want = one_step(model)
    agree(run_onnx(tmp_path / "model", arguments), want, 1e-5)


@pytest.mark.parametrize("form", ["mlxfn", "onnx"])
def test_the_last_output_alone_and_without_dropout(form, tmp_path):
    model = make("cfc", return_sequences=False, backbone_dropout=0.5)
    model.export(tmp_path / "whole", form, batch_size=B, length=T)
    model.export(tmp_path / "step", form, True, batch_size=B)
    assert model.training
    x, dt = data(seed=1)
    want = model.eval()(x, time_delta=dt)[0]
    state = mx.zeros((B, H))
    if form == "onnx":
        agree(run_onnx(tmp_path / "whole", [x, dt]), [want], 1e-5)
        for t in range(T):
            y, state = run_onnx(tmp_path / "step", [x[:, t], dt[:, t], state])
    else:
        agree(mx.import_function(str(tmp_path / "whole"))(x, dt), [want], 1e-6)
        step = mx.import_function(str(tmp_path / "step"))
        for t in range(T):
            y, state = step(x[:, t], dt[:, t], state)
    agree([y], [want], 1e-5)


def test_one_file_of_mlx_takes_several_sizes(tmp_path):
    model = make("ltc-auto")
    model.export(tmp_path / "model", batch_size=(1, B), length=(3, T))
    run, metadata = mx.import_function(str(tmp_path / "model"), return_metadata=True)
    for batch in (1, B):
        for steps in (3, T):
            x, dt = data(batch, steps)
            agree(run(x, dt), [model(x, time_delta=dt)[0]], 1e-6)
    assert json.loads(metadata)["inputs"] == ["x", "time_delta"]
    assert json.loads(metadata)["shapes"][-1] == [[B, T, D], [B, T]]


def test_strided_parameters_are_written_as_they_are_read(tmp_path):
    """MLX 0.32 writes a strided constant's bytes as they lie in memory."""
    model = make("cfc-auto")
    model.update(tree_map(lambda array: mx.stack([array, array + 1], axis=-1)[..., 0], model.parameters()))
    model.export(tmp_path / "model", batch_size=B, length=T)
    arguments, want = sequence(model)
    agree(mx.import_function(str(tmp_path / "model"))(*arguments), want, 1e-6)


@pytest.mark.parametrize("scale", ["raw", "log", "normalized", "bounded"])
@pytest.mark.parametrize("form", ["mlxfn", "onnx"])
def test_raw_time_goes_in(form, scale, tmp_path):
    model = make("cfc")
    model.time_scaler = TimeScaler(scale).fit(np.array([600.0, 1800.0, 9000.0]))
    x, dt = data(seed=1)
    dt = 1000.0 * dt
    want = [model(x, time_delta=dt)[0]]
    model.export(tmp_path / "model", form, batch_size=B, length=T)
    run = run_onnx if form == "onnx" else lambda path, arguments: mx.import_function(str(path))(*arguments)
    got = run(tmp_path / "model", [x, dt])
    agree(got, want, 1e-5 if form == "onnx" else 1e-6)


@pytest.mark.parametrize("tanh", ["exp2", "mlx"])
def test_the_chosen_tanh_is_exported(tanh, tmp_path):
    model = make("cfc-auto-mixed")
    with tanh_implementation(tanh):
        model.export(tmp_path / "model", batch_size=B, length=T)
        arguments, want = sequence(model)
    assert mx.array_equal(mx.import_function(str(tmp_path / "model"))(*arguments)[0], want[0]).item()


def test_half_precision_is_exported_by_mlx_alone(tmp_path):
    model = make("cfc")
    model.set_dtype(mx.float16)
    model.export(tmp_path / "model", batch_size=B, length=T)
    x, dt = (each.astype(mx.float16) for each in data())
    (y,) = mx.import_function(str(tmp_path / "model"))(x, dt)
    assert y.dtype == mx.float16 and mx.array_equal(y, model(x, time_delta=dt)[0]).item()
    with pytest.raises(ValueError, match=r"needs parameters in float32, got .*float16"):
        model.export(tmp_path / "model", "onnx", length=T)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("cfc", {"form": "tflite", "length": 3}, "form must be one of 'mlxfn', 'onnx', got 'tflite'"),
        ("cfc", {"step": 1}, "step must be True or False, got 1"),
        ("cfc", {}, "length must be given"),
        ("cfc", {"length": 0}, "length must be at least 1, got 0"),
        ("cfc", {"length": 2**64}, "length must be at most 10000"),
        ("cfc", {"length": 1000, "batch_size": 2**20}, "batch_size must be at most 1000000"),
        ("cfc", {"length": 1000, "batch_size": 2**10}, "batch_size times length must be at most 1000000"),
        ("cfc", {"step": True, "length": 3}, "length must be left out with step=True"),
        ("cfc", {"step": True, "batch_size": [2, 2]}, "batch_size must be a number, or several different ones"),
        ("cfc", {"form": "onnx", "length": (3, 4)}, "must be one number each with form='onnx'"),
        ("cfc-bidirectional", {"step": True}, "step must be False for a bidirectional model"),
    ],
)
def test_what_cannot_be_exported_is_refused(kind, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(kind).export(tmp_path / "model", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_population_is_refused(tmp_path):
    model = make("cfc")
    model.update(stack_parameters(members("cfc", 3)))
    with pytest.raises(ValueError, match="must hold the parameters of its configuration to be exported"):
        model.export(tmp_path / "model", length=T)


@pytest.mark.parametrize("form", ["mlxfn", "onnx"])
def test_a_file_that_computes_something_else_is_not_kept(form, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "TOLERANCE", {form: -1.0})
    with pytest.raises(RuntimeError, match="must compute what the model does"):
        make("cfc").export(tmp_path / "model", form, length=T)
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "ncps-mlx\[export\]"'):
        CfC(3, 4).export(tmp_path / "model", "onnx", length=T)
