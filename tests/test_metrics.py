"""Metrics: each as known, on what was observed, in real units, weighted; functions of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ncps_mlx import CfC, Record, Space, Split, Study, Task, evaluate, fit
from ncps_mlx.data import baselines
from ncps_mlx.losses import Quantile

T, D, O = 4, 3, 2


def regression(holes: float = 0.0, weighted: bool = False, **settings: Any) -> Task:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        y = rng.normal(size=(n, O))
        y[rng.random(y.shape) < holes] = np.nan
        return Split(x=rng.normal(size=(n, T, D)), y=y, weight=rng.uniform(0.1, 2, n) if weighted else None)

    return Task("toy", split(30), split(20), split(25), inverse=lambda y: 10 + 2 * y, units="g", **settings)


def classification(n_classes: int = 3, holes: float = 0.0, weighted: bool = False, **settings: Any) -> Task:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        y = np.arange(n) % n_classes
        y[rng.random(n) < holes] = -1
        return Split(x=rng.normal(size=(n, T, D)), y=y, weight=rng.uniform(0.1, 2, n) if weighted else None)

    return Task("toy", split(30), split(20), split(25), kind="classification", **settings)


def absolute(y_true: Any, y_pred: Any) -> float:
    return float(np.abs(y_true - y_pred).max())


def nothing(*_: Any) -> Any:
    return None


def confidence(y_true: Any, y_proba: Any, sample_weight: Any = None) -> float:
    """The mean probability of the true class."""
    return float(np.average(y_proba[np.arange(len(y_true)), y_true], weights=sample_weight))


EXPECTED = {
    "rmse": lambda y, p, w: np.sqrt(np.average((y - p) ** 2, weights=w)),
    "mae": sklearn_metrics.mean_absolute_error,
    "r2": sklearn_metrics.r2_score,
    "mape": sklearn_metrics.mean_absolute_percentage_error,
    "smape": lambda y, p, w: np.average(2 * np.abs(y - p) / (np.abs(y) + np.abs(p)), weights=w),
    "sklearn.metrics:median_absolute_error": sklearn_metrics.median_absolute_error,
}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_a_metric_of_values_is_the_known_one(name: str, weighted: bool, holes: float) -> None:
    task = regression(holes, weighted, metric=name)
    outputs = np.random.default_rng(1).normal(size=task.test.y.shape)
    true, predicted = 10 + 2 * task.test.y.astype(np.float64), 10 + 2 * outputs
    there = ~np.isnan(true)
    weight = np.ones(len(true)) if task.test.weight is None else task.test.weight.astype(np.float64)
    pooled = not name.startswith(("r2", "sklearn"))
    columns = [slice(None)] if pooled else [[0], [1]]  # those of whole rows are the mean over targets
    each = []
    for column in columns:
        seen = there[:, column]
        weights = np.broadcast_to(weight[:, None], there.shape)[:, column][seen]
        y, p = true[:, column][seen], predicted[:, column][seen]
        function: Any = EXPECTED[name]
        each.append(function(y, p, **({"w": weights} if "lambda" in str(function) else {"sample_weight": weights})))
    assert task.score(outputs) == pytest.approx(np.mean(each), rel=1e-9)
    assert task.metric == name and task.higher_is_better == (name == "r2")
    assert task.score_units == ("" if name in ("r2", "mape", "smape") else "g")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_metric_of_classes_is_the_known_one(n_classes: int, weighted: bool) -> None:
    task = classification(n_classes, holes=0.2, weighted=weighted)
    logits = np.random.default_rng(1).normal(size=(len(task.test), n_classes))
    there = task.test.y >= 0
    y, own = task.test.y[there], logits[there]
    weight = None if task.test.weight is None else task.test.weight[there].astype(np.float64)
    p = np.exp(own) / np.exp(own).sum(axis=1, keepdims=True)
    area = {} if n_classes == 2 else {"multi_class": "ovr"}
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(y, own.argmax(axis=1), sample_weight=weight),
        "balanced accuracy": sklearn_metrics.balanced_accuracy_score(y, own.argmax(axis=1), sample_weight=weight),
        "f1": sklearn_metrics.f1_score(
            y, own.argmax(axis=1), sample_weight=weight, average="binary" if n_classes == 2 else "macro"
        ),
        "roc auc": sklearn_metrics.roc_auc_score(y, p[:, 1] if n_classes == 2 else p, sample_weight=weight, **area),
        "log loss": sklearn_metrics.log_loss(y, p, sample_weight=weight),
    }
    for name, value in expected.items():
        assert task.score(logits, metric=name) == pytest.approx(value, rel=1e-6)
    own_score = task.score(logits, metric=confidence)
    assert own_score == pytest.approx(np.average(p[np.arange(len(y)), y], weights=weight))


def test_a_metric_of_one_s_own_is_named_and_has_a_direction(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def worst(y_true, y_pred):\n    return abs(y_true - y_pred).max()\n")
    path = f"{tmp_path / 'mine.py'}:worst"
    task = regression(metric=path, greater_is_better=False)
    outputs = np.zeros((25, O))
    assert task.metric == path and task.score(outputs) == np.abs(2 * task.test.y.astype(np.float64)).max()
    assert task.take(9).score(outputs) == task.score(outputs)  # what is derived keeps it
    of_function = regression(metric=absolute, greater_is_better=False)
    assert of_function.metric.endswith("test_metrics:absolute") and of_function.score(outputs) == task.score(outputs)
    fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 4, "batch_size": 16}
    study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed=fixed).run(progress=False)
    record = Record.from_json(study.best.to_json())
    assert record.metric == path and record.rerun(task).score == record.score
    with pytest.raises(ValueError, match=r"task must be scored by '.*worst' as in the record, got 'rmse'"):
        record.rerun(regression())


def test_evaluate_gives_several_metrics_at_once() -> None:
    task = regression(holes=0.2)
    models = [CfC(**task.sizes, hidden_size=5, backbone_units=7, seed=seed) for seed in range(2)]
    names = ["mae", "r2", "sklearn.metrics:median_absolute_error"]
    found = evaluate(models, task, metric=[*names, absolute])
    assert [list(each)[:3] for each in found] == [names, names]
    of_both = evaluate(models, task, "validation", metric=["mae"])
    assert evaluate(models[1], task, "validation", metric="mae") == of_both[1]["mae"]
    assert evaluate(models, task, metric="rmse") == evaluate(models, task)
    for wrong, got in (([], "none"), (["mae", "mae"], "mae, mae")):
        with pytest.raises(ValueError, match=f"metric must be a metric or a list of different ones, got {got}"):
            evaluate(models, task, metric=wrong)
    with pytest.raises(ValueError, match=r"metric must be one of 'rmse', .* got 'accuracy'"):
        evaluate(models, task, metric="accuracy")


def test_pinball_is_of_quantiles() -> None:
    task = regression(holes=0.2, metric="pinball")
    loss = Quantile((0.1, 0.5))
    model = CfC(**task.sizes | {"output_size": 4}, hidden_size=5, backbone_units=7, seed=0)
    assert fit(model, task, loss=loss, steps=4, batch_size=8, progress=False).status == "finished"
    outputs = np.random.default_rng(0).normal(size=(25, 4))
    y, there = 10 + 2 * task.test.y.astype(np.float64), ~np.isnan(task.test.y)
    values = [
        sklearn_metrics.mean_pinball_loss(y[there], (10 + 2 * outputs.reshape(25, O, 2)[..., i])[there], alpha=level)
        for i, level in enumerate(loss.levels)
    ]
    assert task.score(outputs, loss=loss) == pytest.approx(np.mean(values))
    assert task.mean_score("train", loss=loss) < task.score(np.zeros((30, 4)), "train", loss=loss)
    with pytest.raises(ValueError, match=r"metric 'pinball' must be given quantiles, .* Train with loss='quantile'"):
        task.score(outputs[:, :2])
    with pytest.raises(ValueError, match=r"loss must give quantiles, as 'quantile' does, for a task .* 'pinball'"):
        fit(CfC(**task.sizes, hidden_size=5, seed=0), task, steps=4, batch_size=8, progress=False)


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (regression, {"metric": "rmsle"}, "metric must be one of 'rmse', 'mae', 'r2', .* got 'rmsle'"),
        (regression, {"metric": 3}, "metric must be one of 'rmse'"),
        (classification, {"metric": "rmse"}, "metric must be one of 'accuracy', 'balanced accuracy', .* got 'rmse'"),
        (regression, {"metric": absolute}, "greater_is_better must be True or False for the metric '.*absolute'"),
        (regression, {"metric": absolute, "greater_is_better": 1}, "greater_is_better must be True or False, got 1"),
        (regression, {"metric": "mae", "greater_is_better": True}, "must be left out for the metric 'mae'"),
        (regression, {"metric": "sklearn.metrics:nothing"}, "metric must name a function, got 'sklearn.metrics:no"),
        (regression, {"metric": "sklearn.metrics:"}, "metric must be 'module:function' or 'file.py:function'"),
        (regression, {"metric": lambda _: 0.0, "greater_is_better": True}, r"must be a function of \(y_true, y_pred"),
        (classification, {"metric": "sklearn.metrics:log_loss"}, "metric must be 'roc auc' or 'log loss', or a fun"),
        (classification, {"metric": sklearn_metrics.roc_auc_score}, "where it needs probabilities"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(task: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**settings)


def test_what_a_metric_cannot_score_is_named() -> None:
    outputs = np.zeros((25, O))
    with pytest.raises(ValueError, match="metric must take sample_weight, for the splits have weights"):
        regression(weighted=True).score(outputs, metric=absolute)
    with pytest.raises(ValueError, match="metric must give a number, got None"):
        regression().score(outputs, metric=lambda y_true, y_pred: nothing(y_true, y_pred))
    splits = [Split(x=np.ones((3, T, D)) * i, y=np.zeros((3, 1))) for i in range(3)]
    with pytest.raises(ValueError, match="metric must not be 'mape' where a target is 0"):
        Task("zeros", *splits, metric="mape")
    rng = np.random.default_rng(0)
    ends = [
        Split(x=rng.normal(size=(3, T, D)), y=np.where(np.arange(T)[:, None] < T - 1, np.ones((3, T, 1)), np.nan))
        for _ in range(3)
    ]
    with pytest.raises(ValueError, match=r"score_at must be 'all' where no last step of train\.y was observed"):
        Task("ends", *ends, score_at="last")


def test_without_scikit_learn_the_plain_metrics_work(monkeypatch: pytest.MonkeyPatch) -> None:
    values, classes = regression(), classification()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    for name in ("rmse", "mae", "mape", "smape"):
        assert values.score(values.test.y * 0, metric=name) > 0
    assert classes.score(np.eye(3)[classes.test.y]) == 1.0
    with pytest.raises(ImportError, match=r'The metric r2_score needs the package sklearn.*"ncps-mlx\[guide\]"'):
        values.score(values.test.y * 0, metric="r2")


def test_the_score_of_a_constant_answer() -> None:
    task = classification(3, holes=0.2, weighted=True)
    known = task.train.y >= 0
    assert task.train.weight is not None and task.validation.weight is not None
    totals = np.bincount(task.train.y[known], task.train.weight[known])
    there = task.validation.y >= 0
    share = np.average(task.validation.y[there] == totals.argmax(), weights=task.validation.weight[there])
    assert task.mean_score() == pytest.approx(share)
    assert task.score(np.zeros((20, 3)), "validation", metric="roc auc") == 0.5
    plain = regression()
    expected = np.sqrt(np.mean((2 * (plain.test.y - plain.train.y.mean(axis=0))) ** 2))
    assert plain.mean_score("test") == pytest.approx(expected, rel=1e-6)


def test_baselines_leave_out_what_was_not_observed() -> None:
    def features(split: Split) -> Any:
        return split.x.reshape(len(split), -1)

    rng = np.random.default_rng(0)

    def split(n: int, drop: bool, kind: str) -> Split:
        x = rng.normal(size=(n, T, D))
        y: Any = x[:, -1, :1] + 0.1 * rng.normal(size=(n, 1))
        if kind == "classes":
            y = (y[:, 0] > 0).astype(int)
        lost = np.arange(n) % 3 == 0
        if drop:
            return Split(x=x[~lost], y=y[~lost])
        y[lost] = -1 if kind == "classes" else np.nan
        return Split(x=x, y=y)

    for kind in ("classes", "values"):
        tasks = []
        for drop in (False, True):
            rng = np.random.default_rng(0)
            splits = [split(n, drop, kind) for n in (60, 30, 30)]
            tasks.append(Task("toy", *splits, kind="classification" if kind == "classes" else "regression"))
        methods: Any = [baselines.boosted_trees]
        if kind == "classes":
            methods += [baselines.logistic_regression, baselines.nearest_neighbour]
            methods += [lambda task, _: baselines.majority(task)]
        else:
            methods += [baselines.ridge, lambda task, _: baselines.train_mean(task)]
        for method in methods:
            scores = [method(task, features) for task in tasks]
            assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    partly = regression(holes=0.3)
    with pytest.raises(ValueError, match=r"train\.y must be observed in all targets of a sequence or in none"):
        baselines.ridge(partly, features)
    with pytest.raises(ValueError, match=r"task must be scored by accuracy, got 'log loss': take task\.mean_score"):
        baselines.majority(classification(metric="log loss"))
    assert 0 < baselines.logistic_regression(classification(metric="log loss"), features) < 3
