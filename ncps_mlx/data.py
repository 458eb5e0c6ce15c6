"""Real and synthetic tasks, offline: every loader returns a :class:`Task` with its baselines.

The real sets ship inside packages of the extra ``guide``; nothing is downloaded and nothing is kept on disk.
"""

from __future__ import annotations

import gzip
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx import baselines
from ncps_mlx.anomalies import detection_baselines, detection_scores, injected_anomalies
from ncps_mlx.checks import check_int, check_number
from ncps_mlx.extras import package_file
from ncps_mlx.origin import load_task
from ncps_mlx.split import Split
from ncps_mlx.standardise import Standardised
from ncps_mlx.synthetic import bitstream_xor, irregular_sines
from ncps_mlx.task import Task

__all__ = [
    "Split",
    "Task",
    "bitstream_xor",
    "detection_baselines",
    "detection_scores",
    "glucose",
    "injected_anomalies",
    "irregular_sines",
    "japanese_vowels",
    "load_task",
    "sunspots",
]

Array = npt.NDArray[Any]
MONTHS_IN, MONTHS_AHEAD = 132, 12


def sunspots(months_per_step: int = 3) -> Task:
    """Monthly sunspot numbers, 1749 to 2009: from 132 months (one solar cycle) predict the next 12.

    The series is learned on a square-root scale, standardised over the years before 1930; scores are in
    sunspot numbers. The months are folded into T = 132 / ``months_per_step`` steps of D = ``months_per_step``
    features: the same information and the same targets in fewer steps. Split by the time of the targets:
    before 1930, 1930 to 1969, from 1970 (463 windows); a window's targets never straddle a border, its inputs
    may reach back. The series has no gaps: ``time_delta`` is ``None``, every step lasts ``months_per_step``
    months.

    Args:
        months_per_step: Months folded into a step; divides 132. 3 gives T = 44, D = 3.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse); baselines: persistence (the last month stays), seasonal
        naive (the same month one cycle of 132 months earlier), ridge on the 132 months.

    Raises:
        ValueError: ``months_per_step`` does not divide 132.
        ImportError: statsmodels is not installed.

    Source: SIDC, monthly mean sunspot numbers, as shipped by statsmodels.

    Example:
        >>> sunspots()
        Task('sunspots', regression, rmse in sunspot number, T=44, D=3, O=12, 2029/469/463 sequences)
    """
    if MONTHS_IN % check_int("months_per_step", months_per_step):
        raise ValueError(f"months_per_step must divide {MONTHS_IN}, got {months_per_step}.")
    text = package_file(
        "statsmodels", "datasets", "sunspots", "src", "sunspots_monthly.dat", purpose="sunspots"
    ).read_text()
    years = re.findall(r"^\s*(\d{4})((?:\s+\d+\.\d+)+)\s*$", text, flags=re.MULTILINE)
    root = np.sqrt(np.array([float(value) for _, values in years for value in values.split()]))
    first_year = int(years[0][0])
    border, border_test = ((year - first_year) * 12 for year in (1930, 1970))
    back = Standardised(mean=float(root[:border].mean()), deviation=float(root[:border].std()), square=True)
    windows = np.lib.stride_tricks.sliding_window_view(
        (root - back.mean) / back.deviation, MONTHS_IN + MONTHS_AHEAD
    )
    first = np.arange(len(windows)) + MONTHS_IN  # month of a window's first target
    last = first + MONTHS_AHEAD - 1
    parts = [last < border, (first >= border) & (last < border_test), first >= border_test]
    splits = [
        Split(
            x=windows[part, :MONTHS_IN].reshape(-1, MONTHS_IN // months_per_step, months_per_step),
            y=windows[part, MONTHS_IN:],
        )
        for part in parts
    ]
    task = Task("sunspots", *splits, inverse=back, units="sunspot number", baselines=_sunspots_baselines)
    return task.made_by("ncps_mlx.data:sunspots", months_per_step=months_per_step)


def _months(split: Split) -> Array:
    return split.x.reshape(len(split), MONTHS_IN)


def _sunspots_baselines(task: Task) -> dict[str, float]:
    months = _months(task.test)
    return {
        "persistence": task.score(np.repeat(months[:, -1:], MONTHS_AHEAD, axis=1)),
        "seasonal naive": task.score(months[:, :MONTHS_AHEAD]),
        "ridge": baselines.ridge(task, _months),
    }


SHORTEST_GAP, LONGEST_GAP, SNAP = 5.0, 240.0, 5.0  # minutes
SPLIT_DAYS = ((0, 120), (120, 156), (156, 10_000))


def glucose(
    n_train: int = 8000,
    n_validation: int = 2000,
    n_test: int = 2000,
    *,
    readings: int = 16,
    seed: int = 0,
) -> Task:
    """Blood glucose of one person, read at irregular times: from 16 readings predict the next, given its gap.

    A sensor reported every 5 minutes for 200 days. A sequence starts at a random reading; each next one lies
    a log-uniform 5 to 240 minutes on, at the nearest real reading. Sequences over a hole in the record (no
    reading within 5 minutes of the drawn time) are drawn again. ``time_delta[:, i]`` is the gap from reading
    i to reading i + 1, in minutes, the last one leading to the target: scale it (:meth:`Task.scaled_time`) or
    the time gates saturate. Split by day: before 120, 120 to 155, from 156; sequences lie wholly inside.

    Args:
        n_train: Training sequences.
        n_validation: Validation sequences.
        n_test: Test sequences.
        readings: Readings seen, T, at most 64.
        seed: Each split draws from a stream of its own, so sizes do not change one another.

    Returns:
        A regression :class:`~ncps_mlx.Task` (rmse in mg/dl), x and y standardised by the readings of the
        training days; baselines: train mean, last value, exponential decay from the last value to the mean
        (its time constant fitted on training), ridge on readings and log gaps.

    Raises:
        ValueError: A size is below 1, or ``readings`` is above 64.
        ImportError: bokeh-sampledata is not installed.

    Source: the glucose set of bokeh-sampledata, public domain.

    Example:
        >>> glucose(50, 20, 20)
        Task('glucose', regression, rmse in mg/dl, T=16, D=1, O=1, 50/20/20 sequences)
    """
    sizes = (
        check_int("n_train", n_train),
        check_int("n_validation", n_validation),
        check_int("n_test", n_test),
    )
    if check_int("readings", readings) > 64:
        raise ValueError(f"readings must be at most 64 (hardly any stretch has no hole), got {readings}.")
    check_int("seed", seed, minimum=0)
    minutes, values = _glucose_series()
    day = minutes // (24 * 60)
    training = values[day < SPLIT_DAYS[0][1]]
    back = Standardised(mean=float(training.mean()), deviation=float(training.std()))
    splits = []
    for part, (n, (first, end)) in enumerate(zip(sizes, SPLIT_DAYS, strict=True)):
        inside = (day >= first) & (day < end)
        rows = _irregular_rows(minutes[inside], n, readings, np.random.default_rng([seed, part]))
        seen = (values[inside][rows] - back.mean) / back.deviation
        gaps = np.diff(minutes[inside][rows], axis=1)
        splits.append(Split(x=seen[:, :-1, None], y=seen[:, -1:], time_delta=gaps))
    return Task(
        "glucose", *splits, inverse=back, units="mg/dl", time_unit="min", baselines=_glucose_baselines
    ).made_by(
        "ncps_mlx.data:glucose",
        n_train=n_train,
        n_validation=n_validation,
        n_test=n_test,
        readings=readings,
        seed=seed,
    )


def _glucose_series() -> tuple[Array, Array]:
    """Minutes since the first midnight and glucose in mg/dl, sorted, the last of equal times kept."""
    packed = package_file("bokeh_sampledata", "_data", "CGM.csv.gz", purpose="glucose").read_bytes()
    rows = [line.split(",") for line in gzip.decompress(packed).decode().splitlines()[1:]]
    seconds = np.array([row[1] for row in rows], dtype="datetime64[s]").astype(np.int64)
    values = np.array([row[2] for row in rows], dtype=np.float64)
    order = np.argsort(seconds, kind="stable")
    order = order[np.append(np.diff(seconds[order]) > 0, True)]
    midnight = seconds[order[0]] // 86400 * 86400
    return (seconds[order] - midnight) / 60, values[order]


def _irregular_rows(minutes: Array, n: int, readings: int, rng: np.random.Generator) -> Array:
    """Draw n sequences of readings + 1 indices (n, T + 1) into sorted ``minutes``."""
    found: list[Array] = []
    while sum(map(len, found)) < n:
        many = 2 * n + 64
        gaps = SHORTEST_GAP * (LONGEST_GAP / SHORTEST_GAP) ** rng.random((many, readings))
        rows = np.empty((many, readings + 1), dtype=np.int64)
        rows[:, 0] = rng.integers(0, len(minutes), many)
        whole = np.ones(many, dtype=bool)
        for step in range(readings):
            wanted = minutes[rows[:, step]] + gaps[:, step]
            after = np.clip(np.searchsorted(minutes, wanted), 1, len(minutes) - 1)
            before = after - 1
            nearest = np.where(wanted - minutes[before] < minutes[after] - wanted, before, after)
            rows[:, step + 1] = np.maximum(nearest, np.minimum(rows[:, step] + 1, len(minutes) - 1))
            whole &= np.abs(minutes[rows[:, step + 1]] - wanted) <= SNAP
            whole &= rows[:, step + 1] > rows[:, step]
        found.append(rows[whole])
    return np.concatenate(found)[:n]


def _glucose_baselines(task: Task) -> dict[str, float]:
    return {
        "train mean": baselines.train_mean(task),
        "last value": baselines.last_value(task),
        "exponential decay": baselines.exponential_decay(task),
        "ridge": baselines.ridge(task, baselines.readings_and_log_gaps),
    }


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
        >>> japanese_vowels()
        Task('Japanese vowels', classification, accuracy, T=29, D=12, O=9, 216/54/370 sequences)
    """
    check_number("validation_share", validation_share, low=0, high=1, open_low=True, open_high=True)
    sequences, speakers = _vowels("TRAIN")
    rank = np.array([np.count_nonzero(speakers[:i] == speaker) for i, speaker in enumerate(speakers)])
    held = rank >= round((1 - validation_share) * (rank.max() + 1))
    if held.all() or not held.any():
        raise ValueError(
            "validation_share must leave each speaker both training and validation sequences, "
            f"got {validation_share}."
        )
    learned = np.concatenate([sequences[i] for i in np.flatnonzero(~held)])
    mean, deviation = learned.mean(axis=0), learned.std(axis=0)
    asked, answers = _vowels("TEST")
    steps = max(len(sequence) for sequence in (*sequences, *asked))

    def split(chosen: list[Array], classes: Array) -> Split:
        x = np.zeros((len(chosen), steps, len(mean)))
        mask = np.zeros(x.shape[:2], dtype=bool)
        for row, sequence in enumerate(chosen):
            x[row, : len(sequence)] = (sequence - mean) / deviation
            mask[row, : len(sequence)] = True
        return Split(x=x, y=classes, mask=mask)

    return Task(
        "Japanese vowels",
        split([sequences[i] for i in np.flatnonzero(~held)], speakers[~held]),
        split([sequences[i] for i in np.flatnonzero(held)], speakers[held]),
        split(asked, answers),
        kind="classification",
        baselines=_vowels_baselines,
    ).made_by("ncps_mlx.data:japanese_vowels", validation_share=validation_share)


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
        "1-NN DTW": task.score(baselines.one_hot(task.train.y[nearest], task.output_size)),
        "summaries + logistic": baselines.logistic_regression(task, baselines.summaries),
    }
