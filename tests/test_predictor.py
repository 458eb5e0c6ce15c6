"""A predictor: scores with intervals, predictions of splits and tables, streams, files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import CfC, Predictor, Record, Space, Split, Study, Task, evaluate, load, predict, stats
from ncps_mlx.data import Table, irregular_sines

FIXED = {"hidden_size": 6, "backbone_units": 8, "steps": 10, "batch_size": 8, "time_scaling": "log"}


def readings(groups: int = 8, *, seed: int = 0) -> dict[str, Any]:
    """A table of irregular readings of two channels, one with holes, and of their target."""
    rng = np.random.default_rng(seed)
    frame: dict[str, list[Any]] = {name: [] for name in ("who", "hour", "pulse", "flow", "pressure")}
    for i in range(groups):
        hours = np.cumsum(rng.exponential(1.0, rng.integers(20, 40)))
        pulse = 70 + 9 * np.sin(hours / 5 + i) + rng.normal(size=hours.size)
        frame["who"] += [f"patient {i}"] * hours.size
        frame["hour"] += list(hours)
        frame["pulse"] += list(np.where(rng.random(hours.size) < 0.3, np.nan, pulse))
        frame["flow"] += list(rng.normal(size=hours.size))
        frame["pressure"] += list(120 + 15 * np.sin(hours / 5 + i))
    return {name: np.array(values) for name, values in frame.items()}


def table(horizon: int | None = None, **settings: Any) -> Table:
    return Table(
        features=["pulse", "flow"], target="pressure", time="hour", group="who", window=12, unit="h", units="mmHg",
        horizon=horizon, **settings,
    )  # fmt: skip


def trained(task: Task, seeds: Any = (0, 1, 2), **fixed: Any) -> Predictor:
    space = Space(learning_rate=[0.01])
    study = Study(None, task, space, sampler="grid", fixed=FIXED | fixed).run(progress=False)
    return study.best.train(seeds=seeds, progress=False)


@pytest.fixture(scope="module")
def frame() -> dict[str, Any]:
    return readings()


@pytest.fixture(scope="module")
def task(frame: dict[str, Any]) -> Task:
    return table().task(frame)


@pytest.fixture(scope="module")
def predictor(task: Task) -> Predictor:
    return trained(task)


def test_the_record_is_trained_with_all_its_settings(task: Task) -> None:
    study = Study(None, task, Space(learning_rate=[0.003, 0.01]), sampler="grid", fixed=FIXED).run(progress=False)
    best = study.best
    alone = best.train(task, progress=False)
    assert alone.seeds == (best.seed,) and alone.config == best.config
    assert evaluate(alone.models[0], task, "validation") == best.score
    assert alone.histories[0].best_score == best.score
    longer = best.train(seeds=[best.seed, 7], steps=20, progress=False)
    assert (longer.config["steps"], longer.histories[1].step[-1]) == (20, 20)


def test_a_record_from_elsewhere_must_be_given_its_task(task: Task) -> None:
    study = Study(None, task, Space(learning_rate=[0.01]), sampler="grid", fixed=FIXED).run(progress=False)
    read = Record.from_json(study.best.to_json())
    with pytest.raises(ValueError, match="task must be given"):
        read.train(progress=False)
    other = table().task(readings(seed=1))
    with pytest.raises(ValueError, match="task must hold the data of the record"):
        read.train(other, progress=False)
    assert read.train(task, progress=False).models[0].time_scaler == task.time_scaler("log")


def test_scores_have_intervals_over_seeds_and_over_groups(predictor: Predictor, task: Task) -> None:
    assert predictor.score(task) == stats.interval(evaluate(list(predictor.models), task))
    by_group = predictor.score(task, by="group")
    assert task.test.group is not None
    groups = np.unique(task.test.group)
    assert by_group.n == len(groups) > 1
    scores = []
    values, wanted = predictor.predict(task.test), task.to_units(task.test.y)
    for group in groups:
        rows = task.test.group == group
        error = (values - wanted)[rows]
        there = np.ones(error.shape[:2], bool) if task.test.mask is None else task.test.mask[rows]
        scores.append(np.sqrt(np.mean(error[there] ** 2)))
    assert by_group.mean == pytest.approx(np.mean(scores))


def test_it_predicts_the_mean_of_its_models_in_real_units(predictor: Predictor, task: Task) -> None:
    values, deviations = predictor.predict(task.test, spread=True)
    each = [task.to_units(outputs) for outputs in predict(list(predictor.models), task.test)]
    np.testing.assert_allclose(values, np.mean(each, axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviations, np.std(each, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(predictor.predict(task.test), values)


def test_it_predicts_a_table_like_the_one_given(predictor: Predictor, frame: dict[str, Any], task: Task) -> None:
    found = predictor.predict(frame, spread=True)
    assert list(found) == ["who", "hour", "pressure", "pressure spread"]
    assert len(found["pressure"]) == len(frame["who"])
    assert np.isfinite(found["pressure"]).all() and (found["pressure spread"] > 0).all()
    error = found["pressure"] - frame["pressure"]
    assert np.sqrt(np.mean(error**2)) < 2 * predictor.score(task).mean


def test_levels_of_a_quantile_loss_are_columns(task: Task, frame: dict[str, Any]) -> None:
    predictor = trained(task, seeds=(0, 1), loss="quantile")
    found = predictor.predict(frame, spread=True)
    assert list(found)[2:] == ["pressure", "pressure 0.1", "pressure 0.5", "pressure 0.9", "pressure spread"]
    np.testing.assert_array_equal(found["pressure"], found["pressure 0.5"])
    np.testing.assert_array_equal(found["pressure"], predictor.predict(frame)["pressure"])
    assert np.std([found["pressure 0.1"], found["pressure 0.9"]], axis=0).min() > 0


@pytest.mark.parametrize("horizon", [None, 0, 1, 3])
def test_a_stream_is_the_table_row_by_row(frame: dict[str, Any], horizon: int | None) -> None:
    task = table(horizon).task(frame)
    predictor = trained(task, seeds=(0, 1))
    wanted = predictor.predict(frame)["pressure"]
    rows = np.flatnonzero(frame["who"] == "patient 3")
    stream, compared = predictor.stream(), 0
    for i, row in enumerate(rows):
        if i == 15:  # after a restart
            stream = predictor.stream(json.loads(json.dumps(stream.state())))
        given = stream.push(frame["hour"][row], pulse=frame["pulse"][row], flow=frame["flow"][row])
        target = i + (horizon or 0)
        if horizon and target < len(rows) and i > 0:
            given = stream.predict(at=frame["hour"][rows[target]])
        if given is not None:
            # without layers in C sums are rounded otherwise in a batch of another size
            assert given["pressure"] == pytest.approx(wanted[rows[target]], rel=1e-6, abs=1e-6)
            compared += 1
    assert compared >= len(rows) - 4


def test_classes_are_told_by_their_labels_and_probabilities() -> None:
    frame = readings(20)
    frame["state"] = np.where(frame["pressure"] > 120, "high", "low")
    settings = Table(
        features=["pulse", "flow"], target="state", time="hour", group="who", window=8, horizon=0,
        kind="classification",
    )  # fmt: skip
    predictor = trained(settings.task(frame), seeds=(0, 1))
    assert predictor.classes == ("high", "low")
    found = predictor.predict(frame, spread=True)
    sure = np.isfinite(found["P(high)"])
    np.testing.assert_allclose(found["P(high)"][sure] + found["P(low)"][sure], 1)
    likelier = np.where(found["P(high)"] > found["P(low)"], "high", "low")
    assert (found["state"][sure] == likelier[sure]).all() and found["state"][0] is None
    labels, probabilities = predictor.predict(predictor_split(settings, frame), spread=True)
    assert set(labels) <= {"high", "low"} and probabilities.shape == (len(labels), 2)
    rows = np.flatnonzero(frame["who"] == "patient 3")
    stream = predictor.stream()
    told = [stream.push(frame["hour"][row], {"pulse": frame["pulse"][row], "flow": frame["flow"][row]}) for row in rows]
    assert told[0] is None
    assert [each["state"] for each in told[1:] if each is not None] == list(found["state"][rows[1:]])


def predictor_split(settings: Table, frame: dict[str, Any]) -> Split:
    return settings.task(frame).test


def test_a_file_holds_all_of_it_and_another_process_reads_it(
    predictor: Predictor, frame: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "pressure.safetensors"
    predictor.save(path)
    read = load(path)
    assert isinstance(read, Predictor)
    assert (read.seeds, read.histories, read.config) == (predictor.seeds, predictor.histories, predictor.config)
    assert repr(read) == repr(predictor)
    np.testing.assert_array_equal(read.predict(frame)["pressure"], predictor.predict(frame)["pressure"])
    code = (
        "import sys, numpy as np, ncps_mlx; p = ncps_mlx.load(sys.argv[1]); s = p.stream()\n"
        "print(repr(s.push(1.5, pulse=70.0, flow=0.5)['pressure']))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert float(run.stdout) == predictor.stream().push(1.5, pulse=70.0, flow=0.5)["pressure"]  # type: ignore[index]


def test_a_model_is_still_read_as_one(tmp_path: Path) -> None:
    CfC(3, 4, seed=0).save(tmp_path / "model.safetensors")
    assert isinstance(load(tmp_path / "model.safetensors"), CfC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format=9), "is of format 9, and this version reads 1. Upgrade ncps-mlx"),
        (lambda about: about.pop("seeds"), "holds no predictor that makes sense"),
        (lambda about: about["histories"][0].update(step="x"), "holds no predictor that makes sense"),
        (lambda about: about.update(seeds=[0, 1, 2, 3, 4]), "holds no predictor that makes sense"),
        (lambda about: about.update(table="{}"), "holds no predictor that makes sense"),
    ],
)
def test_a_changed_file_is_refused(predictor: Predictor, tmp_path: Path, change: Any, message: str) -> None:
    import mlx.core as mx

    path = tmp_path / "p.safetensors"
    predictor.save(path)
    read: Any = mx.load(str(path), return_metadata=True)
    arrays, metadata = read
    about = json.loads(metadata["ncps_mlx.predictor"])
    change(about)
    mx.save_safetensors(str(path), arrays, metadata | {"ncps_mlx.predictor": json.dumps(about)})
    with pytest.raises(ValueError, match=message):
        load(path)


def test_what_a_predictor_cannot_do_is_said(predictor: Predictor, frame: dict[str, Any], tmp_path: Path) -> None:
    sines = irregular_sines(n_train=20, n_validation=10, n_test=10, readings=8)
    bare = trained(sines, seeds=(0,))
    with pytest.raises(ValueError, match="data must be a Split to predict with a predictor of 'irregular sines'"):
        bare.predict(frame)
    with pytest.raises(ValueError, match="data must be a Split to stream"):
        bare.stream()
    with pytest.raises(ValueError, match="by must be 'seed' for 'irregular sines'"):
        bare.score(sines, by="group")
    with pytest.raises(ValueError, match="by must be 'group' for a predictor of one model"):
        bare.score(sines)
    with pytest.raises(ValueError, match="task must be a Task, got dict"):
        predictor.score(frame)  # type: ignore[arg-type]
    odd = Task("odd", sines.train, sines.validation, sines.test, inverse=lambda values: 2 * values)
    with pytest.raises(ValueError, match="inverse must be a Standardizer to be saved"):
        trained(odd, seeds=(0,)).save(tmp_path / "odd.safetensors")


def test_a_stream_refuses_what_a_table_would_and_stays_as_it_was(predictor: Predictor) -> None:
    stream = predictor.stream()
    stream.push(1.0, pulse=70.0)
    before = stream.state()
    wrong: list[tuple[float, Any, str]] = [
        (0.5, {"pulse": 70.0}, "time must be after that of the last reading"),
        (2.0, {"puls": 70.0}, "Did you mean pulse"),
        (2.0, {"pulse": "high"}, r"reading\['pulse'\] must be a finite number"),
    ]
    for time, reading, message in wrong:
        with pytest.raises(ValueError, match=message):
            stream.push(time, reading)
    assert stream.state() == before
    with pytest.raises(ValueError, match="reading must give each feature once"):
        stream.push(2.0, {"pulse": 70.0}, pulse=71.0)
    with pytest.raises(ValueError, match="horizon must be at least 1 to predict ahead"):
        stream.predict(at=3.0)
    with pytest.raises(ValueError, match="state must be what state"):
        predictor.stream({"rows": []})
