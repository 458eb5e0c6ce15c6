"""What a study found: its best trial, its trials as a table, which knobs mattered, all in a few lines."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ncps_mlx._trials import mean_scores
from ncps_mlx._utils.json_values import label
from ncps_mlx.search._boundary import boundary
from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import quiet
from ncps_mlx.search._storage.trial_store import Ledger
from ncps_mlx.stats import interval

__all__ = ["best_group", "importance", "summary", "table"]

FEWEST = 4  # trials that importance can be asked of


def best_group(records: Sequence[Record], name: str) -> list[Record]:
    """Return the records of the configuration with the best mean, or what has converged at all, the best first.

    A configuration counts if every seed was trained, to its end, and converged.

    Raises:
        RuntimeError: There is no record, or none that converged; the message gives the reasons.

    Example:
        >>> from ncps_mlx._trials import as_records
        >>> rows = [{"learning_rate": rate, "seed": seed, "score": score}
        ...         for rate, seed, score in ((0.1, 0, 4.0), (0.1, 1, 6.0), (0.01, 0, 3.0), (0.01, 1, 8.0))]
        >>> [record.score for record in best_group(as_records(rows), "study")]
        [4.0, 6.0]
    """
    if not records:
        raise RuntimeError(f"{name!r} has no trial yet. Call run() first.")
    sign = -1 if records[0].higher_is_better else 1
    groups = [(sign * mean, group) for _, mean, group in mean_scores(records)]
    seeds = max(len({record.seed for record in group}) for _, group in groups)
    whole = [
        (loss, group)
        for loss, group in groups
        if math.isfinite(loss)
        and len({record.seed for record in group}) == seeds
        and all(record.status != "pruned" for record in group)
    ]
    pool = min(whole, key=lambda pair: pair[0])[1] if whole else records
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
    """Return records as columns: trial, the space's knobs, seed, score, status, seconds.

    Example:
        >>> from ncps_mlx._trials import as_records
        >>> rows = as_records([{"learning_rate": 0.1, "seed": 0, "score": 4.0}])
        >>> table(Space(learning_rate=[0.1]), rows)["score"]
        [4.0]
    """
    columns: dict[str, list[Any]] = {"trial": [record.trial for record in records]}
    there = [space.part_of(record.config) for record in records]
    for knob in space.knobs:
        values = [config.get(knob) for config in there]
        columns[knob] = [label(value) if isinstance(value, Mapping) else value for value in values]
    for name in ("seed", "score", "status", "seconds"):
        columns[name] = [getattr(record, name) for record in records]
    return columns


def importance(ledger: Ledger) -> dict[str, float]:
    """Share of each knob in what sets the best trials apart from all, by PED-ANOVA, the greatest first.

    Raises:
        RuntimeError: Fewer than four trials converged.

    Source:
        Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
        subspaces" (IJCAI 2023); computed by Optuna.

    Example:
        >>> from ncps_mlx import Study
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> fixed = {"hidden_size": 4, "backbone_units": 8, "steps": 20}
        >>> space = Space(learning_rate=[1e-7, 1e-6, 1e-3, 1e-2], schedule=["constant", "cosine"])
        >>> study = Study(None, task, space, sampler="grid", fixed=fixed).run(progress=False)
        >>> next(iter(importance(study._ledger)))
        'learning_rate'
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    done = [trial for trial in ledger.trials("COMPLETE", "PRUNED") if trial.value is not None]
    if sum(math.isfinite(trial.value or 0.0) for trial in done) < FEWEST:
        raise RuntimeError(f"importance needs at least {FEWEST} trials that converged. Call run() first.")
    with quiet():
        copy = optuna.create_study(direction=ledger.optuna.direction)
        for trial in done:  # a pruned trial counts with its score so far: worse than what went on
            copy.add_trial(
                create_trial(
                    state=TrialState.COMPLETE,
                    params=trial.params,
                    distributions=trial.distributions,
                    value=trial.value,
                )
            )
        with warnings.catch_warnings():  # equal scores give equal shares, which say it themselves
            warnings.filterwarnings("ignore", ".*will be equal", category=UserWarning)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            return dict(optuna.importance.get_param_importances(copy, evaluator=evaluator))


def summary(space: Space, records: Sequence[Record], head: str, name: str) -> str:
    """Say in a few lines what was trained, what was best, and whether it lies at the edge of the space.

    Example:
        >>> from ncps_mlx._trials import as_records
        >>> rows = [{"learning_rate": rate, "seed": 0, "score": 1 - rate} for rate in (0.001, 0.01, 0.1)]
        >>> print(summary(Space(learning_rate=[0.001, 0.01, 0.1]), as_records(rows), "Study('rates')", "rates"))
        Study('rates')
        trials: 3 finished; 0 s of training
        best: score 0.9 with learning_rate 0.1
        learning_rate: best 0.1 at the upper end 0.1, as are 1 of the best 3: widen it upwards
    """
    lines = [head]
    ends = Counter(record.status for record in records)
    seconds = sum(record.seconds for record in records)
    told = ", ".join(f"{count} {status}" for status, count in ends.most_common())
    lines.append(f"trials: {told or 'none'}; {seconds:.3g} s of training")
    if not any(math.isfinite(record.score) for record in records):
        return "\n".join(lines)
    best = best_group(records, name)
    scores = [record.score for record in best]
    score = str(interval(scores)) if len(scores) > 1 else f"{scores[0]:.4g}"
    unit = f" {best[0].units}" if best[0].units else ""
    knobs = ", ".join(
        f"{knob} {value:.4g}" if isinstance(value, float) else f"{knob} {label(value)}"
        for knob, value in space.part_of(best[0].config).items()
    )
    lines.append(f"best: {best[0].metric} {score}{unit} with {knobs or 'the fixed knobs'}")
    edges = [str(edge) for edge in boundary(space, records)]
    return "\n".join([*lines, *(edges or ["no best value lies at the edge of its range"])])
