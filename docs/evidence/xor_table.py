"""What the record of bit-stream XOR says: the tables, figures and numbers of its page, none of them typed.

Scores are accuracies on test streams, in per cent, at the learning rate that did best on validation streams, chosen
for each model, length and encoding. Nothing here trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from docs.evidence import xor
from ncps_mlx import plots, stats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "PUBLISHED",
    "accuracy",
    "against_trees",
    "by_length",
    "chosen",
    "choices",
    "contrast",
    "contrasts",
    "difference",
    "leak",
    "most_seen",
    "protocol",
    "published_ranking",
    "ranking",
    "rates",
    "recorded_on",
    "scores",
    "tested",
]

PUBLISHED = {
    "CfC": "99.42 ± 0.42",
    "CfC pure": "85.42 ± 2.84",
    "CfC no_gate": "96.29 ± 1.61",
    "CfC mixed memory": "99.72 ± 0.08",
    "LTC wired": "49.11",
    "LSTM": "89.71 ± 3.48",
    "GRU-D": "97.90 ± 1.71",
    "ODE-LSTM": "98.89 ± 0.26",
}
"""Event-encoded, per cent, as printed in Hasani et al. 2022 (arXiv 2106.13898). The paper's LTC is the wired one."""
PUBLISHED_SEQUENCES, PUBLISHED_LENGTH = 100_000, 32

Key = tuple[int, int]  # draw and seed: what two models have in common


@cache
def rows() -> list[xor.Row]:
    """The record."""
    return xor.read(xor.RECORD)


def chosen(length: int, encoding: str, model: str) -> float:
    """The learning rate with the best mean accuracy on validation; a rate at which a seed diverged is never chosen."""
    found: dict[float, list[float]] = {}
    for row in rows():
        if (row["length"], row["encoding"], row["model"]) == (length, encoding, model):
            score = float("-inf") if row["validation"] is None else row["validation"]
            found.setdefault(row["learning_rate"], []).append(score)
    return max(found, key=lambda rate: float(np.mean(found[rate])))


def tested(length: int, encoding: str, model: str) -> dict[Key, float]:
    """Test accuracies in per cent by draw and seed; a baseline has one for each draw, given to each of its seeds."""
    own = [
        row for row in rows() if (row["length"], row["encoding"], row["model"]) == (length, encoding, model)
    ]
    if model in xor.BASELINES:
        by_draw = {row["draw"]: 100 * row["test"] for row in own}
        return {key: by_draw[key[0]] for key in keys(length)}
    rate = chosen(length, encoding, model)
    return {(row["draw"], row["seed"]): 100 * row["test"] for row in own if row["learning_rate"] == rate}


def keys(length: int) -> list[Key]:
    """The pairs of a length: draws, and seeds on them."""
    protocol = xor.PROTOCOLS[length]
    return [(draw, xor.model_seed(draw, seed)) for draw in protocol.draws for seed in protocol.seeds]


def lengths_of(encoding: str) -> list[int]:
    """The lengths recorded in an encoding."""
    return [length for length, protocol in xor.PROTOCOLS.items() if encoding in protocol.encodings]


def cell(length: int, encoding: str, model: str) -> str:
    """A mean with its interval; a baseline measured on one draw stands alone."""
    values = list(tested(length, encoding, model).values())
    if model in xor.BASELINES and len(xor.PROTOCOLS[length].draws) == 1:
        return f"{values[0]:.1f}"
    return str(stats.interval(values, scale=(0, 100)))


def scores(encoding: str) -> list[list[str]]:
    """The table of an encoding: models and baselines down, the published figure and our lengths across."""
    with_paper = encoding == "event"
    lengths = lengths_of(encoding)
    head = ["Model", *(["Published"] if with_paper else []), *(f"P = {length}" for length in lengths)]
    table = [head]
    for model in (*xor.MODELS, *xor.BASELINES):
        paper = [PUBLISHED.get(model, "–")] if with_paper else []
        table.append([model, *paper, *(cell(length, encoding, model) for length in lengths)])
    if with_paper:
        others = [model for model in PUBLISHED if model not in xor.MODELS]
        table += [[model, PUBLISHED[model], *("–" for _ in lengths)] for model in others]
    return table


def contrast(length: int, encoding: str, model: str, other: str) -> stats.Paired:
    """A model's test accuracy minus another's, paired by draw and seed, in points."""
    a, b = (tested(length, encoding, each) for each in (model, other))
    return stats.paired([a[key] for key in keys(length)], [b[key] for key in keys(length)])


def contrasts(other: str, encoding: str) -> list[list[str]]:
    """Every model minus another, in points; an interval that holds 0 leaves it open, and says so."""
    table = [["Model", *(f"P = {length}" for length in lengths_of(encoding))]]
    for model in xor.MODELS:
        if model != other:
            found = [contrast(length, encoding, model, other) for length in lengths_of(encoding)]
            table.append([model, *map(signed, found)])
    return table


def signed(found: stats.Interval) -> str:
    """Write a difference with its sign, and whether it is open."""
    is_open = " open" if found.low < 0 < found.high else ""
    return f"{'+' if found.mean > 0 else ''}{found}{is_open}"


def difference(length: str, encoding: str, model: str, other: str) -> str:
    """One difference, for a sentence."""
    return signed(contrast(int(length), encoding, model, other))


def accuracy(length: str, encoding: str, model: str) -> str:
    """One accuracy, for a sentence."""
    return cell(int(length), encoding, model)


def ranking(length: str, encoding: str) -> str:
    """The models by their mean accuracy, best first."""
    means = {model: np.mean(list(tested(int(length), encoding, model).values())) for model in xor.MODELS}
    return ", ".join(sorted(means, key=lambda model: -means[model]))


def published_ranking() -> str:
    """The same of the published figures."""
    means = {model: float(text.split()[0]) for model, text in PUBLISHED.items() if model in xor.MODELS}
    return ", ".join(sorted(means, key=lambda model: -means[model]))


def rates() -> str:
    """The grid of learning rates."""
    (grid,) = {each.learning_rates for each in xor.PROTOCOLS.values()}
    return ", ".join(f"{rate:g}" for rate in grid)


def most_seen() -> str:
    """How many sequences the longest training saw, repetitions counted."""
    return f"{max(each.steps * each.batch_size for each in xor.PROTOCOLS.values()):,}"


def protocol() -> list[list[str]]:
    """What was trained, beside what the paper trained."""
    ours = xor.PROTOCOLS.values()
    test = "independent draws, streams of training among them"
    lines: list[tuple[str, str, list[str]]] = [
        ("training sequences", f"{PUBLISHED_SEQUENCES:,}", [f"{each.n_train:,}" for each in ours]),
        ("test streams", test, ["held out whole" for _ in ours]),
        ("updates", "200 epochs", [f"{each.steps:,}" for each in ours]),
        ("batch size", "128 to 256", [str(each.batch_size) for each in ours]),
        ("units and backbone units", "64 to 192", [str(each.hidden_size) for each in ours]),
        ("draws of the hold-out", "–", [str(len(each.draws)) for each in ours]),
        ("seeds on each draw", "–", [str(len(each.seeds)) for each in ours]),
    ]
    head = ["", f"Published, P = {PUBLISHED_LENGTH}", *(f"P = {length}" for length in xor.PROTOCOLS)]
    return [head, *([what, paper, *own] for what, paper, own in lines)]


def choices() -> list[list[str]]:
    """Sizes, and what validation chose: a range over lengths and encodings where it varies."""
    table = [["Model", "Units", "Parameters", "Learning rate"]]
    for model in xor.MODELS:
        own = [row for row in rows() if row["model"] == model]
        rates = [
            chosen(length, encoding, model) for encoding in xor.ENCODINGS for length in lengths_of(encoding)
        ]
        sizes = [[row[name] for row in own] for name in ("hidden_size", "parameters")]
        table.append([model, *map(span, [*sizes, rates])])
    return table


def span(values: Sequence[float]) -> str:
    """Write the least and the greatest."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def leak(length: str, n_train: str) -> str:
    """How many of 100 test sequences the training split would hold had they been drawn independently.

    A stream of n bits is drawn with probability 2^-n / (P - 2), its length being uniform over 2 to P - 1.
    """
    sizes = np.arange(2, int(length), dtype=np.float64)
    seen = 1 - np.exp(int(n_train) * np.log1p(-(2.0**-sizes) / len(sizes)))
    return f"{100 * seen.mean():.1f}"


def recorded_on() -> str:
    """Device and versions of the record."""
    trained = [row for row in rows() if "versions" in row]
    stamps = {(row["device"], *sorted(row["versions"].items())) for row in trained}
    return "; ".join(
        f"{device}, " + ", ".join(f"{name} {version}" for name, version in found) for device, *found in stamps
    )


def against_trees(encoding: str) -> Figure:
    """Each model minus boosted trees on streams of up to 7 bits, every draw of the hold-out a dot."""
    return plots.differences(
        trials(8, encoding, (*xor.MODELS, "boosted trees")), "method", "boosted trees", split="test"
    )


def by_length(encoding: str) -> Figure:
    """Accuracy against length, every training a dot."""
    shown = [trial for length in lengths_of(encoding) for trial in trials(length, encoding, xor.MODELS)]
    return plots.sweep(shown, "length", hue="method", log=False, split="test")


def trials(length: int, encoding: str, models: Sequence[str]) -> list[Mapping[str, Any]]:
    """Rows as plots take them, each pair of draw and seed a seed."""
    about = {"length": length, "metric": "accuracy", "units": "%", "higher_is_better": True}
    return [
        about | {"method": model, "seed": place, "score": tested(length, encoding, model)[key]}
        for model in models
        for place, key in enumerate(keys(length))
    ]
