"""What the record of an LTC of ncps says: test errors on glucose (mg/dl), at the learning rate that validated best."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ncps_mlx import stats

__all__ = ["minus_no_time", "tested"]

RECORD = Path(__file__).with_name("ncps_ltc.jsonl")
Row = dict[str, Any]


@cache
def reported(form: str) -> dict[int, float]:
    """Test errors by seed."""
    rows: list[Row] = [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()]
    of_form = [row for row in rows if row["form"] == form]
    rates = sorted({row["learning_rate"] for row in of_form})
    by_rate = {rate: [row for row in of_form if row["learning_rate"] == rate] for rate in rates}
    best = min(by_rate.values(), key=lambda each: float(np.mean([row["scores"]["validation"] for row in each])))
    return {row["seed"]: row["scores"]["test"] for row in best}


def tested(form: str) -> str:
    """The test error, with its 95 % interval over seeds."""
    return str(stats.interval(list(reported(form).values())))


def minus_no_time(form: str) -> str:
    """How much larger the test error is than without time, paired by seed."""
    with_time, without = reported(form), reported("no time")
    return str(stats.paired([with_time[seed] for seed in without], list(without.values())))
