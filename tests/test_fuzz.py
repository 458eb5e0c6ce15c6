"""The fuzz session itself: that it calls everything public, rightly but for one argument, and judges fairly."""

from __future__ import annotations

import importlib
import inspect
import random
from fnmatch import fnmatch
from typing import Any

import numpy as np
import pytest

import ncps_mlx
from ncps_mlx import cells
from ncps_mlx._utils.validation import check_int
from ncps_mlx.data import baselines
from ncps_mlx.data._metrics import as_metric
from tests.fuzz.accepted import ACCEPTED, reason
from tests.fuzz.calls import Call, calls, judge
from tests.fuzz.targets import (
    ARGUMENTS,
    LEFT_OUT,
    Target,
    arguments_of,
    has_arguments,
    public_callables,
    targets,
)
from tests.fuzz.values import KINDS, wrong_values

# Without types: what is called wrongly here is what a type checker would say, too.
ANYHOW: Any = ncps_mlx
LTC, AutoNCP, CfC, Halving, Integer, Space, Split = (
    getattr(ANYHOW, name) for name in ("LTC", "AutoNCP", "CfC", "Halving", "Integer", "Space", "Split")
)
data: Any = importlib.import_module("ncps_mlx.data")
records: Any = importlib.import_module("ncps_mlx.records")
Standardizer, irregular_sines = data.Standardizer, data.irregular_sines
Conv1d: Any = importlib.import_module("ncps_mlx.training").Conv1d
plots: Any = importlib.import_module("ncps_mlx.plots")
stats: Any = importlib.import_module("ncps_mlx.stats")


def test_everything_public_is_called_or_left_out_with_a_reason() -> None:
    missing = [target.name for target in targets() if not has_arguments(target)]
    assert not missing, "give right arguments in tests/fuzz/targets.py"
    names = [name for name, _ in public_callables()]
    assert all(any(fnmatch(name, pattern) for name in names) for pattern in LEFT_OUT)
    assert all(LEFT_OUT.values()) and all(why for *_, why in ACCEPTED)


QUICK = [target for target in targets() if target.name.split(".")[0] in ("stats", "cells", "wirings", "AutoNCP")]


@pytest.mark.parametrize("target", QUICK, ids=lambda target: target.name)
def test_right_arguments_are_right(target: Target) -> None:
    bound = arguments_of(target)
    target.make()(*bound.args, **bound.kwargs)


def test_a_run_makes_thousands_of_calls_that_follow_from_its_seed() -> None:
    every = calls(1)
    assert len(every) > 2000 and {call.kind for call in every} == set(KINDS)

    def values(seed: int) -> list[str]:
        """Objects write their addresses, which differ."""
        return [str(call) for call in calls(seed, "stats") if " at 0x" not in repr(call.value)]

    assert values(1) == values(1) != values(2)


def test_a_sample_of_the_calls_is_clear_or_rightly_accepted() -> None:
    chosen = [call for call in calls(3, "stats") if call.target.name == "stats.interval"]
    assert len(chosen) > 20
    for call in chosen:
        assert outcome(call) == "clear" or reason(call), str(call)


def outcome(call: Call) -> str:
    bound = call.arguments()
    try:
        call.target.make()(*bound.args, **bound.kwargs)
    except Exception as error:  # noqa: BLE001  # any may come: that is judged
        return judge(call, error)[0]
    return judge(call, None)[0]


def called(function: Any, value: Any = "wrong") -> Call:
    """A call of a function of one argument ``n``."""
    return Call(Target("test", lambda: function), "n", "wrong kind", 0, value)


@pytest.fixture(autouse=True)
def right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARGUMENTS, "test", {"n": 1})


def raised_by_python(n: Any) -> Any:
    return n + 1


def raised_here(n: Any) -> None:
    raise ValueError(f"n must be another, got {n!r}.")


def another_named(n: Any) -> None:
    check_int("m", n)


def passed_on(n: Any) -> None:
    check_int("n", n)


def silent(n: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (passed_on, "clear"),
        (another_named, "unnamed"),
        (raised_by_python, "raw"),
        (raised_here, "raw"),  # not in the library
        (silent, "accepted"),
    ],
)
def test_outcomes_are_told_apart(function: Any, expected: str) -> None:
    assert outcome(called(function)) == expected


def test_an_acceptance_is_judged_by_its_value() -> None:
    def call(value: Any) -> Call:
        return Call(Target("fit", lambda: silent), "learning_rate", "huge", 0, value)

    assert reason(call(1e9)) is not None
    assert all(reason(call(value)) is None for value in (-1.0, np.nan, "a", None, True))


def test_every_kind_of_wrong_value_is_made_of_a_list() -> None:
    for valid in ([1.0, 2.0], np.ones((2, 3)), {"a": [1.0, 2.0]}):
        made = wrong_values(valid, random.Random(0))
        assert {kind for kind, _ in made} == set(KINDS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.sweep(ROWS, "size", hue=""), "hue must name a hyperparameter of every trial"),
        (lambda: plots.sweep(ROWS, "size", log=1), "log must be True or False, got 1"),
        (lambda: plots.sweep(ROWS, "size", split=3), "split must be a string, got 3"),
        (lambda: plots.sweep(ROWS, "size", baselines=0), "baselines must map names to scores, .* got 0"),
        (lambda: plots.series([0, 1], [1, 2], regions=3), "regions must be pairs"),
        (lambda: plots.series([0, 1], [1, 2], regions=[(1, 0)]), "regions must be pairs .* begin first"),
        (lambda: plots.series([1, 0], [1, 2]), "time must not go back"),
        (lambda: plots.series([0, 1], [1, np.inf]), "truth must be finite, or NaN"),
        (lambda: plots.series([0, 1], [1, 2], threshold="x"), "threshold must be a finite number"),
        (lambda: plots.parallel(ROWS, 3), "hyperparameters must be a list of names"),
        (lambda: plots.parallel(ROWS, ["size", "size"]), "hyperparameters must be different names"),
        (lambda: plots.differences(ROWS, "size", 1, smallest=-1), "smallest must be above 0"),
        (lambda: stats.compare(ROWS, "size", 1, show=3), "show must be a list of names"),
        (lambda: stats.compare(ROWS, "size", 1, statistic="mean"), "statistic must be a function of a record"),
        (lambda: stats.compare(ROWS, "size", 1, statistic=str), "statistic must be a function of a record"),
        (lambda: stats.compare(ROWS, "size", 1, statistic=repr), "statistic must return a number"),
        (lambda: AutoNCP(10**6, 2), "units must be at most 8192, got 1000000"),
        (lambda: AutoNCP(100, 2).build(10**9), "input_size must be at most 8192, got 1000000000"),
        (lambda: CfC(3, 4, num_layers=10**9), "num_layers must be at most 1000"),
        (lambda: LTC(3, 4, ode_unfolds=10**9), "ode_unfolds must be at most 1000"),
        (lambda: cells.slowest_time_constant("tanh", "firm"), "stability must be one of"),
        (lambda: CfC(3, 4).save(3), "path must name a file, got 3"),
        (lambda: Space(hidden_size=[2, 3]).describe("size"), "name must be one of hidden_size, got 'size'"),
        (lambda: Space(hidden_size=[2, 3]).restrict({}), "config must have a value of hidden_size, got none"),
        (lambda: Integer(2, 8).quantile(2), "q must be at least 0 and at most 1, got 2"),
        (lambda: Halving(rungs=10**9), "rungs must be at most 20"),
        (lambda: baselines.majority(irregular_sines()), "task must be scored by accuracy"),
        (lambda: stats.compare(ROWS, "size", np.inf), "reference must be None, a bool, a finite number"),
        (lambda: stats.compare([{"seed": 0, "score": None}], "size", 1), r"records\[0\]: score must be a number"),
        (lambda: Split(x=X, y=["walk", np.nan, "run"]), "y must hold labels of one kind, .* got float, str"),
        (lambda: Split(x=X, y=[0, 1, 2**70]), "y must hold labels of one kind, .* up to 2147483647"),
        (lambda: Split(x=X, y=[0, 1, 2], classes=("a", 1.5, "b")), "classes must be different strings"),
        (lambda: Split(x=X, y=np.zeros((3, 1)), group=["a", None, "b"]), "group must name whose .* got None of"),
        (lambda: Split(x=X, y=np.zeros((3, 1)), group=["a", np.nan, "b"]), "group must name whose .* got nan"),
        (lambda: Standardizer(mean=0.0, deviation=0.0), "deviation must be above 0"),
        (lambda: Standardizer(mean=[1.0, 2.0], deviation=1.0)(np.zeros((4, 3))), "values must hold 2 targets"),
        (lambda: irregular_sines(20, 8, 8).mean_score(loss="mse"), "loss must be a Loss, .* got 'mse'"),
        (lambda: irregular_sines(20, 8, 8).score(np.zeros((8, 1)), loss=3), "loss must be a Loss, .* got 3"),
        (lambda: irregular_sines(20, 8, 8).score(np.zeros((8, 1)), metric=int), "metric must be a function of"),
        (lambda: as_metric(abs, "regression", np.zeros(0)), "greater_is_better must be True or False"),
        (lambda: as_metric(min, "regression", "unknown"), "greater_is_better must be True or False, got 'unknown'"),
        (lambda: Conv1d(3, 4, 0), "kernel_size must be at least 1, got 0"),
        (lambda: Conv1d(3, 10**9, 2), "out_channels must be at most"),
        (lambda: records.from_scores({1: [1.0]}, "n", seeds=range(10**9)), "seeds must be at"),
    ],
)
def test_what_the_first_runs_found(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


X: Any = np.zeros((3, 4, 1))
ROWS: Any = [{"size": size, "seed": seed, "score": size + seed} for size in (1, 2) for seed in range(3)]


def test_signatures_are_followed() -> None:
    """Variable arguments too: each of them is made wrong in turn."""
    wrong = {call.argument for call in calls(0, "records.select")}
    assert wrong == {"records", "values/seed"}
    assert inspect.signature(plots.sweep).parameters.keys() == {call.argument for call in calls(0, "plots.sweep")}
