"""Classical methods that a network has to beat, measured on a task's test split.

Each takes a task, fits on its training split, chooses its own hyperparameter (if it has one) on the validation split,
as a network does, and returns scores in the task's units. ``features`` makes an array (n, F) of a split; by default
the readings of every step and the logs of its time steps. None is refitted on the validation split. Methods that learn
are scikit-learn's, which the extra ``guide`` installs. Targets that were not observed or labelled, and those of weight
0, are left out; weights of the training split apply where a method learns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from ncps_mlx._utils.arrays import as_array
from ncps_mlx._utils.optional import import_optional
from ncps_mlx.data._split import Array, Split, is_observed, last_valid_step, target_weights
from ncps_mlx.data._task import Task

__all__ = [
    "boosted_trees",
    "last_value",
    "majority",
    "ridge",
    "ridge_predictions",
]

Features = Callable[[Split], Array]
Predict = Callable[[Split], Array]
PENALTIES = tuple(10.0**k for k in range(-3, 5))


def _best_on_validation(task: Task, candidates: list[Predict]) -> Predict:
    """Return the candidate that scores best on the validation split."""
    scores = [task.score(predict(task.validation), "validation") for predict in candidates]
    return candidates[int(np.argmax(scores) if task.higher_is_better else np.argmin(scores))]


def _check(task: Any, kind: str | None = None) -> None:
    """Refuse another kind of task."""
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, got {task!r:.80}.")
    if kind is not None and task.kind != kind:
        raise ValueError(f"task must be a {kind}, got {task.name!r}, a {task.kind}.")


def _check_features(task: Task, features: Any) -> Features:
    """Return the function from a split to an array, by default :func:`_readings_and_log_gaps`; refuse anything else."""
    if features is None:
        return _readings_and_log_gaps
    made = features(task.train) if callable(features) and not isinstance(features, type) else None
    found = None if made is None else as_array("features", made)
    if found is None or found.ndim != 2 or found.dtype.kind not in "fiu" or len(found) != len(task.train):
        raise ValueError(
            "features must be a function from a split to an array (n, F), such as lambda split: split.x[:, -1], got "
            f"{features!r:.80}."
        )
    return cast(Features, features)


def _check_split(name: str, split: Any) -> None:
    if not isinstance(split, Split):
        raise ValueError(f"{name} must be a Split, got {split!r:.80}.")


def train_mean(task: Task) -> float:
    """Predict the mean training target for every input (readers have :meth:`Task.mean_score`)."""
    _check(task)
    if task.kind == "classification":
        raise ValueError(f"task must be a regression, got classes in {task.name!r}: take task.mean_score or majority.")
    weights, y = target_weights(task.train), task.train.y
    if weights is None:
        mean = y.mean(axis=0)
    else:
        weights = np.broadcast_to(weights.reshape(*weights.shape, *[1] * (y.ndim - weights.ndim)), y.shape)
        known = np.where(is_observed(task.train), y, 0).astype(np.float64)
        total = weights.sum(axis=0)
        overall = (known * weights).sum(axis=tuple(range(y.ndim - 1))) / weights.sum(axis=tuple(range(y.ndim - 1)))
        mean = np.where(total > 0, (known * weights).sum(axis=0) / np.where(total > 0, total, 1), overall)
    return task.score(np.broadcast_to(mean, task.test.y.shape))


def _known(task: Task, features: Features) -> tuple[Array, Array, Array | None]:
    """Features, targets and weights of the training sequences whose targets were observed and count."""
    split = task.train
    if split.every_step and task.kind == "classification":
        raise ValueError(f"task must have one class per sequence for this baseline, got one per step in {task.name!r}.")
    weights = target_weights(split)
    inputs = features(split)
    if weights is None:
        return inputs, split.y, None
    if weights.ndim > 1:
        raise ValueError(
            "train.y must be observed in all targets of a sequence or in none for this baseline, and have one target "
            f"per sequence where there are masks or weights, got {task.name!r}."
        )
    rows = weights > 0
    return inputs[rows], split.y[rows], None if split.weight is None else weights[rows]


def last_value(task: Task) -> float:
    """Score the forecast that the last reading (feature 0 of the last valid step) stays, on the test split.

    Args:
        task: A regression whose targets are on the scale of feature 0.

    Raises:
        ValueError: The task has classes.

    Example:
        >>> from ncps_mlx.data.baselines import last_value
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> round(last_value(task), 2)
        0.54
    """
    _check(task, "regression")
    return task.score(np.broadcast_to(_last_reading(task.test)[:, None], task.test.y.shape))


def _last_reading(split: Split) -> Array:
    """Return feature 0 of each sequence's last valid step (n,)."""
    steps = last_valid_step(split.mask, *split.x.shape[:2])
    return np.asarray(split.x[np.arange(len(split)), steps, 0])


def _gaps(split: Split) -> Array:
    """Return the time steps (n, T) of a split in double precision, or refuse a split that has none."""
    if split.time_delta is None:
        raise ValueError("split must have time_delta for this baseline, got None.")
    return split.time_delta.astype(np.float64)


def _readings_and_log_gaps(split: Split) -> Array:
    """Return feature 0 of every step and the log of every time step, side by side (n, 2·T)."""
    gaps, there = _gaps(split), np.ones_like(split.x[..., 0], dtype=bool) if split.mask is None else split.mask
    if (gaps[there] <= 0).any():
        raise ValueError("split must have time_delta above 0 at every reading, for its logarithm, got 0.")
    return np.hstack([split.x[..., 0], np.log(np.where(there, gaps, 1.0))])


def exponential_decay(task: Task) -> float:
    """Decay from the last reading to the training mean, with a time constant fitted on training.

    The prediction is mean + (last - mean)·exp(-gap / τ): the forecast of an Ornstein-Uhlenbeck process.
    """
    _check(task, "regression")
    mean = task.train.x[..., 0].mean()
    typical = float(np.median(_gaps(task.train)))

    def predict(split: Split, time_constant: float) -> Array:
        share = np.exp(-_gaps(split)[:, -1] / time_constant)
        return np.asarray(mean + (_last_reading(split) - mean) * share)[:, None]

    grid = typical * np.geomspace(0.1, 100, 121)
    errors = [task.score(predict(task.train, constant), "train") for constant in grid]
    return task.score(predict(task.test, float(grid[int(np.argmin(errors))])))


def ridge(task: Task, features: Features | None = None) -> float:
    """Score ridge regression (scikit-learn) on the test split, its penalty chosen on the validation split.

    Args:
        task: A regression.
        features: A function of a :class:`~ncps_mlx.Split` that returns what the regression sees, (n, F). Default:
            feature 0 of every step, and the logarithm of every time step.

    Raises:
        ValueError: The task has classes, or ``features`` does not fit its splits.
        ImportError: scikit-learn is not installed.

    Source: Hoerl and Kennard (1970), Ridge regression, Technometrics 12(1).

    Example:
        >>> from ncps_mlx.data.baselines import ridge
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> round(ridge(task), 2)
        0.51
    """
    predictions = ridge_predictions(task, features)  # first: it checks the task
    return task.score(predictions)


def ridge_predictions(task: Task, features: Features | None = None) -> Array:
    """Return what :func:`ridge` predicts for the test split, of the shape of its targets.

    Args:
        task: As for :func:`ridge`.
        features: As for :func:`ridge`.

    Example:
        >>> from ncps_mlx.data.baselines import ridge_predictions
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> ridge_predictions(task).shape
        (16, 1)
    """
    _check(task, "regression")
    features = _check_features(task, features)
    linear_model = import_optional("sklearn.linear_model", "The ridge baseline")
    inputs, targets, weights = _known(task, features)
    inputs, targets = inputs.astype(np.float64), targets.astype(np.float64)

    def candidate(penalty: float) -> Predict:
        model = linear_model.Ridge(alpha=penalty).fit(inputs, targets, sample_weight=weights)
        return lambda split: np.reshape(model.predict(features(split).astype(np.float64)), split.y.shape)

    return _best_on_validation(task, [candidate(penalty) for penalty in PENALTIES])(task.test)


def boosted_trees(task: Task, features: Features | None = None) -> float:
    """Score histogram gradient boosting (scikit-learn), 300 trees at rate 0.1, on the test split.

    Args:
        task: A regression of one target, or a classification, for which its classifier is taken.
        features: As for :func:`ridge`.

    Raises:
        ValueError: The task has several targets, or ``features`` does not fit its splits.
        ImportError: scikit-learn is not installed.

    Source: Ke et al. (2017), LightGBM, NeurIPS; here scikit-learn's implementation.

    Example:
        >>> from ncps_mlx.data.baselines import boosted_trees
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> 0.4 < boosted_trees(task) < 0.7
        True
    """
    _check(task)
    features = _check_features(task, features)
    ensemble = import_optional("sklearn.ensemble", "The boosted-trees baseline")
    threads = import_optional("threadpoolctl", "The boosted-trees baseline")
    (inputs, targets, weights), test_inputs = _known(task, features), features(task.test)
    with threads.threadpool_limits(1):  # on busy cores, many small parallel loops wait for one another
        if task.kind == "classification":
            model = ensemble.HistGradientBoostingClassifier(
                min_samples_leaf=5, early_stopping=False, random_state=0
            )
            model.fit(inputs, targets, sample_weight=weights)
            return task.score(_logits(task, model, test_inputs))
        model = ensemble.HistGradientBoostingRegressor(max_iter=300, early_stopping=False, random_state=0)
        if targets.ndim != 2 or targets.shape[1] > 1:
            raise ValueError(f"task must have one target for boosted trees, got {task.output_size} in {task.name!r}.")
        model.fit(inputs, targets[:, 0], sample_weight=weights)
        return task.score(model.predict(test_inputs)[:, None])


def majority(task: Task) -> float:
    """Return the share of the most frequent class of the test split: no constant answer does better.

    Args:
        task: A classification scored by accuracy.

    Raises:
        ValueError: The task is scored by another metric.

    Example:
        >>> from ncps_mlx.data.baselines import majority
        >>> import numpy as np
        >>> from ncps_mlx import Split, Task
        >>> rng = np.random.default_rng(0)
        >>> def waves(n):
        ...     kinds = np.arange(n) % 2
        ...     x = np.sin(np.arange(12.0) * (1 + kinds[:, None])) + rng.normal(0, 0.1, (n, 12))
        ...     return Split(x=x[..., None], y=kinds)
        >>> task = Task("waves", waves(20), waves(10), waves(10), kind="classification")
        >>> majority(task)
        0.5
    """
    _check(task)
    if task.metric != "accuracy":
        raise ValueError(f"task must be scored by accuracy, got {task.metric!r}: take task.mean_score('test').")
    every = np.eye(task.output_size)
    return max(task.score(np.broadcast_to(answer, (*task.test.y.shape, task.output_size))) for answer in every)


def nearest_neighbour(task: Task, features: Features | None = None) -> float:
    """Predict the class of the nearest training sequence, by Euclidean distance of ``features``."""
    _check(task, "classification")
    features = _check_features(task, features)
    inputs, targets, _ = _known(task, features)
    train, test = inputs.astype(np.float64), features(task.test).astype(np.float64)
    squared = (train**2).sum(axis=1) - 2 * test @ train.T  # the test's own norm does not change the order
    return task.score(_one_hot(targets[squared.argmin(axis=1)], task))


def logistic_regression(task: Task, features: Features | None = None) -> float:
    """Logistic regression (scikit-learn) on standardised ``features``, its penalty chosen on validation."""
    _check(task, "classification")
    features = _check_features(task, features)
    linear_model = import_optional("sklearn.linear_model", "The logistic baseline")
    pipeline = import_optional("sklearn.pipeline", "The logistic baseline")
    preprocessing = import_optional("sklearn.preprocessing", "The logistic baseline")
    inputs, targets, weights = _known(task, features)

    def candidate(inverse_penalty: float) -> Predict:
        classifier = linear_model.LogisticRegression(C=inverse_penalty, max_iter=2000)
        model = pipeline.make_pipeline(preprocessing.StandardScaler(), classifier)
        model.fit(inputs, targets, logisticregression__sample_weight=weights)
        return lambda split: _logits(task, model, features(split))

    return task.score(_best_on_validation(task, [candidate(c) for c in (0.01, 0.1, 1.0, 10.0)])(task.test))


def dtw_distances(a: Split, b: Split) -> Array:
    """Return dynamic-time-warping costs (n_a, n_b) between padded sequences, all channels together.

    The cost of a path is the sum of squared Euclidean distances; masks must end, not interrupt, a sequence.

    Source: Sakoe and Chiba (1978), Dynamic programming algorithm optimization for spoken word recognition.
    """
    _check_split("a", a)
    _check_split("b", b)
    if a.x.shape[-1] != b.x.shape[-1]:
        raise ValueError(f"b must have as many features as a ({a.x.shape[-1]}), got {b.x.shape[-1]}.")
    last_a, last_b = (last_valid_step(split.mask, *split.x.shape[:2]) for split in (a, b))
    rows_b = np.arange(len(b))
    other = b.x.astype(np.float64)
    result = np.empty((len(a), len(b)))
    for row in range(len(a)):
        one = a.x[row, : last_a[row] + 1].astype(np.float64)
        local = ((one[:, None, None] - other) ** 2).sum(axis=-1).transpose(0, 2, 1)  # (T_a, T_b, n_b)
        previous = np.cumsum(local[0], axis=0)
        for step in range(1, len(one)):
            current = np.empty_like(previous)
            current[0] = previous[0] + local[step, 0]
            entry = np.minimum(previous[1:], previous[:-1])
            for column in range(1, len(previous)):
                current[column] = local[step, column] + np.minimum(entry[column - 1], current[column - 1])
            previous = current
        result[row] = previous[last_b, rows_b]
    return result


def _logits(task: Task, model: Any, inputs: Array) -> Array:
    """What a classifier puts out (n, O): logarithms of its probabilities, if the task is scored by them."""
    if task.metric in ("roc auc", "log loss"):
        return np.asarray(np.log(np.maximum(model.predict_proba(inputs), 1e-12)))
    return _one_hot(model.predict(inputs), task)


def _one_hot(classes: Array, task: Task) -> Array:
    """Return logits (n, O) that vote for the given classes (n,)."""
    return np.eye(task.output_size)[np.asarray(classes, dtype=np.int64)]
