"""Classical methods that a network has to beat, measured on a task's test split.

Each takes a task, fits on its training split, chooses its own knob (if it has one) on the validation split,
as a network does, and returns scores in the task's units. None is refitted on the validation split.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ncps_mlx._utils.optional import import_optional
from ncps_mlx.data._split import Array, Split, last_valid_step
from ncps_mlx.data._task import Task

__all__ = [
    "best_on_validation",
    "boosted_trees",
    "dtw_distances",
    "exponential_decay",
    "gaps",
    "last_reading",
    "last_value",
    "logistic_regression",
    "majority",
    "nearest_neighbour",
    "one_hot",
    "readings_and_log_gaps",
    "ridge",
    "ridge_fit",
    "ridge_predictions",
    "summaries",
    "train_mean",
]

Features = Callable[[Split], Array]
Predict = Callable[[Split], Array]
PENALTIES = tuple(10.0**k for k in range(-3, 5))


def best_on_validation(task: Task, candidates: list[Predict]) -> Predict:
    """Return the candidate that scores best on the validation split.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> chosen = best_on_validation(task, [lambda split: 0 * split.y, lambda split: split.y])
        >>> task.score(chosen(task.test))
        0.0
    """
    scores = [task.score(predict(task.validation), "validation") for predict in candidates]
    return candidates[int(np.argmax(scores) if task.higher_is_better else np.argmin(scores))]


def train_mean(task: Task) -> float:
    """Predict the mean training target, whatever the input.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> round(train_mean(task), 2)
        0.92
    """
    mean = task.train.y.mean(axis=0)
    return task.score(np.broadcast_to(mean, task.test.y.shape))


def last_value(task: Task) -> float:
    """Predict that the last reading (feature 0 of the last valid step) stays.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> round(last_value(task), 2)
        0.54
    """
    return task.score(np.broadcast_to(last_reading(task.test)[:, None], task.test.y.shape))


def last_reading(split: Split) -> Array:
    """Return feature 0 of each sequence's last valid step (n,).

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0], [2.0], [0.0]]])
        >>> last_reading(Split(x=x, y=np.zeros((1, 1)), mask=np.array([[True, True, False]]))).tolist()
        [2.0]
    """
    steps = last_valid_step(split.mask, *split.x.shape[:2])
    return np.asarray(split.x[np.arange(len(split)), steps, 0])


def gaps(split: Split) -> Array:
    """Return the time steps (n, T) of a split, in double precision.

    Raises:
        ValueError: The split has none.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> gaps(task.test).shape
        (16, 7)
    """
    if split.time_delta is None:
        raise ValueError("time_delta must be there for this baseline, got None.")
    return split.time_delta.astype(np.float64)


def readings_and_log_gaps(split: Split) -> Array:
    """Return feature 0 of every step and the log of every time step, side by side (n, 2·T).

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> readings_and_log_gaps(task.test).shape
        (16, 14)
    """
    return np.hstack([split.x[..., 0], np.log(gaps(split))])


def exponential_decay(task: Task) -> float:
    """Decay from the last reading to the training mean, with a time constant fitted on training.

    The prediction is mean + (last - mean)·exp(-gap / τ): the forecast of an Ornstein-Uhlenbeck process.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> round(exponential_decay(task), 2)
        0.41
    """
    mean = task.train.x[..., 0].mean()
    typical = float(np.median(gaps(task.train)))

    def predict(split: Split, time_constant: float) -> Array:
        kept = np.exp(-gaps(split)[:, -1] / time_constant)
        return np.asarray(mean + (last_reading(split) - mean) * kept)[:, None]

    grid = typical * np.geomspace(0.1, 100, 121)
    errors = [task.score(predict(task.train, constant), "train") for constant in grid]
    return task.score(predict(task.test, float(grid[int(np.argmin(errors))])))


def ridge_fit(features: Array, targets: Array, penalty: float) -> Callable[[Array], Array]:
    """Fit ridge regression with an unpenalised intercept; return its prediction function.

    Args:
        features: (n, F).
        targets: (n, O).
        penalty: Weight of the squared norm of the coefficients, added to the sum of squared errors.

    Source: Hoerl and Kennard (1970), Ridge regression, Technometrics 12(1).

    Example:
        >>> import numpy as np
        >>> predict = ridge_fit(np.arange(5.0)[:, None], 2 * np.arange(5.0)[:, None] + 1, penalty=1e-9)
        >>> predict(np.array([[10.0]])).round(6)
        array([[21.]])
    """
    features, targets = features.astype(np.float64), targets.astype(np.float64)
    centre, level = features.mean(axis=0), targets.mean(axis=0)
    centred = features - centre
    gram = centred.T @ centred + penalty * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (targets - level))
    return lambda new: np.asarray((new - centre) @ weights + level)


def ridge(task: Task, features: Features) -> float:
    """Ridge regression on ``features`` of a split, its penalty chosen on the validation split.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> round(ridge(task, readings_and_log_gaps), 2)
        0.51
    """
    return task.score(ridge_predictions(task, features))


def ridge_predictions(task: Task, features: Features) -> Array:
    """Return what :func:`ridge` predicts for the test split, of the shape of its targets.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> ridge_predictions(task, readings_and_log_gaps).shape
        (16, 1)
    """
    inputs, targets = features(task.train), task.train.y

    def candidate(penalty: float) -> Predict:
        fitted = ridge_fit(inputs, targets, penalty)
        return lambda split: fitted(features(split))

    return best_on_validation(task, [candidate(penalty) for penalty in PENALTIES])(task.test)


def boosted_trees(task: Task, features: Features) -> float:
    """Histogram gradient boosting (scikit-learn), 300 trees at rate 0.1, or its classifier for classes.

    Source: Ke et al. (2017), LightGBM, NeurIPS; here scikit-learn's implementation.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> 0.4 < boosted_trees(task, readings_and_log_gaps) < 0.7
        True
    """
    ensemble = import_optional("sklearn.ensemble", "The boosted-trees baseline")
    threads = import_optional("threadpoolctl", "The boosted-trees baseline")
    inputs, asked = features(task.train), features(task.test)
    with threads.threadpool_limits(1):  # on busy cores, many small parallel loops wait for one another
        if task.kind == "classification":
            model = ensemble.HistGradientBoostingClassifier(
                min_samples_leaf=5, early_stopping=False, random_state=0
            )
            answers = model.fit(inputs, task.train.y).predict(asked)
            return task.score(one_hot(answers, task.output_size))
        model = ensemble.HistGradientBoostingRegressor(max_iter=300, early_stopping=False, random_state=0)
        return task.score(model.fit(inputs, task.train.y[:, 0]).predict(asked)[:, None])


def majority(task: Task) -> float:
    """Return the share of the most frequent class of the test split: no constant answer does better.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx import Task
        >>> def waves(n):
        ...     kinds = np.arange(n) % 2
        ...     return Split(x=np.sin(np.arange(12.0) * (1 + kinds[:, None]))[..., None], y=kinds)
        >>> task = Task("waves", waves(20), waves(10), waves(10), kind="classification")
        >>> majority(task)
        0.5
    """
    return float(np.bincount(task.test.y).max() / len(task.test))


def nearest_neighbour(task: Task, features: Features) -> float:
    """Predict the class of the nearest training sequence, by Euclidean distance of ``features``.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx import Task
        >>> def waves(n):
        ...     kinds = np.arange(n) % 2
        ...     return Split(x=np.sin(np.arange(12.0) * (1 + kinds[:, None]))[..., None], y=kinds)
        >>> task = Task("waves", waves(20), waves(10), waves(10), kind="classification")
        >>> nearest_neighbour(task, lambda split: split.x[..., 0])
        1.0
    """
    train, test = features(task.train).astype(np.float64), features(task.test).astype(np.float64)
    squared = (train**2).sum(axis=1) - 2 * test @ train.T  # the test's own norm does not change the order
    return task.score(one_hot(task.train.y[squared.argmin(axis=1)], task.output_size))


def logistic_regression(task: Task, features: Features) -> float:
    """Logistic regression (scikit-learn) on standardised ``features``, its penalty chosen on validation.

    Example:
        >>> import numpy as np
        >>> from ncps_mlx import Task
        >>> def waves(n):
        ...     kinds = np.arange(n) % 2
        ...     return Split(x=np.sin(np.arange(12.0) * (1 + kinds[:, None]))[..., None], y=kinds)
        >>> task = Task("waves", waves(20), waves(10), waves(10), kind="classification")
        >>> logistic_regression(task, summaries)
        1.0
    """
    linear_model = import_optional("sklearn.linear_model", "The logistic baseline")
    inputs = features(task.train)
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)

    def candidate(inverse_penalty: float) -> Predict:
        model = linear_model.LogisticRegression(C=inverse_penalty, max_iter=2000)
        model.fit((inputs - mean) / deviation, task.train.y)
        return lambda split: one_hot(model.predict((features(split) - mean) / deviation), task.output_size)

    return task.score(best_on_validation(task, [candidate(c) for c in (0.01, 0.1, 1.0, 10.0)])(task.test))


def summaries(split: Split) -> Array:
    """Return each channel's mean, deviation, extremes, first and last value, and the length (n, 6·D+1).

    Example:
        >>> import numpy as np
        >>> summaries(Split(x=np.arange(3.0).reshape(1, 3, 1), y=np.zeros((1, 1)))).round(2).tolist()
        [[1.0, 0.82, 0.0, 2.0, 0.0, 2.0, 3.0]]
    """
    x = split.x.astype(np.float64)
    mask = np.ones(x.shape[:2], dtype=bool) if split.mask is None else split.mask
    valid = mask[..., None]
    count = mask.sum(axis=1)[:, None]
    mean = np.where(valid, x, 0.0).sum(axis=1) / count
    deviation = np.sqrt(np.where(valid, (x - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
    rows = np.arange(len(split))
    columns = [
        mean,
        deviation,
        np.where(valid, x, np.inf).min(axis=1),
        np.where(valid, x, -np.inf).max(axis=1),
        x[rows, mask.argmax(axis=1)],
        x[rows, last_valid_step(mask, *mask.shape)],
        count,
    ]
    return np.concatenate(columns, axis=1)


def dtw_distances(a: Split, b: Split) -> Array:
    """Return dynamic-time-warping costs (n_a, n_b) between padded sequences, all channels together.

    The cost of a path is the sum of squared Euclidean distances; masks must end, not interrupt, a sequence.

    Source: Sakoe and Chiba (1978), Dynamic programming algorithm optimization for spoken word recognition.

    Example:
        >>> import numpy as np
        >>> def split(*values):
        ...     return Split(x=np.reshape(values, (1, -1, 1)), y=np.zeros((1, 1)))
        >>> dtw_distances(split(0, 1, 2), split(0, 0, 1, 1, 2)).item()
        0.0
    """
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


def one_hot(classes: Array, size: int) -> Array:
    """Return logits (n, size) that vote for the given classes (n,).

    Example:
        >>> import numpy as np
        >>> one_hot(np.array([2, 0]), 3).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return np.eye(size)[np.asarray(classes, dtype=np.int64)]
