"""Record what is seen when one thing is wrong with a training: each fault alone, beside a training without any.

``python -m docs.evidence.symptoms`` trains whatever ``symptoms.jsonl`` beside this file still lacks, one population
after the other, and adds each as it ends: stop it at any time. Once all are there the file is sorted. ``--dry-run``
says what is missing. A row holds one training: its losses and scores, how many gates stand still, and its score once
gaps are shuffled. ``symptoms_table.py`` counts in how many trainings each fault shows each symptom: the order of the
causes on the pages of ``docs/symptoms``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from docs.evidence.xor import code, device, read, write
from ncps_mlx import LTC, CfC, Task, evaluate, fit, records
from ncps_mlx._evidence.tasks import in_unit, z_scored
from ncps_mlx.data import Split, co2, glucose, remifentanil, sunspots

__all__ = ["CHANGES", "HEALTHY", "RECORD", "SEEDS", "TASKS", "Change", "plan", "record", "share_of_still_gates"]

RECORD = Path(__file__).with_suffix(".jsonl")
SEEDS = range(100, 110)
HEALTHY = "nothing"

Row = dict[str, Any]
Form = Callable[[Task], Task]

TASKS: Mapping[str, Callable[[], Task]] = {
    "glucose": lambda: glucose(2000, 500, 1000, readings=8),
    "co2": lambda: co2(2000, 500, 1000, readings=8),
    "remifentanil": lambda: remifentanil(readings=5),
    "sunspots": lambda: sunspots(months_per_step=12),
}
TIMELESS = ("sunspots",)  # each step lasts 1

MODELS: Mapping[str, tuple[type[CfC] | type[LTC], dict[str, Any]]] = {
    "CfC": (CfC, {"hidden_size": 16, "backbone_units": 16}),
    "LTC": (LTC, {"hidden_size": 16}),
}
TRAINING: dict[str, Any] = {"steps": 300, "evaluate_every": 15, "learning_rate": 0.01}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What differs from a healthy training.

    Args:
        model: Arguments of the model.
        fit: Arguments of the training.
        form: What is done to the task.
        models: Which models it is made to.
        needs_time: Whether it concerns gaps, so that tasks without any are left out.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    form: Form | None = None
    models: Sequence[str] = ("CfC", "LTC")
    needs_time: bool = False


def changed(task: Task, change: Callable[[Split], dict[str, Any]], splits: Sequence[str], **more: Any) -> Task:
    """The task with other arrays in some splits."""
    new = {name: replace(task.splits[name], **change(task.splits[name])) for name in splits}
    return task._with(**new, **more, parent=None)


ALL = ("train", "validation", "test")


def raw_targets(task: Task) -> Task:
    """Targets in real units."""
    inverse = task.inverse
    if inverse is None:
        raise ValueError(f"task must have an inverse, got {task}.")
    return changed(task, lambda split: {"y": np.asarray(inverse(split.y))}, ALL, inverse=None)


def raw_inputs(task: Task) -> Task:
    """Inputs as far from 0, and as wide, as glucose is in mg/dl."""
    return changed(task, lambda split: {"x": 150 + 50 * split.x}, ALL)


def wild_inputs(task: Task) -> Task:
    """One training input in 1000 a thousand times too large, as a slip of the point makes it."""

    def slip(split: Split) -> dict[str, Any]:
        return {"x": np.where(np.random.default_rng(0).random(split.x.shape) < 1e-3, 1000 * split.x, split.x)}

    return changed(task, slip, ("train",))


def gaps_of_the_reading_before(task: Task) -> Task:
    """Each reading with the gap that led to it, where the task gives the one to the next: the last gap is not told."""
    return changed(task, lambda split: {"time_delta": np.roll(np.asarray(split.time_delta), 1, axis=1)}, ALL)


def shuffled_gaps(task: Task) -> Task:
    """The validation split with the gaps of other sequences."""
    rng = np.random.default_rng(0)

    def shuffle(split: Split) -> dict[str, Any]:
        return {"time_delta": np.asarray(split.time_delta)[rng.permutation(len(split))]}

    return changed(task, shuffle, ("validation",))


def gaps(factor: float) -> Change:
    """Gaps whose mean is not 1."""
    return Change(form=lambda task: in_unit(task, factor), fit={"time_scaling": "raw"}, needs_time=True)


def rate(value: float) -> Change:
    """Another learning rate."""
    return Change(fit={"learning_rate": value})


def four(**more: Any) -> Change:
    """Four layers."""
    fit_names = {"learning_rate", "steps", "evaluate_every", "warmup_steps"}
    return Change(
        model={"num_layers": 4} | {name: value for name, value in more.items() if name not in fit_names},
        fit={name: value for name, value in more.items() if name in fit_names},
        models=("CfC",),
    )


LONG = {"steps": 1500, "evaluate_every": 75}
UNSCALED = {"time_scaling": "raw"}

CHANGES: Mapping[str, Change] = {
    HEALTHY: Change(),
    "learning rate 1": rate(1.0),
    "learning rate 0.1": rate(0.1),
    "learning rate 0.03": rate(0.03),
    "learning rate 0.003": rate(0.003),
    "learning rate 0.0001": rate(1e-4),
    "learning rate 0.00001": rate(1e-5),
    "no clipping": Change(fit={"clip_norm": None}),
    "no clipping at learning rate 0.1": Change(fit={"clip_norm": None, "learning_rate": 0.1}),
    "constant learning rate": Change(fit={"schedule": "constant"}),
    "constant learning rate 0.1": Change(fit={"schedule": "constant", "learning_rate": 0.1}),
    "batches of 2": Change(fit={"batch_size": 2}),
    "20 steps": Change(fit={"steps": 20, "evaluate_every": 1}),
    "1500 steps": Change(fit=LONG, models=("CfC",)),
    "40 sequences": Change(form=lambda task: task.take(40)),
    "200 sequences": Change(form=lambda task: task.take(200)),
    "128 units": Change(model={"hidden_size": 128}, models=("CfC",)),
    "2 units": Change(model={"hidden_size": 2}),
    "targets not standardised": Change(form=raw_targets),
    "inputs not standardised": Change(form=raw_inputs),
    "a slip in 1 of 1000 inputs": Change(form=wild_inputs),
    "initial weights 5 times as large": Change(fit={"initial_scale": 5.0}),
    "weight decay 1": Change(fit={"optimizer": "adamw", "weight_decay": 1.0}),
    "weight decay 100": Change(fit={"optimizer": "adamw", "weight_decay": 100.0}),
    "dropout 0.1": Change(model={"backbone_dropout": 0.1}, models=("CfC",)),
    "dropout 0.2": Change(model={"backbone_dropout": 0.2}, models=("CfC",)),
    "dropout 0.5": Change(model={"backbone_dropout": 0.5}, models=("CfC",)),
    "200 sequences with dropout 0.2": Change(
        form=lambda task: task.take(200), model={"backbone_dropout": 0.2}, models=("CfC",)
    ),
    "200 sequences with dropout 0.5": Change(
        form=lambda task: task.take(200), model={"backbone_dropout": 0.5}, models=("CfC",)
    ),
    "four layers": four(),
    "four layers at learning rate 0.003": four(learning_rate=0.003),
    "four layers at learning rate 0.03": four(learning_rate=0.03),
    "four residual layers at learning rate 0.03": four(learning_rate=0.03, residual=True),
    "four shared layers at learning rate 0.03": four(learning_rate=0.03, share_layers=True),
    "four layers with warm-up at learning rate 0.03": four(learning_rate=0.03, warmup_steps=30),
    "four layers for 1500 steps at learning rate 0.03": four(learning_rate=0.03, **LONG),
    "gaps 1000 times too short": gaps(0.001),
    "gaps 100 times too short": gaps(0.01),
    "gaps 10 times too short": gaps(0.1),
    "gaps 10 times too long": gaps(10.0),
    "gaps 100 times too long": gaps(100.0),
    "gaps 1000 times too long": gaps(1000.0),
    "gaps z-scored": Change(form=z_scored, fit=UNSCALED, needs_time=True),
    "gaps z-scored in mode pure": Change(
        form=z_scored, fit=UNSCALED, model={"mode": "pure"}, models=("CfC",), needs_time=True
    ),
    "gaps of the reading before": Change(form=gaps_of_the_reading_before, needs_time=True),
    "no gaps given": Change(form=Task.without_time, fit=UNSCALED, needs_time=True),
    "stability none": Change(model={"stability": "none"}, models=("LTC",)),
    "stability clip": Change(model={"stability": "clip"}, models=("LTC",)),
    "stability softplus": Change(model={"stability": "softplus"}, models=("LTC",)),
    "stability softplus with 1 unfold": Change(model={"stability": "softplus", "ode_unfolds": 1}, models=("LTC",)),
    "stability softplus with gaps 100 times too long": Change(
        model={"stability": "softplus"},
        form=lambda task: in_unit(task, 100.0),
        fit=UNSCALED,
        models=("LTC",),
        needs_time=True,
    ),
    "1 unfold": Change(model={"ode_unfolds": 1}, models=("LTC",)),
    "initial time constants 10 to 100": Change(
        model={"stability": "softplus", "time_constant_range": (10.0, 100.0)}, models=("LTC",)
    ),
    "initial time constants 0.01 to 0.09": Change(
        model={"time_constant_range": (0.01, 0.09)}, models=("LTC",)
    ),
    "mixed memory": Change(model={"mixed_memory": True}),
}
"""By what is wrong; the first is nothing. A few are cures, for the pages to count what they give back."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """What is trained at once: every seed of one change."""

    change: str
    task: str
    model: str


def plan() -> list[Population]:
    """Everything that belongs to the record, in its order."""
    return [
        Population(change=name, task=task, model=model)
        for name, change in CHANGES.items()
        for task in TASKS
        for model in change.models
        if not (change.needs_time and task in TIMELESS)
    ]


@cache
def made(task: str) -> Task:
    """A task, read once."""
    return TASKS[task]()


def train(population: Population) -> Iterator[Row]:
    """Train a population and yield its rows."""
    change = CHANGES[population.change]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # of raw targets: that is the fault
        task = made(population.task)
        task = task if change.form is None else change.form(task)
    kind, arguments = MODELS[population.model]
    layers = {"backbone_layers": 1} if change.model.get("backbone_dropout") else {}
    models = [kind(**task.sizes, **arguments | layers | dict(change.model), seed=seed) for seed in SEEDS]
    scaling = {} if population.task in TIMELESS else {"time_scaling": "normalized"}
    histories = fit(models, task, **TRAINING | scaling | dict(change.fit), seed=list(SEEDS), progress=False)
    last_gates = [share_of_still_gates(each, task.validation) for each in models]
    shuffled: list[float] = [math.nan] * len(models)
    if task.validation.time_delta is not None:
        shuffled = evaluate(models, shuffled_gaps(task), "validation")
    constant_loss = float(np.nanvar(np.asarray(task.train.y, dtype=np.float64)))
    for seed, history, gates, score in zip(SEEDS, histories, last_gates, shuffled, strict=True):
        losses = np.array(history.train_loss) / constant_loss
        at_best = history.step.index(history.best_step) if history.best_step else 0
        values = {
            "best": history.validation_score[at_best] if history.best_step else math.nan,
            "last": history.validation_score[-1],
            "constant": task.mean_score("validation"),
            "first_loss": losses[0],
            "loss_at_best": losses[at_best],
            "last_loss": losses[-1],
            "largest_loss": losses.max(),
            "still_gates": math.nan if gates is None else gates,
            "shuffled": score,
        }
        about = {"change": population.change, "task": population.task, "model": population.model}
        yield about | {"seed": seed, "status": history.status} | {key: rounded(each) for key, each in values.items()}


def rounded(value: float) -> float | None:
    """Five digits; nothing for what is not finite, which JSON has not."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def share_of_still_gates(model: Any, split: Split) -> float | None:
    """Which share of a CfC's time gates lies within 0.01 of 0 or 1 and so no longer moves; none of other models."""
    if not isinstance(model, CfC) or model.mode != "default" or model.num_layers > 1 or model.mixed_memory:
        return None
    net, units = model.layers[0].backbone, model.hidden_size
    x = mx.array(split.x)
    steps = mx.ones(split.x.shape[:2]) if split.time_delta is None else mx.array(split.time_delta)
    scaled = steps if model.time_scaler is None else mx.array(model.time_scaler.transform(np.array(steps)))
    model.eval()
    state: Any = None
    found = []
    for t in range(x.shape[1]):
        hidden = mx.zeros((len(x), units)) if state is None else state[0][0]
        heads = net.bind()(net.bind_inputs()(x[:, t]), hidden, [])
        a, b = heads[:, 2 * units : 3 * units], heads[:, 3 * units :]
        found.append(mx.sigmoid(a * scaled[:, t, None] + b))
        _, state = model(x[:, t : t + 1], state, time_delta=steps[:, t : t + 1])
    gates = mx.stack(found)
    return float(((gates < 0.01) | (gates > 0.99)).mean())


def population_of(row: Row) -> Population:
    """The population that a row came from."""
    return Population(change=row["change"], task=row["task"], model=row["model"])


def record(path: Path = RECORD) -> list[Population]:
    """Train what a record lacks, keep each population as it ends, and sort the file; return what was trained."""
    wanted = plan()
    rows = [row for row in read(path) if "change" in row and population_of(row) in wanted]
    counts: dict[Population, int] = {}
    for row in rows:
        counts[population_of(row)] = counts.get(population_of(row), 0) + 1
    whole = {each for each, count in counts.items() if count == len(SEEDS)}
    write([row for row in rows if population_of(row) in whole], path)  # one that was cut off begins again
    missing = [each for each in wanted if each not in whole]
    for number, population in enumerate(missing, start=1):
        start = time.perf_counter()
        new = list(train(population))
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, sort_keys=True) + "\n" for row in new))
        print(f"{number} of {len(missing)}: {population}, {time.perf_counter() - start:.1f} s", flush=True)
    order = {each: place for place, each in enumerate(wanted)}
    rows = sorted(read(path), key=lambda row: (order[population_of(row)], row["seed"]))
    about = {"about": {"code": code(), "device": device(), "versions": records.versions()}}
    write([about, *rows], path)
    return missing


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="say what is missing and train nothing")
    if parser.parse_args().dry_run:
        there = {population_of(row) for row in read(RECORD) if "change" in row}
        print("\n".join(str(each) for each in plan() if each not in there) or "nothing is missing")
    else:
        record()


if __name__ == "__main__":
    main()
