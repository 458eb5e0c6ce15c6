"""Claims that hold or do not, each with the assertion that decides it, and their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ncps_mlx._evidence import library_checks, site_checks
from ncps_mlx._evidence.registry import Claim, Registry
from ncps_mlx._evidence.seen import NotHereError, Seen
from ncps_mlx._evidence.verdicts import NOT_MEASURED, ONCE, Verdict

__all__ = ["CHECKS", "check_verdicts"]

CHECKS: Mapping[str, Callable[[Path], Seen]] = {
    "hidden-size-cost": library_checks.parameters_grow_with_width,
    "mode-pure": library_checks.pure_has_one_head,
    "batch-accumulate": library_checks.accumulated_gradient_is_that_of_the_whole,
    "start-monitor": library_checks.study_stops_early_and_says_when,
    "record-all": library_checks.record_trains_again,
    "record-config": library_checks.configuration_names_what_came_of_it,
    "record-seeds": library_checks.seeds_decide,
    "help-notebooks": site_checks.notebooks_have_outputs,
    "help-model-pages": site_checks.every_parameter_has_a_page,
    "help-community": site_checks.link_opens_a_filled_issue,
}
"""By claim; each is given the folder of the documentation, which a wheel lacks."""


def check_verdicts(registry: Registry, docs: Path, recorded: Sequence[Verdict] = ()) -> list[Verdict]:
    """Decide what is checked or shown. What cannot be seen here keeps the verdict that is recorded."""
    known = {entry["id"]: entry for entry in recorded if entry["budget"] is ONCE}
    return [_decided(claim, docs, known) for claim in registry.values() if set(claim.kind) & {"checked", "shown"}]


def _decided(claim: Claim, docs: Path, known: Mapping[str, Verdict]) -> Verdict:
    kind = next(each for each in claim.kind if each != "measured")
    entry: Verdict = dict.fromkeys(("direction", "statistic", "finding", "pooled", "low", "high"))
    entry |= {"id": claim.id, "part": kind, "budget": ONCE, "kind": list(claim.kind), "reported": False}
    entry |= {"ratio": None, "tasks": []}
    if claim.id not in CHECKS:
        return entry | {"verdict": NOT_MEASURED, "reason": "nothing checks it"}
    try:
        seen = CHECKS[claim.id](docs)
    except (NotHereError, ImportError) as error:
        return known.get(claim.id) or entry | {"verdict": NOT_MEASURED, "reason": str(error)}
    return entry | {"verdict": "supported" if seen.holds else "refuted", "reason": seen.text}
