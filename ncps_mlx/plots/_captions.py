"""Words and numbers for figures: what a score is called, means with intervals, what the caption says.

Nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ncps_mlx._trials import TrialResult, check_hyperparameter, has_value, mean_scores, score_of, varied
from ncps_mlx._utils.json_values import format_value
from ncps_mlx._utils.validation import check_mapping, check_names, check_number, check_text
from ncps_mlx.data._metrics import scale_of
from ncps_mlx.stats import Interval, interval

__all__ = [
    "as_text",
    "baseline_note",
    "best_configuration_note",
    "best_row",
    "capitalize",
    "check_hyperparameter",
    "checked_baselines",
    "configuration_rows",
    "flat_rows",
    "has_value",
    "hyperparameters_of",
    "list_hyperparameters",
    "off_scale_note",
    "pruned_note",
    "score_name",
    "score_of",
    "spaced",
    "summarize",
    "task_note",
    "trial_points",
]

NAMES = {"rmse": "RMSE", "mae": "MAE"}


def checked_baselines(baselines: Mapping[str, float] | None) -> dict[str, float]:
    """Return the scores to beat by name, or refuse what is not that."""
    found = check_mapping("baselines", baselines, "scores, as task.baselines() does")
    return {name: check_number(f"baselines[{name!r}]", score) for name, score in found.items()}


def score_name(records: Sequence[TrialResult], split: str = "validation") -> str:
    """Name a score with its split and unit: ``validation RMSE (mg/dl)``."""
    metrics = list(dict.fromkeys(record.metric for record in records))
    if len(metrics) > 1:
        raise ValueError(f"records must share one metric, got {', '.join(metrics)}.")
    name = f"{check_text('split', split)} {NAMES.get(metrics[0], metrics[0])}".strip()
    return f"{name} ({records[0].units})" if records[0].units else name


def summarize(values: Iterable[float], metric: str = "") -> dict[str, Any]:
    """Return mean, interval and count of scores; no interval below two scores, no mean if one diverged."""
    scores = list(values)
    diverged = sum(not math.isfinite(score) for score in scores)
    row: dict[str, Any] = {"mean": None, "low": None, "high": None, "n": len(scores), "diverged": diverged}
    if not diverged and len(scores) > 1:
        found = interval(scores, scale=scale_of(metric, scores))
        row |= {"mean": found.mean, "low": found.low, "high": found.high}
    elif not diverged and scores:
        row["mean"] = scores[0]
    return row


def as_text(value: Any) -> str:
    """Write a value briefly; a mapping with ``mean``, ``low`` and ``high`` as a mean with its interval."""
    if isinstance(value, Mapping) and "low" in value:
        if value["low"] is None:
            return as_text(value["mean"])
        return str(
            Interval(mean=value["mean"], low=value["low"], high=value["high"], n=value["n"], confidence=0.95)
        )
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else format_value(value)


def hyperparameters_of(runs: Sequence[TrialResult], hyperparameters: Sequence[str] | None) -> list[str]:
    """Return the hyperparameters to draw: these, which every trial must have, or all that vary."""
    given = None if hyperparameters is None else check_names("hyperparameters", hyperparameters, "hyperparameters")
    names = varied(runs) if given is None else given
    if not names:
        raise ValueError("hyperparameters must name at least 1 hyperparameter that varies, got none.")
    for name in names:
        check_hyperparameter("hyperparameters", name, runs)
    return names


def trial_points(runs: Sequence[TrialResult], names: Sequence[str]) -> list[dict[str, Any]]:
    """Every trial with its values of the hyperparameters, its seed, score and status."""
    return [
        {"x": {name: run.config[name] for name in names}, "seed": run.seed, "score": score_of(run)}
        | {"status": run.status}
        for run in runs
    ]


def configuration_rows(runs: Sequence[TrialResult], names: Sequence[str]) -> list[dict[str, Any]]:
    """Every configuration with its values, its mean over the seeds, and how many seeds were pruned."""
    return [
        {"x": {name: config[name] for name in names}}
        | summarize([score_of(run) for run in group], runs[0].metric)
        | {"pruned": sum(run.status == "pruned" for run in group)}
        for config, _, group in mean_scores(runs)
    ]


def flat_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each hyperparameter a column of its own in the rows of configurations."""
    return [row["x"] | {key: value for key, value in row.items() if key != "x"} for row in rows]


def best_row(rows: Sequence[dict[str, Any]], higher: bool) -> dict[str, Any] | None:
    """Return the row with the best mean, of those where every seed converged and none was pruned."""
    good = [row for row in rows if row["mean"] is not None and not row.get("pruned")]
    return min(good, key=lambda row: -row["mean"] if higher else row["mean"], default=None)


def capitalize(text: str) -> str:
    """Begin a sentence."""
    return text[:1].upper() + text[1:]


def spaced(name: str) -> str:
    """A hyperparameter's name in a sentence."""
    return name.replace("_", " ")


def list_hyperparameters(names: Sequence[str]) -> str:
    """Write the names as ``a, b and c``."""
    *others, last = map(spaced, names)
    return f"{', '.join(others)} and {last}" if others else last


def task_note(runs: Sequence[TrialResult]) -> str:
    """Name the task, if it has a name."""
    return f" on {runs[0].task}" if runs and runs[0].task else ""


def best_configuration_note(best: Mapping[str, Any] | None, none: str) -> str:
    """Say which configuration is the best, with its score, or that there is ``none``."""
    if best is None:
        return none
    return f"best {as_text(best)} at " + ", ".join(f"{spaced(name)} {as_text(v)}" for name, v in best["x"].items())


def baseline_note(baselines: Mapping[str, float]) -> str:
    """Name the baselines with their scores, as the end of a sentence."""
    if not baselines:
        return ""
    return f"; baseline{'s' if len(baselines) > 1 else ''} " + ", ".join(
        f"{name} {as_text(value)}" for name, value in baselines.items()
    )


def off_scale_note(diverged: int, far: int) -> str:
    """Say how many runs are drawn at the edge."""
    words = f" {diverged} diverged run{'s' if diverged > 1 else ''}, shown as crosses." if diverged else ""
    return words + (f" {far} run{'s' if far > 1 else ''} beyond the axis, shown as triangles." if far else "")


def pruned_note(runs: Sequence[TrialResult]) -> str:
    """Say how many runs were pruned."""
    pruned = sum(run.status == "pruned" for run in runs)
    return f" {pruned} of the trials pruned, with their score so far." if pruned else ""
