"""The ways to compute tanh: their errors, the choice, and that runs of one choice are equal bit for bit."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

# Private: each implementation of tanh by itself, and whether there is a compiler.
import ncps_mlx._kernels.tanh
from ncps_mlx import (
    LTC,
    AutoNCP,
    CfC,
    FullyConnected,
    LogUniform,
    Record,
    Space,
    Study,
    fit,
    tanh_implementation,
)
from ncps_mlx._kernels import rational_tanh
from ncps_mlx._kernels.native import native_layers
from ncps_mlx._kernels.tanh import CHOICES, EXP2, MLX, RATIONAL, TanhImplementation, current_tanh, tanh_for
from ncps_mlx.data import irregular_sines
from ncps_mlx.models import RecurrentModel

EACH_TANH = pytest.mark.parametrize("tanh", ["rational", "exp2", "mlx"])
TASK = irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)


IMPLEMENTATIONS = pytest.mark.parametrize("tanh_impl", [RATIONAL, EXP2, MLX], ids=lambda each: each.name)
STATED = {
    "rational": (3.5e-7, 1.8e-7, 7e-7, 2e-7),
    "exp2": (2e-7, 1e-7, 4e-7, 2e-7),
    "mlx": (1.1e-7, 0.8e-7, 2e-7, 0.8e-7),
}
"""Errors of tanh, sigmoid, and the derivatives of both."""


def numbers() -> Any:
    """Every 4099th float32 there is, subnormal, infinite and NaN too; and many where the functions curve."""
    every = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32)
    extremes = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, -1e-45], dtype=np.float32)
    largest = np.finfo(np.float32).max * np.array([1, -1], dtype=np.float32)
    curved = np.concatenate(
        [np.linspace(-1, 1, 500001), np.linspace(-20, 20, 1000001), np.geomspace(1e-30, 10, 99999)]
    )
    return np.concatenate([every, extremes, largest, curved.astype(np.float32)])


@IMPLEMENTATIONS
def test_errors_are_those_stated(tanh_impl: TanhImplementation) -> None:
    x = numbers()
    of_tanh, of_sigmoid, of_tanh_slope, of_sigmoid_slope = STATED[tanh_impl.name]
    exact = np.where(np.isnan(x), np.nan, x).astype(np.float64)
    tanh, sigmoid = np.tanh(exact), 0.5 * (1 + np.tanh(exact / 2))
    with mx.stream(mx.cpu):
        one = mx.ones(x.shape)
        for right, slope, rate, (offset, gain), error, slope_error in (
            (tanh, 1 - tanh**2, tanh_impl.tanh_input_scale, tanh_impl.tanh_affine, of_tanh, of_tanh_slope),
            (
                sigmoid,
                sigmoid * (1 - sigmoid),
                tanh_impl.sigmoid_input_scale,
                tanh_impl.sigmoid_affine,
                of_sigmoid,
                of_sigmoid_slope,
            ),
        ):
            value = tanh_impl.value(x.shape, mx.float32)(rate * mx.array(x))
            got = offset + gain * np.array(value, dtype=np.float64)
            slopes = gain * rate * tanh_impl.grad_scale * np.array(tanh_impl.slopes(value, one), dtype=np.float64)
            assert (np.isnan(got) == np.isnan(right)).all() and np.isnan(got).any()
            assert np.nanmax(np.abs(got - right)) <= error
            assert np.nanmax(np.abs(slopes - slope)) <= slope_error
        alone_value = tanh_impl.tanh(x.shape, mx.float32)(tanh_impl.tanh_input_scale * mx.array(x))
        alone = np.array(alone_value, dtype=np.float64)
    assert np.nanmax(np.abs(alone - tanh)) <= of_tanh
    assert np.nanmax(np.abs(alone)) <= 1.0


def test_the_rational_tanh_is_the_same_compiled_and_by_parts() -> None:
    x = mx.array(numbers())
    for count in (x.size, 7, 1):  # the processor computes some numbers together, and the rest one by one
        part = x[-count:]
        assert mx.array_equal(rational_tanh.tanh(part), rational_tanh.tanh_by_parts(part), equal_nan=True).item()
        assert mx.array_equal(rational_tanh.slopes(part, part), part * (1.0 - part * part), equal_nan=True).item()
    graph = io.StringIO()
    mx.export_to_dot(graph, rational_tanh.tanh(x))
    assert (graph.getvalue().count("shape=rectangle") == 1) == rational_tanh.enabled()


def test_without_a_compiler_training_takes_exp2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncps_mlx._kernels.tanh, "tanh_is_slow", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    rational_tanh.compiles.cache_clear()
    try:
        assert current_tanh() == "exp2"
        monkeypatch.undo()
        monkeypatch.setattr(ncps_mlx._kernels.tanh, "tanh_is_slow", lambda: True)
        mx.disable_compile()
        rational_tanh.compiles.cache_clear()
        assert current_tanh() == "exp2"
        mx.enable_compile()
        monkeypatch.setattr(ncps_mlx._kernels.tanh, "tanh_is_slow", lambda: True)
        monkeypatch.setattr(rational_tanh, "tanh", broken)
        rational_tanh.compiles.cache_clear()
        assert current_tanh() == "exp2"
    finally:
        mx.enable_compile()
        monkeypatch.undo()
        rational_tanh.compiles.cache_clear()


def broken(_: mx.array) -> mx.array:
    raise RuntimeError("[Compile::eval_cpu] Failed to compile function")


def test_processes_that_begin_together_compile_one_after_another(tmp_path: Path) -> None:
    """MLX loads the library it finds, even one that another process is still writing."""
    code = "from ncps_mlx._kernels import rational_tanh; print(rational_tanh.compiles())"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    begun = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    there = shutil.which("g++") is not None
    assert [process.communicate()[0].strip() for process in begun] == [str(there)] * 4
    assert len(list(tmp_path.glob("mlx/**/*.so"))) == 2 * there


def test_training_compiles_what_differentiating_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ``fit`` the rational tanh is called on arrays that MLX does not trace, once for each time step."""
    bodies: list[int] = []

    def body(x: mx.array) -> mx.array:
        bodies.append(1)
        return rational_tanh.tanh_by_parts(x)

    monkeypatch.setattr(rational_tanh, "tanh", mx.compile(body))
    model = CfC(1, 4, output_size=1, return_sequences=False, seed=0)
    if not rational_tanh.compiles():
        pytest.skip("there is no C++ compiler")
    with tanh_implementation("rational"), native_layers(False):
        fit(model, TASK, steps=6, batch_size=16, progress=False)
    # Traced once for each shape: heads and backbone, a batch, and the two of evaluation.
    assert 1 < len(bodies) <= 6


def test_the_choice_holds_within_and_in_its_thread() -> None:
    before = current_tanh()
    seen: list[str] = []
    with tanh_implementation("rational"):
        assert tanh_for(mx.float32) is RATIONAL and tanh_for(mx.float16) is MLX
    with tanh_implementation("exp2"):
        assert tanh_for(mx.float32) is EXP2 and tanh_for(mx.bfloat16) is MLX
        with tanh_implementation("mlx"):
            assert tanh_for(mx.float32) is MLX
            thread = threading.Thread(target=lambda: seen.append(current_tanh()))
            thread.start()
            thread.join()
        assert current_tanh() == "exp2"
        with tanh_implementation("auto"):
            assert current_tanh() == before
    assert seen == [before] and current_tanh() == before
    with (
        pytest.raises(
            ValueError, match="tanh must be one of 'auto', 'rational', 'exp2', 'mlx', got 'exact'"
        ),
        tanh_implementation("exact"),
    ):
        pass
    assert current_tanh() == before


def same(a: RecurrentModel, b: RecurrentModel) -> bool:
    left: Any = tree_flatten(a.parameters())
    right: Any = tree_flatten(b.parameters())
    return all(mx.array_equal(p, q).item() for (_, p), (_, q) in zip(left, right, strict=True))


@EACH_TANH
@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (CfC, {"hidden_size": 4, "backbone_units": 5, "mode": "no_gate"}),
        (CfC, {"hidden_size": 4, "backbone_units": 5, "mixed_memory": True}),
        (CfC, {"wiring": AutoNCP(7, 2)}),
        (CfC, {"wiring": AutoNCP(7, 2), "mixed_memory": True}),
        (LTC, {"hidden_size": 4, "ode_unfolds": 2}),
        (LTC, {"wiring": FullyConnected(4), "ode_unfolds": 2, "mixed_memory": True}),
    ],
)
def test_members_equal_lone_runs_of_the_same_choice(cls: Any, settings: dict[str, Any], tanh: str) -> None:
    training: dict[str, Any] = {"steps": 4, "batch_size": 16, "progress": False}

    def build(seed: int) -> RecurrentModel:
        model: RecurrentModel = cls(1, output_size=1, return_sequences=False, seed=seed, **settings)
        return model

    population = [build(seed) for seed in range(3)]
    with tanh_implementation(tanh), native_layers(False):
        fit(population, TASK, learning_rate=[1e-2, 1e-3, 3e-2], **training)
    for seed, rate in enumerate([1e-2, 1e-3, 3e-2]):
        alone, other = build(seed), build(seed)
        with tanh_implementation(tanh), native_layers(False):
            fit(alone, TASK, learning_rate=rate, **training)
        with tanh_implementation("mlx" if tanh != "mlx" else "exp2"):
            fit(other, TASK, learning_rate=rate, **training)
        assert same(alone, population[seed]) and not same(alone, other)


@EACH_TANH
def test_a_trial_reruns_by_its_own_choice(tanh: str) -> None:
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    fixed = {"hidden_size": 4, "backbone_units": 5, "batch_size": 16, "steps": 12}
    with tanh_implementation(tanh):
        study = Study(None, TASK, space, trials=3, fixed=fixed).run(progress=False)
    differing = 0
    for run in study.records:
        assert run.versions["tanh"] == tanh
        for now in CHOICES:
            with tanh_implementation(now):
                again = Record.from_json(run.to_json()).rerun(TASK)
            assert (again.score, again.history, again.versions["tanh"]) == (run.score, run.history, tanh)
        old = replace(run, versions={name: value for name, value in run.versions.items() if name != "tanh"})
        with tanh_implementation("exp2" if tanh != "exp2" else "mlx"):
            plain = old.rerun(TASK)  # as by default, which is what made it
        assert plain.versions["tanh"] == current_tanh()
        differing += plain.history != run.history
    assert (differing > 0) == (tanh != current_tanh())
    unknown = replace(study.records[0], versions={**study.records[0].versions, "tanh": "powers"})
    with pytest.raises(ValueError, match="tanh must be one of 'auto', 'rational', 'exp2', 'mlx', got 'powers'"):
        unknown.rerun(TASK)
