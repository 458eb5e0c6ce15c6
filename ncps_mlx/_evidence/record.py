"""The record as a whole, from a checkout or as a wheel brings it: tasks, pools, claims and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from ncps_mlx._evidence.comparisons import read_comparisons
from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.pool import Pool, read_tasks
from ncps_mlx._evidence.registry import Part, Registry, read_deltas, read_registry
from ncps_mlx._evidence.verdicts import Verdict, read_verdicts

__all__ = [
    "Record", "read_compared", "read_measured", "read_pools", "read_record", "record_folder", "trial_path",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is claimed, what is trained for it, and what came of it; a wheel brings no trials."""

    pools: Mapping[str, Pool]
    registry: Registry
    verdicts: Sequence[Verdict]


def record_folder() -> Path:
    """The folder of ``claims.toml`` and ``evidence/``: what the wheel brought, or ``docs/`` of a checkout."""
    brought = Path(str(files("ncps_mlx._evidence"))) / "docs"
    for folder in (brought, brought.parents[2] / "docs"):
        if (folder / "claims.toml").is_file():
            return folder
    raise FileNotFoundError(f"the record of claims must lie in {brought}, got nothing there. Install ncps-mlx again.")


def read_pools(docs: Path) -> dict[str, Pool]:
    """All pools, by name."""
    tasks = read_tasks(docs / "evidence" / "tasks.toml")
    return {path.stem: read_pool(path, tasks) for path in sorted((docs / "evidence" / "pools").glob("*.toml"))}


def trial_path(docs: Path, pool: str) -> Path:
    """The file of a pool's trials."""
    return docs / "evidence" / "trials" / f"{pool}.jsonl"


def read_record(docs: Path | None = None) -> Record:
    """Read a record; ``None`` for the one that came along."""
    docs = record_folder() if docs is None else docs
    pools = read_pools(docs)
    return Record(
        pools=pools,
        registry=read_registry(docs / "claims.toml", pools),
        verdicts=read_verdicts(docs / "evidence" / "verdicts.json"),
    )


def read_compared(docs: Path, record: Record) -> Record:
    """The comparisons of a record in the place of its claims: a level against all others of its pool, task by task."""
    folder, deltas = docs / "evidence", read_deltas(docs / "claims.toml")
    return replace(
        record,
        registry=read_comparisons(folder / "comparisons.toml", record.pools, deltas),
        verdicts=read_verdicts(folder / "comparisons.json"),
    )


def read_measured(part: Part, entry: Verdict) -> dict[str, Measured]:
    """What an entry of the verdicts holds of a part, by task."""
    return {
        task["task"]: Measured(
            part=part,
            task=task["task"],
            budget=entry["budget"],
            contrast=Contrast(
                pairs=[(seed, first, second) for seed, first, second in task["pairs"]],
                higher_is_better=task["higher_is_better"],
                levels={side: [(name, rate) for name, rate in levels] for side, levels in task["levels"].items()},
                lost=task["lost"],
                missing=0,
                unit=task["unit"],
            ),
        )
        for task in entry["tasks"]
    }
