"""Task and Split: what they hold, how they score, what they derive, and what they refuse."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from itertools import count
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from ncps_mlx import CfC, Split, Task, TimeScaler, predict
from ncps_mlx.data import detection_scores, load_task

# Private: what a Task keeps to undo its standardising.
from ncps_mlx.data._standardizer import Standardizer

Array = npt.NDArray[Any]
T, D = 7, 3
SIZES = (11, 5, 4)
SEEDS = count(1)  # so that no two splits hold the same sequences


def split(n: int, seed: int, **changes: Any) -> Split:
    rng = np.random.default_rng([n, seed])
    arrays: dict[str, Any] = {
        "x": rng.normal(size=(n, T, D)),
        "y": rng.normal(size=(n, 2)),
        "time_delta": rng.exponential(size=(n, T)),
        "mask": np.arange(T) < rng.integers(1, T + 1, (n, 1)),
    }
    return Split(**(arrays | changes))


def first_feature(task: Task) -> Mapping[str, float]:
    return {"first feature": task.score(task.test.x[:, 0, :2]), "training size": len(task.train)}


def make(**changes: Any) -> Task:
    parts = [
        changes.pop(name, split(n, 0)) for name, n in zip(("train", "validation", "test"), SIZES, strict=True)
    ]
    return Task("toy", *parts, **changes)


def classes(n: int) -> Split:
    return split(n, 0, y=np.arange(n) % 3)


def make_classes(**changes: Any) -> Task:
    return Task("toy", classes(11), classes(5), classes(4), kind="classification", **changes)


def test_a_task_says_what_it_is() -> None:
    task = make(units="mg/dl", time_unit="min")
    assert (task.input_size, task.output_size, task.steps) == (D, 2, T)
    assert (task.metric, task.higher_is_better) == ("rmse", False)
    assert list(task.splits) == ["train", "validation", "test"]
    assert [len(part) for part in task.splits.values()] == list(SIZES)
    assert repr(task) == "Task('toy', regression, rmse in mg/dl, T=7, D=3, O=2, 11/5/4 sequences)"
    task = make_classes()
    assert (task.output_size, task.metric, task.higher_is_better) == (3, "accuracy", True)


def test_arrays_are_stored_in_the_models_precision_and_read_only() -> None:
    x = np.zeros((4, T, D), dtype=np.float32)
    part = Split(x=x, y=np.arange(4))
    assert (part.x.dtype.name, part.y.dtype.name) == ("float32", "int32")
    with pytest.raises(ValueError, match="read-only"):
        part.x[0] = 1
    x[0] = 1  # the caller's own array stays theirs
    assert (part.x == 0).all()


def test_a_task_is_immutable_and_travels_by_pickle() -> None:
    task = make(baselines=first_feature, inverse=Standardizer(mean=1.0, deviation=2.0))
    with pytest.raises(AttributeError, match="cannot assign to field 'metric'"):
        task.metric = "mae"  # type: ignore[misc]  # the point
    with pytest.raises(AttributeError, match="cannot assign to field 'colour'"):
        task.colour = "red"  # type: ignore[attr-defined]  # the point
    with pytest.raises(AttributeError, match="cannot delete field 'train'"):
        del task.train
    copy = pickle.loads(pickle.dumps(task))
    assert copy.data_hash == task.data_hash
    assert copy.baselines() == task.baselines()


def test_scores_are_in_real_units() -> None:
    back = Standardizer(mean=10.0, deviation=2.0)
    task = make(inverse=back)
    np.testing.assert_allclose(task.score(task.test.y + 1), 2.0, rtol=1e-6)
    off = task.test.y + np.array([0.0, 2.0])
    np.testing.assert_allclose(task.score(off), np.sqrt(8), rtol=1e-6)
    np.testing.assert_allclose(make(inverse=back, metric="mae").score(off), 2.0, rtol=1e-6)
    assert task.score(task.train.y, "train") == 0.0
    assert np.isnan(task.score(np.where(off > 0, off, np.nan)))


def test_a_square_root_scale_is_undone() -> None:
    back = Standardizer(mean=3.0, deviation=2.0, square=True)
    assert make(inverse=back).to_units([-2.0, 0.0, 1.0]).tolist() == [0.0, 9.0, 25.0]


def test_classes_are_scored_by_the_largest_logit() -> None:
    task = make_classes()
    logits = np.eye(3)[[0, 1, 2, 1]]
    assert task.score(logits) == 0.75
    assert np.isnan(task.score(logits * np.nan))
    with pytest.raises(ValueError, match=r"predictions must have the shape \(4, 3\), got \(4, 2\)"):
        task.score(logits[:, :2])


def test_targets_at_every_step_are_scored_on_valid_steps() -> None:
    mask = np.arange(T) < np.array([[3], [7], [1], [5]])
    rng, made = np.random.default_rng(0), count()

    def parts(n: int) -> Split:
        return split(n, next(made), y=rng.normal(size=(n, T, 1)), mask=np.resize(mask, (n, T)))

    off = np.where(mask, 1.0, 100.0)[..., None]
    every = Task("toy", parts(8), parts(4), parts(4))
    np.testing.assert_allclose(every.score(every.test.y + off), 1.0, rtol=1e-6)
    last = np.zeros((4, T, 1))
    last[np.arange(4), [2, 6, 0, 4]] = 3.0
    task = Task("toy", *every.splits.values(), score_at="last")
    np.testing.assert_allclose(task.score(task.test.y + last), 3.0, rtol=1e-6)
    assert task.score(task.test.y + 50.0 * (last == 0)) == 0.0


def test_the_hash_follows_every_array() -> None:
    task = make()
    assert task.data_hash == make().data_hash
    assert len(task.data_hash) == 16
    hashes = {task.data_hash}
    for name in ("x", "y", "time_delta", "mask"):
        changed = getattr(task.test, name).copy()
        changed.flat[-1] = not changed.flat[-1] if name == "mask" else 9.0
        hashes.add(make(test=split(4, 0, **{name: changed})).data_hash)
    hashes.add(make(labels=[True, False, False, True]).data_hash)
    assert len(hashes) == 6


def test_baselines_are_measured_once_and_handed_out_as_copies() -> None:
    calls = []

    def count(task: Task) -> Mapping[str, float]:
        calls.append(task)
        return {"zero": task.score(np.zeros_like(task.test.y))}

    task = make(baselines=count)
    assert not calls
    task.baselines()["zero"] = 0.0
    assert task.baselines()["zero"] > 0
    for derived in (task.scaled_time("log"), task.without_time(), task.with_gap_as_input().without_time()):
        assert derived.baselines() == task.baselines()
    assert calls == [task]
    with pytest.raises(
        ValueError, match="baselines must be given to measure them, got None in the task 'toy'"
    ):
        make().baselines()


def test_take_draws_nested_subsets_in_order() -> None:
    task = make(baselines=first_feature)
    five, eight = task.take(5, seed=1), task.take(8, seed=1)

    def rows(part: Task) -> list[int]:
        return [int(np.flatnonzero((task.train.x == x).all(axis=(1, 2)))[0]) for x in part.train.x]

    assert len(five.train) == 5
    assert rows(five) == sorted(rows(five))
    assert set(rows(five)) < set(rows(eight))
    assert rows(five) != rows(task.take(5, seed=2))
    assert five.test is task.test
    assert five.baselines()["training size"] == 5
    assert task.scaled_time("log").take(5).baselines()["training size"] == 5
    assert task.take(11).data_hash == task.data_hash
    with pytest.raises(ValueError, match="n must be at most 11, the training sequences, got 12"):
        task.take(12)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        task.take(0)


def test_time_is_scaled_by_what_the_training_split_shows() -> None:
    task = make(time_unit="min")
    scaled = task.scaled_time("normalized")
    assert task.train.time_delta is not None
    assert task.train.mask is not None
    assert scaled.train.time_delta is not None
    mean = task.train.time_delta[task.train.mask].mean(dtype=np.float64)
    np.testing.assert_allclose(scaled.train.time_delta, task.train.time_delta / mean, rtol=1e-6)
    assert (scaled.time_unit, task.scaled_time("raw").time_unit) == ("", "min")


@pytest.mark.parametrize("kind", ["raw", "log", "normalized", "bounded"])
def test_other_test_data_change_nothing_of_the_transform(kind: str) -> None:
    one = make().scaled_time(kind)
    other = make(test=split(4, 9, time_delta=np.full((4, T), 1e4))).scaled_time(kind)
    for name in ("train", "validation"):
        np.testing.assert_array_equal(one.splits[name].time_delta, other.splits[name].time_delta)


def test_the_gap_becomes_an_input_and_the_clock_stops() -> None:
    task = make()
    plain = task.with_gap_as_input()
    assert plain.input_size == D + 1
    assert plain.train.time_delta is None
    np.testing.assert_array_equal(plain.test.x[..., D], task.scaled_time("log").test.time_delta)
    np.testing.assert_array_equal(plain.test.x[..., :D], task.test.x)
    without = task.without_time()
    assert without.train.time_delta is None
    assert without.input_size == D
    with pytest.raises(ValueError, match="time_delta must be there to be scaled, got None"):
        without.scaled_time("log")


def test_unsafe_time_has_to_be_asked_for() -> None:
    z_scored = split(11, 0, time_delta=np.tile([-1.0, 1, 0, 0, 0, 0, 0], (11, 1)))
    with pytest.raises(ValueError, match=r"train.time_delta must be at least 0, got -1.0 at index \(0, 0\)"):
        make(train=z_scored)
    task = make(train=z_scored, allow_unsafe_time=True)
    assert task.take(5).allow_unsafe_time
    with pytest.raises(ValueError, match=r"validation\.time_delta must be finite"):
        make(validation=split(5, 0, time_delta=np.full((5, T), np.nan)), allow_unsafe_time=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((4, T))}, r"x must have the shape \(n, T, D\), got \(4, 7\)"),
        ({"x": np.zeros((4, 0, D))}, r"x must have the shape \(n, T, D\), got \(4, 0, 3\)"),
        ({"x": np.zeros((4, T, D), dtype=complex)}, "x must hold real numbers, got dtype complex128"),
        ({"x": [[["a"]]]}, "x must hold real numbers, got dtype <U1"),
        ({"y": np.zeros((5, 2))}, r"y must have 4 targets, as many as x has sequences, got shape \(5, 2\)"),
        ({"y": np.zeros(4)}, r"y must be \(n, O\) .* One target per sequence is y\[:, None\]"),
        ({"y": np.array([0, 1, -2, 2])}, "y must hold classes from 0, or -1 where there is no label, got -2"),
        ({"y": np.zeros((4, 9, 1))}, r"y must be \(n, O\), \(n, T, O\) with T = 7, .* got \(4, 9, 1\)"),
        ({"y": np.zeros((4, 1), dtype=bool)}, "y must hold real numbers, got dtype bool"),
        ({"y": np.array([0, 1, 2**32, 2**32 + 1])}, r"y must hold classes up to 2147483647, got 4294967297\. As"),
        ({"y": np.array([0, 2**31, 1, 1])}, r"y must hold classes up to 2147483647, got 2147483648"),
        ({"y": np.array([0, 2**64 - 1, 1, 1], dtype=np.uint64)}, "y must hold classes .* got 18446744073709551615"),
        ({"y": np.array(["a", 1, None, 2.0], dtype=object)}, "y must hold labels of one kind, .* got NoneType, float"),
        ({"y": [b"a"] * 4}, "y must hold labels of one kind"),
        ({"y": list("abac"), "classes": ("a", "b")}, "y must hold classes that classes has, got class 'c'"),
        ({"y": [0, 1, 2, 0], "classes": ("a", "b")}, "y must hold classes up to 1, got 2"),
        ({"y": [0, 1, 1, 0], "classes": ("a", "a")}, "classes must be different strings, booleans or integers"),
        ({"y": [0, 1, 1, 0], "classes": "ab"}, "classes must be different strings"),
        ({"classes": ("a", "b")}, "classes must be None unless y holds classes"),
        ({"time_delta": np.ones((4, 6))}, r"time_delta must have the shape \(4, 7\), got \(4, 6\)"),
        ({"mask": np.ones((4, T))}, r"mask must be boolean with the shape \(4, 7\), got float64"),
        ({"mask": np.ones((4, 2), dtype=bool)}, r"mask must be boolean with the shape \(4, 7\)"),
    ],
)
def test_a_split_names_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(4, 0, **changes)


def _with_nan(array: Array) -> Array:
    array = array.copy()
    array.flat[0] = np.nan
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "data"}, "train must be a Split, got str"),
        ({"validation": split(4, 0)[:0]}, "validation must hold at least 1 sequence, got 0"),
        (
            {"test": split(4, 0, x=_with_nan(split(4, 0).x))},
            "test.x must be finite, got 1 values that are not",
        ),
        ({"test": split(4, 0, y=np.full_like(split(4, 0).y, np.inf))}, "test.y must be finite"),
        ({"test": split(4, 0, y=np.full_like(split(4, 0).y, np.nan))}, "test.y must hold a target that was observed"),
        (
            {"test": split(4, 0, mask=np.arange(4)[:, None] != [2] * T)},
            "test.mask must have a reading .* sequence 2",
        ),
        (
            {"test": split(4, 0, y=np.zeros((4, 1)))},
            r"test.y must have the shape \(n, 2\) of train, got \(n, 1\)",
        ),
        ({"test": split(4, 0, x=np.zeros((4, T, 1)))}, r"test.x must have the shape \(n, 7, 3\) of train"),
        ({"test": split(4, 0, mask=None)}, "test.mask must be given in all splits or in none"),
        ({"test": split(4, 0, time_delta=None)}, "test.time_delta must be given in all splits or in none"),
        ({"train": classes(11)}, r"train.y must be real numbers \(n, O\) or \(n, T, O\) for regression"),
        ({"kind": "ranking"}, "kind must be one of 'regression', 'classification', got 'ranking'"),
        ({"metric": "accuracy"}, "metric must be one of 'rmse', 'mae', .* got 'accuracy'"),
        ({"score_at": "first"}, "score_at must be one of 'all', 'last', got 'first'"),
        ({"allow_unsafe_time": 1}, "allow_unsafe_time must be True or False, got 1"),
        ({"inverse": 2.0}, "inverse must be callable or None, got 2.0"),
        ({"baselines": {"ridge": 3}}, "baselines must be callable or None"),
        ({"labels": [True] * 4}, r"labels must be booleans of both values .* \(4,\), got bool .* and 4 true"),
        ({"labels": [0, 1, 0, 0]}, "labels must be booleans"),
        ({"labels": [True, False]}, "labels must be booleans"),
        ({"units": None}, "units must be a string, got None"),
        ({"time_unit": 3}, "time_unit must be a string, got 3"),
    ],
)
def test_a_task_names_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_classification_task_names_what_is_wrong() -> None:
    one_class = split(5, 0, y=np.ones(5, dtype=int))
    with pytest.raises(ValueError, match=r"validation\.y must hold at least 2 classes, got only class 1"):
        Task("toy", classes(11), one_class, classes(4), kind="classification")
    with pytest.raises(ValueError, match=r"test\.y must hold classes that train has, got class 2"):
        Task("toy", split(4, 0, y=np.arange(4) % 2), classes(5)[:2], classes(4), kind="classification")
    with pytest.raises(ValueError, match=r"train.y must be integer classes \(n,\) or \(n, T\) for classification"):
        make(kind="classification")
    with pytest.raises(ValueError, match="inverse must be None for classification"):
        make_classes(inverse=np.exp)
    with pytest.raises(ValueError, match="name must be a non-empty string, got ''"):
        Task("", classes(11), classes(5), classes(4), kind="classification")


def test_scoring_names_what_is_wrong() -> None:
    task = make()
    with pytest.raises(ValueError, match=r"predictions must have the shape \(4, 2\) with loss=None, got \(4,\)"):
        task.score(np.zeros(4))
    with pytest.raises(ValueError, match="predictions must hold real numbers, got dtype <U1"):
        task.score([["a"]])
    with pytest.raises(ValueError, match="split must be one of 'train', 'validation', 'test', got 'holdout'"):
        task.score(task.test.y, "holdout")


def test_baselines_of_the_validation_split_are_measured_there() -> None:
    from ncps_mlx.data import sunspots

    task = sunspots(months_per_step=12)
    test, validation = task.baselines(), task.baselines("validation")
    # Persistence, computed here: each of the 12 months is like the last of the 132.
    truth, last = task.to_units(task.validation.y), task.to_units(task.validation.x[:, -1, -1:])
    assert validation["persistence"] == pytest.approx(np.sqrt(np.mean(np.square(truth - last))))
    assert test.keys() == validation.keys()
    with pytest.raises(ValueError, match="split must be one of 'validation', 'test', got 'train'"):
        task.baselines("train")


@pytest.mark.parametrize("name", ["x", "y", "time_delta", "mask"])
def test_a_masked_array_is_no_data(name: str) -> None:
    values = getattr(split(4, 0), name)
    hidden = np.ma.masked_array(values, mask=np.arange(values.size).reshape(values.shape) == 1)
    for given in (hidden, list(hidden)):
        with pytest.raises(ValueError, match=rf"{name} must hold all its values, got a masked array that hides 1\. "):
            split(4, 0, **{name: given})
    nothing_hidden = split(4, 0, **{name: np.ma.masked_array(values)})
    assert (getattr(nothing_hidden, name) == values).all()


def test_scores_and_time_scales_take_no_masked_arrays() -> None:
    task = make()
    hidden = np.ma.masked_array(task.test.y, mask=task.test.y > 0)
    for call in (task.score, task.to_units, TimeScaler().fit, TimeScaler("raw").fit([1.0]).transform):
        with pytest.raises(ValueError, match=r"must hold all its values, got a masked array"):
            call(hidden)


@pytest.mark.parametrize("name", ["x", "y", "time_delta", "mask"])
def test_rows_of_different_lengths_are_told_how_to_be_padded(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be as long in every row, .* padded with 0 .* with a mask"):
        split(2, 0, **{name: [[1.0, 2.0], [3.0]]})


def test_bfloat16_is_named_with_its_cure() -> None:
    with pytest.raises(ValueError, match=r"x must .*bfloat16.*convert them to float32 first"):
        split(4, 0, x=mx.zeros((4, T, D), dtype=mx.bfloat16))


def test_splits_are_joined_whole_or_not_at_all() -> None:
    first, second = split(4, 0), split(3, 1)
    both = first + second
    assert both.mask is not None and (both.mask[4:] == second.mask).all()
    for name in ("time_delta", "mask"):
        for pair in ((first, split(3, 1, **{name: None})), (split(3, 1, **{name: None}), first)):
            with pytest.raises(ValueError, match=rf"{name} must be given in both splits or in neither, .*np.ones"):
                pair[0] + pair[1]
    with pytest.raises(ValueError, match=r"x must have one shape in both splits, got \(n, 7, 3\) and \(n, 7, 1\)"):
        first + split(3, 1, x=np.zeros((3, T, 1)))
    with pytest.raises(ValueError, match="y must be of one kind in both splits, got float32 and int32"):
        first + classes(3)
    with pytest.raises(TypeError, match="unsupported operand"):
        first + 3  # type: ignore[operator]  # the point


@pytest.mark.parametrize(
    "inverse", [lambda values: values[:1], lambda values: values[..., :1], lambda values: values.mean(), np.ravel]
)
def test_an_inverse_that_drops_values_gives_no_score(inverse: Any) -> None:
    task = make(inverse=inverse)
    with pytest.raises(ValueError, match=r"inverse must keep the shape \(4, 2\) of what it is given, got \("):
        task.score(task.test.y)
    with pytest.raises(ValueError, match="the result of inverse must hold real numbers, got dtype object"):
        make(inverse=lambda _: None).score(task.test.y)


def labelled(*labels: Any) -> Split:
    return split(len(labels), next(SEEDS), y=np.array(labels))


@pytest.mark.parametrize("names", [("cat", "dog", "eel"), (0, 7, 100000)])
def test_labels_are_mapped_to_classes_and_keep_their_names(names: tuple[Any, ...]) -> None:
    a, b, c = names
    task = Task("toy", labelled(c, a, b, c), labelled(b, a), labelled(b, c, b), kind="classification")
    assert task.classes == names and task.output_size == 3
    assert [part.y.tolist() for part in task.splits.values()] == [[2, 0, 1, 2], [1, 0], [1, 2, 1]]
    assert all(part.classes == names and part.y.dtype == np.int32 for part in task.splits.values())
    assert task.score(np.eye(3)[[1, 2, 0]]) == pytest.approx(2 / 3)
    derived = task.scaled_time("log").without_time()
    assert derived.classes == names and pickle.loads(pickle.dumps(derived)).classes == names
    both = task.train + task.validation
    assert both.classes == names and both.y.tolist() == [2, 0, 1, 2, 1, 0]
    others = Task("toy", labelled(a, c), labelled(c, a), labelled(c, c, a), kind="classification")
    assert others.classes == (a, c) and others.output_size == 2
    with pytest.raises(ValueError, match=rf"test\.y must hold classes that train has, got class {b!r}"):
        Task("toy", labelled(a, c), labelled(a, c), labelled(a, b), kind="classification")


def test_booleans_are_two_classes_and_names_belong_to_the_hash() -> None:
    parts = [labelled(True, False), labelled(False, True), labelled(True, False, True)]
    task = Task("toy", *parts, kind="classification")
    assert task.classes == (False, True) and task.test.y.tolist() == [1, 0, 1]
    plain = Task("toy", labelled(1, 0), labelled(0, 1), labelled(1, 0, 1), kind="classification")
    assert plain.classes == (0, 1) and plain.train.classes is None and plain.data_hash != task.data_hash
    assert make().classes is None
    with pytest.raises(ValueError, match=r"test\.y must hold labels of the kind that train has"):
        Task("toy", parts[0], parts[1], labelled(0, 1), kind="classification")


def test_joined_splits_keep_all_labels() -> None:
    both = labelled("b", "d") + labelled("c", "a", "b")
    assert both.classes == ("a", "b", "c", "d") and both.y.tolist() == [1, 3, 2, 0, 1]
    with pytest.raises(ValueError, match="y must hold labels of one kind in both splits"):
        labelled("b", "d") + labelled(0, 1)


def test_classes_that_count_from_0_stay_as_they_are() -> None:
    task = make_classes()
    assert task.classes == (0, 1, 2) and task.train.classes is None and task.train.y.tolist()[:4] == [0, 1, 2, 0]


STAMPS = 1_700_000_000 + 60 * np.arange(8)  # Unix seconds, a minute apart


@pytest.mark.parametrize(
    ("name", "stamps"),
    [
        ("time_delta", STAMPS),
        ("time_delta", STAMPS * 10**9),
        ("time_delta", STAMPS.astype(np.float64)),
        ("time_delta", 2**24 + np.arange(8)),
        ("x", STAMPS),
        ("y", STAMPS),
    ],
)
def test_differences_that_single_precision_loses_are_not_lost_without_a_word(name: str, stamps: Array) -> None:
    values = stamps[None] if name == "time_delta" else stamps[None, :, None]
    arrays: dict[str, Any] = {"x": np.zeros((1, 8, 2)), "y": np.zeros((1, 1))}
    message = "these look like time stamps. Pass differences" if name == "time_delta" else "Subtract an offset"
    with pytest.raises(ValueError, match=rf"{name}.* must keep its differences in float32, got .*{message}"):
        Split(**arrays | {name: values})
    mask = np.array([[True] * 7 + [False]])
    if name != "y":  # nor does padding hide them
        padded = np.where(mask if name == "time_delta" else mask[..., None], values, 0)
        with pytest.raises(ValueError, match="must keep its differences in float32"):
            Split(**arrays | {name: padded}, mask=mask)


def test_one_value_with_its_rounding_is_no_loss_of_differences() -> None:
    part = Split(x=np.full((1, 8, 1), 0.1) + np.arange(8).reshape(1, 8, 1) % 2 * 2e-17, y=np.array([[5000.0]]))
    assert np.unique(part.x).size == 1


@pytest.mark.parametrize("stamps", [20_000.0 + np.arange(8), STAMPS + 10**5 * np.array([0, 3, 4, 9, 11, 12, 20, 21])])
def test_time_stamps_are_not_taken_for_time_steps(stamps: Array) -> None:
    def parts(n: int, steps: Array) -> Split:
        return split(n, next(SEEDS), x=np.zeros((n, 8, D)) + next(SEEDS), time_delta=np.tile(steps, (n, 1)), mask=None)

    gaps = np.diff(stamps, prepend=stamps[:1])
    for wrong in range(3):
        splits = [parts(2, stamps if i == wrong else gaps) for i in range(3)]
        with pytest.raises(ValueError, match=r"\.time_delta must be .* look like time stamps\. Pass diff"):
            Task("toy", *splits)
    assert Task("toy", *(parts(2, gaps[[0, 3, 2, 1, 4, 7, 6, 5]]) for _ in range(3))).steps == 8
    grown = [parts(2, np.arange(8.0) ** 2) for _ in range(3)]
    with pytest.warns(UserWarning, match=r"time_delta should be .* as time stamps do\. If they are: np\.diff"):
        task = Task("toy", *grown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert task.take(1).scaled_time("log").steps == 8  # said once, of what was given


def test_stamps_of_type_datetime_are_told_how_to_become_numbers() -> None:
    stamps = np.tile(STAMPS.astype("datetime64[s]"), (4, 1))
    with pytest.raises(ValueError, match=r"time_delta must hold real numbers, got dtype datetime64\[s\]. Differences"):
        split(4, 0, x=np.zeros((4, 8, 1)), time_delta=stamps, mask=None)


def test_time_passes_over_holes() -> None:
    mask = np.array([[1, 1, 0, 0, 1, 1, 0], [0, 1, 0, 1, 0, 1, 1], [1, 1, 1, 0, 0, 0, 0]], dtype=bool)
    part = Split(x=np.zeros((3, 7, 1)), y=np.zeros((3, 1)), time_delta=np.full((3, 7), 2.0), mask=mask)
    expected = np.array([[2, 2, 0, 0, 6, 2, 2], [2, 2, 0, 4, 0, 4, 2], [2] * 7])
    assert part.time_delta is not None and (part.time_delta == expected).all()
    again = part[np.array([2, 0, 1])]  # moved time does not move again
    assert again.time_delta is not None and (again.time_delta == expected[[2, 0, 1]]).all()


def test_a_model_sees_the_same_with_a_hole_as_without_the_masked_readings() -> None:
    rng = np.random.default_rng(0)
    x, steps = rng.normal(size=(1, T, D)), rng.exponential(size=(1, T))
    mask = np.array([[True, True, False, False, True, False, True]])
    model = CfC(D, 5, output_size=2, return_sequences=False, seed=0)
    holed = predict(model, Split(x=x, y=np.zeros((1, 2)), time_delta=steps, mask=mask))
    total = np.cumsum(steps, axis=1)[mask]
    short = Split(x=x[:, mask[0]], y=np.zeros((1, 2)), time_delta=np.diff(total, prepend=0.0)[None])
    np.testing.assert_allclose(holed, predict(model, short), atol=1e-6)


def test_sequences_in_two_splits_are_told_with_their_share() -> None:
    train, other = split(8, 1), split(4, 2)
    with pytest.warns(UserWarning, match=r"validation should hold no sequence of train, got 1 of its 4 \(25%\)"):
        task = Task("toy", train, train[:1] + other[:3], split(3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task.take(5).fold(0, 2)
    with pytest.warns(UserWarning, match=r"test should hold no sequence of validation, got 4 of its 4 \(100%\)"):
        Task("toy", train, other, other)


@pytest.mark.parametrize("rows", [None, "x", {}, [1.5], 2**64, 1, True, [[1]]])
def test_rows_that_pick_nothing_are_named(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"rows must be a slice, indices \(k,\) or booleans \(n,\), got dtype"):
        split(4, 0)[rows]
    for beyond in ([4], [-5], [True]):
        with pytest.raises(ValueError, match="rows must be among the 4 sequences"):
            split(4, 0)[np.array(beyond)]
    nothing: Any = []
    assert len(split(4, 0)[nothing]) == 0 and len(split(4, 0)[np.array([True, False] * 2)]) == 2


@pytest.mark.parametrize("wrong", [None, 3, [], {}])
def test_kinds_of_time_and_paths_are_named(wrong: Any) -> None:
    for call in (make().scaled_time, make().time_scaler):
        with pytest.raises(ValueError, match="kind must be one of 'raw'"):
            call(wrong)
    with pytest.raises(ValueError, match="path must be a string, got"):
        load_task(wrong)
    with pytest.raises(ValueError, match="task must be a Task, got"):
        detection_scores(wrong, [1.0])


def test_targets_that_are_not_standardised_are_told() -> None:
    rng = np.random.default_rng(0)

    def splits(mean: float, deviation: float) -> list[Split]:
        return [Split(x=rng.normal(size=(9, 4, 1)), y=rng.normal(mean, deviation, (9, 1))) for _ in range(3)]

    for mean, deviation in ((5000.0, 100.0), (0.0, 40.0)):
        with pytest.warns(UserWarning, match="train.y should be standardised, got a mean of"):
            Task("raw", *splits(mean, deviation))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Task("standardised", *splits(0.3, 2.0))
        Task("told otherwise", *splits(5000.0, 100.0), inverse=lambda values: values)
