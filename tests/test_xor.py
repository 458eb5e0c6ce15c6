"""Bit-stream XOR, a paper's table: the record is complete, the page shows it, and P = 8 is trained again."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special as scipy_special
from scipy import stats as scipy_stats

from docs.evidence import xor, xor_table
from ncps_mlx import CfC, evaluate, fit, stats
from ncps_mlx.data import bitstream_xor

ROWS: list[dict[str, Any]] = [json.loads(line) for line in xor.RECORD.read_text().splitlines()]
CASES = [(length, encoding) for encoding in xor.ENCODINGS for length in xor_table.lengths_of(encoding)]


def test_the_record_is_whole_and_sorted() -> None:
    wanted: set[tuple[object, ...]] = set()
    for each in xor.plan():
        protocol = xor.PROTOCOLS[each.length]
        place = (each.length, each.encoding, each.draw)
        if each.model == "baselines":
            wanted |= {(*place, name, None, None) for name in xor.BASELINES}
        else:
            seeds = [xor.model_seed(each.draw, seed) for seed in protocol.seeds]
            wanted |= {(*place, each.model, rate, seed) for rate in protocol.learning_rates for seed in seeds}
    keys = ("length", "encoding", "draw", "model", "learning_rate", "seed")
    found = [tuple(row.get(key) for key in keys) for row in ROWS]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert [json.dumps(row, sort_keys=True) for row in ROWS] == xor.RECORD.read_text().splitlines()
    assert sorted(ROWS, key=xor.order) == ROWS
    assert {12, 16} <= {row["length"] for row in ROWS}


def test_the_record_is_of_one_device_and_of_these_settings() -> None:
    trained = [row for row in ROWS if row["model"] not in xor.BASELINES]
    assert len({(row["device"], json.dumps(row["versions"]), row["code"]) for row in trained}) == 1
    for row in trained:
        protocol = xor.PROTOCOLS[row["length"]]
        model = xor.build(row["model"], protocol.hidden_size, row["seed"])
        assert (row["hidden_size"], row["parameters"]) == (model.hidden_size, model.parameter_count)
        assert (row["steps"], row["batch_size"]) == (protocol.steps, protocol.batch_size)
        assert row["best_step"] % protocol.evaluate_every == 0
        assert row["status"] == "diverged" or (row["best_step"] > 0 and 0 <= row["test"] <= 1)


@pytest.mark.parametrize(("length", "encoding"), CASES)
def test_the_record_is_of_these_streams(length: int, encoding: str) -> None:
    protocol = xor.PROTOCOLS[length]
    for draw in protocol.draws:
        population = xor.Population(length=length, encoding=encoding, draw=draw, model="baselines")
        task = xor.task_of(population, protocol)
        own = [
            row for row in ROWS if (row["length"], row["encoding"], row["draw"]) == (length, encoding, draw)
        ]
        assert {row["data_hash"] for row in own} == {task.data_hash}
        if draw == 10 and length == 8:
            again = {row["model"]: row["test"] for row in own if row["model"] in xor.BASELINES}
            assert task.baselines() == pytest.approx(again, abs=0.02)  # trees of another version may differ


def recomputed(length: int, encoding: str, model: str) -> tuple[list[float], tuple[float, float, float]]:
    """Test accuracies at the rate that validation chose, their mean and their interval, from the raw lines."""
    by_rate: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in ROWS:
        if (row["length"], row["encoding"], row["model"]) == (length, encoding, model):
            by_rate[row.get("learning_rate")].append(row)
    best = max(by_rate.values(), key=lambda rows: float(np.mean([row.get("validation", 0) for row in rows])))
    values = [100 * row["test"] for row in sorted(best, key=lambda row: (row["draw"], row.get("seed", 0)))]
    if len(values) == 1:
        return values, (values[0], values[0], values[0])
    mean = float(np.mean(values))
    if len(set(values)) == 1:
        return values, (mean, mean, mean)
    share, half = mean / 100, scipy_stats.sem(values) / 100 * scipy_stats.t.ppf(0.975, len(values) - 1)
    ends = scipy_special.logit(share) + np.array([-half, half]) / (share * (1 - share))  # within 0 and 100
    low, high = 100 * scipy_special.expit(ends)
    return values, (mean, float(low), float(high))


def numbers(text: str) -> list[float]:
    values = text.partition("(")[0]  # what follows says that all are equal
    return [float(part) for part in values.replace("[", "").replace("]", "").replace(",", "").split()]


@pytest.mark.parametrize("encoding", xor.ENCODINGS)
def test_the_table_is_the_record(encoding: str) -> None:
    head, *body = xor_table.scores(encoding)
    columns = [f"P = {length}" for length in xor_table.lengths_of(encoding)]
    assert head[-len(columns) :] == columns
    by_model = {line[0]: line[-len(columns) :] for line in body}
    for model in (*xor.MODELS, *xor.BASELINES):
        for length, shown in zip(xor_table.lengths_of(encoding), by_model[model], strict=True):
            _, expected = recomputed(length, encoding, model)
            got = numbers(shown)
            digits = len(shown.split()[0].partition(".")[2])
            assert got == pytest.approx(expected[: len(got)], abs=0.5001 * 10**-digits), (model, length)


@pytest.mark.parametrize(("length", "encoding"), CASES)
def test_differences_are_paired(length: int, encoding: str) -> None:
    cfc, _ = recomputed(length, encoding, "CfC")
    for other in ("boosted trees", "CfC pure"):
        scores, _ = recomputed(length, encoding, other)
        gap = np.array(cfc) - (np.array(scores) if len(scores) > 1 else scores[0])
        half = scipy_stats.sem(gap) * scipy_stats.t.ppf(0.975, len(gap) - 1)
        found = xor_table.contrast(length, encoding, "CfC", other)
        assert (found.mean, found.low, found.high) == pytest.approx(
            (gap.mean(), gap.mean() - half, gap.mean() + half)
        )
        assert found.n >= 5


@pytest.mark.parametrize(("length", "encoding"), CASES)
def test_the_default_cfc_beats_boosted_trees(length: int, encoding: str) -> None:
    assert xor_table.contrast(length, encoding, "CfC", "boosted trees").low > 0


def test_what_else_the_page_says() -> None:
    for model in (model for model in xor.MODELS if model.startswith("CfC")):
        published = float(xor_table.PUBLISHED[model].split()[0])
        assert max(np.mean(recomputed(length, "event", model)[0]) for length in xor.PROTOCOLS) < published
    for model in ("LTC", "LTC wired"):
        assert max(np.mean(recomputed(length, "event", model)[0]) for length in xor.PROTOCOLS) < 60
    assert all(min(recomputed(length, "dense", "CfC")[0]) > 99 for length in xor.PROTOCOLS)
    assert recomputed(8, "dense", "boosted trees")[1][2] < 50


def test_the_leak_is_that_of_independent_draws() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 9, (60, 400))  # P = 9
    codes = rng.integers(0, 1 << 62, sizes.shape) % (1 << sizes)
    streams = sizes * 1000 + codes
    shares = [np.isin(line[300:], line[:300]).mean() for line in streams]
    assert float(xor_table.leak("9", "300")) == pytest.approx(100 * np.mean(shares), abs=1.5)
    assert float(xor_table.leak("32", "100000")) == pytest.approx(
        36.9, abs=0.5
    )  # as counted in the paper's recipe


TINY = {
    8: replace(xor.SHORT, draws=(0, 1), n_train=60, n_validation=20, n_test=20, steps=4, evaluate_every=2),
    12: replace(xor.LONG, seeds=(0, 1), n_train=60, n_validation=20, n_test=20, steps=4, evaluate_every=2),
}


def without_seconds(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in xor.read(path)]


def test_recording_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    some = ("CfC", "LTC wired")
    done = xor.record(whole, TINY, models=some)
    assert len(done) == sum(len(each.draws) * len(each.encodings) * 3 for each in TINY.values())
    lines = whole.read_text().splitlines(keepends=True)
    text = "".join(lines[:9]) + lines[9][:50]
    cut.write_text(text)
    again = xor.record(cut, TINY, models=some)
    assert 0 < len(again) < len(done)
    assert without_seconds(cut) == without_seconds(whole)
    assert xor.record(cut, TINY, models=some) == []
    assert {asdict(each)["model"] for each in done} == {"baselines", *some}


@pytest.mark.slow
def test_the_default_cfc_beats_boosted_trees_on_new_draws() -> None:
    """Trained here and now on draws that no record has, at the recorded learning rate."""
    protocol, cfc, trees = xor.SHORT, [], []
    for draw in range(30, 36):
        task = bitstream_xor(8, n_train=protocol.n_train, n_validation=100, n_test=protocol.n_test, seed=draw)
        model = xor.build("CfC", protocol.hidden_size, draw)
        assert isinstance(model, CfC)
        fit(
            model,
            task,
            steps=protocol.steps,
            evaluate_every=protocol.evaluate_every,
            batch_size=protocol.batch_size,
            learning_rate=xor_table.chosen(8, "event", "CfC"),
            seed=draw,
            progress=False,
        )
        cfc.append(evaluate(model, task))
        trees.append(task.baselines()["boosted trees"])
    assert stats.paired(cfc, trees).low > 0, (cfc, trees)
