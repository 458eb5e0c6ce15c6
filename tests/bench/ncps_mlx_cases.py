"""The child that trains CfCs of this library: the steps that ``fit`` takes, of one model or of a population."""

from __future__ import annotations

import gc
import importlib.metadata
import io
import platform
import time
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers
import numpy as np

import ncps_mlx
from ncps_mlx import CfC, Space, Split, Study, Task, tanh_implementation
from ncps_mlx._kernels.tanh import current_tanh, tanh_for
from ncps_mlx._runtime.blas import blas_name
from ncps_mlx._runtime.thread_affinity import WorkerThreadAffinity, cpu_time, find_worker
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data import irregular_sines
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._trainer import PopulationTrainer
from tests.bench.child import Case, serve

RATES, SEEDS = (1e-3, 3e-3, 1e-2, 3e-2), 4


def models(members: int, inputs: int, hidden: int, backbone: int) -> list[CfC]:
    """Models that differ in their seed alone."""
    return [
        CfC(inputs, hidden, backbone_units=backbone, output_size=1, return_sequences=False, seed=i % SEEDS)
        for i in range(members)
    ]


def prepare(
    *, inputs: int, hidden: int, backbone: int, steps: int, batch: int, members: int, irregular: bool, count: int
) -> PopulationTrainer:
    """A training of ``count`` steps as :func:`ncps_mlx.fit` prepares it, without clipping: ncps does none."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        x, y = rng.normal(size=(n, steps, inputs)), rng.normal(size=(n, 1))
        return Split(x=x, y=y, time_delta=rng.uniform(0.1, 2.0, size=(n, steps)) if irregular else None)

    task = Task("bench", split(2 * batch), split(batch), split(batch))
    member_configs = [
        MemberConfig(learning_rate=RATES[i // SEEDS % len(RATES)], clip_norm=None, seed=i) for i in range(members)
    ]
    shared = FitConfig(steps=count, batch_size=batch)
    return PopulationTrainer(models(members, inputs, hidden, backbone), task, shared, member_configs)


def population(*, members: int = 1, irregular: bool = False, **sizes: int) -> Case:
    """What ``fit`` does between evaluations, as ``PopulationTrainer.train`` does it."""
    trainer = prepare(members=members, irregular=irregular, count=2000, **sizes)
    taken = 0
    worker_affinity = WorkerThreadAffinity()

    @training_stream()
    def take(count: int) -> None:
        nonlocal taken
        before: mx.array | None = None
        with worker_affinity as affinity:
            for _ in range(count):
                affinity.step()
                losses = trainer.step(taken % trainer.config.steps)
                taken += 1
                mx.async_eval(trainer.matrix, trainer.optimizer.state, losses)
                if before is not None:
                    mx.eval(before)
                before = losses
            mx.eval(trainer.matrix, trainer.optimizer.state)

    return take


def plain(*, inputs: int, hidden: int, backbone: int, steps: int, batch: int) -> Case:
    """The step that MLX's documentation writes, with its optimizer."""
    (model,) = models(1, inputs, hidden, backbone)
    optimizer = mlx.optimizers.Adam(1e-3, bias_correction=True)
    x, y = mx.random.normal((batch, steps, inputs)), mx.random.normal((batch, 1))

    def loss(model: CfC) -> mx.array:
        return nn.losses.mse_loss(model(x)[0], y, reduction="mean")

    gradient = nn.value_and_grad(model, loss)

    def take(count: int) -> None:
        for _ in range(count):
            value, gradients = gradient(model)
            optimizer.update(model, gradients)
            mx.eval(value, model.parameters(), optimizer.state)

    return take


@training_stream()
def peak(*, members: int, **sizes: int) -> int:
    """Most bytes in use during a training step, less the data."""
    trainer = prepare(members=members, irregular=False, count=4, **sizes)
    mx.eval(trainer.data, trainer.matrix, trainer.optimizer.state)
    data = sum(array.nbytes for array in trainer.data if array is not None)
    highest = 0
    for t in range(trainer.config.steps):
        gc.collect()
        mx.reset_peak_memory()
        mx.eval(trainer.step(t), trainer.matrix, trainer.optimizer.state)
        highest = max(highest, mx.get_peak_memory())
    return highest - data


@training_stream()
def profile(*, members: int = 1, **size: int) -> dict[str, float]:
    """Where the processor time of a step goes: medians, milliseconds per model; and the operations in its graph."""
    trainer = prepare(members=members, irregular=False, count=40, **size)
    worker = find_worker()
    spans = []
    with WorkerThreadAffinity() as affinity:
        for t in range(trainer.config.steps):
            affinity.step()
            start, computed = time.thread_time_ns(), cpu_time(worker) if worker else 0
            losses = trainer.step(t)
            built = time.thread_time_ns()
            mx.eval(trainer.matrix, trainer.optimizer.state, losses)
            end = time.thread_time_ns()
            spans.append((built - start, end - built, (cpu_time(worker) if worker else 0) - computed))
    graph, handing, computing = np.median(spans, axis=0) / 1e6 / members
    written = io.StringIO()
    mx.export_to_dot(written, trainer.step(0), trainer.matrix, trainer.optimizer.state)
    operations = sum("shape=rectangle" in line for line in written.getvalue().splitlines())
    return {
        "graph": graph,
        "handing": handing,
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


def facts() -> dict[str, Any]:
    """Versions, and the machine without its name."""
    versions = {name: importlib.metadata.version(name) for name in ("mlx", "numpy")}
    return {
        "ncps_mlx": ncps_mlx.__version__,
        **versions,
        "Python": platform.python_version(),
        "BLAS": blas_name(),
    }


if __name__ == "__main__":
    serve({"population": population, "plain": plain, "peak": peak, "profile": profile, "plan": plan}, facts)
