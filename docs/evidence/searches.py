"""What whole searches found, for the pages on searching: scores of what they chose, gains, a figure; none typed.

All follows from the trials of the pool ``search`` by the code that computes the verdicts. A repeat of a search has
data, a training seed and draws of its own; what it chose by validation was trained again with new seeds, and tested.
Gains on the defaults are no claims: that contrast was not written down before its trials were run, and has no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from docs.evidence import says
from ncps_mlx import stats

# Private: the evidence's own reading of its files, and the house style of figures.
from ncps_mlx._evidence.plan import Row, index_of
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.record import read_pools, trial_path
from ncps_mlx._evidence.registry import read_deltas
from ncps_mlx._evidence.search_plan import repeats
from ncps_mlx._evidence.search_pool import SearchPool
from ncps_mlx._evidence.search_results import SearchTrials, search_trials
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._utils.validation import check_choice
from ncps_mlx.data._metrics import METRICS
from ncps_mlx.plots._figure import COLOURS, DASHES, MARKERS, WIDTH, describe, draw_legend, figure
from ncps_mlx.plots._told import tell

__all__ = ["begun", "curve", "curve_rows", "curve_trials", "flattery", "gain", "halving_cost", "score", "scores"]

DOCS = Path(__file__).resolve().parents[1]
NAMES = {
    "defaults": "the defaults, no search",
    "random_8": "random, 8 trials",
    "random_16": "random, 16",
    "random_32": "random, 32",
    "random_64": "random, 64",
    "quasi_random": "Sobol, 16",
    "grid_4": "grid of four hyperparameters, 16",
    "grid_6": "grid of six, 16",
    "staged": "one after the other, 32",
    "tpe": "TPE, 32",
    "halving": "halving, 64 begun",
}
CURVE = {8: "random_8", 16: "random_16", 32: "random_32", 64: "random_64"}


@cache
def pool() -> SearchPool:
    """The pool of searches."""
    found = read_pools(DOCS)["search"]
    assert isinstance(found, SearchPool)
    return found


@cache
def index() -> dict[str, Row]:
    """Its trials."""
    return index_of(read_trials(trial_path(DOCS, "search")))


@cache
def trials(task: str, budget: str) -> SearchTrials:
    """Its trials on a task at a budget."""
    spec = pool().tasks[check_choice("task", task, pool().tasks)]
    return search_trials(pool(), spec, check_choice("budget", budget, BUDGETS), index())


@cache
def retrained(search: str, task: str, budget: str) -> tuple[tuple[Row, ...], ...]:
    """By repeat, what a search chose, trained again with new seeds."""
    own, found = pool().searches[check_choice("search", search, pool().searches)], []
    for repeat in repeats(pool(), budget):
        config = trials(task, budget).choice(own, repeat)
        rows = [] if config is None else trials(task, budget).rows(trials(task, budget).retraining(config, repeat))
        if len(rows) < pool().retrained or any(row["status"] == "diverged" for row in rows):
            raise ValueError(f"{search} must have been trained again in all repeats, got {len(rows)} in {repeat}")
        found.append(tuple(rows))
    return tuple(found)


def tested(search: str, task: str, budget: str) -> list[float]:
    """By repeat, its mean test score."""
    return [fmean(row["scores"]["test"] for row in rows) for rows in retrained(search, task, budget)]


def gains(search: str, task: str, budget: str, over: str = "defaults") -> list[float]:
    """By repeat, how much better a search did than the defaults, or than another."""
    return [
        sign_of(task) * (a - b)
        for a, b in zip(tested(search, task, budget), tested(over, task, budget), strict=True)
    ]


def sign_of(task: str) -> int:
    """1 where a higher score is better, else -1."""
    return 1 if METRICS[pool().tasks[task].metric].greater_is_better else -1


def said(differences: Sequence[float], task: str) -> str:
    """Paired differences in words, in the task's unit: ``0.5 mg/dl better [0.2, 0.8]``."""
    found = stats.interval(differences)
    about = {"task": task, "unit": pool().tasks[task].unit, "delta": 1.0, "pairs": differences}
    about |= {"effect": found.mean, "low": found.low, "high": found.high}
    return says.effect_of({"statistic": "retrained best", "ratio": None}, about)


def gain(search: str, task: str, budget: str, over: str = "defaults") -> str:
    """How much better or worse a search did than the defaults, or than another search."""
    return said(gains(search, task, budget, over), task)


def scores(budget: str) -> list[list[str]]:
    """Searches down, tasks across: the test score of what each chose, with its interval over repeats."""
    head = [f"{budget} budget"]
    for name, spec in pool().tasks.items():
        metric, unit = ("accuracy", "%") if spec.metric == "accuracy" else (spec.metric.upper(), spec.unit)
        head.append(f"{says.task_name(name)}, {metric} in {unit}")
    return [head, *([name, *(score(key, task, budget) for task in pool().tasks)] for key, name in NAMES.items())]


def score(search: str, task: str, budget: str) -> str:
    """The test score of what a search chose, with its interval over repeats; an accuracy in percent."""
    found = tested(search, task, budget)
    if pool().tasks[task].metric == "accuracy":
        return str(stats.interval([100 * each for each in found], scale=(0, 100)))
    return str(stats.interval(found))


def flattery(search: str, task: str, budget: str) -> str:
    """How much better the best of a search scored on validation than the same trained again with new seeds."""
    own, sign, better = pool().searches[search], sign_of(task), []
    for repeat, again in zip(repeats(pool(), budget), retrained(search, task, budget), strict=True):
        scores = [row["scores"]["validation"] for row in trials(task, budget).trials(own, repeat) or ()]
        best = max(sign * each for each in scores if each is not None)
        better.append(best - sign * fmean(row["scores"]["validation"] for row in again))
    return said(better, task)


def halving_cost(search: str = "halving") -> str:
    """How many whole trainings a halved search costs."""
    bracket = pool().searches[search].bracket
    if bracket is None:
        raise ValueError(f"search must be halved, got {search!r}")
    return f"{bracket.cost:.1f}"


def begun(search: str = "halving") -> str:
    """How many trials it begins."""
    return str(pool().searches[search].trials)


def curve() -> Figure:
    """What more random trials bring on each task: test scores of what was chosen, every repeat a dot."""
    deltas = read_deltas(DOCS / "claims.toml")
    names = list(pool().tasks)
    points, summary = list[dict[str, Any]](), list[dict[str, Any]]()
    for task in names:
        for budget in BUDGETS:
            for count, search in CURVE.items():
                found = [each / deltas[task] for each in gains(search, task, budget)]
                about = {"task": task, "budget": budget, "x": count}
                points += [about | {"repeat": i, "score": value} for i, value in enumerate(found)]
                whole = stats.interval(found)
                summary.append(about | {"mean": whole.mean, "low": whole.low, "high": whole.high, "n": whole.n})
    y = "gain on the defaults, δ"
    lines = math.ceil(len(names) / 2)
    with figure(lines, 2, (WIDTH, 3.0 * lines + 0.5), sharey=True) as (fig, axes):
        for ax, task in zip(axes, names, strict=False):
            _draw(ax, [row for row in points if row["task"] == task], [row for row in summary if row["task"] == task])
            ax.set_title(says.task_name(task))
            ax.set_xlabel("random trials")
        for ax in axes[len(names) :]:
            ax.remove()
        for ax in axes[::2]:
            ax.set_ylabel(y)
        draw_legend(axes[0], "budget")
    text = "Gain on the defaults, in units of the smallest difference that matters, against the number of trials. "
    text += " ".join(_words(summary, task, budget) for task in names for budget in BUDGETS)
    return describe(fig, text, kind="search budget", x="random trials", y=y, points=points, summary=summary)


def curve_rows() -> list[list[str]]:
    """The same as a table: gains with their intervals, tasks and budgets down, numbers of trials across."""
    deltas = read_deltas(DOCS / "claims.toml")
    table = [["gain on the defaults, δ", *(f"{count} trials" for count in CURVE)]]
    for task in pool().tasks:
        for budget in BUDGETS:
            found = ([each / deltas[task] for each in gains(search, task, budget)] for search in CURVE.values())
            table.append([f"{says.task_name(task)}, {budget}", *(str(stats.interval(each)) for each in found)])
    return table


def curve_trials() -> list[str]:
    """The pool of the figure."""
    return [pool().name]


def _draw(ax: Any, points: Sequence[dict[str, Any]], summary: Sequence[dict[str, Any]]) -> None:
    ax.axhline(0, color="#222222", linewidth=1.2)
    ax.axhspan(-1, 1, color="#E0E0E0", zorder=0.5)
    ax.set_xscale("log")
    for i, budget in enumerate(BUDGETS):
        shift = 1.12 ** (2 * i - 1)
        own = [row for row in points if row["budget"] == budget]
        dots = [(shift / 1.08 * row["x"], row["score"]) for row in own]
        (drawn,) = ax.plot(*np.array(dots).T, MARKERS[i], color=COLOURS[i], alpha=0.35, ms=5, mew=0)
        tell(drawn, [f"{budget} budget, repeat {row['repeat']}" for row in own], x=[str(row["x"]) for row in own])
        rows = [row for row in summary if row["budget"] == budget]
        ends = [[sign * (row[end] - row["mean"]) for row in rows] for sign, end in ((-1, "low"), (1, "high"))]
        means = ax.errorbar(
            [shift * row["x"] for row in rows], [row["mean"] for row in rows], yerr=ends,
            color=COLOURS[i], marker=MARKERS[i], linestyle=("-", *DASHES)[i], ms=8, capsize=4, label=budget,
        )  # fmt: skip
        names = [f"{budget} budget, mean of {row['n']}" for row in rows]
        tell(means, names, x=[str(row["x"]) for row in rows])
    ax.set_xticks(list(CURVE), list(map(str, CURVE)))
    ax.minorticks_off()


def _words(summary: Sequence[dict[str, Any]], task: str, budget: str) -> str:
    rows = [row for row in summary if (row["task"], row["budget"]) == (task, budget)]
    gained = ", ".join(f"{row['mean']:.1f} after {row['x']}" for row in rows)
    return f"{says.task_name(task)}, {budget}: {gained}."
