"""The levels of one hyperparameter against a reference level, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ncps_mlx._trials import TrialResult, Trials, as_records, check_hyperparameter, score_of
from ncps_mlx._utils.json_values import format_value, to_json_value
from ncps_mlx._utils.text_table import text_table
from ncps_mlx._utils.validation import as_float, check_names, check_number
from ncps_mlx.stats._intervals import Paired, paired, without_width

__all__ = ["Comparison", "Level", "compare"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level of a hyperparameter: how it scored, and how that differs from the reference level.

    Attributes:
        value: The level, a value of the hyperparameter.
        within: The value of the other hyperparameter within which it was compared; ``None`` if there is none.
        mean: Mean score over the seeds, in the task's unit; infinite in the worse direction if one diverged.
        difference: Level minus reference, over the pairs that converged; ``None`` for the reference itself, and where
            fewer than two pairs converged.
        pairs: ``(seed, score, score of the reference)`` for each seed that both have; infinite where it diverged.
        shown: Other hyperparameters to write next to the level, by name; a tuple of values where there are several.
        higher_is_better: Direction of the score.

    Example:
        >>> from ncps_mlx.stats import compare
        >>> rows = [{"mode": mode, "seed": seed, "score": seed + worse}
        ...         for mode, worse in (("default", 0.0), ("pure", 0.5)) for seed in range(3)]
        >>> pure = compare(rows, "mode", "default")["pure"]
        >>> pure.mean, pure.n, pure.better, pure.p_better
        (1.5, 3, 0, 0.0)
    """

    value: Any
    within: Any = None
    mean: float
    difference: Paired | None
    pairs: tuple[tuple[int, float, float], ...]
    shown: dict[str, Any] = field(default_factory=dict)
    higher_is_better: bool = False

    @property
    def converged(self) -> tuple[tuple[int, float, float], ...]:
        """The pairs in which both converged."""
        return tuple(pair for pair in self.pairs if math.isfinite(pair[1]) and math.isfinite(pair[2]))

    @property
    def n(self) -> int:
        """How many pairs converged."""
        return len(self.converged)

    @property
    def better(self) -> int:
        """In how many of them the level is better than the reference."""
        return sum(own > base if self.higher_is_better else own < base for _, own, base in self.converged)

    @property
    def p_better(self) -> float | None:
        """Share of the converged pairs in which the level is better, a tie half; ``None`` for the reference."""
        if self.difference is None:
            return None
        greater = self.difference.p_greater
        return greater if self.higher_is_better else 1 - greater

    @property
    def diverged(self) -> int:
        """How many pairs are left out because one of the two diverged."""
        return len(self.pairs) - self.n


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The levels of a hyperparameter against one of them: iterate over its rows, look one up by its value, or print it.

    Attributes:
        hyperparameter: Name of the hyperparameter.
        reference: The level that the others are compared with.
        within: Name of the one within whose values the levels are compared; ``None`` for a single comparison.
        levels: One :class:`Level` for each value, the reference among them: numbers sorted, others as they came.
        records: What was compared.
        name: Name of what was compared: the metric, or the statistic.

    Example:
        >>> from ncps_mlx.stats import compare
        >>> rows = [{"learning_rate": rate, "seed": seed, "score": score + seed / 10}
        ...         for rate, score in ((0.001, 48.0), (0.01, 29.0)) for seed in range(3)]
        >>> comparison = compare(rows, "learning_rate", reference=0.01)
        >>> [level.value for level in comparison], comparison.best.value
        ([0.001, 0.01], 0.01)
        >>> print(comparison[0.001].difference)
        19.0 (all 3 equal)
    """

    hyperparameter: str
    reference: Any
    within: str | None
    levels: tuple[Level, ...]
    records: tuple[TrialResult, ...] = field(repr=False)
    name: str

    def __iter__(self) -> Iterator[Level]:
        return iter(self.levels)

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, value: Any) -> Level:
        """Return the level of a value, or with ``within`` that of ``comparison[value, other]``."""
        wanted = value if self.within is not None else (value, None)
        if not isinstance(wanted, tuple) or len(wanted) != 2:
            raise KeyError(f"a level within {self.within} must be asked for as [value, {self.within}], got {value!r}.")
        own, other = to_json_value("value", wanted[0]), to_json_value("value", wanted[1])
        for level in self.levels:
            if repr((level.value, level.within)) == repr((own, other)):
                return level
        known = [level.value if self.within is None else (level.value, level.within) for level in self.levels]
        raise KeyError(f"{self.hyperparameter} must be one of {', '.join(map(repr, known))}, got {value!r}.")

    @property
    def best(self) -> Level:
        """The level with the best mean score."""
        sign = -1 if self.records[0].higher_is_better else 1
        return min(self.levels, key=lambda level: sign * level.mean)

    def _decimals(self) -> int:
        """Decimals of means and differences: what the narrowest interval supports, and three digits of a mean."""
        fewest = max(level.difference.decimals for level in self.levels if level.difference is not None)
        largest = max((abs(level.mean) for level in self.levels if math.isfinite(level.mean)), default=0.0)
        return max(fewest, 2 - math.floor(math.log10(largest))) if largest >= 1 else fewest

    def __str__(self) -> str:
        """Write a table: each level, its mean, its difference from the reference, in how many pairs it is better."""
        head = [self.hyperparameter] if self.within is None else [self.within, self.hyperparameter]
        shown = list(self.levels[0].shown)
        digits = self._decimals()
        rows = [[*head, *shown, self.name, f"minus {_text(self.reference)}", "better in"]]
        for level in self.levels:
            first = [_text(level.value)] if self.within is None else [_text(level.within), _text(level.value)]
            mean = f"{level.mean:.{digits}f}" if math.isfinite(level.mean) else "diverged"
            row = [*first, *(_text(level.shown[name]) for name in shown), mean]
            if repr(level.value) == repr(self.reference):
                row += ["", ""]
            else:
                found = "no interval" if level.difference is None else _signed(level.difference, digits)
                row += [found, f"{level.better} of {level.n}"]
            rows.append(row)
        if lost := sum(level.diverged for level in self.levels if repr(level.value) != repr(self.reference)):
            pairs = "pair is" if lost == 1 else "pairs are"
            return f"{text_table(rows, left=len(head))}\n{lost} {pairs} left out: one of the two diverged"
        return text_table(rows, left=len(head))


def compare(
    records: Trials,
    hyperparameter: str,
    reference: Any,
    *,
    within: str | None = None,
    show: Sequence[str] = (),
    statistic: Callable[[Any], float] | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare each level of a hyperparameter with a reference level: differences paired by seed, with their intervals.

    Where other hyperparameters vary, a seed's scores are averaged over them first, so that seeds are the pairs. To
    compare each level at its own best learning rate instead, pass :func:`tuned <ncps_mlx.records.tuned>` records. A
    seed that diverged with either level makes no pair, and is counted.

    Args:
        records: Trials of one metric: records, or rows with ``seed``, ``score`` and the hyperparameters.
        hyperparameter: The hyperparameter whose levels are compared.
        reference: The level that the others are compared with.
        within: Another hyperparameter, for each of whose values the levels are compared apart.
        show: Other hyperparameters to write next to each level, such as the learning rate it was tuned to.
        statistic: What to compare instead of the score: a function of a record, such as its last validation score. It
            is better in the score's direction; its name heads the column.
        confidence: Coverage of the intervals, above 0 and below 1 (default 0.95).

    Returns:
        Comparison: prints as a table; :func:`ncps_mlx.plots.differences` draws it.

    Raises:
        ValueError: No trials, several metrics, a hyperparameter or level that they do not have, fewer than two pairs
            throughout, or a confidence outside (0, 1).

    Example:
        >>> from ncps_mlx.stats import compare
        >>> rows = [{"hidden_size": size, "seed": seed, "score": score}
        ...         for size, scores in ((4, (35.1, 34.2, 36.0)), (16, (30.2, 31.0, 30.8)), (48, (27.3, 28.1, 27.0)))
        ...         for seed, score in enumerate(scores)]
        >>> print(compare(rows, "hidden_size", reference=16))
        hidden_size  score           minus 16  better in
        4             35.1  +4.4 [+1.8, +7.1]     0 of 3
        16            30.7
        48            27.5  -3.2 [-4.5, -1.9]     3 of 3
    """
    confidence = check_number("confidence", confidence, low=0, high=1, open_low=True, open_high=True)
    runs = as_records(records)
    for argument, name in (("hyperparameter", hyperparameter), *((("within", within),) if within is not None else ())):
        check_hyperparameter(argument, name, runs)
    for name in check_names("show", show, "hyperparameters"):
        check_hyperparameter("show", name, runs)
    metrics = sorted({run.metric for run in runs})
    if len(metrics) > 1:
        raise ValueError(f"records must share one metric, got {', '.join(metrics)}. Compare them one by one.")
    given: Any = statistic
    if given is not None and (not callable(given) or isinstance(given, type)):
        raise ValueError(f"statistic must be a function of a record, got {statistic!r:.80}.")
    reference = to_json_value("reference", reference)
    groups = [(None, runs)] if within is None else [
        (value, [run for run in runs if repr(run.config[within]) == repr(value)]) for value in _levels(runs, within)
    ]  # fmt: skip
    found: list[Level] = []
    for value, group in groups:
        found += _compare_group(group, hyperparameter, reference, value, within, show, statistic, confidence)
    if not any(level.difference is not None for level in found):
        raise ValueError(
            f"records must hold at least 2 seeds that converged both with {hyperparameter}={reference!r} and another "
            "value."
        )
    return Comparison(
        hyperparameter=hyperparameter,
        reference=reference,
        within=within,
        levels=tuple(found),
        records=tuple(runs),
        name=metrics[0] if statistic is None else getattr(statistic, "__name__", "statistic").strip("<>"),
    )


def _compare_group(
    runs: Sequence[TrialResult],
    hyperparameter: str,
    reference: Any,
    other: Any,
    within: str | None,
    show: Sequence[str],
    statistic: Callable[[Any], float] | None,
    confidence: float,
) -> Iterator[Level]:
    """Compare the levels of trials that belong together."""
    levels = _levels(runs, hyperparameter)
    if repr(reference) not in map(repr, levels):
        where = "" if within is None else f" where {within} is {other!r}"
        known = f"{levels}{where}"
        raise ValueError(f"reference must be a value of {hyperparameter}, which are {known}, got {reference!r}.")
    base = _by_seed(runs, hyperparameter, reference, statistic)
    for value in levels:
        own = _by_seed(runs, hyperparameter, value, statistic)
        pairs = tuple((seed, own[seed], base[seed]) for seed in base if seed in own)
        good = [pair for pair in pairs if math.isfinite(pair[1]) and math.isfinite(pair[2])]
        difference = None
        if len(good) > 1 and repr(value) != repr(reference):
            difference = paired([pair[1] for pair in good], [pair[2] for pair in good], confidence)
        chosen = [run for run in runs if repr(run.config[hyperparameter]) == repr(value)]
        yield Level(
            value=value,
            within=other,
            mean=float(np.mean(list(own.values()))),
            difference=difference,
            pairs=pairs,
            shown={name: _one_or_all(_levels(chosen, name)) for name in show},
            higher_is_better=runs[0].higher_is_better,
        )


def _levels(runs: Sequence[TrialResult], hyperparameter: str) -> list[Any]:
    """Return the values of a hyperparameter, numbers sorted, others in the order of their first appearance."""
    found = list({repr(run.config[hyperparameter]): run.config[hyperparameter] for run in runs}.values())
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
    return sorted(found) if numeric else found


def _by_seed(
    runs: Sequence[TrialResult], hyperparameter: str, value: Any, statistic: Callable[[Any], float] | None
) -> dict[int, float]:
    """Average what is compared for each seed with this value, infinitely bad where a run diverged."""
    found: dict[int, list[float]] = {}
    for run in runs:
        if repr(run.config[hyperparameter]) == repr(value):
            score = score_of(run)
            if statistic is not None and math.isfinite(score):
                score = _statistic_value(statistic(run))
            found.setdefault(run.seed, []).append(score)
    return {seed: float(np.mean(scores)) for seed, scores in found.items()}


def _statistic_value(value: Any) -> float:
    """Return what a statistic gave as a number."""
    number = as_float(value.item() if getattr(value, "ndim", None) == 0 else value)
    if number is None:
        raise ValueError(f"statistic must return a number, got {value!r:.80}.")
    return number


def _one_or_all(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _text(value: Any) -> str:
    """Write a level briefly."""
    return f"{value:.4g}" if isinstance(value, float) else format_value(value)


def _signed(difference: Paired, digits: int) -> str:
    """Write a difference with the sign of each number; no end of the interval may read as zero unless it is."""
    ends = [end for end in (difference.low, difference.high) if end != 0]
    digits = next((n for n in (digits, digits + 1) if all(round(end, n) != 0 for end in ends)), digits + 2)
    mean, low, high = (
        f"{round(value, digits) + 0.0:+.{digits}f}" for value in (difference.mean, difference.low, difference.high)
    )
    return f"{mean} {without_width(difference.n)}" if difference.low == difference.high else f"{mean} [{low}, {high}]"
