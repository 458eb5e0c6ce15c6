"""What a study found: its best trial, its trials as a table, what mattered, and where the space may be too narrow."""

from __future__ import annotations

import copy
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ncps_mlx._trials import WORSE_THAN_MEAN, TrialResult, mean_scores
from ncps_mlx._utils.json_values import format_value
from ncps_mlx._utils.validation import check_number
from ncps_mlx.data._metrics import scale_of
from ncps_mlx.search._distributions import Choice, Distribution
from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet_optuna
from ncps_mlx.stats import interval
from ncps_mlx.training._hyperparameters import HYPERPARAMETERS

if TYPE_CHECKING:
    import optuna

__all__ = ["Edge", "best_group", "boundary", "importance", "summary", "table"]

FEWEST = 4  # trials that importance can be asked of
TOP = 0.25  # share of the configurations that are asked whether they lie at the edge too


def best_group(records: Sequence[Record], name: str) -> list[Record]:
    """Return the records of the configuration with the best mean, the best first.

    A configuration counts if every seed was trained, to its end, and converged; if none was, single records do.
    """
    if not records:
        raise RuntimeError(f"{name!r} has no trial yet. Call run() first.")
    sign = -1 if records[0].higher_is_better else 1
    groups = [(sign * mean, len({record.seed for record in group}), group) for _, mean, group in mean_scores(records)]
    n_seeds = max(n for _, n, _ in groups)
    complete = [
        (loss, group)
        for loss, n, group in groups
        if math.isfinite(loss) and n == n_seeds and all(record.status != "pruned" for record in group)
    ]
    pool = min(complete, key=lambda pair: pair[0])[1] if complete else records
    converged = [record for record in pool if math.isfinite(record.score)]
    if not converged:
        reasons = Counter(record.reason or record.status for record in records).most_common(3)
        raise RuntimeError(
            f"{name!r} has no trial that converged: {len(records)} of {len(records)} diverged "
            f"({'; '.join(f'{times} x {reason}' for reason, times in reasons)}). "
            "Search smaller learning rates, or set clip_norm."
        )
    return sorted(converged, key=lambda record: sign * record.score)


def table(space: Space, records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return records as columns: trial, what the space varies, seed, score, status, seconds."""
    columns: dict[str, list[Any]] = {"trial": [record.trial for record in records]}
    configs = [space.restrict(record.config) for record in records]
    for name in space.distributions:
        values = [config.get(name) for config in configs]
        columns[name] = [format_value(value) if isinstance(value, Mapping) else value for value in values]
    for name in ("seed", "score", "status", "seconds"):
        columns[name] = [getattr(record, name) for record in records]
    return columns


def importance(study: optuna.Study) -> dict[str, float]:
    """Share of each hyperparameter in what sets the best trials apart from all, by PED-ANOVA, the greatest first."""
    import optuna
    from optuna.trial import TrialState

    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    done = [trial for trial in ended if trial.value is not None]
    if sum(math.isfinite(trial.value or 0.0) for trial in done) < FEWEST:
        raise RuntimeError(f"importance needs at least {FEWEST} trials that converged. Call run() first.")
    with quiet_optuna():
        completed = optuna.create_study(direction=study.direction)
        for trial in map(copy.copy, done):
            trial.state = TrialState.COMPLETE  # a pruned one counts with its score so far: worse than what went on
            completed.add_trial(trial)
        with warnings.catch_warnings():  # equal scores give equal shares, which say it themselves
            warnings.filterwarnings("ignore", ".*will be equal", category=UserWarning)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            return dict(optuna.importance.get_param_importances(completed, evaluator=evaluator))


def summary(space: Space, records: Sequence[Record], head: str, name: str) -> str:
    """Say in a few lines what was trained, what was best, and whether it lies at the edge of the space."""
    lines = [head]
    ends = Counter(record.status for record in records)
    seconds = sum(record.seconds for record in records)
    counts = ", ".join(f"{count} {status}" for status, count in ends.most_common())
    lines.append(f"trials: {counts or 'none'}; {seconds:.3g} s of training")
    if not any(math.isfinite(record.score) for record in records):
        return "\n".join(lines)
    best = best_group(records, name)
    scores = [record.score for record in best]
    score = str(interval(scores, scale=scale_of(best[0].metric, scores))) if len(scores) > 1 else f"{scores[0]:.4g}"
    unit = f" {best[0].units}" if best[0].units else ""
    values = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {format_value(value)}"
        for name, value in space.restrict(best[0].config).items()
    )
    lines.append(f"best: {best[0].metric} {score}{unit} with {values or 'the fixed values'}")
    worse = [record.reason for record in records if str(record.reason).startswith(WORSE_THAN_MEAN)]
    learnt_nothing = [f"{len(worse)} of {len(records)} ended {worse[0]}"] if worse else []
    edges = [str(edge) for edge in boundary(space, records)]
    return "\n".join([*lines, *(edges or ["no best value lies at the edge of its range"]), *learnt_nothing])


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One end of a hyperparameter's range, where the best configuration lies.

    Attributes:
        name: The hyperparameter.
        side: ``"low"`` or ``"high"``.
        value: The best configuration's.
        end: The end of the range.
        distance: Between them, as a share of the range (of its logarithm, where that is drawn evenly).
        near: How many of the best configurations lie as near this end.
        of: How many were asked: a quarter of all, at least three.

    Example:
        >>> from ncps_mlx.search import Edge
        >>> print(Edge(name="learning_rate", side="high", value=0.094, end=0.1, distance=0.03, near=3, of=5))
        learning_rate: best 0.094 within 3 % of the upper end 0.1, where 3 of the best 5 lie: widen it upwards
    """

    name: str
    side: str
    value: float
    end: float
    distance: float
    near: int
    of: int

    def __str__(self) -> str:
        """Say it in a line."""
        end, direction = ("upper", "upwards") if self.side == "high" else ("lower", "downwards")
        distance = f"within {100 * self.distance:.2g} % of" if self.distance > 0 else "at"
        return (
            f"{self.name}: best {self.value:.4g} {distance} the {end} end {self.end:.4g}, "
            f"where {self.near} of the best {self.of} {'lies' if self.near == 1 else 'lie'}: widen it {direction}"
        )


def boundary(space: Space, records: Sequence[TrialResult], margin: float = 0.1) -> list[Edge]:
    """Find the edges that :meth:`Study.boundary` tells of."""
    check_number("margin", margin, low=0, high=0.5, open_high=True)
    groups = [
        (-mean if group[0].higher_is_better else mean, space.restrict(config))
        for config, mean, group in mean_scores(records)
        if math.isfinite(mean) and all(record.status != "pruned" for record in group)
    ]
    order = [config for _, config in sorted(groups, key=lambda pair: pair[0])]
    best = order[: max(3, math.ceil(TOP * len(order)))]
    found = []
    for name, value in best[0].items() if best else ():
        distribution = space.distributions[name]
        positions = [_position(distribution, config.get(name)) for config in best]
        tried = {repr(config[name]) for config in order if name in config}
        if (position := positions[0]) is None or len(tried) < 2:  # one value alone says nothing of an end
            continue
        side, distance = ("low", position) if position < 0.5 else ("high", 1 - position)
        end = (min if side == "low" else max)(_numbers(distribution))
        if distance <= margin and _extensible(name, end, side):
            shares = [each if side == "low" else 1 - each for each in positions if each is not None]
            near = sum(share <= margin for share in shares)
            found.append(Edge(name=name, side=side, value=value, end=end, distance=distance, near=near, of=len(best)))
    return found


def _numbers(distribution: Distribution) -> list[float]:
    """The numbers among the ends of a range, or in a list."""
    return [v for v in distribution.bounds() if isinstance(v, int | float) and not isinstance(v, bool)]


def _position(distribution: Distribution, value: Any) -> float | None:
    """Where a value lies between the ends, from 0 to 1; ``None`` if that has no meaning."""
    numbers = _numbers(distribution)
    if len(numbers) < 2 or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(distribution, Choice):
        return sorted(numbers).index(value) / (len(numbers) - 1)
    low, high = numbers
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))


def _extensible(name: str, end: float, side: str) -> bool:
    """Whether values beyond this end are allowed."""
    sign = 1 if side == "high" else -1
    beyond = end + sign if isinstance(end, int) else end + sign * 0.1 * (abs(end) or 1.0)
    if name not in HYPERPARAMETERS:  # of an own model, which alone knows
        return beyond > 0 or end <= 0
    try:
        HYPERPARAMETERS[name].check(name, beyond)
    except ValueError:
        return False
    return True
