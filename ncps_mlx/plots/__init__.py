"""Figures from records and arrays, with alternative text and the same numbers as a table.

Every function returns a matplotlib figure that knows what it shows: :func:`alt_text` in words, with the best
value and its interval; :func:`numbers` as a dictionary for JSON; :func:`as_table` as text. Runs that diverged
are drawn and counted. Nothing here imports MLX.

Example:
    >>> from ncps_mlx import plots
    >>> rows = [{"mode": "default", "seed": 0, "score": 0.2}, {"mode": "pure", "seed": 0, "score": 0.3}]
    >>> plots.numbers(plots.sweep(rows, "mode"))["kind"]
    'sweep'
"""

from ncps_mlx.plots.budget import expected_best
from ncps_mlx.plots.canvas import alt_text, as_table, numbers
from ncps_mlx.plots.contrasts import differences
from ncps_mlx.plots.coordinates import parallel
from ncps_mlx.plots.course import history
from ncps_mlx.plots.curves import lines
from ncps_mlx.plots.learning import learning_curves
from ncps_mlx.plots.slicing import slices
from ncps_mlx.plots.sweeps import sweep
from ncps_mlx.plots.timeline import series
from ncps_mlx.plots.weights import importance

__all__ = [
    "alt_text",
    "as_table",
    "differences",
    "expected_best",
    "history",
    "importance",
    "learning_curves",
    "lines",
    "numbers",
    "parallel",
    "series",
    "slices",
    "sweep",
]
