"""Records selected, put together, as a table, made of scores, and trained again."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import Record, Space, Study, evaluate, plots, stats
from ncps_mlx import records as record_tools
from ncps_mlx.data import Task, irregular_sines
from ncps_mlx.records import concat, from_scores, load, refit, save, select, table, tuned

FIXED = {"hidden_size": 4, "backbone_units": 8, "steps": 6, "evaluate_every": 3}


@pytest.fixture(scope="module")
def task() -> Task:
    return irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)


@pytest.fixture(scope="module")
def records(task: Task) -> list[Record]:
    space = Space(hidden_size=[4, 7], learning_rate=[1e-3, 1e-2], backbone_dropout=[0.0, 0.2])
    fixed = {name: value for name, value in FIXED.items() if name != "hidden_size"}
    return Study(None, task, space, sampler="grid", seeds=(0, 3), fixed=fixed).run(progress=False).records


def test_refit_ends_with_the_recorded_scores(task: Task, records: list[Record]) -> None:
    models = refit(records, task, progress=False)
    assert len(models) == len(records)
    for record, model in zip(records, models, strict=True):
        assert evaluate(model, task, "validation") == record.score


def test_refit_with_other_seeds_and_settings(task: Task, records: list[Record]) -> None:
    one, other = refit(records[:1], task, seeds=(0, 3), progress=False)
    assert evaluate(one, task, "validation") == records[0].score
    assert evaluate(other, task, "validation") == records[1].score
    (longer,) = refit(records[:1], task, steps=12, progress=False)
    assert evaluate(longer, task, "validation") != records[0].score


def test_refit_refuses_what_is_not_the_records(task: Task, records: list[Record]) -> None:
    with pytest.raises(ValueError, match="records must hold at least 1 record"):
        refit([], task)
    with pytest.raises(ValueError, match="task must hold the data of the record"):
        refit(records, task.take(40))
    with pytest.raises(ValueError, match="learnin_rate must be a hyperparameter of CfC or of fit"):
        refit(records, task, learnin_rate=0.1)
    with pytest.raises(ValueError, match="seeds must hold at least 1 seed"):
        refit(records, task, seeds=())


def test_a_record_that_lacks_a_hyperparameter_is_not_trained_again(task: Task, records: list[Record]) -> None:
    config = {name: value for name, value in records[0].config.items() if name not in ("batch_size", "schedule")}
    lacking = replace(records[0], config=config)
    message = r"got none of batch_size, schedule: .* refit\(\[record\], task, batch_size=\.\.\., \.\.\.\)"
    with pytest.raises(ValueError, match=message):
        lacking.rerun(task)
    with pytest.raises(ValueError, match=message):
        refit([records[1], lacking], task, progress=False)
    (model,) = refit([lacking], task, progress=False, batch_size=32, schedule="cosine")  # what the record had
    assert evaluate(model, task, "validation") == records[0].score


@pytest.mark.parametrize("wrong", [None, "sunspots", Task, {}])
def test_a_record_is_trained_again_on_a_task(records: list[Record], wrong: Any) -> None:
    with pytest.raises(ValueError, match="task must be a Task, the one of the record"):
        records[0].rerun(wrong)


def test_a_score_without_a_model_is_not_trained_again(task: Task) -> None:
    (record,) = from_scores({1: [0.3]}, "network", task=task)
    with pytest.raises(ValueError, match="record must name the model that was trained"):
        record.rerun(task)
    with pytest.raises(ValueError, match="record must name the model that was trained"):
        refit([record], task)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("blas", "reference BLAS", "BLAS reference BLAS, now .+"),
        ("mlx", "0.1.0", r"MLX 0\.1\.0, now [0-9.]+"),
        ("numpy", "1.0", r"NumPy 1\.0, now [0-9.]+"),
        ("ncps_mlx", "0.0.1", r"ncps-mlx 0\.0\.1, now .+"),
        ("native", "0123", r"layers in C 0123, now \w+"),
        ("device", "gpu, Darwin arm64", "device gpu, Darwin arm64, now .+"),
    ],
)
def test_a_record_trained_by_other_means_says_which(
    task: Task, records: list[Record], name: str, value: str, text: str
) -> None:
    def elsewhere(record: Record) -> Record:
        if name == "device":
            return replace(record, device=value)
        return replace(record, versions={**record.versions, name: value})

    message = f"The record was trained by other means than there are here: {text}. The last digits may differ"
    with pytest.warns(UserWarning, match=message) as told:
        elsewhere(records[0]).rerun(task)
    assert [each.filename for each in told] == [__file__]
    with pytest.warns(UserWarning, match=message) as told:
        refit([records[1], *map(elsewhere, records[:3])], task, progress=False)
    assert [each.filename for each in told] == [__file__]
    refit([elsewhere(records[0])], task, progress=False, seeds=[7])  # another training anyway: no warning


def test_what_changes_no_digit_or_is_not_told_is_no_difference(task: Task, records: list[Record]) -> None:
    other = replace(records[0], versions={**records[0].versions, "python": "3.0.0"})
    untold = replace(records[0], versions={"native": records[0].versions["native"]}, device="")
    for record in (records[0], other, untold):
        assert record.rerun(task).score == records[0].score


def test_another_blas_is_named(records: list[Record]) -> None:
    code = """
import sys, warnings
from ncps_mlx import Record
from ncps_mlx.data import irregular_sines
warnings.simplefilter("always")
record = Record.from_json(sys.argv[1])
print(record.rerun(irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)).versions["blas"])
"""
    child = subprocess.run(
        [sys.executable, "-c", code, records[0].to_json()],
        env=os.environ | {"NCPS_MLX_BLAS": "none"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    blas = child.stdout.strip()
    assert (blas != records[0].versions["blas"]) == ("UserWarning" in child.stderr)
    assert blas == records[0].versions["blas"] or f"BLAS {records[0].versions['blas']}, now {blas}" in child.stderr


def test_select_keeps_what_has_the_values(records: list[Record]) -> None:
    chosen = select(records, hidden_size=7, seed=3)
    assert len(chosen) == 4
    assert {(r.config["hidden_size"], r.seed) for r in chosen} == {(7, 3)}
    assert select(records, hidden_size=np.int64(4)) == [r for r in records if r.config["hidden_size"] == 4]
    with pytest.raises(ValueError, match=r"backbone_dropout must be one of 0\.0, 0\.2, got 0\."):
        select(records, backbone_dropout=0)
    with pytest.raises(ValueError, match=r"values must be hyperparameters of every record .* got 'hidden'"):
        select(records, hidden=4)


def test_labels_count_as_knobs_and_change_no_training(task: Task, records: list[Record], tmp_path: Any) -> None:
    more = [replace(record, score=record.score + 1) for record in records]
    both = concat({"here": records, "there": more}, "place")
    assert [record.config for record in both] == [record.config for record in (*records, *more)]
    assert len(tuned(both, "place")) == 4
    comparison = stats.compare(both, "place", "here")
    assert comparison["there"].difference is not None
    assert comparison["there"].difference.mean == pytest.approx(1.0)
    assert plots.numbers(plots.sweep(both, "hidden_size", hue="place"))["kind"] == "sweep"
    assert select(both, place="there") == both[len(records) :]
    again = both[0].rerun(task)
    assert (again.score, again.labels) == (both[0].score, {"place": "here"})
    assert refit(both[:1], task, progress=False)
    save(both, tmp_path / "both.jsonl")
    assert load(tmp_path / "both.jsonl") == both
    assert "labels" not in records[0].to_json()
    with pytest.raises(ValueError, match="name must be no hyperparameter or field of records, got 'place'"):
        concat({"again": both}, "place")
    with pytest.raises(ValueError, match=r"name must be no hyperparameter or field .* got 'hidden_size'"):
        concat({"again": both}, "hidden_size")
    with pytest.raises(ValueError, match="groups must hold at least 1 record each, got none for 'here'"):
        concat({"here": []}, "place")
    with pytest.raises(ValueError, match="groups must hold at least 1 group"):
        concat({}, "place")


def test_table_has_a_row_for_each_record(records: list[Record]) -> None:
    columns = table(concat({"here": records}, "place"))
    assert list(columns) == [
        "trial", "backbone_dropout", "hidden_size", "learning_rate", "seed", "score", "status", "seconds",
    ]  # fmt: skip
    assert columns["score"] == [record.score for record in records]
    mixed = [*records, *from_scores({"a": [1.0]}, "place")]
    assert table(mixed, "place")["place"] == [*[None] * len(records), "a"]
    with pytest.raises(ValueError, match="columns must be hyperparameters of every record"):
        table(records, "depth")
    with pytest.raises(ValueError, match="records must hold at least 1 record"):
        table([])


def test_scores_become_records(task: Task) -> None:
    found = from_scores({("a", 1): [0.1, math.nan], ("b", 1): [0.3, 0.2]}, "cell", "depth", task=task, seeds=(5, 7))
    assert [record.config for record in found[:2]] == [{"cell": "a", "depth": 1}] * 2
    assert [record.seed for record in found] == [5, 7, 5, 7]
    assert [record.status for record in found] == ["finished", "diverged", "finished", "finished"]
    assert (found[0].metric, found[0].units, found[0].task) == (task.metric, task.units, task.name)
    other = from_scores({"a": [0.5]}, "cell", task=task, metric="AUROC", higher_is_better=True)[0]
    assert (other.metric, other.units, other.higher_is_better) == ("AUROC", "", True)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: from_scores({"a": [1.0]}), "names must say what the levels are called"),
        (lambda: from_scores({}, "cell"), "scores must hold at least 1 level"),
        (lambda: from_scores({"a": [1.0]}, "cell", "depth"), "scores must have levels of 2 values"),
        (lambda: from_scores({"a": [1.0]}, "cell", seeds=(1, 2)), "seeds must be as many as the scores of 'a'"),
    ],
)
def test_scores_that_are_no_table_are_refused(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_a_task_says_what_it_decides_of_a_model(task: Task, records: list[Record]) -> None:
    assert task.sizes == records[0].sizes == {"input_size": 1, "output_size": 1, "return_sequences": False}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda study: stats.compare(study, "learning_rate", 0.1), r"got Study\. Give its records: study\.records"),
        (lambda study: refit(study, study.task), r"got Study\. Give its records: study\.records"),
        (lambda study: table(study), r"got Study\. Give its records: study\.records"),
        (lambda study: concat([study.records], "time"), "groups must map each label to its records, got list"),  # type: ignore[arg-type]  # that is the test
    ],
)
def test_a_study_in_place_of_its_records_is_named(task: Task, call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(Study(None, task, Space(learning_rate=[0.1]), sampler="grid", fixed={"hidden_size": 4}))


@pytest.mark.parametrize("wrong", [None, 3, True, "x", [3], [{}], [None]])
def test_what_holds_no_records_is_named(wrong: Any, tmp_path: Path) -> None:
    some = from_scores({4: [1.0, 2.0], 8: [2.0, 3.0]}, "hidden_size")
    anyhow: Any = record_tools  # to be called with what its types forbid
    for call in (
        lambda: anyhow.save(wrong, tmp_path / "a.jsonl"),
        lambda: anyhow.select(wrong, hidden_size=4),
        lambda: anyhow.concat({1: wrong}, "name"),
        lambda: anyhow.table(wrong),
        lambda: anyhow.tuned(wrong, "hidden_size"),
        lambda: anyhow.refit(wrong, None),
    ):
        with pytest.raises(ValueError, match=r"^(records|groups\[1\]) must be (Records|a sequence of records), got "):
            call()
    assert not list(tmp_path.iterdir())
    if not isinstance(wrong, str):
        for call, name in (
            (lambda: anyhow.save(some, wrong), "path"),
            (lambda: anyhow.load(wrong), "path"),
            (lambda: anyhow.table(some, wrong), "columns"),
            (lambda: anyhow.tuned(some, wrong), "names"),
            (lambda: anyhow.concat({1: some}, wrong), "name"),
            (lambda: anyhow.from_scores({1: [1.0]}, wrong), "names"),
            (lambda: Record.from_json(wrong), "text"),
        ):
            with pytest.raises(ValueError, match=f"^{name} must "):
                call()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [3]}, "scores must map each level to its scores, got list"),
        ({"scores": {1: 3}}, r"scores\[1\] must be a flat sequence of numbers, got 3"),
        ({"scores": {1: []}}, "scores must hold at least 1 score each, got none for 1"),
        ({"scores": {1: [None]}}, r"scores\[1\] must hold real numbers"),
        ({"seeds": 3}, "seeds must be a sequence of integers, got 3"),
        ({"seeds": ["x"]}, "seeds must be an integer, got 'x'"),
        ({"task": "sines"}, "task must be a Task or None, got str"),
        ({"higher_is_better": "x"}, "higher_is_better must be True or False, got 'x'"),
        ({"metric": 3}, "metric must be a string, got 3"),
        ({"units": []}, r"units must be a string, got \[\]"),
    ],
)
def test_scores_that_make_no_records_are_named(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"scores": {1: [1.0]}} | changes
    with pytest.raises(ValueError, match=message):
        from_scores(arguments.pop("scores"), "level", **arguments)
