"""Nine speakers of a Japanese vowel, in sequences of varying length."""

from __future__ import annotations

import numpy as np

from ncps_mlx._utils.optional import package_file
from ncps_mlx._utils.validation import check_number
from ncps_mlx.data import baselines
from ncps_mlx.data._split import Array, Split, last_valid_step
from ncps_mlx.data._task import Task

__all__ = ["japanese_vowels"]


def japanese_vowels(validation_share: float = 0.2) -> Task:
    """Nine speakers say /ae/: who spoke? Sequences of 7 to 29 steps of 12 cepstral coefficients, with a mask.

    The official split: 270 sequences to train on, 370 to test. Validation takes the last share of each
    speaker's training sequences. Channels are standardised over the valid steps of the training split;
    sequences are padded with 0 to T = 29.

    Args:
        validation_share: Share of each speaker's 30 training sequences that validates, above 0 and below 1.

    Returns:
        A classification :class:`~ncps_mlx.Task` with a mask (accuracy); baselines: majority, nearest
        neighbour by dynamic time warping, logistic regression on summaries of each channel.

    Raises:
        ValueError: ``validation_share`` leaves a speaker without a training or validation sequence.
        ImportError: aeon is not installed.

    Source: Kudo, Toyama and Shimbo (1999), UCI archive, as shipped by aeon.

    Example:
        >>> from ncps_mlx.data import japanese_vowels
        >>> japanese_vowels()
        Task('Japanese vowels', classification, accuracy, T=29, D=12, O=9, 216/54/370 sequences)
    """
    check_number("validation_share", validation_share, low=0, high=1, open_low=True, open_high=True)
    sequences, speakers = _vowels("TRAIN")
    rank = np.array([np.count_nonzero(speakers[:i] == speaker) for i, speaker in enumerate(speakers)])
    validates = rank >= round((1 - validation_share) * (rank.max() + 1))
    if validates.all() or not validates.any():
        raise ValueError(
            "validation_share must leave each speaker both training and validation sequences, "
            f"got {validation_share}."
        )
    training_steps = np.concatenate([sequences[i] for i in np.flatnonzero(~validates)])
    mean, deviation = training_steps.mean(axis=0), training_steps.std(axis=0)
    test_sequences, test_speakers = _vowels("TEST")
    steps = max(len(sequence) for sequence in (*sequences, *test_sequences))

    def split(chosen: list[Array], classes: Array) -> Split:
        x = np.zeros((len(chosen), steps, len(mean)))
        mask = np.zeros(x.shape[:2], dtype=bool)
        for row, sequence in enumerate(chosen):
            x[row, : len(sequence)] = (sequence - mean) / deviation
            mask[row, : len(sequence)] = True
        return Split(x=x, y=classes, mask=mask)

    return Task(
        "Japanese vowels",
        split([sequences[i] for i in np.flatnonzero(~validates)], speakers[~validates]),
        split([sequences[i] for i in np.flatnonzero(validates)], speakers[validates]),
        split(test_sequences, test_speakers),
        kind="classification",
        baselines=_vowels_baselines,
    ).with_source("ncps_mlx.data:japanese_vowels", validation_share=validation_share)


def _vowels(part: str) -> tuple[list[Array], Array]:
    """Sequences, each (steps, 12), and speakers from 0 (n,)."""
    file = package_file(
        "aeon", "datasets", "data", "JapaneseVowels", f"JapaneseVowels_{part}.ts", purpose="japanese_vowels"
    )
    lines = file.read_text().partition("@data")[2].split()
    sequences, speakers = [], []
    for line in lines:
        *channels, speaker = line.split(":")
        sequences.append(np.array([channel.split(",") for channel in channels], dtype=np.float64).T)
        speakers.append(int(speaker) - 1)
    return sequences, np.array(speakers)


def _vowels_baselines(task: Task) -> dict[str, float]:
    nearest = baselines.dtw_distances(task.test, task.train).argmin(axis=1)
    return {
        "majority": baselines.majority(task),
        "1-NN DTW": float(np.mean(task.train.y[nearest] == task.test.y)),
        "summaries + logistic": baselines.logistic_regression(task, _summaries),
    }


def _summaries(split: Split) -> Array:
    """Return each channel's mean, deviation, extremes, first and last value, and the length (n, 6·D+1)."""
    x = split.x.astype(np.float64)
    mask = np.ones(x.shape[:2], dtype=bool) if split.mask is None else split.mask
    valid = mask[..., None]
    count = mask.sum(axis=1)[:, None]
    mean = np.where(valid, x, 0.0).sum(axis=1) / count
    deviation = np.sqrt(np.where(valid, (x - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
    rows = np.arange(len(split))
    columns = [
        mean,
        deviation,
        np.where(valid, x, np.inf).min(axis=1),
        np.where(valid, x, -np.inf).max(axis=1),
        x[rows, mask.argmax(axis=1)],
        x[rows, last_valid_step(mask, *mask.shape)],
        count,
    ]
    return np.concatenate(columns, axis=1)
