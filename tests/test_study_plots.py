"""Figures of a whole study: its history, all hyperparameters at once, importance; what was pruned is told apart."""

import json
import math
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from ncps_mlx import AutoNCP, plots

# Private: rows as a study gives them, and a figure of its report.
from ncps_mlx._trials import TrialResult, as_records
from ncps_mlx.plots._importance import importance


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def rows(**about: Any) -> list[TrialResult]:
    """Six configurations, two seeds each: scores 6, 5, 4... from rate to rate; the fifth pruned, the last diverged."""
    found = []
    for i in range(6):
        for seed in (0, 1):
            status = {4: "pruned", 5: "diverged"}.get(i, "finished")
            score = math.inf if i == 5 else 6.0 - i + 0.1 * seed
            found.append(
                {"trial": 2 * i + seed, "learning_rate": 10.0**-i, "mode": ["default", "pure"][i % 2], "width": 8,
                 "seed": seed, "score": score, "status": status, "task": "sines", "metric": "rmse", **about}
            )  # fmt: skip
    return as_records(found)


def line(fig: Figure, label: str) -> Any:
    (found,) = (each for each in fig.axes[0].get_lines() if each.get_label() == label)
    return found


def test_history_follows_the_best_that_was_not_pruned() -> None:
    fig = plots.history(rows(), baselines={"ridge": 3.5})
    fig.canvas.draw()
    values = plots.numbers(fig)
    assert line(fig, "best so far").get_ydata().tolist() == pytest.approx(
        [6.05, 5.05, 4.05, 3.05, 3.05, 3.05, 3.05]
    )
    assert values["best"]["x"] == 7 and values["best"]["mean"] == pytest.approx(3.05)
    assert [row["pruned"] for row in values["summary"]] == [0, 0, 0, 0, 2, 0]
    assert len(values["points"]) == 12 and values["points"][-1]["score"] is None
    assert line(fig, "pruned").get_markerfacecolor() == "none" and len(line(fig, "pruned").get_xdata()) == 2
    text = plots.alt_text(fig)
    assert text.startswith(
        "Validation RMSE of 12 trials on sines in their order: best 3.0 [2.4, 3.7] at trial 7"
    )
    assert (
        "the last of 4 improvements; baseline ridge 3.5. 2 of the trials pruned, with their score so far."
        in text
    )
    assert "2 diverged runs, shown as crosses." in text
    json.dumps(values, allow_nan=False)
    assert plots.as_table(fig).splitlines()[0].split()[0] == "trial"


def test_history_turns_round_where_higher_is_better() -> None:
    fig = plots.history([run for run in rows(higher_is_better=True) if not run.diverged])
    assert plots.numbers(fig)["best"]["x"] == 1
    assert "at trial 1, the first one" in plots.alt_text(fig)
    nothing = plots.history([run for run in rows() if run.diverged])
    assert "no configuration converged with every seed" in plots.alt_text(nothing)


def test_parallel_draws_every_configuration_and_lifts_the_best() -> None:
    fig = plots.parallel(rows())
    fig.canvas.draw()
    values = plots.numbers(fig)
    assert values["x"] == ["learning_rate", "mode"]
    lines: list[Any] = [each for each in fig.axes[0].get_lines() if len(np.asarray(each.get_xdata())) == 3]
    best = line(fig, "best")
    heights = sorted(each.get_ydata()[2] for each in lines)
    assert len(heights) == 6
    assert best.get_ydata().tolist()[:2] == pytest.approx([2 / 5, 1.0])
    assert best.get_ydata()[2] == heights[-2]  # above it the pruned one alone
    assert best.get_linewidth() > max(each.get_linewidth() for each in lines if each is not best)
    assert heights[0] == 0.0  # the diverged one ends at the bottom
    assert values["best"]["x"] == {"learning_rate": 1e-3, "mode": "pure"}
    text = plots.alt_text(fig)
    assert "Validation RMSE of 6 configurations on sines across learning rate and mode: best 3.0 [2.4" in text
    assert "2 of the trials pruned" in text and "1 with diverged runs, ending at the bottom." in text
    json.dumps(values, allow_nan=False)
    assert len(plots.as_table(fig).splitlines()) == 7


def test_parallel_takes_any_kind_of_knob() -> None:
    runs = as_records(
        {"wiring": wiring, "clip_norm": limit, "width": width, "seed": 0, "score": float(i)}
        for i, (wiring, limit, width) in enumerate(
            [(None, 1.0, 8), (AutoNCP(7, 2), None, 8), (AutoNCP(8, 2), 0.5, 9), (AutoNCP(8, 2), 0.5, 40)]
        )
    )
    fig = plots.parallel(runs, ["wiring", "clip_norm", "width"])
    fig.canvas.draw()
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert {"AutoNCP(7, 2)", "none", "8", "40"} <= set(texts)
    assert "9" not in texts  # too near to 8
    single = plots.parallel(runs[:1], ["width"])
    assert line(single, "best").get_ydata()[0] == 0.5


def test_importance_is_ordered_and_labelled() -> None:
    fig = importance({"mode": 0.05, "learning_rate": 0.9, "hidden_size": 0.05})
    fig.canvas.draw()
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == [
        "learning rate",
        "mode",
        "hidden size",
    ]
    assert plots.numbers(fig)["summary"][0] == {"x": "learning_rate", "share": 0.9}
    assert plots.as_table(fig).splitlines()[1].split() == ["learning_rate", "0.9"]


def test_slices_draw_pruned_trials_hollow_and_ring_none_of_them() -> None:
    runs = [run for run in rows() if not run.diverged]
    fig = plots.slices(runs)
    faces = [each.get_markerfacecolor() for each in fig.axes[0].get_lines()]
    assert faces.count("none") == 2  # the pruned ones, and the ring
    assert plots.numbers(fig)["best"]["x"]["learning_rate"] == 1e-3
    assert plots.alt_text(fig).endswith("2 of the trials pruned, with their score so far.")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.history([]), "records must hold at least 1 trial, got none"),
        (lambda: plots.parallel(rows()[:2]), "hyperparameters must name at least 1 hyperparameter that varies"),
        (lambda: plots.parallel(rows(), ["colour"]), "hyperparameters must name a hyperparameter of every trial"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
