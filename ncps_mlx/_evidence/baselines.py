"""Classical baselines as trials: measured on the draws of data that models are reported on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ncps_mlx._evidence.plan import Member, Row
from ncps_mlx._evidence.scores import DETECTION, Scores
from ncps_mlx._evidence.tasks import make_task
from ncps_mlx._evidence.train import means, rounded
from ncps_mlx._utils.validation import check_choice
from ncps_mlx.data._anomalies import detection_baselines
from ncps_mlx.data._task import Task

__all__ = ["measure"]


def measure(members: Sequence[Member]) -> list[Row]:
    """Measure baselines and return their trials, with the fields of any other; they have no last step."""
    rows, measured_by = [], means()
    for member in members:
        begun = time.perf_counter()
        task, name = make_task(member.task, member.level, member.data_seed), member.level.baseline
        forecasts, detectors = task.baselines(), _detectors(task)
        check_choice(f"levels.{member.level.name}: baseline", name, {**forecasts, **detectors})
        scores: Scores = dict.fromkeys(task.splits)
        if name in forecasts:
            scores |= {"validation": task.baselines("validation")[name], "test": forecasts[name]}
        metrics: dict[str, Scores] = {
            metric: dict.fromkeys(task.splits) | {"test": detectors.get(name, {}).get(metric)}
            for metric in member.task.metrics
            if metric in DETECTION
        }
        about = {
            "status": "finished",
            "best_step": 0,
            "largest_loss": None,
            "last_loss": None,
            "scores": rounded(scores),
            "last": dict.fromkeys(task.splits),
            "metrics": {metric: rounded(each) for metric, each in metrics.items()},
            "seconds": round(time.perf_counter() - begun, 4),
            "parameters": 0,
        }
        rows.append(member.identity | about | measured_by)
    return rows


@lru_cache(maxsize=32)
def _detectors(task: Task) -> Mapping[str, Mapping[str, float]]:
    """What finds anomalies in a task that has some."""
    return {} if task.labels is None else detection_baselines(task)
