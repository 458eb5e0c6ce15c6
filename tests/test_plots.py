"""Figures say in words and numbers what they show, and hide no run."""

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from ncps_mlx import AutoNCP, History, LogUniform, Record, Space, Study, plots

# Private: an axis and a caption without their figure.
from ncps_mlx._trials import as_records
from ncps_mlx.data import irregular_sines
from ncps_mlx.plots._axis import Scale, score_limits, with_baselines
from ncps_mlx.plots._captions import as_text, list_hyperparameters, score_name, summarize
from ncps_mlx.stats import expected_best, interval, paired

RATES = (0.001, 0.01, 0.1)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before  # a style is not left behind


def records(score: Any, *, higher: bool = False, modes: tuple[str, ...] = ("default",)) -> list[Record]:
    """Three learning rates, five seeds; ``score(rate, seed, mode)``, infinite where it diverged."""
    grid = [(rate, mode, seed) for rate in RATES for mode in modes for seed in range(5)]
    runs = []
    for i, (rate, mode, seed) in enumerate(grid):
        value = float(score(rate, seed, mode))
        runs.append(
            Record(
                trial=i,
                model="CfC",
                config={"learning_rate": rate, "mode": mode},
                seed=seed,
                task="sunspots",
                data_hash="0",
                metric="accuracy" if higher else "rmse",
                higher_is_better=higher,
                score=value,
                status="finished" if math.isfinite(value) else "diverged",
                seconds=2.0,
            )
        )
    return runs


def bowl(rate: float, seed: int, mode: str) -> float:
    return 23 + abs(math.log10(rate) + 2) + 0.1 * seed + (0.5 if mode == "pure" else 0)


def first(fig: Figure) -> Any:
    """The axes, whose artists matplotlib's types describe too loosely to ask them anything."""
    return fig.axes[0]


def drawn(fig: Figure) -> list[tuple[float, float]]:
    """Every point of every line without errors or steps between them."""
    every: list[Any] = fig.axes
    lines = [line for ax in every for line in ax.get_lines() if line.get_linestyle() in ("None", "")]
    return [tuple(point) for line in lines for point in np.column_stack(line.get_data()).tolist()]


def test_sweep_gives_the_best_value_and_its_interval() -> None:
    runs = records(bowl)
    fig = plots.sweep(runs, "learning_rate", baselines={"ridge": 23.0})
    wanted = interval([run.score for run in runs if run.config["learning_rate"] == 0.01])
    values = plots.numbers(fig)
    assert values["best"] == {
        "x": 0.01, "mean": wanted.mean, "low": wanted.low, "high": wanted.high, "n": 5, "diverged": 0,
    }  # fmt: skip
    assert plots.alt_text(fig) == (
        f"Validation RMSE against learning rate on sunspots, 5 seeds each: best 0.01 with {wanted}; baseline ridge 23."
    )
    assert values["baselines"] == {"ridge": 23.0}
    assert {(p["x"], p["seed"], p["score"]) for p in values["points"]} == {
        (run.config["learning_rate"], run.seed, run.score) for run in runs
    }
    assert {(run.config["learning_rate"], run.score) for run in runs} <= set(drawn(fig))
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_a_sweep_of_a_real_study_agrees_with_its_records() -> None:
    task = irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)
    space = Space(learning_rate=LogUniform(1e-3, 1e-1), hidden_size=[3, 4])
    fixed = {"backbone_units": 4, "steps": 3, "batch_size": 16}
    study = Study(None, task, space, trials=4, draws_per_shape=2, seeds=(0, 1), fixed=fixed).run(
        progress=False
    )
    for fig in (
        plots.slices(study.records),
        plots.learning_curves(study.records, hue="hidden_size", train=True),
        plots.expected_best({"random": study.records}, baselines=task.baselines()),
    ):
        fig.canvas.draw()
        json.dumps(plots.numbers(fig), allow_nan=False)
        assert f"RMSE{' of 8 trials' if 'trials' in plots.alt_text(fig) else ''}" in plots.alt_text(fig)
    best = plots.numbers(plots.slices(study.records))["best"]
    assert best["x"]["learning_rate"] == study.best.config["learning_rate"]


def test_diverged_runs_are_drawn_and_counted() -> None:
    runs = records(lambda rate, seed, mode: math.inf if rate == 0.1 and seed < 2 else bowl(rate, seed, mode))
    fig = plots.sweep(runs, "learning_rate")
    crosses = [line for line in first(fig).get_lines() if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[0.1]]
    assert [text.get_text() for text in first(fig).texts] == ["2"]
    assert plots.alt_text(fig).endswith("2 diverged runs, shown as crosses.")
    values = plots.numbers(fig)
    assert [point["score"] for point in values["points"]].count(None) == 2
    assert [row["mean"] is None for row in values["summary"]] == [False, False, True]


def test_a_lucky_seed_next_to_a_diverged_one_is_not_the_best() -> None:
    runs = records(lambda rate, seed, _: (1.0 if seed else math.inf) if rate == 0.1 else 5.0 + seed)
    assert plots.numbers(plots.sweep(runs, "learning_rate"))["best"]["x"] == 0.001
    all_lost = records(lambda *_: math.inf)
    fig = plots.sweep(all_lost, "learning_rate")
    assert plots.numbers(fig)["best"] is None
    assert "no value converged with every seed" in plots.alt_text(fig)


def test_runs_far_off_do_not_squeeze_the_rest() -> None:
    runs = records(lambda rate, seed, mode: 1e6 if rate == 0.1 and seed == 0 else bowl(rate, seed, mode))
    fig = plots.sweep(runs, "learning_rate")
    assert first(fig).get_ylim()[1] < 40
    assert "1 run beyond the axis, shown as triangles" in plots.alt_text(fig)


def test_higher_is_better_turns_everything_round() -> None:
    runs = records(lambda rate, seed, _: 0.9 - abs(math.log10(rate) + 2) / 10 + seed / 100, higher=True)
    fig = plots.sweep(runs, "learning_rate")
    assert plots.numbers(fig)["best"]["x"] == 0.01
    assert plots.alt_text(fig).startswith("Validation accuracy against learning rate")
    assert plots.numbers(plots.expected_best(runs))["best"]["mean"] == pytest.approx(0.92)
    lost = records(lambda rate, seed, _: -math.inf if seed == 0 else rate, higher=True)
    cross = [
        line for line in first(plots.sweep(lost, "learning_rate")).get_lines() if line.get_marker() == "x"
    ]
    assert cross[0].get_ydata()[0] < 0.1


def test_hue_separates_by_colour_and_marker() -> None:
    runs = records(bowl, modes=("default", "pure"))
    fig = plots.sweep(runs, "learning_rate", hue="mode")
    best = plots.numbers(fig)["best"]
    assert (best["x"], best["mode"]) == (0.01, "default")
    assert "best 0.01 with mode default with" in plots.alt_text(fig)
    handles, labels = first(fig).get_legend_handles_labels()
    assert labels == ["default", "pure"]
    assert len({handle.lines[0].get_marker() for handle in handles}) == 2
    assert len({handle.lines[0].get_color() for handle in handles}) == 2


def test_trials_of_several_tasks_get_a_panel_each_with_an_axis_of_its_own() -> None:
    rows = [
        {"size": size, "seed": seed, "score": scale * size + seed, "task": task, "metric": metric, "units": unit}
        | {"higher_is_better": higher}
        for task, scale, metric, unit, higher in (("far", 100.0, "rmse", "mg/dl", False), ("near", 0.1, "r2", "", True))
        for size in (1, 2)
        for seed in range(3)
    ]
    fig = plots.sweep(rows, "size", split="test")
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["far", "near"]
    assert [ax.get_ylabel() for ax in fig.axes] == ["test RMSE (mg/dl)", "test r2"]
    assert fig.axes[0].get_ylim()[1] > 200 > fig.axes[1].get_ylim()[1]
    shown = plots.numbers(fig)
    assert {task: best["x"] for task, best in shown["best"].items()} == {"far": 1, "near": 2}
    assert [row["task"] for row in shown["summary"]] == ["far", "far", "near", "near"]
    text = "Test score against size on 2 tasks, 3 seeds each: test RMSE (mg/dl) on far, best 1 with 101 "
    assert plots.alt_text(fig).startswith(text)
    with pytest.raises(ValueError, match=r"baselines must be left out with trials of several tasks \(far, near\)"):
        plots.sweep(rows, "size", baselines={"ridge": 1.0})


def test_baselines_are_dashed_and_named() -> None:
    fig = plots.sweep(records(bowl), "learning_rate", baselines={"ridge": 23.0, "persistence": 290.0})
    dashed = [line for line in first(fig).get_lines() if list(line.get_ydata()) == [23.0, 23.0]]
    assert dashed[0].is_dashed()
    assert [text.get_text() for text in first(fig).texts] == ["ridge 23", "↑ persistence 290"]
    assert "baselines ridge 23, persistence 290" in plots.alt_text(fig)


def test_differences_are_paired_by_seed() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, 5)
    runs = records(
        lambda _, seed, mode: 50 + shared[seed] + (seed / 10 + 1) * (mode == "pure"),
        modes=("default", "pure"),
    )
    fig = plots.differences(runs, "mode", "default", smallest=0.5)
    base = [50 + shared[seed] for seed in range(5)]
    wanted = paired([value + seed / 10 + 1 for seed, value in enumerate(base)], base)
    (row,) = plots.numbers(fig)["summary"]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((wanted.mean, wanted.low, wanted.high))
    assert (row["n"], row["better"], row["p_better"]) == (5, 0, 0.0)
    assert f"pure +{wanted}, 5 pairs, better in 0. Below 0 is better." in plots.alt_text(fig)
    assert plots.numbers(fig)["best"]["x"] == "pure"
    assert len(drawn(fig)) >= 5


def test_differences_without_a_partner_are_counted() -> None:
    runs = records(
        lambda rate, seed, mode: math.inf if mode == "pure" and seed == 4 else bowl(rate, seed, mode),
        modes=("default", "pure"),
    )
    fig = plots.differences(runs, "mode", "default")
    (row,) = plots.numbers(fig)["summary"]
    assert (row["n"], row["diverged"]) == (4, 1)
    assert "4 pairs, better in 0, 1 diverged" in plots.alt_text(fig)


def test_a_run_that_never_had_a_score_still_gets_its_cross() -> None:
    good = History(step=(1, 2), train_loss=(1.0, 0.6), validation_score=(9.0, 7.0), best_step=2, best_score=7.0)
    bad = History(
        step=(1,), train_loss=(math.nan,), validation_score=(math.nan,), best_step=0, best_score=math.inf
    )
    ax = plots.learning_curves({"good": good, "bad": bad}).axes[0]
    (cross,) = (line for line in ax.lines if line.get_marker() == "x")
    x, y = np.asarray(cross.get_xdata()), np.asarray(cross.get_ydata())
    assert (x[0], y[0]) == (1, ax.get_ylim()[1])


def test_learning_curves_end_where_training_did() -> None:
    good = History(
        step=(1, 2, 3), train_loss=(3.0, 2.0, 1.0), validation_score=(9.0, 7.0, 8.0), best_step=2, best_score=7.0
    )
    bad = History(
        step=(1, 2), train_loss=(3.0, math.nan), validation_score=(9.5, math.nan), best_step=1, best_score=math.inf,
        status="diverged", reason="the training loss became nan at step 2", seconds=0.1,
    )  # fmt: skip
    fig = plots.learning_curves({"slow": good, "fast": bad}, train=True, baselines={"ridge": 7.5})
    fig.canvas.draw()
    values = plots.numbers(fig)
    assert values["best"] == {"x": "slow", "mean": 7.0, "low": None, "high": None, "n": 1, "diverged": 0}
    assert "best slow with 7 at step 2; baseline ridge 7.5. 1 diverged, ending in a cross." in plots.alt_text(
        fig
    )
    assert [point["score"] for point in values["points"]] == [7.0, None]
    json.dumps(values, allow_nan=False)


def test_expected_best_follows_the_formula() -> None:
    runs = records(bowl)
    means = [float(np.mean([run.score for run in runs[i : i + 5]])) for i in (0, 5, 10)]
    fig = plots.expected_best({"grid": runs, "half": runs[:10]}, cost="seconds")
    points = [point for point in plots.numbers(fig)["points"] if point["study"] == "grid"]
    assert [point["score"] for point in points] == pytest.approx(expected_best(means).tolist())
    assert [point["x"] for point in points] == [10.0, 20.0, 30.0]
    assert "against seconds of training: grid from" in plots.alt_text(fig)


def test_slices_show_every_trial_for_every_knob() -> None:
    runs = records(bowl, modes=("default", "pure"))
    fig = plots.slices(runs, baselines={"ridge": 23.0})
    assert plots.numbers(fig)["x"] == ["learning_rate", "mode"]
    assert len(fig.axes) == 2
    assert len(plots.numbers(fig)["points"]) == 30
    assert plots.numbers(fig)["best"]["x"] == {"learning_rate": 0.01, "mode": "default"}


def test_panels_side_by_side_get_fewer_ticks() -> None:
    rates = np.geomspace(1e-4, 0.08, 20).tolist()
    rows = [{"learning_rate": r, "width": i, "seed": 0, "score": r} for i, r in enumerate(rates)]
    labels = []
    for fig in (plots.sweep(rows, "learning_rate"), plots.slices(rows, ["learning_rate", "width"])):
        fig.canvas.draw()
        (low, high), axis = fig.axes[0].get_xlim(), fig.axes[0].xaxis
        labels.append(sum(low <= tick <= high for tick in axis.get_majorticklocs()))
    assert labels == [7, 4]


def test_series_measures_its_forecasts() -> None:
    truth = np.sin(np.arange(20.0))
    fig = plots.series(
        np.datetime64("2001-01") + np.arange(20),
        truth,
        forecasts={"CfC": truth + 0.5, "persistence": np.concatenate([[np.nan], truth[:-1]])},
        x="month",
        y="sunspots",
    )
    fig.canvas.draw()
    errors = [row["mean"] for row in plots.numbers(fig)["summary"]]
    assert errors == pytest.approx([0.5, float(np.sqrt(np.mean(np.diff(truth) ** 2)))])
    assert "from 2001-01 to 2002-08; root mean squared error of the forecasts: CfC 0.5" in plots.alt_text(fig)
    found = plots.series(range(20), truth, regions=[(3, 5)], scores=np.abs(truth), threshold=0.9)
    assert "1 region marked as anomaly; an anomaly score below" in plots.alt_text(found)
    json.dumps([plots.numbers(fig), plots.numbers(found)], allow_nan=False)


def test_lines_say_where_they_begin_turn_and_end() -> None:
    at = np.geomspace(0.01, 100, 31)
    bump = 1 / (1 + np.log10(at) ** 2)
    tiny = 1e-30 * at
    fig = plots.lines(
        at, {"rising": at, "bump": bump, "late": np.where(at < 1, np.nan, 2.0), "tiny": tiny},
        x="time step", y="state", log_x=True, above={"drive": -bump}, above_y="input",
    )  # fmt: skip
    fig.canvas.draw()
    assert plots.alt_text(fig) == (
        "State against time step (logarithmic: time step), 31 points from 0.01 to 100: rising from 0 to 100; "
        "bump from 0.2 to 0.2, highest 1 at 1; late from 2 to 2; tiny from 0 to 0. "
        "Above, input: drive from -0.2 to -0.2, lowest -1 at 1."
    )
    below: Any = fig.axes[1]
    looks = [(line.get_color(), str(line._dash_pattern)) for line in below.get_lines()]
    assert [len(set(look)) for look in zip(*looks, strict=True)] == [4, 4]
    assert [fig.axes[0].get_xscale(), below.get_yscale()] == ["log", "linear"]
    values = plots.numbers(fig)
    assert values["points"]["rising"] == pytest.approx(at.tolist())
    assert values["points"]["late"][0] is None
    assert plots.as_table(fig).splitlines()[1].split() == ["rising", "0.01", "100", "0.01", "100"]
    json.dumps(values, allow_nan=False)


def test_lines_write_numbers_briefly() -> None:
    counts = plots.lines([4, 512], {"a": [3088, 1057280.0]}, x="n", y="count", log_x=True, log_y=True)
    assert plots.alt_text(counts).endswith("2 points from 4 to 512: a from 3,090 to 1,060,000.")
    counts.canvas.draw()
    assert [text.get_text() for text in first(counts).get_xticklabels()] == ["4", "512"]
    sizes = plots.lines([8, 512, 1024], {"a": [1024.4, 2048.4, 16.0]}, x="batch size", y="speed", log_x=True)
    assert "3 points from 8 to 1,024: a from 1,020 to 20, highest 2,050 at 512" in plots.alt_text(sizes)


def test_a_legend_is_no_wider_than_its_axes() -> None:
    names = [f"{i} layers of 128 units" for i in range(4)]
    fig = plots.lines([1, 2], {name: [i, 2] for i, name in enumerate(names)}, x="x", y="y")
    fig.canvas.draw()
    ax = first(fig)
    assert ax.get_legend().get_window_extent().width <= 1.02 * ax.get_window_extent().width


def test_the_table_holds_the_same_numbers() -> None:
    fig = plots.sweep(records(bowl), "learning_rate", baselines={"ridge": 23.0})
    lines = plots.as_table(fig).splitlines()
    assert lines[0].split() == ["learning", "rate", "mean", "low", "high", "n", "diverged"]
    best = plots.numbers(fig)["best"]
    assert lines[2].split() == [
        "0.01",
        f"{best['mean']:.4g}",
        f"{best['low']:.4g}",
        f"{best['high']:.4g}",
        "5",
        "0",
    ]
    assert lines[-1].split() == ["baseline", "ridge", "23"]


def test_text_is_legible_and_the_figure_stands_on_white() -> None:
    fig = plots.sweep(records(bowl, modes=("default", "pure")), "learning_rate", hue="mode")
    fig.canvas.draw()
    texts: list[Any] = fig.findobj(Text)
    sizes = [text.get_fontsize() for text in texts if text.get_text()]
    assert min(sizes) >= 11
    assert to_hex(fig.get_facecolor()) == "#ffffff"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1e-3, 1e-2, 1e-1], "log"),
        ([8, 16, 32, 64], "log"),
        ([0.0, 0.1, 0.2], "linear"),
        ([1, 2, 3], "linear"),
        ([10, 30, 50, 70, 90], "linear"),
        (["a", "b"], "category"),
        ([None, 1.0], "category"),
        ([True, False], "category"),
    ],
)
def test_axes_are_logarithmic_where_the_knob_is(values: list[Any], kind: str) -> None:
    assert Scale("hyperparameter", values).kind == kind


def test_limits_keep_nearly_all() -> None:
    bottom, top = score_limits([1.0, 2.0, 3.0, math.inf])
    assert bottom < 1
    assert 3 < top < 4
    assert score_limits([math.inf]) == (0.0, 1.0)
    low, high = score_limits([5.0])
    assert low < 5 < high


def test_limits_reach_baselines_that_are_near() -> None:
    bottom, top = score_limits([1.0, 1.1, 1.2, 1.3, 900.0])
    assert bottom < 1.0 and 1.3 < top < 3.0
    assert with_baselines((22.0, 24.0), [25.0, 60.0]) == (22.0, 25.25)


def test_a_position_is_a_fraction_of_its_axis() -> None:
    assert Scale("rate", [1e-3, 1e-2, 1e-1]).fraction(1e-2) == pytest.approx(0.5)
    assert Scale("width", [8, 9, 12]).fraction(9) == 0.25
    assert Scale("mode", ["default", "pure"]).fraction("pure") == 1.0
    assert Scale("width", [8]).fraction(8) == 0.5


@pytest.mark.parametrize(("metric", "unit"), [("accuracy", 1.0), ("accuracy", 100.0), ("f1", 1.0)])
def test_an_accuracy_is_drawn_within_its_scale(metric: str, unit: float) -> None:
    rows = [
        {"mode": mode, "seed": seed, "score": unit * score, "metric": metric, "higher_is_better": True}
        for mode, scores in (("a", (0.82, 1.0, 0.99)), ("b", (0.5, 0.6, 0.55)))
        for seed, score in enumerate(scores)
    ]
    (first, second) = plots.numbers(plots.sweep(rows, "mode"))["summary"]
    assert 0 < first["low"] < first["mean"] < first["high"] < unit
    assert interval([0.82 * unit, unit, 0.99 * unit]).high > unit
    assert first["mean"] - first["low"] > first["high"] - first["mean"]
    assert second["high"] < unit


def test_captions_write_scores_and_knobs() -> None:
    assert score_name(as_records([{"seed": 0, "score": 1.0, "metric": "rmse", "units": "mg/dl"}])) == (
        "validation RMSE (mg/dl)"
    )
    assert summarize([2.0]) == {"mean": 2.0, "low": None, "high": None, "n": 1, "diverged": 0}
    assert summarize([2.0, math.inf])["mean"] is None
    mean = {"mean": 23.12, "low": 22.81, "high": 23.43, "n": 5}
    assert [as_text(value) for value in (0.010000001, mean, None, 16)] == ["0.01", "23.1 [22.8, 23.4]", "none", "16"]
    lists = [list_hyperparameters(names) for names in (["a"], ["a", "b_c"], ["a", "b", "c"])]
    assert lists == ["a", "a and b c", "a, b and c"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.sweep([], "x"), "records must hold at least 1 trial, got none"),
        (lambda: plots.sweep([{"score": 1.0}], "x"), "records must be Records, or mappings"),
        (
            lambda: plots.sweep(records(bowl), "colour"),
            "x must name a hyperparameter of every trial .*learning_rate.*got 'colour'",
        ),
        (lambda: plots.sweep(records(bowl), "mode", hue="colour"), "hue must name a hyperparameter of every trial"),
        (lambda: plots.sweep(records(bowl), "mode", log=True), "log must be False for mode"),
        (
            lambda: plots.sweep(records(bowl) + records(bowl, higher=True), "mode"),
            "records must share one metric, got rmse, accuracy",
        ),
        (
            lambda: plots.differences(records(bowl), "mode", "pure"),
            r"reference must be a value of mode, which are",
        ),
        (lambda: plots.differences(records(bowl), "mode", "default"), "records must hold at least 2 seeds"),
        (lambda: plots.learning_curves([]), "trials must hold at least 1 trial"),
        (lambda: plots.learning_curves(records(bowl)), "trials must have a history"),
        (lambda: plots.expected_best({}), "studies must hold at least 1 study"),
        (lambda: plots.expected_best(records(bowl), cost="euros"), "cost must be one of"),
        (lambda: plots.slices(records(bowl)[:1]), "hyperparameters must name at least 1 hyperparameter that varies"),
        (lambda: plots.slices(records(bowl), ["colour"]), "hyperparameters must name a hyperparameter of every trial"),
        (lambda: plots.series([0, 1], [1.0]), r"truth must be of the shape \(T,\)"),
        (
            lambda: plots.series([0], [1.0], forecasts={"CfC": [1.0, 2.0]}),
            r"forecasts\['CfC'\] must have the shape \(1,\)",
        ),
        (
            lambda: plots.lines([1, 1], {"a": [1, 2]}, x="t", y="v"),
            "at must be at least 2 increasing finite numbers",
        ),
        (lambda: plots.lines([1, 2], {}, x="t", y="v"), "values must name 1 to 7 lines, got 0"),
        (lambda: plots.lines([1, 2], {"a": [1]}, x="t", y="v"), r"values\['a'\] must have the shape \(2,\) of at"),
        (lambda: plots.lines([0, 2], {"a": [1, 2]}, x="t", y="v", log_x=True), "log_x must be False where"),
        (lambda: plots.lines([1, 2], {"a": [0, 2]}, x="t", y="v", log_y=True), "log_y must be False where"),
        (lambda: plots.alt_text(plt.figure()), "fig must be a figure that ncps_mlx.plots made"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_plots_loads_no_matplotlib() -> None:
    code = "import sys, ncps_mlx.plots; print({'scipy', 'matplotlib', 'optuna'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_every_public_name_is_there() -> None:
    for name in plots.__all__:
        assert callable(getattr(importlib.import_module("ncps_mlx.plots"), name))


def test_notebooks_show_a_figure_with_its_alternative_text() -> None:
    import html

    fig = plots.sweep([{"hidden_size": 8, "seed": s, "score": 1.0 + s} for s in range(3)], "hidden_size")
    shown = str(fig._repr_html_())
    assert shown.startswith(f'<img alt="{html.escape(plots.alt_text(fig))}"')
    assert "data:image/png;base64," in shown


def test_a_notebook_shows_every_figure_that_a_cell_draws() -> None:
    """Matplotlib's inline backend shows figures while it is interactive; our style context must leave it so."""
    code = (
        "from ncps_mlx import plots\n"
        "import matplotlib\n"
        "matplotlib.interactive(True)\n"
        "rows = [{'hidden_size': 8, 'seed': s, 'score': 1.0 + s} for s in range(3)]\n"
        "for _ in range(2):\n"
        "    plots.sweep(rows, 'hidden_size')\n"
        "    print(matplotlib.is_interactive())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


HISTORY = History(
    step=(10, 20), train_loss=(1.0, 0.5), validation_score=(9.0, 7.0), best_step=20, best_score=7.0
)


def test_learning_curves_draw_what_fit_returns() -> None:
    assert plots.alt_text(plots.learning_curves(HISTORY)) == (
        "Validation score over training steps, 1 run: best run 0 with 7 at step 20."
    )
    assert "2 runs: best run 0 with 7" in plots.alt_text(plots.learning_curves([HISTORY, HISTORY]))


anyhow: Any = plots  # to be called with what its types forbid


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anyhow.learning_curves("x"), "trials must be a sequence of records, got str"),
        (lambda: anyhow.learning_curves(None), "trials must be a sequence of records, got NoneType"),
        (lambda: anyhow.learning_curves([3]), "trials must be records with a history, or histories of fit, got 3"),
        (lambda: anyhow.learning_curves([{}]), "trials must be records with a history, .* got {}"),
        (lambda: anyhow.learning_curves({"a": None}), "trials must be records with a history, .* got None"),
        (lambda: anyhow.learning_curves(HISTORY, higher_is_better=1), "higher_is_better must be True or False, got 1"),
        (lambda: anyhow.learning_curves(HISTORY, baselines=3), r"baselines must map names to scores, .* got 3"),
        (lambda: anyhow.learning_curves(HISTORY, baselines={"a": "b"}), r"baselines\['a'\] must be a finite number"),
        (lambda: anyhow.history(HISTORY), r"got History\. .* is drawn by plots\.learning_curves"),
        (lambda: anyhow.history([HISTORY]), r"records must be Records, .* drawn by plots\.learning_curves"),
        (lambda: anyhow.history(None), "records must be a sequence of records, got NoneType"),
        (lambda: anyhow.history([{"seed": 0, "score": "x"}]), "score must be a number, got 'x'"),
        (lambda: anyhow.circuit(None), "circuit must be a Circuit, got NoneType"),
        (lambda: anyhow.circuit(AutoNCP(8, 2)), r"circuit must be a Circuit, got AutoNCP\. .* wiring\.build"),
        (lambda: anyhow.lines("x", {"a": [1]}, x="a", y="b"), "at must be a flat sequence of numbers, got 'x'"),
        (lambda: anyhow.lines([1, 2], [3], x="a", y="b"), "values must map names to values"),
        (lambda: anyhow.lines([1, 2], {"a": None}, x="a", y="b"), r"values\['a'\] must be a flat sequence of numbers"),
        (lambda: anyhow.lines([1, 2], {"a": [1, 2]}, x="a", y="b", above=3), "above must map names to values"),
        (lambda: anyhow.series([0, 1], None), "truth must be a flat sequence of numbers, got None"),
        (lambda: anyhow.series([0, 1], [1.0, 2.0], forecasts=[3]), "forecasts must map names to values"),
        (lambda: anyhow.series([0, 1], [1.0, 2.0], scores="x"), "scores must be a flat sequence of numbers, got 'x'"),
    ],
)
def test_what_cannot_be_drawn_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
