"""Layers in C: which models they cover, how they are compiled and kept, and what records say of them."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from collections import Counter

import mlx.core as mx
import numpy as np
import pytest

from ncps_mlx import CfC, Record, Space, Split, Study, Task, fit, predict, tanh_implementation
from ncps_mlx.__main__ import info

# Private: a layer gives the same numbers either way, so that only these tell which way it took.
from ncps_mlx._kernels.custom_vjp import no_grad
from ncps_mlx._kernels.native import (
    OFF,
    calls,
    compiled,
    current_native,
    is_native_on,
    native_layers,
)
from ncps_mlx._kernels.native._compile import CHECKSUM, ENVIRONMENT, LIBRARY, find_compiler
from ncps_mlx._kernels.native._layer import LayerCall
from ncps_mlx._runtime.memory_budget import peak_memory_mb
from ncps_mlx.models import RecurrentModel
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._trainer import PopulationTrainer
from tests.contracts import KINDS, D, T, make
from tests.native import QUICK, compiled_anew, needs_native

IN_C = {
    **dict.fromkeys(["cfc", "cfc-no_gate", "cfc-bare"], "cfc"),
    **dict.fromkeys(["cfc-shared", "cfc-bidirectional", "cfc-ncp", "cfc-auto", "cfc-auto-no_gate"], "cfc"),
    **dict.fromkeys(["cfc-auto-as-ncps", "cfc-random", "cfc-random-as-ncps", "cfc-full"], "cfc"),
    **dict.fromkeys(["ltc-ncp", "ltc-auto", "ltc-auto-linear", "ltc-auto-slow", "ltc-random"], "wired_ltc"),
    **dict.fromkeys(["ltc-full", "ltc-auto-deep", "ltc-auto-shared", "ltc-auto-bidirectional"], "wired_ltc"),
    **dict.fromkeys(["ltc", "ltc-sigmoid", "ltc-softplus", "ltc-deep", "ltc-shared", "ltc-bidirectional"], "ltc"),
    **dict.fromkeys(["cfc-auto-deep", "cfc-auto-shared", "cfc-auto-bidirectional"], "cfc"),
}
"""The kinds whose layers all run in C in training and prediction, and the kernel; all others run none there."""


def make_task(outputs: int) -> Task:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        mask = np.arange(T) < rng.integers(1, T + 1, size=(n, 1))
        x, y = rng.normal(size=(n, T, D)), rng.normal(size=(n, outputs))
        return Split(x=x, y=y, time_delta=rng.uniform(0.1, 2.0, size=(n, T)), mask=mask)

    return Task("toy", *map(split, (20, 10, 10)))


def counted(work) -> Counter[str]:
    """The calls of layers in C that ``work`` makes."""
    before = calls.copy()
    work()
    return calls - before


def train(model: RecurrentModel, task: Task | None = None, **settings) -> None:
    task = task or make_task(model.output_size)
    fit(model, task, **{"steps": 2, "batch_size": 6, "progress": False, **settings})


def same(first: RecurrentModel, second: RecurrentModel) -> bool:
    x = mx.array(make_task(1).test.x.astype(np.float32))
    return bool(mx.array_equal(first(x)[0], second(x)[0]).item())


# Which path


@needs_native
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_the_path_of_the_table(kind):
    model = make(kind, return_sequences=False)
    layers = sum(len(getattr(cell, "cells", [cell])) for cells in model._stack() for cell in cells)
    training = counted(lambda: train(model, steps=2))
    prediction = counted(lambda: predict(model, make_task(1).test))
    assert model.has_native_kernel == (kind in IN_C)
    if kind not in IN_C:
        assert not training and not prediction
        return
    kernel = IN_C[kind]
    assert training[f"{kernel} backward"] == 2 * layers and len(training) == 2
    assert prediction == Counter({f"{kernel} forward": layers})


@needs_native
@pytest.mark.parametrize("kind", ["cfc", "ltc-deep", "ltc-auto-deep", "cfc-auto-deep"])
def test_only_what_parameters_depend_on_gets_a_gradient(monkeypatch, kind):
    """Inputs: in layers above the first, and in a wired LTC, which maps its inputs first."""
    wanted = []
    backward = LayerCall.backward

    def noted(call, by_states, by_last, flags):
        found = backward(call, by_states, by_last, flags)
        assert [each is not None for each in found] == list(flags)
        wanted.append(flags[0])
        assert all(call.split(list(flags))[2])
        return found

    monkeypatch.setattr(LayerCall, "backward", noted)
    model = make(kind, return_sequences=False)
    train(model, steps=1)
    assert wanted[:-1] == [True] * (len(wanted) - 1)
    assert wanted[-1] == (kind == "ltc-auto-deep")


@needs_native
def test_what_is_called_or_differentiated_by_oneself_does_not_run_in_c():
    model = make("cfc")
    x = mx.zeros((2, T, D))

    def loss(x):
        return model(x)[0].sum()

    assert not counted(lambda: mx.eval(loss(x), mx.grad(loss)(x), mx.compile(loss)(x)))
    with no_grad():
        assert counted(lambda: loss(x)) == Counter(["cfc forward"])
        assert not counted(lambda: loss(mx.zeros((2, T, D), dtype=mx.float16)))
        assert not counted(lambda: mx.eval(mx.compile(loss)(x), mx.vmap(loss)(mx.stack([x, x]))))


@needs_native
@pytest.mark.parametrize(("tanh", "runs"), [("auto", True), ("rational", True), ("exp2", False), ("mlx", False)])
def test_another_tanh_than_theirs_switches_them_off(tanh, runs):
    with tanh_implementation(tanh):
        assert f"layers in C: {compiled().build_id if runs else OFF}" in info()
        assert bool(counted(lambda: train(make("cfc", output_size=1, return_sequences=False)))) == runs
        assert is_native_on() == runs
        with native_layers(not runs):
            assert is_native_on() != runs


@needs_native
def test_training_in_c_goes_where_training_without_goes():
    ends = []
    for allowed in (True, False):
        model = make("cfc", output_size=1, return_sequences=False)
        with native_layers(allowed):
            train(model, make_task(1), steps=20)
        ends.append(np.array(model(mx.array(make_task(1).test.x.astype(np.float32)))[0]))
    np.testing.assert_allclose(*ends, atol=2e-3)  # Adam divides by the size of gradients that may be only rounding
    assert (ends[0] != ends[1]).any()


@needs_native
def test_subnormal_numbers_are_zero_in_c_and_only_there():
    """A cell whose state is what its heads' biases make of it."""
    model = CfC(1, 4, backbone_layers=0, seed=0)
    (cell,) = model.layers
    cell.update({"backbone": {"input_weight": mx.zeros((16, 1)), "recurrent_weight": mx.zeros((16, 4))}})
    cell.backbone.bias = mx.full((16,), 1e-39)
    with no_grad(), native_layers(True):
        assert counted(lambda: mx.eval(model(mx.ones((1, 1, 1)))[0])) == Counter(["cfc forward"])
        assert (np.array(model(mx.ones((1, 1, 1)))[0]) == 0.0).all()
    assert np.float32(1e-30) * np.float32(1e-9) != 0.0


@needs_native
def test_what_c_keeps_is_measured_and_freed_with_its_gradient():
    """MLX, whose memory is limited, does not know of it; nor may it wait for Python's collector."""
    model, task = make("ltc-auto", output_size=1, return_sequences=False), make_task(1)
    trainer = PopulationTrainer([model], task, FitConfig(batch_size=20, steps=1), [MemberConfig()])
    sizes = []
    with native_layers(True):
        measured = peak_memory_mb(lambda: sizes.append(trainer.group_gradient(0, slice(1))) or sizes[0])
        assert measured > 4 * T * 6 * model.layers[0].hidden_size * 20 * 2 / 1e6  # states and q of 6 solver steps
        gc.collect()
        gc.disable()
        try:
            train(model, task)
            assert not [each for each in gc.get_objects() if issubclass(type(each), LayerCall)]  # some have no class
        finally:
            gc.enable()


# Records


SPACE = Space(learning_rate=[1e-3, 1e-2])
FIXED = {"hidden_size": 4, "backbone_units": 5, "steps": 8, "batch_size": 8}


def study(task):
    return Study(None, task, SPACE, sampler="grid", fixed=FIXED).run(progress=False)


@needs_native
@pytest.mark.parametrize("allowed", [True, False])
def test_a_record_reruns_as_it_ran(allowed):
    task = make_task(1)
    with native_layers(allowed):
        records = study(task).records
    assert {record.versions["native"] for record in records} == {compiled().build_id if allowed else OFF}
    for now in (True, False):
        with native_layers(now):
            for record in records:
                again = Record.from_json(record.to_json()).rerun(task)
                assert again.history.validation_score == record.history.validation_score
                assert again.versions == record.versions


@needs_native
def test_without_a_compiler_a_record_made_in_c_reruns_to_nearly_the_same(monkeypatch, tmp_path):
    task = make_task(1)
    record = study(task).best
    with (
        compiled_anew(monkeypatch, tmp_path, find_compiler=lambda: None),
        pytest.warns(UserWarning, match=f"layers in C {record.versions['native']}, now off"),
    ):
        again = record.rerun(task)
    assert record.versions["native"] != OFF == again.versions["native"]
    assert again.score == pytest.approx(record.score, rel=1e-5)


# Compiling


def fails_with(tmp_path, condition):
    """A compiler that refuses some of its arguments."""
    path = tmp_path / "cc"
    refusal = f'case "$*" in {condition}) echo "not that" >&2; exit 1;; esac'
    path.write_text(f'#!/bin/sh\n{refusal}\nexec {find_compiler()} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return lambda: str(path)


@pytest.mark.parametrize("broken", ["none", "fails"])
def test_without_a_compiler_layers_run_as_before(monkeypatch, tmp_path, broken):
    find = (lambda: None) if broken == "none" else fails_with(tmp_path, "*")
    without, forbidden = (make("cfc", output_size=1, return_sequences=False) for _ in range(2))
    with compiled_anew(monkeypatch, tmp_path, find_compiler=find):
        assert not counted(lambda: train(without)) and current_native() == OFF
        assert ("no C compiler" if broken == "none" else "not that") in info()
        assert ("apt-get install gcc" in info()) == (broken == "none")
    with native_layers(False):
        train(forbidden)
    assert same(without, forbidden)


@needs_native
def test_a_compiler_that_does_not_know_the_processor_will_do(monkeypatch, tmp_path):
    find = fails_with(tmp_path, "*=native*")
    with compiled_anew(monkeypatch, tmp_path, find_compiler=find):
        assert counted(lambda: train(make("cfc", output_size=1, return_sequences=False)))


@needs_native
def test_what_was_compiled_is_kept_and_a_broken_file_replaced(monkeypatch, tmp_path):
    with compiled_anew(monkeypatch, tmp_path):
        folder = tmp_path / "ncps-mlx" / compiled().build_id

    def load(**changed):
        with compiled_anew(monkeypatch, tmp_path, **changed):
            assert compiled().functions is not None and compiled().build_id == folder.name
            assert [path.name for path in folder.parent.iterdir()] == [folder.name]
            assert {path.name for path in folder.iterdir()} == {LIBRARY, CHECKSUM}

    load()
    load(build=None)  # not called
    whole = (folder / LIBRARY).read_bytes()
    for broken in (whole[: len(whole) // 2], b"", None):  # cut short, empty, gone
        (folder / LIBRARY).unlink()
        if broken is not None:
            (folder / LIBRARY).write_bytes(broken)
        load()
        load(build=None)
    (folder / CHECKSUM).unlink()
    load()


def no_home():
    raise RuntimeError("Could not determine home directory.")


@needs_native
@pytest.mark.parametrize("changed", [{}, {"cache_folder": no_home}], ids=["not a folder", "no home"])
def test_without_a_place_to_keep_it_a_process_compiles_for_itself(monkeypatch, tmp_path, changed):
    (tmp_path / "ncps-mlx").write_text("a file")
    with compiled_anew(monkeypatch, tmp_path, **changed):
        assert counted(lambda: train(make("cfc", output_size=1, return_sequences=False)))


@needs_native
def test_other_sources_flags_and_compilers_are_compiled_anew(monkeypatch, tmp_path):
    seen = {compiled().build_id}
    for changed in (
        {},
        {"find_compiler": fails_with(tmp_path, "--no-such")},
        {"processor": lambda: "another"},
    ):
        with compiled_anew(monkeypatch, tmp_path, **changed):
            assert compiled().functions is not None
            seen.add(compiled().build_id)
    assert len(seen) == 4


@needs_native
def test_processes_that_begin_together_each_get_it(tmp_path):
    code = (
        "from ncps_mlx._kernels.native import _compile, current_native; "
        f"_compile.FLAGS = {QUICK!r}; print(current_native())"
    )
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    begun = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    (built,) = {process.communicate()[0].strip() for process in begun}
    assert built != OFF and [path.name for path in (tmp_path / "ncps-mlx").iterdir()] == [built]


def test_an_environment_variable_switches_them_off(tmp_path):
    code = (
        "from ncps_mlx._kernels.native import current_native; from ncps_mlx.__main__ import info; "
        "print(current_native(), 'switched off by NCPS_MLX_NATIVE=0' in info())"
    )
    env = {**os.environ, ENVIRONMENT: "0", "XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [OFF, "True"] and not list(tmp_path.iterdir())
