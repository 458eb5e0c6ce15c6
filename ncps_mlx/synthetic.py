"""Two synthetic tasks made from a seed: irregular sines (forecasting) and bit-stream XOR (classification)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx import baselines
from ncps_mlx.checks import check_choice, check_int, check_number
from ncps_mlx.split import Split
from ncps_mlx.task import Task

__all__ = ["bitstream_xor", "irregular_sines"]

Array = npt.NDArray[Any]
FREQUENCIES = np.array([0.05, 0.13, 0.31])
AMPLITUDES = np.array([1.0, 0.6, 0.4])
SHORTEST, LONGEST = 0.02, 4.0  # gaps of the sines, in seconds
HELD_OUT_FROM = 5  # shorter streams are few and frequent: always in training
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1


def irregular_sines(
    n_train: int = 4000,
    n_validation: int = 1000,
    n_test: int = 2000,
    *,
    readings: int = 32,
    noise: float = 0.05,
    targets: str = "last",
    seed: int = 0,
) -> Task:
    """Sums of three sines with random phases, read at irregular times: predict the last reading's true value.

    s(t) = Σ aₖ sin(2πfₖt + φₖ) with f = (.05, .13, .31) Hz, a = (1, .6, .4) and φ uniform for each sequence;
    gaps are log-uniform from 0.02 to 4 s. The model sees all readings but the last, T = ``readings`` - 1
    steps of one noisy value. ``time_delta[:, i]`` is the gap from reading i to reading i + 1 (in seconds), so
    the state passes through the very time it has to predict across.

    Args:
        n_train: Training sequences.
        n_validation: Validation sequences.
        n_test: Test sequences.
        readings: Readings per sequence, N ≥ 2.
        noise: Standard deviation of the noise on the inputs; targets have none.
        targets: ``"last"``: y (n, 1) is s at the last reading; ``"every"``: y (n, T, 1) is s at every next
            reading, to learn from; the score still looks at the last alone.
        seed: Each split draws from a stream of its own, so sizes do not change one another.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse); baselines: zero, last value, ridge, boosted trees on the
        last 8 readings (where there are more) and on all, and least squares with the true frequencies, the floor.

    Raises:
        ValueError: A size is too small, ``noise`` is negative, or ``targets`` is unknown.

    Example:
        >>> irregular_sines(20, 10, 10, readings=8)
        Task('irregular sines', regression, rmse, T=7, D=1, O=1, 20/10/10 sequences)
    """
    check_int("readings", readings, minimum=2)
    check_number("noise", noise, low=0)
    check_choice("targets", targets, ("last", "every"))
    check_int("seed", seed, minimum=0)
    sizes = (
        check_int("n_train", n_train),
        check_int("n_validation", n_validation),
        check_int("n_test", n_test),
    )
    splits = [_sines(n, readings, noise, targets, [seed, part]) for part, n in enumerate(sizes)]
    return Task(
        "irregular sines",
        *splits,
        time_unit="s",
        baselines=_sines_baselines,
        score_at="last" if targets == "every" else "all",
    ).made_by(
        "ncps_mlx.data:irregular_sines",
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        readings=readings,
        noise=noise,
        targets=targets,
        seed=seed,
    )


def _sines(n: int, readings: int, noise: float, targets: str, seed: list[int]) -> Split:
    rng = np.random.default_rng(seed)
    gaps = SHORTEST * (LONGEST / SHORTEST) ** rng.random((n, readings))
    times = np.cumsum(gaps, axis=1)
    phases = rng.uniform(0, 2 * np.pi, (n, 1, 3))
    signal = np.sin(2 * np.pi * FREQUENCIES * times[..., None] + phases) @ AMPLITUDES
    seen = signal + noise * rng.normal(size=signal.shape)
    y = signal[:, -1:] if targets == "last" else signal[:, 1:, None]
    return Split(x=seen[:, :-1, None], y=y, time_delta=gaps[:, 1:])


def _sines_baselines(task: Task) -> dict[str, float]:
    if task.score_at == "last":  # the same test score, from the last target alone
        splits = [
            Split(x=split.x, y=split.y[:, -1], time_delta=split.time_delta)
            for split in (task.train, task.validation, task.test)
        ]
        task = Task(task.name, *splits)

    def flat(split: Split, last: int) -> Array:
        return _readings_and_times(split)[:, -last:].reshape(len(split), -1)

    few = {}
    if task.steps > 8:
        few = {"boosted trees, last 8": baselines.boosted_trees(task, lambda split: flat(split, 8))}
    return {
        "zero": task.score(np.zeros_like(task.test.y)),
        "last value": baselines.last_value(task),
        "ridge": baselines.ridge(task, baselines.readings_and_log_gaps),
        **few,
        "boosted trees": baselines.boosted_trees(task, lambda split: flat(split, task.steps)),
        "known frequencies": task.score(_known_frequencies(task.test)),
    }


def _readings_and_times(split: Split) -> Array:
    """Each reading with the time from it to the target (n, T, 2)."""
    to_target = np.cumsum(baselines.gaps(split)[:, ::-1], axis=1)[:, ::-1]
    return np.stack([split.x[..., 0], to_target], axis=2)


def _known_frequencies(split: Split) -> Array:
    """Least squares on the six true sines and cosines of each sequence, at the time of the target."""
    values, to_target = np.moveaxis(_readings_and_times(split).astype(np.float64), 2, 0)
    angles = -2 * np.pi * to_target[..., None] * FREQUENCIES
    basis = np.concatenate([np.sin(angles), np.cos(angles)], axis=2)
    gram = basis.transpose(0, 2, 1) @ basis + 1e-3 * np.eye(6)  # few readings may not tell six numbers apart
    weights = np.linalg.solve(gram, basis.transpose(0, 2, 1) @ values[..., None])[..., 0]
    return np.asarray(weights[:, 3:].sum(axis=1, keepdims=True))


def bitstream_xor(
    length: int = 8,
    encoding: str = "event",
    n_train: int = 2000,
    n_validation: int = 500,
    n_test: int = 1000,
    *,
    seed: int = 0,
) -> Task:
    """Streams of 2 to ``length`` - 1 fair bits: is the number of ones odd?

    ``"event"``: one step at the start of each run of equal bits, carrying the new bit; ``time_delta`` is the
    length of the run before it, / ``length`` (0 at the first step). If bits remain after the last run starts,
    a closing event carries the bit again. ``"dense"``: one step per bit, ``time_delta`` 1 / ``length``.
    Bits are coded -1 and +1; the tail is masked.

    Streams are held out whole: of those with 5 bits or more, a tenth is drawn for validation, a fifth for
    test, and training never sees them. Shorter ones are in training alone (they are few and would be known by
    heart). A split draws its sequences with replacement: first the number of bits, uniformly, then the
    stream.

    Args:
        length: Steps P, at least 7 and at most 63. 8 knows 252 streams; 12, 16, 32 are harder.
        encoding: ``"event"`` or ``"dense"``.
        n_train: Training sequences.
        n_validation: Validation sequences.
        n_test: Test sequences.
        seed: Draws both the held-out streams and the sequences.

    Returns:
        A classification :class:`~ncps_mlx.Task` with a mask (accuracy); baselines: majority, nearest
        neighbour, boosted trees.

    Raises:
        ValueError: ``length`` or a size is out of range, ``encoding`` is unknown, or a split is so small
            that it holds one class.

    Example:
        >>> task = bitstream_xor(8, n_train=50, n_validation=20, n_test=20)
        >>> task
        Task('bit-stream XOR', classification, accuracy, T=8, D=1, O=2, 50/20/20 sequences)
    """
    check_int("length", length, minimum=7)
    if length > 63:
        raise ValueError(f"length must be at most 63, got {length}.")
    check_choice("encoding", encoding, ("event", "dense"))
    check_int("seed", seed, minimum=0)
    sizes = (
        check_int("n_train", n_train),
        check_int("n_validation", n_validation),
        check_int("n_test", n_test),
    )
    splits = []
    for part, n in enumerate(sizes):
        bits, mask = _streams(n, length, seed, part)
        encode = _events if encoding == "event" else _dense
        splits.append(encode(bits, mask))
    return Task(
        "bit-stream XOR",
        *splits,
        kind="classification",
        time_unit="streams",
        baselines=_xor_baselines,
    ).made_by(
        "ncps_mlx.data:bitstream_xor",
        length=length,
        encoding=encoding,
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        seed=seed,
    )


def _streams(n: int, length: int, seed: int, part: int) -> tuple[Array, Array]:
    """Draw streams that belong to a part: bits (n, P) and their mask."""
    rng = np.random.default_rng([seed, part])
    shortest = 2 if part == 0 else HELD_OUT_FROM
    found: list[tuple[Array, Array]] = []
    while sum(len(sizes) for sizes, _ in found) < n:
        sizes = rng.integers(shortest, length, 4 * n + 64).astype(np.uint64)
        codes = rng.integers(0, 1 << 63, len(sizes), dtype=np.uint64) & (
            (np.uint64(1) << sizes) - np.uint64(1)
        )
        mine = _part_of(sizes, codes, seed) == part
        found.append((sizes[mine], codes[mine]))
    sizes, codes = (np.concatenate(arrays)[:n] for arrays in zip(*found, strict=True))
    steps = np.arange(length, dtype=np.uint64)
    mask = steps < sizes[:, None]
    bits = ((codes[:, None] >> steps) & np.uint64(1)).astype(np.int64) * mask
    return bits, mask


def _part_of(sizes: Array, codes: Array, seed: int) -> Array:
    """Say which split owns a stream (0, 1, 2), the same answer for any number of streams asked."""
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    share = (_mix(_mix(key ^ sizes) ^ codes) >> np.uint64(11)) / 2.0**53
    part = np.digitize(share, [TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE])
    return np.asarray(np.where(sizes < HELD_OUT_FROM, 0, part))


def _mix(z: Array) -> Array:
    """SplitMix64's finaliser (Steele et al. 2014): every input bit changes every output bit."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def _dense(bits: Array, mask: Array) -> Split:
    length = bits.shape[1]
    time_delta = np.where(mask, 1.0 / length, 0.0)
    x = np.where(mask, 2 * bits - 1, 0)
    return Split(x=x[..., None], y=bits.sum(axis=1) % 2, time_delta=time_delta, mask=mask)


def _events(bits: Array, mask: Array) -> Split:
    length = bits.shape[1]
    steps = np.arange(length)
    last = mask.sum(axis=1)[:, None] - 1
    starts = np.ones_like(mask)
    starts[:, 1:] = bits[:, 1:] != bits[:, :-1]
    events = mask & (starts | (steps == last))  # the last bit, if no run starts there, is the closing event
    order = np.argsort(~events, axis=1, kind="stable")
    valid = np.take_along_axis(events, order, axis=1)
    when = np.where(valid, order, 0)
    since = np.diff(when, axis=1, prepend=0)
    x = np.where(valid, 2 * np.take_along_axis(bits, order, axis=1) - 1, 0)
    time_delta = np.where(valid, since / length, 0.0)
    return Split(x=x[..., None], y=bits.sum(axis=1) % 2, time_delta=time_delta, mask=valid)


def _xor_baselines(task: Task) -> dict[str, float]:
    def flat(split: Split) -> Array:
        parts = [split.x[..., 0], split.time_delta, split.mask]
        return np.hstack([part for part in parts if part is not None])

    return {
        "majority": baselines.majority(task),
        "nearest neighbour": baselines.nearest_neighbour(task, flat),
        "boosted trees": baselines.boosted_trees(task, flat),
    }
