"""All designs, by the name that a pool's file gives: the usual one if it gives none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ncps_mlx._evidence import failures, grid, metrics, search, splits, timing, tuned
from ncps_mlx._evidence.design import Design
from ncps_mlx._evidence.pool import Pool, TaskSpec, read_toml
from ncps_mlx._utils.validation import check_choice

__all__ = ["DESIGNS", "read_pool"]

DESIGNS: Mapping[str, Design] = {
    "tuned": tuned,
    "grid": grid,
    "timing": timing,
    "failures": failures,
    "search": search,
    "splits": splits,
    "metrics": metrics,
}


def read_pool(path: Path, tasks: Mapping[str, TaskSpec]) -> Pool:
    """Read a pool of any design; ``tasks`` are those it may name."""
    design = check_choice(f"{path.name}: design", read_toml(path).get("design", "tuned"), DESIGNS)
    pool: Pool = DESIGNS[design].read_pool(path, tasks)
    return pool
