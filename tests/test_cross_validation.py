"""Folds of a cross-validation: what validates was not trained on, and each kind does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncps_mlx.data import sunspots

# Private: the rows of a fold, which a Task turns into arrays.
from ncps_mlx.data._cross_validation import KINDS, fold_rows


# Nine blocks of 36 sequences and more leave sequences to train on outside any of these gaps.
@given(n=st.integers(36, 200), folds=st.integers(2, 8), kind=st.sampled_from(KINDS), gap=st.integers(0, 2))
@settings(deadline=None)
def test_no_sequence_trains_and_validates(n, folds, kind, gap):
    gap = 0 if kind == "shuffled" else gap
    validated = []
    for fold in range(folds):
        train, validation = fold_rows(n, fold, folds, kind, gap)
        assert not set(train) & set(validation)
        assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
        if kind != "shuffled":
            assert np.abs(train[:, None] - validation).min() > gap
        if kind == "forward":
            assert train.max() < validation.min()
        validated += validation.tolist()
    assert len(set(validated)) == len(validated)
    if kind != "forward":
        assert sorted(validated) == list(range(n))


def test_a_fold_is_a_task_of_its_own():
    task = sunspots(months_per_step=22)
    both = np.concatenate([task.train.x, task.validation.x])
    folds = [task.fold(i, 4, gap=12) for i in range(4)]
    np.testing.assert_array_equal(np.concatenate([fold.validation.x for fold in folds]), both)
    for fold in folds:
        np.testing.assert_array_equal(fold.test.x, task.test.x)
    assert len({fold.data_hash for fold in folds}) == 4
    ridge = [fold.baselines("validation")["ridge"] for fold in folds]
    assert len(set(ridge)) == 4


def test_shuffled_folds_flatter_a_series():
    """Windows overlap: nearly every window of a shuffled fold has a neighbour that was trained on."""

    def neighboured(kind, gap):
        train, validation = fold_rows(1000, 1, 4, kind, gap)
        return np.mean([np.abs(train - row).min() == 1 for row in validation])

    assert neighboured("shuffled", 0) > 0.9
    assert neighboured("blocked", 144) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 5, 5), "fold must be below folds=5, got 5."),
        ((10, 0, 1), "folds must be at least 2, got 1."),
        ((3, 0, 5), "folds must leave each of 5 blocks a sequence"),
        ((10, 0, 5, "random"), "kind must be one of"),
        ((10, 0, 5, "blocked", 9), "gap must leave sequences to train on"),
        ((10, 0, 5, "shuffled", 1), "gap must be 0 with kind='shuffled'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fold_rows(*arguments)


def test_folds_come_before_scaling():
    from ncps_mlx.data import irregular_sines

    task = irregular_sines(n_train=32, n_validation=16, n_test=16, readings=8)
    with pytest.raises(ValueError, match="fold must come before the time steps"):
        task.scaled_time("log").fold(0, 4)
    assert task.fold(0, 4).scaled_time("log").train.time_delta.shape == (36, 7)
