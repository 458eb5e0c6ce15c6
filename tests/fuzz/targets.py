"""What is called: everything public, with arguments that are right, of which one at a time is made wrong."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from optuna.trial import FixedTrial

import ncps_mlx
from ncps_mlx import LogUniform, Space, Study, losses, records, stats
from ncps_mlx.data import Standardizer, Table, bitstream_xor, injected_anomalies, irregular_sines

__all__ = ["LEFT_OUT", "Target", "arguments_of", "has_arguments", "public_callables", "targets"]

LEFT_OUT = {
    "*.forward": "documented as the call without its checks",
    "cells.*.*": "runs inside compiled graphs; the models check what they hand on",
    "models.RecurrentModel": "abstract: CfC and LTC are made",
    "models.RecurrentModel.*": "called as CfC's and LTC's",
    "search.Edge": "made by the library, not by its users",
    "stats.Comparison": "made by the library, not by its users",
    "stats.Finding": "made by the library, not by its users",
    "stats.Interval": "made by the library, not by its users",
    "stats.Level": "made by the library, not by its users",
    "stats.Paired": "made by the library, not by its users",
    "training.BatchSize": "made by the library, not by its users",
    "training.RateRange": "made by the library, not by its users",
    "losses.*.*": "called by training, on arrays that it has checked",
    "data.FittedTable": "made by the library, not by its users",
    "training.Evaluation": "made by the library, not by its users",
    "training.Evaluation.*": "no arguments",
    "from_torch": "needs PyTorch: tests/parity",
    "plots.show": "writes files: tests/test_show.py",
    "claims.check": "trains for seconds, against a record: tests/test_build_check.py",
    "data.sunspots": "reads a package's data: one argument, checked by check_int as in the generators",
    "data.glucose": "reads a package's data, for seconds",
    "data.japanese_vowels": "reads a package's data",
    "data.co2": "reads a package's data: its arguments are checked as the generators'",
    "data.remifentanil": "reads a package's data: its arguments are checked as the generators'",
    "data.hdl": "reads a package's data: its arguments are checked as the generators'",
    "wirings.Wiring": "abstract",
    "wirings.Wiring.*": "called as AutoNCP's and others'",
    "training.RateRange.*": "of what the library made; no arguments",
    "training.Conv1d.__call__": "a layer: runs inside compiled graphs",
    "Stream": "made by Predictor.stream, which hands on its one argument",
}
"""What is not called, and why; names as shell patterns."""


@dataclass(frozen=True)
class Target:
    """One public function or method.

    Attributes:
        name: Its name without ``ncps_mlx.``, such as ``plots.sweep`` or ``Task.fold``.
        make: Gives the function itself, with a fresh object to call it on.
        case: Which of its right arguments, if there are several: ``"labels"`` for those of ``"Split: labels"``.
    """

    name: str
    make: Callable[[], Callable[..., Any]]
    case: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.case}" if self.case else self.name

    def signature(self) -> inspect.Signature:
        return inspect.signature(self.make())


def public_callables() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method, by name: a name that several packages list comes once."""
    packages = [
        each.name for each in pkgutil.iter_modules(ncps_mlx.__path__) if not each.name.startswith("_")
    ]
    seen: set[int] = set()
    for path in ("", *packages, "data.baselines"):
        module = importlib.import_module(f"ncps_mlx.{path}".rstrip("."))
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            if not callable(found) or id(found) in seen:
                continue
            seen.add(id(found))
            label = f"{path}.{name}".lstrip(".")
            yield label, found
            if inspect.isclass(found):
                for method in dir(found):
                    each = getattr(found, method)
                    public = not method.startswith("_") or method in ("__call__", "__getitem__", "__add__")
                    ours = str(getattr(each, "__module__", "")).startswith("ncps_mlx")
                    if public and callable(each) and ours:
                        yield f"{label}.{method}", each


def targets() -> list[Target]:
    """All that is called, apart from :data:`LEFT_OUT` and what takes no argument."""
    found = []
    for name, function in public_callables():
        if any(fnmatch(name, pattern) for pattern in LEFT_OUT):
            continue
        owner, _, method = name.rpartition(".")
        of_object = owner in INSTANCES and not inspect.ismethod(function)
        make = partial(_bound, owner, method) if of_object else partial(_itself, function)
        if Target(name, make).signature().parameters:
            cases = [key.removeprefix(f"{name}: ") for key in ARGUMENTS if key.startswith(f"{name}: ")]
            found += [Target(name, make, case) for case in ("", *cases)]
    return found


def _bound(owner: str, method: str) -> Any:
    """A method of a fresh object."""
    return getattr(INSTANCES[owner](), method)


def _itself(function: Any) -> Any:
    return entered if function is ncps_mlx.tanh_implementation else function


def entered(tanh: str) -> None:
    """A context manager acts when it is entered."""
    with ncps_mlx.tanh_implementation(tanh):
        pass


def has_arguments(target: Target) -> bool:
    """Whether right values are known for all that it needs."""
    try:
        arguments_of(target)
    except KeyError:
        return False
    return True


def arguments_of(target: Target) -> inspect.BoundArguments:
    """Right arguments: given below, by the function's name or the argument's, or the default."""
    signature = target.signature()
    own = ARGUMENTS.get(str(target), {})
    own = own() if callable(own) else own
    bound = inspect.BoundArguments(signature, {})
    for name, parameter in signature.parameters.items():
        if name in own:
            bound.arguments[name] = own[name]
        elif parameter.default is not inspect.Parameter.empty and name not in OPTIONAL:
            bound.arguments[name] = parameter.default
        elif parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            bound.arguments[name] = VALUES[name]()
    return bound


SMALL = {"hidden_size": 3, "backbone_units": 4, "batch_size": 16, "steps": 2}


@cache
def task() -> Any:
    return irregular_sines(n_train=24, n_validation=8, n_test=8, readings=5)


@cache
def frame() -> Any:
    rng = np.random.default_rng(0)
    groups, hours = np.repeat(list("abcdefgh"), 6), np.tile(np.arange(6.0), 8)
    return {"ward": groups, "hour": hours, "pulse": rng.normal(size=48), "pressure": rng.normal(size=48)}


COLUMNS: dict[str, Any] = {
    "features": ["pulse"],
    "target": "pressure",
    "time": "hour",
    "group": "ward",
    "window": 4,
    "unit": "h",
}


@cache
def fitted() -> Any:
    return Table(**COLUMNS).task(frame()).table


AHEAD = COLUMNS | {"features": ["pulse", "pressure"], "horizon": 1}


@cache
def predictor() -> Any:
    """Two models of a table, which forecast the next reading."""
    table_task = Table(**AHEAD).task(frame())
    fixed = {name: value for name, value in SMALL.items() if name != "hidden_size"}
    made = Study(None, table_task, Space(hidden_size=[2]), sampler="grid", fixed=fixed)
    return made.run(progress=False).best.train(seeds=(0, 1), progress=False)


def predictor_fields() -> dict[str, Any]:
    return {
        "models": predictor().models,
        "task": Table(**AHEAD).task(frame()),
        "seeds": (0, 1),
        "histories": predictor().histories,
        "config": predictor().config,
    }


def stream() -> Any:
    """A stream after three readings."""
    begun = predictor().stream()
    for hour in range(3):
        begun.push(float(hour), pulse=70.0, pressure=120.0)
    return begun


def csv() -> str:
    path = folder() / "readings.csv"
    lines = [",".join(map(str, row)) for row in zip(*frame().values(), strict=True)]
    path.write_text("\n".join([",".join(frame()), *lines]))
    return str(path)


@cache
def classes() -> Any:
    return bitstream_xor(**SIZES)


@cache
def anomalies() -> Any:
    return injected_anomalies(64)


@cache
def space() -> Any:
    return Space(hidden_size=[2, 3], learning_rate=LogUniform(1e-3, 1e-1))


def study() -> Any:
    fixed = {name: value for name, value in SMALL.items() if name != "hidden_size"}
    return Study(
        None, task(), space(), trials=2, draws_per_shape=1, seeds=(0, 1), fixed=fixed, population_size=4
    )


@cache
def trained() -> Any:
    return study().run(progress=False)


def model() -> Any:
    return ncps_mlx.CfC(1, 3, backbone_units=4, output_size=1, return_sequences=False, seed=0)


def ltc() -> Any:
    return ncps_mlx.LTC(1, 3, output_size=1, return_sequences=False, ode_unfolds=1, seed=0)


def gru() -> Any:
    return ncps_mlx.GRU(1, 3, output_size=1, return_sequences=False, seed=0)


def lstm() -> Any:
    return ncps_mlx.LSTM(1, 3, output_size=1, return_sequences=False, seed=0)


def circuit() -> Any:
    return ncps_mlx.AutoNCP(8, 2, seed=3).build(3)


def rows() -> list[dict[str, Any]]:
    return [{"learning_rate": r, "seed": s, "score": r + s} for r in (0.1, 0.2, 0.3) for s in range(3)]


@cache
def figure() -> Any:
    return ncps_mlx.plots.sweep(rows(), "learning_rate")


def folder() -> Path:
    return Path(tempfile.mkdtemp())


def saved_model() -> str:
    path = str(folder() / "model.safetensors")
    model().save(path)
    return path


def saved_records() -> str:
    path = str(folder() / "records.jsonl")
    records.save(trained().records, path)
    return path


def stored_study() -> str:
    path = str(folder() / "tuning.db")
    Study(path, task(), space(), trials=1, fixed={"steps": 2, "batch_size": 8})
    return path


VALUES: dict[str, Callable[[], Any]] = {
    "a": lambda: [1.0, 2.5, 3.0],
    "adjacency": lambda: np.array([[1, -1], [0, 1]], np.int8),
    "at": lambda: [0.0, 1.0, 2.0],
    "b": lambda: [1.5, 2.0, 3.5],
    "baselines": lambda: {"ridge": 1.0},
    "config": lambda: {"learning_rate": 1e-2, "hidden_size": 2},
    "fig": figure,
    "figure": figure,
    "failed": lambda: [True, False, False],
    "features": lambda: lambda split: split.x[..., 0],
    "groups": lambda: {"one": trained().records},
    "hidden_size": lambda: 3,
    "high": lambda: 8,
    "hyperparameter": lambda: "learning_rate",
    "input_size": lambda: 3,
    "kind": lambda: "log",
    "low": lambda: 2,
    "mask": lambda: None,
    "model": model,
    "n": lambda: 8,
    "name": lambda: "label",
    "names": lambda: ["hidden_size"],
    "output_size": lambda: 2,
    "path": lambda: str(folder() / "file"),
    "predictions": lambda: np.zeros((8, 1)),
    "progress": lambda: False,
    "q": lambda: 0.3,
    "records": rows,
    "reference": lambda: 0.1,
    "residuals": lambda: np.zeros(anomalies().test.y.shape),
    "rng": lambda: np.random.default_rng(0),
    "scores": lambda: [3.0, 1.0, 2.0],
    "seeds": lambda: (0, 1),
    "sensory_adjacency": lambda: np.array([[1, 1]], np.int8),
    "space": space,
    "split": lambda: "validation",
    "storage": lambda: None,
    "stored": lambda: 3,
    "task": task,
    "time_delta": lambda: [[1.0, 2.0, 3.0], [1.0, 1.0, 2.0]],
    "trials": lambda: 2,
    "truth": lambda: [1.0, 2.0, 3.0],
    "units": lambda: 8,
    "value": lambda: 3,
    "values": lambda: [1.0, 2.0, 3.0],
    "x": lambda: "learning_rate",
    "y": lambda: "value",
}
"""Right values by the argument's name."""

OPTIONAL = {"progress"}
"""Arguments whose default is not taken."""

SIZES: dict[str, Any] = {"n_train": 32, "n_validation": 16, "n_test": 16}
CELL = {"input_size": 3, "hidden_size": 4, "activation": "tanh", "backbone_units": 5, "backbone_layers": 1}


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(6, 4, 2)),
        "y": rng.normal(size=(6, 1)),
        "time_delta": np.ones((6, 4)),
        "mask": np.ones((6, 4), bool),
    }


def inputs() -> dict[str, Any]:
    return {
        "x": mx.zeros((2, 4, 1)),
        "state": [(mx.zeros((2, 3)),)],
        "time_delta": 1.0,
        "mask": mx.ones((2, 4), dtype=mx.bool_),
    }


def lstm_inputs() -> dict[str, Any]:
    return inputs() | {"state": [(mx.zeros((2, 3)), mx.zeros((2, 3)))]}


def split() -> Any:
    return task().validation


def measured() -> Any:
    """A split with all that one may have: weights, groups, targets that were not observed."""
    values = arrays()
    values["y"][0] = np.nan
    more = {"weight": np.arange(1.0, 7.0), "group": np.array(list("aabbcc"))}
    return values | more


def labelled() -> dict[str, Any]:
    return arrays() | {"y": np.array([0, 1, 2, 0, -1, 2]), "classes": ("rest", "run", "walk")}


def absolute_errors(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return float(np.average(np.abs(y_true - y_pred), weights=sample_weight))


def good_enough(evaluation: Any) -> bool:
    return bool(evaluation.score < 0)


def initializer() -> Any:
    import mlx.nn as nn

    return nn.init.glorot_uniform()


def cell(**more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {**CELL, "initializer": initializer(), **more}


def record_fields() -> dict[str, Any]:
    return {
        **{
            "trial": 0,
            "model": "CfC",
            "config": {"hidden_size": 3},
            "labels": {"time": "log"},
            "sizes": {"input_size": 1},
        },
        **{
            "seed": 0,
            "task": "sines",
            "data_hash": "abc",
            "metric": "rmse",
            "score": 1.5,
            "versions": {"mlx": "0.32"},
        },
        "history": trained().records[0].history,
    }


DISTRIBUTIONS: dict[str, Callable[[], Any]] = {
    "Integer": lambda: ncps_mlx.Integer(2, 8),
    "LogUniform": lambda: LogUniform(1e-3, 1e-1),
    "Uniform": lambda: ncps_mlx.Uniform(1.0, 4.0),
}

INSTANCES: dict[str, Callable[[], Any]] = {
    **DISTRIBUTIONS,
    "AutoNCP": lambda: ncps_mlx.AutoNCP(8, 2),
    "CfC": model,
    "FullyConnected": lambda: ncps_mlx.FullyConnected(5, 2),
    "GRU": gru,
    "Halving": lambda: ncps_mlx.Halving(eta=2, rungs=1),
    "History": lambda: trained().records[0].history,
    "Hyperband": lambda: ncps_mlx.Hyperband(eta=2, rungs=1),
    "LSTM": lstm,
    "LTC": ltc,
    "NCP": lambda: ncps_mlx.NCP(
        3, 2, 2, sensory_fanout=2, inter_fanout=1, recurrent_command_synapses=2, motor_fanin=1
    ),
    "Predictor": predictor,
    "Random": lambda: ncps_mlx.Random(5, 2),
    "Record": lambda: trained().records[0],
    "Space": space,
    "Split": split,
    "Stream": stream,
    "Study": study,
    "Task": task,
    "TimeScaler": lambda: ncps_mlx.TimeScaler("log").fit([1.0, 2.0]),
    "data.FittedTable": fitted,
    "data.Standardizer": lambda: Standardizer(mean=120.0, deviation=15.0),
    "data.Table": lambda: Table(**COLUMNS),
    "stats.Finding": lambda: stats.finding({"one": [1.9, 2.2, 1.8]}),
    "stats.Comparison": lambda: stats.compare(rows(), "learning_rate", 0.1),
    "wirings.Circuit": circuit,
}
"""Objects whose methods are called, by their class."""

ARGUMENTS: dict[str, Any] = {
    "AutoNCP": {"units": 8, "output_size": 2},
    "AutoNCP.from_config": lambda: {"config": ncps_mlx.AutoNCP(8, 2).config},
    "CfC.__call__": inputs,
    "CfC.export": {"length": 3},
    "FullyConnected.from_config": lambda: {"config": ncps_mlx.FullyConnected(5).config},
    "GRU": {"hidden_size": 3},
    "GRU.__call__": inputs,
    "GRU.export": {"length": 3},
    "Halving.brackets": {"trials": 9},
    "Halving.to_json": {"trials": 9},
    "History": {
        "step": (10, 20),
        "train_loss": (1.0, 0.5),
        "validation_score": (3.0, 2.0),
        "best_step": 20,
        "best_score": 2.0,
    },
    "Hyperband.brackets": {"trials": 9},
    "Hyperband.to_json": {"trials": 9},
    "LSTM": {"hidden_size": 3},
    "LSTM.__call__": lstm_inputs,
    "LSTM.export": {"length": 3},
    "LTC": {"hidden_size": 3, "initial_ranges": None, "time_constant_range": (0.1, 0.8)},
    "LTC.__call__": inputs,
    "LTC.export": {"length": 3},
    "LTC.time_constants": lambda: {name: value for name, value in inputs().items() if name != "state"},
    "LogUniform": {"low": 1e-3, "high": 1e-1},
    "LogUniform.contains": {"value": 1e-2},
    "NCP": {
        "inter_neurons": 3,
        "command_neurons": 2,
        "motor_neurons": 2,
        "sensory_fanout": 2,
        "inter_fanout": 1,
        "recurrent_command_synapses": 2,
        "motor_fanin": 1,
    },
    "NCP.from_config": lambda: {"config": INSTANCES["NCP"]().config},
    "Predictor": predictor_fields,
    "Predictor.predict": lambda: {"data": frame()},
    "Predictor.score": lambda: {"task": Table(**AHEAD).task(frame()), "by": "seed"},
    "Predictor.stream": lambda: {"state": stream().state()},
    "Random": {"units": 5, "output_size": 2, "sparsity_level": 0.5},
    "Random.from_config": lambda: {"config": ncps_mlx.Random(5).config},
    "Record": record_fields,
    "Record.train": {"seeds": (0, 1), "settings": {"steps": 1}},
    "Record.from_json": lambda: {"text": trained().records[0].to_json()},
    "Space": lambda: {
        "distributions": {
            "hidden_size": [2, 3],
            "learning_rate": LogUniform(1e-3, 1e-1),
            "optimizer": ("adam", "adamw"),
        }
    },
    "Space.count": lambda: {"known": {"hidden_size": 2}},
    "Space.describe": {"name": "learning_rate"},
    "Space.example_with": {"name": "hidden_size", "value": 3},
    "Space.exists": {"name": "learning_rate", "config": {"hidden_size": 2}},
    "Space.from_json": lambda: {"written": space().to_json()},
    "Space.sample": lambda: {"pick": lambda _, each: each.bounds()[0]},
    "Split": arrays,
    "Split: weights and groups": measured,
    "Split: labels": labelled,
    "Split.__add__": lambda: {"other": split()},
    "Split.__getitem__": {"rows": np.arange(3)},
    "CfC": {"hidden_size": 3, "output_size": 2},
    "Stream.predict": {"at": 4.0},
    "Stream.push": {"time": 3.0, "reading": {"pulse": 70.0}, "values": {"pressure": 120.0}},
    "Study": lambda: {
        "fixed": {"steps": 2, "batch_size": 8},
        "trials": 2,
        "first": [{"hidden_size": 2, "learning_rate": 0.01}],
    },
    "Study.extended": lambda: {
        "name": "more",
        "space": space(),
        "seeds": (0, 1),
        "trials": 3,
        "sampler": "tpe",
        "fixed": {"steps": 2},
    },
    "Study.open": lambda: {"storage": stored_study(), "name": "study", "task": None},
    "Study.run": {"progress": False, "timeout": 5.0, "memory_mb": 100.0, "max_trials": 1},
    "Task": lambda: {
        "name": "t",
        "train": task().train,
        "validation": task().validation,
        "test": task().test,
        "labels": None,
    },
    "Task: another metric": lambda: {
        **{name: getattr(task(), name) for name in ("train", "validation", "test")},
        "metric": absolute_errors,
        "greater_is_better": False,
    },
    "Task.baselines": {"split": "test"},
    "Task.fold": {"fold": 1, "folds": 3, "kind": "shuffled"},
    "Task.score": {"predictions": np.zeros((8, 1)), "split": "test"},
    "Task.score: quantiles": {"predictions": np.zeros((8, 3)), "metric": "pinball", "loss": losses.Quantile()},
    "Task.to_units": {"values": np.zeros((8, 1))},
    "Task.with_source": lambda: {
        "factory": "ncps_mlx.data:irregular_sines",
        "arguments": {"n_train": 24, "seed": 0},
    },
    "TimeScaler.fit": {"mask": [[True, True, True], [True, True, False]]},
    "Uniform": {"low": 1.0, "high": 4.0},
    "When": lambda: {"distribution": [1, 2], "conditions": {"optimizer": "adamw"}},
    "cells.CfCCell": cell(mode="default"),
    "cells.LTCCell": cell(unfolds=2, time_constants=(0.1, 0.8), stability="bounded"),
    "cells.MixedMemory": lambda: {
        "cell": ncps_mlx.cells.CfCCell(**cell(mode="default")()),
        "input_size": 3,
        "initializer": initializer(),
        "recurrent_initializer": initializer(),
    },
    "cells.WiredCfCCell": lambda: {
        "circuit": circuit(),
        "mode": "default",
        "initializer": initializer(),
        "ncps_masks": False,
    },
    "cells.WiredLTCCell": lambda: {
        "circuit": circuit(),
        "unfolds": 2,
        "input_mapping": "affine",
        "output_mapping": "affine",
        "initial_ranges": {"leak": (0.1, 1.0)},
        "time_constants": (0.1, 0.8),
    },
    "cells.slowest_time_constant": {"activation": "tanh", "stability": "bounded"},
    "data.baselines.dtw_distances": lambda: {"a": split(), "b": split()},
    "data.baselines.majority": lambda: {"task": classes()},
    "data.FittedTable.context": {"readings": 5},
    "data.FittedTable.from_json": lambda: {"text": fitted().to_json()},
    "data.FittedTable.outputs": lambda: {
        "function": lambda split: np.zeros((*split.x.shape[:2], 1)),
        "frame": frame(),
    },
    "data.FittedTable.predict": lambda: {
        "model": ncps_mlx.CfC(1, 3, output_size=1, seed=0),
        "frame": frame(),
    },
    "data.FittedTable.to_frame": lambda: {
        "frame": frame(),
        "outputs": np.zeros((48, 1)),
        "more": {"more": np.ones(48)},
    },
    "data.Standardizer": {"mean": 120.0, "deviation": 15.0},
    "data.Standardizer.__call__": {"values": np.zeros((8, 1))},
    "data.Standardizer.from_json": {"text": Standardizer(mean=120.0, deviation=15.0).to_json()},
    "data.Table": COLUMNS,
    "data.Table.task": lambda: {"frame": frame(), "split": (0.5, 0.25, 0.25)},
    "data.from_file": lambda: {"file": csv(), "split": (0.5, 0.25, 0.25), "table": COLUMNS},
    "TimeScaler.from_config": {"config": {"kind": "log", "scale": 2.0}},
    "data.bitstream_xor": SIZES,
    "data.detection_baselines": lambda: {"task": anomalies()},
    "data.detection_scores": lambda: {"task": anomalies()},
    "data.irregular_sines": {**SIZES, "readings": 4},
    "data.load_task": lambda: {
        "path": "ncps_mlx.data:irregular_sines",
        "arguments": {"n_train": 24, "seed": 0},
    },
    "evaluate": {"split": "test"},
    "fit": lambda: {
        "steps": 2,
        "batch_size": 8,
        "patience": 2,
        "evaluate_every": 1,
        "memory_mb": 100.0,
        "backbone_dropout": 0.1,
    },
    "fit: more": lambda: {
        "steps": 2,
        "batch_size": 8,
        "loss": losses.Huber(),
        "on_evaluate": good_enough,
        "checkpoint": str(folder() / "training"),
    },
    "load": lambda: {"path": saved_model()},
    "plots.circuit": lambda: {"circuit": circuit()},
    "plots.differences": {"x": "learning_rate", "reference": 0.1, "smallest": 0.5},
    "plots.expected_best": lambda: {"studies": {"one": rows()}},
    "plots.learning_curves": lambda: {"trials": trained().records, "hue": "learning_rate"},
    "plots.lines": {"values": {"one": [1.0, 2.0, 3.0]}, "above": {"in": [1.0, 0.0, 1.0]}, "x": "t"},
    "plots.parallel": lambda: {
        "records": trained().records,
        "hyperparameters": ["learning_rate", "hidden_size"],
    },
    "plots.series": {
        "time": [0.0, 1.0, 2.0],
        "forecasts": {"one": [1.0, 1.0, 3.0]},
        "regions": [(0.5, 1.0)],
        "scores": [0.1, 0.2, 0.9],
        "threshold": 0.5,
        "x": "t",
    },
    "plots.slices": lambda: {"records": trained().records, "hyperparameters": ["learning_rate"]},
    "predict": lambda: {"split": split()},
    "records.from_scores": {
        "scores": {1: [1.0, 2.0], 2: [2.0, 3.0]},
        "names": ("level",),
        "seeds": (0, 1),
        "task": None,
        "metric": "rmse",
        "units": "m",
        "higher_is_better": False,
    },
    "records.load": lambda: {"path": saved_records()},
    "records.refit": lambda: {"records": trained().records[:1], "settings": {"steps": 1}, "seeds": (3,)},
    "records.save": lambda: {"records": trained().records},
    "records.select": lambda: {"records": trained().records, "values": {"seed": 0}},
    "records.table": lambda: {"records": trained().records, "columns": ("learning_rate", "score")},
    "records.tuned": lambda: {"records": trained().records, "names": ("hidden_size",)},
    "search.objective": lambda: {"fixed": {"steps": 2, "batch_size": 8}},
    "search.suggest": lambda: {"trial": FixedTrial({"hidden_size": 2, "learning_rate": 0.01})},
    "stats.Comparison.__getitem__": {"value": 0.2},
    "stats.compare": lambda: {"records": rows(), "show": ("learning_rate",)},
    "losses.CrossEntropy": {"class_weight": (1.0, 2.0)},
    "stats.Finding.verdict": {"direction": "more"},
    "stats.finding": {"differences": {"one": [1.9, 2.2, 1.8], "two": [0.5, 0.2, 0.4]}},
    "tanh_implementation": {"tanh": "mlx"},
    "training.find_batch_size": lambda: {
        "smallest": 8,
        "memory_mb": 200.0,
        "steps": 1,
        "repeats": 1,
        "learning_rates": (0.01,),
        "tuning_steps": 2,
    },
    "training.find_learning_rate": {"low": 1e-4, "high": 1e-1, "steps": 20, "batch_size": 8},
    "training.Conv1d": {"in_channels": 3, "out_channels": 4, "kernel_size": 2},
    "wirings.Circuit": {"output_size": 1},
    "wirings.Circuit.from_config": lambda: {"config": circuit().config},
}
"""Right values by the function's name, where those by the argument's name or the defaults do not do."""

for _name in DISTRIBUTIONS:
    ARGUMENTS.setdefault(
        f"{_name}.decode",
        lambda name=_name: {"stored": DISTRIBUTIONS[name]().encode(DISTRIBUTIONS[name]().bounds()[0])},
    )
    ARGUMENTS.setdefault(f"{_name}.encode", lambda name=_name: {"value": DISTRIBUTIONS[name]().bounds()[0]})
