"""``ncps-mlx reproduce ID``: a claim measured again on fresh seeds and data, beside the record; a report to paste."""

from __future__ import annotations

import argparse
import math
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ncps_mlx._evidence.plan import Row
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.record import Record, read_record
from ncps_mlx._evidence.registry import Claim
from ncps_mlx._evidence.reproduce import (
    FEWEST_SEEDS,
    FIRST_SEED,
    Comparison,
    find_claim,
    recorded,
    reproduce,
    train_fresh,
)
from ncps_mlx._evidence.verdicts import claim_verdict
from ncps_mlx._utils.text_table import text_table
from ncps_mlx._utils.validation import MOST_SEEDS, check_int
from ncps_mlx.stats._finding import LEVEL, Finding
from ncps_mlx.stats._intervals import Interval

__all__ = ["add_arguments", "run"]

NOT_COMPATIBLE, NO_ANSWER = 1, 2
STOPPED = 130  # exit status after Ctrl-C, as shells have it
LAST_SEED = 2**31 - 1 - MOST_SEEDS

ABOUT = f"""\
Trains the levels that the claim compares, at the learning rates that the record chose, on seeds that nobody recorded
({FIRST_SEED} or more), data drawn anew with each. The report goes to standard output, progress to standard error.
Fresh and recorded pooled effects are compatible if the 95 % interval of their difference holds 0: Welch's, or of
shares of lost trainings Zou and Donner's.
Exit status: 0 compatible, 1 not, 2 no answer (wrong use, nothing recorded, too little time).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.epilog = ABOUT
    add = parser.add_argument
    add("id", nargs="?", metavar="ID", help="the claim; without it all are listed, with their verdicts")
    add("--budget", choices=BUDGETS, default=BUDGETS[0], help="steps of the trainings (%(default)s)")
    timeout = "begin nothing after this time, such as 90s or 2m (default: no limit)"
    add("--timeout", metavar="TIME", type=_seconds, default=math.inf, help=timeout)
    add("--seeds", type=int, default=10, help=f"how many, at least {FEWEST_SEEDS} (%(default)s)")
    add("--seed", type=int, help=f"the first of them, {FIRST_SEED} or more (default: drawn at random, and told)")
    add("--docs", type=Path, help="the folder of claims.toml and evidence/ (default: the record that came along)")


def _seconds(text: str) -> float:
    """A time such as 90, 90s, 2m or 1h, in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a time such as 90s, 2m or 1h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def run(arguments: argparse.Namespace) -> int:
    """Measure a claim again; return the exit status."""
    try:
        record = read_record(arguments.docs)
        if arguments.id is None:
            print(_listed(record))
            return 0
        return _reproduce(record, arguments)
    except KeyboardInterrupt:
        _say("Stopped.")
        return STOPPED
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        _say(f"{type(error).__name__}: {error}")
        return NO_ANSWER


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _listed(record: Record) -> str:
    rows = [["claim", *BUDGETS, "says"]]
    for claim in record.registry.values():
        verdicts = [claim_verdict(claim, record.verdicts, budget) for budget in BUDGETS] if claim.parts else claim.kind
        rows.append([claim.id, *verdicts, *[""] * (len(BUDGETS) - len(verdicts)), claim.statement])
    return text_table(rows, left=len(rows[0]))


def _reproduce(record: Record, arguments: argparse.Namespace) -> int:
    claim = find_claim(record, arguments.id)
    count = check_int("--seeds", arguments.seeds, minimum=FEWEST_SEEDS, maximum=MOST_SEEDS)
    drawn = FIRST_SEED + secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    first = check_int("--seed", drawn, minimum=FIRST_SEED, maximum=LAST_SEED)
    parts, seeds = recorded(record, claim, arguments.budget), range(first, first + count)
    rows = train_fresh(parts, seeds, arguments.timeout, _say)
    found = reproduce(parts, rows)
    _say("What follows may be pasted into an issue.")
    print(_report(claim, arguments.budget, found, rows, seeds))
    return 0 if all(each.is_compatible for each in found) else NOT_COMPATIBLE


def _report(claim: Claim, budget: str, found: Sequence[Comparison], rows: Sequence[Row], asked: range) -> str:
    """What was found and by what means, as text."""
    wrong = ", ".join(each.recorded.part.name for each in found if not each.is_compatible)
    seeds, one = sorted({row["seed"] for row in rows}), rows[0]
    means = {name: one[name] for name in ("device", "blas", "native", "tanh", "flush", "code")} | one["versions"]
    return "\n".join(
        [
            "```",
            f"{claim.id}, {budget} budget: {f'not compatible ({wrong})' if wrong else 'compatible'}",
            f'"{claim.statement}"',
            "",
            text_table([["", "recorded", "n", "fresh", "n", "fresh - recorded"], *_rows(found)]),
            "",
            f"In units of delta ({_deltas(found)}), above 0 in favour of the first side, with 95 % intervals.",
            f"Compatible: the interval of the pooled difference, {100 * (1 - LEVEL / len(found)):.1f} %, holds 0.",
            f"Seeds {seeds[0]} to {seeds[-1]}, data drawn with them{_fixed(rows)}.",
            f"By {', '.join(f'{name} {value}' for name, value in means.items())}.",
            f"Again: ncps-mlx reproduce {claim.id} --budget {budget} --seeds {len(asked)} --seed {asked[0]}",
            "```",
        ]
    )


def _rows(found: Sequence[Comparison]) -> Iterator[list[str]]:
    for each in found:
        part, before, fresh = each.recorded.part, each.recorded.finding, each.fresh
        yield [f"{part.name} ({part.direction})", each.recorded.verdict, "", fresh.verdict(part.direction), "", ""]
        for name, contrast in each.contrasts.items():
            lost = f", {contrast.lost} diverged" if contrast.lost else ""
            sides = [text for one in (before.tasks[name], fresh.tasks[name]) for text in (_effect(one), str(one.n))]
            yield [f"  {name}{lost}", *sides, ""]
        sides = [text for one in (before, fresh) for text in (_effect(one), "")]
        mean, low, high = each.difference
        mark = "" if each.is_compatible else ": not compatible"
        yield ["  pooled", *sides, f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]{mark}"]


def _effect(found: Finding | Interval) -> str:
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _deltas(found: Sequence[Comparison]) -> str:
    each: dict[str, None] = {}
    for one in found:
        part, tasks = one.recorded.part, one.recorded.pool.tasks
        if part.ratio:
            each[f"of {part.statistic} the logarithm of {part.ratio:g}"] = None
        else:
            each |= {f"{name} {delta:g} {tasks[name].unit}".rstrip(): None for name, delta in part.deltas.items()}
    return ", ".join(each)


def _fixed(rows: Sequence[Row]) -> str:
    """Which tasks have no data to draw."""
    fixed = sorted({row["task"] for row in rows} - {row["task"] for row in rows if row["data_seed"] is not None})
    return f" (none to draw for {', '.join(fixed)})" if fixed else ""
