"""What ``ncps-mlx tune`` reads: a TOML file, its keys checked, its values made into what they stand for."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncps_mlx._utils.by_name import import_by_name
from ncps_mlx._utils.validation import check_path, check_seeds, check_text, did_you_mean
from ncps_mlx.data import Table, Task, load_task
from ncps_mlx.search import Halving, Hyperband, Study
from ncps_mlx.search._space_toml import space_from_toml

__all__ = ["HELP", "Job", "errors_name_keys", "read_job"]

HELP = """\
[data]                           # a table, split and scaled without leakage
file = "readings.csv"            # CSV or Parquet
features = ["level", "flow"]
target = "level"
horizon = 1                      # the next reading's; without it, the target of each reading itself
time = "time"                    # optional: window, stride, missing, kind, metric, split, by, seed,
group = "tank"                   # as Table and its task() take them
unit = "min"                     # of the steps of time: ns, us, ms, s (default), min, h or d
# or: task = "module:function" or "file.py:function", and its arguments beside it

[model]
class = "CfC"                    # CfC (default), LTC, GRU, LSTM, or "file.py:Class"
hidden_size = 16                 # fixed hyperparameters of the model and of fit
steps = 300

[space]                          # what varies
learning_rate = { log = [1e-3, 1e-1] }
backbone_units = [16, 32, 64]
backbone_dropout = { uniform = [0, 0.5] }
num_layers = { integer = [1, 3] }
optimizer = ["adam", "adamw"]
weight_decay = { log = [1e-4, 1e-1], when = { optimizer = "adamw" } }

[search]                         # arguments of Study and of its run()
storage = "tuning.db"            # optional: interrupted and called again, it goes on
trials = 32
seeds = [0, 1]
halving = { eta = 3, rungs = 2 }

[final]                          # the best configuration, trained anew
seeds = [0, 1, 2, 3, 4]
steps = 600                      # hyperparameters to change
output = "model.safetensors"     # what predict takes
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A tuning from a file.

    Attributes:
        task: What is learnt.
        data: The section ``[data]`` with its defaults.
        study: The arguments of :class:`Study`, but the task.
        run: Those of :meth:`Study.run`.
        seeds: Those of the final models.
        changes: Hyperparameters that the final training changes.
        output: Where the predictor goes.
        sections: The file as it was read.
    """

    task: Task
    data: Mapping[str, Any]
    study: Mapping[str, Any]
    run: Mapping[str, Any]
    seeds: list[int]
    changes: Mapping[str, Any]
    output: Path
    sections: Mapping[str, Mapping[str, Any]]


SECTIONS = ("data", "model", "space", "search", "final")
STUDY = frozenset(inspect.signature(Study).parameters) - {"task", "space", "model", "fixed"}
RUN = frozenset(inspect.signature(Study.run).parameters) - {"self", "progress"}
TABLE = frozenset(inspect.signature(Table).parameters)
SPLIT = frozenset(inspect.signature(Table.task).parameters) - {"self", "frame"}
KEYS = {"model": "class", "config": "wiring", "path": "task"}  # arguments that the file calls otherwise


def read_job(path: Path) -> Job:
    """Read a job and load its data.

    Raises:
        ValueError: The file is no TOML, a key is unknown or missing, or a value is not what its key takes.
        OSError: There is no such file, or no data.
    """
    try:
        parts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be TOML: {error}") from error
    _check_keys(str(path), parts, SECTIONS)
    for name in SECTIONS:
        if not isinstance(parts.get(name, {}), dict):
            raise ValueError(f"{name} must be a section, [{name}], got {parts[name]!r:.60}.")
    for name in ("data", "space"):
        if not parts.get(name):
            raise ValueError(f"{path} must have the section [{name}], got none.")
    model, search, final = (dict(parts.get(name, {})) for name in ("model", "search", "final"))
    for name in model.keys() & parts["space"].keys():
        raise ValueError(f"{name} must stand in [model], with one value, or in [space], got it in both.")
    _check_keys("[search]", search, STUDY | RUN)
    with errors_name_keys({"space": parts["space"], "search": search}):
        space = space_from_toml(parts["space"])
        if "halving" in search:
            search["halving"] = _halving(search["halving"])
    search.setdefault("name", path.stem)
    study = {name: value for name, value in search.items() if name in STUDY}
    study |= {
        "storage": search.get("storage"), "space": space, "model": model.pop("class", "CfC"), "fixed": model,
    }  # fmt: skip
    with errors_name_keys({"final": ("seeds", "output")}):
        seeds = check_seeds(final.pop("seeds", [0, 1, 2, 3, 4]))
        output = _output(final.pop("output", f"{path.stem}.safetensors"))
    with errors_name_keys({"data": {"file", "task", "arguments"} | TABLE | SPLIT}):
        task = _task(parts["data"])
        data = _with_defaults(parts["data"], task)
    return Job(
        task=task,
        data=data,
        study=study,
        run={name: value for name, value in search.items() if name in RUN},
        seeds=seeds,
        output=output,
        changes=final,
        sections={name: parts.get(name, {}) for name in SECTIONS},
    )


@contextmanager
def errors_name_keys(sections: Mapping[str, Collection[str]]) -> Iterator[None]:
    """Let an error, which begins with the argument that is wrong, name the section that has it as a key."""
    try:
        yield
    except (ValueError, ImportError, FileNotFoundError) as error:
        argument, space, rest = str(error).partition(" ")
        key = KEYS.get(argument, argument)
        for section, keys in sections.items():
            if key in keys:
                kinds = (kind for kind in (ImportError, FileNotFoundError) if isinstance(error, kind))
                raise next(kinds, ValueError)(f"[{section}] {key}{space}{rest}") from error
        raise


def _check_keys(where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a key that nothing reads, with those that are known."""
    for name in given:
        if name not in known:
            names = ", ".join(sorted(known))
            raise ValueError(f"{where} must not hold {name!r}.{did_you_mean(name, known)} Known: {names}.")


def _task(data: Mapping[str, Any]) -> Task:
    """The task of the section [data]."""
    if "task" in data:
        arguments = {name: value for name, value in data.items() if name != "task"}
        return load_task(data["task"], **arguments)
    if "file" not in data:
        raise ValueError('[data] must hold file = "readings.csv" or task = "module:function", got neither.')
    _check_keys("[data]", data, {"file", "task"} | TABLE | SPLIT)
    for name in ("features", "target"):
        if name not in data:
            raise ValueError(f"[data] must hold {name}, the names of columns of {data['file']!r}, got none.")
    return load_task("ncps_mlx.data:from_file", **{"name": Path(check_text("file", data["file"])).stem} | dict(data))


def _with_defaults(data: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The section [data] with what was not given: the defaults of the function that makes the task."""
    if "task" in data:
        others = _defaults(import_by_name("task", data["task"]))
    else:
        decided = {"name": task.name, "metric": task.metric, "by": "time" if data.get("group") is None else "group"}
        others = _defaults(Table) | _defaults(Table.task) | decided
    return dict(data) | {name: value for name, value in others.items() if name not in data}


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a function's arguments that a file can hold."""
    given = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    plain = (str, int, float, list, tuple)
    return {name: value for name, value in given.items() if isinstance(value, plain)}


def _output(given: Any) -> Path:
    """Where the predictor goes: into a folder that is there."""
    path = check_path("output", given)
    if not path.parent.is_dir():
        raise ValueError(f"output must lie in a folder that is there, got {given!r}.")
    return path


def _halving(given: Any) -> Halving | Hyperband:
    """``{eta = 3, rungs = 2}``, a Halving; with ``hyperband = true`` a Hyperband."""
    if not isinstance(given, dict):
        raise ValueError(f"halving must be a table such as {{ eta = 3, rungs = 2 }}, got {given!r:.60}.")
    arguments = dict(given)
    kind = Hyperband if arguments.pop("hyperband", False) else Halving
    _check_keys("halving", arguments, {"hyperband", *inspect.signature(kind).parameters})
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ValueError(f"halving must suit {kind.__name__}: {error}") from error
