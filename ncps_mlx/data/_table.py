"""Tables of readings as tasks: what a column is, how rows become sequences, and predictions as a table again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ncps_mlx._utils.arrays import real_array
from ncps_mlx._utils.validation import check_choice, check_int, check_text
from ncps_mlx.data._encoder import TIME_KINDS, Encoder, elapsed, encode
from ncps_mlx.data._frame import as_frame
from ncps_mlx.data._readings import Readings, assign, read
from ncps_mlx.data._scales import classes_of, is_known, moments, read_targets, scale_targets
from ncps_mlx.data._sequences import as_split, call_model, cut
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._table_baselines import table_baselines
from ncps_mlx.data._table_json import read_fitted, write_fitted
from ncps_mlx.data._task import SPLITS, Task
from ncps_mlx.data._windows import Windows

__all__ = ["FittedTable", "Table"]

MISSING = ("flag", "carry", "refuse")
LARGE = 2**31  # bytes of inputs that are worth a word
LONGEST = 2**31  # readings
CHUNK = 2**16  # readings predicted at once; bounds memory


@dataclass(frozen=True, kw_only=True)
class Table:
    """What the columns of a table of readings are, and how its rows become sequences.

    Each row is a reading of one group (a patient, a machine) at a time. Rows may stand in any order. Sequences never
    cross groups or splits, and whatever is learned from the data (means, deviations, holes, classes, the typical gap)
    is learned from training rows alone.

    Args:
        features: Columns of numbers that a model sees, D of them. NaN, None or null: not measured at that reading.
        target: The column to predict, or several columns of numbers.
        time: Column of times: dates (with a zone they become UTC), durations, or numbers in ``unit``. ``None``: rows
            are in order and evenly spaced.
        group: Column that says whose reading it is. ``None``: all rows are one group's.
        window: Most readings in a sequence, T; groups that are all shorter make T less.
        stride: Readings from one sequence's begin to the next one's. Default: each target is used once, so ``window``
            where every reading has a target, and 1 with a ``horizon``.
        horizon: ``None``: a target at every reading, the row's own; ``time_delta`` is the gap since the reading before.
            ``k`` from 1: one target for a sequence, k readings after its last; ``time_delta`` is the gap until the next
            reading, the last one's until the target. 0: the target of a sequence's last reading, gaps as for ``None``.
        unit: Unit of time steps: ``"ns"``, ``"us"``, ``"ms"``, ``"s"``, ``"min"``, ``"h"`` or ``"d"``; for times that
            are numbers, the name of theirs.
        kind: ``"regression"``, or ``"classification"`` of one column of labels. A target that is missing (NaN, None or
            null) counts neither in training nor in scores.
        least: Fewest readings of a sequence; what is shorter is left out.
        missing: A missing value is replaced by the group's last one before it, or the training mean. ``"flag"``: each
            feature with holes in training has two more inputs, whether it was measured, and log(1 + its age / the
            typical gap). ``"carry"``: none. ``"refuse"``: a missing value is an error.
        name: The task's name.
        units: Unit of the target, such as ``"mg/dl"``.

    Raises:
        ValueError: An argument is not one of its choices, columns are named twice, or the target is among the features
            that are seen at the same reading.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx.data import Table
        >>> rng = np.random.default_rng(0)
        >>> frame = {"ward": np.repeat(list("abcdef"), 20), "hour": np.tile(np.arange(20.0), 6),
        ...          "pulse": rng.normal(70, 9, 120), "pressure": rng.normal(120, 15, 120)}
        >>> frame["pulse"][::3] = np.nan
        >>> table = Table(features=["pulse"], target="pressure", time="hour", group="ward", window=8, unit="h",
        ...               units="mmHg")
        >>> table.task(frame)
        Task('table', regression, rmse in mmHg, T=8, D=3, O=1, 12/3/3 sequences)
        >>> table.task(frame).table.inputs
        ('pulse', 'pulse measured', 'pulse age')
    """

    features: Sequence[str]
    target: str | Sequence[str]
    time: str | None = None
    group: str | None = None
    window: int = 64
    stride: int | None = None
    horizon: int | None = None
    unit: str = "s"
    kind: str = "regression"
    least: int = 2
    missing: str = "flag"
    name: str = "table"
    units: str = ""

    def __post_init__(self) -> None:
        features = _check_columns("features", self.features)
        targets = _check_columns("target", [self.target] if isinstance(self.target, str) else self.target)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "target", targets[0] if isinstance(self.target, str) else targets)
        for argument in ("time", "group"):
            if getattr(self, argument) is not None:
                check_text(argument, getattr(self, argument))
        check_int("window", self.window, maximum=LONGEST)
        if self.stride is not None:
            check_int("stride", self.stride, maximum=LONGEST)
        if self.horizon is not None:
            check_int("horizon", self.horizon, minimum=0, maximum=LONGEST)
        check_choice("kind", self.kind, ("regression", "classification"))
        if check_int("least", self.least) > self.window:
            raise ValueError(f"least must be at most the window, {self.window}, got {self.least}.")
        check_choice("missing", self.missing, MISSING)
        for argument in ("unit", "name", "units"):
            check_text(argument, getattr(self, argument))
        roles = [name for name in (self.time, self.group) if name is not None]
        for name in roles:
            if name in features or name in targets or roles.count(name) > 1:
                raise ValueError(
                    f"time, group, features and target must be different columns, got {name!r} twice. Copy the column "
                    "under another name to use it twice."
                )
        seen = [name for name in targets if name in features]
        if seen and not self.horizon:
            raise ValueError(
                f"target must not be among the features of its own reading, got {seen[0]!r}. With horizon=1 a model "
                "sees it up to the reading before."
            )
        if self.kind == "classification" and len(targets) > 1:
            raise ValueError(f"target must be one column for classification, got {len(targets)}.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)

    def task(
        self,
        frame: Any,
        split: Sequence[float] = (0.65, 0.15, 0.2),
        by: str | None = None,
        seed: int = 0,
        metric: str | None = None,
    ) -> Task:
        """Make a task of a table: its rows split, scaled as its training rows are, and cut into sequences.

        Args:
            frame: A DataFrame of pandas or polars, or a dict of arrays.
            split: Shares of training, validation and test.
            by: ``"group"``: whole groups, drawn by ``seed``. ``"time"``: cut at two times; a later split carries
                values forward from an earlier one, never the other way. Any other text: the column that says
                ``"train"``, ``"validation"`` or ``"test"`` in each row; a group's rows of one split in a row are a
                group of their own. Default: ``"group"`` for a table with groups, else ``"time"``.
            seed: Which groups are drawn.
            metric: As :class:`~ncps_mlx.Task` takes it.

        Returns:
            The task. Its ``table`` is the :class:`FittedTable`, and the ``group`` of each split holds the group of
            each sequence. Baselines of a regression: the training mean, and least squares on the last reading.

        Raises:
            ValueError: A column is missing or holds what it should not (the error names the row), two readings of a
                group have one time, a class is not in the training rows, or a split has no sequence.

        Warns:
            UserWarning: The sequences take more than 2 GB.
        """
        readings = read(self, frame)
        part = assign(self, readings, split, by, check_int("seed", seed, minimum=0))
        edges = readings.begins | np.append(True, part[1:] != part[:-1])
        if by not in (None, "group", "time"):
            readings = replace(readings, begins=edges)
        targets = read_targets(self, readings)
        starts = np.flatnonzero(edges)
        lengths = np.diff(np.append(starts, len(part)))
        training = part[starts] == 0
        steps = int(min(self.window, max(1, lengths[training].max(initial=1) - (self.horizon or 0))))
        windows = cut(self, starts, lengths, steps, self.stride, self.least)
        windows = windows.with_target(is_known(targets), steps, self.horizon)
        of_part = [windows[part[windows.start] == number] for number in range(3)]
        for number, (name, own) in enumerate(zip(SPLITS, of_part, strict=True)):
            if not len(own):
                longest = lengths[part[starts] == number].max(initial=0)
                raise ValueError(
                    f"{name} must have a sequence, got none from {int((part == number).sum())} rows, whose longest "
                    f"stretch has {longest} readings (least={self.least}, horizon={self.horizon}). Change split or "
                    "least."
                )
        fitted = self._fit(readings, targets, part == 0, steps, of_part[0])
        size = len(windows) * steps * len(fitted.inputs) * 4
        if size > LARGE:
            warnings.warn(
                f"window and stride make {len(windows)} sequences of {steps} readings, {size / 2**30:.1f} GB. A larger "
                "stride makes fewer.",
                stacklevel=2,
            )
        x, gaps = fitted._encode(readings)
        y = scale_targets(fitted, targets, readings, part, windows.target_rows(steps, self.horizon))
        full = bool((windows.length == steps).all())
        splits = [as_split(fitted, own, x, gaps, y, readings, with_mask=not full) for own in of_part]
        task = Task(
            self.name, *splits, kind=self.kind, metric=metric, inverse=fitted._inverse(), units=self.units,
            time_unit="" if self.time is None else self.unit, baselines=table_baselines,
        )  # fmt: skip
        return task._with_table(fitted)

    def _fit(self, readings: Readings, targets: Array, rows: Array, steps: int, windows: Windows) -> FittedTable:
        """Learn scales from training readings, and classes from the targets of training sequences."""
        name, values = readings.frame.name, readings.values[rows]
        means, deviations = moments(name, self.features, values)
        classification, learnt = self.kind == "classification", windows.target_rows(steps, self.horizon)
        scales = np.zeros((2, 0)) if classification else moments(name, self.targets, targets[rows])
        target_means, target_deviations = scales
        both = rows[1:] & rows[:-1] & ~readings.begins[1:]
        gaps = elapsed(readings.times[1:][both], readings.times[:-1][both], self.unit)
        return FittedTable(
            settings=self,
            means=means,
            deviations=deviations,
            holes=tuple(bool(np.isnan(column).any()) for column in values.T),
            target_means=target_means,
            target_deviations=target_deviations,
            classes=classes_of(f"{name}[{self.targets[0]!r}]", targets[learnt]) if classification else None,
            typical_gap=float(np.median(gaps)) if len(gaps) else 1.0,
            steps=steps,
            time_kind=None if self.time is None else readings.times.dtype.kind,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedTable:
    """A :class:`Table` with what it learned from training rows: turns new rows into inputs, and outputs into columns.

    A task that :meth:`Table.task` made has it as ``task.table``.

    Attributes:
        settings: The table's columns and ways.
        means: Of each feature (D,), over the training rows where it was measured.
        deviations: Standard deviations of the features (D,); 1 for a constant one.
        holes: For each feature, whether it is missing in a training row.
        target_means: Of each target (O,); empty for classes.
        target_deviations: Of each target (O,); empty for classes.
        classes: Labels of the outputs; ``None`` for regression.
        typical_gap: Median time between two readings of a group, in ``settings.unit`` (1 without times).
        steps: Most readings in a sequence, T.
        time_kind: ``"M"`` for dates, ``"m"`` for durations, ``"f"`` for numbers, ``None`` without times.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx import CfC
        >>> from ncps_mlx.data import Table
        >>> rng = np.random.default_rng(0)
        >>> frame = {"ward": np.repeat(list("abcdef"), 20), "hour": np.tile(np.arange(20.0), 6),
        ...          "pulse": rng.normal(70, 9, 120), "pressure": rng.normal(120, 15, 120)}
        >>> table = Table(features=["pulse"], target="pressure", time="hour", group="ward", window=8, unit="h")
        >>> task = table.task(frame)
        >>> task.table.means.round(1).tolist(), task.table.typical_gap
        ([71.4], 1.0)
        >>> model = CfC(**task.sizes, hidden_size=4, seed=0)
        >>> list(task.table.predict(model, frame))
        ['ward', 'hour', 'pressure']
    """

    settings: Table
    means: Array
    deviations: Array
    holes: tuple[bool, ...]
    target_means: Array
    target_deviations: Array
    classes: tuple[Any, ...] | None
    typical_gap: float
    steps: int
    time_kind: str | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What each input of a model is: features, then whether those with holes were measured, then their ages."""
        names = tuple(self.settings.features)
        if self.settings.missing != "flag":
            return names
        holes = [name for name, hole in zip(names, self.holes, strict=True) if hole]
        return (*names, *(f"{name} measured" for name in holes), *(f"{name} age" for name in holes))

    @property
    def output_size(self) -> int:
        """Numbers that a model puts out, O."""
        return len(self.settings.targets) if self.classes is None else len(self.classes)

    def predict(self, model: Callable[..., Any], frame: Any) -> Any:
        """Predict every row of a table that a prediction is possible for, in real units.

        A model sees no more than ``steps`` readings, as in training. With a target at every reading, sequences begin
        every half of that, and each row is predicted where most readings stand before it, so from half a sequence at
        least once a group has that many. With a horizon of k, a row is predicted from the readings up to k rows before
        it; so rows that end a group, with a time and nothing else, ask for forecasts.

        Args:
            model: A trained model: called as ``model(x, time_delta=..., mask=...)``, in the order of
                ``task.table.inputs``.
            frame: A table with the columns of features, time and group; targets are not needed. It may hold other
                groups and times than the training table.

        Returns:
            A table like the one given (pandas with its index, polars, or dict), row by row. It holds group, time, and
            each target in real units, or the label of the likeliest class. NaN (null in polars; None for labels)
            stands where there are fewer than ``least`` readings to predict from (with a horizon).

        Raises:
            ValueError: As :meth:`Table.task`, or the model's outputs do not fit.
        """
        point = getattr(getattr(model, "loss", None), "point", lambda outputs: outputs)  # of several quantiles, one
        return self.to_frame(frame, self.outputs(lambda split: point(call_model(model, split)), frame))

    def outputs(self, function: Callable[[Split], Array], frame: Any) -> Array:
        """Return what a function says of each row of a table, (rows, O), in the scale of a model's outputs.

        NaN stands where there is nothing to predict from. What :meth:`predict` is made of, for functions of one's own.

        Args:
            function: Takes sequences, whose targets are 0, and returns outputs as :func:`~ncps_mlx.predict` does:
                (n, T, O), or (n, O) with a horizon.
            frame: As in :meth:`predict`.

        Raises:
            ValueError: As :meth:`predict`.
        """
        return self._outputs(function, frame, self.output_size)

    def _outputs(self, function: Callable[[Split], Array], frame: Any, width: int) -> Array:
        """:meth:`outputs` of a function that gives ``width`` numbers for each row."""
        given: Any = function
        if not callable(given) or isinstance(given, type):
            raise ValueError(f"function must be a function of a Split, got {function!r:.80}.")
        readings = read(self.settings, frame)
        found = None if self.settings.time is None else readings.times.dtype.kind
        if found != self.time_kind:
            raise ValueError(
                f"{readings.frame.name}[{self.settings.time!r}] must hold {TIME_KINDS[self.time_kind]} in each row, as "
                f"in training, got {TIME_KINDS[found]}."
            )
        result = np.full((len(readings), width), np.nan)
        for windows, split in self._sequences(readings):
            every = self.settings.horizon is None
            outputs = real_array("what a model or function returns", function(split))
            shape = (len(windows), *((self.steps,) if every else ()), width)
            if outputs.shape != shape:
                raise ValueError(f"model must put out the shape {shape} for this table, got {outputs.shape}.")
            if every:
                rows, there = windows.rows(self.steps)
                there &= readings.begins[windows.start][:, None] | (np.arange(self.steps) >= self.steps - self._stride)
                result[readings.order[rows[there]]] = outputs[there]
            else:
                result[readings.order[windows.target]] = outputs
        return result

    @property
    def _stride(self) -> int:
        """Readings between the sequences that are predicted from."""
        return max(1, self.steps // 2) if self.settings.horizon is None else 1

    def context(self, readings: int) -> int:
        """Return how many of a group's readings so far its prediction is made from, the last ones: for streams.

        Args:
            readings: Readings of the group so far; with a horizon of k, those up to k before the target.

        Example:
            >>> import numpy as np
            >>> from ncps_mlx.data import Table
            >>> frame = {"a": np.random.default_rng(0).normal(size=99), "b": np.arange(99.0)}
            >>> fitted = Table(features=["a"], target="b", window=8).task(frame).table
            >>> [fitted.context(readings) for readings in range(1, 14)]
            [1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 5]
        """
        over = max(0, check_int("readings", readings) - self.steps)
        return readings + over // -self._stride * self._stride

    def to_frame(self, frame: Any, outputs: Array, more: Mapping[str, Array] | None = None) -> Any:
        """Return group, time and predictions as a table like ``frame``, from outputs (rows, O) as a model scales them.

        Args:
            frame: The table that was predicted.
            outputs: What :meth:`outputs` gave, (rows, O).
            more: Further columns (rows,) by name.

        Raises:
            ValueError: The outputs or further columns do not fit the table.
        """
        source = as_frame(frame)
        outputs = real_array("outputs", outputs).astype(np.float64)
        if outputs.shape != (len(source), self.output_size):
            shape = (len(source), self.output_size)
            raise ValueError(f"outputs must have the shape {shape}, the rows of {source.name}, got {outputs.shape}.")
        if more is not None and not isinstance(more, Mapping):
            raise ValueError(f"more must map names to columns, got {more!r:.80}.")
        for name, column in ({} if more is None else more).items():
            if np.shape(column) != (len(source),):
                raise ValueError(f"more[{name!r}] must have the shape {(len(source),)}, got {np.shape(column)}.")
        keep = [name for name in (self.settings.group, self.settings.time) if name is not None]
        if self.classes is None:
            values = outputs * self.target_deviations + self.target_means
            return source.like(keep, dict(zip(self.settings.targets, values.T, strict=True)) | dict(more or {}))
        labels = np.full(len(outputs), None, dtype=object)
        known = np.isfinite(outputs).all(axis=1)
        likeliest = outputs[known].argmax(axis=1)
        labels[known] = [self.classes[number] for number in likeliest]
        return source.like(keep, {self.settings.targets[0]: labels} | dict(more or {}))

    def encoder(self, state: Mapping[str, Any] | None = None) -> Encoder:
        """Return what turns one group's raw readings, one after the other, into a model's inputs.

        Args:
            state: What ``state()`` of an earlier encoder gave, to go on from there; ``None``: a group begins.

        Returns:
            An object with ``push(time, reading)``, which returns the inputs (F,) and the gap since the reading before
            in ``settings.unit``, to the bit those of the table; ``gap_until(time)``; and ``state()``, as JSON holds it.

        Raises:
            ValueError: The state is not of an encoder of such a table.

        Example:
            >>> import numpy as np
            >>> from ncps_mlx.data import Table
            >>> rng = np.random.default_rng(0)
            >>> frame = {"hour": np.arange(99.0), "pulse": rng.normal(70, 9, 99), "pressure": rng.normal(120, 15, 99)}
            >>> table = Table(features=["pulse"], target="pressure", time="hour", window=8, unit="h")
            >>> encoder = table.task(frame).table.encoder()
            >>> _ = encoder.push(99.0, {"pulse": 71.0})
            >>> x, gap = encoder.push(101.5, {"pulse": None})
            >>> x.shape, gap
            ((1,), 2.5)
        """
        return Encoder.from_state(self, state)

    def to_json(self) -> str:
        """Write it as JSON, to the bit."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return write_fitted(parts | {"settings": asdict(self.settings)})

    @classmethod
    def from_json(cls, text: str) -> FittedTable:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: It is of another version, has other fields, or holds what no table learns.

        Example:
            >>> import numpy as np
            >>> from ncps_mlx.data import FittedTable, Table
            >>> frame = {"a": np.random.default_rng(0).normal(size=99), "b": np.arange(99.0)}
            >>> fitted = Table(features=["a"], target="b", window=8).task(frame).table
            >>> FittedTable.from_json(fitted.to_json()).to_json() == fitted.to_json()
            True
        """
        return cls(**read_fitted(text, Table, [field.name for field in fields(cls)]))

    def _encode(self, readings: Readings) -> tuple[Array, Array]:
        """The inputs (n, F) of all readings, and the gaps since the reading before (n,)."""
        x, gaps, _ = encode(self, readings.times, readings.values, readings.begins)
        bad = ~np.isfinite(x).all(axis=1)
        if bad.any():
            row = readings.order[bad.argmax()]
            raise ValueError(
                f"features must stay within float32 once standardised, got {readings.values[bad][0]} in row {row}."
            )
        return x, gaps

    def _inverse(self) -> Standardizer | None:
        """The way back of a regression's targets to real units."""
        if self.classes is not None:
            return None
        means, deviations = self.target_means, self.target_deviations
        if len(means) == 1:
            return Standardizer(mean=float(means[0]), deviation=float(deviations[0]))
        return Standardizer(mean=means, deviation=deviations)

    def _sequences(self, readings: Readings) -> Iterator[tuple[Windows, Split]]:
        """All readings as sequences to predict from, so many at once as memory bears."""
        x, gaps = self._encode(readings)
        starts = np.flatnonzero(readings.begins)
        lengths = np.diff(np.append(starts, len(readings)))
        least = 1 if self.settings.horizon is None else self.settings.least
        windows = cut(self.settings, starts, lengths, self.steps, self._stride, least)
        at_once = max(1, CHUNK // self.steps)
        nothing = np.zeros((len(readings), 1), dtype=np.float32)
        for first in range(0, len(windows), at_once):
            own = windows[first : first + at_once]
            ragged = bool((own.length < self.steps).any())
            yield own, as_split(self, own, x, gaps, nothing, readings, with_mask=ragged)


def _check_columns(name: str, columns: Any) -> tuple[str, ...]:
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise ValueError(f"{name} must be a list of columns, got {columns!r:.80}.")
    for column in columns:
        if not isinstance(column, str) or not column or list(columns).count(column) > 1:
            raise ValueError(f"{name} must be names of different columns, got {column!r:.80}.")
    return tuple(columns)
