"""How much a knob matters: recorded test scores against its values, from levels of a pool that differ in it alone.

Each level was tuned over learning rates by itself. ``knob`` draws them, ``table`` lists them, ``losses`` says how far
each value is from the best, ``safe`` which are within the smallest difference that matters, ``best`` which is best.
A knob is compared several ways where pools hold them: on other data, at equal parameters, in equal time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

# Private: the evidence's own reading of its files.
from docs.evidence.says import task_name
from ncps_mlx import plots, stats
from ncps_mlx._evidence.knobs import knobs
from ncps_mlx._evidence.plan import Member
from ncps_mlx._evidence.pool import BUDGETS, Level, LevelPool, TaskSpec, TunedPool
from ncps_mlx._evidence.record import read_pools, trial_path
from ncps_mlx._evidence.registry import read_deltas
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx._utils.json_values import format_value
from ncps_mlx.data._metrics import METRICS
from ncps_mlx.training._hyperparameters import hyperparameter_defaults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "OTHERWISE", "Sweep", "base", "best", "budgets", "conditions", "is_measured", "knob", "knob_trials", "losses",
    "own_settings", "rates_move", "safe", "scores", "spread", "sweeps", "table",
]  # fmt: skip

DOCS = Path(__file__).resolve().parents[1]
LONG = BUDGETS[-1]
REFERENCE = ("opponents", "cfc")
"""The pool and the level that are on most tasks."""
OTHERWISE = {"seed": "spread", "steps": "budgets"}
"""Knobs that no levels differ in, for all are trained with several: the function that shows what they matter."""
METRIC_NAMES = {"rmse": "RMSE"}
FORMS = {
    "take": "{0} training sequences", "without_time": "without time", "with_gap_as_input": "the gap as an input",
    "in_unit": "in a unit of {0} mean gaps", "z_scored": "z-scored gaps", "with_silent_gaps": "silent gaps",
    "with_gaps_until_next": "gaps until the next reading", "in_periods": "in {1} periods",
}  # fmt: skip
"""What is done to a task, in words."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Levels of a pool that differ in one knob alone.

    Attributes:
        knob: Which.
        pool: Whose levels.
        model: Which model they train.
        condition: What else they share, where it is not all that the pool fixes.
        levels: By the knob's value, as text.
        values: The values themselves, in order.
    """

    knob: str
    pool: TunedPool
    model: str
    condition: str
    levels: Mapping[str, Level]
    values: Mapping[str, Any]

    @property
    def tasks(self) -> list[TaskSpec]:
        """The tasks that have two of its levels or more."""
        return [
            task for task in self.pool.tasks.values()
            if sum(level.is_on(task.name) for level in self.levels.values()) > 1
        ]  # fmt: skip

    @property
    def title(self) -> str:
        """Model and condition."""
        return ", ".join(filter(None, [self.model, self.condition]))


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a value of a knob gave on a task at a budget.

    Attributes:
        rate: The learning rate that was chosen for it.
        by_seed: Test scores; ``None`` of a training that diverged.
        steps: Updates.
    """

    rate: float
    by_seed: Mapping[int, float | None]
    steps: int

    @property
    def mean(self) -> float:
        """Over the seeds; not a number if one diverged."""
        return fmean(math.nan if score is None else score for score in self.by_seed.values())


@cache
def pools() -> dict[str, TunedPool]:
    """The pools whose levels are tuned and reported."""
    found = read_pools(DOCS)
    return {name: pool for name, pool in found.items() if isinstance(pool, TunedPool)}


@cache
def deltas() -> dict[str, float]:
    """The smallest differences that matter, by task."""
    return read_deltas(DOCS / "claims.toml")


# -- which levels differ in a knob alone ----------------------------------------------------------------------------


@cache
def sweeps(name: str) -> list[Sweep]:
    """All ways in which a knob was varied alone: first the one with most values, on the task as it is."""
    known = knobs()
    if name not in known:
        raise ValueError(f"a knob must be a parameter of CfC, LTC or fit that can be tuned, got {name!r}")
    found = sorted((s for pool in pools().values() for s in _of_pool(name, pool) if s.tasks), key=_order)
    return [sweep for i, sweep in enumerate(found) if sweep.title not in {each.title for each in found[:i]}]


def _order(sweep: Sweep) -> tuple[bool, int, bool, int]:
    level = next(iter(sweep.levels.values()))
    equal = any(each.parameters_of or each.steps_times for each in sweep.levels.values())
    return equal, -len(sweep.levels), bool(level.forms or level.task), -len(sweep.tasks)


def _of_pool(name: str, pool: TunedPool) -> Iterator[Sweep]:
    trained = [level for level in pool.levels.values() if not level.baseline]
    plain = [level for level in trained if not level.parameters_of and not level.steps_times]
    groups = _groups(name, pool, plain)
    for levels in groups.values():
        yield from _sweep(name, pool, levels)
    for level in trained:  # as many parameters as another level, from which it differs in this knob alone
        pair = [pool.levels[level.parameters_of], level] if level.parameters_of and name != "hidden_size" else []
        # A backbone of no layers has no units.
        without = ("hidden_size", "backbone_units") if name == "backbone_layers" else ("hidden_size",)
        for levels in _groups(name, pool, pair, without).values():
            yield from _sweep(name, pool, levels, "equal parameters")
    timed = [level for level in trained if level.steps_times]
    for key, levels in _groups(name, pool, timed).items():  # in the time of one of the others
        have = {_text(_value(name, pool, level)) for level in levels}
        rest = [level for level in groups.get(key, []) if _text(_value(name, pool, level)) not in have]
        yield from _sweep(name, pool, [*rest, *levels], "equal time")


def _groups(
    name: str, pool: TunedPool, levels: Sequence[Level], without: Sequence[str] = ()
) -> dict[str, list[Level]]:
    """Levels by all that they have but the knob; for other knobs than the rate those alone whose rate is tuned."""
    found: dict[str, list[Level]] = {}
    for level in levels:
        if level.is_tuned == (name == "learning_rate") or not _has(name, pool, level):
            continue
        own = {key: value for key, value in own_settings(pool, level).items() if key not in (name, *without)}
        key = json.dumps([_model(pool, level), own, level.forms, level.task, level.divide_steps_by], sort_keys=True)
        found.setdefault(key, []).append(level)
    return found


def _sweep(name: str, pool: TunedPool, levels: Sequence[Level], equal: str = "") -> Iterator[Sweep]:
    of_value = {_text(value): (value, level) for level in reversed(levels) for value in [_value(name, pool, level)]}
    if len(of_value) < 2:
        return
    values = {text: value for text, (value, _) in of_value.items()}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()):
        order = sorted(values, key=lambda text: float(values[text]))
    elif all(value is None or isinstance(value, list) for value in values.values()):  # ranges
        order = sorted(values, key=lambda text: values[text] or [])
    else:
        order = list(reversed(values))
    yield Sweep(
        knob=name, pool=pool, model=_model(pool, levels[0]), condition=_condition(name, pool, levels[0], equal),
        levels={text: of_value[text][1] for text in order}, values={text: values[text] for text in order},
    )  # fmt: skip


def _model(pool: LevelPool, level: Level) -> str:
    return level.model or pool.model


def _has(name: str, pool: TunedPool, level: Level) -> bool:
    """Whether a level has the knob, at one value on all tasks."""
    by_task = any(name in task.settings for task in pool.tasks.values())
    return name in hyperparameter_defaults(_model(pool, level)) and (not by_task or name in level.settings)


def base(pool: LevelPool, level: Level) -> dict[str, Any]:
    """What a level has if it says nothing: the defaults, and what its pool fixes."""
    return {**hyperparameter_defaults(_model(pool, level)), **pool.fixed}


def own_settings(pool: LevelPool, level: Level) -> dict[str, Any]:
    """The settings in which a level differs from its pool and the defaults; a warm-up as its share of the steps."""
    shared, of_tasks = base(pool, level), {name for task in pool.tasks.values() for name in task.settings}
    own = {name: value for name, value in level.settings.items() if name in of_tasks or value != shared.get(name)}
    if level.warmup_share:
        own["warmup_steps"] = f"{level.warmup_share:.0%} of the steps"
    return own


def _value(name: str, pool: TunedPool, level: Level) -> Any:
    own = own_settings(pool, level)
    return own[name] if name in own else base(pool, level)[name]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):  # a wiring
        return str(value["name"])
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else format_value(value)


def _condition(name: str, pool: TunedPool, level: Level, equal: str) -> str:
    """What levels share beyond what their pool fixes, in words."""
    own = {key: value for key, value in own_settings(pool, level).items() if key != name}
    words = [f"{key.replace('_', ' ')} {_text(value)}" for key, value in own.items()]
    words += [FORMS[form].format(*values) for form, *values in level.forms]
    words += sorted({f"{key} {value:g}" for given in level.task.values() for key, value in given.items()})
    words += [f"1/{level.divide_steps_by} of the steps"] if level.divide_steps_by > 1 else []
    return ", ".join([*words, *filter(None, [equal])])


# -- what they gave -------------------------------------------------------------------------------------------------


@cache
def _reported(pool: str) -> dict[str, list[dict[str, Any]]]:
    """A pool's reported trials by all that they have but seeds, chosen rate, and hidden size that was solved for."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_trials(trial_path(DOCS, pool)):
        if row["stage"] == "report":
            found.setdefault(_key(row), []).append(row)
    return found


def _key(row: Mapping[str, Any]) -> str:
    chosen = ("learning_rate", "hidden_size") if "parameters_of" in row["level"] else ("learning_rate",)
    level = {name: value for name, value in row["level"].items() if name not in chosen}
    about = [row[name] for name in ("task", "budget", "fixed", "data", "steps")]
    return json.dumps([level, *about], sort_keys=True)


def _score(pool: TunedPool, task: TaskSpec, budget: str, level: Level) -> Score | None:
    """What a level gave; ``None`` where it is not measured."""
    if not level.is_on(task.name):
        return None
    member = Member(pool=pool, task=task, budget=budget, stage="report", level=level, rate=0.0, seed=0)
    fixed = {"model": pool.model, **pool.fixed, **task.settings}
    asked = {
        "level": level.content, "task": task.name, "budget": budget, "steps": member.steps, "fixed": fixed,
        "data": {**task.arguments, **level.task.get(task.name, {})},
    }  # fmt: skip
    rows = _reported(pool.name).get(_key(asked), [])
    own = level.settings.get("learning_rate")
    rates = {row["level"]["learning_rate"] for row in rows}
    if own is None and len(rates) > 1:  # another level has one of them by itself
        rates -= {each.settings.get("learning_rate") for each in pool.levels_of(task.name)}
    rates = rates if own is None else rates & {own}
    if len(rates) > 1:
        raise ValueError(f"{pool.name}: one rate must be chosen for {level.name} on {task.name}, got {sorted(rates)}")
    if not rates:
        return None
    (rate,) = rates
    of_rate = sorted((row for row in rows if row["level"]["learning_rate"] == rate), key=lambda row: row["seed"])
    by_seed = {row["seed"]: None if row["status"] == "diverged" else row["scores"]["test"] for row in of_rate}
    return Score(rate=rate, by_seed=by_seed, steps=member.steps)


def scores(sweep: Sweep, task: TaskSpec, budget: str) -> dict[str, Score]:
    """What each value gave on a task at a budget; those that are not measured are left out."""
    each = {text: _score(sweep.pool, task, budget, level) for text, level in sweep.levels.items()}
    return {text: score for text, score in each.items() if score is not None}


def shortfalls(sweep: Sweep, task: TaskSpec, budget: str = LONG) -> dict[str, float]:
    """How much worse the mean of each value is than the best mean, in δ; infinite where a training diverged."""
    sign = -1 if METRICS[task.metric].greater_is_better else 1
    means = {text: sign * score.mean for text, score in scores(sweep, task, budget).items()}
    least = min((mean for mean in means.values() if math.isfinite(mean)), default=math.nan)
    delta = deltas()[task.name]
    return {text: (mean - least) / delta if math.isfinite(mean) else math.inf for text, mean in means.items()}


def safe_values(sweep: Sweep) -> list[str]:
    """Values whose mean is within δ of the best on each task that has them, at the long budget."""
    worst: dict[str, float] = {}
    for task in sweep.tasks:
        for text, loss in shortfalls(sweep, task).items():
            worst[text] = max(worst.get(text, 0.0), loss)
    return [text for text in sweep.values if worst.get(text, math.inf) <= 1]


# -- what pages show ------------------------------------------------------------------------------------------------


def is_measured(name: str) -> bool:
    """Whether trials vary the knob alone."""
    return bool(sweeps(name))


def conditions(name: str) -> list[str]:
    """The ways in which a knob was varied, as ``knob`` and ``table`` take them."""
    return [sweep.title for sweep in sweeps(name)]


def chosen(name: str, *words: str) -> Sweep:
    """The first sweep of a knob; or the one whose model and condition these are, else the first that holds them."""
    found = [sweep for sweep in sweeps(name) if all(word in sweep.title for word in words)]
    if not found:
        known = "; ".join(conditions(name)) or "none"
        raise ValueError(f"trials must vary {name} alone under {', '.join(words)!r}; they do under: {known}")
    return next((sweep for sweep in found if sweep.title == ", ".join(words)), found[0])


@cache
def knob(name: str, *words: str) -> Figure:
    """Test scores against the values of a knob: a panel for each task, both budgets, every seed."""
    sweep = chosen(name, *words)
    rows = [
        {
            name: value, "seed": seed, "score": math.nan if score is None else score,
            "task": task_name(task.name),
            "metric": task.metric, "units": task.unit, "higher_is_better": METRICS[task.metric].greater_is_better,
            "budget": budget, "status": "diverged" if score is None else "finished",
            "reason": "diverged" if score is None else None,
        }
        for task in sweep.tasks
        for budget in BUDGETS
        for text, found in scores(sweep, task, budget).items()
        for value in [sweep.values[text] if _is_number(sweep) else text]
        for seed, score in found.by_seed.items()
    ]  # fmt: skip
    return plots.sweep(rows, name, hue="budget", split="test")


def knob_trials(name: str, *words: str) -> list[str]:
    """The pool of the figure."""
    return [chosen(name, *words).pool.name]


def _is_number(sweep: Sweep) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in sweep.values.values())


def _mean(task: TaskSpec, score: Score) -> str:
    """The mean of a score with its interval, a share within 0 and 1; and how many trainings diverged."""
    known, count = _converged(score), len(score.by_seed)
    if len(known) < 2:
        return f"{count - len(known)} of {count} diverged"
    text = str(stats.interval(known, scale=(0, 1) if task.metric == "accuracy" else None))
    return text if len(known) == count else f"{text}, {count - len(known)} of {count} diverged"


def measure(task: TaskSpec) -> str:
    """A task's metric with its unit."""
    name = METRIC_NAMES.get(task.metric, task.metric)
    return f"{name}, {task.unit}" if task.unit else name


def table(name: str, *words: str) -> list[list[str]]:
    """The numbers of the figure: mean test score with its interval over seeds, and the rate that was chosen."""
    sweep = chosen(name, *words)
    head = ["task", "metric", name.replace("_", " ")]
    rows = [[*head, *(column for budget in BUDGETS for column in (f"{budget} budget", f"rate, {budget}"))]]
    for task in sweep.tasks:
        by_budget = {budget: scores(sweep, task, budget) for budget in BUDGETS}
        for text in sweep.values:
            each = [by_budget[budget].get(text) for budget in BUDGETS]
            if any(each):
                known = (("", "") if score is None else (_mean(task, score), f"{score.rate:g}") for score in each)
                cells = [cell for pair in known for cell in pair]
                rows.append([task_name(task.name), measure(task), text, *cells])
    return rows


def losses(name: str, *words: str) -> list[list[str]]:
    """How much worse the mean of each value is than the best one at the long budget, in δ, by task."""
    sweep = chosen(name, *words)
    by_task = {task.name: shortfalls(sweep, task) for task in sweep.tasks}
    rows = [[name.replace("_", " "), *map(task_name, by_task), "within δ"]]
    safe_ones = safe_values(sweep)
    for text in sweep.values:
        cells = [_loss(each.get(text)) for each in by_task.values()]
        rows.append([text, *cells, "yes" if text in safe_ones else "no"])
    return rows


def _loss(value: float | None) -> str:
    if value is None:
        return ""
    if math.isinf(value):
        return "diverged"
    text = f"{value:.1f}" if abs(value - 1) >= 0.05 else f"{value:.2f}"  # which side of δ it is on
    return "best" if value == 0 else text


def safe(name: str, *words: str) -> str:
    """The values within δ of the best on every task they were measured on, at the long budget."""
    if not is_measured(name):
        return "not measured"
    sweep = chosen(name, *words)
    found, known = safe_values(sweep), list(sweep.values)
    if not found:
        return "no value on every task"
    places = [known.index(text) for text in found]
    if _is_number(sweep) and len(found) > 2 and places == list(range(places[0], places[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return ", ".join(found)


def best(name: str, task: str, budget: str, *words: str) -> str:
    """The value with the best mean test score on a task at a budget."""
    sweep = chosen(name, *words)
    known = {each.name: each for each in sweep.tasks}
    if task not in known:
        raise ValueError(f"task must be one of {', '.join(known)}, got {task!r}")
    found = shortfalls(sweep, known[task], budget)
    return min(found, key=found.__getitem__)


def rates_move(name: str, *words: str) -> str:
    """Whether the learning rate that was chosen moves with the knob, at the long budget, in a sentence."""
    sweep = chosen(name, *words)
    moved, stays = [], []
    for task in sweep.tasks:
        rates = sorted({score.rate for score in scores(sweep, task, LONG).values()})
        if len(rates) > 1:
            moved.append(f"on {task_name(task.name)} {rates[0]:g} to {rates[-1]:g}")
        else:
            stays.append(task_name(task.name))
    if not moved:
        return "The best learning rate is the same for all values, on every task."
    rest = f"; the same for all values on {', '.join(stays)}" if stays else ""
    return f"The best learning rate depends on it, so tune both: {', '.join(moved)}{rest}."


def _reference() -> Iterator[tuple[TaskSpec, dict[str, Score]]]:
    pool, level = REFERENCE
    for task in pools()[pool].tasks.values():
        each = {budget: _score(pools()[pool], task, budget, pools()[pool].levels[level]) for budget in BUDGETS}
        yield task, {budget: score for budget, score in each.items() if score is not None}


def spread() -> list[list[str]]:
    """How far test scores differ from seed to seed, of one model on each task: the standard deviation, in δ too."""
    rows = [["task", "metric", *(f"standard deviation, {budget}" for budget in BUDGETS), f"in δ, {LONG}"]]
    for task, by_budget in _reference():
        found = {budget: stdev(_converged(score)) for budget, score in by_budget.items()}
        cells = [f"{found[budget]:.2g}" for budget in BUDGETS]
        rows.append([task_name(task.name), measure(task), *cells, f"{found[LONG] / deltas()[task.name]:.1f}"])
    return rows


def budgets() -> list[list[str]]:
    """What the same model reaches with few and with many steps, each at its own rate."""
    rows = [["task", "metric", *(c for budget in BUDGETS for c in (f"steps, {budget}", f"score, {budget}", "rate"))]]
    for task, by_budget in _reference():
        cells = [c for score in by_budget.values() for c in (str(score.steps), _mean(task, score), f"{score.rate:g}")]
        rows.append([task_name(task.name), measure(task), *cells])
    return rows


def _converged(score: Score) -> list[float]:
    return [each for each in score.by_seed.values() if each is not None]
