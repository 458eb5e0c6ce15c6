"""Losses: members train as if alone, what was not observed counts nowhere, weights are repetitions."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from ncps_mlx import LTC, CfC, Record, Space, Split, Study, Task, evaluate, fit, load, predict

# Private: a loss on a task's targets without a training around it; losses as records hold them.
from ncps_mlx._utils.json_values import format_value
from ncps_mlx.data import Table
from ncps_mlx.losses import CrossEntropy, Huber, Loss, Quantile, as_loss
from ncps_mlx.records import refit
from ncps_mlx.training import Evaluation, find_batch_size, find_learning_rate
from ncps_mlx.training._loss_of_task import LossOfTask

T, D, H, U, O = 6, 3, 11, 13, 2

OWN = """
import mlx.core as mx

def asymmetric(outputs, targets):
    error = targets - outputs
    return mx.where(error > 0, 3 * error, -error)

def row(outputs, targets):
    return mx.square(outputs - targets).sum(axis=-1)
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The path of a file with losses of one's own."""
    (tmp_path / "own_losses.py").write_text(OWN)
    return str(tmp_path / "own_losses.py")


def asymmetric(outputs: mx.array, targets: mx.array) -> mx.array:
    error = targets - outputs
    return mx.where(error > 0, 3 * error, -error)


def with_assignment(outputs: mx.array, targets: mx.array) -> mx.array:
    """Whose gradient mx.vmap has wrong for all members but the first."""
    values = mx.abs(outputs - targets)
    values[..., 0] = 2 * values[..., 0]
    return values.at[..., -1].add(mx.square(outputs[..., -1]))


@dataclass(frozen=True)
class Gaussian(Loss):
    """Two outputs for each target."""

    floor: float = 0.05

    def outputs(self, n_targets: int) -> int:
        return 2 * n_targets

    def point(self, outputs: Any) -> Any:
        return outputs[..., : outputs.shape[-1] // 2]

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        mean, log_deviation = mx.split(outputs, 2, axis=-1)
        deviation = mx.exp(log_deviation) + self.floor
        return mx.square((targets - mean) / deviation) / 2 + mx.log(deviation)


def make_split(n: int, kind: str = "last", holes: float = 0.0, masked: bool = False, weighted: bool = False) -> Split:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, T, D))
    mask = np.arange(T) < rng.integers(1, T + 1, size=(n, 1)) if masked else None
    shape = (n, T) if kind in ("every", "step classes") else (n,)
    if kind == "every":
        y = np.tanh(np.cumsum(x, axis=1)[..., :O])
    elif kind == "last":
        y = np.tanh(x.sum(axis=1)[:, :O])
    else:
        y = ((np.cumsum(x, axis=1) if kind == "step classes" else x.sum(axis=1)).sum(axis=-1) > 0).astype(int)
    lost = rng.random(y.shape) < holes
    y = np.where(lost, np.nan if y.dtype.kind == "f" else -1, y)
    weight = rng.uniform(0, 2, size=shape) if weighted else None
    return Split(x=x, y=y, time_delta=rng.uniform(0.1, 2.0, size=(n, T)), mask=mask, weight=weight)


def make_task(kind: str = "last", **settings: Any) -> Task:
    splits = [make_split(n, kind, **settings) for n in (50, 23, 17)]
    return Task("toy", *splits, kind="classification" if kind.endswith("classes") else "regression")


def build(task: Task, seed: int = 0, loss: Any = None, cls: Any = CfC) -> Any:
    outputs = task.output_size if loss is None else as_loss(loss).outputs(task.output_size)
    settings = {"backbone_units": U} if cls is CfC else {"ode_unfolds": 1}
    return cls(**task.sizes | {"output_size": outputs}, hidden_size=H, seed=seed, **settings)


def bits(model: Any) -> bytes:
    arrays: Any = tree_flatten(model.parameters())
    return b"".join(np.array(array).tobytes() for _, array in arrays)


HALF: Any = 0.5  # no sequence
FIT: dict[str, Any] = {"steps": 8, "batch_size": 8, "evaluate_every": 4, "progress": False}


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        *[(kind, loss) for kind in ("last", "every") for loss in ("mae", Huber(0.3), Quantile(), asymmetric)],
        ("last", Gaussian()),
        ("last", with_assignment),
        ("every", lambda outputs, targets: mx.abs(outputs - targets).sum(axis=-1)),
        ("classes", CrossEntropy(class_weight="balanced", gamma=2.0)),
        ("step classes", CrossEntropy(label_smoothing=0.1)),
        ("step classes", lambda outputs, targets: nn.losses.cross_entropy(outputs, targets) ** 2),
    ],
)
@pytest.mark.parametrize("holes", [0.0, 0.4])
def test_members_equal_lone_runs_bit_for_bit(kind: str, loss: Any, holes: float) -> None:
    for_each = kind in ("every", "step classes")
    task = make_task(kind, holes=holes, masked=for_each, weighted=holes > 0)
    cls = LTC if loss == "mae" else CfC
    together = [build(task, seed, loss, cls) for seed in range(3)]
    histories = fit(together, task, loss=loss, learning_rate=[1e-3, 1e-2, 3e-2], seed=[4, 5, 6], **FIT)
    assert all(history.status == "finished" for history in histories)
    for i, rate in enumerate((1e-3, 1e-2, 3e-2)):
        alone = build(task, i, loss, cls)
        history = fit(alone, task, loss=loss, learning_rate=rate, seed=4 + i, **FIT)
        assert bits(alone) == bits(together[i])
        assert (history.train_loss, history.validation_score) == (
            histories[i].train_loss,
            histories[i].validation_score,
        )
    assert evaluate(together, task) == [evaluate(model, task) for model in together]


@pytest.mark.parametrize(("kind", "name"), [("every", "mse"), ("last", "mse"), ("classes", "cross entropy")])
def test_the_default_by_its_name_gives_the_same_bits(kind: str, name: str) -> None:
    task = make_task(kind, masked=True)
    models = [build(task), build(task)]
    for model, loss in zip(models, (None, name), strict=True):
        fit(model, task, loss=loss, **FIT)
    assert bits(models[0]) == bits(models[1])


@pytest.mark.parametrize(
    ("loss", "same"),
    [
        (Huber(0.7), lambda outputs, targets: nn.losses.huber_loss(outputs, targets, delta=0.7)),
        ("mae", lambda outputs, targets: nn.losses.l1_loss(outputs, targets, reduction="none")),
        ("huber", "mlx.nn.losses:huber_loss"),
        (Quantile((0.5,)), lambda outputs, targets: mx.abs(outputs - targets) / 2),
    ],
)
def test_a_built_in_loss_is_the_known_one(loss: Any, same: Any) -> None:
    rng = np.random.default_rng(0)
    outputs, targets = (mx.array(rng.normal(size=(5, O)).astype(np.float32)) for _ in range(2))
    np.testing.assert_allclose(as_loss(loss)(outputs, targets), as_loss(same)(outputs, targets), rtol=1e-6)


def test_focal_loss_and_smoothing_are_as_published() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(7, 4)).astype(np.float32), np.arange(7) % 4
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = p[np.arange(7), targets]
    focal = CrossEntropy(gamma=1.5)(mx.array(logits), mx.array(targets))
    np.testing.assert_allclose(focal, -((1 - own) ** 1.5) * np.log(own), rtol=1e-5)
    smooth = CrossEntropy(label_smoothing=0.2)(mx.array(logits), mx.array(targets))
    np.testing.assert_allclose(smooth, -(0.8 * np.log(own) + 0.2 * np.log(p).mean(axis=1)), rtol=1e-5)
    sure = mx.array([[40.0, -40.0]])
    gradient = mx.grad(lambda z: CrossEntropy(gamma=0.5)(z, mx.array([0])).sum())(sure)
    assert mx.isfinite(gradient).all().item()


@pytest.mark.parametrize("kind", ["last", "every"])
def test_targets_that_were_not_observed_change_nothing(kind: str) -> None:
    """Neither in training, whatever stands there, nor in the score."""
    full, holed = make_task(kind, masked=kind == "every"), make_task(kind, holes=0.4, masked=kind == "every")
    there = ~np.isnan(holed.train.y)
    loss = LossOfTask(holed, as_loss("mae"))
    targets, weights = loss.arrays()
    assert weights is not None
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=full.train.y.shape).astype(np.float32)
    value = loss.mean(mx.array(outputs)[None], targets[None], weights[None])
    if holed.train.mask is not None:
        there &= holed.train.mask[..., None]
    np.testing.assert_allclose(value.item(), np.abs(outputs - full.train.y)[there].mean(), rtol=1e-6)

    def mean_loss(out: mx.array) -> mx.array:
        return loss.mean(out[None], targets[None], weights[None]).sum()

    gradient = np.array(mx.grad(mean_loss)(mx.array(outputs)))
    assert np.isfinite(gradient).all() and ((gradient != 0) == there).all()
    error = np.abs(outputs - full.train.y)[there]
    assert holed.score(outputs, "train", metric="mae") == pytest.approx(error.mean(), rel=1e-6)
    real = np.ones(there.shape, dtype=bool) if holed.train.mask is None else holed.train.mask
    assert f"{there[real].mean():.0%} observed" in repr(holed) and "observed" not in repr(full)


def test_a_model_learns_from_targets_of_which_forty_per_cent_are_missing() -> None:
    task = make_task(holes=0.4)
    model = build(task)
    fit(model, task, steps=150, loss="huber", progress=False)
    assert evaluate(model, task) < 0.8 * task.mean_score("test")


def test_classes_at_each_step_are_learnt_where_a_fifth_has_no_label() -> None:
    task = make_task("step classes", holes=0.2, masked=True)
    assert (task.output_size, task.sizes["return_sequences"], task.classes) == (2, True, (0, 1))
    assert "labelled" in repr(task)
    model = build(task)
    fit(model, task, steps=150, learning_rate=0.02, progress=False)
    assert evaluate(model, task, metric="balanced accuracy") > 0.8
    outputs = predict(model, task.test)
    assert task.test.mask is not None
    there = (task.test.y >= 0) & task.test.mask
    assert evaluate(model, task) == np.mean(outputs.argmax(axis=-1)[there] == task.test.y[there])


def test_of_a_row_s_value_only_whole_rows_count(own: str) -> None:
    task = make_task(holes=0.4)
    loss = LossOfTask(task, as_loss(f"{own}:row"))
    targets, weights = loss.arrays()
    assert weights is not None
    outputs = mx.zeros((1, *targets.shape))
    whole = ~np.isnan(task.train.y).any(axis=1)
    expected = np.square(task.train.y[whole]).sum(axis=1).mean()
    assert loss.mean(outputs, targets[None], weights[None]).item() == pytest.approx(expected, rel=1e-6)


def test_the_tenth_quantile_covers_about_ten_per_cent() -> None:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        x = rng.normal(size=(n, 4, 1))
        return Split(x=x, y=x[:, -1] + rng.normal(size=(n, 1)))

    task = Task("noise", split(600), split(300), split(1000))
    loss = Quantile((0.1, 0.9))
    model = build(task, loss=loss)
    fit(model, task, steps=200, loss=loss, batch_size=64, progress=False)
    outputs = predict(model, task.test)
    below = (task.test.y < outputs).mean(axis=0)
    assert outputs.shape == (1000, 2) and 0.06 < below[0] < 0.15 and 0.85 < below[1] < 0.94
    assert evaluate(model, task, metric="pinball") < 0.8 * task.score(
        np.broadcast_to(np.quantile(task.train.y, (0.1, 0.9)), (1000, 2)), loss=loss, metric="pinball"
    )
    assert evaluate(model, task) == task.score(outputs[:, :1])  # 0.1 and 0.9 are equally near: the first


@pytest.mark.parametrize("kind", ["classes", "step classes"])
def test_class_weights_equal_repeated_rows(kind: str) -> None:
    task = make_task(kind)
    split = task.train
    outputs = np.random.default_rng(0).normal(size=(*split.y.shape, 2)).astype(np.float32)
    loss = LossOfTask(task, CrossEntropy(class_weight=(1, 3)))
    value = loss.mean(mx.array(outputs)[None], *(array[None] for array in loss.arrays() if array is not None))
    each = np.array(nn.losses.cross_entropy(mx.array(outputs), mx.array(split.y))).ravel()
    repeated = np.repeat(each, np.where(split.y.ravel() == 1, 3, 1))
    assert value.item() == pytest.approx(repeated.mean(), rel=1e-5)
    balanced = LossOfTask(task, CrossEntropy(class_weight="balanced")).weights
    assert balanced is not None
    totals = [balanced[split.y == number].sum() for number in (0, 1)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5) and balanced.mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("kind", ["last", "every", "classes", "step classes"])
def test_a_weight_of_0_is_as_if_a_sequence_were_not_there(kind: str) -> None:
    whole = make_task(kind)
    parts: dict[str, Any] = {name: split[5:] for name, split in whole.splits.items()}
    weighted: dict[str, Any] = {
        name: Split(x=split.x, y=split.y, time_delta=split.time_delta, weight=1.0 * (np.arange(len(split)) >= 5))
        for name, split in whole.splits.items()
    }
    tasks = [Task("toy", **splits, kind=whole.kind) for splits in (parts, weighted)]
    models = []
    for task in tasks:
        models.append(build(task))
        fit(models[-1], task, steps=4, batch_size=len(task.train), evaluate_every=4, progress=False)
    for (_, a), (_, b) in zip(*(tree_flatten(model.parameters()) for model in models), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    for split in ("train", "validation", "test"):
        scores = [evaluate(models[0], task, split) for task in tasks]
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)
        assert tasks[0].mean_score(split) == pytest.approx(tasks[1].mean_score(split), rel=1e-6)


def test_weights_and_holes_are_carried_along() -> None:
    task = make_task("every", holes=0.3, weighted=True)
    split = task.train
    assert split.weight is not None and split.weight.shape == (50, T)
    np.testing.assert_array_equal(split[3:9].weight, split.weight[3:9])
    both = split + task.validation
    assert both.weight is not None and len(both.weight) == 73
    rows = task.take(7, seed=1).train.weight
    assert rows is not None and len(rows) == 7
    folded = task.fold(1, 4)
    assert folded.validation.weight is not None and len(folded.validation) == len(folded.validation.weight)
    for form in (task.scaled_time("log"), task.without_time(), task.with_gap_as_input()):
        np.testing.assert_array_equal(form.train.weight, split.weight)
        np.testing.assert_array_equal(form.train.y, split.y)
    plain = Split(x=split.x, y=split.y, time_delta=split.time_delta)
    with pytest.raises(ValueError, match=r"weight must be given in both splits .* np\.ones\(n\)"):
        _ = split + plain
    halved = Split(x=split.x, y=split.y, time_delta=split.time_delta, weight=split.weight / 2)
    parts = [(each[:30], each[30:40], each[40:]) for each in (plain, split, halved)]
    assert len({Task("toy", *part).data_hash for part in parts}) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": np.ones(3)}, r"weight must have the shape \(4,\), got \(3,\)"),
        ({"weight": np.ones((4, T))}, r"weight must have the shape \(4,\), got \(4, 6\)"),
        ({"weight": [1, -1, 1, 1]}, "weight must be finite and at least 0, got -1 to 1"),
        ({"weight": [1, np.nan, 1, 1]}, "weight must be finite"),
        ({"weight": list("abcd")}, "weight must hold real numbers"),
        ({"y": np.full((4, T), -2)}, "y must hold classes from 0, or -1 where there is no label, got -2"),
    ],
)
def test_a_split_names_what_is_wrong_with_weights(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Split(**{"x": np.zeros((4, T, D)), "y": np.zeros((4, O))} | settings)


def test_labels_may_be_missing_whatever_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 1))
    named = Split(x=x, y=np.array(["walk", None, "run", "walk"], dtype=object))
    assert (named.y.tolist(), named.classes) == ([1, -1, 0, 1], ("run", "walk"))
    steps = Split(x=x, y=np.array([["b", "a", "b"]] * 4))
    assert steps.y.shape == (4, 3) and steps.classes == ("a", "b") and steps.every_step
    gappy = [Split(x=x + i, y=np.array([5, -1, 9, 5])) for i in range(3)]
    task = Task("gappy", *gappy, kind="classification")
    assert (task.train.y.tolist(), task.classes) == ([0, -1, 1, 0], (5, 9))
    with pytest.raises(ValueError, match=r"only class 1. Others are -1, not labelled"):
        Task("signs", *(Split(x=x + i, y=np.array([1, -1, 1, -1])) for i in range(3)), kind="classification")
    with pytest.raises(ValueError, match=r"real numbers .* y\.astype\(float\)"):
        Task("counts", *(Split(x=x + i, y=np.arange(12).reshape(4, 3)) for i in range(3)))
    nothing = Split(x=x, y=np.array([[0.0, np.nan]] * 4))
    with pytest.raises(ValueError, match=r"train\.y must hold an observed value of every target, .* y\[\.\.\., 1\]"):
        Task("one of two", nothing, nothing[:1], nothing[:1])


@pytest.mark.parametrize(
    ("kind", "loss", "message"),
    [
        ("last", "rmse", r"loss must be one of 'mse', 'mae', .* got 'rmse'\. Did you mean mse\?"),
        ("last", 3, "loss must be one of .* got 3"),
        ("last", {"name": "Huber", "width": 2}, "loss must have the settings delta, got width"),
        ("last", {"name": "Tukey"}, "loss must name a loss with settings, got 'Tukey'"),
        ("last", lambda outputs, targets: mx.square(outputs - targets).mean(), r"\(32, 2\) or \(32,\), got .*\(\)"),
        ("last", lambda outputs, targets: mx.square(outputs - targets).mean(axis=0), r"got the shape \(2,\)"),
        ("last", lambda *_: 0.0, "loss must give a value for each target, .* got float"),
        ("last", lambda outputs, targets: mx.log(outputs) * targets, "loss must give finite values .* of 64 that are"),
        ("last", "cross entropy", "loss must suit regression, as 'mse', .* got 'cross entropy'"),
        ("classes", "quantile", "loss must suit classification, as 'cross entropy' do, got 'quantile'"),
        ("classes", CrossEntropy(class_weight=(1, 2, 3)), "class_weight must be one number for each of 2 classes"),
        ("last", "quantile", r"output_size must be 6, as 'toy' has it with Quantile\(levels=.* got 2"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_training(kind: str, loss: Any, message: str) -> None:
    task = make_task(kind)
    model = build(task)
    with pytest.raises(ValueError, match=message):
        fit(model, task, loss=loss, **FIT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(0), "delta must be above 0, got 0"),
        (lambda: Quantile((0.5, 0.1)), "levels must be at least 1 number, and rise"),
        (lambda: Quantile((0.0, 0.5)), "levels must be above 0 and below 1, got 0.0"),
        (lambda: Quantile(HALF), "levels must be a flat sequence of numbers, got 0.5"),
        (lambda: Quantile(()), "levels must be at least 1 number"),
        (lambda: CrossEntropy(class_weight="equal"), "class_weight must be None, 'balanced' or a number for each"),
        (lambda: CrossEntropy(class_weight=(1, -1)), "class_weight must be at least 0, got -1"),
        (lambda: CrossEntropy(class_weight=(0, 0)), "class_weight must hold a number above 0"),
        (lambda: CrossEntropy(label_smoothing=1), "label_smoothing must be at least 0 and below 1, got 1"),
        (lambda: CrossEntropy(gamma=-1), "gamma must be at least 0 and at most 100, got -1"),
    ],
)
def test_a_loss_names_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_loss_is_written_by_its_name_and_settings(own: str) -> None:
    losses: list[Any] = ["mse", "huber", Huber(), Huber(0.3), Quantile((0.1, 0.9)), CrossEntropy((1, 2)), f"{own}:row"]
    losses += ["mlx.nn.losses:huber_loss", nn.losses.huber_loss]
    specs = [as_loss(loss).spec() for loss in losses]
    assert specs[:4] == ["mse", "huber", "huber", {"name": "Huber", "delta": 0.3}]
    assert specs[6:] == [f"{own}:row", "mlx.nn.losses:huber_loss", "mlx.nn.losses:huber_loss"]
    for spec in specs:
        assert as_loss(json.loads(json.dumps(spec))).spec() == spec


def test_a_study_varies_the_loss(tmp_path: Path, task: Task, own: str) -> None:
    space = Space(loss=["mse", Huber(0.3), Quantile((0.2, 0.8)), f"{own}:asymmetric"], learning_rate=[1e-3, 1e-2])
    assert list(space.shape) == ["loss"]
    fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 4, "batch_size": 16}
    study = Study(tmp_path / "study.db", task, space, sampler="grid", fixed=fixed).run(progress=False)
    records = [Record.from_json(record.to_json()) for record in study.records]
    assert [record.config["loss"] for record in records[::2]] == [
        "mse",
        {"delta": 0.3, "name": "Huber"},
        {"levels": (0.2, 0.8), "name": "Quantile"},
        f"{own}:asymmetric",
    ]
    assert [record.sizes["output_size"] for record in records[::2]] == [1, 1, 2, 1]
    assert f"loss {format_value(study.best.config['loss'])}" in study.summary()
    for record in records[2:7]:
        assert record.rerun(task).score == record.score
    models = refit(records, task, progress=False)
    assert evaluate(models[:4], task, "validation") == [record.score for record in records[:4]]
    assert evaluate(models[5], task, "validation") == records[5].score
    opened = Study.open(tmp_path / "study.db", task=task)
    assert repr(opened.space) == repr(space) and "Huber(delta=0.3)" in repr(space)
    alike = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid", fixed=fixed | {"loss": None})
    old = {name: value for name, value in alike.run(progress=False).records[0].config.items() if name != "loss"}
    assert replace(alike.records[0], config=old).rerun(task).score == alike.records[0].score


def test_a_study_refuses_a_loss_that_no_other_process_finds(task: Task) -> None:
    for values in ([asymmetric, "mse"], [lambda outputs, targets: outputs - targets]):
        with pytest.raises(ValueError, match=r"loss must be .* got <function .*'module:function'"):
            Space(loss=values)
    with pytest.raises(ValueError, match=r"loss must suit regression.* In the configuration loss='cross entropy'"):
        Study(None, task, Space(loss=["mse", "cross entropy"]), sampler="grid", fixed={"hidden_size": 4})
    with pytest.raises(ValueError, match="loss must be one of 'mse'"):
        Space(loss=["mse", "hubert"])
    with pytest.raises(ValueError, match="distinct, got 'huber' and 'huber'"):
        Space(loss=["huber", Huber()])


def test_a_model_keeps_its_loss(tmp_path: Path) -> None:
    task = make_task()
    for loss in (Quantile((0.3, 0.5)), "mae", None):
        model = build(task, loss=loss)
        fit(model, task, loss=loss, **FIT)
        model.save(tmp_path / "model.safetensors")
        loaded = load(tmp_path / "model.safetensors")
        assert loaded.loss == model.loss and evaluate(loaded, task) == evaluate(model, task)
    local = build(task, loss=Gaussian())
    fit(local, task, loss=Gaussian(), **FIT)
    loose = CfC(**local.config)
    with pytest.raises(ValueError, match=r"output_size must be 2, .* got 4\. If it was trained to give more, say"):
        evaluate(loose, task)
    loose.loss = Gaussian()
    assert evaluate(loose, task) > 0


def test_the_finders_take_a_loss() -> None:
    task = make_task()
    model = build(task, loss="quantile")
    found = find_learning_rate([model], task, loss="quantile", steps=20, high=0.5, batch_size=16, progress=False)
    assert np.isfinite(found.loss[0, 0])
    quick: dict[str, Any] = {"steps": 1, "repeats": 1, "smallest": 32, "tuning_steps": 2, "progress": False}
    sizes, _ = find_batch_size(model, task, loss=Quantile(), learning_rates=[1e-2], **quick)
    assert sizes[0].score is not None
    with pytest.raises(ValueError, match=r"output_size must be 2, .* got 6"):
        find_batch_size(model, task, progress=False)


@pytest.mark.filterwarnings("ignore:train.y should be standardised")
def test_what_is_worse_than_predicting_the_mean_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Targets far from 0 that were not standardised."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        x = rng.normal(size=(n, 4, 1))
        return Split(x=x, y=5000 + 100 * x[:, -1])

    task = Task("far", split(40), split(20), split(20), units="g")
    assert task.mean_score() == pytest.approx(np.std(task.validation.y - task.train.y.mean(axis=0)), rel=0.2)
    history = fit(build(task), task, **FIT | {"progress": True})
    assert history.status == "finished" and history.best_score > 4000
    assert history.reason == f"worse than predicting the mean, whose rmse is {task.mean_score():.4g}"
    assert "Are the targets standardised?" in capsys.readouterr().err
    fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 4, "batch_size": 16}
    study = Study(None, task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed=fixed).run(progress=False)
    assert "2 of 2 ended worse than predicting the mean, whose rmse is" in study.summary()
    assert "(finished: worse than predicting the mean" in str(study.records[0])
    mean, deviation = task.train.y.mean(), task.train.y.std()
    good = [Split(x=each.x, y=(each.y - mean) / deviation) for each in task.splits.values()]
    better = Task("near", *good, inverse=lambda y: y * deviation + mean)
    model = build(better)
    assert fit(model, better, steps=200, progress=False).reason is None


def test_a_checkpoint_tells_losses_apart_and_a_copy_knows_its_loss(tmp_path: Path) -> None:
    task, path = make_task(), tmp_path / "run.safetensors"
    scores = []
    model = build(task, loss=Quantile())

    def note(evaluation: Evaluation) -> None:
        scores.append(evaluate(evaluation.model(), task, "validation"))

    history = fit(model, task, loss=Quantile(), on_evaluate=note, **FIT)
    assert tuple(scores) == history.validation_score
    fit(build(task), task, loss="mae", checkpoint=path, **FIT)
    for other in ("mse", Huber(0.3), asymmetric):
        with pytest.raises(ValueError, match=r"checkpoint must be this run's, got .* of another: loss"):
            fit(build(task), task, loss=other, checkpoint=path, **FIT)
    own = tmp_path / "own.safetensors"
    local = fit(build(task), task, loss=lambda outputs, targets: mx.abs(outputs - targets), checkpoint=own, **FIT)
    assert local.step == (4, 8)


def test_a_table_is_predicted_by_the_point_of_a_model_s_loss() -> None:
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=60), "y": rng.normal(size=60)}
    task = Table(features=["a"], target="y", window=5).task(frame, metric="mae")
    model = build(task, loss=Quantile())
    fit(model, task, loss=Quantile(), **FIT | {"batch_size": 2})
    assert task.table is not None
    predicted = task.table.predict(model, frame)["y"]
    assert predicted.shape == (60,) and np.isfinite(predicted).all()
