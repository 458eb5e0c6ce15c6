"""Folds of a cross-validation before each of several futures, and what then came."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import data
from ncps_mlx._evidence import splits
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.eras import era_task
from ncps_mlx._evidence.plan import index_of, key_of
from ncps_mlx._evidence.pool import read_tasks
from ncps_mlx._evidence.registry import Part
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.splits import Member, SplitsPool
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx.data._glucose import _glucose_series
from ncps_mlx.data._sunspots import split_sunspots
from tests.fresh_trials import measured_again

EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence"

TASKS = """
[sunspots]
factory = "ncps_mlx.data:sunspots"
arguments = { months_per_step = 33 }
metric = "rmse"
unit = "sunspot number"
steps = { short = 5, long = 10 }
"""

POOL = """
purpose = "Folds of a few seconds."
design = "splits"
model = "CfC"
tasks = ["sunspots"]
folds = 2

[fixed]
hidden_size = 4
backbone_units = 4
learning_rate = 0.03

[series.sunspots]
borders = [1986.7, 1996.4, 2008.9]
gap = 143
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tasks.toml").write_text(TASKS)
    (tmp_path / "tiny.toml").write_text(POOL)
    return tmp_path / "tiny.toml"


@pytest.fixture
def pool(file: Path) -> SplitsPool:
    return splits.read_pool(file, read_tasks(file.parent / "tasks.toml"))


@pytest.fixture(scope="module")
def recorded() -> SplitsPool:
    found = read_pool(EVIDENCE / "pools" / "splits.toml", read_tasks(EVIDENCE / "tasks.toml"))
    assert isinstance(found, SplitsPool)
    return found


def member(pool: SplitsPool, task: str, era: int, kind: str, fold: int = 0, model: str = "CfC") -> Member:
    return Member(pool=pool, task=pool.tasks[task], budget="short", era=era, kind=kind, fold=fold, model=model)


def test_the_eras_of_sunspots_are_solar_cycles(recorded: SplitsPool) -> None:
    text = data.sunspots(12)
    months = np.concatenate([text.to_units(each.y[:, 0]) for each in text.splits.values()])
    borders = recorded.series["sunspots"].borders
    assert len(borders) == 11
    for first, last in pairwise(borders):
        assert 9 < last - first < 13
    whole = split_sunspots(12, 1800, 1850)  # one month after another from 1850 on
    series = whole.to_units(whole.test.y[:, 0])
    smooth = np.convolve(series, np.r_[0.5, np.ones(11), 0.5] / 12, mode="valid")
    for border in borders[:-1]:
        around = round((border - 1850) * 12) - 6 + np.arange(-36, 37)
        assert abs(around[smooth[around].argmin()] - (round((border - 1850) * 12) - 6)) <= 3, border
    assert len(months) > 2900


def test_what_comes_is_neither_trained_nor_validated(recorded: SplitsPool) -> None:
    spec = recorded.tasks["sunspots"]
    begin, end = member(recorded, "sunspots", 3, "whole").span
    era = era_task("sunspots", begin, end, 0, tuple(spec.arguments.items()))
    everything = split_sunspots(12, 1800, 1850)
    scale = everything.to_units(everything.test.y)
    first = round((begin - 1850) * 12)
    came = era.to_units(era.test.y)
    assert came[0] == pytest.approx(scale[first], abs=1e-3)  # the first month of the cycle is the first target
    assert came[-1, -1] == pytest.approx(scale[round((end - 1850) * 12) - 12, -1], abs=1e-3)
    past = era.to_units((era.train + era.validation).y)
    assert past[-1] == pytest.approx(scale[first - 12], abs=1e-3)
    assert len(era.train + era.validation) + 143 + 11 == round((begin - 1749) * 12)  # 11 straddle the inner border


def test_blocked_folds_of_glucose_share_no_minute(recorded: SplitsPool) -> None:
    """Sequences are in order of time, and the gap is as long as a sequence."""
    minutes, values = _glucose_series()
    spec = recorded.tasks["glucose"]
    for era in (0, 9):
        where = member(recorded, "glucose", era, "blocked")
        task = era_task("glucose", *where.span, where.seed, tuple(sorted(spec.arguments.items())))
        both = task.train + task.validation
        starts = start_minutes(task, both, minutes, values)
        assert (np.diff(starts) >= 0).all()
        assert both.time_delta is not None
        lengths = both.time_delta.sum(axis=1)
        ends = starts + lengths
        for fold in range(4):
            train, validation = splits_of(len(both), fold, recorded)
            for row in validation:
                overlaps = (starts[train] <= ends[row]) & (ends[train] >= starts[row])
                assert not overlaps.any()


def start_minutes(task: Any, split: Any, minutes: Any, values: Any) -> Any:
    """When each sequence begins: the place where its readings and gaps stand in the record."""
    readings = task.to_units(np.concatenate([split.x[..., 0], split.y], axis=1)).round(3)
    found, place = [], 0
    for row in range(len(split)):
        offsets = np.r_[0, np.cumsum(split.time_delta[row].astype(np.float64))]
        while True:
            at = np.searchsorted(minutes, minutes[place] + offsets - 1e-3)
            if at[-1] < len(minutes) and np.abs(values[at] - readings[row]).max() < 0.01:
                break
            place += 1
        found.append(minutes[place])
    return np.array(found)


def splits_of(n: int, fold: int, pool: SplitsPool) -> tuple[Any, Any]:
    from ncps_mlx.data._cross_validation import fold_rows

    return fold_rows(n, fold, pool.folds, "blocked", pool.series["glucose"].gap)


def test_members_train_on_folds_of_the_past_and_are_scored_at_their_last_step(pool: SplitsPool) -> None:
    (lacking,) = splits.missing(pool, ["short"], [])
    assert [len(group) for group in lacking.groups] == 2 * [2, 2, 1, 2, 2, 1]
    blocked, shuffled, whole = lacking.groups[:3]
    rows = splits.train(blocked)
    assert [row["level"] for row in rows] == [{"kind": "blocked", "fold": i, "folds": 2, "gap": 143} for i in (0, 1)]
    assert all(row["best_step"] == 5 and row["scores"] == row["last"] for row in rows)
    tasks = [splits.task_of(each) for each in (*blocked, *shuffled, *whole)]
    sizes = [len(task.train) + len(task.validation) for task in tasks]
    assert sizes[0] == sizes[1] == sizes[2] - 143 == sizes[3] - 143
    assert len(tasks[4].train) == sizes[2]
    assert len({task.test.y.tobytes() for task in tasks}) == 1
    (alone,) = splits.train([blocked[1]])
    assert alone["scores"] == rows[1]["scores"]


def test_the_nearest_neighbour_is_flattered_by_shuffled_folds(pool: SplitsPool) -> None:
    means = {}
    for kind in ("blocked", "shuffled"):
        group = [member(pool, "sunspots", 0, kind, fold, splits.NEAREST) for fold in (0, 1)]
        means[kind] = np.mean([row["scores"]["validation"] for row in splits.train(group)])
        task = splits.task_of(group[0])
        row = 17
        distances = ((task.train.x - task.validation.x[row]) ** 2).sum(axis=(1, 2))
        said = splits.nearest_neighbour(task, task.validation)[row]
        assert said == pytest.approx(task.train.y[distances.argmin()])
    assert means["shuffled"] < 0.9 * means["blocked"]


def part(statistic: str, first: str, second: str) -> Part:
    return Part(name="part", statistic=statistic, direction="more", first=first, second=second)


def test_a_pair_is_a_future(pool: SplitsPool, tmp_path: Path) -> None:
    path = tmp_path / "trials" / "tiny.jsonl"
    assert len(run(pool, path, ["short"], lambda _: None)) == 20
    assert describe(pool, path, ["short"]) == "tiny: nothing is missing"
    rows = read_trials(path)
    index = index_of(rows)
    error = splits.contrast(part("error of estimate", "blocked", "shuffled"), pool, "sunspots", "short", index)
    flattery = part("estimate", "nearest_shuffled", "nearest_blocked")
    estimate = splits.contrast(flattery, pool, "sunspots", "short", index)
    assert not error.missing and not error.lost and not error.higher_is_better
    assert [seed for seed, *_ in error.pairs] == [100, 101] == [seed for seed, *_ in estimate.pairs]

    def scores(era: int, kind: str, model: str, split: str) -> list[float]:
        return [
            row["scores"][split]
            for row in rows
            if (row["seed"], row["level"]["kind"], row["fixed"]["model"]) == (era, kind, model)
        ]

    for seed, first, second in error.pairs:
        (came,) = scores(seed, "whole", "CfC", "test")
        assert first == pytest.approx(abs(np.mean(scores(seed, "blocked", "CfC", "validation")) - came))
        assert second == pytest.approx(abs(np.mean(scores(seed, "shuffled", "CfC", "validation")) - came))
    for seed, first, second in estimate.pairs:
        assert first == pytest.approx(np.mean(scores(seed, "shuffled", splits.NEAREST, "validation")))
        assert second == pytest.approx(np.mean(scores(seed, "blocked", splits.NEAREST, "validation")))

    whole = key_of(member(pool, "sunspots", 1, "whole").identity)
    diverged = {"scores": {"validation": None, "test": None}}
    lost = {key: row | diverged if key == whole else row for key, row in index.items()}
    found = splits.contrast(part("error of estimate", "blocked", "shuffled"), pool, "sunspots", "short", lost)
    assert (len(found.pairs), found.lost, found.missing) == (1, 1, 0)
    found = splits.contrast(
        part("error of estimate", "blocked", "shuffled"), pool, "sunspots", "short",
        {key: row for key, row in index.items() if key != whole},
    )  # fmt: skip
    assert (len(found.pairs), found.lost, found.missing) == (1, 0, 1)
    fresh = replace(pool, first_seed=500)
    assert splits.missing(fresh, ["short"], rows)[0].count == 20


def test_recorded_trials_belong_to_the_pool(recorded: SplitsPool) -> None:
    rows = read_trials(EVIDENCE / "trials" / "splits.jsonl")
    for budget in {row["budget"] for row in rows}:
        known = {
            key_of(each.identity)
            for group in splits.missing(recorded, [budget], [])
            for members in group.groups
            for each in members
        }
        own = [row for row in rows if row["budget"] == budget]
        assert {key_of(row) for row in own} <= known
        assert len({row["device"] for row in own}) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tasks = ["sunspots"]', 'tasks = ["sunspot"]', "tasks must be those of tasks.toml, got 'sunspot'."),
        ("hidden_size = 4", "hiden_size = 4", "hiden_size must be a hyperparameter of CfC"),
        ("[series.sunspots]", "[series.glucose]", "series must hold borders and gap of sunspots"),
        ("borders = [1986.7, 1996.4, 2008.9]", "borders = [1996.4, 1986.7]", "borders of sunspots must be ascending"),
        ("gap = 143", "gaps = 143", "series.sunspots must not hold 'gaps'. Did you mean gap"),
        ("folds = 2", "", "tiny.toml must hold 'folds'"),
        ('design = "splits"', 'design = "splitz"', "design must be"),
    ],
)
def test_a_faulty_pool_is_refused(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(POOL.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_pool(file, read_tasks(file.parent / "tasks.toml"))


@pytest.mark.parametrize(("statistic", "first"), [("estimate", "shuffled"), ("error of estimate", "nearest_shuffled")])
def test_the_seeds_of_the_record_give_the_record(pool: SplitsPool, tmp_path: Path, statistic: str, first: str) -> None:
    path = tmp_path / "tiny.jsonl"
    run(pool, path, ["short"], lambda _: None)
    compared = part(statistic, first, first.replace("shuffled", "blocked"))
    recorded = splits.contrast(compared, pool, "sunspots", "short", index_of(read_trials(path)))
    seeds = range(pool.first_seed, pool.first_seed + 2)
    found, _ = measured_again(splits, pool, compared, "sunspots", "short", recorded, seeds)
    assert found.pairs == recorded.pairs and len(found.pairs) == 2
    other, _ = measured_again(splits, pool, compared, "sunspots", "short", recorded, range(301, 304))
    assert [seed for seed, *_ in other.pairs] == [301, 302, 303]
    assert statistic == "error of estimate" or other.pairs[0][1:] != other.pairs[2][1:]  # one era, two seeds
