"""Any module trains like the library's models: its population equals lone runs, or is computed one by one; and says."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from ncps_mlx import (
    CfC,
    Integer,
    LogUniform,
    Record,
    Space,
    Split,
    Study,
    Task,
    evaluate,
    fit,
    load,
    predict,
    save,
)
from ncps_mlx.cells._initializers import seeded
from ncps_mlx.data import irregular_sines, japanese_vowels
from ncps_mlx.records import refit
from ncps_mlx.training import Conv1d, Evaluation
from tests import own_models
from tests.own_models import LAYERS, Net, Small, adds_at, assigns, build

SHORT: dict[str, Any] = {"steps": 6, "batch_size": 8, "evaluate_every": 3}
OTHER_WAYS = {
    "Conv1d": "grad(vmap)",
    "Conv1d and CfC": "grad(vmap)",
    "at[].add": "one by one",
    "slice assignment": "grad(vmap)",
    ".item()": "one by one",
}
"""How populations of layers are computed that ``vmap(grad)`` gets wrong or refuses: faults of MLX 0.32."""


@pytest.fixture(scope="module", name="task")
def sines() -> Task:
    return irregular_sines(n_train=48, n_validation=16, n_test=16, readings=8)


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    pairs: Any = tree_flatten(model.parameters())
    return {name: np.array(array) for name, array in pairs}


@pytest.mark.parametrize("name", LAYERS)
def test_a_population_equals_lone_runs(name: str, task: Task) -> None:
    models, lone = ([build(name, seed) for seed in range(3)] for _ in range(2))
    histories = fit(models, task, seed=[0, 1, 2], learning_rate=[1e-2, 3e-3, 1e-2], progress=False, **SHORT)
    alone = [
        fit(model, task, seed=seed, learning_rate=rate, progress=False, **SHORT)
        for model, seed, rate in zip(lone, range(3), (1e-2, 3e-3, 1e-2), strict=True)
    ]
    way = OTHER_WAYS.get(name, "vmap(grad)")
    assert [each.way for each in histories] == [way] * 3 and {each.way for each in alone} == {"alone"}
    bits = way != "grad(vmap)" and name != "dilated Conv1d"
    for model, other in zip(models, lone, strict=True):
        for key, array in arrays(model).items():
            np.testing.assert_allclose(array, arrays(other)[key], rtol=0, atol=0 if bits else 1e-5, err_msg=key)
    if bits:
        assert histories == alone
    together, apart = predict(models, task.test), [predict(model, task.test) for model in lone]
    np.testing.assert_allclose(together, apart, rtol=0, atol=0 if bits else 1e-5)
    assert all(np.isfinite(each.best_score) for each in histories)


def test_dropout_drops_in_training_alone(task: Task) -> None:
    plain, dropped = (Small(1, 1, dropout=rate) for rate in (0.0, 0.5))
    dropped.update(plain.parameters())
    first = predict(dropped, task.test)
    np.testing.assert_array_equal(first, predict(plain, task.test))
    fit(plain, task, progress=False, **SHORT)
    fit(dropped, task, progress=False, **SHORT)
    assert any((arrays(plain)[name] != array).any() for name, array in arrays(dropped).items())


@pytest.mark.parametrize("settings", [{}, {"padding": 2}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"stride": 3}])
def test_the_library_s_convolution_is_mlx_s(settings: Any) -> None:
    ours, theirs = (kind(3, 4, 3, **settings) for kind in (Conv1d, nn.Conv1d))
    theirs.update(ours.parameters())
    x = mx.random.normal((2, 7, 3), key=mx.random.key(0))
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    with pytest.raises(ValueError, match="x must have at least 1 more steps for a window of 3, got 2"):
        Conv1d(3, 4, 3)(x[:, :2])


# MLX's present faults, which the library goes round: should one of these fail, MLX has mended it. Then take the layer
# out of OTHER_WAYS above, see that its population equals lone runs to the bit, and say so on the page.


def members(function: Any) -> list[float]:
    """How far ``vmap`` of a gradient is from lone ones, of each of three members."""
    h = mx.random.normal((3, 4, 5, 6), key=mx.random.key(0))
    gradient = mx.grad(lambda h: (mx.cos(mx.arange(h.size).reshape(h.shape)) * function(h)).sum())
    together = mx.vmap(gradient)(h)
    return [float(mx.abs(together[i] - gradient(h[i])).max()) for i in range(3)]


@pytest.mark.parametrize("function", [adds_at, assigns])
def test_mlx_is_silently_wrong_for_all_members_but_the_first(function: Any) -> None:
    first, *others = members(function)
    assert first == 0 and min(others) > 0.1, "mended: see the comment above"


def test_mlx_cannot_vectorize_a_convolution_of_its_weights() -> None:
    def function(weight: mx.array, x: mx.array) -> mx.array:
        return mx.conv1d(x, weight, padding=1).sum()

    x, weight = mx.ones((3, 4, 5, 6)), mx.ones((3, 7, 3, 6))
    with pytest.raises(ValueError, match="AsStrided"):
        mx.eval(mx.vmap(mx.grad(function))(weight, x))  # mended if nothing is raised: see the comment above


def test_a_fault_is_found_where_members_begin_alike(task: Task) -> None:
    """Equal parameters and data would hide what goes wrong by member, and so would parameters of zero."""
    models = [build("at[].add", 0) for _ in range(3)]
    for model in models:
        model.update(tree_map(mx.zeros_like, model.parameters()))
    assert fit(models, task, seed=0, progress=False, **SHORT)[0].way == "one by one"


def test_the_way_is_said_once_and_written_down(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    space = Space(channels=[2, 3], learning_rate=[1e-3, 1e-2])  # two populations
    study = Study(None, task, space, model=Net, sampler="grid", fixed=SHORT)
    study.run()
    assert capsys.readouterr().err.count("grad(vmap), right to ") == 1
    assert '"way": "grad(vmap)"' in study.best.to_json()
    again = Record.from_json(study.best.to_json())
    assert again == study.best and again.history is not None and again.history.way == "grad(vmap)"
    library = Study(None, task, Space(learning_rate=[1e-3]), sampler="grid", fixed={**SHORT, "hidden_size": 4})
    assert '"way"' not in library.run(progress=False).best.to_json()


# What is refused, with a cure


class Keeps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.last = mx.zeros((1,))

    def __call__(self, x: mx.array) -> mx.array:
        y = self.layer(x[:, -1])
        self.last = y.mean(axis=0)
        return y + 0 * self.last


class Counts(Keeps):
    calls = 0

    def __call__(self, x: mx.array) -> mx.array:
        self.calls += 1
        return self.layer(x[:, -1]) + 0 * self.last


class Noisy(Keeps):
    def __call__(self, x: mx.array) -> mx.array:
        y = self.layer(x[:, -1])
        return y + (mx.random.normal(y.shape) if self.training else 0) + 0 * self.last


class Shape(Keeps):
    def __call__(self, x: mx.array) -> mx.array:
        return self.layer(x) + 0 * self.last


class Closure(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.last_layer = lambda x: self.layer(x[:, -1])

    def __call__(self, x: mx.array) -> mx.array:
        return self.last_layer(x)


class Rounds(Keeps):
    def __call__(self, x: mx.array) -> mx.array:
        return self.layer(x[:, -1])[(self.last > 0).astype(mx.int32) + (self.layer.weight[0] * 1).astype(mx.int32)] * 1


class Needs(nn.Module):
    def __call__(self, x: mx.array, state: mx.array) -> mx.array:
        return state + x


def dropping_cfc() -> nn.Module:
    return own_models.Around(CfC(8, 8, backbone_units=8, backbone_dropout=0.2))


def named(name: str) -> nn.Module:
    model = Small(1, 1)
    setattr(model, name, adds_at)
    return model


def frozen() -> nn.Module:
    model = Small(1, 1)
    model.gru.freeze()
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Keeps, r"must not change in its forward pass, got Keeps, which sets last\. Compute constants"),
        (Counts, "must not change in its forward pass, got Counts, which sets calls"),
        (Noisy, r"must draw no random numbers but in nn\.Dropout, got Noisy"),
        (dropping_cfc, "which has a CfC with backbone_dropout"),
        (lambda: own_models.Around(nn.BatchNorm(8)), r"no nn\.BatchNorm, .* take nn\.LayerNorm or nn\.GroupNorm"),
        (frozen, r"must have no frozen parameters, .*; call its unfreeze\(\)"),
        (lambda: named("loss"), "must leave the attribute loss to training, which sets it, got a function"),
        (lambda: named("time_scaler"), "must leave the attribute time_scaler to training"),
        (Shape, r"must return predictions of shape \(B, 1\) for 'irregular sines', got \(B, 7, 1\) from Shape"),
        (Closure, "must compute with the parameters that its layers hold, got Closure"),
        (Needs, r"must be callable as model\(x, time_delta=..., mask=...\), got Needs\(x, state\)"),
        (lambda: nn.Linear(3, 1), r"must be callable as model\(x\) with x of shape \(3, 7, 1\), got ValueError from"),
        (nn.Module, r"must have a method __call__\(self, x, \*, time_delta=None, mask=None\)"),
    ],
)
def test_what_could_not_train_as_it_is_is_refused(make: Any, message: str, task: Task) -> None:
    model = make()
    before = dict(tree_flatten(model.parameters()))
    with pytest.raises(ValueError, match=message):
        fit(model, task, progress=False, **SHORT)
    after = dict(tree_flatten(model.parameters()))
    assert before.keys() == after.keys() and all(after[name] is before[name] for name in before)


def test_members_of_one_population_differ_in_parameters_alone(task: Task) -> None:
    def made(**more: Any) -> nn.Module:
        return own_models.Around(**more)

    for other in (made(function=adds_at), made(layer=nn.Dropout(0.3)), Small(1, 1)):
        with pytest.raises(ValueError, match=r"model\[1\] must have the shape of model\[0\], got another"):
            fit([made(layer=nn.Dropout(0.2)), other], task, progress=False, **SHORT)
    factors = [made(function=lambda h, factor=factor: factor * h) for factor in (1, 2)]
    with pytest.raises(ValueError, match="another function"):
        fit(factors, task, progress=False, **SHORT)
    same = [made(function=lambda h: 2 * h) for _ in range(2)]
    assert len(fit(same, task, progress=False, **SHORT)) == 2


def test_a_mask_must_be_taken() -> None:
    task = japanese_vowels()
    with pytest.raises(ValueError, match=r"must take mask for 'Japanese vowels', .* Add mask=None to its __call__"):
        fit(Net(task.input_size, task.output_size), task, progress=False, **SHORT)
    assert fit(Small(task.input_size, task.output_size), task, progress=False, **SHORT).status == "finished"


def test_padding_does_not_matter() -> None:
    def split(fill: float, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(20, 6, 1)), rng.normal(size=(20, 6, 1))
        mask = np.arange(6) < rng.integers(2, 7, size=(20, 1))
        return Split(x=np.where(mask[..., None], x, fill), y=y, mask=mask)

    models = [Small(1, 1, return_sequences=True) for _ in range(2)]
    models[1].update(models[0].parameters())
    for model, fill in zip(models, (0.0, 1e3), strict=True):
        fit(model, Task("padded", *(split(fill, seed) for seed in range(3))), progress=False, **SHORT)
    for name, array in arrays(models[0]).items():
        np.testing.assert_array_equal(array, arrays(models[1])[name])


def test_a_model_reads_time_as_it_was_trained(task: Task, tmp_path: Any) -> None:
    """An own model is given the scaler that it was trained with, as the library's own it: raw time goes in."""
    models = [own_models.build("CfC", seed) for seed in range(2)]
    histories = fit(models, task, time_scaling=["log", "raw"], progress=False, **SHORT)
    assert evaluate(models, task, "validation") == [history.best_score for history in histories]
    assert evaluate(models[0], task.scaled_time("log"), "validation") == histories[0].best_score
    fit(models, task, progress=False, **SHORT)  # members of two scales are of one shape, and keep them
    study = Study(None, task, Space(time_scaling=["log", "raw"]), model=Net, sampler="grid", fixed=SHORT)
    for i, model in enumerate(refit(study.run(progress=False).records, task, progress=False)):
        save(model, tmp_path / str(i))
        np.testing.assert_array_equal(predict(load(tmp_path / str(i)), task.test), predict(model, task.test))


@pytest.mark.parametrize("name", ["GRU", "Dropout", "slice assignment", ".item()"])
def test_training_goes_on_from_a_checkpoint(name: str, task: Task, tmp_path: Any) -> None:
    def train(models: list[nn.Module], **more: Any) -> Any:
        return fit(models, task, seed=[0, 1, 2], progress=False, **SHORT, **more)

    def stop(evaluation: Evaluation) -> None:
        for key, array in arrays(evaluation.model()).items():
            assert array.shape == arrays(models[0])[key].shape
        raise KeyboardInterrupt

    models, whole = ([build(name, seed) for seed in range(3)] for _ in range(2))
    histories = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(models, checkpoint=tmp_path / "run", on_evaluate=stop)
    assert train(models, checkpoint=tmp_path / "run") == histories
    for model, other in zip(models, whole, strict=True):
        for key, array in arrays(model).items():
            np.testing.assert_array_equal(array, arrays(other)[key])
    with pytest.raises(ValueError, match=r"checkpoint must be this run's, got .* the models' arrays"):
        train([build("LSTM", seed) for seed in range(3)], checkpoint=tmp_path / "run")


def squared_at(outputs: mx.array, targets: mx.array) -> mx.array:
    """A loss in which MLX's vmap adds in the wrong place."""
    return mx.square(outputs - targets).at[0].add(1.0)


@pytest.mark.parametrize("loss", ["mae", "quantile", squared_at])
def test_losses_of_all_kinds(loss: Any, task: Task, tmp_path: Any) -> None:
    outputs = 3 if loss == "quantile" else 1
    models, lone = ([Small(1, outputs, width=3) for _ in range(3)] for _ in range(2))
    for model, other in zip(models, lone, strict=True):
        other.update(model.parameters())
    histories = fit(models, task, loss=loss, seed=[0, 1, 2], progress=False, **SHORT)
    for i, other in enumerate(lone):
        assert fit(other, task, loss=loss, seed=i, progress=False, **SHORT) == histories[i]
        for key, array in arrays(other).items():
            np.testing.assert_array_equal(array, arrays(models[i])[key])
    assert evaluate(models, task, "validation") == [history.best_score for history in histories]
    if loss == "quantile":
        save(models[0], tmp_path / "own", {"input_size": 1, "output_size": 3, "width": 3})
        assert evaluate(load(tmp_path / "own"), task) == evaluate(models[0], task)
        study = Study(None, task, Space(width=[2]), model=Small, sampler="grid", fixed={**SHORT, "loss": loss})
        (record,) = study.run(progress=False).records
        assert record.rerun(task).score == record.score


# Studies, records, files


def test_a_study_of_an_own_model(task: Task, tmp_path: Any) -> None:
    space = Space(channels=[2, 4], hidden=Integer(4, 6), learning_rate=LogUniform(1e-3, 1e-1))
    settings: dict[str, Any] = {"trials": 4, "draws_per_shape": 2, "seeds": (0, 1), "fixed": {**SHORT, "steps": 3}}
    stored = Study(tmp_path / "own.db", task, space, model=Net, **settings)
    stored.run(max_trials=3, progress=False)
    again = Study.open(tmp_path / "own.db").run(progress=False)
    memory = Study(None, task, space, model="tests.own_models:Net", population_size=1, **settings).run(progress=False)
    assert {record.model for record in [*again.records, *memory.records]} == {"tests.own_models:Net"}
    np.testing.assert_allclose(
        [record.score for record in again.records], [record.score for record in memory.records], rtol=1e-4
    )
    best = again.best
    assert best.config.keys() >= {"channels", "hidden", "learning_rate"} and "backbone_dropout" not in best.config
    np.testing.assert_allclose(best.rerun(task).score, best.score, rtol=1e-4)
    (model,) = refit([best], task, progress=False)
    np.testing.assert_allclose(evaluate(model, task, "validation"), best.score, rtol=1e-4)
    save(model, tmp_path / "own")
    loaded = load(tmp_path / "own")
    np.testing.assert_array_equal(predict(loaded, task.test), predict(model, task.test))


def test_the_seed_decides_the_parameters_and_the_stream_stays(task: Task) -> None:
    study = Study(None, task, Space(learning_rate=[1e-2]), model=Small, sampler="grid", seeds=(3, 4), fixed=SHORT)
    state: Any = mx.random.state
    before = state[0].tolist()
    study.run(progress=False)
    state = mx.random.state
    assert state[0].tolist() == before
    first, second = (record.build() for record in study.records)
    assert (arrays(first)["readout.weight"] != arrays(second)["readout.weight"]).any()
    with seeded(3):
        want = Small(1, 1)
    for name, array in arrays(want).items():
        np.testing.assert_array_equal(arrays(first)[name], array)


def test_a_model_in_a_file_and_its_worker(task: Task, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from __future__ import annotations\nimport mlx.core as mx\nimport mlx.nn as nn\n\n" + inspect.getsource(Small)
        + "\n"
    )
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text().replace("Any", "object"))
    study = Study("own.db", task, Space(width=[2, 3]), model="net.py:Small", sampler="grid", fixed=SHORT)
    study.run(max_trials=1, progress=False)
    subprocess.run(
        [sys.executable, "-m", "ncps_mlx", "worker", "own.db", "study"], check=True, timeout=120, capture_output=True
    )
    assert sorted(record.config["width"] for record in study.records) == [2, 3]
    save(study.best.build(), "own")
    assert type(load("own")) is type(study.best.build())  # its file has been imported already


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constructor("width=3"), "must take input_size by name"),
        (lambda: type("Net", (nn.Module,), {}), "must be the class of its name, got another than tests.test_own_mod"),
        (lambda: constructor("input_size, output_size, *, seed=0"), "must take no seed"),
        (lambda: constructor("input_size, output_size, width"), "must have a default for its argument width"),
        (lambda: constructor("input_size, output_size, *, act=print"), "act must be .* A default of Own is written"),
        (lambda: constructor("input_size, output_size, *, steps=3"), "steps must be another name in the constructor"),
        (lambda: "tests.own_models:Nothing", "must name a class of mlx.nn.Module, .* has no class of that name"),
        (lambda: "tests.own_models:build", "must name a class of mlx.nn.Module, .* has a function"),
        (lambda: "Cfc", r"must be CfC, LTC, GRU, LSTM or a class of your own .*, got 'Cfc'\. Did you mean CfC"),
        (lambda: Small(1, 1), "model must be CfC, .*, got a Small, which is built"),
        (lambda: 3, "model must be CfC, .*, got 3"),
    ],
)
def test_a_class_that_a_study_cannot_build_is_refused(make: Any, message: str, task: Task) -> None:
    with pytest.raises(ValueError, match=message):
        Study(None, task, Space(learning_rate=[1e-2]), model=make(), sampler="grid", fixed=SHORT)


def constructor(signature: str) -> Any:
    """A class with this constructor."""
    space: dict[str, Any] = {"nn": nn}
    exec(f"class Own(nn.Module):\n    def __init__(self, {signature}):\n        super().__init__()\n", space)
    return space["Own"]


def test_a_class_draws_from_mlx_alone(task: Task) -> None:
    class Drawn(Small):
        def __init__(self, input_size: int, output_size: int, *, width: int = 3) -> None:
            super().__init__(input_size, output_size, width=width)
            self.readout.bias = mx.array(np.random.default_rng().normal(size=output_size).astype(np.float32))

    with pytest.raises(ValueError, match=r"must draw from mx\.random alone .* readout\.bias is another each time"):
        Study(None, task, Space(width=[2]), model=Drawn, sampler="grid", fixed=SHORT)


def test_names_are_checked_by_the_study(task: Task) -> None:
    with pytest.raises(ValueError, match=r"chanels must be a hyperparameter .*\. Did you mean channels"):
        Study(None, task, Space(chanels=[2]), model=Net, sampler="grid", fixed=SHORT)
    with pytest.raises(ValueError, match="hidden must be a hyperparameter of CfC or of fit"):
        Study(None, task, Space(hidden=[2]), sampler="grid", fixed=SHORT)
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        Space(learning_rate=[-1.0])


def test_a_class_that_only_this_process_knows_stays_in_memory(task: Task, tmp_path: Any) -> None:
    class Local(Small):
        pass

    study = Study(None, task, Space(width=[2, 3]), model=Local, sampler="grid", fixed=SHORT).run(progress=False)
    assert study.best.rerun(task).score == study.best.score
    with pytest.raises(ValueError, match="must be a class that another process can import for a study in a storage"):
        Study(tmp_path / "local.db", task, Space(width=[2]), model=Local, sampler="grid", fixed=SHORT)
    assert not (tmp_path / "local.db").exists()
    (model,) = refit([study.best], task, progress=False)
    with pytest.raises(ValueError, match="must be of a class at the top of a module to be found again"):
        save(model, tmp_path / "local")


def test_a_file_says_what_a_model_was_built_with(tmp_path: Any) -> None:
    model = Small(1, 2, width=3)
    with pytest.raises(ValueError, match=r"arguments must say what Small was built with, got None: save\(model, path"):
        save(model, tmp_path / "own")
    with pytest.raises(ValueError, match=r"arguments must make an equal Small, got .*, which make another dropout"):
        save(model, tmp_path / "own", {"input_size": 1, "output_size": 2, "width": 3, "dropout": 0.1})
    save(model, tmp_path / "own", {"input_size": 1, "output_size": 2, "width": 3})
    for name, array in arrays(load(tmp_path / "own")).items():
        np.testing.assert_array_equal(array, arrays(model)[name])


def test_loading_runs_no_code_that_is_not_trusted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = inspect.getsource(Small).replace("Any", "object")
    (tmp_path / "away.py").write_text(f"import mlx.core as mx\nimport mlx.nn as nn\nprint('executed')\n{source}")
    program = "import sys; from ncps_mlx import load; load('own', *sys.argv[1:])"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    sizes = {"input_size": 1, "output_size": 2}
    saving = f"import away; from ncps_mlx import save; save(away.Small(1, 2), 'own', {sizes})"
    subprocess.run([sys.executable, "-c", saving], check=False, timeout=60)
    refused = run()
    assert "Import it first, or load(path, trust='away')" in refused.stderr and not refused.stdout
    assert "trust must name 'away'" in run("other").stderr
    trusted = run("away")
    # Not the exit status: MLX 0.32 sometimes aborts a process at its very end.
    assert trusted.stdout == "executed\n" and "Traceback" not in trusted.stderr, trusted.stderr
