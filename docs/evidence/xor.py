"""Record bit-stream XOR: the table of the CfC paper on streams that training never saw.

``python xor.py`` trains whatever ``xor.jsonl`` beside this file still lacks, one population after the other, and adds
each as it ends: stop it at any time. Once all are there the file is sorted. ``--dry-run`` says what is missing.
A row holds one training with the accuracy on its validation and test streams, or one classical baseline.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ncps_mlx
from ncps_mlx import LTC, CfC, FullyConnected, Task, evaluate, fit, records
from ncps_mlx.data import bitstream_xor

__all__ = [
    "BASELINES",
    "ENCODINGS",
    "MODELS",
    "PROTOCOLS",
    "RECORD",
    "Population",
    "Protocol",
    "build",
    "model_seed",
    "plan",
    "read",
    "record",
    "task_of",
]

RECORD = Path(__file__).with_suffix(".jsonl")
ENCODINGS = ("event", "dense")
MODELS = ("CfC", "CfC pure", "CfC no_gate", "CfC mixed memory", "LTC", "LTC wired")
BASELINES = ("majority", "nearest neighbour", "boosted trees")
UNFOLDS = 2  # solver steps of the LTCs
WIRED_UNITS = 8  # of the wired LTC, whose synapses grow with the square

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one length of streams is learnt; the same for every model.

    Args:
        encodings: How the streams are shown.
        draws: Seeds of the hold-out, each with its own training, validation and test streams.
        seeds: Seeds of the models trained on each draw.
        n_train: Training sequences; likewise ``n_validation`` and ``n_test``.
        hidden_size: Units, and width of the backbone.
        steps: Updates.
        evaluate_every: Updates between looks at the validation streams; the parameters of the best look are kept.
        batch_size: Sequences per update.
        learning_rates: The grid from which validation chooses.
    """

    encodings: tuple[str, ...] = ENCODINGS
    draws: tuple[int, ...]
    seeds: tuple[int, ...]
    n_train: int
    n_validation: int
    n_test: int
    hidden_size: int
    steps: int
    evaluate_every: int
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (0.005, 0.01, 0.02)


# Fixed on draws that are not among these, before any score of these was looked at. Eight steps hold few streams. Which
# of them are held out matters most: ten draws. Some twenty are for validation, too few to choose among parameters:
# one look, at the end. Twelve and sixteen steps hold thousands of streams: one draw, five seeds, ten looks.
SHORT = Protocol(
    draws=tuple(range(10, 20)),
    seeds=(0,),
    n_train=2000,
    n_validation=500,
    n_test=1000,
    hidden_size=32,
    steps=1200,
    evaluate_every=1200,
)
LONG = Protocol(
    draws=(10,),
    seeds=tuple(range(5)),
    n_train=20_000,
    n_validation=1000,
    n_test=2000,
    hidden_size=16,
    steps=4000,
    evaluate_every=400,
)
PROTOCOLS = {8: SHORT, 12: LONG, 16: LONG}


@dataclass(frozen=True, kw_only=True)
class Population:
    """What is trained at once: one model on one draw, at every learning rate and seed; or the baselines of a draw."""

    length: int
    encoding: str
    draw: int
    model: str


def plan(protocols: Mapping[int, Protocol] = PROTOCOLS) -> list[Population]:
    """Everything that belongs to the record, in the order in which it is trained."""
    return [
        Population(length=length, encoding=encoding, draw=draw, model=model)
        for encoding in ENCODINGS
        for length, protocol in protocols.items()
        if encoding in protocol.encodings
        for model in ("baselines", *MODELS)
        for draw in protocol.draws
    ]


def task_of(population: Population, protocol: Protocol) -> Task:
    """The streams of a population's draw."""
    sizes = (protocol.n_train, protocol.n_validation, protocol.n_test)
    return bitstream_xor(population.length, population.encoding, *sizes, seed=population.draw)


def build(model: str, hidden_size: int, seed: int) -> CfC | LTC:
    """The untrained model."""
    ends: dict[str, Any] = {"output_size": 2, "return_sequences": False, "seed": seed}
    if model == "LTC wired":
        return LTC(1, wiring=FullyConnected(WIRED_UNITS), ode_unfolds=UNFOLDS, **ends)
    if model == "LTC":
        return LTC(1, hidden_size, ode_unfolds=UNFOLDS, **ends)
    kind = model.removeprefix("CfC").strip()
    if kind == "mixed memory":
        return CfC(1, hidden_size, backbone_units=hidden_size, mixed_memory=True, **ends)
    return CfC(1, hidden_size, backbone_units=hidden_size, mode=kind or "default", **ends)


def train(population: Population, protocol: Protocol) -> Iterator[Row]:
    """Train a population (or measure its baselines) and yield its rows."""
    task = task_of(population, protocol)
    about = asdict(population) | {"data_hash": task.data_hash}
    if population.model == "baselines":
        for name, score in task.baselines().items():
            yield about | {"model": name, "test": score}
        return
    members = [
        (rate, model_seed(population.draw, seed))
        for rate in protocol.learning_rates
        for seed in protocol.seeds
    ]
    models = [build(population.model, protocol.hidden_size, seed) for _, seed in members]
    start = time.perf_counter()
    histories = fit(
        models,
        task,
        steps=protocol.steps,
        batch_size=protocol.batch_size,
        evaluate_every=protocol.evaluate_every,
        learning_rate=[rate for rate, _ in members],
        seed=[seed for _, seed in members],
        progress=False,
    )
    seconds = round((time.perf_counter() - start) / len(members), 2)
    tested = evaluate(models, task)
    here = {"seconds": seconds, "device": device(), "versions": records.versions(), "code": code()}
    for (rate, seed), model, history, test in zip(members, models, histories, tested, strict=True):
        diverged = history.status == "diverged"
        yield (
            about
            | here
            | {
                "seed": seed,
                "learning_rate": rate,
                "hidden_size": model.hidden_size,
                "parameters": model.parameter_count,
                "steps": protocol.steps,
                "batch_size": protocol.batch_size,
                "best_step": history.best_step,
                "validation": None if diverged else history.best_score,
                "test": None if diverged else test,
                "status": history.status,
                "reason": history.reason,
            }
        )


def model_seed(draw: int, seed: int) -> int:
    """The seed of a model's parameters and of its data's order: another on every draw."""
    return 1000 * draw + seed


def device() -> str:
    """What the models were trained on."""
    import mlx.core as mx

    kind = str(mx.default_device()).removeprefix("Device(").split(",")[0]
    return f"{kind}, {platform.system()} {platform.machine()}"


def code() -> str:
    """A digest of the library's source (12 hex digits)."""
    files = sorted(Path(ncps_mlx.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def order(row: Row) -> tuple[Any, ...]:
    """Where a row stands in the finished file."""
    models = (*BASELINES, *MODELS)
    place = (row["length"], ENCODINGS.index(row["encoding"]), models.index(row["model"]))
    return (*place, row["draw"], row.get("learning_rate", 0), row.get("seed", 0))


def population_of(row: Row) -> Population:
    """The population that a row came from."""
    model = "baselines" if row["model"] in BASELINES else row["model"]
    return Population(length=row["length"], encoding=row["encoding"], draw=row["draw"], model=model)


def read(path: Path) -> list[Row]:
    """The rows of a record; a line that was cut off when the recording was killed is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def write(rows: Iterable[Row], path: Path) -> None:
    """Replace a record at once."""
    beside = path.with_suffix(".new")
    beside.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows), encoding="utf-8")
    beside.replace(path)


def record(
    path: Path = RECORD, protocols: Mapping[int, Protocol] = PROTOCOLS, *, models: Iterable[str] = MODELS
) -> list[Population]:
    """Train what a record lacks, keep each population as it ends, and sort the file; return what was trained."""
    rows = read(path)
    wanted = [each for each in plan(protocols) if each.model in {"baselines", *models}]
    expected = {each: rows_of(each, protocols[each.length]) for each in wanted}
    found: dict[Population, list[Row]] = {}
    for row in rows:
        found.setdefault(population_of(row), []).append(row)
    whole = [row for each, own in found.items() if len(own) == expected.get(each, len(own)) for row in own]
    write(whole, path)  # a population that was cut off begins again
    missing = [each for each in wanted if len(found.get(each, ())) != expected[each]]
    for number, population in enumerate(missing, start=1):
        start = time.perf_counter()
        new = list(train(population, protocols[population.length]))
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, sort_keys=True) + "\n" for row in new))
        print(f"{number} of {len(missing)}: {population}, {time.perf_counter() - start:.0f} s", flush=True)
    write(sorted(read(path), key=order), path)
    return missing


def rows_of(population: Population, protocol: Protocol) -> int:
    """How many rows a population has when it is whole."""
    return (
        len(BASELINES)
        if population.model == "baselines"
        else len(protocol.learning_rates) * len(protocol.seeds)
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="*", default=MODELS, choices=MODELS, help="only these (default: all)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what is missing and train nothing")
    options = parser.parse_args()
    if options.dry_run:
        there = {population_of(row) for row in read(RECORD)}
        print("\n".join(str(each) for each in plan() if each not in there) or "nothing is missing")
    else:
        record(models=options.models)


if __name__ == "__main__":
    main()
