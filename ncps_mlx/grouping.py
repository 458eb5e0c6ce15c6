"""Which trials belong together: seeds of one configuration, the best configuration for each value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ncps_mlx.records import Record

__all__ = ["Trials", "as_records", "mean_scores", "tuned", "varied"]

Trials = Iterable[Record | Mapping[str, Any]]
"""Records, or rows with ``seed``, ``score`` and the knobs by name."""

ABOUT = ("model", "task", "metric", "units", "higher_is_better", "status", "reason", "history", "seconds")


def as_records(trials: Trials) -> list[Record]:
    """Take records as they are, and turn plain rows (``seed``, ``score`` and the knobs) into records.

    Raises:
        ValueError: Nothing is there, or a row has no ``seed`` or no ``score``.

    Example:
        >>> as_records([{"learning_rate": 0.01, "seed": 0, "score": 23.1}])[0].config
        {'learning_rate': 0.01}
    """
    found = []
    rows: Iterable[Any] = trials  # a caller without types may pass anything
    for place, trial in enumerate(rows):
        if isinstance(trial, Record):
            found.append(trial)
            continue
        if not isinstance(trial, Mapping) or not {"seed", "score"} <= trial.keys():
            raise ValueError(f"records must be Records, or mappings with 'seed' and 'score', got {trial!r}.")
        about: dict[str, Any] = {"model": "", "task": "", "metric": "score"}
        about |= {name: trial[name] for name in ABOUT if name in trial}
        knobs = {
            name: value for name, value in trial.items() if name not in (*ABOUT, "seed", "score", "trial")
        }
        found.append(
            Record(
                trial=trial.get("trial", place),
                config=knobs,
                seed=trial["seed"],
                score=float(trial["score"]),
                data_hash="",
                **about,
            )
        )
    if not found:
        raise ValueError("records must hold at least 1 trial, got none.")
    return found


def varied(records: Sequence[Record]) -> list[str]:
    """Name the knobs that have more than one value among the records.

    Example:
        >>> rows = [{"a": 1, "b": 2, "seed": 0, "score": 1.0}, {"a": 3, "b": 2, "seed": 0, "score": 2.0}]
        >>> varied(as_records(rows))
        ['a']
    """
    names = dict.fromkeys(name for record in records for name in record.config)
    return [name for name in names if len({repr(record.config.get(name)) for record in records}) > 1]


def mean_scores(records: Iterable[Record]) -> list[tuple[dict[str, Any], float, list[Record]]]:
    """Average the seeds of each configuration.

    Returns:
        list: (configuration, mean score, its records) in the order of first appearance; the mean is
        infinite where a seed diverged.

    Example:
        >>> scores = [(0.1, 0, 4.0), (0.1, 1, 6.0), (0.01, 0, 3.0)]
        >>> rows = [{"learning_rate": rate, "seed": seed, "score": score} for rate, seed, score in scores]
        >>> [(config["learning_rate"], mean) for config, mean, _ in mean_scores(as_records(rows))]
        [(0.1, 5.0), (0.01, 3.0)]
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(json.dumps([record.model, record.config], sort_keys=True), []).append(record)
    return [
        (dict(group[0].config), float(np.mean([record.score for record in group])), group)
        for group in groups.values()
    ]


def tuned(records: Sequence[Record], *within: str) -> list[Record]:
    """Keep, for each value of the knobs ``within``, its best configuration of all the others.

    That is the fair way to compare, say, hidden sizes: each at the learning rate that suits it. The best is
    the one with the best mean over its seeds.

    Args:
        records: Trials of one study or of several.
        within: Names of the knobs that are to be compared.

    Returns:
        list[Record]: all seeds of the configurations kept, in their order.

    Raises:
        ValueError: No records, or a knob they do not have.

    Example:
        >>> scores = [(8, 0.1, 5.0), (8, 0.01, 4.0), (16, 0.1, 3.0)]
        >>> rows = [{"hidden_size": size, "learning_rate": rate, "seed": 0, "score": score}
        ...         for size, rate, score in scores]
        >>> [record.trial for record in tuned(as_records(rows), "hidden_size")]
        [1, 2]
    """
    if not records:
        raise ValueError("records must hold at least 1 record, got none.")
    for name in within:
        if not all(name in record.config for record in records):
            raise ValueError(f"within must name knobs of every record, got {name!r}.")
    best: dict[str, tuple[float, list[Record]]] = {}
    for config, mean, group in mean_scores(records):
        key = json.dumps([config[name] for name in within])
        loss = -mean if group[0].higher_is_better else mean
        if key not in best or loss < best[key][0]:
            best[key] = (loss, group)
    kept = {id(record) for _, group in best.values() for record in group}
    return [record for record in records if id(record) in kept]
