"""A model owns its scale of time: raw time goes in everywhere; and what a call does with time steps."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from ncps_mlx import (
    LTC,
    AutoNCP,
    CfC,
    Record,
    Space,
    Split,
    Study,
    Task,
    TimeScaler,
    evaluate,
    fit,
    load,
    predict,
)
from ncps_mlx._time_scaler import KINDS
from ncps_mlx.records import refit
from ncps_mlx.training import find_batch_size, find_learning_rate

B, T, D = 5, 7, 3
SHORT: dict[str, Any] = {"steps": 3, "batch_size": 8, "progress": False}
LOG = TimeScaler("log").fit([2.0, 30.0, 500.0])


def make_split(n: int, seed: int = 0, *, holes: bool = False, unit: float = 60.0) -> Split:
    rng = np.random.default_rng([n, seed])
    x, mask = rng.normal(size=(n, T, D)), None
    if holes:
        mask = rng.random((n, T)) < 0.6
        mask[:, 2] = True
    return Split(x=x, y=x[:, :3].sum(axis=(1, 2))[:, None], time_delta=unit * rng.exponential(size=(n, T)), mask=mask)


def make_task(unit: float = 60.0, *, holes: bool = False) -> Task:
    return Task("toy", *(make_split(n, holes=holes, unit=unit) for n in (24, 12, 9)))


def build(seed: int = 0, cls: Any = CfC, **settings: Any) -> Any:
    shape = {} if "wiring" in settings else {"hidden_size": 4, "backbone_units": 8}
    return cls(D, output_size=1, return_sequences=False, seed=seed, **shape, **settings)


def test_training_on_a_scale_of_time_makes_it_the_model_s() -> None:
    task = make_task()
    models = [build(i) for i in range(5)]
    fit(models, task, time_scaling=[*KINDS, None], **SHORT)
    assert [model.time_scaler for model in models] == [None, *map(task.time_scaler, KINDS[1:]), None]
    other = build()
    fit(other, task.scaled_time("log"), **SHORT)
    assert other.time_scaler == models[1].time_scaler and "time_scaler=TimeScaler('log'" in repr(other)


def test_a_trained_model_keeps_its_own_scale_where_none_is_given() -> None:
    model, task = build(), make_task()
    fit(model, task, time_scaling="log", **SHORT)
    first = model.time_scaler
    fit(model, make_task(unit=7.0), **SHORT)
    assert model.time_scaler == first != make_task(unit=7.0).time_scaler("log")
    fit(model, make_task(unit=7.0), time_scaling="log", **SHORT)
    assert model.time_scaler == make_task(unit=7.0).time_scaler("log")
    fit(model, task, time_scaling="raw", **SHORT)
    assert model.time_scaler is None


@pytest.mark.parametrize("kind", KINDS)
def test_raw_time_goes_in_everywhere(kind: str, tmp_path: Path) -> None:
    """evaluate, predict, the call eager and compiled, before and after saving; and on the scaled task nothing twice."""
    task, model = make_task(holes=True), build()
    history = fit(model, task, time_scaling=kind, **SHORT)
    model.save(tmp_path / "model.safetensors")
    for each in (model, load(tmp_path / "model.safetensors")):
        assert each.time_scaler == model.time_scaler
        for form in (task, task.scaled_time(kind)):
            assert evaluate(each, form, "validation") == history.best_score
            np.testing.assert_array_equal(predict(each, form.test), predict(model, task.test))
        parts: list[Any] = [task.test.x, task.test.time_delta, task.test.mask]
        arguments = list(map(mx.array, parts))
        for call in (each, mx.compile(each)):
            outputs = call(arguments[0], time_delta=arguments[1], mask=arguments[2])[0]
            np.testing.assert_allclose(np.array(outputs), predict(model, task.test), atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_scales_to_the_values_of_the_scaler(kind: str) -> None:
    scaler = TimeScaler(kind).fit([0.3, 3.0, 41.0])
    steps = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 99)]).astype(np.float32)
    plain, scaled = build(), build()
    scaled.time_scaler = scaler
    x = mx.random.normal((100, 1, D), key=mx.random.key(0))
    expected = plain(x, time_delta=mx.array(scaler.transform(steps))[:, None])[0]
    found = scaled(x, time_delta=mx.array(steps)[:, None])[0]
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-6)
    for step in (0.0, 0.5, np.float32(7), 3):
        one = scaled(x[:1], time_delta=step)[0], plain(x[:1], time_delta=float(scaler.transform(step)))[0]
        assert mx.array_equal(*one).item()


def test_members_are_read_each_in_its_own_scale() -> None:
    """Two scalers of one kind with other scales, and none."""
    split, models = make_split(9), [build(i) for i in range(3)]
    models[0].time_scaler, models[1].time_scaler = LOG, TimeScaler("log").fit([3.0])
    for model, outputs in zip(models, predict(models, split), strict=True):
        np.testing.assert_array_equal(outputs, predict(model, split))
    assert not np.array_equal(predict(models[0], split), predict(build(0), split))


def test_records_and_refits_are_as_before_and_score_on_raw_time() -> None:
    task = make_task()
    fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 4, "batch_size": 8}
    study = Study(None, task, Space(time_scaling=["raw", "log", "bounded"]), sampler="grid", fixed=fixed)
    records = study.run(progress=False).records
    assert [record.config["time_scaling"] for record in records] == ["raw", "log", "bounded"]
    models = refit(records, task, progress=False)
    assert evaluate(models, task, "validation") == [record.score for record in records]
    assert [Record.from_json(record.to_json()).rerun(task).score for record in records] == [r.score for r in records]
    for record in records:
        assert record.build().time_scaler is None  # untrained


def test_the_finders_read_time_as_the_model_does() -> None:
    plain, scaled, task = build(), build(), make_task()
    scaled.time_scaler = task.time_scaler("log")
    loss = [find_learning_rate(m, t, steps=20, batch_size=8, progress=False).loss
            for m, t in ((scaled, task), (plain, task.scaled_time("log")), (plain, task))]  # fmt: skip
    assert np.array_equal(loss[0], loss[1]) and not np.array_equal(loss[0], loss[2])
    sizes: dict[str, Any] = {"steps": 1, "repeats": 1, "smallest": 8, "learning_rates": [1e-2], "tuning_steps": 2}
    score = [find_batch_size(m, t, gain=9.0, progress=False, **sizes)[0][0].score
             for m, t in ((scaled, task), (plain, task.scaled_time("log")), (plain, task))]  # fmt: skip
    assert score[0] == score[1] != score[2]


def test_time_on_another_scale_is_refused() -> None:
    model, task = build(), make_task()
    fit(model, task, time_scaling="log", **SHORT)
    message = r"time_delta must be raw for a model that has learnt to read it by TimeScaler\('log', .* before scaled"
    for other in (task.scaled_time("bounded"), make_task(unit=7.0).scaled_time("log")):
        with pytest.raises(ValueError, match=message):
            evaluate(model, other)
        with pytest.raises(ValueError, match=message):
            predict(model, other.test[:2])
        with pytest.raises(ValueError, match=message):
            fit(model, other, **SHORT)
    message = "time_delta must be given to a model that has learnt to read it by"
    with pytest.raises(ValueError, match=message):
        evaluate(model, task.without_time())
    with pytest.raises(ValueError, match=message):
        fit(model, task.without_time(), **SHORT)
    with pytest.raises(ValueError, match=message):
        model(mx.zeros((B, T, D)))
    with pytest.raises(ValueError, match="time_scaling must be 'raw' for 'toy', a task whose time TimeScaler"):
        fit(build(), task.scaled_time("log"), time_scaling="log", **SHORT)
    with pytest.raises(ValueError, match="time_delta of 'toy' must be raw to be scaled, got what TimeScaler"):
        task.scaled_time("log").scaled_time("log")
    with pytest.raises(ValueError, match=r"time_scaler must be a fitted TimeScaler or None, got TimeScaler.'log', unf"):
        model.time_scaler = TimeScaler("log")


def test_a_split_says_by_what_its_time_is_scaled() -> None:
    task = make_task()
    scaled = task.scaled_time("log")
    scaler = task.time_scaler("log")
    assert scaled.train.scaled_by == scaled.test[1:3].scaled_by == (scaled.train + scaled.test).scaled_by == scaler
    assert scaled.take(9).train.scaled_by == scaler and task.scaled_time("raw").train.scaled_by is None
    assert scaled.without_time().train.scaled_by is None and scaled.data_hash != task.data_hash
    assert "scaled_by=TimeScaler('log'" in repr(scaled.test)
    with pytest.raises(ValueError, match=r"time_delta must be on one scale in both splits, got .* and None"):
        scaled.train + task.train
    with pytest.raises(ValueError, match=r"validation.time_delta must be on the scale of train, raw, got TimeScaler"):
        Task("mixed", task.train, scaled.validation, task.test)
    with pytest.raises(ValueError, match=r"scaled_by must be the fitted TimeScaler .* got .* without time_delta"):
        replace(scaled.train, time_delta=None)
    with pytest.raises(ValueError, match="scaled_by must be the fitted TimeScaler that gave time_delta, or None, got"):
        replace(scaled.train, scaled_by="log")  # type: ignore[arg-type]  # what is refused


def test_the_scaler_is_the_model_s_own() -> None:
    model, scaler = build(), TimeScaler("log").fit([1.0])
    model.time_scaler = scaler
    scaler.fit([9.0])
    assert model.time_scaler == TimeScaler("log").fit([1.0])


def test_files_from_before_have_no_scaler_and_broken_ones_are_named(tmp_path: Path) -> None:
    model, path = build(), tmp_path / "model.safetensors"
    model.time_scaler = LOG
    model.save(path)
    loaded: Any = mx.load(str(path), return_metadata=True)
    arrays, metadata = loaded
    metadata.pop("format")
    assert json.loads(metadata["ncps_mlx.time_scaler"]) == {"kind": "log", "scale": 30.0}
    old = {**metadata, "ncps_mlx.format": "1"}
    del old["ncps_mlx.time_scaler"]
    mx.save_safetensors(str(path), arrays, old)
    assert load(path).time_scaler is None
    for bad in ("[]", '{"kind": "log"}', '{"kind": "odd", "scale": 1}', '{"kind": "log", "scale": -1}', "{",
                '{"kind": "log", "scale": null}'):  # fmt: skip
        mx.save_safetensors(str(path), arrays, {**metadata, "ncps_mlx.time_scaler": bad})
        with pytest.raises(ValueError, match=r"model.safetensors, written by .*, has a bad configuration"):
            load(path)


# Which gap is time_delta[i]


@pytest.mark.parametrize(
    ("form", "scaler"),
    [("array", None), ("row", None), ("number", None), ("none", None), ("array", LOG), ("row", LOG), ("number", LOG)],
)
def test_time_passes_over_holes_in_a_call_as_in_a_split(form: str, scaler: TimeScaler | None) -> None:
    split = make_split(B, holes=True)
    steps = {"array": split.time_delta, "row": np.arange(T) + 1.0, "number": 2.5, "none": None}[form]
    told = None if steps is None else np.broadcast_to(np.asarray(steps, dtype=np.float32), (B, T))
    split = Split(x=split.x, y=split.y, time_delta=told, mask=split.mask)
    mask = np.array(split.mask)
    assert any(np.diff(np.flatnonzero(row)).max() > 1 for row in mask)
    for model in (build(), build(cls=LTC), build(wiring=AutoNCP(7, 1)), build(bidirectional=True)):
        model.time_scaler = scaler
        given = mx.array(steps, dtype=mx.float32) if isinstance(steps, np.ndarray) else steps
        y, _ = model(mx.array(split.x), time_delta=given, mask=mx.array(mask))
        np.testing.assert_allclose(np.array(y), predict(model, split), atol=2e-6)
        for i, row in enumerate(mask):  # the same as the readings alone, with the time between them
            rows = np.flatnonzero(row)
            own = np.ones(T) if told is None else told[i]
            passed = np.array([own[rows[0]], *(own[a + 1 : b + 1].sum() for a, b in pairwise(rows))])
            alone, _ = model(mx.array(split.x[i, rows]), time_delta=mx.array(passed, dtype=mx.float32))
            np.testing.assert_allclose(np.array(y[i]), np.array(alone), atol=2e-6)


def test_a_stream_carries_time_over_a_hole_at_its_beginning() -> None:
    model = CfC(D, 6, seed=0)
    x = mx.random.normal((B, T, D), key=mx.random.key(0))
    dt = mx.random.uniform(0.1, 2.0, (B, T), key=mx.random.key(1))
    mask = mx.array([[True, True, False, False, True, False, True]] * B)
    whole, end = model(x, time_delta=dt, mask=mask)
    first, state = model(x[:, :2], time_delta=dt[:, :2], mask=mask[:, :2])
    second, last = model(x[:, 2:], state, time_delta=dt[:, 2:], mask=mask[:, 2:])
    np.testing.assert_allclose(np.array(mx.concatenate([first, second], axis=1)), np.array(whole), atol=1e-6)
    np.testing.assert_allclose(np.array(last[0][0]), np.array(end[0][0]), atol=1e-6)


def test_long_holes_keep_their_time_to_the_last_digit() -> None:
    model, steps = CfC(1, 4, seed=0), 2001
    x, dt = mx.zeros((1, steps, 1)), mx.full((1, steps), 1.0 / 1024)
    mask = mx.arange(steps)[None] % 2000 == 0
    y, _ = model(x, time_delta=dt, mask=mask)
    alone, _ = model(x[:, :2], time_delta=mx.array([[1 / 1024, 2000 / 1024]]))
    assert mx.array_equal(y[:, -1], alone[:, -1]).item()


# Values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_delta": np.full((4, T), -5.0)}, r"split.time_delta must be at least 0, got -5.0 at index \(0, 0\)"),
        ({"time_delta": np.full((4, T), np.inf)}, r"split.time_delta must be finite, got inf at index \(0, 0\)"),
        ({"x": np.full((4, T, D), np.nan)}, "split.x must be finite, got 84 values that are not"),
        ({"x": np.full((4, T, D), 1e300)}, "split.x must be finite, got 84 values that are not"),
        ({"mask": np.arange(4)[:, None] + np.zeros(T) != 2}, r"split.mask must have a reading .* is sequence 2\)"),
        ({"x": np.zeros((0, T, D)), "y": np.zeros((0, 1)), "time_delta": np.zeros((0, T))}, "split must hold at least"),
    ],
)
def test_values_are_checked_before_a_prediction(changes: dict[str, np.ndarray], message: str) -> None:
    split = make_split(4)
    given = {name: getattr(split, name) for name in ("x", "y", "time_delta")} | changes
    with pytest.raises(ValueError, match=message):
        predict([build(), build(1)], Split(**given))


def test_targets_need_not_be_known_for_a_prediction() -> None:
    split = make_split(4)
    unknown = Split(x=split.x, y=np.full((4, 1), np.nan), time_delta=split.time_delta)
    np.testing.assert_array_equal(predict(build(), unknown), predict(build(), split))


@pytest.mark.parametrize("step", [-1.0, np.float32(-1), -1, float("nan"), float("inf"), 10**400, np.float64("inf")])
def test_numbers_are_checked_in_a_call_and_arrays_are_not(step: float) -> None:
    model, x = LTC(D, 4, seed=0), mx.ones((B, T, D))
    for call in (model, model.time_constants, lambda x, time_delta: model(x, None, time_delta, mx.ones((B, T)) > 0)):
        with pytest.raises(ValueError, match=r"time_delta must be (at least 0|a finite number), got"):
            call(x, time_delta=step)
    with pytest.raises(ValueError, match=r"time_delta must be a number or an mx.array, got ndarray; convert it with"):
        model(x, time_delta=np.full(T, -1.0))  # type: ignore[arg-type]  # what is refused
    compiled = mx.compile(lambda x, dt: model(x, time_delta=dt)[0])
    assert compiled(x, mx.full((B, T), -0.01)).shape == (B, T, 4)


def test_a_sequence_without_a_reading_keeps_its_state() -> None:
    model = CfC(D, 4, seed=0)
    x, mask = mx.ones((2, T, D)), mx.array([[True] * T, [False] * T])
    _, ((state,),) = model(x, mask=mask)
    assert mx.all(state[1] == 0).item()
    _, ((later,),) = model(x, [(state,)], mask=~mask)
    assert mx.array_equal(later[0], state[0]).item()
