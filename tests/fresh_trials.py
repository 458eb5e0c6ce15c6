"""A recorded contrast measured again on seeds that are given: on those of the record it must give the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ncps_mlx._evidence.contrasts import Contrast
from ncps_mlx._evidence.design import Measured
from ncps_mlx._evidence.plan import Row
from ncps_mlx._evidence.registry import Part


def measured_again(
    design: Any, pool: Any, part: Part, task: str, budget: str, recorded: Contrast, seeds: Sequence[int]
) -> tuple[Contrast, list[Row]]:
    """The contrast on these seeds, and the trials that it took."""
    measured, rows = Measured(part=part, task=task, budget=budget, contrast=recorded), list[Row]()
    while batch := design.fresh(pool, [measured], seeds, rows):
        for lacking in batch:
            assert lacking.count > 0 and lacking.seconds > 0
            for group in lacking.groups:
                rows += design.train(group)
    return design.fresh_contrast(pool, measured, rows), rows
