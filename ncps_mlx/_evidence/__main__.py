"""Train what pools lack and compute the verdicts: ``python -m ncps_mlx._evidence POOL ... --dry-run``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ncps_mlx._evidence.advice import add_advice, news, read_advice
from ncps_mlx._evidence.best_settings import write_settings
from ncps_mlx._evidence.checks import check_verdicts
from ncps_mlx._evidence.checksums import changed_files, checksum_path, write_checksums
from ncps_mlx._evidence.comparisons import findings, read_comparisons
from ncps_mlx._evidence.plan import index_of
from ncps_mlx._evidence.pool import BUDGETS, Pool
from ncps_mlx._evidence.record import read_pools, trial_path
from ncps_mlx._evidence.registry import Registry, read_deltas, read_registry
from ncps_mlx._evidence.runner import describe, run
from ncps_mlx._evidence.search_pool import SearchPool
from ncps_mlx._evidence.trial_file import forget, read_trials
from ncps_mlx._evidence.verdicts import (
    Verdict,
    changes,
    in_order,
    read_verdicts,
    table,
    verdicts,
    write_verdicts,
)

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m ncps_mlx._evidence", description=__doc__)
    parser.add_argument("pools", nargs="*", metavar="POOL", help="what to train; none: only compute the verdicts")
    parser.add_argument("--dry-run", action="store_true", help="say what is missing and how long it takes")
    parser.add_argument("--budget", choices=BUDGETS, help="only this budget; default both")
    stale = "forget the trials of these pools, with --budget those of that budget, and train them again"
    parser.add_argument("--stale", action="store_true", help=stale)
    parser.add_argument("--settings", action="store_true", help="write the best settings that searches found, for tune")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of claims.toml and evidence/")
    options = parser.parse_args(arguments)
    try:
        return _evidence(options)
    except (ValueError, OSError) as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 2


def _evidence(options: argparse.Namespace) -> int:
    folder: Path = options.docs / "evidence"
    pools = read_pools(options.docs)
    claims = options.docs / "claims.toml"
    registry = read_registry(claims, pools)
    comparisons = read_comparisons(folder / "comparisons.toml", pools, read_deltas(claims))
    budgets = [options.budget] if options.budget else list(BUDGETS)
    for name in options.pools:
        if name not in pools:
            raise ValueError(f"POOL must be one of {', '.join(pools)}, got {name!r}.")
    paths = {name: trial_path(options.docs, name) for name in pools}
    if options.dry_run:
        for name in options.pools or pools:
            print(describe(pools[name], paths[name], budgets))
        return 0
    for name in options.pools:
        if options.stale:
            forget(paths[name], budgets)
        _train(pools[name], paths[name], budgets)
    for name, what in changed_files(options.docs).items() if checksum_path(options.docs).exists() else ():
        if name.startswith("evidence/trials/") and Path(name).stem not in options.pools:
            print(f"{name} {what}")
    trials = {name: index_of(read_trials(path)) for name, path in paths.items()}
    checked = check_verdicts(registry, options.docs, read_verdicts(folder / "verdicts.json"))
    of_claims = in_order(registry, [*checked, *verdicts(registry, pools, trials)])
    of_comparisons = verdicts(comparisons, pools, trials)
    print(table(registry, of_claims))
    _tell(folder / "advice.jsonl", registry, of_claims)
    changed = _written(folder / "verdicts.json", of_claims)
    if comparisons:
        print(findings(of_comparisons))
        changed += _written(folder / "comparisons.json", of_comparisons)
    write_checksums(options.docs)
    print("\n".join(changed) or "No verdict has changed.")
    if options.settings:
        for pool in pools.values():
            if isinstance(pool, SearchPool):
                for path in write_settings(pool, trials[pool.name], read_deltas(claims), folder / "settings"):
                    print(f"wrote {path}")
    return 0


def _tell(path: Path, registry: Registry, found: Sequence[Verdict]) -> None:
    """Write into the changelog of advice what has changed since it was last told."""
    reasons = {claim.id: claim.changed for claim in registry.values()}
    add_advice(path, news(read_advice(path), found, datetime.now(UTC).date().isoformat(), reasons))


def _written(path: Path, found: Sequence[Verdict]) -> list[str]:
    """Write verdicts and say which have changed."""
    before = read_verdicts(path)
    write_verdicts(path, found)
    return changes(before, found)


def _train(pool: Pool, path: Path, budgets: Sequence[str]) -> None:
    new = run(pool, path, budgets, lambda text: print(text, flush=True))
    failed = sum(row["status"] == "diverged" for row in new)
    print(f"{pool.name}: {len(new)} trials are new, {failed} of them diverged")


if __name__ == "__main__":
    sys.exit(main())
