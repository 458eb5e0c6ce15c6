"""Whether this build of the library still shows what the record says of a claim."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ncps_mlx._evidence import tuned
from ncps_mlx._evidence.against_record import Comparison, level_of
from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured
from ncps_mlx._evidence.placebo import Placebo, placebo
from ncps_mlx._evidence.pool import BUDGETS, Pool, TunedPool
from ncps_mlx._evidence.record import Record, read_measured, read_record, record_folder
from ncps_mlx._evidence.registry import Claim, Part
from ncps_mlx._evidence.trial_rows import trial_rows
from ncps_mlx._utils.text_table import text_table
from ncps_mlx._utils.validation import check_choice, check_names, check_seeds, did_you_mean
from ncps_mlx.stats._rank_sum import smallest_rank_sum

__all__ = ["SEEDS", "VARIABLE", "BuildCheck", "check", "check_in", "checked_parts", "tuned_parts"]

SEEDS = range(200, 205)
"""Those of a build; tuning has 0 to 2, the record 100 and on."""

VARIABLE = "NCPS_MLX_CLAIMS"
"""With ``require`` an alarm is an error, as in builds of the documentation; else, on a reader's machine, it is told."""


@dataclass(frozen=True, kw_only=True)
class BuildCheck:
    """What :func:`check` found; ``print`` writes it.

    Attributes:
        claim: Its id.
        statement: The advice.
        pool: Whose trials it rests on.
        budget: At which it was trained.
        seeds: On which.
        comparisons: Of each part on each task.
        placebos: Of each task.
        trials: What the claim's levels gave, in the record and in this build, as rows.
    """

    claim: str
    statement: str
    pool: str
    budget: str
    seeds: Sequence[int]
    comparisons: Sequence[Comparison]
    placebos: Sequence[Placebo]
    trials: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def alarms(self) -> list[str]:
        """What is not as recorded, or alike and must not be: a sentence each."""
        found = []
        for each in self.comparisons:
            if each.is_alarm:
                now, recorded = each.effects
                part, task = each.recorded.part.name, each.task
                unit = f" {task.unit}" if task.unit else ""
                found.append(f"{part}, {task.name}: {now} here, {recorded}{unit} recorded, p {each.p:.1g}.")
        for levels in self.placebos:
            found += [f"{a} and {b} train to the same bits, {levels.task}." for a, b in levels.alike]
            if not levels.is_repeatable:
                found.append(f"{levels.repeated} trains to other bits alone, or each time, {levels.task}.")
        return found

    def rows(self, task: str) -> list[Mapping[str, Any]]:
        """The trials on a task, for :func:`ncps_mlx.plots.sweep`."""
        check_choice("task", task, dict.fromkeys(each.task for each in self.placebos))
        return [row for row in self.trials if row["task"] == task]

    def require(self) -> BuildCheck:
        """Return the check; raise ``AssertionError`` if there are alarms."""
        if self.alarms:
            raise AssertionError("\n".join([f"{self.claim} is not as recorded.", *self.alarms, self.cure]))
        return self

    @property
    def cure(self) -> str:
        """What to do about an alarm."""
        return (
            "Find the change that did it. If it is meant, train the record again and look at its verdicts: "
            f"nox -s evidence -- {self.pool} --stale"
        )

    def __str__(self) -> str:
        """Write a line for each part and task, what the placebo gave, and the badge."""
        cells = [["first minus second, above 0 if better", "this build", "recorded", "p"]]
        for part in dict.fromkeys(each.recorded.part.name for each in self.comparisons):
            cells.append([part, "", "", ""])
            for each in self.comparisons:
                if each.recorded.part.name == part:
                    unit = f", {each.task.unit}" if each.task.unit else ""
                    cells.append([f"  {each.task.name}{unit}", *each.effects, f"{each.p:.2g}"])
        count = max(len(each.recorded.contrast.pairs) + each.recorded.contrast.lost for each in self.comparisons)
        lines = [
            f"{self.claim}: {self.statement}",
            f"{self.budget} budget, seeds {', '.join(map(str, self.seeds))} against {count} recorded",
            text_table(cells),
            f"{sum(each.pairs for each in self.placebos)} pairs of levels trained at one rate: "
            f"{sum(len(each.alike) for each in self.placebos)} alike in bits",
        ]
        if self.alarms:
            return "\n".join([*lines, "NOT AS RECORDED", *self.alarms, self.cure])
        return "\n".join([*lines, f"as recorded: no p is below {self.comparisons[0].level:.1g}"])


def check(
    claim: str, *, seeds: Iterable[int] = SEEDS, budget: str = "short", tasks: Sequence[str] | None = None
) -> BuildCheck:
    """Train the levels of a claim on fresh seeds, and see whether they differ as the record says.

    Each part of the claim is compared on each of its tasks: this build's differences among the recorded ones, by the
    exact rank-sum test, two-sided at 0.01 for all 55 claims together. A placebo goes with it: for a few steps every
    level is trained at one rate, when levels must differ in bits, and one that is trained twice must not.

    Of unbroken builds one in a hundred alarms. Where the environment variable ``NCPS_MLX_CLAIMS`` is ``require``, as in
    builds of the documentation, an alarm is an error; anywhere else the result tells it.

    Args:
        claim: Its id, such as ``"dropout-start"``, of a claim whose levels are tuned and trained.
        seeds: Other ones than the record's, which are 0 to 2 and 100 to 129. Data that are drawn are drawn by them.
        budget: ``"short"`` (default) or ``"long"``.
        tasks: Some of the claim's tasks (default: all).

    Returns:
        BuildCheck: ``print`` writes it. ``alarms`` lists what is not as recorded, a sentence each; ``require()`` raises
        if there are any. ``rows(task)`` gives what each level scored, recorded at both budgets and in this build, for
        :func:`ncps_mlx.plots.sweep`: by ``level`` or the hyperparameters that levels set, and by ``trials``, which says
        whose they are.

    Raises:
        ValueError: An unknown claim, task or budget; a claim that no such levels decide, or whose record is not
            complete; seeds that are the record's, or too few for any alarm.
        FileNotFoundError: The record is not there.
        AssertionError: There is an alarm, and the environment wants an error.

    Source:
        Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945).

    Example:
        >>> from ncps_mlx import claims
        >>> claims.check("mode-no-gate", tasks=["sines"]).alarms
        []
    """
    checked = check_in(record_folder(), claim, seeds=seeds, budget=budget, tasks=tasks)
    return checked.require() if os.environ.get(VARIABLE) == "require" else checked


def check_in(
    docs: Path, name: str, *, seeds: Iterable[int] = SEEDS, budget: str = "short", tasks: Sequence[str] | None = None
) -> BuildCheck:
    """Check a claim against the record in a folder."""
    check_choice("budget", budget, BUDGETS)
    record = read_record(docs)
    claim, pool, parts = _claim(name, record)
    chosen = _tasks(tasks, parts)
    recorded = {each: _recorded(claim, record, each) for each in BUDGETS}
    mine = _wanted(parts, chosen, recorded[budget], f"{claim.id} at the {budget} budget", pool)
    level = level_of(parts)
    fresh = _seeds(seeds, mine, pool, level)
    comparisons, placebos, rows = list[Comparison](), [], []
    for task in (pool.tasks[each] for each in chosen):
        here = [each for each in mine if each.task == task.name]
        levels = dict.fromkeys(name for each in here for side in each.levels.values() for name, _ in side)
        trials = [row for each in tuned.fresh(pool, here, fresh) for group in each.groups for row in tuned.train(group)]
        now = [
            Comparison(recorded=each, task=task, now=tuned.fresh_contrast(pool, each, trials), level=level)
            for each in here
        ]
        comparisons += now
        trained = [level for level in levels if not pool.levels[level].baseline]
        placebos.append(placebo(pool, task, trained, fresh[0]))
        rows += trial_rows(pool, task, _contrasts(budget, recorded, now))
    return BuildCheck(
        claim=claim.id, statement=claim.statement, pool=pool.name, budget=budget, seeds=fresh, comparisons=comparisons,
        placebos=placebos, trials=rows,
    )  # fmt: skip


def tuned_parts(claim: Claim, pools: Mapping[str, Pool]) -> list[tuple[Part, TunedPool]]:
    """The parts of a claim whose levels are tuned and trained, with their pool."""
    found = [(part, pools.get(part.pool)) for part in claim.parts if part.is_computed]
    return [(part, pool) for part, pool in found if isinstance(pool, TunedPool) and pool.design == "tuned"]


def checked_parts(claim: Claim, pools: Mapping[str, Pool]) -> list[Part]:
    """The parts of a claim that a build checks: those that count, or if none does those reported."""
    found = [part for part, _ in tuned_parts(claim, pools)]
    return [part for part in found if not part.reported] or found


def _claim(name: Any, record: Record) -> tuple[Claim, TunedPool, list[Part]]:
    """The claim of this id, its pool, and the parts that are checked."""
    if not isinstance(name, str) or name not in record.registry:
        raise ValueError(f"claim must be the id of one, got {name!r:.80}.{did_you_mean(name, record.registry)}")
    claim = record.registry[name]
    if not (found := tuned_parts(claim, record.pools)):
        known = ", ".join(each.id for each in record.registry.values() if tuned_parts(each, record.pools))
        raise ValueError(f"claim must be one whose levels are tuned and trained, got {name!r}. Those are {known}.")
    return claim, found[0][1], checked_parts(claim, record.pools)


def _tasks(tasks: Any, parts: Sequence[Part]) -> list[str]:
    """The tasks of the parts, or some of them."""
    every = list(dict.fromkeys(task for part in parts for task in part.tasks))
    chosen = every if tasks is None else check_names("tasks", tasks, "tasks of the claim")
    if unknown := [task for task in chosen if task not in every] or ([] if chosen else [""]):
        raise ValueError(f"tasks must be of the claim's, {', '.join(every)}, got {unknown[0]!r}.")
    return chosen


def _recorded(claim: Claim, record: Record, budget: str) -> list[Measured]:
    """What the record has of a claim at a budget: each part, reported ones too, on each task."""
    entries = {each["part"]: each for each in record.verdicts if each["id"] == claim.id and each["budget"] == budget}
    parts = [part for part, _ in tuned_parts(claim, record.pools) if part.name in entries]
    return [each for part in parts for each in read_measured(part, entries[part.name]).values()]


def _wanted(
    parts: Sequence[Part], tasks: Sequence[str], recorded: Sequence[Measured], what: str, pool: Pool
) -> list[Measured]:
    """Take what is compared from the record."""
    found = {(each.part.name, each.task): each for each in recorded}
    wanted = [(part.name, task) for part in parts for task in part.tasks if task in tasks]
    if missing := [f"{part!r} on {task}" for part, task in wanted if (part, task) not in found]:
        raise ValueError(
            f"The record must hold {what}, got nothing of {missing[0]}. Train it: nox -s evidence -- {pool.name}"
        )
    return [found[each] for each in wanted]


def _seeds(seeds: Any, recorded: Sequence[Measured], pool: TunedPool, level: float) -> list[int]:
    """Seeds that are none of the record's, and enough for an alarm."""
    fresh = check_seeds(seeds)
    used = {seed for stage in ("tune", "report") for budget in BUDGETS for seed in pool.seeds(stage, budget)}
    if len({*fresh} - used) < len(fresh):
        raise ValueError(f"seeds must be different ones that the record does not have, got {fresh}.")
    fewest = min(len(each.contrast.pairs) + each.contrast.lost for each in recorded)
    if not fresh or smallest_rank_sum(len(fresh), fewest) >= level:
        raise ValueError(
            f"seeds must be more than {len(fresh)}, which against {fewest} recorded ones give no p below {level:.1g}."
        )
    return fresh


def _contrasts(
    budget: str, recorded: Mapping[str, Sequence[Measured]], now: Sequence[Comparison]
) -> dict[str, list[Contrast]]:
    """The contrasts on one task of the first part's statistic, by whose they are."""
    task, statistic = now[0].task.name, now[0].recorded.part.statistic
    found = {}
    for each in sorted(BUDGETS, key=lambda name: name != budget):
        alike = [one for one in recorded[each] if (one.task, one.part.statistic) == (task, statistic)]
        found[f"{each}, recorded"] = [one.contrast for one in alike]
        if each == budget:
            mine = [one.now for one in now if one.recorded.part.statistic == statistic]
            found[f"{each}, this build"] = mine
    return found
