"""``fit`` tells of each evaluation and stops whom it is told to; an interruption leaves the best so far."""

from __future__ import annotations

import math
import signal

import mlx.core as mx
import numpy as np
import pytest

from ncps_mlx import CfC, Space, Study, evaluate, fit
from ncps_mlx.data import Task
from ncps_mlx.training import Evaluation
from ncps_mlx.training._hyperparameters import FIT_PARAMETERS, MEMBER_PARAMETERS

# Private: interruptions in the midst of a step, and models' arrays.
from ncps_mlx.training._parameter_matrix import leaves
from ncps_mlx.training._trainer import PopulationTrainer

SETTINGS = {"steps": 20, "batch_size": 16, "evaluate_every": 4, "progress": False}


def build(count=3, **changes):
    settings = {"hidden_size": 4, "backbone_units": 5, **changes}
    return [CfC(1, output_size=1, return_sequences=False, seed=i, **settings) for i in range(count)]


def numbers(model):
    return np.concatenate([np.array(array).ravel() for array in leaves(model.parameters())])


def equal(one, other):
    return np.array_equal(numbers(one), numbers(other))


def test_every_evaluation_of_every_model_is_told(task):
    told = []
    plain = build()
    expected = fit(plain, task, **SETTINGS)
    models = build()
    histories = fit(models, task, on_evaluate=told.append, **SETTINGS)
    assert histories == expected and all(map(equal, models, plain))
    assert [(each.step, each.member) for each in told] == [(s, i) for s in (4, 8, 12, 16, 20) for i in range(3)]
    for i, history in enumerate(histories):
        own = [each for each in told if each.member == i]
        assert tuple(each.train_loss for each in own) == history.train_loss
        assert tuple(each.score for each in own) == history.validation_score
        assert own[-1].best_score == history.best_score and own[-1].seconds == history.seconds
        assert [each.step for each in own if each.improved][-1] == history.best_step
        assert [each.best_score for each in own] == list(np.minimum.accumulate(history.validation_score))
        assert {each.steps for each in own} == {20}


def test_a_model_that_is_told_to_stop_leaves_the_others_as_they_are(task):
    plain = build()
    expected = fit(plain, task, backbone_dropout=0.2, **SETTINGS)
    models = build()
    stop = lambda e: np.bool_(e.member == 1 and e.step >= 8)  # noqa: E731  # NumPy's comparisons give such ones
    histories = fit(models, task, backbone_dropout=0.2, on_evaluate=stop, **SETTINGS)
    assert histories[::2] == expected[::2] and all(map(equal, models[::2], plain[::2]))
    stopped = histories[1]
    assert (stopped.status, stopped.reason) == ("stopped early", "on_evaluate returned True at step 8")
    assert stopped.validation_score == expected[1].validation_score[:2]
    assert evaluate(models[1], task, "validation") == stopped.best_score == min(stopped.validation_score)


def test_an_end_that_has_come_anyway_stays_what_it_is(task):
    told = []

    def stop_at_the_end(evaluation):
        told.append(evaluation)
        return evaluation.step == 20 or not math.isfinite(evaluation.train_loss)

    models = build()
    diverged, finished = fit(models[:2], task, learning_rate=[1e30, 1e-2], on_evaluate=stop_at_the_end, **SETTINGS)
    assert (diverged.status, finished.status, finished.reason) == ("diverged", "finished", None)
    assert "on_evaluate" not in str(diverged.reason)
    assert [each.best_score for each in told if each.member == 0][-1] == math.inf == diverged.best_score


def test_a_model_of_an_evaluation_is_a_copy_of_the_present_one(task):
    models, copies, state = build(mode="pure"), [], mx.random.state[0].tolist()

    def keep(evaluation):
        copies.append((evaluation, evaluation.model()))

    scaling = ["raw", "log", "log"]
    fit(models, task, time_scaling=scaling, learning_rate=[1e-2, 1e-1, 3e-1], on_evaluate=keep, **SETTINGS)
    assert mx.random.state[0].tolist() == state
    for told, copy in copies:
        assert copy.config == models[told.member].config and copy is not models[told.member]
        assert copy.time_scaler == models[told.member].time_scaler
        assert evaluate(copy, task, "validation") == told.score
        with pytest.raises(RuntimeError, match=r"model\(\) must be called while on_evaluate runs"):
            told.model()
    assert any(not told.improved for told, _ in copies)
    with pytest.raises(RuntimeError, match="must be called while on_evaluate runs"):  # of one's own, for a test
        Evaluation(
            member=0, step=1, steps=2, train_loss=1.0, score=1.0, best_score=1.0, improved=True, seconds=0.1
        ).model()


@pytest.mark.parametrize(
    ("on_evaluate", "message"),
    [
        (3, "on_evaluate must be a function of an Evaluation, or None, got 3"),
        (lambda _: "stop", r"on_evaluate must return True \(to stop this model\), False or None, got 'stop'"),
        (lambda e: e.score, "on_evaluate must return True .* False or None, got"),
        (lambda _: mx.array(True), "on_evaluate must return True .* False or None, got array"),
    ],
)
def test_what_is_no_on_evaluate_is_named(task, on_evaluate, message):
    with pytest.raises(ValueError, match=message):
        fit(build(), task, on_evaluate=on_evaluate, **SETTINGS)


def test_what_watches_a_training_is_no_hyperparameter(task):
    assert not {"on_evaluate", "checkpoint"} & (FIT_PARAMETERS | MEMBER_PARAMETERS)
    for name in ("on_evaluate", "checkpoint"):
        with pytest.raises(ValueError, match=f"{name} must be a hyperparameter"):
            Study(None, task, Space(**{name: [None]}), sampler="grid")
        with pytest.raises(ValueError, match=f"{name} must be a hyperparameter"):
            Study(None, task, Space(learning_rate=[1e-2]), sampler="grid", fixed={name: None})


# Interruptions


def interrupt_in(where, monkeypatch):
    """Press Ctrl-C in the midst of the training of three models."""
    if where == "on_evaluate":
        return lambda e: signal.raise_signal(signal.SIGINT) if (e.step, e.member) == (12, 1) else None
    if where == "step":
        take = PopulationTrainer.step

        def step(self, t):
            if t == 13:
                signal.raise_signal(signal.SIGINT)
            return take(self, t)

        monkeypatch.setattr(PopulationTrainer, "step", step)
    else:
        score, calls = Task.score, []

        def slow_score(self, outputs, split="test", **settings):
            calls.append(split)
            if len(calls) == 8:  # of the second model, at step 12
                signal.raise_signal(signal.SIGINT)
            return score(self, outputs, split, **settings)

        monkeypatch.setattr(Task, "score", slow_score)
    return None


@pytest.mark.parametrize("where", ["on_evaluate", "step", "metric"])
def test_ctrl_c_leaves_the_best_so_far(task, monkeypatch, where):
    expected = fit(build(), task, time_scaling="log", **SETTINGS)
    models, steps = build(), 2 if where == "metric" else 3
    with monkeypatch.context() as patch:
        on_evaluate = interrupt_in(where, patch)
        with pytest.raises(KeyboardInterrupt) as error:
            fit(models, task, on_evaluate=on_evaluate, time_scaling="log", **SETTINGS)
    histories = error.value.histories
    assert len(histories) == 3
    for model, history, whole in zip(models, histories, expected, strict=True):
        assert history.status == "interrupted"
        assert history.reason == f"KeyboardInterrupt after the evaluation at step {4 * steps}"
        assert history.validation_score == whole.validation_score[:steps]
        assert history.best_score == min(history.validation_score) == evaluate(model, task, "validation")


def test_an_error_ends_a_training_as_ctrl_c_does(task):
    (model,) = build(1)

    def fail(evaluation):
        if evaluation.step == 8:
            raise LookupError("no such experiment")

    with pytest.raises(LookupError, match="no such experiment") as error:
        fit(model, task, on_evaluate=fail, **SETTINGS)
    (history,) = error.value.histories
    assert history.status == "interrupted" and history.reason == "LookupError after the evaluation at step 8"
    assert evaluate(model, task, "validation") == history.best_score


def test_who_had_ended_before_an_interruption_keeps_its_end(task):
    models = build()

    def decide(evaluation):
        if evaluation.step == 12:
            raise KeyboardInterrupt
        return evaluation.member == 0

    with pytest.raises(KeyboardInterrupt) as error:
        fit(models, task, learning_rate=[1e-2, 1e30, 1e-2], on_evaluate=decide, **SETTINGS)
    assert [each.status for each in error.value.histories] == ["stopped early", "diverged", "interrupted"]


def test_an_interruption_at_the_last_evaluation_finds_it_finished(task):
    def interrupt(evaluation):
        if evaluation.step == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as error:
        fit(build(), task, on_evaluate=interrupt, **SETTINGS)
    assert {each.status for each in error.value.histories} == {"finished"}


def test_an_interruption_before_any_evaluation_leaves_a_model_as_it_was(task, monkeypatch):
    models = build()
    with monkeypatch.context() as patch:
        patch.setattr(PopulationTrainer, "step", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt) as error:
            fit(models, task, initial_scale=1.5, time_scaling="log", **SETTINGS)
    assert all(map(equal, models, build())) and models[0].time_scaler is None
    for history in error.value.histories:
        assert (history.step, history.best_score) == ((), math.inf)
        assert (history.status, history.reason) == ("interrupted", "KeyboardInterrupt before any evaluation")
