"""The child that trains CfCs of this library: the steps that ``fit`` takes, of one model or of a population."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import io
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers
import numpy as np

import ncps_mlx
from ncps_mlx import LTC, CfC, LogUniform, Space, Split, Study, Task, load, tanh_implementation
from ncps_mlx._kernels.native import current_native
from ncps_mlx._kernels.native._layer import LayerCall
from ncps_mlx._kernels.tanh import current_tanh, tanh_for
from ncps_mlx._runtime.blas import blas_name
from ncps_mlx._runtime.memory_budget import peak_memory_mb
from ncps_mlx._runtime.thread_affinity import WorkerThreadAffinity, cpu_time, find_worker
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data import irregular_sines
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._population import predict_population
from ncps_mlx.training._trainer import PopulationTrainer
from tests.bench.child import Case, serve

RATES = (1e-3, 3e-3, 1e-2, 3e-2)


def arrays_of(folder: str, members: int) -> tuple[Any, Any]:
    """Inputs (N, B, T, D) and targets (N, B, O)."""
    with np.load(Path(folder) / "arrays.npz") as arrays:
        return arrays["x"][:members], arrays["y"][:members]


def models_of(folder: str, members: int) -> list[CfC | LTC]:
    """The models."""
    return [load(Path(folder) / f"member-{i}.safetensors") for i in range(members)]


def prepare(*, folder: str, members: int, irregular: bool = False, count: int = 2000) -> PopulationTrainer:
    """A training of ``count`` steps as :func:`ncps_mlx.fit` prepares it, without clipping: the others do none.

    The first batch is each member's own; those that follow are drawn from all.
    """
    x, y = arrays_of(folder, members)
    rng, batch = np.random.default_rng(0), x.shape[1]

    def split(x: Any, y: Any) -> Split:
        time_delta = rng.uniform(0.1, 2.0, size=x.shape[:2]) if irregular else None
        return Split(x=x, y=y, time_delta=time_delta)

    first = split(x[0], y[0])
    task = Task("bench", split(x.reshape(-1, *x.shape[2:]), y.reshape(-1, *y.shape[2:])), first, first)
    member_configs = [MemberConfig(learning_rate=RATES[i % len(RATES)], clip_norm=None, seed=i) for i in range(members)]
    shared = FitConfig(steps=count, batch_size=batch)
    trainer = PopulationTrainer(models_of(folder, members), task, shared, member_configs)
    trainer.batch_rows[0] = np.arange(members * batch).reshape(members, batch)
    return trainer


def computed(trainer: PopulationTrainer) -> dict[str, Any]:
    """What :class:`tests.bench.child.Case` tells."""
    outputs = predict_population(
        trainer.model, trainer.parameters, trainer.task.validation, trainer.validation_time_steps, len(trainer.members)
    )
    losses, gradients = trainer.batch_gradient(0)
    norms = mx.sqrt(mx.square(gradients).sum(axis=1))
    return {"outputs": outputs.tolist(), "losses": losses.tolist(), "gradients": norms.tolist()}


def population(*, folder: str, members: int = 1, irregular: bool = False) -> Case:
    """What ``fit`` does between evaluations, as ``PopulationTrainer.train`` does it."""
    trainer = prepare(folder=folder, members=members, irregular=irregular)
    taken = 0
    worker_affinity = WorkerThreadAffinity()

    def run(count: int) -> None:
        nonlocal taken
        before: mx.array | None = None
        with training_stream(), worker_affinity as affinity:
            for _ in range(count):
                affinity.step()
                losses = trainer.step(taken % trainer.config.steps)
                taken += 1
                mx.async_eval(trainer.matrix, trainer.optimizer.state, losses)
                if before is not None:
                    mx.eval(before)
                before = losses
            mx.eval(trainer.matrix, trainer.optimizer.state)

    with training_stream():
        found = None if irregular else computed(trainer)
    return Case(run, found)


def plain(*, folder: str) -> Case:
    """The step that MLX's documentation writes, with its optimizer."""
    (model,) = models_of(folder, 1)
    optimizer = mlx.optimizers.Adam(1e-3, bias_correction=True)
    x, y = (mx.array(each[0]) for each in arrays_of(folder, 1))

    def loss(model: CfC) -> mx.array:
        return nn.losses.mse_loss(model(x)[0], y, reduction="mean")

    gradient = nn.value_and_grad(model, loss)

    def run(count: int) -> None:
        for _ in range(count):
            value, gradients = gradient(model)
            optimizer.update(model, gradients)
            mx.eval(value, model.parameters(), optimizer.state)

    return Case(run)


@training_stream()
def peak(*, folder: str, members: int) -> float:
    """Most megabytes in use during a training step beyond what stays: data, parameters, the optimizer's state.

    The median over steps: now and then the worker frees a little later what Python has let go of.
    """
    trainer = prepare(folder=folder, members=members, count=10)
    mx.eval(trainer.data, trainer.matrix, trainer.optimizer.state)

    def step() -> list[Any]:
        return [trainer.step(len(found)), trainer.matrix, trainer.optimizer.state]

    found: list[float] = []
    for _ in range(trainer.config.steps):
        gc.collect()
        found.append(peak_memory_mb(step))
    return float(np.median(found[1:]))  # the first step makes what stays


@contextlib.contextmanager
def timed_layers() -> Iterator[list[int]]:
    """A list of the nanoseconds that each call of a layer in C takes, as long as the context lasts."""
    spent: list[int] = []
    compiled_function = LayerCall.function

    def function(call: LayerCall, action: str) -> Any:
        compiled = compiled_function(call, action)

        def timed(*arguments: Any) -> Any:
            before = time.thread_time_ns()
            found = compiled(*arguments)
            spent.append(time.thread_time_ns() - before)
            return found

        return timed

    with mock.patch.object(LayerCall, "function", function):
        yield spent


@training_stream()
def profile(*, folder: str, members: int = 1, **size: int) -> dict[str, float]:
    """Where the processor time of a step goes: medians, milliseconds per model; and the operations in its graph."""
    trainer = prepare(folder=folder, members=members, count=40)
    worker = find_worker()
    spans = []
    with WorkerThreadAffinity() as affinity, timed_layers() as layers:
        for t in range(trainer.config.steps):
            affinity.step()
            layers.clear()
            start, computed = time.thread_time_ns(), cpu_time(worker) if worker else 0
            losses = trainer.step(t)
            built = time.thread_time_ns()
            mx.eval(trainer.matrix, trainer.optimizer.state, losses)
            end, in_c = time.thread_time_ns(), sum(layers)
            spans.append((built - start - in_c, end - built, in_c, (cpu_time(worker) if worker else 0) - computed))
    graph, handing, in_c, computing = np.median(spans, axis=0) / 1e6 / members
    written = io.StringIO()
    mx.export_to_dot(written, trainer.step(0), trainer.matrix, trainer.optimizer.state)
    operations = sum("shape=rectangle" in line for line in written.getvalue().splitlines())
    return {
        "graph": graph,
        "handing": handing,
        "in C": in_c,
        "computing": computing,
        "least": least(members=members, **size),
        "operations": operations,
    }


def least(*, members: int, inputs: int, hidden: int, backbone: int, steps: int, batch: int) -> float:
    """Processor time of a step's functions and products alone, forward and backward: milliseconds per model."""
    worker = find_worker()
    if worker is None:
        return 0.0
    with tanh_implementation(current_tanh()):
        tanh_impl = tanh_for(mx.float32)
    activation, heads = (tanh_impl.value((members, batch, width), mx.float32) for width in (backbone, 3 * hidden))

    def noise(*shape: int) -> mx.array:
        return mx.random.normal((members, *shape))

    x, u, h, d = (noise(batch, width) for width in (inputs, backbone, hidden, 3 * hidden))
    into, first, second = noise(inputs, backbone), noise(hidden, backbone), noise(backbone, 3 * hidden)
    back, out = noise(3 * hidden, backbone), noise(backbone, 3 * hidden)
    rows = [noise(width, steps * batch) for width in (inputs, hidden, backbone)]
    slopes = [noise(steps * batch, width) for width in (backbone, backbone, 3 * hidden)]
    mx.eval(x, u, h, d, into, first, second, back, out, rows, slopes)
    spans = []
    with WorkerThreadAffinity() as affinity:
        for _ in range(20):
            affinity.step()
            start = cpu_time(worker)
            for _ in range(steps):
                mx.eval(x @ into, h @ first, activation(u), u @ second, heads(d), d @ back, u @ out)
            mx.eval([row @ slope for row, slope in zip(rows, slopes, strict=True)])
            spans.append(cpu_time(worker) - start)
    return float(np.median(spans)) / 1e6 / members


def plan(*, file: str, name: str, rates: int, seeds: int, steps: int, population: int) -> str:
    """Put a study of one shape into a SQLite file: a grid of ``rates`` learning rates and ``seeds`` seeds."""
    size = {"hidden_size": 16, "backbone_units": 32, "batch_size": 32}
    study = Study(
        file,
        irregular_sines(n_train=480, n_validation=32, n_test=32, readings=50),
        Space(learning_rate=[1e-3 * 1.5**i for i in range(rates)]),
        sampler="grid",
        seeds=range(seeds),
        name=name,
        population_size=population,
        fixed={**size, "steps": steps},
    )
    return repr(study)


def untrained(storage: str | Path, trials: int, population: int = 32) -> Study:
    """A study that trains next to nothing: one step of one unit, for 10 seeds and every learning rate that is drawn.

    Rates are drawn, for Optuna writes all choices of a grid beside each trial: the more trials, the longer each row.
    """
    return Study(
        storage,
        irregular_sines(n_train=2, n_validation=2, n_test=2, readings=2),
        Space(learning_rate=LogUniform(1e-3, 3e-3)),
        trials=trials // 10,
        seeds=range(10),
        population_size=population,
        fixed={"hidden_size": 1, "backbone_units": 1, "batch_size": 2, "steps": 1},
    )


def overhead(*, trials: int, population: int) -> dict[str, float]:
    """Processor milliseconds per trial of a study in SQLite that trains next to nothing: to plan it, and in all."""
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        study = untrained(Path(folder) / "study.db", trials, population)
        planned = time.process_time()
        study.run(progress=False)
        done = time.process_time()
        if len(study.records) != trials:
            raise RuntimeError(f"{len(study.records)} of {trials} trials were trained.")
    return {"planning": 1e3 * (planned - before) / trials, "all": 1e3 * (done - before) / trials}


def planning(*, url: str, trials: int) -> float:
    """Seconds by the clock that planning such a study takes in a database."""
    before = time.perf_counter()
    untrained(url, trials)
    return time.perf_counter() - before


def facts() -> dict[str, Any]:
    """Versions, and the machine without its name."""
    versions = {name: importlib.metadata.version(name) for name in ("mlx", "numpy")}
    return {
        "ncps_mlx": ncps_mlx.__version__,
        **versions,
        "Python": platform.python_version(),
        "BLAS": blas_name(),
        "layers in C": current_native(),
    }


if __name__ == "__main__":
    functions = (population, plain, peak, profile, plan, overhead, planning)
    serve({each.__name__: each for each in functions}, facts)
