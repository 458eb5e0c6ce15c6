"""A record survives JSON to the last bit, builds its model, and compares fairly."""

import ast
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ncps_mlx
from ncps_mlx import AutoNCP, CfC, FullyConnected, History, Record

# Private: results that were never trained, how a value is written down, and the arrays of a model.
from ncps_mlx._trials import TrialResult, as_records, mean_scores, varied
from ncps_mlx._utils.json_values import format_value, to_json_value
from ncps_mlx.data import irregular_sines
from ncps_mlx.records import load, save, tuned, versions
from ncps_mlx.training._parameter_matrix import leaves
from ncps_mlx.wirings import Circuit, Wiring

floats = st.floats()
texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)


def example(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "trial": 3, "model": "CfC", "config": {"hidden_size": 11, "learning_rate": 0.01}, "seed": 5,
        "sizes": {"input_size": 3, "output_size": 2, "return_sequences": False}, "task": "sines",
        "data_hash": "0123456789abcdef", "metric": "rmse", "score": 0.25,
    }  # fmt: skip
    return Record(**(fields | changes))


@given(floats, floats, st.lists(floats, max_size=4), st.dictionaries(texts, values, max_size=4), texts)
@settings(deadline=None)
def test_json_round_trip_is_exact(
    score: float, best_score: float, scores: list[float], config: dict[str, Any], task: str
) -> None:
    """Also of a history that does not agree with its record, such as one whose record has a score on other data."""
    history = History(
        step=tuple(range(len(scores))),
        train_loss=tuple(reversed(scores)),
        validation_score=tuple(scores),
        best_step=0,
        best_score=math.nan if math.isnan(best_score) else best_score,
        status="stopped early",
        seconds=0.25,
    )
    score = math.nan if math.isnan(score) else score
    record = example(score=score, history=history, config=config, task=task)
    text = record.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not standard JSON"))
    again = Record.from_json(text)
    assert again == record
    assert again.to_json() == text


def test_a_record_writes_what_its_history_repeats_only_once() -> None:
    history = History(
        step=(2, 4), train_loss=(1.0, 0.5), validation_score=(0.5, 0.25), best_step=4, best_score=0.25, seconds=0.125
    )
    text = example(history=history, seconds=0.125).to_json()
    written = json.loads(text)["history"]
    assert sorted(written) == ["best_step", "step", "train_loss", "validation_score"]
    again = Record.from_json(text).history
    assert again == history and again.seconds == 0.125
    with pytest.raises(ValueError, match="got the unknown 'colour'"):
        Record.from_json(text.replace('"best_step"', '"colour": 1, "best_step"'))


def test_numpy_values_become_plain() -> None:
    record = example(config={"hidden_size": np.int64(11), "time_constant_range": [0.1, np.float64(2.0)]})
    assert record.config == {"hidden_size": 11, "time_constant_range": (0.1, 2.0)}
    assert type(record.config["hidden_size"]) is int


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "text must be the JSON of a Record, got 'nonsense'"),
        ("[1]", r"text must be the JSON of a Record, got '\[1\]'"),
        ('{"trial": 0}', "got no 'model', 'config'"),
        (example().to_json().replace('"seed"', '"sede"'), "got no 'seed'"),
        (example().to_json()[:-1] + ', "colour": 1}', "got the unknown 'colour'. A newer"),
    ],
)
def test_other_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Record.from_json(text)


@pytest.mark.parametrize("value", [math.inf, math.nan, print, {1: 2}, {"a": print}, [object()]])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="clip_norm must be None, a bool, a finite number"):
        to_json_value("clip_norm", value)


@pytest.mark.parametrize(
    ("wiring", "text"),
    [
        (AutoNCP(19, 4), "AutoNCP(19, 4)"),
        (AutoNCP(19, 4, sparsity_level=0.7, seed=3), "AutoNCP(19, 4, sparsity_level=0.7, seed=3)"),
        (FullyConnected(7), "FullyConnected(7)"),
        (FullyConnected(7, 3), "FullyConnected(7, output_size=3)"),
    ],
)
def test_a_wiring_is_labelled_by_the_call_that_makes_it(wiring: Wiring, text: str) -> None:
    assert format_value(to_json_value("wiring", wiring)) == text
    assert eval_call(text) == wiring
    assert format_value(example(config={"wiring": wiring}).config["wiring"]) == text


def eval_call(text: str) -> Wiring:
    """Read a label as Python would."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    arguments = [ast.literal_eval(item) for item in call.args]
    named = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    wiring: Wiring = getattr(ncps_mlx, call.func.id)(*arguments, **named)
    return wiring


def test_labels_tell_circuits_apart_and_need_no_class() -> None:
    sizes = [Circuit(np.roll(np.eye(9, dtype=int), k, axis=0), [[1] * 9]) for k in range(3)]
    labels = {format_value(to_json_value("wiring", circuit)) for circuit in sizes}
    assert len(labels) == 3 and max(map(len, labels)) < 80
    assert format_value({"name": "Mine", "units": 7, "mood": "calm"}) == "Mine(units=7, mood='calm')"


def test_files_hold_records(tmp_path: Path) -> None:
    records = [example(trial=0), example(trial=1, score=math.inf, status="diverged", reason="nan at step 2")]
    save(records, tmp_path / "trials.jsonl")
    assert load(tmp_path / "trials.jsonl") == records
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match=r"got line 3 of .*trials.jsonl: text must be"):
        load(tmp_path / "trials.jsonl")


def test_a_record_says_what_happened() -> None:
    failed = example(score=math.inf, status="diverged", reason="the loss became nan at step 3", units="mg/dl")
    assert failed.diverged
    assert str(failed).endswith("seed 5: rmse inf mg/dl (diverged: the loss became nan at step 3)")


def test_build_makes_the_model_it_began_with() -> None:
    built, expected = example().build(), CfC(3, 11, output_size=2, return_sequences=False, seed=5)
    assert built.config == expected.config
    for array, other in zip(leaves(built.parameters()), leaves(expected.parameters()), strict=True):
        np.testing.assert_array_equal(np.array(array), np.array(other))
    with pytest.raises(ValueError, match="sizes must hold the input_size"):
        example(sizes={}).build()


def test_rerun_refuses_other_data() -> None:
    task = irregular_sines(n_train=32, n_validation=16, n_test=16, readings=6)
    with pytest.raises(
        ValueError, match=r"task must hold the data of the record, 'sines' with hash 0123.*, got"
    ):
        example().rerun(task)
    with pytest.raises(ValueError, match="task must be scored by 'mae' as in the record, got 'rmse'"):
        example(data_hash=task.data_hash, metric="mae").rerun(task)


def test_versions_name_the_blas() -> None:
    assert versions()["blas"]


def rows(*scores: tuple[int, float, int, float], **about: Any) -> list[TrialResult]:
    return as_records(
        {"hidden_size": size, "learning_rate": rate, "seed": seed, "score": score, **about}
        for size, rate, seed, score in scores
    )


def test_means_are_over_seeds() -> None:
    runs = rows((8, 0.1, 0, 1.0), (8, 0.01, 0, 5.0), (8, 0.1, 1, 3.0), (8, 0.01, 1, math.inf))
    assert [mean for _, mean, _ in mean_scores(runs)] == [2.0, math.inf]
    assert varied(runs) == ["learning_rate"]


def test_tuned_takes_the_best_mean_for_each_value() -> None:
    scores = ((8, 0.1, 0, 1.0), (8, 0.1, 1, 9.0), (8, 0.01, 0, 4.0), (8, 0.01, 1, 4.0), (16, 0.1, 0, 7.0))
    assert [(run.config["learning_rate"], run.seed) for run in tuned(rows(*scores), "hidden_size")] == [
        (0.01, 0),
        (0.01, 1),
        (0.1, 0),
    ]
    higher = tuned(rows(*scores, higher_is_better=True), "hidden_size")
    assert [run.score for run in higher] == [1.0, 9.0, 7.0]


def test_a_lucky_seed_does_not_make_up_for_a_diverged_one() -> None:
    runs = rows((8, 0.1, 0, 0.5), (8, 0.1, 1, math.inf), (8, 0.01, 0, 4.0), (8, 0.01, 1, 4.0))
    assert {run.config["learning_rate"] for run in tuned(runs, "hidden_size")} == {0.01}


def test_grouping_names_bad_input() -> None:
    with pytest.raises(ValueError, match="records must hold at least 1 trial, got none"):
        as_records([])
    with pytest.raises(ValueError, match="records must be Records, or mappings with 'seed' and 'score'"):
        as_records([{"score": 1.0}])
    with pytest.raises(ValueError, match="names must name hyperparameters of every record, got 'colour'"):
        tuned(rows((8, 0.1, 0, 0.5)), "colour")
    with pytest.raises(ValueError, match="records must hold at least 1 record, got none"):
        tuned([], "hidden_size")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("trial", None, "trial must be an integer, got None"),
        ("trial", -1, "trial must be at least 0, got -1"),
        ("model", 3, "model must be a string, got 3"),
        ("config", [1], r"config must be a mapping by name, got \[1\]"),
        ("sizes", {"input_size": None, "x": "y"}, None),
        ("seed", "x", "seed must be an integer, got 'x'"),
        ("seed", True, "seed must be an integer, got True"),
        ("task", None, "task must be a string, got None"),
        ("data_hash", 5, "data_hash must be a string, got 5"),
        ("units", None, "units must be a string, got None"),
        ("higher_is_better", 1, "higher_is_better must be True or False, got 1"),
        ("score", "x", "score must be a number, got 'x'"),
        ("score", None, "score must be a number, got None"),
        ("score", True, "score must be a number, got True"),
        ("status", "running", "status must be one of 'finished', .* got 'running'"),
        ("reason", 3, "reason must be a string or None, got 3"),
        ("seconds", "1", "seconds must be a finite number, got '1'"),
        ("versions", [], r"versions must be a mapping by name, got \[\]"),
        ("history", {}, "history must have 'step', 'train_loss', 'validation_score', 'best_step'"),
        ("history", [], r"got the history \[\]"),
        ("history.step", 3, "step must be a sequence of numbers, got 3"),
        ("history.step", ["x"], "step must be an integer, got 'x'"),
        ("history.train_loss", [], "train_loss must have one value for each of [1-9] steps, got 0"),
        ("history.validation_score", ["x", 1.0], "validation_score must be a number, got 'x'"),
        ("history.best_step", 1.5, "best_step must be an integer, got 1.5"),
    ],
)
def test_every_field_of_a_record_is_checked(name: str, value: Any, message: str | None) -> None:
    history = History(
        step=(10, 20), train_loss=(1.0, 0.5), validation_score=(30.0, 25.0), best_step=20, best_score=25.0
    )
    values = json.loads(example(history=history).to_json())
    own = values["history"] if "." in name else values
    own[name.rpartition(".")[2]] = value
    if message is None:
        assert Record.from_json(json.dumps(values)).sizes == value
        return
    with pytest.raises(ValueError, match=f"text must be the JSON of a Record.*{message}"):
        Record.from_json(json.dumps(values))
    if "history" not in name:  # the same when it is made rather than read
        with pytest.raises(ValueError, match=message):
            replace(example(), **{name: value})
