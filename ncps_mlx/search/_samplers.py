"""Samplers: the plan of a grid, random or quasi-random study, and questions to Optuna's TPE."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx.search._distributions import Choice, Knob, When
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    from ncps_mlx.search._distributions import Knob
    from ncps_mlx.search._storage.trial_store import Ledger

__all__ = ["draw", "grid_plan", "quasi_random_plan", "random_plan", "shape_key", "shape_order"]


def draw(
    ledger: Ledger, count: int, shape: Collection[str], sampler: optuna.samplers.BaseSampler
) -> list[dict[str, Any]]:
    """Let a sampler of Optuna choose configurations of one shape. Nothing is written down.

    The sampler asks a copy in memory, where what waits counts as running: asking the study itself would take
    another worker's waiting trial, and a question that is cut off would stay behind.

    Example:
        >>> import optuna
        >>> from ncps_mlx import Space
        >>> from ncps_mlx.search._storage.trial_store import Ledger
        >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
        >>> drawn = draw(book, 3, ["hidden_size"], optuna.samplers.RandomSampler(seed=0))
        >>> len(drawn), drawn[0] == drawn[1] == drawn[2], book.trials()
        (3, True, [])
    """
    import optuna

    drawn: list[dict[str, Any]] = []
    with quiet():
        copy = optuna.create_study(direction=ledger.optuna.direction, sampler=sampler)
        for trial in ledger.first(ledger.trials()).values():
            done = trial.state.name in ("COMPLETE", "PRUNED")
            copy.add_trial(trial if done else _running(trial))
        for _ in range(count):
            fixed = {knob: drawn[0][knob] for knob in shape if knob in drawn[0]} if drawn else {}
            copy.enqueue_trial(ledger.stored(fixed))
            asked = copy.ask()

            def pick(name: str, knob: Knob, asked: optuna.Trial = asked) -> Any:
                return knob.decode(_suggest(asked, name, ledger.distributions[name]))

            drawn.append(ledger.space.fill(pick))
    return drawn


def _running(trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """The trial as one that runs."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
    )


def _suggest(trial: optuna.Trial, name: str, form: BaseDistribution) -> Any:
    """Let Optuna's sampler choose one value, knowing those it chose before."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(form, CategoricalDistribution):
        return trial.suggest_categorical(name, form.choices)
    if isinstance(form, IntDistribution):
        return trial.suggest_int(name, form.low, form.high, log=form.log)
    assert isinstance(form, FloatDistribution)  # there are no others
    return trial.suggest_float(name, form.low, form.high, log=form.log)


CHUNK = 64  # quasi-random points made at once


def grid_plan(space: Space) -> list[dict[str, Any]]:
    """List every combination of choices, the last knob varying fastest.

    Raises:
        ValueError: A knob is a range, not a list of choices.

    Example:
        >>> grid_plan(Space(hidden_size=[8, 16], learning_rate=[0.01]))
        [{'hidden_size': 8, 'learning_rate': 0.01}, {'hidden_size': 16, 'learning_rate': 0.01}]
    """
    plan: list[dict[str, Any]] = [{}]
    for name, knob in space.knobs.items():
        if not isinstance(knob.knob if isinstance(knob, When) else knob, Choice):
            raise ValueError(f"{name} must be a list of choices in a grid, got {knob!r}.")
        plan = [
            config | one
            for config in plan
            for one in ([{name: v} for v in knob.edges()] if space.exists(name, config) else [{}])
        ]
    return plan


def random_plan(space: Space, trials: int, draws_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Draw configurations: a shape, then several draws of its member knobs, and the next shape.

    No configuration is drawn twice. A longer plan from the same seed begins with the shorter one.

    Args:
        space: What to draw from.
        trials: How many configurations.
        draws_per_shape: Draws of member knobs for each shape; without shape knobs all share one.
        seed: Seed of the draws.

    Raises:
        ValueError: The space has fewer configurations than that.

    Example:
        >>> from ncps_mlx import LogUniform
        >>> space = Space(hidden_size=[8, 16, 32], learning_rate=LogUniform(1e-3, 1e-1))
        >>> [row["hidden_size"] for row in random_plan(space, 4, 2, seed=0)]
        [32, 32, 16, 16]
    """
    rng = np.random.default_rng(seed)

    def draw(_: str, knob: Knob) -> Any:
        return knob.draw(rng)

    return _plan(space, trials, draws_per_shape, lambda: draw, lambda: draw)


def quasi_random_plan(space: Space, trials: int, draws_per_shape: int, seed: int) -> list[dict[str, Any]]:
    """Spread configurations evenly: shapes by one scrambled Sobol sequence, their member knobs by another.

    Draws by chance leave gaps and crowds; these points fill each knob's range, and each pair's, with fewer of both.
    The sequence of member knobs goes on from shape to shape. No configuration comes twice, and a longer plan from the
    same seed begins with the shorter one.

    Args:
        space: What to draw from.
        trials: How many configurations; powers of 2 are spread most evenly.
        draws_per_shape: Draws of member knobs for each shape; without shape knobs all share one.
        seed: Seed of the scrambling.

    Raises:
        ValueError: The space has fewer configurations than that.

    Source:
        Owen, "Scrambling Sobol' and Niederreiter-Xing points" (Journal of Complexity, 1998); the points are SciPy's.

    Example:
        >>> from ncps_mlx import Uniform
        >>> plan = quasi_random_plan(Space(backbone_dropout=Uniform(0.0, 0.8)), 8, 8, seed=0)
        >>> sorted(int(10 * row["backbone_dropout"]) for row in plan)  # one in each eighth of the range
        [0, 1, 2, 3, 4, 5, 6, 7]
    """
    streams = [_points(len(knobs), [seed, i]) for i, knobs in enumerate((space.shape, space.member))]

    def next_of(stream: Iterator[np.ndarray], names: list[str]) -> Callable[[], Callable[[str, Knob], Any]]:
        def begin() -> Callable[[str, Knob], Any]:
            point = dict(zip(names, next(stream), strict=True))
            return lambda name, knob: knob.at(float(point[name]))

        return begin

    shapes, members = next_of(streams[0], list(space.shape)), next_of(streams[1], list(space.member))
    return _plan(space, trials, draws_per_shape, shapes, members)


def shape_key(space: Space, config: Mapping[str, Any]) -> str:
    """Name the shape of a configuration, so that equal shapes have equal names.

    Example:
        >>> space = Space(hidden_size=[8, 16], learning_rate=[0.1])
        >>> shape_key(space, {"hidden_size": 8, "learning_rate": 0.1})
        "{'hidden_size': 8}"
    """
    return repr({name: config[name] for name in space.shape if name in config})


def shape_order(space: Space, plan: list[dict[str, Any]]) -> list[int]:
    """Return the places of a plan with equal shapes side by side, in the order of their first appearance.

    Example:
        >>> space = Space(hidden_size=[8, 16])
        >>> shape_order(space, [{"hidden_size": 8}, {"hidden_size": 16}, {"hidden_size": 8}])
        [0, 2, 1]
    """
    keys = [shape_key(space, config) for config in plan]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    return sorted(range(len(plan)), key=lambda place: (first[keys[place]], place))


def _plan(
    space: Space,
    trials: int,
    draws_per_shape: int,
    next_shape: Callable[[], Callable[[str, Knob], Any]],
    next_member: Callable[[], Callable[[str, Knob], Any]],
) -> list[dict[str, Any]]:
    """Choose shapes and their members, each configuration once; each call of ``next_...`` begins a new choice."""
    if trials > space.size:
        raise ValueError(f"trials must be at most {space.size}, the size of the space, got {trials}.")
    drawn: dict[str, set[str]] = {}
    plan: list[dict[str, Any]] = []
    while len(plan) < trials:
        shape = space.fill(next_shape(), space.shape)
        seen = drawn.setdefault(repr(shape), set())
        wanted = trials if not space.shape else draws_per_shape
        left = space.count(space.member, shape) - len(seen)
        for _ in range(int(min(wanted, left, trials - len(plan)))):
            while repr(row := space.fill(next_member(), space.member, shape)) in seen:
                pass
            seen.add(repr(row))
            plan.append(row)
    return plan


def _points(knobs: int, seed: list[int]) -> Iterator[np.ndarray]:
    """Points of a scrambled Sobol sequence, a number in [0, 1) for each knob."""
    if not knobs:
        while True:
            yield np.empty(0)
    from scipy.stats.qmc import Sobol

    engine = Sobol(knobs, scramble=True, seed=np.random.default_rng(seed))
    while True:
        yield from engine.random(CHUNK)
