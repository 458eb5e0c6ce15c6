"""Records of trials: read and written, selected and put together, as a table, and trained again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.nn as nn

from ncps_mlx._runtime.versions import versions
from ncps_mlx._trials import Result, TrialResult, check_records, record_list, tuned, varied
from ncps_mlx._utils.arrays import flat_numbers
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.json_values import format_value, to_json_value
from ncps_mlx._utils.validation import check_flag, check_path, check_seeds, check_text, did_you_mean
from ncps_mlx.data._task import Task
from ncps_mlx.search._record import Record, train_again, warn_of_other_means

__all__ = [
    "Record",
    "concat",
    "from_scores",
    "load",
    "refit",
    "save",
    "select",
    "table",
    "tuned",
    "versions",
]

ABOUT = ("trial", "model", "seed", "task", "metric", "score", "status", "reason", "seconds", "device")


def save(records: Iterable[Record], path: str | Path) -> None:
    """Write records to a file, one line of JSON each: either all of them, or the file stays as it was.

    Args:
        records: Of one study or of several; none make an empty file.
        path: The file's name; an older file is replaced. ``.jsonl`` is the customary ending.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from ncps_mlx import Record
        >>> from ncps_mlx.records import load, save
        >>> import tempfile
        >>> record = Record(trial=0, model="CfC", config={}, seed=0, task="sunspots",
        ...                 data_hash="9f86d081884c7d65", metric="rmse", score=23.1)
        >>> path = Path(tempfile.mkdtemp()) / "trials.jsonl"
        >>> save([record], path)
        >>> load(path) == [record]
        True
    """
    check_records(records)
    kept = list(records)
    lines = "".join(record.to_json() + "\n" for record in (record_list(kept) if kept else []))
    atomic_write(check_path("path", path).resolve(), lines.encode(), "The records")


def load(path: str | Path) -> list[Record]:
    """Read the records of a file that :func:`save` wrote.

    Args:
        path: The file's name.

    Raises:
        ValueError: A line is not a record; the message names it.

    Example:
        >>> from ncps_mlx.records import load, save
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "none.jsonl"
        ...     save([], path)
        ...     load(path)
        []
    """
    found = []
    for number, line in enumerate(check_path("path", path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Record.from_json(line))
        except ValueError as error:
            raise ValueError(f"path must hold records, got line {number} of {path}: {error}") from error
    return found


def select(records: Iterable[Result], **values: Any) -> list[Result]:
    """Keep the records that have given values of hyperparameters, labels, seed or status.

    Args:
        records: Records.
        **values: By name: a value of a hyperparameter, of a label that :func:`concat` gave, or of ``seed``, ``status``,
            ``model``, ``task``. A float and an integer are not the same value.

    Returns:
        list: in their order, at least one.

    Raises:
        ValueError: No records, a name that they do not have, or a value that none has.

    Example:
        >>> from ncps_mlx.records import from_scores, select
        >>> records = from_scores({4: [35.1, 34.2], 16: [30.2, 31.0]}, "hidden_size")
        >>> [record.score for record in select(records, hidden_size=16)]
        [30.2, 31.0]
        >>> select(records, hidden_size=8)
        Traceback (most recent call last):
        ...
        ValueError: hidden_size must be one of 4, 16, got 8.
    """
    kept = record_list(records)
    for name, value in values.items():
        wanted = repr(to_json_value(name, value))
        own = [repr(_value(record, name, "values")) for record in kept]
        chosen = [record for record, text in zip(kept, own, strict=True) if text == wanted]
        if not chosen:
            known = ", ".join(dict.fromkeys(own))
            raise ValueError(f"{name} must be one of {known}, got {value!r}.")
        kept = chosen
    return kept


def concat(groups: Mapping[Any, Iterable[Record]], name: str) -> list[Record]:
    """Put the records of several studies together, each labelled with the study it comes from.

    For one study each of several forms of a task (time on several scales, more and fewer sequences) or of models that
    differ in more than one hyperparameter. Figures, :func:`ncps_mlx.stats.compare`, :func:`tuned` and :func:`select`
    take the label as one more; what was trained stays as it is, so labelled records can be rerun.

    Args:
        groups: The records of each study, by their label: a number, a text, or what else a hyperparameter may be.
        name: What the label is called, for instance ``"sequences"``.

    Returns:
        list: new records, in the order of the groups.

    Raises:
        ValueError: No groups, an empty one, or a name that is a hyperparameter or a label already.

    Example:
        >>> from ncps_mlx import Space, Study
        >>> from ncps_mlx.data import irregular_sines
        >>> from ncps_mlx.records import concat
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> forms = {"log": task.scaled_time("log"), "none": task.without_time()}
        >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 5}
        >>> groups = {time: Study(None, form, Space(learning_rate=[0.01]), sampler="grid", fixed=fixed)
        ...           .run(progress=False).records for time, form in forms.items()}
        >>> [record.labels for record in concat(groups, "time")]
        [{'time': 'log'}, {'time': 'none'}]
    """
    if not isinstance(groups, Mapping):
        raise ValueError(f"groups must map each label to its records, got {type(groups).__name__}.")
    if not groups:
        raise ValueError("groups must hold at least 1 group of records, got none.")
    check_text("name", name)
    found = []
    for value, records in groups.items():
        check_records(records, f"groups[{value!r}]")
        if not (group := list(records)):
            raise ValueError(f"groups must hold at least 1 record each, got none for {value!r}.")
        record_list(group, f"groups[{value!r}]")
        for record in group:
            if name in record.hyperparameters or name in ABOUT:
                raise ValueError(f"name must be no hyperparameter or field of records, got {name!r}. Choose another.")
            found.append(replace(record, labels={**record.labels, name: value}))
    return found


def from_scores(
    scores: Mapping[Any, Iterable[float]],
    *names: str,
    task: Task | None = None,
    seeds: Iterable[int] | None = None,
    metric: str | None = None,
    units: str | None = None,
    higher_is_better: bool | None = None,
) -> list[Record]:
    """Make records of scores that were measured without a study, for figures and comparisons.

    Args:
        scores: The scores of each level, one for each seed; a level of several hyperparameters is a tuple.
        *names: What the levels are called: one name, or one for each part of the tuples.
        task: Gives its name, metric and unit, and the direction of the score.
        seeds: One for each score of a level. Default: 0, 1, 2, ...
        metric: What the scores are; default the task's, else ``"score"``.
        units: Their unit; default the task's for its own metric, else none.
        higher_is_better: Their direction; default the task's for its own metric, else False.

    Returns:
        list: one record for each score, with no model to build; a score that is not finite is a diverged trial.

    Raises:
        ValueError: No scores, no name, a level that has not one value for each name, or not one score for each seed.

    Example:
        >>> from ncps_mlx import stats
        >>> from ncps_mlx.records import from_scores
        >>> records = from_scores({"ridge": [1.0, 1.1, 1.0], "CfC": [0.8, 1.0, 0.9]}, "forecaster")
        >>> print(stats.compare(records, "forecaster", "ridge"))
        forecaster  score             minus ridge  better in
        ridge        1.03
        CfC          0.90  -0.13 [-0.28, +0.01]     3 of 3
    """
    if not names:
        raise ValueError('names must say what the levels are called, got none: from_scores(scores, "network").')
    for name in names:
        check_text("names", name)
    if not isinstance(scores, Mapping):
        raise ValueError(f"scores must map each level to its scores, got {type(scores).__name__}.")
    if task is not None and not isinstance(task, Task):
        raise ValueError(f"task must be a Task or None, got {type(task).__name__}.")
    if not scores:
        raise ValueError("scores must hold at least 1 level, got none.")
    own = task is not None and metric in (None, task.metric)
    if task is not None and own:
        metric, units = metric or task.metric, task.score_units if units is None else units
        higher_is_better = task.higher_is_better if higher_is_better is None else higher_is_better
    places = None if seeds is None else check_seeds(seeds)
    higher_is_better = None if higher_is_better is None else check_flag("higher_is_better", higher_is_better)
    for name, text in (("metric", metric), ("units", units)):
        if text is not None:
            check_text(name, text)
    found: list[Record] = []
    for level, given in scores.items():
        values = flat_numbers(f"scores[{level!r}]", given).tolist()
        if not values:
            raise ValueError(f"scores must hold at least 1 score each, got none for {level!r}.")
        parts = (level,) if len(names) == 1 else level
        if not isinstance(parts, tuple) or len(parts) != len(names):
            raise ValueError(f"scores must have levels of {len(names)} values ({', '.join(names)}), got {level!r}.")
        if places is not None and len(places) != len(values):
            raise ValueError(f"seeds must be as many as the scores of {level!r} ({len(values)}), got {len(places)}.")
        found += [
            Record(
                trial=len(found) + i,
                model="",
                config=dict(zip(names, parts, strict=True)),
                seed=i if places is None else places[i],
                task="" if task is None else task.name,
                data_hash="" if task is None else task.data_hash,
                metric=metric or "score",
                units=units or "",
                higher_is_better=bool(higher_is_better),
                score=score,
                status="finished" if math.isfinite(score) else "diverged",
            )
            for i, score in enumerate(values)
        ]
    return found


def table(records: Iterable[TrialResult], *columns: str) -> dict[str, list[Any]]:
    """Return records as columns, one row for each: ``pandas.DataFrame(table(records))`` is a frame.

    Args:
        records: Records, of one study or of several.
        *columns: Names of hyperparameters, labels or fields. Default: trial, the hyperparameters that vary, seed,
            score, status, seconds.

    Returns:
        dict: a list for each column. A wiring is written as text; a hyperparameter that a record lacks is ``None``.

    Raises:
        ValueError: No records, or a column that none of them has.

    Example:
        >>> from ncps_mlx.records import from_scores, table
        >>> records = from_scores({4: [35.1, 34.2], 16: [30.2, 31.0]}, "hidden_size")
        >>> table(records, "hidden_size", "seed", "score")
        {'hidden_size': [4, 4, 16, 16], 'seed': [0, 1, 0, 1], 'score': [35.1, 34.2, 30.2, 31.0]}
    """
    given = record_list(records)
    for column in columns:
        check_text("columns", column)
    names = list(columns) or ["trial", *varied(given), "seed", "score", "status", "seconds"]
    known = {name for record in given for name in record.hyperparameters}
    found = {}
    for name in names:
        values = [
            record.hyperparameters.get(name) if name in known else _value(record, name, "columns") for record in given
        ]
        found[name] = [format_value(value) if isinstance(value, Mapping) else value for value in values]
    return found


def refit(
    records: Iterable[Record],
    task: Task,
    *,
    seeds: Sequence[int] | None = None,
    progress: bool = True,
    **settings: Any,
) -> list[nn.Module]:
    """Train the models of records again, to score them on the test split or to use them.

    Records of one shape are trained together, as a population. On the same machine and versions the CPU gives the same
    bits as when the records were written. A pruned trial is trained to its end.

    Args:
        records: Which configurations, each with its seed.
        task: The task of the records, with the same data.
        seeds: Train each record's configuration with every one of these seeds, instead of its own.
        progress: Show a progress bar for each shape (default True).
        **settings: Hyperparameters to change, for instance ``steps=400``.

    Returns:
        list: a trained model for each record, or with ``seeds`` for each seed of each record, in their order.

    Raises:
        ValueError: No records, one that lacks a hyperparameter, a task with other data, or a setting that is no
            hyperparameter.

    Warns:
        UserWarning: Versions, BLAS, layers in C or device are others than the records': it says which. Not where other
            seeds or settings make other trainings of them anyway.

    Example:
        >>> from ncps_mlx import Space, Study, evaluate
        >>> from ncps_mlx.data import irregular_sines
        >>> from ncps_mlx.records import refit, tuned
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", seeds=(0, 1),
        ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
        >>> winners = tuned(study.records)
        >>> models = refit(winners, task, progress=False)
        >>> evaluate(models, task, "validation") == [record.score for record in winners]
        True
    """
    kept = record_list(records)
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, got {type(task).__name__}.")
    if seeds is not None:
        numbers = check_seeds(seeds)
        if not numbers:
            raise ValueError("seeds must hold at least 1 seed, got none. Leave it out for the records' own.")
        kept = [replace(record, seed=seed) for record in kept for seed in numbers]
    if seeds is None and not settings:
        warn_of_other_means(kept, stacklevel=2)
    return [model for model, _ in train_again(kept, task, settings, progress=progress)]


def _value(record: TrialResult, name: str, argument: str) -> Any:
    """Return a record's hyperparameter, label or field."""
    own = record.hyperparameters
    if name in own:
        return own[name]
    if name in ABOUT:
        return getattr(record, name)
    known = ", ".join(sorted(own))
    raise ValueError(
        f"{argument} must be hyperparameters of every record ({known}) or fields of it, got {name!r}."
        f"{did_you_mean(name, own)}"
    )
