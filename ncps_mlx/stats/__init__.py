"""How sure one may be: levels of a hyperparameter compared, Student intervals on paired differences, expected best.

scipy loads at the first interval.
"""

from ncps_mlx.stats._compare import Comparison, Level, compare
from ncps_mlx.stats._expected_best import expected_best
from ncps_mlx.stats._intervals import Interval, Paired, failure_rate, interval, paired

__all__ = [
    "Comparison",
    "Interval",
    "Level",
    "Paired",
    "compare",
    "expected_best",
    "failure_rate",
    "interval",
    "paired",
]
