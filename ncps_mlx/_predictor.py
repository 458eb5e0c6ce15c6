"""A trained thing with all it needs to be used: its models, their clock, the units of the target, its table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from numbers import Integral
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ncps_mlx._trials import History
from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import (
    check_choice,
    check_flag,
    check_int,
    check_number,
    check_path,
    check_text,
)
from ncps_mlx.data._frame import as_frame
from ncps_mlx.data._metrics import scale_of
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._table import FittedTable
from ncps_mlx.data._task import Task
from ncps_mlx.losses import Loss, Quantile
from ncps_mlx.models._load import model_of, read_file
from ncps_mlx.models._own import loss_of_model
from ncps_mlx.models._serialization import CURE, arrays_by_name, metadata_of, write_file
from ncps_mlx.stats import Interval, interval
from ncps_mlx.training._fit import evaluate
from ncps_mlx.training._fit import predict as predict_split
from ncps_mlx.training._population import shape_differences
from ncps_mlx.training._validation import check_fits, check_task

__all__ = ["Predictor", "Stream", "load"]

FORMAT = 1
"""The version of what a predictor's file holds beside its arrays; a reader refuses another."""
CLASS, ABOUT = "ncps_mlx.class", "ncps_mlx.predictor"  # keys of a file's metadata


class Predictor:
    """Trained models of one configuration, a model for each seed, with all that is needed to use them.

    Made by :meth:`Record.train <ncps_mlx.Record.train>`. Raw readings go in and real units come out: the models scale
    time themselves, the table scales features, and the target's units or labels are kept. It predicts the mean over
    its models: of their values, or of their probabilities of each class.

    Attributes:
        models: The trained models, one for each seed.
        seeds: Their seeds.
        histories: How each training went.
        config: Their hyperparameters, complete.
        table: The fitted table of a task that was made of one; ``None`` for another task.

    Example:
        >>> from ncps_mlx import Space, Study
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid",
        ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
        >>> predictor = study.best.train(seeds=range(3), progress=False)
        >>> predictor
        Predictor(3 CfC, 'irregular sines', rmse)
        >>> predictor.predict(task.test).shape
        (16, 1)
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        task: Task,
        *,
        seeds: Sequence[int],
        histories: Sequence[History],
        config: Mapping[str, Any],
    ) -> None:
        check_task(task)
        about = {name: getattr(task, name) for name in ("name", "kind", "metric", "units", "classes", "data_hash")}
        self._set(models, about, task.inverse, task.table, seeds, histories, config)
        for model in self.models:
            check_fits(model, task, self._loss)

    def _set(
        self, models: Sequence[nn.Module], about: Mapping[str, Any], inverse: Any, table: FittedTable | None,
        seeds: Sequence[int], histories: Sequence[History], config: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.models = _checked("models", models, nn.Module, "models")
        if not self.models:
            raise ValueError("models must hold at least 1 model, got none.")
        for i, model in enumerate(self.models):
            if different := shape_differences(self.models[0], model):
                raise ValueError(
                    f"models[{i}] must have the shape of models[0], got another {', '.join(different[:5])}."
                )
        self.histories = _checked("histories", histories, History, "histories", len(self.models))
        self.seeds = _checked("seeds", seeds, Integral, "integers", len(self.models))
        for seed in self.seeds:
            check_int("seeds", seed, minimum=0)
        given: Any = config
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise ValueError(f"config must map hyperparameters to values, got {config!r:.80}.")
        self.config = {name: to_json_value(f"config[{name!r}]", value) for name, value in config.items()}
        self.table = table
        self._about, self._inverse = dict(about), inverse

    def __repr__(self) -> str:
        name, metric = self._about["name"], self._about["metric"]
        return f"Predictor({len(self.models)} {type(self.models[0]).__name__}, {name!r}, {metric})"

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The label of each output; ``None`` for a regression."""
        classes = self._about["classes"]
        return None if classes is None else tuple(classes)

    def score(self, task: Task, split: str = "test", *, by: str = "seed") -> Interval:
        """Score it on a split of a task, in the task's metric and units, with an interval.

        Args:
            task: What was learnt, with the same or other data.
            split: ``"train"``, ``"validation"`` or ``"test"``.
            by: What the interval is over. ``"seed"``: the score of each single model, so it says how much depends on
                the luck of a training. ``"group"``: the score of what is predicted in each group of the split (a
                subject, a device), so it says how much another group may differ.

        Returns:
            Interval: their mean and Student's interval, of an accuracy within its scale; ``n`` says of how many.

        Raises:
            ValueError: The models do not fit the task, its splits name no groups, or there are not two scores.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.best.train(seeds=range(3), progress=False).score(task).n
            3
        """
        check_task(task)
        data = task.splits[check_choice("split", split, task.splits)]
        if check_choice("by", by, ("seed", "group")) == "seed":
            if len(self.models) < 2:
                raise ValueError("by must be 'group' for a predictor of one model, got 'seed'. Or train more seeds.")
            scores = evaluate(list(self.models), task, split)
            return interval(scores, scale=scale_of(task.metric, scores))
        if data.group is None:
            raise ValueError(
                f"by must be 'seed' for {task.name!r}, whose {split} split names no groups, got 'group'. A Table with "
                "group= names them."
            )
        groups = list(dict.fromkeys(data.group.tolist()))  # of any kinds
        if len(groups) < 2:
            raise ValueError(f"by must be 'seed' where {split} holds one group, got 'group'.")
        check_fits(self.models[0], task, self._loss)
        outputs = self._mean(predict_split(list(self.models), data))
        place = {group: i for i, group in enumerate(groups)}
        of_group = np.array([place[group] for group in data.group.tolist()])
        parts = [of_group == i for i in range(len(groups))]
        scores = [task.score(outputs[rows], data[rows], loss=self._loss) for rows in parts]
        return interval(scores, scale=scale_of(task.metric, scores))

    def predict(self, data: Any, *, spread: bool = False) -> Any:
        """Predict sequences, or the rows of a table.

        Args:
            data: A :class:`~ncps_mlx.Split`; or for a task made of a table, a table of raw readings with its columns
                (pandas, polars or a dict of arrays; targets are not needed).
            spread: Give the standard deviation between the models too: where they disagree, training decided more
                than the data. For classes: the probability of each.

        Returns:
            For a split, real units (n, O), or (n, T, O) with a target at every step; for classes their labels (n,).
            With ``spread`` a pair of that and the deviation, of the same shape; for classes, probabilities (n, C).
            For a table, one like it, row by row: group, time, and a column for each target, as
            :meth:`FittedTable.predict <ncps_mlx.data.FittedTable.predict>` describes; with ``spread`` also a column
            ``"TARGET spread"`` for each target, or ``"P(LABEL)"`` for each class. Models of a quantile loss add a
            column for each level, such as ``"TARGET 0.9"``.

        Raises:
            ValueError: The data do not fit the models, or are a table and the task was made of none.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> values, deviations = study.best.train(seeds=(0, 1), progress=False).predict(task.test, spread=True)
            >>> values.shape, bool((deviations > 0).all())
            ((16, 1), True)
        """
        check_flag("spread", spread)
        if not isinstance(data, Split):
            return self._predict_table(data, spread)
        each = predict_split(list(self.models), data)
        values = self._in_units(self._point(self._mean(each)))
        if self.classes is None:
            return (values, self._spread(each)) if spread else values
        labels = np.array(self.classes)[values.argmax(axis=-1)]
        return (labels, values) if spread else labels

    def _predict_table(self, frame: Any, spread: bool) -> Any:
        table, frame = self._table("predict"), as_frame(frame, "data")
        levels = self._loss.levels if isinstance(self._loss, Quantile) else ()

        def columns(split: Split) -> Array:
            """Of each step what is predicted, each level of a quantile loss, and the spread of a regression."""
            each = predict_split(list(self.models), split)
            mean = self._mean(each)
            parts = [self._point(mean)]
            if isinstance(self._loss, Quantile):
                parts += list(np.moveaxis(self._loss.by_level(mean), -1, 0))
            if spread and self.classes is None:
                parts.append(self._spread(each))
            return np.concatenate(parts, axis=-1)

        names, size = table.settings.targets, table.output_size
        count = 1 + len(levels) + (spread and self.classes is None)
        outputs, *others = np.split(table._outputs(columns, frame, count * size), count, axis=1)
        more: dict[str, Array] = {}
        if self.classes is not None and spread:
            more = {f"P({label})": column for label, column in zip(self.classes, _softmax(outputs).T, strict=True)}
        for level, values in zip(levels, others, strict=False):  # what is left is the spread, in units already
            in_units = values * table.target_deviations + table.target_means
            more |= {f"{name} {level:g}": column for name, column in zip(names, in_units.T, strict=True)}
        if spread and self.classes is None:
            more |= {f"{name} spread": column for name, column in zip(names, others[-1].T, strict=True)}
        return table.to_frame(frame, outputs, more)

    def stream(self, state: Mapping[str, Any] | None = None) -> Stream:
        """Predict one group's raw readings as they come, with what the table's rows would get.

        Args:
            state: What :meth:`Stream.state` gave, to go on from there, also in another process; ``None``: a new group.

        Raises:
            ValueError: The task was made of no table, or the state is of another stream.

        Example:
            >>> import numpy as np
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import Table
            >>> rng = np.random.default_rng(0)
            >>> frame = {"hour": np.arange(99.0), "pulse": rng.normal(70, 9, 99), "pressure": rng.normal(120, 15, 99)}
            >>> table = Table(features=["pulse"], target="pressure", time="hour", window=8, unit="h")
            >>> task = table.task(frame)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> stream = study.best.train(seeds=(0, 1), progress=False).stream()
            >>> stream.push(0.0, pulse=71.0).keys()
            dict_keys(['pressure'])
        """
        return Stream(self, self._table("stream"), state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to one safetensors file, for :func:`ncps_mlx.load`, which executes nothing.

        Raises:
            ValueError: The task's ``inverse`` is a function, which a file cannot hold.
            OSError: The file cannot be written.

        Example:
            >>> import tempfile
            >>> from ncps_mlx import Space, Study, load
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> predictor = study.best.train(seeds=range(3), progress=False)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     predictor.save(f"{folder}/sines.safetensors")
            ...     load(f"{folder}/sines.safetensors")
            Predictor(3 CfC, 'irregular sines', rmse)
        """
        if self._inverse is not None and not isinstance(self._inverse, Standardizer):
            raise ValueError(
                f"inverse must be a Standardizer to be saved, got {self._inverse!r:.60}: a file holds no code. Make "
                "the task with inverse=ncps_mlx.data.Standardizer(mean=..., deviation=...)."
            )
        each = [arrays_by_name(model) for model in self.models]
        about = {
            "format": FORMAT,
            "model": metadata_of(self.models[0]),
            "about": self._about,
            "inverse": None if self._inverse is None else self._inverse.to_json(),
            "table": None if self.table is None else self.table.to_json(),
            "seeds": self.seeds,
            "histories": [asdict(history) for history in self.histories],
            "config": self.config,
        }
        stacked = {name: mx.stack([arrays[name] for arrays in each]) for name in each[0]}
        write_file(check_path("path", path), stacked, {CLASS: "Predictor", ABOUT: json.dumps(about)}, "The predictor")

    def _table(self, what: str) -> FittedTable:
        if self.table is None:
            raise ValueError(
                f"data must be a Split to {what} with a predictor of {self._about['name']!r}, which was made of no "
                "table; tables are for tasks of ncps_mlx.data.Table."
            )
        return self.table

    @property
    def _loss(self) -> Loss | None:
        """The loss that its models were trained with, which says what their outputs are."""
        return loss_of_model(self.models[0])

    def _point(self, outputs: Array) -> Array:
        """What is predicted, of outputs that may hold more, as quantiles."""
        return outputs if self._loss is None else np.asarray(self._loss.point(outputs))

    def _mean(self, each: Sequence[Array]) -> Array:
        """The mean over models on the scale of their outputs; of classes, the log of their mean probability."""
        if self.classes is not None:
            return np.asarray(np.log(np.mean([_softmax(outputs) for outputs in each], axis=0)))
        return np.asarray(np.mean([outputs.astype(np.float64) for outputs in each], axis=0))

    def _spread(self, each: Sequence[Array]) -> Array:
        """The standard deviation between models, in real units."""
        return np.asarray(np.std([self._in_units(self._point(outputs)) for outputs in each], axis=0))

    def _in_units(self, outputs: Array) -> Array:
        """Outputs in real units, or as probabilities."""
        if self.classes is not None:
            return _softmax(outputs)
        values = outputs.astype(np.float64)
        return values if self._inverse is None else np.asarray(self._inverse(values))


class Stream:
    """Predictions of one group's raw readings as they come: made by :meth:`Predictor.stream`.

    After each reading it gives what :meth:`Predictor.predict` would give the last row of a table that ends there. For
    that it keeps the readings that a sequence of the table would hold.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx import Space, Study
        >>> from ncps_mlx.data import Table
        >>> rng = np.random.default_rng(0)
        >>> frame = {"ward": np.repeat(list("abcdef"), 20), "hour": np.tile(np.arange(20.0), 6),
        ...          "pulse": rng.normal(70, 9, 120), "pressure": rng.normal(120, 15, 120)}
        >>> table = Table(features=["pulse"], target="pressure", time="hour", group="ward", window=8, unit="h")
        >>> study = Study(None, table.task(frame), Space(learning_rate=[1e-2]), sampler="grid",
        ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
        >>> stream = study.best.train(seeds=[0], progress=False).stream()
        >>> for hour, pulse in ((0.0, 71.0), (1.5, 64.0)):
        ...     print(list(stream.push(hour, pulse=pulse)))
        ['pressure']
        ['pressure']
    """

    def __init__(self, predictor: Predictor, table: FittedTable, state: Mapping[str, Any] | None = None) -> None:
        self._predictor, self._table = predictor, table
        self._rows: list[tuple[list[float], float]] = []  # inputs and gap since the reading before, the last ones
        self._count = 0
        if state is None:
            self._encoder = table.encoder()
            return
        given: Any = state
        if not isinstance(given, Mapping) or set(given) != {"encoder", "rows", "count"}:
            raise ValueError(f"state must be what state() of a stream gave, got {state!r:.80}.")
        self._encoder = table.encoder(state["encoder"])
        self._count = check_int("state['count']", state["count"], minimum=0)
        rows = state["rows"]
        if not isinstance(rows, list | tuple) or len(rows) != min(self._count, table.steps):
            raise ValueError(f"state['rows'] must be the last {table.steps} of {self._count} rows, got {rows!r:.80}.")
        for row in rows:
            inputs = row[0] if isinstance(row, list | tuple) and len(row) == 2 else None
            if not isinstance(inputs, list | tuple) or len(inputs) != len(table.inputs):
                size = len(table.inputs)
                raise ValueError(f"state['rows'] must be pairs of {size} inputs and a gap, got {row!r:.60}.")
            numbers = [check_number("state['rows']", value) for value in inputs]
            self._rows.append((numbers, check_number("state['rows']", row[1], low=0)))

    def push(
        self, time: Any = None, /, reading: Mapping[str, Any] | None = None, **values: Any
    ) -> dict[str, Any] | None:
        """Take a reading, and predict.

        Args:
            time: Its time, as in the table: a date or a number; left out for a table without times.
            reading: The features' values by name; what is missing may be left out, ``None`` or NaN.
            **values: The same by keyword, for names that Python takes.

        Returns:
            A value for each target, in real units, or the label of the likeliest class. ``None`` for a table whose
            target lies ahead (``horizon`` of at least 1), where :meth:`predict` says it for a time; and with
            ``horizon=0`` before there are ``least`` readings.

        Raises:
            ValueError: The time is not after that of the last reading, or a value is not a number. The stream is then
                as it was.
        """
        if not isinstance(reading, Mapping | None):
            raise ValueError(f"reading must map features to values, got {reading!r:.80}.")
        given = {**({} if reading is None else reading), **values}
        if reading is not None and len(given) < len(reading) + len(values):
            twice = ", ".join(sorted(reading.keys() & values.keys()))
            raise ValueError(f"reading must give each feature once, got {twice} twice.")
        inputs, gap = self._encoder.push(time, given)
        self._rows = [*self._rows, (inputs.tolist(), gap)][-self._table.steps :]
        self._count += 1
        horizon, least = self._table.settings.horizon, self._table.settings.least
        return None if horizon or (horizon == 0 and self._count < least) else self._predict(0.0)

    def predict(self, at: Any = None) -> dict[str, Any]:
        """Predict the target ahead of the last reading, for a table with a ``horizon`` of at least 1.

        Args:
            at: When, as in the table; left out for a table without times.

        Raises:
            ValueError: There are fewer readings than a sequence needs, the time is not after the last reading, or the
                table has its targets at the readings themselves.
        """
        settings = self._table.settings
        if not settings.horizon:
            raise ValueError("horizon must be at least 1 to predict ahead; push() gives the target of each reading.")
        if self._count < settings.least:
            raise ValueError(f"push must come at least {settings.least} times before predict, got {self._count}.")
        return self._predict(0.0 if settings.time is None else self._encoder.gap_until(at, "at"))

    def state(self) -> dict[str, Any]:
        """Return all that it knows, as JSON can hold it: ``predictor.stream(state)`` goes on from there."""
        return {"encoder": self._encoder.state(), "rows": self._rows, "count": self._count}

    def _predict(self, ahead: float) -> dict[str, Any]:
        """Predict from the readings that a sequence of the table would hold; ``ahead``: time until the target."""
        table = self._table
        rows = self._rows[-table.context(self._count) :]
        gaps = [gap for _, gap in rows]
        if table.settings.horizon:  # until the next reading, the last one's until the target
            gaps = [*gaps[1:], ahead]
        every = table.settings.horizon is None
        split = Split(
            x=np.array([[inputs for inputs, _ in rows]], dtype=np.float32),
            y=np.zeros((1, len(rows), 1) if every else (1, 1), dtype=np.float32),
            time_delta=None if table.settings.time is None else np.array([gaps], dtype=np.float32),
        )
        predictor = self._predictor
        each = predict_split(list(predictor.models), split)
        outputs = predictor._in_units(predictor._point(predictor._mean(each)))[0]
        outputs = outputs[-1] if every else outputs
        classes = predictor.classes
        if classes is not None:
            return {table.settings.targets[0]: classes[int(outputs.argmax())]}
        return {name: float(value) for name, value in zip(table.settings.targets, outputs, strict=True)}


def load(path: str | os.PathLike[str], trust: str | None = None) -> Any:
    """Read what was saved: a model, or a :class:`Predictor`. Nothing in the file is executed or unpickled.

    A class, wiring or loss of your own must be imported first; the model's class may be in a module named in ``trust``.

    Args:
        path: The file's name.
        trust: A module, or a ``file.py``, that may be imported, and so executed, for the model's class.

    Returns:
        A model of the same class, configuration, time scaler and parameters, bit for bit, in training mode as from its
        constructor; or a predictor that predicts the same.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated or damaged, of a newer format, or of a class that is not imported.

    Example:
        >>> from ncps_mlx import load
        >>> load("nowhere.safetensors")
        Traceback (most recent call last):
        ...
        FileNotFoundError: [Errno 2] There is no file to load a model from: 'nowhere.safetensors'
    """
    path = check_path("path", path)
    if trust is not None and not check_text("trust", trust):
        raise ValueError("trust must name a module or a file.py, got ''.")
    metadata, arrays = read_file(path)
    if not isinstance(metadata, dict) or metadata.get(CLASS) != "Predictor":
        return model_of(path, metadata, arrays, trust)
    newer = ""
    try:
        about = json.loads(metadata[ABOUT])
        newer = "" if about["format"] == FORMAT else f"format {about['format']!r}, and this version reads {FORMAT}"
        if any(array.shape[:1] != (len(about["seeds"]),) for array in arrays.values()):
            raise ValueError("its arrays do not hold one model for each seed")
        target = about["about"]
        predictor = Predictor.__new__(Predictor)
        predictor._set(
            [
                model_of(path, about["model"], {name: array[i] for name, array in arrays.items()}, trust)
                for i in range(len(about["seeds"]))
            ],
            target | {"classes": None if target["classes"] is None else tuple(target["classes"])},
            None if about["inverse"] is None else Standardizer.from_json(about["inverse"]),
            None if about["table"] is None else FittedTable.from_json(about["table"]),
            about["seeds"],
            [History(**history) for history in about["histories"]],
            about["config"],
        )
        if newer:
            raise ValueError(newer)
    except (KeyError, TypeError, IndexError, ValueError, RecursionError) as error:
        if newer:
            raise ValueError(f"{path} is of {newer}. Upgrade ncps-mlx.") from None
        raise ValueError(f"{path} holds no predictor that makes sense ({error}). {CURE}") from error
    return predictor


def _checked(name: str, values: Any, kind: type[Any], what: str, count: int | None = None) -> tuple[Any, ...]:
    """A sequence of one kind as a tuple, one for each of ``count`` models."""
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping) else (None,)
    if not all(isinstance(each, kind) for each in found):
        raise ValueError(f"{name} must be a sequence of {what}, got {values!r:.80}.")
    if count is not None and len(found) != count:
        raise ValueError(f"{name} must be one for each of {count} models, got {len(found)}.")
    return found


def _softmax(values: Array) -> Array:
    values = values.astype(np.float64)
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(values / values.sum(axis=-1, keepdims=True))
