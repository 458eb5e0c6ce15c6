"""Sums of sines, read at irregular times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ncps_mlx._utils.validation import MOST, check_choice, check_int, check_number
from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._task import Task

__all__ = ["irregular_sines"]

FREQUENCIES = np.array([0.05, 0.13, 0.31])
LOUDEST = 1e30  # noise that single precision holds
AMPLITUDES = np.array([1.0, 0.6, 0.4])
SHORTEST, LONGEST = 0.02, 4.0  # gaps, in seconds
SHORTEST_OF_ALL, LONGEST_OF_ALL = 1e-6, 1e6  # that single precision tells from others, and sines in double


def irregular_sines(
    n_train: int = 4000,
    n_validation: int = 1000,
    n_test: int = 2000,
    *,
    readings: int = 32,
    noise: float = 0.05,
    targets: str = "last",
    shortest: float = SHORTEST,
    longest: float = LONGEST,
    seed: int = 0,
) -> Task:
    """Sums of three sines with random phases, read at irregular times: predict the last reading's true value.

    s(t) = Σ aₖ sin(2πfₖt + φₖ) with f = (.05, .13, .31) Hz, a = (1, .6, .4) and φ uniform for each sequence;
    gaps are log-uniform from ``shortest`` to ``longest``, with the median √(shortest·longest). The model sees all
    readings but the last, T = ``readings`` - 1 steps of one noisy value. ``time_delta[:, i]`` is the gap from reading i
    to reading i + 1 (in seconds), so the state passes through the very time it has to predict across.

    Args:
        n_train: Training sequences.
        n_validation: Validation sequences.
        n_test: Test sequences.
        readings: Readings per sequence, N ≥ 2.
        noise: Standard deviation of the noise on the inputs; targets have none.
        targets: ``"last"``: y (n, 1) is s at the last reading; ``"every"``: y (n, T, 1) is s at every next
            reading, to learn from; the score still looks at the last alone.
        shortest: Shortest gap, in seconds.
        longest: Longest gap, in seconds. The last gap, over which is predicted, is drawn from 0.02 to 4 s whatever
            these are: other spans change how readings lie, not how far ahead they have to tell.
        seed: Each split draws from a stream of its own, so sizes do not change one another.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse); baselines: zero, last value, ridge, boosted trees on the
        last 8 readings (where there are more) and on all, and least squares with the true frequencies, the floor.

    Raises:
        ValueError: A size is too small, ``noise`` is negative, ``targets`` is unknown, or ``longest`` is below
            ``shortest``.

    Example:
        >>> from ncps_mlx.data import irregular_sines
        >>> irregular_sines(20, 10, 10, readings=8)
        Task('irregular sines', regression, rmse, T=7, D=1, O=1, 20/10/10 sequences)
    """
    check_int("readings", readings, minimum=2, maximum=MOST)
    check_number("noise", noise, low=0, high=LOUDEST)
    check_choice("targets", targets, ("last", "every"))
    check_number("shortest", shortest, low=SHORTEST_OF_ALL, high=LONGEST_OF_ALL)
    if check_number("longest", longest, low=SHORTEST_OF_ALL, high=LONGEST_OF_ALL) < shortest:
        raise ValueError(f"longest must be at least shortest ({shortest}), got {longest}.")
    check_int("seed", seed, minimum=0)
    sizes = (
        check_int("n_train", n_train, maximum=MOST),
        check_int("n_validation", n_validation, maximum=MOST),
        check_int("n_test", n_test, maximum=MOST),
    )
    span = (shortest, longest)
    splits = [_sines(n, readings, noise, targets, span, [seed, part]) for part, n in enumerate(sizes)]
    return Task(
        "irregular sines",
        *splits,
        time_unit="s",
        baselines=_sines_baselines,
        score_at="last" if targets == "every" else "all",
    ).with_source(
        "ncps_mlx.data:irregular_sines",
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        readings=readings,
        noise=noise,
        targets=targets,
        shortest=shortest,
        longest=longest,
        seed=seed,
    )


def _sines(
    n: int, readings: int, noise: float, targets: str, span: tuple[float, float], seed: list[int]
) -> Split:
    rng = np.random.default_rng(seed)
    share = rng.random((n, readings))
    gaps = _log_uniform(share, *span)
    gaps[:, -1] = _log_uniform(share[:, -1], SHORTEST, LONGEST)
    times = np.cumsum(gaps, axis=1)
    phases = rng.uniform(0, 2 * np.pi, (n, 1, 3))
    signal = np.sin(2 * np.pi * FREQUENCIES * times[..., None] + phases) @ AMPLITUDES
    seen = signal + noise * rng.normal(size=signal.shape)
    y = signal[:, -1:] if targets == "last" else signal[:, 1:, None]
    return Split(x=seen[:, :-1, None], y=y, time_delta=gaps[:, 1:])


def _log_uniform(share: Array, low: float, high: float) -> Array:
    return np.asarray(low * (high / low) ** share)


def _sines_baselines(task: Task) -> dict[str, float]:
    if task.score_at == "last":  # the same test score, from the last target alone
        splits = {name: replace(split, y=split.y[:, -1]) for name, split in task.splits.items()}
        task = task._with(**splits, score_at="all", parent=None)

    def flat(split: Split, last: int) -> Array:
        return _readings_and_times(split)[:, -last:].reshape(len(split), -1)

    few = {}
    if task.steps > 8:
        few = {"boosted trees, last 8": baselines.boosted_trees(task, lambda split: flat(split, 8))}
    return {
        "zero": task.score(np.zeros_like(task.test.y)),
        "last value": baselines.last_value(task),
        "ridge": baselines.ridge(task),
        **few,
        "boosted trees": baselines.boosted_trees(task, lambda split: flat(split, task.steps)),
        "known frequencies": task.score(_known_frequencies(task.test)),
    }


def _readings_and_times(split: Split) -> Array:
    """Each reading with the time from it to the target (n, T, 2)."""
    gaps = np.asarray(split.time_delta, dtype=np.float64)
    to_target = np.cumsum(gaps[:, ::-1], axis=1)[:, ::-1]
    return np.stack([split.x[..., 0], to_target], axis=2)


def _known_frequencies(split: Split) -> Array:
    """Least squares on the six true sines and cosines of each sequence, at the time of the target."""
    values, to_target = np.moveaxis(_readings_and_times(split).astype(np.float64), 2, 0)
    angles = -2 * np.pi * to_target[..., None] * FREQUENCIES
    basis = np.concatenate([np.sin(angles), np.cos(angles)], axis=2)
    gram = basis.transpose(0, 2, 1) @ basis + 1e-3 * np.eye(6)  # few readings may not tell six numbers apart
    weights = np.linalg.solve(gram, basis.transpose(0, 2, 1) @ values[..., None])[..., 0]
    return np.asarray(weights[:, 3:].sum(axis=1, keepdims=True))
