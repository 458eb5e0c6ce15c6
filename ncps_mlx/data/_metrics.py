"""Metrics: what a task is scored by, by name, by ``"module:function"``, or a function of one's own."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncps_mlx._utils.by_name import import_by_name, name_of
from ncps_mlx._utils.optional import import_optional
from ncps_mlx._utils.validation import as_float, check_choice, check_flag
from ncps_mlx.data._split import Array

__all__ = ["METRICS", "Metric", "as_metric", "pinball", "scale_of"]

Function = Callable[[Array, Array, Array | None], float]
"""Takes what was true, what was predicted, and a weight for each reading, ``None`` if all count the same."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric: of real values (m, O), of classes (m,), or of classes and their probabilities (m, C)."""

    name: str
    function: Function
    greater_is_better: bool = False
    kind: str = "regression"
    of: str = "values"  # what it is given as predicted: "values", "classes" or "probabilities"
    has_unit: bool = False
    is_share: bool = False  # 1 where all is right, never below 0
    is_pooled: bool = False  # over all values alike, whichever target they are of

    def score(self, true: Array, outputs: Array, weight: Array | None) -> float:
        """Score readings: (m, O) with NaN where a target was not observed, or classes (m,) with logits (m, C)."""
        if self.of == "classes":
            return self.function(true, outputs.argmax(axis=-1), weight)
        if self.of == "probabilities":
            logits = outputs.astype(np.float64)
            powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return self.function(true, powers / powers.sum(axis=-1, keepdims=True), weight)
        there = ~np.isnan(true)
        if there.all():
            return self.function(true, outputs, weight)
        if self.is_pooled:
            every = None if weight is None else np.broadcast_to(weight[:, None], true.shape)[there]
            return self.function(true[there][:, None], outputs[there][:, None], every)
        scores = [  # a function of whole rows is asked for one target at a time
            self.function(true[seen, j, None], outputs[seen, j, None], None if weight is None else weight[seen])
            for j, seen in enumerate(there.T)
            if seen.any()
        ]
        return float(np.mean(scores))


def _squared(true: Array, predicted: Array, weight: Array | None) -> float:
    return float(np.sqrt(_mean(np.square(predicted - true), weight)))


def _absolute(true: Array, predicted: Array, weight: Array | None) -> float:
    return _mean(np.abs(predicted - true), weight)


def _relative(true: Array, predicted: Array, weight: Array | None) -> float:
    if not true.all():
        raise ValueError("metric must not be 'mape' where a target is 0, which no error is a share of: take 'smape'.")
    return _mean(np.abs(predicted - true) / np.abs(true), weight)


def _symmetric(true: Array, predicted: Array, weight: Array | None) -> float:
    size = np.abs(true) + np.abs(predicted)
    return _mean(2 * np.abs(predicted - true) / np.where(size > 0, size, 1.0), weight)


def _mean(values: Array, weight: Array | None) -> float:
    if weight is None:
        return float(np.mean(values))
    rows = weight.reshape(-1, *[1] * (values.ndim - 1))
    return float(np.average(values, weights=np.broadcast_to(rows, values.shape)))


def pinball(true: Array, predicted: Array, levels: Array, weight: Array | None) -> float:
    """The mean pinball loss of predictions (m, O, L) at each of the levels (L,)."""
    error = true[..., None] - predicted
    return _mean(np.maximum(levels * error, (levels - 1) * error), weight)


def _pinball_of_points(_: Array, __: Array, ___: Array | None) -> float:
    raise ValueError(
        "metric 'pinball' must be given quantiles, got one prediction for each target. Train with loss='quantile', or "
        "give score its loss."
    )


def _accuracy(true: Array, predicted: Array, weight: Array | None) -> float:
    return _mean(predicted == true, weight)


def _of_sklearn(function: str, **settings: Any) -> Function:
    def score(true: Array, predicted: Array, weight: Array | None) -> float:
        metrics = import_optional("sklearn.metrics", f"The metric {function}")
        with warnings.catch_warnings():  # of classes that were never predicted, or are not there: their share is 0
            warnings.simplefilter("ignore", category=UserWarning)
            return float(getattr(metrics, function)(true, predicted, sample_weight=weight, **settings))

    return score


def _f1(true: Array, predicted: Array, weight: Array | None) -> float:
    two = max(true.max(), predicted.max()) < 2
    return _of_sklearn("f1_score", average="binary" if two else "macro", zero_division=0)(true, predicted, weight)


def _roc_auc(true: Array, probabilities: Array, weight: Array | None) -> float:
    present = [1] if probabilities.shape[1] == 2 else np.unique(true)
    area = _of_sklearn("roc_auc_score")
    return float(np.mean([area(true == each, probabilities[:, each], weight) for each in present]))


def _log_loss(true: Array, probabilities: Array, weight: Array | None) -> float:
    every = list(range(probabilities.shape[1]))
    return _of_sklearn("log_loss", labels=every)(true, probabilities, weight)


def _share(name: str, function: Function, of: str) -> Metric:
    return Metric(name=name, function=function, greater_is_better=True, kind="classification", of=of, is_share=True)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="rmse", function=_squared, has_unit=True, is_pooled=True),
        Metric(name="mae", function=_absolute, has_unit=True, is_pooled=True),
        Metric(name="r2", function=_of_sklearn("r2_score"), greater_is_better=True),
        Metric(name="mape", function=_relative, is_pooled=True),
        Metric(name="smape", function=_symmetric, is_pooled=True),
        Metric(name="pinball", function=_pinball_of_points, has_unit=True, is_pooled=True),
        _share("accuracy", _accuracy, of="classes"),
        _share("balanced accuracy", _of_sklearn("balanced_accuracy_score"), of="classes"),
        _share("f1", _f1, of="classes"),
        _share("roc auc", _roc_auc, of="probabilities"),
        Metric(name="log loss", function=_log_loss, kind="classification", of="probabilities"),
    )
}
"""The metrics that have a name; each kind's first is its default."""

OF_PROBABILITIES = ("y_score", "y_proba", "y_prob")
"""What a function calls its second argument if that is probabilities, as scikit-learn's do."""


def scale_of(metric: str, scores: Iterable[float]) -> tuple[float, float] | None:
    """The bounds of scores of a metric, in shares or in percent as they are; ``None`` where it has none."""
    found = list(scores)
    if metric not in METRICS or not METRICS[metric].is_share or min(found, default=0.0) < 0:
        return None
    return next(((0.0, most) for most in (1.0, 100.0) if max(found, default=0.0) <= most), None)


def as_metric(value: Any, kind: str, greater_is_better: Any = None, *, any_direction: bool = False) -> Metric:
    """Return the metric of a kind of task; refuse what is none, or whose direction is not known.

    ``any_direction`` is for one that is only looked at.
    """
    if greater_is_better is not None:
        check_flag("greater_is_better", greater_is_better)
    own = [name for name, metric in METRICS.items() if metric.kind == kind]
    if isinstance(value, Metric):
        return value
    if callable(value) or (isinstance(value, str) and ":" in value):
        return _own_metric(value, kind, True if any_direction else greater_is_better)
    name = own[0] if value is None else check_choice("metric", value, own)
    if greater_is_better is not None:
        raise ValueError(
            f"greater_is_better must be left out for the metric {name!r}, whose direction is known, got "
            f"{greater_is_better}."
        )
    return METRICS[name]


def _own_metric(value: Any, kind: str, greater_is_better: bool | None) -> Metric:
    function = import_by_name("metric", value) if isinstance(value, str) else value
    if isinstance(function, type):
        raise ValueError(f"metric must be a function of (y_true, y_pred, sample_weight=None), got the {function}.")
    name = str(value if isinstance(value, str) else name_of(value) or getattr(value, "__name__", type(value).__name__))
    is_sklearn = str(getattr(function, "__module__", "")).startswith("sklearn.metrics")
    ends = getattr(function, "__name__", "").rpartition("_")[2]
    if greater_is_better is None and is_sklearn and ends in ("score", "error", "loss"):
        greater_is_better = ends == "score"  # its convention
    if greater_is_better is None:
        raise ValueError(f"greater_is_better must be True or False for the metric {name!r}, got None.")
    parameters = _parameters(name, function)
    of = "values" if kind == "regression" else "classes"
    if kind == "classification" and len(parameters) > 1 and parameters[1] in OF_PROBABILITIES:
        of = "probabilities"
    if is_sklearn and (of == "probabilities" or name.endswith((":log_loss", ":d2_log_loss_score"))):
        raise ValueError(
            f"metric must be 'roc auc' or 'log loss', or a function of (y_true, y_proba) of your own, where it needs "
            f"probabilities, got {name!r}."
        )
    weighted = "sample_weight" in parameters

    def score(true: Array, predicted: Array, weight: Array | None) -> float:
        if weight is not None and not weighted:
            raise ValueError(f"metric must take sample_weight, for the splits have weights, got {name!r}.")
        result = function(true, predicted, **({} if weight is None else {"sample_weight": weight}))
        number = as_float(result.item() if isinstance(result, np.ndarray) and result.size == 1 else result)
        if number is None:
            raise ValueError(f"metric must give a number, got {result!r:.80} from {name!r}.")
        return number

    return Metric(name=name, function=score, greater_is_better=greater_is_better, kind=kind, of=of, has_unit=True)


def _parameters(name: str, function: Any) -> list[str]:
    try:
        found = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
    if len(found) < 2:
        raise ValueError(f"metric must be a function of (y_true, y_pred, sample_weight=None), got {name!r} of {found}.")
    return found
