"""A task: training, validation and test arrays, the score in real units, and baselines to beat."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._time_scaler import KINDS, TimeScaler
from ncps_mlx._utils.arrays import as_array, real_array
from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import check_choice, check_flag, check_int, check_text
from ncps_mlx.data._cross_validation import fold_rows
from ncps_mlx.data._metrics import METRICS, Metric, as_metric, pinball
from ncps_mlx.data._source import TaskSource
from ncps_mlx.data._split import (
    Array,
    Split,
    check_like,
    check_values,
    digest,
    is_observed,
    labels_of,
    last_valid_step,
    target_weights,
    warn_of_equal_sequences,
    warn_of_raw_targets,
    with_classes_of_training,
)
from ncps_mlx.data._time_steps import refuse_time_stamps

if TYPE_CHECKING:
    from ncps_mlx.data._table import FittedTable
    from ncps_mlx.losses import Loss

__all__ = ["Task"]

KINDS_OF_TASK = tuple(dict.fromkeys(each.kind for each in METRICS.values()))
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Task:
    """What a model is to learn, how it is scored, and what it has to beat. Immutable.

    A model sees ``x``, ``time_delta`` and ``mask`` of a :class:`Split` and learns its ``y``, which is already
    standardised; :meth:`score` brings both back to real units with ``inverse``.

    Args:
        name: A short name, for records and plots.
        train: What parameters and scalers are fitted on.
        validation: What configurations and stopping points are chosen on.
        test: What the final score is measured on.
        kind: ``"regression"`` or ``"classification"``.
        metric: Of a regression ``"rmse"`` (default), ``"mae"``, ``"r2"``, ``"mape"``, ``"smape"`` (shares, not per
            cent) or ``"pinball"`` (of a quantile loss, over its levels: comparable between equal levels alone); of
            classes ``"accuracy"`` (default), ``"balanced accuracy"``, ``"f1"`` (of the second of two classes, else the
            mean over classes), ``"roc auc"`` or ``"log loss"``; or a function, itself or as ``"module:function"``:
            scikit-learn's, or your own ``f(y_true, y_pred, sample_weight=None)``. It is given what was observed:
            values (m, O) in real units, or numbers of classes (m,); as second argument, if that is called
            ``y_proba``, probabilities (m, C).
        greater_is_better: Direction of a metric of your own. Scikit-learn's are known.
        inverse: Maps model outputs and ``y`` to real units, elementwise in shape. Default: identity.
        units: Unit of the targets, and so of the score by most metrics, such as ``"mg/dl"``.
        time_unit: Unit of ``time_delta``, such as ``"min"``.
        baselines: A function of the task that returns classical scores on the test split.
        labels: Booleans (n_test,), true where the test split holds an anomaly.
        score_at: With a target at every step, score ``"all"`` valid steps or the ``"last"`` valid one.
        allow_unsafe_time: Accept negative time steps, to measure what z-scoring does.

    Raises:
        ValueError: A split is empty, holds one class or nothing that was observed, shapes disagree, a value is not
            finite, a time step is negative, a sequence has no reading, ``time_delta`` looks like time stamps, or an
            argument is not one of its choices.

    Warns:
        UserWarning: Validation or test holds sequences of the training split, or test of validation; time steps grow
            in every sequence, as time stamps do; or targets are not standardised, so that a model would spend its
            training on their mean.

    Example:
        >>> from ncps_mlx import Split, Task
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> def split(n):
        ...     x = rng.normal(size=(n, 7, 3))
        ...     return Split(x=x, y=x[:, -1, :1])
        >>> task = Task("last value", split(8), split(5), split(4))
        >>> task
        Task('last value', regression, rmse, T=7, D=3, O=1, 8/5/4 sequences)
        >>> task.score(task.test.y)
        0.0
    """

    name: str
    train: Split
    validation: Split
    test: Split
    kind: str
    metric: str
    inverse: Callable[[Array], Array] | None
    units: str
    time_unit: str
    labels: Array | None
    score_at: str
    allow_unsafe_time: bool
    data_hash: str
    _baselines: Callable[[Task], Mapping[str, float]] | None
    _parent: Task | None  # whose baselines it shares: this task before its time steps were scaled or left out
    _source: TaskSource | None
    _measured: dict[str, dict[str, float]]
    _scalers: dict[str, TimeScaler]
    _table: FittedTable | None  # which made the arrays, where they still are as it made them
    _metric: Metric
    _mean_scores: dict[tuple[str, tuple[float, ...]], float]

    def __init__(
        self,
        name: str,
        train: Split,
        validation: Split,
        test: Split,
        *,
        kind: str = "regression",
        metric: str | Callable[..., float] | None = None,
        greater_is_better: bool | None = None,
        inverse: Callable[[Array], Array] | None = None,
        units: str = "",
        time_unit: str = "",
        baselines: Callable[[Task], Mapping[str, float]] | None = None,
        labels: npt.ArrayLike | None = None,
        score_at: str = "all",
        allow_unsafe_time: bool = False,
    ) -> None:
        check_choice("kind", kind, KINDS_OF_TASK)
        self._build(
            name, train, validation, test, kind, as_metric(metric, kind, greater_is_better), inverse, units, time_unit,
            baselines, labels, score_at, allow_unsafe_time,
        )  # fmt: skip
        for split_name, split in self.splits.items():
            if split.time_delta is not None and not allow_unsafe_time:
                refuse_time_stamps(f"{split_name}.time_delta", split.time_delta, split.mask)
        warn_of_equal_sequences(self.splits)
        if kind == "regression" and inverse is None:
            warn_of_raw_targets(train)

    def _build(
        self,
        name: str,
        train: Split,
        validation: Split,
        test: Split,
        kind: str,
        metric: Metric,
        inverse: Callable[[Array], Array] | None,
        units: str,
        time_unit: str,
        baselines: Callable[[Task], Mapping[str, float]] | None,
        labels: npt.ArrayLike | None,
        score_at: str,
        allow_unsafe_time: bool,
    ) -> None:
        """Check and set all fields, for a new task and for one made of another."""
        _check_name(name)
        check_text("units", units)
        check_text("time_unit", time_unit)
        for argument, function in (("inverse", inverse), ("baselines", baselines)):
            if function is not None and not callable(function):
                raise ValueError(f"{argument} must be callable or None, got {function!r}.")
        if inverse is not None and kind == "classification":
            raise ValueError(f"inverse must be None for classification, got {inverse!r}.")
        check_choice("score_at", score_at, ("all", "last"))
        check_flag("allow_unsafe_time", allow_unsafe_time)
        for split_name, split in zip(SPLITS, (train, validation, test), strict=True):
            check_values(split_name, split, kind, allow_unsafe_time)
            check_like(split_name, split, train)
        if kind == "classification":
            train, validation, test = with_classes_of_training((train, validation, test))
        if labels is not None:
            labels = as_array("labels", labels)
            if labels.dtype != np.bool_ or labels.shape != (len(test),) or labels.all() or not labels.any():
                raise ValueError(
                    f"labels must be booleans of both values with the test split's shape {(len(test),)}, "
                    f"got {labels.dtype} with shape {labels.shape} and {np.count_nonzero(labels)} true."
                )
            labels = labels.copy()
            labels.flags.writeable = False
        named = () if train.classes is None else (train.classes,)
        self._set(
            name=name, train=train, validation=validation, test=test, kind=kind, metric=metric.name, inverse=inverse,
            units=units, time_unit=time_unit, labels=labels, score_at=score_at,
            allow_unsafe_time=allow_unsafe_time, data_hash=digest((train, validation, test), labels, kind, *named),
            _baselines=baselines, _parent=None, _source=None, _measured={}, _scalers={}, _table=None,
            _metric=metric, _mean_scores={},
        )  # fmt: skip
        for split_name, split in self.splits.items():
            if not _counting(split, score_at)[0].any():
                raise ValueError(f"score_at must be 'all' where no {score_at} step of {split_name}.y was observed.")
        if metric.name == "mape":  # refuses targets of 0 before anything is trained
            for split_name in SPLITS:
                self.mean_score(split_name)

    def _set(self, **values: Any) -> None:
        """Set fields of a task that nobody else holds yet."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def splits(self) -> Mapping[str, Split]:
        """The three splits by name."""
        return MappingProxyType({name: getattr(self, name) for name in SPLITS})

    @property
    def source(self) -> TaskSource | None:
        """How the task can be made again; ``None`` for one made from arrays."""
        return self._source

    @property
    def table(self) -> FittedTable | None:
        """What the arrays were made of, for a task of a :class:`~ncps_mlx.data.Table`: its columns and scales.

        ``None`` for other tasks, and once time steps were scaled or left out, which the table knows nothing of.
        """
        return self._table

    def with_source(self, factory: str, /, **arguments: Any) -> Task:
        """Return the same task, noting what made it. Loaders and :func:`~ncps_mlx.data.load_task` do.

        Args:
            factory: ``"module:function"`` or ``"file.py:function"``.
            **arguments: The function's arguments.
        """
        if ":" not in check_text("factory", factory):
            raise ValueError(f"factory must be 'module:function' or 'file.py:function', got {factory!r:.80}.")
        values = {name: to_json_value(name, value) for name, value in arguments.items()}
        return self._made_by(TaskSource(factory=factory, arguments=values, steps=[]))

    @property
    def input_size(self) -> int:
        """Features per step, D."""
        return int(self.train.x.shape[2])

    @property
    def steps(self) -> int:
        """Steps per sequence, T, padding included."""
        return int(self.train.x.shape[1])

    @property
    def output_size(self) -> int:
        """Numbers the model puts out, O: targets, or classes seen in training."""
        if self.kind == "classification":
            return int(self.train.y.max()) + 1
        return int(self.train.y.shape[-1])

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The label of each output: what the training split holds, sorted; ``None`` for regression.

        Integers that count from 0 without a gap are their own labels; others are mapped, as strings and booleans are.

        Example:
            >>> from ncps_mlx import Split, Task
            >>> import numpy as np
            >>> y = np.array([100000, 0, 0, 100000])
            >>> splits = [Split(x=np.random.default_rng(seed).normal(size=(4, 7, 3)), y=y) for seed in range(3)]
            >>> task = Task("two classes", *splits, kind="classification")
            >>> task.classes, task.output_size, task.train.y.tolist()
            ((0, 100000), 2, [1, 0, 0, 1])
        """
        return tuple(labels_of(self.train)) if self.kind == "classification" else None

    @property
    def sizes(self) -> dict[str, Any]:
        """What the task decides about a model: ``input_size``, ``output_size``, ``return_sequences``.

        Example:
            >>> from ncps_mlx import CfC
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> task.sizes
            {'input_size': 1, 'output_size': 1, 'return_sequences': False}
            >>> CfC(**task.sizes, hidden_size=8).output_size
            1
        """
        sizes = {"input_size": self.input_size, "output_size": self.output_size}
        return sizes | {"return_sequences": self.train.every_step}

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric: true for accuracy, false for errors."""
        return self._metric.greater_is_better

    @property
    def score_units(self) -> str:
        """Unit of the score: ``units``, or ``""`` by a metric that has none, such as r2."""
        return self.units if self._metric.has_unit else ""

    def score(
        self,
        predictions: npt.ArrayLike,
        split: str | Split = "test",
        *,
        metric: str | Callable[..., float] | None = None,
        loss: Loss | None = None,
    ) -> float:
        """Score raw model outputs against a split, in real units, where targets were observed.

        Args:
            predictions: Of the shape of ``y``; for classification logits (n, ``output_size``), or (n, T, ...) with a
                class at every step.
            split: ``"train"``, ``"validation"`` or ``"test"``; or some sequences of them, such as ``task.test[:10]``.
            metric: Another metric than the task's, by name or as a function.
            loss: The loss of a model that puts out more than one number for each target, as quantiles are: what is
                scored is then :meth:`ncps_mlx.losses.Loss.point` of its outputs.

        Returns:
            The metric; NaN if any prediction is not finite (a diverged model). Weights of the split apply.

        Raises:
            ValueError: The shape or dtype is wrong, or the split or the metric is unknown.
            ImportError: The metric is scikit-learn's, which is not installed.

        Example:
            >>> import numpy as np
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> task.score(task.test.y), task.score(np.full_like(task.test.y, np.nan))
            (0.0, nan)
        """
        data: Split = split if isinstance(split, Split) else getattr(self, check_choice("split", split, SPLITS))
        if data is split:
            check_like("split", data, self.train)
        chosen = self._metric if metric is None else as_metric(metric, self.kind, any_direction=True)
        return self._score(real_array("predictions", predictions), data, chosen, _check_loss(loss))

    def _score(self, outputs: Array, data: Split, chosen: Metric, loss: Loss | None) -> float:
        """Score as :meth:`score`, whose arguments have been read."""
        classes = self.kind == "classification"
        shape = (*data.y.shape, self.output_size) if classes else data.y.shape
        wide = shape if loss is None else (*shape[:-1], loss.outputs(shape[-1]))
        if outputs.shape != wide:
            whose = "" if classes else f" with loss={loss}"
            cure = "" if classes or loss is not None else " Of a model that gives more for each target, say the loss."
            raise ValueError(f"predictions must have the shape {wide}{whose}, got {outputs.shape}.{cure}")
        if not np.isfinite(outputs).all():
            return float("nan")
        counts, weight = _counting(data, self.score_at)
        if classes:
            return chosen.score(data.y[counts], (outputs if loss is None else loss.point(outputs))[counts], weight)
        true = self.to_units(data.y)[counts]
        if chosen.name == "pinball" and (levels := getattr(loss, "levels", None)) is not None:
            chosen = replace(chosen, function=lambda y, q, w: pinball(y, q, np.array(levels), w))
            quantiles = getattr(loss, "by_level")(outputs)  # noqa: B009  # of the class that has levels
            each = [self.to_units(quantiles[..., i])[counts] for i in range(len(levels))]
            return chosen.score(true, np.stack(each, axis=-1), weight)
        return chosen.score(true, self.to_units(outputs if loss is None else loss.point(outputs))[counts], weight)

    def mean_score(self, split: str = "validation", *, loss: Loss | None = None) -> float:
        """The score of a constant answer, which anything that has learnt should beat.

        It is the mean of the training targets; for classes their frequencies in training, so the most frequent class
        where one is asked for; for a quantile loss scored by pinball the training quantiles.

        Args:
            split: ``"train"``, ``"validation"`` or ``"test"``.
            loss: A quantile loss, if the task is scored by pinball.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> 0.5 < task.mean_score("test") < 2
            True
        """
        data: Split = getattr(self, check_choice("split", split, SPLITS))
        loss = _check_loss(loss)
        levels: tuple[float, ...] = getattr(loss, "levels", ()) if self.metric == "pinball" else ()
        if (split, levels) not in self._mean_scores:
            counts, weight = _counting(self.train, "all")
            known = self.train.y[counts]
            if self.kind == "classification":
                totals = np.bincount(known, weight, minlength=self.output_size)
                constant = np.log(np.maximum(totals, 1e-9) / totals.sum())
                shape: tuple[int, ...] = (*data.y.shape, self.output_size)
            else:
                shape = (*data.y.shape[:-1], data.y.shape[-1] * max(1, len(levels)))
                constant = np.nanquantile(known, levels, axis=0).T.ravel() if levels else _mean(known, weight)
            answer = np.broadcast_to(constant, shape)
            self._mean_scores[split, levels] = self._score(answer, data, self._metric, loss if levels else None)
        return self._mean_scores[split, levels]

    def to_units(self, values: npt.ArrayLike) -> Array:
        """Map outputs or targets of a regression to real units, in double precision.

        Args:
            values: Numbers on the scale of ``y``.

        Raises:
            ValueError: The values are no real numbers, or ``inverse`` gives another shape.

        Example:
            >>> from ncps_mlx.data import glucose
            >>> task = glucose(n_train=24, n_validation=12, n_test=12)
            >>> mean, above = task.to_units([0.0, 1.0])  # standardised values, in mg/dl
            >>> bool(50 < mean < above < 300)
            True
        """
        array = real_array("values", values).astype(np.float64)
        if self.inverse is None:
            return array
        restored = real_array("the result of inverse", self.inverse(array))
        if restored.shape != array.shape:
            raise ValueError(
                f"inverse must keep the shape {array.shape} of what it is given, got {restored.shape}. It maps each "
                "value to real units, and leaves none out."
            )
        return restored.astype(np.float64)

    def baselines(self, split: str = "test") -> dict[str, float]:
        """Classical scores on a split, measured at the first call and kept.

        A figure of validation scores wants ``baselines("validation")``: the splits differ in difficulty.
        Tasks derived by :meth:`scaled_time`, :meth:`with_gap_as_input` and :meth:`without_time` show the model
        the same information in another form and share the baselines of the task they come from.

        Args:
            split: ``"test"``, or ``"validation"``, where what a baseline chooses on that split (a penalty)
                flatters it a little, as it does a tuned network.

        Raises:
            ValueError: The task was made without baselines, or the split is neither.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> sorted(task.baselines()) == sorted(task.baselines("validation"))
            True
        """
        check_choice("split", split, SPLITS[1:])
        if self._parent is not None:
            return self._parent.baselines(split)
        if split not in self._measured:
            if self._baselines is None:
                raise ValueError(
                    f"baselines must be given to measure them, got None in the task {self.name!r}."
                )
            task = self if split == "test" else self._with(test=self.validation, labels=None, parent=None)
            self._measured[split] = {str(name): float(value) for name, value in self._baselines(task).items()}
        return dict(self._measured[split])

    def take(self, n: int, seed: int = 0) -> Task:
        """Return the task with ``n`` training sequences, drawn without replacement and kept in order.

        Draws with one seed are nested: the first 100 are among the first 200. Validation and test stay;
        baselines are measured anew with the smaller training split. Neighbouring windows of a series overlap,
        so a few of them drawn at random still cover the whole of it.

        Raises:
            ValueError: ``n`` is below 1 or above the size of the training split, or only one class is left.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> few = task.take(5)
            >>> len(few.train), len(few.test)
            (5, 12)
        """
        if check_int("n", n) > len(self.train):
            raise ValueError(f"n must be at most {len(self.train)}, the training sequences, got {n}.")
        check_int("seed", seed, minimum=0)
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.train))[:n])
        parent = None if self._parent is None else self._parent.take(n, seed)
        return self._with(train=self.train[rows], parent=parent)._after(self, "take", int(n), int(seed))

    def fold(self, fold: int, folds: int = 5, kind: str = "blocked", gap: int = 0, seed: int = 0) -> Task:
        """Return the task of one fold of a cross-validation over training and validation split together.

        The test split stays; baselines are measured anew. Scale time steps afterwards, on the fold's own training
        sequences.

        Args:
            fold: Which fold, from 0.
            folds: How many there are.
            kind: ``"blocked"``: the sequences are cut into as many blocks as folds, and each validates once.
                ``"forward"``: into one more, and each but the first validates what the blocks before it train.
                ``"shuffled"``: drawn at random; of a series, whose windows overlap, that validates on what was
                trained on.
                Blocks follow the order of the sequences: that of time, if a gap is to part them. Those of
                :func:`ncps_mlx.data.glucose` are in no order.
            gap: Sequences left out on either side of the validating block (not with ``"shuffled"``): as many as
                windows overlap.
            seed: Of the order of ``"shuffled"``.

        Raises:
            ValueError: An argument is out of its range, or the time steps are scaled already.

        Source: Bergmeir and Benitez, "On the use of cross-validation for time series predictor evaluation",
        Information Sciences 191 (2012).

        Example:
            >>> from ncps_mlx.data import sunspots
            >>> task = sunspots(months_per_step=12)
            >>> [task.fold(i, 5, gap=12) for i in range(2)]
            [Task('sunspots', regression, rmse in sunspot number, T=11, D=12, O=12, 1986/500/463 sequences),
             Task('sunspots', regression, rmse in sunspot number, T=11, D=12, O=12, 1975/499/463 sequences)]
        """
        if self._parent is not None:
            raise ValueError(
                f"fold must come before the time steps of {self.name!r} are scaled or left out: call scaled_time, "
                "with_gap_as_input or without_time on the fold."
            )
        both = self.train + self.validation
        train, validation = fold_rows(len(both), fold, folds, kind, gap, seed)
        task = self._with(train=both[train], validation=both[validation], parent=None)
        return task._after(self, "fold", fold, folds, kind, gap, seed)

    def scaled_time(self, kind: str) -> Task:
        """Return the task with its time steps scaled by a :class:`~ncps_mlx.TimeScaler`.

        The scaler is fitted on the training split alone, on its valid steps. A model that is trained on the result
        owns the scaler, as after ``fit(model, task, time_scaling=kind)``: either task can then evaluate it.

        Args:
            kind: ``"raw"``, ``"log"``, ``"normalized"`` or ``"bounded"``.

        Raises:
            ValueError: The kind is unknown, or the task has no ``time_delta``, or one that is scaled already.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> scaled = task.scaled_time("normalized")
            >>> round(float(scaled.train.time_delta.mean()), 3)
            1.0
        """
        raw = check_choice("kind", kind, KINDS) == "raw"
        scaler, unit = (None, self.time_unit) if raw else (self.time_scaler(kind), "")
        splits = {
            name: replace(self.splits[name], time_delta=time_delta, scaled_by=scaler)
            for name, time_delta in self._scaled_steps(kind).items()
        }
        task = self._with(**splits, time_unit=unit, parent=self._parent or self)
        return task._after(self, "scaled_time", kind)

    def time_scaler(self, kind: str) -> TimeScaler:
        """Return the scaler of :meth:`scaled_time`: fitted on the training split's valid steps, once for each kind.

        Args:
            kind: ``"raw"``, ``"log"``, ``"normalized"`` or ``"bounded"``.

        Raises:
            ValueError: The kind is unknown, or the task has no ``time_delta``, or one that is scaled already.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> bool((task.time_scaler("log").transform(task.test.time_delta)
            ...       == task.scaled_time("log").test.time_delta).all())
            True
        """
        if self.train.time_delta is None:
            raise ValueError(f"time_delta must be there to be scaled, got None in the task {self.name!r}.")
        if self.train.scaled_by is not None:
            raise ValueError(
                f"time_delta of {self.name!r} must be raw to be scaled, got what {self.train.scaled_by} gave. Take the "
                "task from before scaled_time."
            )
        if check_choice("kind", kind, KINDS) not in self._scalers:
            self._scalers[kind] = TimeScaler(kind).fit(self.train.time_delta, self.train.mask)
        return self._scalers[kind]

    def with_gap_as_input(self) -> Task:
        """Return the task with the log-scaled time step as one more input feature, and no ``time_delta``.

        The same information by another road: a plain input instead of the model's clock.

        Raises:
            ValueError: The task has no ``time_delta``, or one that is scaled already.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> task.input_size, task.with_gap_as_input().input_size
            (1, 2)
        """
        splits = {
            name: replace(
                self.splits[name],
                x=np.concatenate([self.splits[name].x, gap[..., None]], axis=2),
                time_delta=None,
                scaled_by=None,
            )
            for name, gap in self._scaled_steps("log").items()
        }
        task = self._with(**splits, time_unit="", parent=self._parent or self)
        return task._after(self, "with_gap_as_input")

    def without_time(self) -> Task:
        """Return the task with no ``time_delta``: the model sees every step last 1.

        Example:
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=24, n_validation=12, n_test=12, readings=7)
            >>> task.without_time().train.time_delta is None
            True
        """
        splits = {name: replace(split, time_delta=None, scaled_by=None) for name, split in self.splits.items()}
        task = self._with(**splits, time_unit="", parent=self._parent or self)
        return task._after(self, "without_time")

    def _scaled_steps(self, kind: str) -> dict[str, Array]:
        scaler = self.time_scaler(kind)
        return {
            name: scaler.transform(split.time_delta)
            for name, split in self.splits.items()
            if split.time_delta is not None
        }

    def _with(self, *, parent: Task | None, **changes: Any) -> Task:
        """Return a task made anew with other values of some arguments."""
        arguments = {"metric": self._metric} | {
            name: getattr(self, name)
            for name in (
                "name", *SPLITS, "kind", "inverse", "units", "time_unit", "labels", "score_at",
                "allow_unsafe_time",
            )
        }  # fmt: skip
        task = object.__new__(Task)
        task._build(baselines=self._baselines, **(arguments | changes))
        task._set(_parent=parent, _table=self._table if parent is None else None)
        return task

    def _with_table(self, table: FittedTable) -> Task:
        task = copy.copy(self)
        task._set(_table=table)
        return task

    def _after(self, former: Task, method: str, *arguments: Any) -> Task:
        """Note that a method of the former task made this one."""
        return self if former.source is None else self._made_by(former.source.with_step(method, *arguments))

    def _made_by(self, source: TaskSource) -> Task:
        task = copy.copy(self)
        task._set(_source=source)
        return task

    def __repr__(self) -> str:
        metric = f"{self.metric} in {self.score_units}" if self.score_units else self.metric
        sizes = "/".join(str(len(split)) for split in self.splits.values())
        shape = f"T={self.steps}, D={self.input_size}, O={self.output_size}"
        there = is_observed(self.train)
        padded = self.train.mask is not None and self.train.every_step
        observed = float((there[self.train.mask] if padded else there).mean())
        known = "" if observed == 1 else f", {observed:.0%} {'labelled' if self.classes else 'observed'}"
        return f"Task({self.name!r}, {self.kind}, {metric}, {shape}, {sizes} sequences{known})"


def _counting(split: Split, score_at: str) -> tuple[Array, Array | None]:
    """Which readings count, booleans (n,) or (n, T), or their indices; and the weight of each, if they differ."""
    shape = split.x.shape[: 2 if split.every_step else 1]
    weight = target_weights(split)
    rows: Array = np.ones(shape, dtype=bool)
    if weight is not None:
        rows = np.asarray((weight.reshape(*shape, -1) > 0).any(axis=-1))
    if score_at == "last" and split.every_step:
        last = np.zeros(shape, dtype=bool)
        last[np.arange(len(split)), last_valid_step(split.mask, *shape)] = True
        rows = rows & last
    if split.weight is None:
        return rows, None
    own = split.weight if split.weight.ndim == rows.ndim else split.weight[:, None]
    return rows, np.broadcast_to(own, shape)[rows].astype(np.float64)


def _mean(known: Array, weight: Array | None) -> Array:
    """The mean of each target (O,) over readings (m, O), where it was observed."""
    there = ~np.isnan(known)
    share = there * (np.ones(len(known)) if weight is None else weight)[:, None]
    total = (np.where(there, known, 0.0).astype(np.float64) * share).sum(axis=0)
    return np.asarray(total / share.sum(axis=0))


def _check_loss(loss: Loss | None) -> Loss | None:
    """Refuse what is neither a loss nor ``None``; this package lies below that of losses."""
    parts = (getattr(loss, name, None) for name in ("outputs", "point"))
    if loss is not None and (isinstance(loss, type) or not all(map(callable, parts))):
        raise ValueError(f"loss must be a Loss, such as ncps_mlx.losses.Quantile(), or None, got {loss!r:.80}.")
    return loss


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be a non-empty string, got {name!r}.")
