"""Samplers: the plan of a grid, random or quasi-random study, and what Optuna's TPE is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx.search._distributions import Choice, Distribution
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet_optuna

if TYPE_CHECKING:
    import optuna

    from ncps_mlx.search._storage.trial_store import TrialStore

__all__ = ["ask_sampler", "check_size", "grid_plan", "quasi_random_plan", "random_plan", "tpe_sampler"]

Pick = Callable[[str, Distribution], Any]

TRIES = 8  # questions to a sampler before a configuration is drawn at random
STARTUP = 10  # configurations that TPE draws at random before it models anything
CHUNK = 64  # quasi-random points made at once


def check_size(space: Space, trials: int) -> None:
    """Refuse more configurations than there are."""
    if trials > space.size:
        raise ValueError(f"trials must be at most {space.size}, the size of the space, got {trials}.")


def grid_plan(space: Space) -> list[dict[str, Any]]:
    """List every combination of choices, the last hyperparameter varying fastest."""
    plan: list[dict[str, Any]] = [{}]
    for name, values in space.distributions.items():
        if not isinstance(values, Choice):
            raise ValueError(f"{name} must be a list of choices in a grid, got {space.describe(name)}.")
        plan = [
            config | one
            for config in plan
            for one in ([{name: value} for value in values.values] if space.exists(name, config) else [{}])
        ]
    return plan


def random_plan(space: Space, trials: int, draws_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Draw shapes, each with several draws of what varies within a population.

    No configuration is drawn twice. A longer plan from the same seed begins with the shorter one.
    """
    pick = _random_pick(np.random.default_rng(seed))
    return _plan(space, trials, draws_per_shape, lambda: pick, lambda: pick)


def _random_pick(rng: np.random.Generator) -> Pick:
    return lambda _, distribution: distribution.sample(rng)


def quasi_random_plan(space: Space, trials: int, draws_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Spread configurations evenly: shapes by one scrambled Sobol sequence, what varies within them by another.

    Random draws leave gaps and crowds; these points fill each range, and each pair of ranges, with fewer of both. The
    second sequence goes on from shape to shape. No configuration comes twice, and a longer plan from the same seed
    begins with the shorter one.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity, 1998; the points are SciPy's.
    """

    def picks(names: list[str], sequence: int) -> Callable[[], Pick]:
        points = _sobol(len(names), [seed, sequence])

        def next_pick() -> Pick:
            point = dict(zip(names, next(points), strict=True))
            return lambda name, distribution: distribution.quantile(float(point[name]))

        return next_pick

    return _plan(space, trials, draws_per_shape, picks(list(space.shape), 0), picks(list(space.member), 1))


def _plan(
    space: Space, trials: int, draws_per_shape: int, next_shape: Callable[[], Pick], next_member: Callable[[], Pick]
) -> list[dict[str, Any]]:
    """Choose shapes and their members, each configuration once; each call of ``next_...`` begins a new choice."""
    check_size(space, trials)
    drawn: dict[str, set[str]] = {}
    plan: list[dict[str, Any]] = []
    while len(plan) < trials:
        shape = space.sample(next_shape(), space.shape)
        seen = drawn.setdefault(repr(shape), set())
        wanted = trials if not space.shape else draws_per_shape
        left = space.count(space.member, shape) - len(seen)
        for _ in range(int(min(wanted, left, trials - len(plan)))):
            while repr(config := space.sample(next_member(), space.member, shape)) in seen:
                pass
            seen.add(repr(config))
            plan.append(config)
    return plan


def _sobol(dimensions: int, seed: list[int]) -> Iterator[np.ndarray]:
    """Points of a scrambled Sobol sequence in [0, 1)."""
    if not dimensions:
        while True:
            yield np.empty(0)
    from scipy.stats.qmc import Sobol

    engine = Sobol(dimensions, scramble=True, seed=np.random.default_rng(seed))
    while True:
        yield from engine.random(CHUNK)


def tpe_sampler(space: Space, n_seeds: int, seed: int, begun: int) -> optuna.samplers.TPESampler:
    """Make Optuna's sampler for the configurations that follow the first ``begun`` ones.

    Its seed depends on them: a study taken up again must not draw its first numbers again.
    """
    from optuna.samplers import TPESampler

    with quiet_optuna():
        return TPESampler(
            n_startup_trials=STARTUP * n_seeds,
            multivariate=True,
            group=bool(space.conditions),
            constant_liar=True,  # the members of a population do not know each other's scores
            seed=int(np.random.SeedSequence([seed, begun]).generate_state(1)[0]),
        )


def ask_sampler(
    store: TrialStore, count: int, sampler: optuna.samplers.BaseSampler, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Let a sampler of Optuna choose configurations, of as few shapes as hold so many. Nothing is stored.

    The sampler is asked about a copy in memory, where what waits counts as running: asking the study itself would take
    another worker's waiting trial, and a question that is cut off would stay behind. It may choose what it chose
    before; that is asked again, and in the end drawn at random, so that no configuration is trained twice.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    space = store.space
    stored = {repr(config): config for config in store.configs().values()}  # seeds apart
    seen, seen_of_shape = set(stored), Counter(map(space.shape_key, stored.values()))
    configs: list[dict[str, Any]] = []
    shape: dict[str, Any] | None = None  # of the population being filled
    with quiet_optuna():
        copy = optuna.create_study(direction=store.optuna.direction, sampler=sampler)
        for trial in store.current():
            if not trial.state.is_finished():
                params, each, attributes = trial.params, trial.distributions, trial.user_attrs
                trial = create_trial(
                    state=TrialState.RUNNING, params=params, distributions=each, user_attrs=attributes
                )
            copy.add_trial(trial)
        while len(configs) < count:
            for _ in range(TRIES):
                copy.enqueue_trial(store.encode(shape or {}))
                asked = copy.ask()

                def pick(name: str, distribution: Distribution, asked: optuna.Trial = asked) -> Any:
                    return distribution.decode(_suggest(asked, name, store.distributions[name]))

                config = space.sample(pick)
                if repr(config) not in seen:
                    break
                copy.tell(asked, state=TrialState.FAIL)
            else:
                config = _unseen(space, shape, seen, rng)
            seen.add(repr(config))
            seen_of_shape[space.shape_key(config)] += 1
            configs.append(config)
            shape = {name: config[name] for name in space.shape if name in config}
            if seen_of_shape[space.shape_key(config)] >= space.count(space.member, shape):
                shape = None  # all of it is drawn
    return configs


def _unseen(
    space: Space, shape: Mapping[str, Any] | None, seen: Collection[str], rng: np.random.Generator
) -> dict[str, Any]:
    """Draw a configuration of a shape (``None``: of any) that is not among those seen."""
    names = None if shape is None else space.member
    while repr(config := space.sample(_random_pick(rng), names, shape)) in seen:
        pass
    return config


def _suggest(trial: optuna.Trial, name: str, distribution: optuna.distributions.BaseDistribution) -> Any:
    """Let Optuna's sampler choose one value, knowing those it chose before."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)  # there are no others
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
