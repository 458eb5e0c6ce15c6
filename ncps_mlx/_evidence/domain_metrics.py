"""Metrics of the tasks' own fields: what a physician asks of a glucose forecast, and who plans for solar maxima."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ncps_mlx.data._metrics import METRICS, Metric
from ncps_mlx.data._split import Array

__all__ = ["DOMAIN_METRICS", "LOW_GLUCOSE", "SUNSPOT_PEAK", "clarke_zones", "metric_of"]

LOW_GLUCOSE = 70.0
"""mg/dl below which one speaks of hypoglycaemia (Battelino et al., Diabetes Care 42:1593, 2019)."""

SUNSPOT_PEAK = 100.0
"""Monthly sunspot number above which a month belongs to a maximum: about the highest tenth."""


def clarke_zones(reference: npt.ArrayLike, predicted: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """The zone of Clarke's error grid, "A" to "E", in which each prediction lies (mg/dl).

    A: within 20 % of the reference, or both low (at most 70). B: further off, but treated no worse. C: an acceptable
    glucose would be corrected. D: a low or high one is not seen. E: a low one is treated as high, or the reverse.

    Source: Clarke, Cox, Gonder-Frederick, Carter and Pohl, "Evaluating clinical accuracy of systems for
    self-monitoring of blood glucose", Diabetes Care 10:622-628 (1987).
    """
    true, said = np.asarray(reference, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    zone_a = (np.abs(said - true) <= 0.2 * true) | ((true <= 70) & (said <= 70))
    zone_e = ((true <= 70) & (said >= 180)) | ((true >= 180) & (said <= 70))
    too_high = (true >= 70) & (true <= 290) & (said >= true + 110)
    too_low = (true >= 130) & (true <= 180) & (said <= 7 / 5 * true - 182)
    unseen_high = (true >= 240) & (said >= 70) & (said <= 180)
    unseen_low = (true <= 70) & (said >= 70) & (said <= 180)
    zones = [(zone_a, "A"), (zone_e, "E"), (too_high | too_low, "C"), (unseen_high | unseen_low, "D")]
    return np.select([where for where, _ in zones], [name for _, name in zones], default="B")


def _zones_a_and_b(true: Array, predicted: Array, _: Array | None) -> float:
    return float(np.isin(clarke_zones(true, predicted), ("A", "B")).mean())


def _root_mean_square(error: Array) -> float:
    return float(np.sqrt(np.square(error).mean())) if error.size else math.nan


def _low_error(true: Array, predicted: Array, _: Array | None) -> float:
    return _root_mean_square((predicted - true)[true < LOW_GLUCOSE])


def _peak_error(true: Array, predicted: Array, _: Array | None) -> float:
    return _root_mean_square((predicted - true)[true > SUNSPOT_PEAK])


DOMAIN_METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="zones A+B", function=_zones_a_and_b, greater_is_better=True, is_pooled=True),
        Metric(name="low error", function=_low_error, has_unit=True, is_pooled=True),
        Metric(name="peak error", function=_peak_error, has_unit=True, is_pooled=True),
    )
}
"""Share of predictions in Clarke's zones A and B; RMSE at low glucose; RMSE at peaks of sunspots."""


def metric_of(name: str) -> Metric:
    """A metric by its name, the library's or one of these."""
    return DOMAIN_METRICS.get(name) or METRICS[name]
