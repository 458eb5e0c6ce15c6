"""What a build is checked for: its error rates, and that what is broken on purpose alarms at its claim."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import combinations, count
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scipy import stats as reference

from ncps_mlx import claims, plots, stats
from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.against_record import CLAIMS, LEVEL, level_of
from ncps_mlx._evidence.build_check import check_in, checked_parts, trained_parts
from ncps_mlx._evidence.placebo import placebo
from ncps_mlx._evidence.record import read_record, record_folder
from ncps_mlx._evidence.registry import Part
from ncps_mlx.cells._cfc import CfCCell
from ncps_mlx.cells._stack import run_stack
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.stats._rank_sum import rank_sum, smallest_rank_sum
from ncps_mlx.training._optimizers import schedule_factors
from tests.evidence_pool import POOL, tiny_pool, write_docs

ROOT = Path(__file__).parents[1]
BUILD, RECORD = 5, 30  # seeds


# The test of ranks


@pytest.mark.parametrize("sizes", [(5, 30), (3, 8), (1, 4)])
def test_without_equal_values_it_is_scipys_exact_test(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for shift in (0.0, 1.0, 2.0, 9.0):
        a, b = rng.normal(shift, 1, sizes[0]), rng.normal(0, 1, sizes[1])
        wanted = reference.mannwhitneyu(a, b, alternative="two-sided", method="exact").pvalue
        assert rank_sum(a, b) == pytest.approx(wanted, rel=1e-9)
        assert rank_sum(-a, -b) == pytest.approx(wanted, rel=1e-9)


def test_with_equal_values_it_is_the_permutation_test() -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        a, b = rng.integers(0, 4, 3) / 8, rng.integers(1, 5, 7) / 8

        def ranks(x: Any, y: Any, axis: int) -> Any:
            joined = np.concatenate([x, y], axis=axis)
            return reference.rankdata(joined, axis=axis)[..., : x.shape[-1]].sum(axis=-1)

        exact = reference.permutation_test((a, b), ranks, vectorized=True, n_resamples=np.inf, axis=-1)
        assert rank_sum(a, b) == pytest.approx(exact.pvalue, rel=1e-9)
    assert rank_sum([0.5] * 5, [0.5] * 30) == 1.0


def test_a_training_that_diverged_is_the_last() -> None:
    apart = rank_sum([-math.inf] * 5, range(30))
    assert apart == smallest_rank_sum(5, 30) == 2 / math.comb(35, 5) == pytest.approx(6.2e-6, rel=0.01)
    assert rank_sum([-math.inf, 0, 1, 2, 3], [-math.inf, *range(4)]) > 0.5
    with pytest.raises(ValueError, match="must hold numbers"):
        rank_sum([math.nan], [1.0])


# Its error rates


@pytest.fixture(scope="module")
def parts() -> Mapping[str, list[Part]]:
    record = read_record()
    for claim in record.registry.values():
        assert len({pool.name for _, pool in trained_parts(claim, record.pools)}) < 2, "a check takes one pool"
    found = {name: checked_parts(claim, record.pools) for name, claim in record.registry.items()}
    return {name: each for name, each in found.items() if each}


def p_values(values: Any) -> Any:
    """p of the first five of each row (..., 35)."""
    sums = (values.argsort(-1).argsort(-1)[..., :BUILD] + 1).sum(-1)
    return np.vectorize(p_of_sum)(sums)


@cache
def p_of_sum(total: int) -> float:
    """p of five ranks of 35 with this sum."""
    ranks, left = list(range(1, BUILD + 1)), total - BUILD * (BUILD + 1) // 2
    for i in reversed(range(BUILD)):
        moved = min(left, RECORD)
        ranks[i], left = ranks[i] + moved, left - moved
    return rank_sum(ranks, sorted({*range(1, BUILD + RECORD + 1)} - {*ranks}))


def test_every_claim_can_alarm(parts: Mapping[str, list[Part]]) -> None:
    assert len(parts) > 20
    for each in parts.values():
        assert smallest_rank_sum(BUILD, RECORD) < level_of(each)


def test_thirty_unbroken_builds_raise_no_alarm() -> None:
    level = LEVEL / CLAIMS / 3  # of claims with three comparisons each
    values = np.random.default_rng(0).normal(size=(30, CLAIMS * 3, BUILD + RECORD))
    assert not (p_values(values) < level).any()


def test_builds_alarm_as_often_as_is_said(parts: Mapping[str, list[Part]]) -> None:
    """In .6 to .9 % of builds of 55 claims with two or three comparisons each, and in fewer of those that are."""
    choices = np.fromiter((sum(each) for each in combinations(range(1, 36), BUILD)), dtype=np.int64)
    p = np.array([p_of_sum(total) for total in range(15, choices.max() + 1)])[choices - 15]

    def rate(levels: list[float]) -> float:
        """Share of builds in which any comparison at these levels alarms, if they are independent."""
        return float(1 - np.prod([1 - (p < level).mean() for level in levels]))

    for comparisons in (2, 3):
        assert 0.006 < rate([LEVEL / CLAIMS / comparisons] * comparisons * CLAIMS) < 0.009
    assert rate([level_of(each) for each in parts.values() for part in each for _ in part.tasks]) < 0.009


@pytest.mark.parametrize(("comparisons", "caught"), [(1, 0.88), (3, 0.75), (6, 0.67)])
def test_how_often_a_reversal_of_three_deviations_is_caught(comparisons: int, caught: float) -> None:
    values = np.random.default_rng(comparisons).normal(size=(8000, BUILD + RECORD))
    values[:, :BUILD] += 3
    assert (p_values(values) < LEVEL / CLAIMS / comparisons).mean() == pytest.approx(caught, abs=0.015)


# What it says


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pool with as many seeds as a build is compared with."""
    docs = write_docs(tmp_path_factory.mktemp("check") / "docs")
    pool = docs / "evidence" / "pools" / "tiny.toml"
    pool.write_text(POOL.replace("short = 3", f"short = {RECORD}"))
    assert main(["tiny", "--budget=short", f"--docs={docs}"]) == 0
    return docs


def test_an_unbroken_build_is_as_recorded(tiny: Path) -> None:
    checked = check_in(tiny, "wider")
    assert checked.alarms == [] and checked.require() is checked
    test, few = checked.comparisons
    assert (test.recorded.part.name, few.recorded.part.name) == ("test", "few")
    for each in (test, few):
        assert [seed for seed, *_ in each.now.pairs] == list(range(200, 205))
        assert [seed for seed, *_ in each.recorded.contrast.pairs] == list(range(100, 100 + RECORD))
    (bits,) = checked.placebos
    assert (bits.pairs, bits.alike, bits.is_repeatable) == (3, [], True)  # wide, narrow, few
    text = str(checked)
    assert text.startswith("wider: Wider is better.\n") and "short, recorded" in text.splitlines()[2]
    assert "short budget, seeds 200, 201, 202, 203, 204 against 30 recorded" in text
    assert text.endswith("as recorded: no p is below 9e-05") and "3 pairs of levels" in text
    scores = {(row["seed"], row["level"]): row["score"] for row in checked.rows("sines")}
    assert test.now.pairs == [(seed, scores[seed, "wide"], scores[seed, "narrow"]) for seed in range(200, 205)]


def test_its_trials_are_drawn_beside_the_recorded_ones(tiny: Path) -> None:
    rows = check_in(tiny, "wider").rows("sines")
    figure = plots.sweep(rows, "level", hue="trials", split="test")
    drawn = {(row["x"], row["trials"]): row["n"] for row in plots.numbers(figure)["summary"]}
    assert drawn["wide", "short, recorded"] == RECORD and drawn["wide", "short, this build"] == BUILD
    assert {row["hidden_size"] for row in rows if row["level"] == "wide"} == {7}
    with pytest.raises(ValueError, match="task must be one of 'sines'"):
        check_in(tiny, "wider").rows("vowels")


def test_its_figure_has_every_pair_and_the_means(tiny: Path) -> None:
    checked = check_in(tiny, "wider", parts=["test", "best"])
    figure = checked.figure()
    values = plots.numbers(figure)
    assert [axes.get_title("left") for axes in figure.axes] == ["test", "best"]
    means = {(row["part"], row["trials"]): row for row in values["summary"]}
    for each in checked.comparisons:
        for trials, contrast in (("recorded", each.recorded.contrast), ("this build", each.now)):
            row = means[each.recorded.part.name, f"short, {trials}"]
            wanted = stats.interval(contrast.differences(each.recorded.part.deltas["sines"]))
            assert (row["n"], row["mean"]) == (wanted.n, pytest.approx(wanted.mean))
            assert f"{each.recorded.part.name}, sines, short, {trials}: {wanted}" in plots.alt_text(figure)
    markers = [line.get_marker() for line in figure.axes[0].get_lines() if np.size(line.get_xdata()) > 1]
    assert len(set(markers) - {"None"}) > 1  # not by colour alone
    plots.alt_text(checked.figure(["best"]))
    with pytest.raises(ValueError, match="parts must be of the claim's, 'test', 'best', got 'few'"):
        checked.figure(["few"])


def test_the_record_alone_is_told_without_training(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncps_mlx._evidence.tuned.train", None)
    told = check_in(tiny, "wider", seeds=None, parts=["test", "few", "best"])
    assert not told.comparisons and not told.alarms and told.seeds == ()
    assert {row["trials"] for row in told.differences()} == {"short, recorded"}
    assert told.findings["test", "short"] in str(told) and "this build" not in str(told)
    assert told.verdicts["long"] == "not measured"
    search = claims.check("random-efficient", seeds=None, tasks=["glucose"])
    assert {row["part"] for row in search.differences()} == {"four hyperparameters", "six hyperparameters"}
    assert {row["level"] for row in search.rows("glucose")} == {"random_16", "grid_4", "random_6", "grid_6"}


def test_comparisons_with_opponents_are_told_and_checked_like_claims() -> None:
    told = claims.check("opponents-glucose", seeds=None)
    assert told.findings["ridge", "long"] == "larger" and not told.verdicts
    with pytest.raises(ValueError, match="seeds must be more than 5, which against 10 recorded ones"):
        claims.check("opponents-glucose", seeds=range(200, 205))


@pytest.mark.parametrize(
    ("claim", "seeds", "message"),
    [
        ("validate-cv", range(200, 205), "seeds must be more than 5, which against 10 recorded ones"),
        ("validate-cv", range(200, 220, 2), "seeds must follow one another in the pool splits"),
        ("random-efficient", [*range(200, 209), 300], "seeds must follow one another in the pool search"),
        ("random-efficient", range(100, 110), "seeds must be different ones that the record does not have"),
        ("validate-metrics", range(200, 210), "claim must be one of which a few seeds can be trained.* seeds=None"),
    ],
)
def test_whole_searches_and_folds_want_enough_seeds_in_a_row(claim: str, seeds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claims.check(claim, tasks=["sunspots"], seeds=seeds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "wilder"}, "claim must be the id of one, got 'wilder'. Did you mean wider?"),
        ({"name": "shown"}, "claim must be a measured one, got 'shown', which is shown."),
        ({"parts": ["tset"]}, "parts must be of the claim's, 'test', 'few', 'best', got 'tset'"),
        ({"parts": []}, "parts must be of the claim's, 'test', 'few', 'best', got ''"),
        ({"tasks": ["vowels"]}, "tasks must be of the claim's, sines, got 'vowels'"),
        ({"tasks": []}, "tasks must be of the claim's, sines, got ''"),
        ({"budget": "medium"}, "budget must be one of 'short', 'long'"),
        ({"budget": "long"}, "The record must hold wider at the long budget, got nothing of 'test' on sines. Train it"),
        ({"seeds": range(198, 200)}, "seeds must be more than 2, which against 30 recorded ones give no p below 9e-05"),
        ({"seeds": []}, "seeds must be more than 0"),
        ({"seeds": range(125, 130)}, "seeds must be different ones that the record does not have"),
        ({"seeds": [200] * 5}, "seeds must be different ones"),
        ({"seeds": "200"}, "seeds must be a sequence of integers"),
    ],
)
def test_what_cannot_be_checked_is_refused(tiny: Path, arguments: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_in(tiny, **{"name": "wider"} | dict(arguments))


def test_a_build_of_the_documentation_fails_and_a_reader_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncps_mlx._evidence.build_check.record_folder", lambda: tiny)
    monkeypatch.delenv("NCPS_MLX_CLAIMS", raising=False)
    monkeypatch.setattr(RecurrentModel, "forward", constant)
    told = claims.check("wider")
    assert "NOT AS RECORDED\nnarrow and few train to the same bits, sines.\n" in str(told)
    message = "wider is not as recorded.\n(.*\n)+.*nox -s evidence -- tiny --stale"
    with pytest.raises(AssertionError, match=message):
        told.require()
    monkeypatch.setenv("NCPS_MLX_CLAIMS", "require")
    with pytest.raises(AssertionError, match=message):
        claims.check("wider")


# What is broken on purpose


forward = RecurrentModel.forward


def constant(self: Any, *arguments: Any, **more: Any) -> Any:
    """Models that say nothing."""
    out, state = forward(self, *arguments, **more)
    return 0 * out, state


def without_dropout(self: Any, *arguments: Any, **more: Any) -> Any:
    return forward(self, *arguments, **more | {"dropout_rate": 0.0})


def with_more_dropout(self: Any, *arguments: Any, **more: Any) -> Any:
    return forward(self, *arguments, **more | {"dropout_rate": 4 * more.get("dropout_rate", 0.0)})


def without_time(self: Any, x: Any, state: Any, _: Any, mask: Any, **more: Any) -> Any:
    return forward(self, x, state, 1.0, mask, **more)


def with_mean_time(self: Any, x: Any, state: Any, time: Any, mask: Any, **more: Any) -> Any:
    if isinstance(time, mx.array):
        time = mx.broadcast_to(time.mean(axis=-1, keepdims=True), time.shape)
    return forward(self, x, state, time, mask, **more)


def without_warmup(schedule: str, steps: int, _: int = 0) -> Any:
    return schedule_factors(schedule, steps)


def of_one_schedule(_: str, steps: int, warmup_steps: int = 0) -> Any:
    return schedule_factors("cosine", steps, warmup_steps)


def without_residual(*arguments: Any, **more: Any) -> Any:
    return run_stack(*arguments, **more | {"residual": False})


def of_one_mode(*arguments: Any, **more: Any) -> Any:
    return CfCCell(*arguments, **more | {"mode": "default"})


def of_one_activation(*arguments: Any, **more: Any) -> Any:
    return CfCCell(*arguments, **more | {"activation": "lecun_tanh"})


FORWARD = "ncps_mlx.models._base.RecurrentModel.forward"
STACK = "ncps_mlx.models._base.run_stack"
CELL = "ncps_mlx.models._cfc.CfCCell"
RATES = "ncps_mlx.training._config.schedule_factors"

BROKEN = {
    "dropout off": (FORWARD, without_dropout, "dropout-start", "glucose", "d1 and d0 train to the same bits"),
    "dropout strong": (FORWARD, with_more_dropout, "dropout-start", "glucose", "0.2 against none, glucose: "),
    "no time": (FORWARD, without_time, "time-scale-crucial", "sines", "log and no_time train to the same bits"),
    "mean time": (FORWARD, with_mean_time, "time-scale-crucial", "sines", "time against none, sines: "),
    "no warm-up": (RATES, without_warmup, "lr-warmup", "glucose", "warm and cosine train to the same bits"),
    "one schedule": (RATES, of_one_schedule, "lr-schedule", "glucose", "cosine and constant train to the same bits"),
    "no residual": (STACK, without_residual, "depth-residual", "glucose", "l4_residual and l4 train to the same bits"),
    "one mode": (CELL, of_one_mode, "mode-no-gate", "sines", "default and no_gate train to the same bits"),
    "nothing learnt": (FORWARD, constant, "lr-start", "glucose", "1e-3 against the best, glucose: 0.0 here, -2"),
}
"""What is patched by what, a claim that it concerns, a task, and how the alarm begins."""


@pytest.mark.parametrize(("claim", "task"), sorted({each[2:4] for each in BROKEN.values()}))
def test_an_unbroken_library_raises_no_alarm(claim: str, task: str) -> None:
    assert claims.check(claim, tasks=[task]).alarms == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_alarms_at_its_claim(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, broken, claim, task, alarm = BROKEN[name]
    monkeypatch.setattr(place, broken)
    checked = check_in(record_folder(), claim, tasks=[task])
    assert any(each.startswith(alarm) for each in checked.alarms), checked


def test_an_activation_that_is_ignored_is_seen_in_bits(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tiny_pool(tiny)
    relu = replace(pool.levels["narrow"], name="relu", settings={"hidden_size": 4, "activation": "relu"})
    pool = replace(pool, levels={**pool.levels, "relu": relu})
    assert placebo(pool, pool.tasks["sines"], ["narrow", "relu"], 200).alike == []
    monkeypatch.setattr(CELL, of_one_activation)
    assert placebo(pool, pool.tasks["sines"], ["narrow", "relu"], 200).alike == [("narrow", "relu")]


def test_a_training_that_is_another_each_time_is_seen(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = count()

    def drifting(self: Any, *arguments: Any, **more: Any) -> Any:
        out, state = forward(self, *arguments, **more)
        return out + 1e-3 * next(times), state

    monkeypatch.setattr(RecurrentModel, "forward", drifting)
    (alarm,) = (each for each in check_in(tiny, "wider").alarms if "bits" in each)
    assert alarm == "wide trains to other bits alone, or each time, sines."
