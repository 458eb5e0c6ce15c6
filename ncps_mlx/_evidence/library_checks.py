"""Assertions on what the library does: each function uses it as a reader would, and says what it saw."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ncps_mlx import stats
from ncps_mlx._evidence.seen import Seen, command_output
from ncps_mlx._predictor import load
from ncps_mlx._runtime.training_stream import training_stream
from ncps_mlx.data import glucose, irregular_sines, sunspots
from ncps_mlx.data._task import Task
from ncps_mlx.models import CfC
from ncps_mlx.search import Space, Study
from ncps_mlx.search._record import Record
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._trainer import PopulationTrainer

__all__ = [
    "accumulated_gradient_is_that_of_the_whole",
    "configuration_names_what_came_of_it",
    "git_blob_hash",
    "parameters_grow_with_width",
    "pure_has_one_head",
    "record_trains_again",
    "seeds_decide",
    "study_stops_early_and_says_when",
]


def small_study(
    task: Task, rates: Sequence[float] = (0.01,), seeds: Sequence[int] = (0,), **fixed: Any
) -> list[Record]:
    """The records of a study of a second."""
    settings = {"hidden_size": 4, "backbone_units": 4, "steps": 10} | fixed
    study = Study(None, task, Space(learning_rate=list(rates)), sampler="grid", seeds=seeds, fixed=settings)
    return list(study.run(progress=False).records)


def small_task() -> Task:
    """Data that need no package."""
    return irregular_sines(64, 24, 24, readings=8)


def arrays_of(model: CfC) -> list[mx.array]:
    """All parameters of a model."""
    pairs: Any = tree_flatten(model.parameters())
    return [array for _, array in pairs]


def parameters_grow_with_width(_: Path) -> Seen:
    """The number of parameters is what the equations say, and more hidden units have more."""
    inputs, units, outputs, widths = 3, 32, 2, (8, 16, 32, 64, 128)
    counts = []
    for width in widths:
        model = CfC(inputs, width, backbone_units=units, output_size=outputs)
        counts.append(model.parameter_count)
        held = sum(array.size for array in arrays_of(model))
        said = units * (inputs + width + 1) + 4 * width * (units + 1) + outputs * (width + 1)
        if not model.parameter_count == held == said:
            return Seen(False, f"{width} units have {held} parameters, and the equations say {said}")
    grows = counts == sorted(set(counts))
    return Seen(grows, f"A CfC of {widths[0]} to {widths[-1]} units has {counts[0]:,} to {counts[-1]:,} parameters")


def pure_has_one_head(_: Path) -> Seen:
    """Pure mode has one head where the default has four."""
    units, width = 32, 16
    heads = {}
    for mode in ("default", "pure"):
        shapes = [array.shape for array in arrays_of(CfC(3, width, backbone_units=units, mode=mode))]
        heads[mode] = sum(shape[0] for shape in shapes if len(shape) == 2 and shape[1] == units) // width
    text = f"{heads['default']} heads in the default mode, {heads['pure']} in pure mode"
    return Seen(heads == {"default": 4, "pure": 1}, text)


def accumulated_gradient_is_that_of_the_whole(_: Path) -> Seen:
    """Four batches of 64 give the gradient of one of 256 to 1e-6 of its largest number.

    In single precision one pass over 256 is itself a few 1e-6 off, for it sums in another order. So the gradient of the
    256 is taken from batches of 4, summed in double precision.
    """
    most, size = 0.0, 256
    for task in (sunspots(months_per_step=12), glucose(size, 50, 50, readings=8)):
        few = task.take(size)
        whole, accumulated = _mean_gradient(few, 64), _accumulated_gradient(few, 4)
        most = max(most, float(np.abs(whole - accumulated).max() / np.abs(whole).max()))
    said = "to 1e-6 of its largest number" if most <= 1e-6 else f"only to {most:.0e} of its largest number"
    return Seen(most <= 1e-6, f"The gradient of 4 batches of 64 is that of 256 on sunspots and glucose, {said}")


def _trainer(task: Task, parts: int) -> PopulationTrainer:
    """A training of one step over all of the task in as many batches, not clipped."""
    model = CfC(task.input_size, 16, backbone_units=32, output_size=task.output_size, return_sequences=False, seed=0)
    config = FitConfig(steps=1, batch_size=len(task.train) // parts, grad_accumulation_steps=parts)
    scaling = None if task.train.time_delta is None else "log"
    member = MemberConfig.for_each(1, {"clip_norm": None, "time_scaling": scaling, "seed": 0})
    return PopulationTrainer([model], task, config, member)


class _Recorder:
    """Stands in for the optimizer: keeps the gradient that it is given."""

    gradient: mx.array

    def update(self, matrix: mx.array, gradient: mx.array, rate: mx.array) -> mx.array:  # noqa: ARG002  # as its own
        self.gradient = gradient
        return matrix


@training_stream()
def _mean_gradient(task: Task, parts: int) -> Any:
    """The mean of the batches' gradients, in double precision."""
    trainer = _trainer(task, parts)
    each = [np.array(trainer.batch_gradient(i)[1], dtype=np.float64) for i in range(parts)]
    return np.mean(each, axis=0)


@training_stream()
def _accumulated_gradient(task: Task, parts: int) -> Any:
    """What the optimizer is given in the training's one step."""
    trainer, recorder = _trainer(task, parts), _Recorder()
    vars(trainer)["optimizer"] = recorder
    trainer.step(0)
    return np.array(recorder.gradient, dtype=np.float64)


def study_stops_early_and_says_when(_: Path) -> Seen:
    """A member without a better score stops, and its record says after which step; without patience none does."""
    every, patience, steps = 2, 2, 80
    settings: dict[str, Any] = {"steps": steps, "evaluate_every": every, "schedule": "constant"}
    watched = small_study(small_task(), rates=(0.01, 1.0), patience=patience, **settings)
    alone = small_study(small_task(), rates=(0.01, 1.0), **settings)
    stopped = [record.history for record in watched if record.status == "stopped early" and record.history]
    if not stopped or not all(each.step[-1] == each.best_step + every * patience < steps for each in stopped):
        return Seen(False, "With patience=2 no trial stopped two evaluations after its best and said so")
    if not all(record.status == "finished" and record.history and record.history.step[-1] == steps for record in alone):
        return Seen(False, "Without patience a trial did not take all its steps")
    return Seen(True, "With patience=2 a trial stops two evaluations after its best, and its record says when")


def record_trains_again(_: Path) -> Seen:
    """A record, written and read, trains to the same score and the same losses."""
    for task in (sunspots(months_per_step=12), glucose(200, 50, 50, readings=8)):
        scaling: dict[str, Any] = {} if task.train.time_delta is None else {"time_scaling": "log"}
        (record,) = small_study(task, seeds=(3,), **scaling)
        again = Record.from_json(record.to_json()).rerun(task)
        if again.score != record.score or again.history != record.history:
            return Seen(False, f"On {task.name} a record trained again to another score")
    return Seen(True, "Records of sunspots and glucose, written and read, train again to the same losses and scores")


JOB = """
[data]
task = "ncps_mlx.data:irregular_sines"
n_train = 64
n_validation = 24
n_test = 24
readings = 8

[model]
hidden_size = {hidden_size}
backbone_units = 4
steps = 10

[space]
learning_rate = [0.003, 0.01]

[search]
sampler = "grid"

[final]
seeds = [0]
output = "model.safetensors"
"""


def configuration_names_what_came_of_it(_: Path) -> Seen:
    """The hash by which git knows a configuration names what was trained, which holds it; run again it is the same."""
    names, histories = [], []
    for hidden_size in (4, 4, 5):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            file, output = Path("tuning.toml"), Path("model.safetensors")
            file.write_text(JOB.format(hidden_size=hidden_size), encoding="utf-8")
            command_output("tune", str(file), "--quiet")
            kept = output.rename(f"{git_blob_hash(file.read_bytes())}.safetensors")
            trained = load(kept)
        if trained.config["hidden_size"] != hidden_size or trained.config["learning_rate"] not in (0.003, 0.01):
            return Seen(False, "What was trained does not hold its configuration")
        names.append(kept.stem)
        histories.append(trained.histories)
    same, other = names[0] == names[1] and histories[0] == histories[1], names[0] != names[2]
    text = "A file's hash names what was trained by it; the same file gives the same scores, an edited one others"
    return Seen(same and other and histories[0] != histories[2], text)


def git_blob_hash(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def seeds_decide(_: Path) -> Seen:
    """The same seeds give the same bits, others other scores; and the spread can be printed."""
    once, twice = (
        [(record.score, record.history) for record in small_study(small_task(), seeds=(0, 1, 2))] for _ in range(2)
    )
    scores = [score for score, _ in once]
    spread = stats.interval(scores)
    holds = once == twice and len(set(scores)) == 3 and spread.low < spread.mean < spread.high and bool(str(spread))
    return Seen(holds, "Three seeds give three scores, the same seeds the same bits, and stats.interval their spread")
