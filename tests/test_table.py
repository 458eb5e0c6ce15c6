"""Tables as tasks: nothing leaks, all kinds of frames give the same, a stream equals the table, errors name the row."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncps_mlx import CfC, Space, Study, evaluate, fit, predict
from ncps_mlx.data import FittedTable, Table, from_file, load_task

# Private: what workers do with a task's source.
from ncps_mlx.data._loading import build_task
from ncps_mlx.data._source import TaskSource

# Private: what reads a file (no engine for Parquet is among the tests' packages).
from ncps_mlx.data._table_file import parse_times

Array = npt.NDArray[Any]
Columns = dict[str, Array]
FEATURES = ["current", "speed", "ambient", "voltage", "vibration", "sound"]
HOLES = (0.0, 0.05, 0.3, 0.1, 0.5, 0.6)


def motors(n: int = 40, seed: int = 0) -> Columns:
    """Readings of motors at irregular times: six channels with holes, and the winding's temperature."""
    rng = np.random.default_rng(seed)
    parts = []
    for motor in range(n):
        readings = int(rng.integers(12, 31))
        seconds = np.cumsum(rng.integers(20, 600, readings))
        load = np.repeat(rng.uniform(0, 1.2, readings), 6)[:readings]
        values = rng.normal(size=(readings, 6)) + load[:, None] * [16, -60, 0, -6, 0.8, 6] + [4, 1500, 22, 395, 1, 55]
        values[rng.random((readings, 6)) < HOLES] = np.nan
        winding = 30.0 + np.convolve(load, 0.8 ** np.arange(9))[:readings] * 10 + rng.normal(size=readings)
        times = np.datetime64("2026-03-02T06:00:00", "ms") + (1000 * seconds).astype("timedelta64[ms]")
        parts.append((np.full(readings, f"M{motor:02}"), times, *values.T, winding))
    names = ["motor", "time", *FEATURES, "winding"]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}


def table(**changes: Any) -> Any:
    given: Any = {"features": FEATURES, "target": "winding", "time": "time", "group": "motor"}
    return Table(**given | {"window": 9, "unit": "min"} | changes)


def rows_of(frame: Columns, rows: Array) -> Columns:
    return {name: column[rows] for name, column in frame.items()}


def arrays(split: Any) -> list[bytes]:
    return [b"" if part is None else part.tobytes() for part in (split.x, split.y, split.time_delta, split.mask)]


def with_split(frame: Columns) -> Columns:
    """The same with a column that says which split a row belongs to, changing within groups."""
    names = np.array(["train", "validation", "train", "test", "train"])
    return frame | {"part": names[np.arange(len(frame["time"])) // 7 % 5]}


# What a task is made of


@pytest.mark.parametrize("horizon", [None, 0, 2])
@pytest.mark.parametrize("by", ["group", "time", "part"])
def test_nothing_is_learned_from_validation_and_test(by: str, horizon: int | None) -> None:
    frame = with_split(motors())
    made = table(horizon=horizon)
    task = made.task(frame, by=by)
    if by == "group":
        training = np.isin(frame["motor"], list(task.train.group))
    elif by == "time":
        training = frame["time"] < np.sort(frame["time"])[round(0.65 * len(frame["time"]))]
    else:
        training = frame["part"] == "train"
    assert 0.5 < training.mean() < 0.8
    rng = np.random.default_rng(1)
    spoiled = {name: column.copy() for name, column in frame.items()}
    for name in [*FEATURES, "winding"]:
        spoiled[name][~training] = rng.normal(1e4, 1e5, (~training).sum())
    for name in FEATURES[:3]:
        spoiled[name][~training & (rng.random(len(training)) < 0.7)] = np.nan
    other = made.task(spoiled, by=by)
    assert arrays(other.train) == arrays(task.train)
    assert other.table.to_json() == task.table.to_json()
    assert arrays(other.test)[0] != arrays(task.test)[0] and arrays(other.validation)[1] != arrays(task.validation)[1]


def test_classes_and_holes_are_those_of_training() -> None:
    frame = motors() | {"state": np.array(["hot", "cold"])[(motors()["winding"] > 45).astype(int)]}
    made = table(target="state", kind="classification", horizon=1)
    task = made.task(frame)
    assert task.classes == task.table.classes == ("cold", "hot") and task.units == ""
    assert task.table.holes == (False, True, True, True, True, True)
    outside = ~np.isin(frame["motor"], list(task.train.group))
    spoiled = frame | {"current": np.where(outside, np.nan, frame["current"]), "state": frame["state"].copy()}
    spoiled["state"][outside] = np.where(frame["state"][outside] == "hot", "cold", "hot")
    other = made.task(spoiled)
    assert arrays(other.train) == arrays(task.train) and other.table.to_json() == task.table.to_json()
    row = outside.nonzero()[0][7]
    first = np.flatnonzero(outside & np.append(True, frame["motor"][1:] != frame["motor"][:-1]))
    spoiled["state"][first] = "new"  # no sequence has these as its target
    assert arrays(made.task(spoiled).train) == arrays(task.train)
    spoiled["state"][np.flatnonzero(outside)[7]] = "warm"
    with pytest.raises(ValueError, match=rf"'state'\] must hold classes that training .*'warm' in row {row}"):
        made.task(spoiled)


def test_groups_and_stretches_of_time_are_never_in_two_splits() -> None:
    frame = motors()
    by_group = table().task(frame)
    groups = [set(split.group) for split in by_group.splits.values()]
    assert [len(part) for part in groups] == [26, 6, 8] and len(set.union(*groups)) == 40
    assert {*by_group.train.group} != {*table().task(frame, seed=1).train.group}
    assert by_group.take(5).table is by_group.table and len(by_group.take(5).train.group) == 5
    assert by_group.fold(0).train.group is not None
    assert by_group.scaled_time("log").table is None and by_group.without_time().table is None


def kinds_of_frames(frame: Columns) -> list[Any]:
    return [frame, pd.DataFrame(frame), pd.DataFrame(frame).convert_dtypes().sample(frac=1, random_state=0)]


def test_every_kind_of_frame_gives_the_same_task_in_any_order_of_rows() -> None:
    frame = motors()
    zoned = pd.DataFrame(frame)
    zoned["time"] = zoned["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Kathmandu")
    numbers = frame | {"time": (frame["time"] - frame["time"].min()) / np.timedelta64(1, "m")}
    objects = frame | {"time": zoned["time"].astype(object).to_numpy()}
    frames = [*kinds_of_frames(frame), zoned, numbers, objects]
    for split in ("train", "validation", "test"):
        assert len({b"".join(arrays(table().task(each).splits[split])) for each in frames[:5]}) == 1
    assert len({table().task(each).data_hash for each in frames}) == 1


def test_polars_frames_give_the_same_task_and_come_back() -> None:
    polars = pytest.importorskip("polars", reason="polars is in the test group alone")
    frame = motors()
    made = polars.DataFrame(frame).with_columns(polars.col(FEATURES).fill_nan(None))
    zoned = made.with_columns(polars.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Kathmandu"))
    task = table(horizon=1).task(frame)
    assert table(horizon=1).task(made).data_hash == table(horizon=1).task(zoned).data_hash == task.data_hash
    model = CfC(**task.sizes, hidden_size=5, seed=0)
    back, expected = task.table.predict(model, made), task.table.predict(model, frame)
    assert back.columns == ["motor", "time", "winding"] and back["time"].equals(made["time"])
    assert back["winding"].null_count() == np.isnan(expected["winding"]).sum() > 0
    np.testing.assert_array_equal(back["winding"].to_numpy(), expected["winding"])
    with pytest.raises(ValueError, match=r"LazyFrame: pass frame\.collect"):
        table().task(made.lazy())
    with pytest.raises(ValueError, match=r"'time'\] in row 0 must be a time or a number, got the text"):
        table().task(made.with_columns(polars.col("time").cast(polars.String)))


SMALL: Columns = {
    "t": np.array([0.0, 2.0, 3.0, 7.0, 8.0, 1.0, 4.0, 9.0, 0.0, 1.0, 5.0, 6.0]),
    "who": np.array([*"aaaaabbbcccc"]),
    "x": np.array([1.0, np.nan, 3.0, 4.0, np.nan, 5.0, np.nan, 7.0, np.nan, 2.0, 0.0, 6.0]),
    "y": np.arange(12.0),
    "part": np.array([*["train"] * 5, *["validation"] * 3, *["test"] * 4]),
}


def small(**changes: Any) -> Any:
    given: Any = {"features": ["x"], "target": "y", "time": "t", "group": "who", "window": 3}
    return Table(**given | changes)


def test_a_target_at_every_reading_by_hand() -> None:
    task = small().task(SMALL, by="part")
    fitted = task.table
    mean, deviation = 8 / 3, np.std([1, 3, 4])
    assert fitted.inputs == ("x", "x measured", "x age") and fitted.holes == (True,)
    assert fitted.means == pytest.approx(mean) and fitted.deviations == pytest.approx(deviation)
    assert fitted.typical_gap == np.median([2, 1, 4, 1])
    value = np.array([[1, 1, 3], [4, 4, mean]])
    np.testing.assert_allclose(task.train.x[..., 0], (value - mean) / deviation, atol=1e-6)
    np.testing.assert_array_equal(task.train.x[..., 1], [[1, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(task.train.x[..., 2], np.log1p(np.array([[0, 2, 0], [0, 1, 0]]) / 1.5), atol=1e-6)
    np.testing.assert_array_equal(task.train.mask, [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(task.train.time_delta, [[1.5, 2, 1], [4, 1, 0]])  # the typical gap comes first
    np.testing.assert_allclose(task.to_units(task.train.y)[task.train.mask].ravel(), np.arange(5), atol=1e-6)
    # never measured yet: the training mean, and as old as the group
    np.testing.assert_allclose(task.test.x[0, :, 0], (np.array([mean, 2, 0]) - mean) / deviation, atol=1e-6)
    np.testing.assert_array_equal(task.test.x[0, :, 1:], [[0, 0], [1, 0], [1, 0]])
    assert task.time_unit == "s" and list(task.test.group) == ["c"]  # its fourth reading alone is too short


@pytest.mark.parametrize(
    ("horizon", "last", "targets", "steps"),
    [
        (0, [1, 2, 3, 4], [1, 2, 3, 4], [[1.5, 2, 0], [1.5, 2, 1], [2, 1, 4], [1, 4, 1]]),
        (1, [1, 2, 3], [2, 3, 4], [[2, 1, 0], [2, 1, 4], [1, 4, 1]]),
        (2, [1, 2], [3, 4], [[2, 5, 0], [2, 1, 5]]),
    ],
)  # fmt: skip
def test_horizons_by_hand(horizon: int, last: list[int], targets: list[int], steps: list[list[float]]) -> None:
    long = {name: np.concatenate([column, column[:5]]) for name, column in SMALL.items()}
    long["who"] = np.array([*"aaaaabbbbbccccc"] + ["d"] * 2)
    long["t"] = np.array([*SMALL["t"][:5]] * 3 + [0.0, 1.0])
    long["part"] = np.array([*["train"] * 5, *["validation"] * 5, *["test"] * 7])
    task = small(horizon=horizon).task(long, by="part")
    if horizon == 2:
        assert task.steps == 3
    np.testing.assert_allclose(task.to_units(task.train.y)[:, 0], targets, atol=1e-6)
    np.testing.assert_array_equal(task.train.time_delta, steps)
    lengths = [min(3, place + 1) for place in last]
    np.testing.assert_array_equal(task.train.mask.sum(axis=1), lengths)
    thinned = small(horizon=horizon, stride=2).task(long, by="part")
    np.testing.assert_array_equal(thinned.train.y, task.train.y[::2])


def test_windows_may_overlap_and_a_short_group_sets_their_length() -> None:
    assert small(stride=1).task(SMALL, by="part").train.x.shape == (3, 3, 3)
    assert small(window=1000).task(SMALL, by="part").train.x.shape == (1, 5, 3)
    assert small(missing="carry").task(SMALL, by="part").input_size == 1
    without = small(time=None).task(SMALL, by="part")
    assert without.train.time_delta is None and without.table.typical_gap == 1
    alone: Any = Table(features=["x"], target="y", time="t", window=3, least=1)
    task = alone.task({"t": np.arange(8.0), "x": SMALL["x"][:8], "y": SMALL["y"][:8]})
    assert [len(split) for split in task.splits.values()] == [2, 1, 1] and task.train.group is None


def test_a_later_split_carries_values_from_an_earlier_one() -> None:
    frame = {"t": np.arange(12.0), "x": np.full(12, np.nan), "y": np.arange(12.0)}
    frame["x"][[0, 1]] = [5.0, 7.0]
    task: Any = Table(features=["x"], target="y", time="t", window=4).task(frame)
    value, measured, age = task.test.x[0, task.test.mask[0]].T
    np.testing.assert_allclose(value, 1.0)
    np.testing.assert_array_equal(measured, 0)
    np.testing.assert_allclose(age, np.log1p([9, 10]), rtol=1e-6)


def test_sequences_without_a_target_are_left_out() -> None:
    frame = SMALL | {"y": SMALL["y"].copy()}
    frame["y"][[2, 4]] = np.nan
    task = small(horizon=0).task(frame, by="part")
    np.testing.assert_allclose(task.to_units(task.train.y)[:, 0], [1, 3], atol=1e-6)
    assert task.table.target_means == pytest.approx(np.mean([0, 1, 3]))


def test_several_targets_and_baselines() -> None:
    frame = motors()
    task = table(target=["winding", "again"]).task(frame | {"again": -2 * frame["winding"]})
    assert task.output_size == 2
    restored = task.to_units(task.test.y)[task.test.mask]
    np.testing.assert_allclose(restored[:, 1], -2 * restored[:, 0], rtol=1e-5)
    found = table().task(frame).baselines()
    assert set(found) == {"train mean", "least squares on one reading"}
    assert found["least squares on one reading"] < found["train mean"]


def test_sequences_that_take_much_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncps_mlx.data._table.LARGE", 300_000)
    frame = motors()
    table().task(frame)
    with pytest.warns(UserWarning, match=r"make \d+ sequences of 9 readings, 0.0 GB. A larger stride makes fewer"):
        table(horizon=0).task(frame)


# Streams


@pytest.mark.parametrize("missing", ["flag", "carry"])
@pytest.mark.parametrize("times", ["dates", "numbers", "none"])
def test_an_encoder_gives_what_the_table_gives_to_the_bit(times: str, missing: str) -> None:
    frame = motors()
    if times == "numbers":
        frame |= {"time": (frame["time"] - frame["time"].min()) / np.timedelta64(1, "s") * 0.37}
    task = table(window=100, missing=missing, time=None if times == "none" else "time").task(frame)
    fitted = FittedTable.from_json(task.table.to_json())
    for place, group in enumerate(task.test.group):
        encoder = fitted.encoder()
        for step, row in enumerate(np.flatnonzero(frame["motor"] == group)):
            time = None if times == "none" else frame["time"][row]
            if times == "dates" and row % 3:
                time = np.datetime64(time, "ns")
            reading = {name: frame[name][row] for name in FEATURES if row % 2 or not np.isnan(frame[name][row])}
            x, gap = encoder.push(time, reading)
            assert x.tobytes() == task.test.x[place, step].tobytes()
            if times == "none":
                assert gap == 1
            else:
                assert np.float32(gap) == task.test.time_delta[place, step]
            if step % 5 == 3:
                encoder = fitted.encoder(json.loads(json.dumps(encoder.state())))


@pytest.mark.filterwarnings("ignore:.* should hold no sequence of")  # with nothing measured, two may be equal
@pytest.mark.filterwarnings("ignore:.* should be the time that passes")  # gaps may happen to grow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_readings_stream_as_the_table_has_them(data: st.DataObject) -> None:
    n = data.draw(st.integers(6, 20))
    number = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6, width=32))
    gaps = data.draw(st.lists(st.floats(1e-3, 900), min_size=n, max_size=n))
    frame = {
        "t": np.cumsum(gaps), "a": np.array([1.0, *data.draw(st.lists(number, min_size=n - 1, max_size=n - 1))]),
        "y": np.arange(float(n)),
    }  # fmt: skip
    task: Any = Table(features=["a"], target="y", time="t", window=n, least=1).task(frame)
    encoder = task.table.encoder()
    pushed = np.array([encoder.push(time, [value])[0] for time, value in zip(frame["t"], frame["a"], strict=True)])
    cut = [split.x[0] if split.mask is None else split.x[0, split.mask[0]] for split in task.splits.values()]
    assert np.isfinite(pushed).all() and pushed.tobytes() == np.concatenate(cut)[:n].tobytes()


@pytest.mark.parametrize("horizon", [None, 0, 1, 3])
def test_a_stream_by_context_predicts_what_the_table_predicts(horizon: int | None) -> None:
    frame = motors(12)
    task = table(horizon=horizon).task(frame)
    fitted = task.table
    model = CfC(**task.sizes, hidden_size=5, seed=1)
    expected = fitted.predict(model, frame)["winding"]
    rows = np.flatnonzero(frame["motor"] == "M03")
    ahead = horizon or 0
    encoder, seen, found = fitted.encoder(), [], []
    for place, row in enumerate(rows[: len(rows) - ahead]):
        seen.append(encoder.push(frame["time"][row], [frame[name][row] for name in FEATURES]))
        if horizon is not None and len(seen) < 2:
            continue
        used = seen[-fitted.context(len(seen)) :]
        gaps = [gap for _, gap in used]
        if ahead:
            gaps = [*gaps[1:], encoder.gap_until(frame["time"][rows[place + ahead]])]
        y, _ = model(mx.array(np.array([x for x, _ in used])), time_delta=mx.array(np.array(gaps, dtype=np.float32)))
        last = np.array(y)[-1] if horizon is None else np.array(y)
        found.append(last[0] * fitted.target_deviations[0] + fitted.target_means[0])
    np.testing.assert_allclose(found, expected[rows[len(rows) - len(found) :]], rtol=1e-5)
    assert np.isnan(expected[rows]).sum() == len(rows) - len(found)


# Predictions


def test_predictions_come_back_as_the_table_went_in() -> None:
    frame = motors()
    task = table(window=30).task(frame)
    model = CfC(**task.sizes, hidden_size=5, seed=0)
    fit(model, task, steps=5, batch_size=16, time_scaling="log", progress=False)
    given = pd.DataFrame(frame).sample(frac=1, random_state=1)
    back = task.table.predict(model, given.drop(columns="winding"))
    assert list(back.columns) == ["motor", "time", "winding"] and back.index.equals(given.index)
    assert back["time"].equals(given["time"]) and task.table.predict(model, frame)["motor"] is frame["motor"]
    test = given["motor"].isin(list(task.test.group))
    error = (back["winding"] - given["winding"])[test]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(evaluate(model, task), rel=1e-5)
    outputs = task.table.outputs(lambda split: predict(model, split), given)
    spread = task.table.to_frame(given, outputs, {"spread": np.zeros(len(given))})
    np.testing.assert_allclose(spread["winding"], back["winding"], rtol=1e-5)
    assert list(spread.columns) == ["motor", "time", "winding", "spread"]


def test_rows_to_come_ask_for_forecasts_and_classes_have_names() -> None:
    frame = motors()
    labels = np.where(frame["winding"] > 45, 7, 3)
    task = table(target="level", horizon=1, kind="classification").task(frame | {"level": labels})
    assert task.classes == (3, 7)
    model = CfC(**task.sizes, hidden_size=5, seed=0)
    own = rows_of(frame, frame["motor"] == "M01")
    asked = {name: np.append(column, column[-1:]) for name, column in own.items()}
    asked["time"][-1] += np.timedelta64(3, "m")
    for name in FEATURES:
        asked[name][-1] = np.nan
    back = task.table.predict(model, asked)["level"]
    assert list(back[:2]) == [None, None] and set(back[2:]) <= {3, 7} and len(back) == len(own["time"]) + 1


def test_a_fitted_table_is_written_to_the_bit_and_read_strictly() -> None:
    fitted = table(target=["winding", "current"], features=["speed", "ambient"]).task(motors()).table
    text = fitted.to_json()
    assert FittedTable.from_json(text).to_json() == text
    parts = json.loads(text)
    for changes, message in (
        ({"version": 2}, "version must be 1 .* got 2"),
        ({"version": True}, "version must be 1 .* got True"),
        ({"time_kind": []}, "time_kind must fit"),
        ({"more": 1}, r"unknown: \['more'\]"),
        ({"settings": parts["settings"] | {"colour": 1}}, r"unknown: \['colour'\]"),
        ({"means": [1.0]}, "means must be 2 numbers"),
        ({"deviations": [1.0, 0.0]}, "deviations must be above 0"),
        ({"holes": [1, 0]}, "holes must be 2 booleans"),
        ({"classes": ["a", "b"]}, "classes must be there for classification alone"),
        ({"steps": 1000}, "steps must be at most 9"),
        ({"time_kind": None}, "time_kind must fit"),
    ):
        with pytest.raises(ValueError, match=message):
            FittedTable.from_json(json.dumps(parts | changes))
    del parts["holes"]
    with pytest.raises(ValueError, match=r"missing: \['holes'\]"):
        FittedTable.from_json(json.dumps(parts))
    with pytest.raises(ValueError, match="must be the JSON of a fitted table"):
        FittedTable.from_json("{")


def test_a_file_is_a_task_that_workers_can_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = motors()
    pd.DataFrame(frame).to_csv("motors.csv.gz", index=False)
    columns: Any = {"features": FEATURES, "target": "winding", "time": "time", "group": "motor", "window": 9}
    task = load_task("ncps_mlx.data:from_file", file="motors.csv.gz", **columns)
    assert task.source is not None
    assert build_task(TaskSource.from_json(task.source.to_json())).data_hash == task.data_hash
    direct: Any = from_file("motors.csv.gz", **columns, seed=1)
    assert build_task(direct.source).data_hash == direct.data_hash != task.data_hash
    study = Study(
        "study.db", direct, Space(learning_rate=[1e-2]), sampler="grid", fixed={"hidden_size": 4, "steps": 2}
    ).run(progress=False)
    assert study.best.rerun(direct).score == study.best.score
    Path("bad.csv").write_text("time,a,b\n31.1.2026,1,2\n")
    with pytest.raises(ValueError, match=r"bad.csv\['time'\] must hold numbers or times.* got '31.1.2026' in row 0"):
        from_file("bad.csv", features=["a"], target="b", time="time")
    with pytest.raises(ValueError, match=r"file must end in \.csv"):
        from_file("study.db", features=["a"], target="b")
    with pytest.raises(FileNotFoundError, match=r"file must be there, got 'none\.csv'"):
        from_file("none.csv", features=["a"], target="b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,a,b\n0,1,2\n1,1,x\n2,1,3\n", r"file.csv\['b'\] must hold numbers, got 'x' in row 1"),
        ("time,a,c\n0,1,2\n1,1,2\n2,1,2\n", r"file.csv must have the column 'b' of target once, got 'time', 'a', 'c'"),
        ("time,a,b\n", r"file.csv must have at least 1 row"),
        ("time,a,b\n0,1,2\n1,1,2\n", r"file.csv must have at least 3 rows to split by time"),
        ("time,a,b\n" + 20 * "0,,1\n", r"file.csv\['time'\] must differ in all rows"),
        ("time,a,b\n" + "".join(f"{i},,1\n" for i in range(30)), r"file.csv\['a'\] must have a value in the training"),
        ("time;a;b\n0;1,5;2\n", r"""file.csv must have commas between its columns, got ';'.*sep=';', decimal=","\)"""),
        ("", r"file.csv must be a table of comma-separated values in UTF-8: No columns"),
        ("time,a,b,\xe4\n0,1,2,3\n", r"file.csv must be a table of comma-separated values in UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        from_file("file.csv", features=["a"], target="b", time="time", window=4)


def test_times_in_a_file_that_are_no_texts_stay_as_they_are() -> None:
    zoned = pd.date_range("2026-03-29", periods=4, tz="Europe/Vienna")
    for times in (pd.to_timedelta(np.arange(4), unit="min"), zoned):
        frame = pd.DataFrame({"time": times})
        assert parse_times(frame, "time", "file.parquet") is frame


# What is refused


def changed(name: str, row: int, value: Any) -> Columns:
    column = SMALL[name].astype(object)
    column[row] = value
    return SMALL | {name: column}


def put(name: str, rows: Any, value: Any) -> Columns:
    column = SMALL[name].copy()
    column[rows] = value
    return SMALL | {name: column}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": "x"}, "features must be a list of columns, got 'x'"),
        ({"features": []}, "features must be a list"),
        ({"features": ["x", "x"]}, "features must be names of different columns, got 'x'"),
        ({"target": []}, "target must be a list"),
        ({"target": "x"}, "target must not be among the features of its own reading, got 'x'"),
        ({"time": 3}, "time must be a string"),
        ({"group": "t"}, "must be different columns, got 't'"),
        ({"window": 0}, "window must be at least 1"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"horizon": -1}, "horizon must be at least 0"),
        ({"horizon": 2**64}, "horizon must be at most 2147483648"),
        ({"least": 4}, "least must be at most the window, 3, got 4"),
        ({"missing": "zero"}, "missing must be one of"),
        ({"kind": "ranking"}, "kind must be one of"),
        ({"kind": "classification", "horizon": 0, "target": ["y", "t2"]}, "target must be one column"),
        ({"unit": 1}, "unit must be a string"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**arguments)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([1, 2], "frame must be a DataFrame of pandas or polars, or a dict of arrays, got list"),
        ({}, "frame must have at least 1 row"),
        ({"x": 3.0}, r"frame\['x'\] must have a value for each row, got shape \(\)"),
        (changed("x", 4, 10**400), r"frame\['x'\] must hold finite numbers, got inf in row 4"),
        (changed("t", 4, 10**400), r"frame\['t'\] must hold a time in each row, got inf in row 4"),
        (SMALL | {"who": [[1]] * 12}, r"frame\['who'\] must have one value for each of the 12 rows"),
        (changed("who", 3, {"a"}), r"frame\['who'\] must hold names of groups"),
        ({"X": [1.0]}, r"frame must have the column 'x' of features once, got 'X'"),
        (SMALL | {"x": SMALL["x"][:3]}, r"must have one value for each of the 12 rows"),
        (changed("x", 4, "high"), r"frame\['x'\] must hold numbers, got 'high' in row 4"),
        (SMALL | {"x": np.array(["3"] * 4 + ["n.a."] + ["3"] * 7)}, r"'x'\] must hold numbers, got 'n.a.' in row 4"),
        (SMALL | {"x": np.full(12, "3")}, r"frame\['x'\] must hold numbers, got '3' in row 0"),
        (changed("x", 5, np.inf), r"frame\['x'\] must hold finite numbers, got inf in row 5"),
        (changed("y", 5, "hot"), r"'y'\] must hold numbers, got 'hot' in row 5. For labels of classes: kind="),
        (changed("t", 6, None), r"frame\['t'\] in row 6 must be a time or a number, got None"),
        (put("t", 7, np.nan), r"'t'\] must hold a time in each row, .* row 7"),
        (SMALL | {"t": np.full(12, "2026-01-01")}, r"text '2026-01-01'. Texts become times with pandas.to_datetime"),
        (put("t", 3, 3.0), "got 3.0 in rows 2 and 3 of group 'a'"),
        (changed("who", 8, None), r"frame\['who'\] must name a group in each row, got none in row 8"),
        (changed("part", 8, "Test"), r"'part'\] must hold 'train', 'validation' or 'test', got 'Test' in row 8"),
        (put("part", slice(8, 12), "train"), "test must have a sequence, got none from 0"),
        (put("x", 1, 1e200), r"'x'\] must have a finite standard deviation"),
        (put("x", slice(5), np.nan), r"'x'\] must have a value in the training rows"),
        (SMALL | {"t": SMALL["t"].astype("timedelta64[M]")}, "units of a fixed length"),
    ],
)  # fmt: skip
def test_errors_name_column_and_row(frame: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().task(frame, by="part")


def test_a_frame_of_pandas_is_refused_as_clearly() -> None:
    frame = pd.DataFrame(SMALL)
    with pytest.raises(ValueError, match="got it twice"):
        small().task(pd.concat([frame, frame[["x"]]], axis=1), by="part")
    dates = frame.assign(t=pd.Timestamp("2026-01-01") + pd.to_timedelta(frame["t"], unit="h"))
    assert small(unit="h").task(dates, by="part").train.time_delta.max() == 4
    with pytest.raises(ValueError, match=r"'t'\] in row 0 must be a time or a number, got the text '2026"):
        small().task(dates.assign(t=dates["t"].astype(str)), by="part")
    with pytest.raises(ValueError, match=r"'t'\] must hold a time in each row, got NaT in row 5"):
        small().task(dates.assign(t=dates["t"].where(dates.index != 5)), by="part")
    with pytest.raises(ValueError, match=r"unit must be one of .* for dates, got 'years'"):
        small(unit="years").task(dates, by="part")
    fitted = small().task(frame, by="part").table
    model = CfC(3, 4, output_size=1, seed=0)
    with pytest.raises(ValueError, match=r"'t'\] must hold a number in each row, as in training, got a date"):
        fitted.predict(model, dates)
    with pytest.raises(ValueError, match="model must put out the shape"):
        fitted.predict(CfC(3, 4, output_size=2, seed=0), frame)
    with pytest.raises(ValueError, match="model must be callable"):
        fitted.predict(None, frame)
    with pytest.raises(ValueError, match="outputs must have the shape"):
        fitted.to_frame(frame, np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"more.'spread'. must have the shape"):
        fitted.to_frame(frame, np.zeros((12, 1)), {"spread": np.zeros(3)})
    with pytest.raises(ValueError, match="more must map names to columns, got 3"):
        fitted.to_frame(frame, np.zeros((12, 1)), 3)
    with pytest.raises(ValueError, match="what a model or function returns must hold real numbers"):
        fitted.outputs(lambda _: {}, frame)
    with pytest.raises(ValueError, match="function must be a function of a Split, got"):
        fitted.outputs(3, frame)


def test_wrong_splits_are_refused() -> None:
    two = rows_of(SMALL, np.arange(8))
    for arguments, message in (
        ({"by": "group"}, "by='group' needs at least 3 groups, got 2"),
        ({"split": (0.5, 0.5)}, "split must be three shares"),
        ({"split": (0.5, 0.5, 0.5)}, "split must add up to 1, got 1.5"),
        ({"split": (1.0, 0.0, 0.0)}, "split must be above 0"),
        ({"by": "fold"}, "by must be 'group', 'time' or a column of frame, got 'fold'"),
        ({"by": 3}, "by must be a string"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"by": "part", "metric": "accuracy"}, "metric must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            small().task(two if arguments.get("by") != "part" else SMALL, **arguments)
    with pytest.raises(ValueError, match="by must be 'time' or a column for a table without groups"):
        small(group=None).task(SMALL | {"t": np.arange(12)}, by="group")
    with pytest.raises(ValueError, match="by must be 'group' or a column where time is None"):
        small(time=None).task(SMALL, by="time")
    with pytest.raises(ValueError, match=r"'x'\] must have a value in each row, as missing='refuse' says, .* in row 1"):
        small(missing="refuse").task(SMALL, by="part")


def test_wrong_readings_are_refused_by_an_encoder() -> None:
    fitted = small().task(SMALL, by="part").table
    encoder = fitted.encoder()
    with pytest.raises(ValueError, match="push must come before gap_until"):
        encoder.gap_until(3)
    encoder.push(1, {"x": 3})
    for time, reading, message in (
        (1.0, {"x": 3}, "time must be after that of the last reading, 1.0, got 1.0"),
        ("2", {"x": 3}, "time must be a time or a number, got the text '2'"),
        (np.nan, {"x": 3}, "time must be a time or a number, got nan"),
        (None, {"x": 3}, "time must be a time or a number, got None"),
        (datetime.datetime(2026, 1, 1), {"x": 3}, "time must be a number, as in the table"),
        (2, {"X": 3}, "reading must hold the table's features x, got 'X'"),
        (2, [1, 2], "reading must hold 1 values, x, got"),
        (2, b"x", "reading must hold 1 values, x, got"),
        (2, [[1, 2]], r"reading\['x'\] must be a finite number"),
        (2, {"x": "3"}, r"reading\['x'\] must be a finite number"),
        (2, {"x": 10**400}, r"reading\['x'\] must be a finite number"),
        (2, {"x": np.inf}, r"reading\['x'\] must be a finite number"),
        (2, {"x": 1e200}, r"reading\['x'\] must stay within float32"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder.push(time, reading)
    x, gap = encoder.push(4.0, {})  # what was refused left nothing behind
    assert gap == 3 and x[1] == 0 and x[2] == np.float32(np.log1p(3 / 1.5))
    state = encoder.state()
    wrong_parts: list[Any] = [{"values": 3}, {"values": [1, 2]}, {"values": b"x"}]
    wrong_parts += [{"dtype": "M8[s]"}, {"time": None}, {"seen": [9.0]}]
    for wrong in ({"time": 3}, 3, *(state | part for part in wrong_parts)):
        with pytest.raises(ValueError, match="state must be what state"):
            fitted.encoder(wrong)
    refusing = small(missing="refuse").task(SMALL | {"x": np.arange(12.0)}, by="part").table
    with pytest.raises(ValueError, match="reading must hold 'x', as missing='refuse' says"):
        refusing.encoder().push(1, {"x": None})
    with pytest.raises(ValueError, match="time must be None for a table without times"):
        replace(fitted, settings=small(time=None), time_kind=None).encoder().push(3, {"x": 1})


def test_targets_that_were_not_observed_count_nowhere() -> None:
    frame = motors()
    gone = np.random.default_rng(0).random(len(frame["winding"])) < 0.4
    holes = frame | {"winding": np.where(gone, np.nan, frame["winding"])}
    task = table().task(holes)
    there = np.ones(task.train.y.shape[:2], bool) if task.train.mask is None else task.train.mask
    assert 0.3 < np.isnan(task.train.y[there]).mean() < 0.5
    model = CfC(**task.sizes, hidden_size=8, backbone_units=8, seed=0)
    assert fit(model, task, steps=10, progress=False).status == "finished"
    found = task.table.predict(model, holes)["winding"]
    assert np.isfinite(found).all() and np.isfinite(evaluate(model, task))


def test_a_class_at_every_reading() -> None:
    frame = motors()
    labels = np.where(frame["winding"] > np.median(frame["winding"]), "hot", "cool").astype(object)
    labels[::5] = None
    task = table(target="state", kind="classification").task(frame | {"state": labels})
    assert task.classes == ("cool", "hot") and task.train.y.ndim == 2
    assert (task.train.y == -1).any()
    model = CfC(**task.sizes, hidden_size=8, backbone_units=8, seed=0)
    assert fit(model, task, steps=60, learning_rate=0.02, progress=False).status == "finished"
    assert evaluate(model, task) > 0.6
    found = task.table.predict(model, frame)["state"]
    assert set(found) <= {"cool", "hot"} and len(found) == len(labels)
