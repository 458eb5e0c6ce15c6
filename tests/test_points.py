"""Points of saved figures: each lies where its mark is in the picture, and says the value of the data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from matplotlib.transforms import ScaledTranslation

import figures
from ncps_mlx import AutoNCP, plots
from ncps_mlx.plots._told import TOLD
from points import MOST, points_of
from points import TOLD as ATTRIBUTE

COLOURS = ("#d62728", "#2ca02c", "#1f77b4", "#9467bd")
X, Y = [0.001, 0.02, 0.5, 3.0], [2.0, 30.0, 400.0, 90.0]


@pytest.fixture(autouse=True)
def _no_figures() -> Iterator[None]:
    yield
    plt.close("all")


def saved(figure: Any, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The picture of a figure, and its points."""
    path = folder / "figure.png"
    figures.save_figure(figure, path)
    return imread(path), json.loads(path.with_suffix(figures.POINTS).read_text(encoding="utf-8"))


def all_points(told: dict[str, Any]) -> list[list[Any]]:
    """The points of all series."""
    return [point for _, points in told["series"] for point in points]


def colour_at(picture: Any, point: list[Any]) -> Any:
    """The colour of the picture where a point is said to lie."""
    height, width = picture.shape[:2]
    return picture[round(point[1] / 1e4 * height), round(point[0] / 1e4 * width), :3]


def squares(ax: Any, **more: Any) -> None:
    """Four points, each of a colour of its own."""
    for x, y, colour in zip(X, Y, COLOURS, strict=True):
        ax.plot([x], [y], "s", color=colour, ms=6, **more)


@pytest.mark.parametrize(
    ("how", "scales"),
    [
        ("dots", ("linear", "linear")), ("dots", ("log", "log")), ("scattered", ("log", "linear")),
        ("bars", ("linear", "log")), ("with error bars", ("symlog", "log")), ("shifted", ("log", "log")),
    ],
)  # fmt: skip
def test_a_point_lies_on_its_mark_and_says_its_value(how: str, scales: tuple[str, str], tmp_path: Path) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(4, 3), layout="constrained")
    figure.suptitle("above everything")
    xs: list[float] = X
    ax = axes[1, 0]
    ax.set(xscale=scales[0], yscale=scales[1], xlabel="rate", ylabel="score", title="lower left")
    if how == "scattered":
        ax.scatter(X, Y, color=COLOURS, s=36)
    elif how == "with error bars":
        for x, y, colour in zip(X, Y, COLOURS, strict=True):
            ax.errorbar([x], [y], yerr=[y / 4], color=colour, marker="s", ms=6, linestyle="none")
    elif how == "shifted":
        ax.set(xlim=(5e-4, 5), ylim=(1, 600))
        squares(ax, transform=ax.transData + ScaledTranslation(0.2, 0.1, figure.dpi_scale_trans), clip_on=False)
    elif how == "bars":
        xs = [1.0, 2.0, 3.0, 4.0]
        for x, y, colour in zip(xs, Y, COLOURS, strict=True):
            ax.bar(x, y, width=0.3, color=colour, edgecolor=colour, linewidth=5)
    else:
        squares(ax)
    picture, told = saved(figure, tmp_path)
    points = all_points(told)
    assert told["panels"] == [["lower left", "rate", "score"]] and len(points) == len(xs)
    for (x, y, colour), point in zip(zip(xs, Y, COLOURS, strict=True), points, strict=True):
        np.testing.assert_allclose(colour_at(picture, point), to_rgb(colour), atol=0.02)
        value, _, ends = point[3].partition(" [")
        assert float(value) == pytest.approx(y, rel=1e-3)
        assert float(point[2]) == pytest.approx(x, rel=1e-3, abs=2e-3)  # a thousandth of a linear axis
        if how == "with error bars":
            assert [float(end) for end in ends.rstrip("]").split(", ")] == pytest.approx([y * 0.75, y * 1.25], rel=1e-3)


def test_categories_dates_and_legends_are_named() -> None:
    figure, (above, below) = plt.subplots(2, 1)
    above.plot([0, 1], [1.0, 2.0], "o", label="test")
    above.set_xticks([0, 1], ["pure", "no_gate"])
    below.plot(np.array(["2026-01-01", "2026-01-03"], dtype="datetime64[D]"), [3.0, 4.0], label="_hidden")
    figure.canvas.draw()
    told = points_of(figure, figure.bbox_inches)
    assert [point[2:] for point in all_points(told)] == [
        ["pure", "1", "test"], ["no_gate", "2", "test"], ["2026-01-01 00:00", "3", ""], ["2026-01-03 00:00", "4", ""],
    ]  # fmt: skip


def test_texts_are_looked_for_where_plots_attach_them() -> None:
    assert ATTRIBUTE == TOLD


def test_levels_and_what_is_cut_off_are_no_points(tmp_path: Path) -> None:
    figure, ax = plt.subplots()
    ax.axhline(2.0)
    ax.axvline(1.0)
    ax.plot([0, 1, 2], [1.0, 2.0, 9.0], "o")
    ax.set(xlim=(-1, 3), ylim=(0, 3))
    assert [point[3] for point in all_points(saved(figure, tmp_path)[1])] == ["1", "2"]


def test_dense_lines_are_thinned_and_dots_are_not(tmp_path: Path) -> None:
    figure, ax = plt.subplots()
    ax.plot(np.arange(5000), np.arange(5000), label="line")
    ax.plot(np.arange(200), np.arange(200), "o", label="seeds")
    points = all_points(saved(figure, tmp_path)[1])
    line = [point for point in points if point[4] == "line"]
    assert len(points) - len(line) == 200 and len(line) <= MOST
    assert (line[0][2], line[-1][2]) == ("0", "4999")


def test_every_seed_of_a_sweep_is_told_with_its_score(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"size": size, "seed": seed, "budget": budget, "score": score}
        for size in (8, 16) for budget in ("short", "long") for seed in range(4)
        for score in [math.inf if (size, budget, seed) == (16, "short", 3) else size + seed / 7]
    ]  # fmt: skip
    figure = plots.sweep(rows, "size", hue="budget")
    points = all_points(saved(figure, tmp_path)[1])
    seeds = {tuple(point[2:]) for point in points if "seed" in point[4]}
    finite = [row for row in rows if math.isfinite(row["score"])]
    assert len(seeds) == len(finite)
    for row in finite:
        wanted = (str(row["size"]), f"budget {row['budget']}, seed {row['seed']}")
        (text,) = (y for x, y, name in seeds if (x, name) == wanted)
        assert float(text) == pytest.approx(row["score"], rel=1e-3)
    assert ["16", "diverged", "budget short"] in [point[2:] for point in points]
    means = [point for point in points if point[4] == "budget long, mean of 4"]
    assert [point[2] for point in means] == ["8", "16"] and all(" [" in point[3] for point in means)


@pytest.mark.parametrize(
    ("figure", "wanted"),
    [
        (lambda: plots.circuit(AutoNCP(8, 2).build(3)), ["4 synapses in", "2 out", "command 2"]),
        (
            lambda: plots.parallel([{"rate": 0.1 * i, "size": 8 * i, "seed": 0, "score": float(i)} for i in (1, 2)]),
            ["size", "8", "best"],
        ),
        (
            lambda: plots.differences(
                [{"mode": mode, "seed": s, "score": s + s * k / 4} for k, mode in enumerate("ab") for s in range(3)],
                "mode", "a",
            ),
            ["0.500", "b", "seed 2"],
        ),
    ],
)  # fmt: skip
def test_what_plots_attach_is_told(figure: Any, wanted: list[str], tmp_path: Path) -> None:
    assert wanted in [point[2:] for point in all_points(saved(figure(), tmp_path)[1])]
