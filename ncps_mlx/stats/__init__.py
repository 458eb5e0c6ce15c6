"""How sure one may be: Student intervals, levels of a hyperparameter compared, what contrasts over tasks show.

scipy loads at the first interval.
"""

from ncps_mlx.stats._compare import Comparison, Level, compare
from ncps_mlx.stats._expected_best import expected_best
from ncps_mlx.stats._finding import Finding, finding
from ncps_mlx.stats._intervals import Interval, Paired, failure_rate, interval, paired

__all__ = [
    "Comparison",
    "Finding",
    "Interval",
    "Level",
    "Paired",
    "compare",
    "expected_best",
    "failure_rate",
    "finding",
    "interval",
    "paired",
]
