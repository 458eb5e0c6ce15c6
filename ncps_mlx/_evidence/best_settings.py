"""The best configuration that searches found for a task, beside the defaults and classical methods; as a file for tune.

Candidates are what each repeat chose. One of them is chosen by validation on common seeds, and judged by its test
scores on fresh ones. All of it follows from the trials.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ncps_mlx._evidence.plan import Row, TrialIndex, index_of
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.search_plan import Config, SearchMember, repeats, validation
from ncps_mlx._evidence.search_pool import SearchPool
from ncps_mlx._evidence.search_results import SearchTrials, search_trials
from ncps_mlx._evidence.tasks import arguments_of, make_task
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.toml import to_toml
from ncps_mlx.data._metrics import METRICS
from ncps_mlx.stats._intervals import paired

__all__ = ["best_members", "best_settings", "classical_scores", "settings_file", "write_settings"]

CHOOSING_SEEDS = range(5)
JUDGING_SEEDS = range(300, 310)
DEFAULTS = "defaults"


def best_members(trials: SearchTrials) -> list[SearchMember]:
    """What is trained to choose and to judge the best, as far as it can be yet."""
    candidates = _candidates(trials)
    members = [member for config in candidates or () for member in _choosing(trials, config)]
    best = _best(trials, candidates)
    return members + ([] if best is None else [*_judging(trials, best), *_judging(trials, _defaults(trials))])


def _choosing(trials: SearchTrials, config: Config) -> list[SearchMember]:
    return [trials.member("choose", config, seed, seed) for seed in CHOOSING_SEEDS]


def _judging(trials: SearchTrials, config: Config) -> list[SearchMember]:
    return [trials.member("judge", config, seed, seed) for seed in JUDGING_SEEDS]


def _defaults(trials: SearchTrials) -> Config:
    (first, *_) = repeats(trials.pool, trials.budget)
    choice = trials.choice(trials.pool.searches[DEFAULTS], first)
    assert choice is not None  # there are candidates
    return choice


def _candidates(trials: SearchTrials) -> list[Config] | None:
    """Of each repeat the choice that was best trained again, each once; ``None`` while trials are missing."""
    found: dict[str, Config] = {}
    for repeat in repeats(trials.pool, trials.budget):
        searches = [search for search in trials.pool.searches.values() if search.sampler != DEFAULTS]
        choices = [trials.choice(search, repeat) for search in searches]
        if any(choice is None for choice in choices):
            return None
        best = _best_of([choice for choice in choices if choice is not None], trials, repeat)
        if best is None:
            return None
        found.setdefault(repr(best), best)
    return list(found.values())


def _best_of(configs: Sequence[Config], trials: SearchTrials, repeat: int | None = None) -> Config | None:
    """The configuration of the best mean validation score: retrained in a repeat, or on the seeds for choosing."""
    scores = []
    for config in configs:
        members = _choosing(trials, config) if repeat is None else trials.retraining(config, repeat)
        rows = trials.rows(members)
        if len(rows) < len(members):
            return None
        scores.append(fmean(validation(row, trials.task) for row in rows))
    best = max if METRICS[trials.task.metric].greater_is_better else min
    return configs[scores.index(best(scores))]


def _best(trials: SearchTrials, candidates: Sequence[Config] | None) -> Config | None:
    return None if candidates is None else _best_of(candidates, trials)


def best_settings(trials: SearchTrials, delta: float) -> dict[str, Any] | None:
    """What a task's best settings are, and were compared with, but for classical methods; ``None`` if trials lack."""
    candidates = _candidates(trials)
    best = _best(trials, candidates)
    if candidates is None or best is None:
        return None
    tested: dict[str, list[float | None]] = {}
    for name, config in (("best", best), (DEFAULTS, _defaults(trials))):
        rows = trials.rows(_judging(trials, config))
        if len(rows) < len(JUDGING_SEEDS):
            return None
        tested[name] = [row["scores"]["test"] for row in rows]
    sign = 1 if METRICS[trials.task.metric].greater_is_better else -1
    each = zip(tested["best"], tested[DEFAULTS], strict=True)
    pairs = [(sign * one, sign * other) for one, other in each if one is not None and other is not None]
    gain = paired([one for one, _ in pairs], [other for _, other in pairs])
    return {
        "pool": trials.pool.name,
        "task": trials.task.name,
        "budget": trials.budget,
        "metric": trials.task.metric,
        "unit": trials.task.unit,
        "config": best,
        "defaults": _defaults(trials),
        "candidates": [
            {
                "config": config,
                "validation": [row["scores"]["validation"] for row in trials.rows(_choosing(trials, config))],
            }
            for config in candidates
        ],
        "seeds": {"validation": list(CHOOSING_SEEDS), "test": list(JUDGING_SEEDS)},
        "test": tested,
        "delta": delta,
        "gain": {name: float(f"{getattr(gain, name):.6g}") for name in ("mean", "low", "high", "n")},
        "is_better": bool(gain.low > 0 and gain.mean >= delta),
    }


def classical_scores(trials: SearchTrials, seeds: Sequence[int]) -> dict[str, list[float]]:
    """The test scores of classical methods on the data that these seeds draw; one score if none are drawn."""
    level = trials.member("judge", {}, 0, 0).level
    each = [make_task(trials.task, level, seed).baselines() for seed in (seeds if trials.task.draw else [None])]
    return {name: [float(f"{one[name]:.6g}") for one in each] for name in each[0]}


def settings_file(trials: SearchTrials, record: Mapping[str, Any]) -> str:
    """A record as a file that ``ncps-mlx tune`` takes: it begins with the best configuration, in the space searched."""
    task, best = trials.task, record["config"]
    settings = {**trials.pool.settings_of(task, trials.budget), "steps": task.steps[trials.budget]}
    text = to_toml(
        {
            "data": {"task": task.factory, **arguments_of(task, trials.member("judge", best, 0, 0).level)},
            "model": {"class": trials.pool.model} | {k: v for k, v in settings.items() if k not in best},
            "space": {name: values for name, values in trials.pool.space.items() if name in best},
            "search": {"trials": 1, "first": [best], "seeds": [0]},
            "final": {"seeds": list(CHOOSING_SEEDS), "output": f"{task.name}.safetensors"},
        }
    )
    return "\n".join([*(f"# {line}".rstrip() for line in _said(record)), "", text])


def _said(record: Mapping[str, Any]) -> list[str]:
    """What a reader of the file should know."""
    unit, n = f" {record['unit']}" if record["unit"] else "", len(record["seeds"]["test"])
    tested = {**record["test"], **record["classical"]}
    means = {name: fmean(score for score in scores if score is not None) for name, scores in tested.items()}
    gain = record["gain"]
    judged = "they beat them by" if record["is_better"] else "they do not beat them by"
    return [
        f"The best settings known for {record['task']}, of {len(record['candidates'])} candidates that searches gave.",
        f"Chosen by validation on {len(record['seeds']['validation'])} seeds, judged on {n} fresh ones:",
        f"test {record['metric']}: " + ", ".join(f"{name} {mean:.4g}" for name, mean in means.items()) + unit + ".",
        f"Gain on the defaults: {gain['mean']:.3g} [{gain['low']:.3g}, {gain['high']:.3g}]{unit}; "
        f"{judged} the {record['delta']:g} that matters.",
        "",
        f"The record is {record['task']}.json; its trials are in trials/{record['pool']}.jsonl, {record['budget']}.",
        "More trials in [search] go on from here: ncps-mlx tune FILE.",
    ]


def write_settings(
    pool: SearchPool, rows: Sequence[Row] | TrialIndex, deltas: Mapping[str, float], folder: Path
) -> list[Path]:
    """Write the best settings of each task whose trials are there, at the longest budget; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    index, written = index_of(rows), []
    for task in pool.tasks.values():
        for budget in reversed(BUDGETS):
            trials = search_trials(pool, task, budget, index)
            record = best_settings(trials, deltas[task.name])
            if record is not None:
                record["classical"] = classical_scores(trials, JUDGING_SEEDS)
                path = folder / f"{task.name}.toml"
                atomic_write(path, settings_file(trials, record).encode(), "Settings")
                text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
                atomic_write(path.with_suffix(".json"), text.encode(), "The record of settings")
                written.append(path)
                break
    return written
