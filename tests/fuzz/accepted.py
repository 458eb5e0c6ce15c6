"""Values that look wrong and are right after all, each with its reason."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from typing import Any

import numpy as np

from tests.fuzz.calls import Call

__all__ = ["ACCEPTED", "reason"]

Test = Callable[[Any], bool]


def natural(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)


def number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def finite(value: Any) -> bool:
    return number(value) and abs(float(value)) < 1e308


def not_negative(value: Any) -> bool:
    return finite(value) and value >= 0


def share(value: Any) -> bool:
    return number(value) and 0 <= value <= 1


def text(value: Any) -> bool:
    return isinstance(value, str)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def none(value: Any) -> bool:
    return value is None


def numbers_inside(value: Any) -> bool:
    """Whether all that a value holds is numbers, NaN among them."""
    if isinstance(value, Mapping):
        return all(map(numbers_inside, value.values()))
    if isinstance(value, np.ma.MaskedArray):
        return False
    if hasattr(value, "tolist"):
        return numbers_inside(value.tolist())
    if isinstance(value, list | tuple):
        return all(map(numbers_inside, value))
    return number(value) or isinstance(value, np.bool_ | bool)


def finite_inside(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(finite_inside, value.values()))
    return numbers_inside(value) and bool(np.isfinite(np.asarray(value, dtype=float)).all())


def empty(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping | np.ndarray) and len(value) == 0


def texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(text, value))


def positive(value: Any) -> bool:
    return finite(value) and value > 0


def records(value: Any) -> bool:
    """Records or rows whose seeds are integers from 0: fewer, and of any score."""
    rows = value if isinstance(value, list | tuple) else [value]
    rows = [each for row in rows for each in (row if isinstance(row, list) else [row])]
    return bool(rows) and all(not isinstance(row, Mapping) or natural(row["seed"]) for row in rows)


def json_like(value: Any) -> bool:
    """What a record or a study's storage can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and json_like(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(json_like, value))
    return (
        value is None
        or isinstance(value, bool | int | str)
        or (isinstance(value, float) and math.isfinite(value))
    )


def columns(value: Any) -> bool:
    """Columns of any values, by name."""
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def table_of_readings(value: Any) -> bool:
    """A table whose times are finite, and whose readings are numbers: large ones, or NaN where there is none."""
    ages = np.asarray(value["hour"], dtype=float)
    readings = np.asarray(value["pulse"], dtype=float)
    return bool(
        np.isfinite(ages).all() and not np.isinf(readings).any() and len({*map(len, value.values())}) == 1
    )


def groups(value: Any) -> bool:
    return isinstance(value, np.ndarray) and all(text(each) or (number(each) and each == each) for each in value)


def labels(value: Any) -> bool:
    """Numbers of classes, or none."""
    return isinstance(value, np.ndarray) and all(each is None or each == -1 or natural(each) for each in value)


def stream_state(value: Any) -> bool:
    """A stream's state with other finite numbers in it."""
    return isinstance(value, Mapping) and json_like(value)


def anything(_: Any) -> bool:
    return True


def reading(value: Any) -> bool:
    """The readings of one moment: finite numbers, and nothing where one is missing."""
    return isinstance(value, Mapping) and all(
        each is None or flag(each) or finite(each) or each != each for each in value.values()
    )


def integers(value: Any) -> bool:
    """Integers to count, an iterator of them too."""
    return hasattr(value, "__next__") or (isinstance(value, list | tuple) and all(map(natural, value)))


ACCEPTED: list[tuple[str, str, Test, str]] = [
    ("*", "*seed", natural, "a seed is any integer from 0"),
    ("*", "seeds", integers, "seeds are any integers from 0"),
    ("*", "name", text, "any text is a name"),
    ("*", "reason", text, "any text is a reason"),
    ("Record", "model|task|data_hash|metric|units|device|status|reason", text, "texts are what they say"),
    ("*", "sparsity_level", share, "a share from 0 to 1"),
    ("*", "*dropout", share, "a share from 0"),
    ("CfC", "output_size", none, "its default: the state itself"),
    ("*", "output_size", natural, "as many outputs, within the neurons"),
    ("*", "output_size", none, "its default: all neurons"),
    ("*", "backbone_layers", natural, "no layer, or a few"),
    ("*", "recurrent_command_synapses", natural, "any number of draws"),
    ("*", "command_neurons", natural, "no command neurons, or a few"),
    ("*.from_config", "config", json_like, "another value in the range of its argument"),
    ("*.__call__", "state", none, "its default: zeros"),
    ("*.__call__", "mask", none, "its default: readings everywhere"),
    ("LTC.time_constants", "x|time_delta|mask", none, "its default"),
    ("LTC.time_constants", "time_delta", not_negative, "a number from 0: a time"),
    ("*.__call__", "time_delta", not_negative, "a number from 0: a time"),
    ("*.__call__", "time_delta", none, "its default: 1"),
    ("*.export", "path", text, "any text is a file's name"),
    ("*.save", "path", text, "any text is a file's name"),
    ("*.export", "length", integers, "several lengths in one file"),
    ("*.export", "length", natural, "a length"),
    ("*.export", "batch_size", integers, "several batch sizes in one file"),
    ("*.export", "batch_size", natural, "a batch size"),
    ("LTC", "initial_ranges|time_constant_range|output_size", none, "its default"),
    ("History", "best_score", number, "a score may be infinite, or NaN: the training diverged"),
    ("History", "best_step", natural, "any step"),
    ("History", "step", numbers_inside, "any steps"),
    (
        "History",
        "train_loss|validation_score",
        numbers_inside,
        "losses and scores may be infinite, or NaN: the training diverged",
    ),
    ("Record", "score", number, "a score may be infinite, or NaN: the training diverged"),
    ("*", "seconds", not_negative, "any duration from 0"),
    ("Record", "trial", natural, "any place in the plan"),
    ("Record", "config|labels|sizes|versions", json_like, "what a record can hold"),
    ("Record", "history", none, "its default"),
    ("Integer", "low|high", number, "another end of the range"),
    ("Integer", "log", flag, "a flag"),
    ("LogUniform", "low|high", positive, "another end of the range"),
    ("Uniform", "low|high", finite, "another end of the range"),
    ("*.contains", "value", anything, "any value may be asked about"),
    ("*.quantile", "q", share, "a share from 0 to 1"),
    ("*form.?ncode", "value", anything, "the identity: what a storage is given"),
    ("*form.?ecode", "stored", anything, "the identity: what a storage holds"),
    ("Integer.?ncode", "value", anything, "the identity: what a storage is given"),
    ("Integer.?ecode", "stored", anything, "the identity: what a storage holds"),
    ("When", "distribution|optimizer", json_like, "other choices; the space checks them"),
    ("When", "distribution", lambda value: isinstance(value, np.ndarray), "an array of choices"),
    ("Space", "hidden_size|learning_rate|optimizer", json_like, "other choices of the same hyperparameter"),
    (
        "Space",
        "hidden_size|learning_rate|optimizer",
        lambda value: isinstance(value, np.ndarray),
        "an array of choices",
    ),
    ("Space.count", "known", lambda value: isinstance(value, Mapping), "values of others"),
    ("Space.count", "known", none, "its default"),
    ("Space.*", "config", lambda value: isinstance(value, Mapping), "any configuration may be asked about"),
    (
        "Space.sample",
        "known|names",
        lambda value: isinstance(value, Mapping) or not value,
        "its default, or values of others",
    ),
    ("Space.sample", "pick", callable, "a function"),
    ("Space.*", "names", lambda value: empty(value) or texts(value), "no names, or the same ones"),
    (
        "Space.from_json",
        "written",
        lambda value: isinstance(value, list | tuple) and all(text(part[0]) and json_like(part) for part in value),
        "a space of fewer hyperparameters",
    ),
    ("Halving*", "eta|rungs|bracket_size|trials", natural, "a number in range"),
    ("Hyperband*", "eta|rungs|trials", natural, "a number in range"),
    ("Split", "time_delta", none, "its default: every step lasts 1"),
    ("Split", "mask", none, "its default: readings everywhere"),
    ("Split", "time_delta", numbers_inside, "a Task checks its splits' values, and says which"),
    ("Split", "x", numbers_inside, "a Task checks its splits' values, and says which"),
    ("Split", "y", numbers_inside, "a Task checks its splits' values, and says which"),
    ("Split.__getitem__", "rows", lambda value: isinstance(value, slice), "rows"),
    ("Split.__getitem__", "rows", numbers_inside, "rows, twice or none"),
    ("Study", "draws_per_shape", natural, "a number of draws"),
    ("Study", "population_size", natural, "at most as many as there are"),
    ("Study|search.objective", "fixed", none, "its default"),
    ("Study.extended", "*", none, "as it was"),
    ("Study.extended", "fixed", lambda value: {"steps"} >= value.keys() and json_like(value), "fewer settings"),
    ("Study.extended", "name", text, "any text is a name"),
    ("Study", "first", empty, "none are known"),
    ("Study.boundary", "margin", lambda value: number(value) and 0 <= value < 0.5, "another margin"),
    ("Study.run", "timeout|lease_seconds|memory_mb", positive, "a limit"),
    ("Study.run", "max_trials", natural, "a limit"),
    ("Study.run", "timeout|memory_mb|max_trials", none, "its default: no limit"),
    ("Study.run", "progress", flag, "a flag"),
    ("Task", "name|units|time_unit", text, "a name"),
    ("Task", "metric|inverse|baselines|labels", none, "its default"),
    ("Task.score", "metric", none, "its default"),
    ("Task", "baselines", callable, "a function, called when baselines are asked for"),
    ("Task", "inverse", callable, "a function, checked when it is called"),
    (
        "Task.score",
        "predictions",
        numbers_inside,
        "any numbers are predictions; infinite ones score infinitely badly",
    ),
    ("Task.to_units", "values", numbers_inside, "any numbers, of any shape"),
    ("Study", "storage", text, "any text is a file's name"),
    ("plots.*", "hyperparameters", texts, "fewer of them"),
    (
        "Study|search.objective",
        "fixed",
        lambda value: {"steps", "batch_size"} >= value.keys() and json_like(value),
        "fewer settings",
    ),
    ("Study", "trials", none, "its default"),
    ("Task.fold", "fold", natural, "a fold"),
    ("Task.fold", "gap", natural, "a number of rows"),
    ("Task.with_source", "n_train|seed", json_like, "arguments for a function that is called elsewhere"),
    ("TimeScaler.*", "time_delta", numbers_inside, "times of any shape"),
    ("TimeScaler.fit", "mask", none, "its default"),
    ("cells.CfCCell", "mask", none, "its default"),
    ("cells.MixedMemory", "input_size", natural, "a size"),
    ("cells.WiredLTCCell", "time_constants", none, "its default"),
    ("cells.WiredLTCCell", "initial_ranges", lambda value: value is None or value == {}, "its default, or fewer"),
    ("cells.WiredLTCCell", "initial_ranges", finite_inside, "another range"),
    ("cells.*", "initializer|recurrent_initializer", callable, "a callable is an initializer"),
    ("cells.*", "time_constants", finite_inside, "another range"),
    ("wirings.Circuit", "sensory_adjacency", numbers_inside, "another number of inputs"),
    ("data.FittedTable.to_frame", "frame|more", columns, "columns are handed on as they are"),
    ("data.FittedTable.to_frame", "more", none, "its default"),
    ("data.FittedTable.to_frame", "outputs", numbers_inside, "any outputs, NaN where there is no prediction"),
    ("data.*", "frame", table_of_readings, "other readings, or other groups"),
    ("data.Table|data.from_file", "target|time|group|name|units|unit", text, "another column, or name"),
    (
        "data.Table|data.from_file",
        "features",
        lambda value: isinstance(value, list | tuple) and all(map(text, value)),
        "other columns",
    ),
    ("data.Table|data.from_file", "time|group|stride|horizon|by|metric", none, "its default"),
    ("data.Table*|data.from_file", "window|stride|horizon|least|seed", natural, "a number in range"),
    ("data.detection_scores", "residuals", finite_inside, "any finite numbers"),
    ("data.irregular_sines", "noise", not_negative, "any deviation from 0"),
    ("data.load_task", "seed", natural, "a seed is any integer from 0"),
    ("data.*", "n_*", natural, "a number of sequences"),
    ("data.*", "readings", natural, "a number of readings"),
    ("data.*", "length", natural, "a number of readings"),
    (
        "fit",
        "steps|batch_size|grad_accumulation_steps|warmup_steps|patience|evaluate_every",
        natural,
        "a number in range",
    ),
    (
        "fit",
        "learning_rate|clip_norm|initial_scale|memory_mb",
        positive,
        "a number in range; one that is too large diverges, and the history says so",
    ),
    (
        "fit",
        "patience|evaluate_every|clip_norm|backbone_dropout|time_scaling|memory_mb",
        none,
        "its default, or none of it",
    ),
    ("fit", "checkpoint", text, "any text is a file's name"),
    ("fit", "checkpoint|on_evaluate|batch_size|loss", none, "its default"),
    ("fit", "on_evaluate", lambda value: callable(value) and not isinstance(value, type), "any function"),
    ("fit", "progress", flag, "a flag"),
    ("fit", "time_scaling", text, "a kind"),
    (
        "fit",
        "time_scaling|clip_norm|backbone_dropout",
        lambda value: value == [None],
        "one for the one model",
    ),
    ("fit", "weight_decay", lambda value: number(value) and value == 0, "none of it"),
    ("plots.*", "*records", records, "other trials"),
    ("plots.*", "trials", records, "other trials"),
    (
        "plots.*",
        "studies",
        lambda value: isinstance(value, Mapping) and records(list(value.values())),
        "other trials",
    ),
    ("plots.*", "studies", records, "trials of one study"),
    (
        "plots.*",
        "baselines",
        lambda value: value is None or (isinstance(value, Mapping) and not value),
        "none",
    ),
    ("plots.*", "baselines", finite_inside, "another baseline"),
    ("plots.*", "split|x|y|above_y|region_name", text, "any text is a label"),
    (
        "plots.*",
        "baselines|hue|log|above|forecasts|scores|threshold|smallest|hyperparameters",
        none,
        "its default",
    ),
    ("plots.*", "log|log_x|log_y|train|higher_is_better", flag, "a flag"),
    ("plots.*", "above", lambda value: isinstance(value, Mapping) and not value, "nothing above"),
    ("plots.lines", "at|values|above", numbers_inside, "numbers, NaN where there is none"),
    ("plots.series", "forecasts", lambda value: isinstance(value, Mapping) and not value, "no forecast"),
    ("plots.series", "regions", finite_inside, "regions, or none"),
    ("plots.series", "time|truth|forecasts|scores", numbers_inside, "numbers, NaN where there is none"),
    (
        "plots.series",
        "time",
        lambda value: isinstance(value, np.ndarray) and value.dtype.kind == "M",
        "datetimes",
    ),
    ("plots.series", "threshold", finite, "any level"),
    ("plots.differences", "smallest", positive, "any size"),
    (
        "records.from_scores",
        "scores",
        numbers_inside,
        "scores may be infinite, or NaN: those trials diverged",
    ),
    ("records.from_scores", "task|seeds|metric|units|higher_is_better", none, "its default"),
    ("records.from_scores", "metric|units|0", text, "any text is a name"),
    ("records.from_scores", "higher_is_better", flag, "a flag"),
    ("records.save", "records", lambda value: empty(value) or records(value), "no records, or fewer"),
    ("records.*", "path", text, "any text is a file's name"),
    ("records.select", "seed", lambda value: number(value) and value == 0, "the seed 0"),
    ("records.*", "records", records, "fewer records"),
    ("records.*", "groups", lambda value: isinstance(value, Mapping) and records(list(value.values())), "fewer"),
    ("records.refit", "seeds", none, "its default"),
    ("records.refit", "steps", natural, "a number in range"),
    ("records.*", "0|1", text, "another column"),
    ("stats.compare", "records", records, "other trials"),
    ("stats.compare", "show", lambda value: empty(value), "nothing to show"),
    ("stats.compare", "statistic", callable, "a function that returns a number"),
    ("stats.compare", "within|statistic", none, "its default"),
    ("stats.expected_best", "budgets", integers, "numbers of trials, or none"),
    ("stats.expected_best", "budgets", empty, "none: an empty answer"),
    ("stats.expected_best", "higher_is_better", flag, "a flag"),
    (
        "stats.*",
        "values|a|b|differences",
        finite_inside,
        "other numbers",
    ),
    ("stats.*", "confidence", lambda value: number(value) and 0 < value < 1, "another confidence"),
    ("stats.*", "scores", numbers_inside, "numbers; the worse infinity is a trial that diverged"),
    ("stats.*", "values|a|b|scores", lambda value: hasattr(value, "__next__"), "an iterator of numbers"),
    ("stats.failure_rate", "failed", lambda value: isinstance(value, list) and all(map(flag, value)), "other trials"),
    ("training.*", "steps|repeats|tuning_steps|batch_size|smallest", natural, "a number in range"),
    ("training.*", "batch_size|smallest", none, "its default"),
    ("training.*", "memory_mb|gain|low|high", positive, "a number in range"),
    ("training.find_batch_size", "learning_rates", empty, "its default: none"),
    ("training.find_batch_size", "learning_rates", integers, "rates to try"),
    ("training.find_batch_size", "learning_rates", finite_inside, "rates to try"),
    ("tanh_implementation", "tanh", text, "another implementation"),
    ("Predictor", "config", json_like, "what a file can hold"),
    ("Predictor.predict", "data", table_of_readings, "other readings, or other groups"),
    ("Predictor.stream", "state", none, "its default: a new group"),
    ("Predictor.stream", "state", stream_state, "another stream's"),
    ("Record.train", "seeds|task", none, "its default"),
    ("Split", "group|weight|classes", none, "its default"),
    ("Split", "group", groups, "names of groups: texts or numbers"),
    ("Split", "classes", texts, "other labels"),
    ("Split", "y", labels, "-1 or None is no label"),
    ("Stream.predict", "at", lambda value: finite(value) and value > 2, "a time after the last reading's"),
    ("Stream.push", "time", lambda value: finite(value) and value > 2, "a time after the last reading's"),
    ("Stream.push", "reading", reading, "other readings; what is missing may be left out"),
    ("Stream.push", "reading", none, "its default"),
    ("Stream.push", "pressure", lambda value: reading({"": value}), "another reading, or none; a flag as in a table"),
    ("GRU|LSTM", "time", none, "the gap is not read"),
    ("data.Standardizer", "mean", finite_inside, "another mean, or those of several targets"),
    ("data.Standardizer", "deviation", lambda value: finite_inside(value) and np.asarray(value).min() > 0, "others"),
    ("data.Standardizer.__call__", "values", numbers_inside, "any numbers, of any shape"),
    ("load", "trust", text, "a module, which is imported where it is needed"),
    ("losses.CrossEntropy", "class_weight", none, "its default"),
    ("losses.CrossEntropy", "class_weight", lambda value: integers(value) or finite_inside(value), "other weights"),
    ("losses.CrossEntropy", "gamma|label_smoothing", not_negative, "a number in range"),
    ("losses.Huber", "delta", positive, "another place"),
    ("losses.Quantile", "levels", finite_inside, "other levels"),
    ("evaluate", "metric", lambda value: value == [None], "the task's own"),
    ("training.Conv1d", "*", natural, "a number in range"),
]
"""Patterns of function and argument, a test of the value, and why such a value is right."""


def reason(call: Call) -> str | None:
    """Why a call may be accepted; ``None`` if it may not."""
    name, _, part = call.argument.partition("/")
    for functions, arguments, test, why in ACCEPTED:
        named = any(fnmatch(part or name, each) for each in arguments.split("|"))
        if (
            any(fnmatch(call.target.name, each) for each in functions.split("|"))
            and named
            and _holds(test, call.value)
        ):
            return why
    return None


def _holds(test: Test, value: Any) -> bool:
    try:
        return bool(test(value))
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        return False
