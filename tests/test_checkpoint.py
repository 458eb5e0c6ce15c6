"""A training in a file goes on to the same bits, wherever it was killed; any other file is refused and left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from ncps_mlx import LTC, AutoNCP, CfC, Split, Task, evaluate, fit, tanh_implementation

# Private: training that pauses, and killing it between two evaluations.
from ncps_mlx._utils.progress import Progress
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._parameter_matrix import leaves
from ncps_mlx.training._trainer import PopulationTrainer

N, T, D, H, U, O = 4, 5, 3, 6, 7, 2
SHARED = {"steps": 24, "batch_size": 8, "optimizer": "adamw", "patience": 2, "evaluate_every": 3}
OWN = {
    "learning_rate": [1e-3, 1e-1, 1e-2, 2e-2],
    "weight_decay": [0.1, 0.0, 0.01, 0.0],
    "warmup_steps": [4, 0, 2, 5],
    "backbone_dropout": [0.1, 0.0, 0.3, 0.2],
    "time_scaling": ["raw", "log", "bounded", "log"],
    "initial_scale": [1.0, 0.7, 1.0, 1.2],
    "clip_norm": [1.0, None, 0.5, 1.0],
    "seed": [3, 1, 2, 0],
}


def make_task(seed=0):
    rng = np.random.default_rng(seed)
    splits = []
    for n in (41, 19, 17):
        x = rng.normal(size=(n, T, D))
        mask = np.arange(T) < rng.integers(1, T + 1, size=(n, 1))
        splits.append(
            Split(x=x, y=np.tanh(x.sum(1)[:, :O]), time_delta=rng.uniform(0.1, 2, size=(n, T)), mask=mask)
        )
    return Task("toy", *splits)


def build(count=N, **changes):
    settings = {"hidden_size": H, "backbone_units": U, **changes}
    return [CfC(D, output_size=O, return_sequences=False, seed=i, **settings) for i in range(count)]


def train(models, checkpoint=None, task=None, **changes):
    return fit(models, task or make_task(), checkpoint=checkpoint, progress=False, **SHARED | OWN | changes)


def numbers(models):
    return [np.concatenate([np.array(a).ravel() for a in leaves(model.parameters())]) for model in models]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(numbers(one), numbers(other), strict=True))


@pytest.fixture(scope="module")
def whole():
    """Models and histories of a training without a pause."""
    models = build()
    return models, train(models)


def killed(code, *arguments):
    """Run code in another process, which must be killed."""
    program = f"from tests.test_checkpoint import *\n{code}"
    folder = Path(__file__).parents[1]
    child = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], cwd=folder, check=False)
    assert child.returncode == -signal.SIGKILL


def die_at(step):
    """Let this process be killed as it is about to take a step, or while the evaluation after it is reported."""
    take = PopulationTrainer.step

    def last(self, t):
        if t == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, t)

    PopulationTrainer.step = last


def test_the_members_of_these_tests_end_in_different_ways(whole):
    histories = whole[1]
    assert {each.status for each in histories} == {"finished", "stopped early"}
    assert len({len(each.step) for each in histories}) > 2


@pytest.mark.parametrize("step", [1, 7, 16])
def test_a_killed_training_goes_on_to_the_same_bits(whole, tmp_path, step):
    path = tmp_path / "run.safetensors"
    killed("die_at(int(sys.argv[2])); train(build(), sys.argv[1])", path, step)
    models = build()
    histories = train(models, path)
    assert equal(models, whole[0]) and histories == whole[1]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["wired", "mixed memory", "half precision"])
def test_other_models_go_on_to_the_same_bits(tmp_path, kind):
    def make():
        if kind == "wired":
            wired = {"wiring": AutoNCP(7, O, seed=1), "ode_unfolds": 2, "return_sequences": False}
            return [LTC(D, seed=i, **wired) for i in range(2)]
        models = build(2, mixed_memory=True)
        for model in models if kind == "half precision" else []:
            model.set_dtype(mx.float16)
        return models

    def go(models, **more):
        settings = {"steps": 9, "batch_size": 8, "evaluate_every": 2, "learning_rate": [1e-2, 3e-2]}
        return fit(models, make_task(), progress=False, **settings, **more)

    whole = make()
    expected = go(whole)
    models, path = make(), tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        go(models, checkpoint=path, on_evaluate=interrupting_at(4))
    assert go(models, checkpoint=path) == expected and equal(models, whole)
    again = make()
    assert go(again, checkpoint=path) == expected and equal(again, whole)


def interrupting_at(step):
    def interrupt(evaluation):
        if evaluation.step == step:
            raise KeyboardInterrupt

    return interrupt


def test_a_pause_after_until_goes_on_in_new_objects(whole, tmp_path):
    """Also where the pause is not at a regular evaluation, and the trainer goes on by itself afterwards."""

    def make_trainer():
        own = MemberConfig.for_each(N, OWN)
        path = tmp_path / "run.safetensors"
        return PopulationTrainer(build(), make_task(), FitConfig(**SHARED), own, checkpoint=path)

    with Progress(1, "toy", "step", shown=False) as bar:
        make_trainer().train(bar, 1, until=6)
        second = make_trainer()
        assert second.steps_taken == 6
        second.train(bar, 1, until=3)  # behind it
        assert second.steps_taken == 6
        second.train(bar, 1, until=15)
        third = make_trainer()
        assert len(third.active) == len(second.active) < N
        third.train(bar, 1)
        second.train(bar, 1)
    assert third.histories == second.histories == whole[1]
    for trainer in (second, third):
        models = build()
        trainer.give_best(models)
        assert equal(models, whole[0])


def test_a_finished_training_gives_back_its_result(whole, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    told = []
    models = build()
    assert train(models, path, on_evaluate=told.append) == whole[1]
    count, content = len(told), path.read_bytes()
    monkeypatch.setattr(PopulationTrainer, "step", lambda *_: pytest.fail("a step was taken"))
    for again in (models, build()):  # as the training left them, and as it found them
        assert train(again, str(path), on_evaluate=told.append) == whole[1]
        assert equal(again, whole[0]) and len(told) == count
    assert path.read_bytes() == content
    assert [each.seconds for each in train(build(), path)] == [each.seconds for each in train(build(), path)]


def test_one_model_goes_on_too(tmp_path, capsys):
    path = tmp_path / "one.safetensors"
    settings = {"steps": 8, "batch_size": 8, "evaluate_every": 2}
    (whole,), (model,) = build(1), build(1)
    history = fit(whole, make_task(), progress=False, **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(model, make_task(), checkpoint=path, on_evaluate=interrupting_at(4), progress=False, **settings)
    assert fit(model, make_task(), checkpoint=path, **settings) == history
    assert "4 of 8 steps were taken before" in (bar := capsys.readouterr().err) and "8/8" in bar
    assert equal([model], [whole])


def test_what_on_evaluate_decided_before_a_kill_holds_after_it(tmp_path):
    """The evaluation that was being reported is reported again, and no other."""
    path = tmp_path / "run.safetensors"
    code = """
def decide(evaluation):
    if (evaluation.step, evaluation.member) == (9, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    return (evaluation.step, evaluation.member) == (6, 3)
train(build(), sys.argv[1], on_evaluate=decide)
"""
    killed(code, path)
    told = []
    histories = train(build(), path, on_evaluate=lambda e: told.append((e.step, e.member)))
    assert histories[3].reason == "on_evaluate returned True at step 6" and histories[3].step == (3, 6)
    assert told[:3] == [(9, 0), (9, 1), (9, 2)] and min(told[3:]) > (9, 9)


def test_what_diverged_or_stopped_stays_so(tmp_path):
    """Also where nobody is left to train, and where scores and losses are no numbers."""

    def stop(evaluation):
        return evaluation.step == 6

    rates = {"learning_rate": [1e30, 1e-2, 1e30, 1e-2]}
    expected = train(whole := build(), on_evaluate=stop, **rates)
    assert [each.status for each in expected] == ["diverged", "stopped early"] * 2
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(build(), path, on_evaluate=interrupting_at(6), **rates)
    for _ in range(2):
        assert train(models := build(), path, on_evaluate=stop, **rates) == expected
        assert equal(models, whole)


def test_a_limit_of_memory_holds_for_what_goes_on(whole, tmp_path, capsys):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(build(), path, on_evaluate=interrupting_at(6))
    models = build()
    settings = {**SHARED, **OWN, "memory_mb": 1e-6}
    assert fit(models, make_task(), checkpoint=path, **settings) == whole[1]
    assert equal(models, whole[0])
    assert "1 of 4 members at a time" in capsys.readouterr().err


# Files of others


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The file of a training that was interrupted at step 6."""
    path = tmp_path_factory.mktemp("checkpoint") / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(build(), path, on_evaluate=interrupting_at(6))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 48}, r"steps 24 instead of 48\. Delete the file to begin anew, or choose another name"),
        ({"patience": None}, "patience 2 instead of None"),
        ({"learning_rate": 0.01}, r"learning_rate \[0\.001, 0\.1, 0\.01, 0\.02\] instead of 0\.01"),
        ({"seed": 7, "schedule": "constant"}, r"schedule 'cosine' instead of 'constant'; seed \[3, 1, 2, 0\] inst"),
        ({"task": make_task(1)}, "data_hash '[0-9a-f]+' instead of '[0-9a-f]+'"),
        ({"models": build(mode="pure")}, "the models' mode 'default' instead of 'pure'"),
        ({"models": build()[::-1]}, r"the models' seed \[0, 1, 2, 3\] instead of \[3, 2, 1, 0\]"),
    ],
)
def test_another_trainings_file_is_refused(interrupted, change, message):
    content = interrupted.read_bytes()
    message = rf"checkpoint must be this run's, got .*run\.safetensors of another: .*{message}"
    with pytest.raises(ValueError, match=message):
        train(checkpoint=interrupted, **{"models": build()} | change)
    assert interrupted.read_bytes() == content


def test_other_numbers_of_models_are_refused(interrupted):
    with pytest.raises(ValueError, match=r"of another: models 4 instead of 1\. Delete"):
        fit(build(1), make_task(), checkpoint=interrupted, progress=False, **SHARED)


def test_models_with_other_parameters_are_refused(interrupted):
    models = build()
    models[1].update({"readout": {"bias": mx.ones(O)}})
    with pytest.raises(ValueError, match=r"model\[1\] must hold the parameters that the run of .* Build it as it was"):
        train(models, interrupted)


def test_models_that_read_time_otherwise_are_refused(tmp_path):
    path, task, settings = tmp_path / "run.safetensors", make_task(), {"steps": 2, "batch_size": 8, "progress": False}
    fit(build(1), task, checkpoint=path, **settings)
    model, expected = build(1)[0], build(1)[0]
    model.time_scaler = task.time_scaler("log")  # what time_scaling=None keeps
    with pytest.raises(ValueError, match=r"of another: time_scaler None instead of \{'kind': 'log'"):
        fit(model, task, checkpoint=path, **settings)
    fit(expected, task, time_scaling="log", **settings)
    fit(again := build(1)[0], task, time_scaling="log", checkpoint=tmp_path / "log.safetensors", **settings)
    fit(again, task, time_scaling="log", checkpoint=tmp_path / "log.safetensors", **settings)
    assert again.time_scaler == expected.time_scaler == model.time_scaler and equal([again], [expected])


def test_other_files_are_refused_and_left_alone(interrupted, tmp_path):
    path = tmp_path / "model.safetensors"
    build(1)[0].save(path)
    mx.save_safetensors(str(tmp_path / "other.safetensors"), {"a": mx.ones(3)})
    (tmp_path / "text.safetensors").write_text("steps: 24")
    (tmp_path / "cut.safetensors").write_bytes(interrupted.read_bytes()[:-5])
    newer = interrupted.read_bytes().replace(b'"ncps_mlx.checkpoint":"1"', b'"ncps_mlx.checkpoint":"2"')
    (tmp_path / "newer.safetensors").write_bytes(newer)
    for name, message in (
        ("model", r"checkpoint must name a file that fit wrote, or none yet, got .*: a model\."),
        ("other", r"checkpoint must name a file that fit wrote, or none yet, got .*: no checkpoint\."),
        ("text", "is not a safetensors file: .* Delete the file to begin anew"),
        ("cut", "is truncated: .* Delete the file to begin anew"),
        ("newer", "checkpoint must be of format 1, got .* of format 2"),
    ):
        path = tmp_path / f"{name}.safetensors"
        content = path.read_bytes()
        with pytest.raises(ValueError, match=message):
            train(build(), path)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (True, "checkpoint must be the path of a file, or None, got True"),
        ("", "checkpoint must be the path of a file, or None, got ''"),
        ("a\0b", r"checkpoint must be the path of a file, or None, got 'a\\x00b'"),
        (Path(), r"checkpoint must name a file, got the folder \."),
        ("/dev/zero", "checkpoint must name a file, got the device /dev/zero"),
        ("nowhere/run.safetensors", "checkpoint must lie in a folder that exists, got nowhere/run.safetensors"),
    ],
)
def test_paths_that_cannot_be_written_are_named(monkeypatch, checkpoint, message):
    monkeypatch.setattr(PopulationTrainer, "step", lambda *_: pytest.fail("a step was taken"))
    with pytest.raises(ValueError, match=message):
        train(build(), checkpoint)


def test_a_folder_that_cannot_be_written_to_costs_no_step(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PopulationTrainer, "step", lambda *_: pytest.fail("a step was taken"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="The checkpoint could not be saved"):
        train(build(), tmp_path / "run.safetensors")


def test_a_full_disk_in_training_leaves_the_best_in_the_models(monkeypatch, tmp_path):
    path, sync, count = tmp_path / "run.safetensors", os.fsync, []

    def full(descriptor):
        count.append(descriptor)
        if len(count) > 4:  # each write syncs a file and a folder
            raise OSError(28, "No space left on device")
        sync(descriptor)

    models = build()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="The checkpoint could not be saved") as error:
            train(models, path)
    for model, history in zip(models, error.value.histories, strict=True):
        assert history.status == "interrupted" and history.step == (3, 6)
        assert evaluate(model, make_task(), "validation") == history.best_score
    assert train(build(), path)[0].step[0] == 3  # what was written before is whole


def test_other_means_are_named(interrupted, tmp_path):
    path = tmp_path / "run.safetensors"
    path.write_bytes(interrupted.read_bytes())
    message = r"What .*run\.safetensors holds was trained by other means .*: tanh \w+, now mlx"
    with tanh_implementation("mlx"), pytest.warns(UserWarning, match=message) as told:
        train(build(), path)
    assert told[0].filename == __file__
    with tanh_implementation("exp2"):
        train(build(), path)  # nothing is left to compute
