"""A study that grows: a new one begins with what an older one trained, and adopts its records."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ncps_mlx._kernels.tanh import current_tanh
from ncps_mlx._utils.validation import check_mapping
from ncps_mlx.search._config import StudyConfig
from ncps_mlx.search._halving import Halving
from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.trial_store import TrialSpec
from ncps_mlx.training._hyperparameters import recorded_config

__all__ = ["adopted", "extended_config", "next_names"]


def extended_config(config: StudyConfig, records: Sequence[Record], **changes: Any) -> StudyConfig:
    """Say how a study is made that begins with the configurations of another that lie in its space.

    ``changes`` are the arguments of :meth:`Study.extended`; what is ``None`` stays as it is.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    space = given.get("space", config.space)
    if not isinstance(space, Space):
        raise ValueError(f"space must be a Space, got {type(space).__name__}.")
    fixed = check_mapping("fixed", given.get("fixed"), "values")
    kept = {name: value for name, value in config.fixed.items() if name not in space.distributions}
    given["fixed"] = kept | fixed
    sampler = given.get("sampler", config.sampler)
    if isinstance(sampler, str) and sampler == "grid":
        given.setdefault("trials", None)  # all it has
    halving = config.halving
    if isinstance(halving, Halving) and halving.bracket_size == config.trials:
        given["halving"] = replace(halving, bracket_size=None)  # all of them, however many
    full = [recorded_config(record.model, record.config, {}) for record in records]
    full += [config.with_defaults(known) for known in config.first]
    inside = {_key(found): found for each in full if (found := _restrict(space, each)) is not None}
    new = config.changed(**given, first=list(inside.values()))
    if full and not inside:
        outside = [name for name in space.distributions if not any(_lies(space, name, each) for each in full)]
        where = f": its {', '.join(outside)} leaves out what they had" if outside else ""
        warnings.warn(f"None of the {len(full)} configurations known lies in the new space{where}.", stacklevel=3)
    return new


def _restrict(space: Space, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of a complete configuration that a space varies; ``None`` if it lies outside."""
    if not space.distributions.keys() <= config.keys():
        return None  # the model has no such hyperparameter, which is refused elsewhere
    found = space.restrict(config)
    return found if all(_lies(space, name, found) for name in found) else None


def _lies(space: Space, name: str, config: Mapping[str, Any]) -> bool:
    return name in config and space.distributions[name].contains(config[name])


def adopted(config: StudyConfig, records: Sequence[Record]) -> list[tuple[TrialSpec, Record]]:
    """Pair trials of a new study with the records of another that are theirs, and warn of those of other means."""
    task, found, others = config.task, [], 0
    reasons: dict[str, None] = {}  # in the order in which they were found
    now = {"data_hash": task.data_hash, "metric": task.metric, "model": config.model, "tanh": current_tanh()}
    first = config.specs(enumerate(config.first))
    specs = {(_key(config.with_defaults(spec.config)), spec.seed): spec for spec in first}
    for record in records:
        spec = specs.get((_key(recorded_config(record.model, record.config, {})), record.seed))
        if spec is None:
            continue
        then = {name: getattr(record, name, record.versions.get(name, "not recorded")) for name in now}
        if different := [name for name in now if then[name] != now[name]]:
            others += 1
            reasons |= {f"{name} was {then[name]} and is {now[name]}": None for name in different}
        else:
            found.append((spec, replace(record, trial=spec.index)))
    if others:
        warnings.warn(
            f"{others} of {others + len(found)} trials are trained again: {'; '.join(reasons)}.", stacklevel=3
        )
    return found


def _key(value: Any) -> Any:
    """Something equal, and hashable, for equal values of configurations: 1 and 1.0 are."""
    if isinstance(value, Mapping):
        return tuple((name, _key(value[name])) for name in sorted(value))
    return tuple(map(_key, value)) if isinstance(value, tuple) else value


def next_names(name: str) -> Iterator[str]:
    """Count on from a study's name: "rates", "rates 2", "rates 3", ..."""
    stem, _, number = name.rpartition(" ")
    if not (stem and re.fullmatch(r"[0-9]+", number)):
        stem, number = name, "1"
    return (f"{stem} {count}" for count in itertools.count(int(number) + 1))
