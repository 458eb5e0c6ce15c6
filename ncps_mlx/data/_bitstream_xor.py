"""The parity of irregular streams of bits."""

from __future__ import annotations

import numpy as np

from ncps_mlx._utils.validation import MOST, check_choice, check_int
from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split
from ncps_mlx.data._task import Task

__all__ = ["bitstream_xor"]

HELD_OUT_FROM = 5  # shorter streams are few and frequent: always in training
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1


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
    test, and training never sees them. Shorter ones are in training alone: they are so few that a model could
    learn each of them. A split draws its sequences with replacement: first the number of bits, uniformly, then the
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
        >>> from ncps_mlx.data import bitstream_xor
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
        check_int("n_train", n_train, maximum=MOST),
        check_int("n_validation", n_validation, maximum=MOST),
        check_int("n_test", n_test, maximum=MOST),
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
    ).with_source(
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
        chosen = _part_of(sizes, codes, seed) == part
        found.append((sizes[chosen], codes[chosen]))
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
