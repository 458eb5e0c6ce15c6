"""Whether this build of the library still shows what the record says of a claim."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ncps_mlx._evidence.against_record import Comparison, effect_of, level_of
from ncps_mlx._evidence.check_figure import draw_check
from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured, Reproducible
from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.placebo import Placebo, placebo
from ncps_mlx._evidence.plan import Row
from ncps_mlx._evidence.pool import BUDGETS, Pool, TaskSpec, TunedPool
from ncps_mlx._evidence.record import Record, read_compared, read_measured, read_record, record_folder
from ncps_mlx._evidence.registry import Claim, Part
from ncps_mlx._evidence.trial_rows import trial_rows
from ncps_mlx._evidence.verdicts import NOT_MEASURED, claim_verdict
from ncps_mlx._utils.text_table import text_table
from ncps_mlx._utils.validation import check_choice, check_names, check_seeds, did_you_mean
from ncps_mlx.stats._rank_sum import smallest_rank_sum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SEEDS", "VARIABLE", "BuildCheck", "check", "check_in", "checked_parts", "trained_parts"]

SEEDS = range(200, 205)
"""Those of a build; tuning has 0 to 2, the record 100 and on."""

VARIABLE = "NCPS_MLX_CLAIMS"
"""With ``require`` an alarm is an error, as in builds of the documentation; else, on a reader's machine, it is told."""

TRAINED = ("tuned", "splits", "search")
"""Designs of which a build trains a few seeds."""


@dataclass(frozen=True, kw_only=True)
class BuildCheck:
    """What :func:`check` found; ``print`` writes it, :meth:`figure` draws it.

    Attributes:
        claim: Its id.
        statement: The advice.
        pool: Whose trials it rests on.
        verdicts: What the record says of the claim, by budget.
        findings: What it says of each part that is compared, by part and budget.
        budget: At which it was trained.
        seeds: On which; none where only the record is told.
        tasks: On which data, by name.
        recorded: What the record has of each part on each task, at each budget.
        comparisons: This build with it, of each part on each task.
        placebos: Of each task.
    """

    claim: str
    statement: str
    pool: Pool = field(repr=False)
    verdicts: Mapping[str, str]
    findings: Mapping[tuple[str, str], str]
    budget: str
    seeds: Sequence[int]
    tasks: Mapping[str, TaskSpec]
    recorded: Sequence[Measured]
    comparisons: Sequence[Comparison]
    placebos: Sequence[Placebo]

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

    def rows(self, task: str) -> list[dict[str, Any]]:
        """What the levels scored on a task, in the record and in this build, for :func:`ncps_mlx.plots.sweep`.

        Scores are those of the first part's statistic.
        """
        spec = self.tasks[check_choice("task", task, self.tasks)]
        sources: dict[str, list[tuple[Measured, Contrast]]] = {}
        for whose, measured, contrast in self._contrasts():
            if measured.task == task and measured.part.statistic == self.recorded[0].part.statistic:
                sources.setdefault(whose, []).append((measured, contrast))
        return trial_rows(self.pool, spec, sources)

    def differences(self) -> list[dict[str, Any]]:
        """A row for each part, task and pair: first minus second in δ, above 0 if better, ``None`` if one diverged."""
        return [
            {"part": measured.part.name, "task": measured.task, "trials": whose, "seed": seed, "difference": difference}
            for whose, measured, contrast in self._contrasts()
            for seed, difference in _by_seed(contrast, measured.part.deltas[measured.task])
        ]

    def _contrasts(self) -> Iterator[tuple[str, Measured, Contrast]]:
        """All that was compared: of the budget that was trained the record, then this build; then other budgets."""
        for budget in _order(self.budget):
            for each in self.recorded:
                if each.budget == budget:
                    yield f"{budget}, recorded", each, each.contrast
            for compared in self.comparisons if budget == self.budget else ():
                yield f"{budget}, this build", compared.recorded, compared.now

    def figure(self, parts: Sequence[str] | None = None) -> Figure:
        """Draw the paired differences of every part and task: recorded at each budget, and this build's among them.

        Every seed is a small mark, whose shape says whose it is; the large one is their mean, with its 95 % interval.
        In the band are differences that hardly matter, up to δ. :func:`ncps_mlx.plots.alt_text` says it in words.

        Args:
            parts: Some of the parts, by name (default: all that were compared).
        """
        every = list({each.part.name: each.part for each in self.recorded}.values())
        names = [part.name for part in (every if parts is None else _parts(parts, every))]
        return draw_check(self.claim, [row for row in self.differences() if row["part"] in names])

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
            f"nox -s evidence -- {self.pool.name} --stale"
        )

    def __str__(self) -> str:
        """Write the verdicts, a line for each part and task, what the placebo gave, and the badge."""
        lines = [f"{self.claim}: {self.statement}"]
        if self.verdicts:
            lines.append(" and ".join(f"{verdict} at the {budget} budget" for budget, verdict in self.verdicts.items()))
        return "\n".join([*lines, text_table(self._cells()), *self._badge()])

    def _cells(self) -> list[list[str]]:
        budgets = [budget for budget in _order(self.budget) if any(each.budget == budget for each in self.recorded)]
        now = {(each.recorded.part.name, each.task.name): each for each in self.comparisons}
        known = {(each.part.name, each.task, each.budget): each for each in self.recorded}
        head = ["first minus second, above 0 if better", *(f"{budget}, recorded" for budget in budgets)]
        cells = [[*head, f"{self.budget}, this build", "p"] if now else head]
        for part in dict.fromkeys(each.part.name for each in self.recorded):
            cells.append([part, *(self.findings.get((part, budget), "") for budget in budgets)])
            for task, spec in self.tasks.items():
                found = [known.get((part, task, budget)) for budget in budgets]
                if each := next(filter(None, found), None):
                    fresh = now.get((part, task))
                    own = [fresh.effects[0], f"{fresh.p:.2g}"] if fresh else []
                    effects = [effect_of(one) if one else "" for one in found]
                    cells.append([f"  {task}{_unit(each, spec)}", *effects, *own])
        return [row + [""] * (len(cells[0]) - len(row)) for row in cells]

    def _badge(self) -> list[str]:
        """What the trainings of this build say, if there were any."""
        if not self.comparisons:
            return []
        count = max(len(each.recorded.contrast.pairs) + each.recorded.contrast.lost for each in self.comparisons)
        lines = [f"{self.budget} budget, seeds {', '.join(map(str, self.seeds))} against {count} recorded"]
        if self.placebos:
            lines.append(
                f"{sum(each.pairs for each in self.placebos)} pairs of levels trained at one rate: "
                f"{sum(len(each.alike) for each in self.placebos)} alike in bits"
            )
        if self.alarms:
            return [*lines, "NOT AS RECORDED", *self.alarms, self.cure]
        return [*lines, f"as recorded: no p is below {self.comparisons[0].level:.1g}"]


def check(
    claim: str, *, seeds: Iterable[int] | None = SEEDS, budget: str = "short", tasks: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
) -> BuildCheck:  # fmt: skip
    """Train the levels of a claim on fresh seeds, and see whether they differ as the record says.

    Each part of the claim is compared on each of its tasks: this build's differences among the recorded ones, by the
    exact rank-sum test, two-sided at 0.01 for all 55 claims together. A placebo goes with it: for a few steps every
    level is trained at one rate, when levels must differ in bits, and one that is trained twice must not.

    Of unbroken builds one in a hundred alarms. Where the environment variable ``NCPS_MLX_CLAIMS`` is ``require``, as in
    builds of the documentation, an alarm is an error; anywhere else the result tells it.

    Args:
        claim: Its id, such as ``"dropout-start"``; or a comparison with all opponents on a task, such as
            ``"opponents-glucose"``.
        seeds: Other ones than the record's, which are 0 to 2 and 100 to 129 (default: 200 to 204). Data that are drawn
            are drawn by them; for searches and folds they follow one another. ``None`` trains nothing and tells the
            record alone, of any measured claim.
        budget: ``"short"`` (default) or ``"long"``.
        tasks: Some of the claim's tasks (default: all).
        parts: Some of the claim's parts, by name (default: those that count for its verdict).

    Returns:
        BuildCheck: ``print`` writes it. ``alarms`` lists what is not as recorded, a sentence each; ``require()`` raises
        if there are any. ``figure()`` draws the differences, recorded at both budgets and in this build.
        ``rows(task)`` gives what each level scored likewise, for :func:`ncps_mlx.plots.sweep`: by ``level`` or the
        hyperparameters that levels set, and by ``trials``, which says whose they are.

    Raises:
        ValueError: An unknown claim, part, task or budget; a claim of which no few seeds are trained, or whose record
            is not complete; seeds that are the record's, or too few for any alarm.
        FileNotFoundError: The record is not there.
        AssertionError: There is an alarm, and the environment wants an error.

    Source:
        Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945).

    Example:
        >>> from ncps_mlx import claims
        >>> claims.check("mode-no-gate", tasks=["sines"]).alarms
        []
        >>> claims.check("random-efficient", seeds=None).verdicts["long"]
        'refuted'
    """
    checked = check_in(record_folder(), claim, seeds=seeds, budget=budget, tasks=tasks, parts=parts)
    return checked.require() if os.environ.get(VARIABLE) == "require" else checked


def check_in(
    docs: Path, name: Any, *, seeds: Iterable[int] | None = SEEDS, budget: str = "short",
    tasks: Sequence[str] | None = None, parts: Sequence[str] | None = None,
) -> BuildCheck:  # fmt: skip
    """Check a claim against the record in a folder."""
    check_choice("budget", budget, BUDGETS)
    record = read_record(docs)
    if isinstance(name, str) and name not in record.registry:
        compared = read_compared(docs, record)
        record = compared if name in compared.registry else record
    claim = _claim(name, record)
    every = measured_parts(claim) if seeds is None else [part for part, _ in trained_parts(claim, record.pools)]
    if not every:
        known = [each.id for each in record.registry.values() if trained_parts(each, record.pools)]
        raise ValueError(
            f"claim must be one of which a few seeds can be trained, got {name!r}. Those are {', '.join(known)}. "
            "With seeds=None the record alone is told."
        )
    chosen = _parts(parts, every)
    named = _tasks(tasks, chosen)
    pool = record.pools[chosen[0].pool]
    recorded = {each: _recorded(chosen, record, claim, each) for each in BUDGETS}
    told = BuildCheck(
        claim=claim.id,
        statement=claim.statement,
        pool=pool,
        verdicts={each: claim_verdict(claim, record.verdicts, each) for each in claim.budgets if claim.section},
        findings=_findings(record, claim),
        budget=budget,
        seeds=(),
        tasks={each: pool.tasks[each] for each in named},
        recorded=[one for found in recorded.values() for one in found if one.task in named],
        comparisons=(),
        placebos=(),
    )
    if seeds is None:
        return told
    mine = _wanted(chosen, named, recorded[budget], f"{claim.id} at the {budget} budget", pool)
    level = level_of(chosen)
    fresh = _seeds(seeds, mine, pool, level)
    comparisons, placebos = list[Comparison](), []
    for task in (pool.tasks[each] for each in named):
        now = _train(pool, task, [each for each in mine if each.task == task.name], fresh, level)
        comparisons += now
        if isinstance(pool, TunedPool):
            levels = dict.fromkeys(level for each in now for side in each.recorded.levels.values() for level, _ in side)
            placebos.append(placebo(pool, task, [each for each in levels if not pool.levels[each].baseline], fresh[0]))
    return replace(told, seeds=fresh, comparisons=comparisons, placebos=placebos)


def _train(
    pool: Pool, task: TaskSpec, recorded: Sequence[Measured], seeds: Sequence[int], level: float
) -> list[Comparison]:
    """Train what contrasts on a task need, and compare."""
    design = cast(Reproducible, DESIGNS[pool.design])
    rows: list[Row] = []
    while lacking := design.fresh(pool, recorded, seeds, rows):  # again: a search chooses by what it has seen
        for group in (group for each in lacking for group in each.groups):
            rows += design.train(group)
    return [
        Comparison(recorded=each, task=task, now=design.fresh_contrast(pool, each, rows), level=level)
        for each in recorded
    ]


def measured_parts(claim: Claim) -> list[Part]:
    """The parts of a claim that trials decide, of one pool: that of the first that counts."""
    found = [part for part in claim.parts if part.is_computed]
    first = next((part.pool for part in found if not part.reported), "")
    return [part for part in found if part.pool == first]


def trained_parts(claim: Claim, pools: Mapping[str, Pool]) -> list[tuple[Part, Pool]]:
    """The parts of a claim of which a build can train a few seeds, with their pool."""
    found = [(part, pools.get(part.pool)) for part in claim.parts if part.is_computed]
    return [(part, pool) for part, pool in found if pool is not None and pool.design in TRAINED]


def checked_parts(claim: Claim, pools: Mapping[str, Pool]) -> list[Part]:
    """The parts of a claim that a build checks: those that count, or if none does those reported."""
    return _parts(None, [part for part, _ in trained_parts(claim, pools)])


def _parts(names: Any, every: Sequence[Part]) -> list[Part]:
    """Some parts by name; by default those that count, or if none does those reported."""
    if names is None:
        return [part for part in every if not part.reported] or list(every)
    known = {part.name: part for part in every}
    chosen = check_names("parts", names, "parts of the claim")
    if unknown := [name for name in chosen if name not in known] or ([] if chosen else [""]):
        raise ValueError(f"parts must be of the claim's, {', '.join(map(repr, known))}, got {unknown[0]!r}.")
    return [known[name] for name in chosen]


def _claim(name: Any, record: Record) -> Claim:
    """The measured claim of this id."""
    if not isinstance(name, str) or name not in record.registry:
        raise ValueError(f"claim must be the id of one, got {name!r:.80}.{did_you_mean(name, record.registry)}")
    claim = record.registry[name]
    if not measured_parts(claim):
        raise ValueError(f"claim must be a measured one, got {name!r}, which is {' and '.join(claim.kind)}.")
    return claim


def _tasks(tasks: Any, parts: Sequence[Part]) -> list[str]:
    """The tasks of the parts, or some of them."""
    every = list(dict.fromkeys(task for part in parts for task in part.tasks))
    chosen = every if tasks is None else check_names("tasks", tasks, "tasks of the claim")
    if unknown := [task for task in chosen if task not in every] or ([] if chosen else [""]):
        raise ValueError(f"tasks must be of the claim's, {', '.join(every)}, got {unknown[0]!r}.")
    return chosen


def _recorded(parts: Sequence[Part], record: Record, claim: Claim, budget: str) -> list[Measured]:
    """What the record has of parts at a budget, on each task."""
    entries = {each["part"]: each for each in record.verdicts if each["id"] == claim.id and each["budget"] == budget}
    return [one for part in parts if part.name in entries for one in read_measured(part, entries[part.name]).values()]


def _findings(record: Record, claim: Claim) -> dict[tuple[str, str], str]:
    """The verdict of each part, by part and budget; of comparisons, which claim nothing, what was found."""
    word = "verdict" if claim.section else "finding"
    return {
        (each["part"], each["budget"]): each[word]
        for each in record.verdicts
        if each["id"] == claim.id and each["budget"] and each["verdict"] != NOT_MEASURED
    }


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


def _seeds(seeds: Any, recorded: Sequence[Measured], pool: Pool, level: float) -> list[int]:
    """Seeds that are none of the record's, and enough for an alarm."""
    fresh = check_seeds(seeds)
    if len({*fresh} - _used(pool)) < len(fresh):
        raise ValueError(f"seeds must be different ones that the record does not have, got {fresh}.")
    fewest = min(len(each.contrast.pairs) + each.contrast.lost for each in recorded)
    if not fresh or smallest_rank_sum(len(fresh), fewest) >= level:
        raise ValueError(
            f"seeds must be more than {len(fresh)}, which against {fewest} recorded ones give no p below {level:.1g}."
        )
    if not isinstance(pool, TunedPool) and fresh != [*range(fresh[0], fresh[0] + len(fresh))]:
        raise ValueError(f"seeds must follow one another in the pool {pool.name}, got {fresh}.")
    return fresh


def _used(pool: Pool) -> set[int]:
    """The seeds of the record."""
    if isinstance(pool, TunedPool):
        return {seed for stage in ("tune", "report") for budget in BUDGETS for seed in pool.seeds(stage, budget)}
    return {*range(SEEDS.start)}


def _order(budget: str) -> list[str]:
    """This budget first."""
    return [budget, *(each for each in BUDGETS if each != budget)]


def _by_seed(contrast: Contrast, delta: float) -> list[tuple[int | None, float | None]]:
    """The difference of each pair in δ; where a training diverged, none."""
    seeds = [seed for seed, *_ in contrast.pairs]
    pairs = list(zip(seeds, contrast.differences(delta), strict=True))
    return [*pairs, *[(None, None)] * contrast.lost]


def _unit(measured: Measured, task: TaskSpec) -> str:
    """The unit of what is compared, after a comma."""
    unit = task.unit if measured.contrast.unit is None else measured.contrast.unit
    return f", {unit}" if unit and not measured.part.ratio else ""
