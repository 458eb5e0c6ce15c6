"""Trials as plain data, and which belong together: what plots and statistics need of a trial."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self, TypeVar

import numpy as np

from ncps_mlx._utils.json_values import to_json_value
from ncps_mlx._utils.validation import (
    as_float,
    check_choice,
    check_flag,
    check_int,
    check_number,
    check_text,
    did_you_mean,
)

__all__ = [
    "WORSE_THAN_MEAN",
    "History",
    "Result",
    "TrialResult",
    "Trials",
    "as_records",
    "check_hyperparameter",
    "check_records",
    "has_value",
    "mean_scores",
    "record_list",
    "score_of",
    "tuned",
    "varied",
]


Result = TypeVar("Result", bound="TrialResult")
NON_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}

STATUSES = ("finished", "stopped early", "diverged", "pruned", "interrupted")
WAYS = ("alone", "vmap(grad)", "grad(vmap)", "one by one")
"""How gradients of a module of one's own are computed."""
WORSE_THAN_MEAN = "worse than predicting the mean"
"""How the reason begins of a trial that trained to its end and has learnt nothing."""
SHARED_WITH_HISTORY = {"best_score": "score", "status": "status", "reason": "reason", "seconds": "seconds"}
"""What a history and its record both hold, by the names in each: a record writes it once, unless they differ."""


@dataclass(frozen=True, kw_only=True)
class History:
    """How one model's training went: what :func:`~ncps_mlx.fit` returns, and a record keeps.

    Two histories are equal if all is but their ``seconds`` and ``way``: a training that runs again takes another time.

    Attributes:
        step: After how many optimizer steps each evaluation took place.
        train_loss: Mean training loss since the evaluation before (by default the mean squared error of standardised
            targets, or cross entropy in nats).
        validation_score: The task's metric on the validation split, in its units.
        best_step: The evaluation whose parameters were kept; 0 if there was none.
        best_score: Its score; infinitely bad if training diverged.
        status: ``"finished"``, ``"stopped early"``, ``"diverged"``, ``"interrupted"``, or in a study ``"pruned"``.
        reason: Why it diverged, was pruned or interrupted, or who stopped it; of one that trained to its end, that it
            is worse than predicting the mean of the training targets (for classes, their frequencies); else ``None``.
        seconds: Its share of the population's wall-clock seconds, divided among those in training at the time.
        way: How the gradients of a module of your own were computed: ``"alone"``; in a population ``"vmap(grad)"``,
            ``"grad(vmap)"`` or ``"one by one"``, the first that was right; ``None`` for the library's models.

    Example:
        >>> from ncps_mlx import History
        >>> history = History(
        ...     step=(10, 20), train_loss=(1.0, 0.5), validation_score=(30.0, 25.0), best_step=20, best_score=25.0)
        >>> history.train_loss[-1], history.status
        (0.5, 'finished')
    """

    step: tuple[int, ...]
    train_loss: tuple[float, ...]
    validation_score: tuple[float, ...]
    best_step: int
    best_score: float
    status: str = "finished"
    reason: str | None = None
    seconds: float = field(default=0.0, compare=False)
    way: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        steps = tuple(check_int("step", step, minimum=0) for step in _sequence("step", self.step))
        object.__setattr__(self, "step", steps)
        for name in ("train_loss", "validation_score"):
            values = tuple(_number(name, value) for value in _sequence(name, getattr(self, name)))
            if len(values) != len(steps):
                raise ValueError(f"{name} must have one value for each of {len(steps)} steps, got {len(values)}.")
            object.__setattr__(self, name, values)
        object.__setattr__(self, "best_step", check_int("best_step", self.best_step, minimum=0))
        object.__setattr__(self, "best_score", _number("best_score", self.best_score))
        object.__setattr__(self, "seconds", check_number("seconds", self.seconds, low=0))
        _check_end(self.status, self.reason)
        if self.way is not None:
            check_choice("way", self.way, WAYS)


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One trial as plain data: what a :class:`~ncps_mlx.Record` holds; plots and statistics need no more."""

    trial: int
    model: str
    config: Mapping[str, Any]
    labels: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    seed: int
    task: str
    data_hash: str
    metric: str
    units: str = ""
    higher_is_better: bool = False
    score: float
    history: History | None = None
    status: str = "finished"
    reason: str | None = None
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    def __post_init__(self) -> None:
        for name in ("trial", "seed"):
            object.__setattr__(self, name, check_int(name, getattr(self, name), minimum=0))
        for name in ("model", "task", "data_hash", "metric", "units", "device"):
            check_text(name, getattr(self, name))
        object.__setattr__(self, "score", _number("score", self.score))
        object.__setattr__(self, "seconds", check_number("seconds", self.seconds, low=0))
        object.__setattr__(self, "higher_is_better", check_flag("higher_is_better", self.higher_is_better))
        _check_end(self.status, self.reason)
        if self.history is not None and not isinstance(self.history, History):
            raise ValueError(f"history must be a History or None, got {self.history!r:.80}.")
        for name in ("config", "labels", "sizes", "versions"):
            given = getattr(self, name)
            if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
                raise ValueError(f"{name} must be a mapping by name, got {given!r:.80}.")
        for name in ("config", "labels", "sizes"):
            values = {key: to_json_value(key, value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, values)
        for name, version in self.versions.items():
            check_text(f"versions[{name!r}]", version)
        object.__setattr__(self, "versions", dict(self.versions))

    def __str__(self) -> str:
        """Say in one line what was trained and how it ended."""
        unit = f" {self.units}" if self.units else ""
        end = self.status if self.reason is None else f"{self.status}: {self.reason}"
        head = f"trial {self.trial}: {self.model} on {self.task}, seed {self.seed}"
        return f"{head}: {self.metric} {self.score:.4g}{unit} ({end})"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Everything that tells the trial from others: its configuration, and its labels."""
        return {**self.config, **self.labels}

    @property
    def diverged(self) -> bool:
        """Whether the training failed; its score is then infinite in the worse direction."""
        return self.status == "diverged"

    def to_json(self) -> str:
        """Write the record as one line of standard JSON, every float to its last bit.

        Infinities and NaN, which JSON lacks, become ``"Infinity"``, ``"-Infinity"`` and ``"NaN"``.

        Example:
            >>> from ncps_mlx import Record
            >>> record = Record(
            ...     trial=0, model="CfC", config={}, seed=0, task="sunspots", data_hash="9f86d081884c7d65",
            ...     metric="rmse", score=math.inf, status="diverged", reason="the loss became nan at step 3")
            >>> '"score": "Infinity"' in record.to_json()
            True
        """
        values = asdict(self)
        if not self.labels:  # a study's own records have none
            del values["labels"]
        if self.history is not None:
            values["history"] = {
                name: value
                for name, value in values["history"].items()
                if (name not in SHARED_WITH_HISTORY or value != values[SHARED_WITH_HISTORY[name]])
                and (name, value) != ("way", None)  # of the library's models
            }
        return json.dumps(_encode(values), allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: The text is no JSON, or its fields are not those of a record.

        Example:
            >>> from ncps_mlx import Record
            >>> Record.from_json("{}")
            Traceback (most recent call last):
            ...
            ValueError: text must be the JSON of a Record, got no 'trial', 'model', 'config', 'seed', ...
        """
        try:
            values = json.loads(check_text("text", text))
        except json.JSONDecodeError as error:
            raise ValueError(f"text must be the JSON of a Record, got {text[:40]!r}: {error}.") from error
        if not isinstance(values, dict):
            raise ValueError(f"text must be the JSON of a Record, got {text[:40]!r}.")
        known = {item.name for item in fields(cls)}
        needed = ("trial", "model", "config", "seed", "task", "data_hash", "metric", "score")
        if missing := [name for name in needed if name not in values]:
            raise ValueError(f"text must be the JSON of a Record, got no {', '.join(map(repr, missing))}.")
        history = values.get("history")
        if not isinstance(history, dict | None):
            raise ValueError(f"text must be the JSON of a Record, got the history {history!r:.40}.")
        unknown = sorted((set(values) - known) | (set(history or {}) - {item.name for item in fields(History)}))
        if unknown:
            raise ValueError(
                f"text must be the JSON of a Record, got the unknown {', '.join(map(repr, unknown))}. "
                "A newer ncps_mlx may have written it."
            )
        try:
            values["score"] = _number("score", _decode(values["score"]))
            if history is not None:
                own = {name: values[shared] for name, shared in SHARED_WITH_HISTORY.items() if shared in values}
                own |= {name: _decode(value) for name, value in history.items()}
                names = ("step", "train_loss", "validation_score", "best_step", "best_score")
                if missing := [name for name in names if name not in own]:
                    raise ValueError(f"history must have {', '.join(map(repr, missing))}, got none.")
                values["history"] = History(**own)
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"text must be the JSON of a Record: {error}") from error


def _encode(value: Any) -> Any:
    """Replace the floats that JSON lacks by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    """Undo :func:`_encode` for a number, or a list of them."""
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return NON_FINITE.get(value, value) if isinstance(value, str) else value


def _number(name: str, value: Any) -> float:
    """Return a number, which need not be finite; always the same NaN, so that equal histories compare equal."""
    number = as_float(value)
    if number is None:
        raise ValueError(f"{name} must be a number, got {value!r:.80}.")
    return math.nan if math.isnan(number) else number


def _sequence(name: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise ValueError(f"{name} must be a sequence of numbers, got {value!r:.80}.")
    return value


def _check_end(status: Any, reason: Any) -> None:
    """Refuse an end of a training that is none."""
    check_choice("status", status, STATUSES)
    if not isinstance(reason, str | None):
        raise ValueError(f"reason must be a string or None, got {reason!r:.80}.")


Trials = Iterable[TrialResult | Mapping[str, Any]]
"""Records, or rows with ``seed``, ``score`` and the hyperparameters by name."""

HISTORY = " The history of one training is drawn by plots.learning_curves."
ABOUT = ("model", "task", "metric", "units", "higher_is_better", "status", "reason", "history", "seconds")


def check_records(records: Any, argument: str = "records") -> None:
    """Refuse what holds no records, such as the study that has them; ``trials`` may be a mapping to them."""
    mapping = isinstance(records, Mapping) and argument != "trials"
    if isinstance(records, Iterable) and not mapping and not isinstance(records, TrialResult | str | bytes):
        return
    cure = " Give its records: study.records." if hasattr(records, "records") else ""
    cure = HISTORY if isinstance(records, History) else cure
    raise ValueError(f"{argument} must be a sequence of records, got {type(records).__name__}.{cure}")


def record_list(records: Iterable[Result], argument: str = "records") -> list[Result]:
    """Return records as a list, and refuse none, and what is no record."""
    check_records(records, argument)
    found = list(records)
    if not found:
        raise ValueError(f"{argument} must hold at least 1 record, got none.")
    for record in found:
        if not isinstance(record, TrialResult):
            raise ValueError(f"{argument} must be Records, got {record!r:.80}.")
    return found


def as_records(trials: Trials, argument: str = "records") -> list[TrialResult]:
    """Take records, their labels as hyperparameters, and turn plain rows (``seed``, ``score``, others) into records."""
    found = []
    rows: Any = trials  # a caller without types may pass anything
    check_records(rows, argument)
    for i, trial in enumerate(rows):
        if isinstance(trial, TrialResult):
            found.append(replace(trial, config=trial.hyperparameters, labels={}) if trial.labels else trial)
            continue
        if not isinstance(trial, Mapping) or not {"seed", "score"} <= trial.keys():
            cure = HISTORY if isinstance(trial, History) else ""
            raise ValueError(
                f"{argument} must be Records, or mappings with 'seed' and 'score', got {trial!r:.80}.{cure}"
            )
        about: dict[str, Any] = {"model": "", "task": "", "metric": "score"}
        about |= {name: trial[name] for name in ABOUT if name in trial}
        config = {
            name: value for name, value in trial.items() if name not in (*ABOUT, "seed", "score", "trial")
        }
        try:
            found.append(
                TrialResult(
                    trial=trial.get("trial", i),
                    config=config,
                    seed=trial["seed"],
                    score=trial["score"],
                    data_hash="",
                    **about,
                )
            )
        except ValueError as error:
            raise ValueError(f"{argument}[{i}]: {error}") from error
    if not found:
        raise ValueError(f"{argument} must hold at least 1 trial, got none.")
    return found


def varied(records: Sequence[TrialResult]) -> list[str]:
    """Name the hyperparameters that have more than one value among the records."""
    configs = [record.hyperparameters for record in records]
    names = dict.fromkeys(name for each in configs for name in each)
    return [name for name in names if len({repr(each.get(name)) for each in configs}) > 1]


def mean_scores(records: Iterable[Result]) -> list[tuple[dict[str, Any], float, list[Result]]]:
    """Average the seeds of each configuration: (configuration, mean score, its records) in order of appearance.

    The mean is infinite where a seed diverged.
    """
    groups: dict[str, list[Result]] = {}
    for record in records:
        groups.setdefault(json.dumps([record.model, record.hyperparameters], sort_keys=True), []).append(record)
    return [
        (group[0].hyperparameters, float(np.mean([record.score for record in group])), group)
        for group in groups.values()
    ]


def tuned(records: Sequence[Result], *names: str) -> list[Result]:
    """Keep, for each value of some hyperparameters, the configuration whose other values are best.

    That is the fair way to compare, say, hidden sizes: each at the learning rate that suits it. The best is
    the one with the best mean over its seeds.

    Args:
        records: Trials of one study or of several.
        names: The hyperparameters to compare.

    Returns:
        list: all seeds of the configurations kept, in their order.

    Raises:
        ValueError: No records, or a hyperparameter that they do not have.

    Example:
        >>> from ncps_mlx.records import tuned
        >>> from ncps_mlx import LogUniform, Space, Study
        >>> from ncps_mlx.data import irregular_sines
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> space = Space(hidden_size=[4, 8], learning_rate=[1e-3, 1e-2])
        >>> study = Study(None, task, space, sampler="grid", fixed={"backbone_units": 8, "steps": 5})
        >>> [record.config["hidden_size"] for record in tuned(study.run(progress=False).records, "hidden_size")]
        [4, 8]
    """
    records = record_list(records)
    for name in names:
        check_text("names", name)
        if not all(name in record.hyperparameters for record in records):
            known = sorted({each for record in records for each in record.hyperparameters})
            raise ValueError(
                f"names must name hyperparameters of every record, got {name!r}.{did_you_mean(name, known)}"
            )
    best: dict[str, tuple[float, list[Result]]] = {}
    for config, mean, group in mean_scores(records):
        key = json.dumps([config[name] for name in names])
        loss = -mean if group[0].higher_is_better else mean
        if key not in best or loss < best[key][0]:
            best[key] = (loss, group)
    kept = {id(record) for _, group in best.values() for record in group}
    return [record for record in records if id(record) in kept]


def check_hyperparameter(argument: str, name: Any, runs: Sequence[TrialResult]) -> None:
    """Refuse a hyperparameter that not every trial has."""
    known = sorted({hyperparameter for run in runs for hyperparameter in run.config})
    if not isinstance(name, str) or not all(name in run.config for run in runs):
        raise ValueError(
            f"{argument} must name a hyperparameter of every trial ({', '.join(known)}), got {name!r:.80}."
            f"{did_you_mean(name, known)}"
        )


def has_value(run: TrialResult, hyperparameter: str, value: Any) -> bool:
    """Whether a trial has this value of a hyperparameter; 1, 1.0 and True are not the same."""
    return repr(run.config[hyperparameter]) == repr(to_json_value(hyperparameter, value))


def score_of(run: TrialResult) -> float:
    """Return the score, infinitely bad if the run diverged or its score is no number."""
    worst = -math.inf if run.higher_is_better else math.inf
    return worst if run.diverged or not math.isfinite(run.score) else run.score
