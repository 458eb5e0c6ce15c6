"""Record what makes a sweep slow, and what makes its numbers differ: the same sweep under other circumstances.

``python -m docs.evidence.symptoms_runs`` runs the sweep in a process of its own under each circumstance, in turn, and
in as many rounds as ``symptoms_runs.jsonl`` beside this file still lacks. A row holds one run: the processor's seconds
that training took, and the scores. ``symptoms_table.py`` compares each with the sweep as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docs.evidence.xor import code, device, read, write
from ncps_mlx import LTC, CfC, FullyConnected, fit, records, tanh_implementation
from ncps_mlx.data import glucose

__all__ = ["AS_IT_IS", "CIRCUMSTANCES", "RECORD", "ROUNDS", "Circumstance", "record", "sweep"]

RECORD = Path(__file__).with_suffix(".jsonl")
ROUNDS = 5
MEMBERS = 16
AS_IT_IS = "as it is"
ROOT = Path(__file__).resolve().parents[2]

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Circumstance:
    """How a run of the sweep differs: 16 CfCs of 16 units on glucose, 60 steps, one population.

    Args:
        environment: Variables of the process.
        model: Arguments of the models.
        fit: Arguments of the training.
        data: Arguments of the task.
        kind: The model.
        model_seed: Added to the models' seeds; ``None`` leaves them without one.
        fit_seed: Added to the seeds of the training.
        is_alone: Whether the models are trained one after the other.
        tanh: How tanh is computed.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    kind: type[CfC] | type[LTC] = CfC
    model_seed: int | None = 0
    fit_seed: int = 0
    is_alone: bool = False
    tanh: str = ""


def ltc(**model: Any) -> Circumstance:
    """The same with LTCs."""
    return Circumstance(kind=LTC, model=model)


CIRCUMSTANCES: Mapping[str, Circumstance] = {
    AS_IT_IS: Circumstance(),
    "again": Circumstance(),
    "one model after the other": Circumstance(is_alone=True),
    "layers in C switched off": Circumstance(environment={"NCPS_MLX_NATIVE": "0"}),
    "the BLAS of the MLX wheel": Circumstance(environment={"NCPS_MLX_BLAS": "none"}),
    "two BLAS threads": Circumstance(environment={"OPENBLAS_NUM_THREADS": "2"}),
    "the BLAS kernel of an older processor": Circumstance(environment={"OPENBLAS_CORETYPE": "Sandybridge"}),
    "another tanh": Circumstance(tanh="exp2"),
    "evaluation after every step": Circumstance(fit={"evaluate_every": 1}),
    "batches of 8 for as many sequences": Circumstance(fit={"batch_size": 8, "steps": 240, "evaluate_every": 60}),
    "batches of 128 for as many sequences": Circumstance(fit={"batch_size": 128, "steps": 15, "evaluate_every": 5}),
    "64 units": Circumstance(model={"hidden_size": 64, "backbone_units": 64}),
    "twice as many readings": Circumstance(data={"readings": 16}),
    "another order of the data": Circumstance(fit_seed=1000),
    "other initial weights": Circumstance(model_seed=1000),
    "no seed for the initial weights": Circumstance(model_seed=None),
    "another draw of the data": Circumstance(data={"seed": 1}),
    "LTC with 1 unfold": ltc(ode_unfolds=1),
    "LTC with 2 unfolds": ltc(ode_unfolds=2),
    "LTC with 6 unfolds": ltc(),
    "LTC with 6 unfolds and mixed memory": ltc(mixed_memory=True),
    "LTC with 6 unfolds and layers in C switched off": Circumstance(kind=LTC, environment={"NCPS_MLX_NATIVE": "0"}),
    "wired LTC with 6 unfolds and all synapses": ltc(wiring=FullyConnected(16)),
    "wired LTC with 6 unfolds and layers in C switched off": Circumstance(
        kind=LTC, model={"wiring": FullyConnected(16)}, environment={"NCPS_MLX_NATIVE": "0"}
    ),
}
"""By name; the first is what the others are compared with."""


def sweep(circumstance: Circumstance) -> Row:
    """Train the sweep in this process, and tell the processor's seconds and the scores."""
    task = glucose(**{"n_train": 2000, "n_validation": 500, "n_test": 10, "readings": 8} | dict(circumstance.data))
    size = {} if "wiring" in circumstance.model else {"hidden_size": 16}
    width = {"backbone_units": 16} if circumstance.kind is CfC else {}
    training: dict[str, Any] = {"steps": 60, "evaluate_every": 20, "time_scaling": "log", "progress": False}
    training |= circumstance.fit

    def build() -> list[Any]:
        return [
            circumstance.kind(
                **task.sizes,
                **size | width | dict(circumstance.model),
                seed=None if circumstance.model_seed is None else member + circumstance.model_seed,
            )
            for member in range(MEMBERS)
        ]

    seeds = [member + circumstance.fit_seed for member in range(MEMBERS)]
    with tanh_implementation(circumstance.tanh) if circumstance.tanh else nullcontext():
        fit(build()[: 1 if circumstance.is_alone else MEMBERS], task, **training | {"steps": 3})  # what is done once
        models, start = build(), time.process_time()
        if circumstance.is_alone:
            histories = [fit(model, task, seed=seed, **training) for model, seed in zip(models, seeds, strict=True)]
        else:
            histories = fit(models, task, seed=seeds, **training)
        seconds = time.process_time() - start
    return {"seconds": round(seconds, 4), "scores": [float(f"{each.best_score:.7g}") for each in histories]}


def run(name: str) -> Row:
    """Run the sweep in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NCPS_MLX_")}
    environment |= {"OPENBLAS_NUM_THREADS": "1", **CIRCUMSTANCES[name].environment}
    command = [sys.executable, "-m", "docs.evidence.symptoms_runs", "--run", name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the sweep failed under {name!r}: {done.stderr[-500:]}")
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def record(path: Path = RECORD) -> None:
    """Run what a record lacks, round by round, so that what else the machine does falls on all alike."""
    rows = [row for row in read(path) if row.get("circumstance") in CIRCUMSTANCES]
    write(rows, path)
    done = {(row["circumstance"], row["round"]) for row in rows}
    for number in range(ROUNDS):
        for name in CIRCUMSTANCES:
            if (name, number) in done:
                continue
            row = {"circumstance": name, "round": number} | run(name)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")
            print(f"round {number}: {name}, {row['seconds']:.2f} s", flush=True)
    names = list(CIRCUMSTANCES)
    rows = sorted(
        (row for row in read(path) if "circumstance" in row),
        key=lambda row: (names.index(row["circumstance"]), row["round"]),
    )
    about = {"about": {"code": code(), "device": device(), "versions": records.versions()}}
    write([about, *rows], path)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", choices=CIRCUMSTANCES, help="run the sweep once in this process, and print the row")
    name = parser.parse_args().run
    if name:
        print(json.dumps(sweep(CIRCUMSTANCES[name])))
    else:
        record()


if __name__ == "__main__":
    main()
