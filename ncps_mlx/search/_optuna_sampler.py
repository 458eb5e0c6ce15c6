"""Optuna's samplers: TPE, and any other by its path or as an object; what they choose, for a study or a trial.

A sampler never sees the study itself. It is asked about a copy in memory, where what waits counts as running: asking
the study would take another worker's waiting trial, and a question that is cut off would stay behind.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx._utils.by_name import import_by_name
from ncps_mlx.search._distributions import Choice, Distribution, Integer, encode, to_optuna
from ncps_mlx.search._samplers import random_pick
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet_optuna

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from ncps_mlx.search._storage.trial_store import TrialStore

__all__ = ["ask_sampler", "known_by_configuration", "known_by_seed", "make_sampler", "suggest", "try_out"]

TRIES = 8  # questions to a sampler before a configuration is drawn at random
STARTUP = 10  # configurations that TPE draws at random before it models anything
MEMORY = "ncps_mlx:sampler"  # the study's attribute that holds what a sampler keeps about the whole study
TRIED = 16  # made-up trials, more than samplers draw at random before they model anything


def suggest(trial: optuna.Trial | optuna.trial.FixedTrial, space: Space) -> dict[str, Any]:
    """Choose a configuration as a trial of Optuna does: what exists of the space, in its order.

    For an objective of your own; :func:`ncps_mlx.search.objective` makes a whole one.

    Args:
        trial: The trial that Optuna gives to an objective.
        space: What varies.

    Returns:
        dict: values by name, a wiring as its ``config``.

    Raises:
        ValueError: ``trial`` is none of Optuna's, or ``space`` is no :class:`~ncps_mlx.Space`.

    Example:
        >>> import optuna
        >>> from ncps_mlx import LogUniform, Space, When
        >>> from ncps_mlx.search import suggest
        >>> space = Space(backbone_layers=[0, 1], backbone_units=When([16, 32], backbone_layers=1),
        ...               learning_rate=LogUniform(1e-3, 1e-1))
        >>> suggest(optuna.trial.FixedTrial({"backbone_layers": 0, "learning_rate": 0.01}), space)
        {'backbone_layers': 0, 'learning_rate': 0.01}
    """
    from optuna.trial import BaseTrial

    if not isinstance(trial, BaseTrial):
        raise ValueError(f"trial must be one of Optuna's, got {type(trial).__name__}.")
    if not isinstance(space, Space):
        raise ValueError(f"space must be a Space, got {type(space).__name__}.")

    def choose(name: str, values: Distribution) -> Any:
        if isinstance(values, Choice):
            return values.decode(trial.suggest_categorical(name, values.encoded))
        suggest_number: Any = trial.suggest_int if isinstance(values, Integer) else trial.suggest_float
        return values.decode(suggest_number(name, *values.bounds(), log=values.log))

    return space.sample(choose)


def make_sampler(name: str, space: Space, n_seeds: int, seed: int, begun: int) -> BaseSampler:
    """Make TPE, or what a path names, for the configurations that follow the first ``begun`` ones.

    Its seed depends on them: a study taken up again must not draw its first numbers again.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import BaseSampler, TPESampler

    seed = int(np.random.SeedSequence([seed, begun]).generate_state(1)[0])
    with quiet_optuna():
        if name == "tpe":
            return TPESampler(
                n_startup_trials=STARTUP * n_seeds,
                multivariate=True,
                group=bool(space.conditions),
                constant_liar=True,  # the members of a population do not know each other's scores
                seed=seed,
            )
        found = import_by_name("sampler", name)
        try:
            with warnings.catch_warnings():  # of an interface that may change: ours to see
                warnings.simplefilter("ignore", ExperimentalWarning)
                made = found(seed=seed) if "seed" in inspect.signature(found).parameters else found()
        except ImportError as error:
            raise _missing(name, error) from error
        except TypeError as error:
            raise ValueError(
                f"sampler must be made by calling it without arguments but seed, got {name!r}: {error}. "
                "Name a function of your own that makes it."
            ) from error
    if not isinstance(made, BaseSampler):
        raise ValueError(f"sampler must name a sampler of Optuna's, got {type(made).__name__} from {name!r}.")
    return made


def try_out(
    sampler: BaseSampler, name: str, space: Space, first: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Refuse a sampler that cannot choose from the space; return what it notes of configurations known beforehand.

    A copy is asked, after made-up trials: a package that lacks is missed before anything is trained, not after.
    """
    import optuna
    from optuna.trial import create_trial

    if getattr(sampler, "_constraints_func", None) is not None:
        raise ValueError(f"sampler must have no constraints_func, which no trial of a study can meet, got {name}.")
    rng = np.random.default_rng(0)
    each = {name: to_optuna(values) for name, values in space.distributions.items()}
    try:
        with quiet_optuna():
            tried = optuna.create_study(sampler=copy.deepcopy(sampler))
            notes = [_ask(tried, space, encode(space.distributions, config))[2] for config in first]
            for i in range(TRIED):
                params = encode(space.distributions, space.sample(random_pick(rng)))
                named = {name: each[name] for name in params}
                tried.add_trial(create_trial(params=params, distributions=named, value=float(i)))
            _ask(tried, space, {})
    except ImportError as error:
        raise _missing(name, error) from error
    except Exception as error:
        raise ValueError(f"sampler must be able to choose from the space, got {name}: {error}") from error
    return notes


def _missing(name: str, error: ImportError) -> ImportError:
    cure = f" needs the package {error.name}. Install it: pip install {error.name}" if error.name else f": {error}"
    return ImportError(f"sampler {name}{cure}", name=error.name)


def _ask(
    study: optuna.Study, space: Space, known: Mapping[str, Any]
) -> tuple[optuna.Trial, dict[str, Any], dict[str, Any]]:
    """Ask for a configuration, some of it known; return the trial, its configuration, what the sampler notes of it."""
    study.enqueue_trial(dict(known))
    asked = study.ask()
    _ = asked.relative_params  # a sampler may note what it is asked, even where all is known
    config = suggest(asked, space)
    notes = study._storage.get_trial_system_attrs(asked._trial_id)
    return asked, config, {key: value for key, value in notes.items() if key != "fixed_params"}


def known_by_seed(store: TrialStore) -> list[FrozenTrial]:
    """What TPE is told: every trial, each seed's by itself."""
    from optuna.trial import TrialState

    known = []
    for trial in store.current():
        if not trial.state.is_finished():
            trial = copy.copy(trial)
            trial.state = TrialState.RUNNING
        known.append(trial)
    return known


def known_by_configuration(store: TrialStore, n_seeds: int) -> list[FrozenTrial]:
    """What other samplers are told: one trial for each configuration, at its index, with the mean over its seeds.

    They count trials, as a generation has so many, and know them by their place.
    """
    from optuna.trial import TrialState, create_trial

    groups: dict[int, list[FrozenTrial]] = {}
    for trial in store.current():
        groups.setdefault(trial.user_attrs["trial"] // n_seeds, []).append(trial)
    known = []
    for index in range(1 + max(groups, default=-1)):
        if index not in groups:  # lost a moment ago, and soon added again
            known.append(create_trial(state=TrialState.FAIL))
            continue
        group = groups[index]
        given: dict[str, Any] = {"params": group[0].params, "distributions": group[0].distributions}
        given["system_attrs"] = next((trial.system_attrs for trial in group if trial.system_attrs), {})
        values = [trial.value for trial in group if trial.state.is_finished() and trial.value is not None]
        if len(values) < n_seeds:
            known.append(create_trial(state=TrialState.RUNNING, **given))
            continue
        pruned = [trial for trial in group if trial.state == TrialState.PRUNED]
        mean = float(np.mean(values))
        steps = pruned[0].intermediate_values if pruned else {}
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        known.append(create_trial(state=state, value=mean, intermediate_values=dict.fromkeys(steps, mean), **given))
    return known


def ask_sampler(
    store: TrialStore, count: int, sampler: BaseSampler, known: Sequence[FrozenTrial], rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Let a sampler choose configurations, of as few shapes as hold so many; return them, and what it notes of each.

    No trial is stored. A sampler may choose what it chose before; that is asked again, and in the end drawn at random,
    so that no configuration is trained twice.
    """
    import optuna
    from optuna.trial import TrialState

    space = store.space
    stored = {repr(config): config for config in store.configs().values()}  # seeds apart
    seen, seen_of_shape = set(stored), Counter(map(space.shape_key, stored.values()))
    configs: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    shape: dict[str, Any] | None = None  # of the population being filled
    memory = store.attributes().get(MEMORY, {})
    with quiet_optuna():
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it warns of it has said when it was tried out
        study = optuna.create_study(direction=store.optuna.direction, sampler=sampler)
        for key, value in memory.items():
            study._storage.set_study_system_attr(study._study_id, key, value)
        for trial in known:
            study.add_trial(trial)
        while len(configs) < count:
            for _ in range(TRIES):
                asked, config, note = _ask(study, space, encode(space.distributions, shape or {}))
                if repr(config) not in seen:
                    break
                study.tell(asked, state=TrialState.FAIL)
            else:
                config, note = _unseen(space, shape, seen, rng), {}
            seen.add(repr(config))
            seen_of_shape[space.shape_key(config)] += 1
            configs.append(config)
            notes.append(note)
            shape = {name: config[name] for name in space.shape if name in config}
            if seen_of_shape[space.shape_key(config)] >= space.count(space.member, shape):
                shape = None  # all of it is drawn
        after = study._storage.get_study_system_attrs(study._study_id)
    if after != memory:
        store.set_attribute(MEMORY, after)
    return configs, notes


def _unseen(
    space: Space, shape: Mapping[str, Any] | None, seen: Collection[str], rng: np.random.Generator
) -> dict[str, Any]:
    """Draw a configuration of a shape (``None``: of any) that is not among those seen."""
    names = None if shape is None else space.member
    while repr(config := space.sample(random_pick(rng), names, shape)) in seen:
        pass
    return config
