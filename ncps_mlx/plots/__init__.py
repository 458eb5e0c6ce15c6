"""Figures from records and arrays, with alternative text and the same numbers as a table.

Every function returns a matplotlib figure that knows what it shows: :func:`alt_text` in words, with the best
value and its interval; :func:`numbers` as a dictionary for JSON; :func:`as_table` as text. Runs that diverged
are drawn and counted. :func:`show` ends a program: windows, or images beside it.

Example:
    >>> from ncps_mlx import plots
    >>> rows = [{"mode": "default", "seed": 0, "score": 0.2}, {"mode": "pure", "seed": 0, "score": 0.3}]
    >>> plots.numbers(plots.sweep(rows, "mode"))["kind"]
    'sweep'
"""

from ncps_mlx.plots._circuit import circuit
from ncps_mlx.plots._differences import differences
from ncps_mlx.plots._expected_best import expected_best
from ncps_mlx.plots._figure import alt_text, as_table, numbers
from ncps_mlx.plots._history import history
from ncps_mlx.plots._learning_curves import learning_curves
from ncps_mlx.plots._lines import lines
from ncps_mlx.plots._parallel import parallel
from ncps_mlx.plots._series import series
from ncps_mlx.plots._show import show
from ncps_mlx.plots._slices import slices
from ncps_mlx.plots._sweep import sweep

__all__ = [
    "alt_text",
    "as_table",
    "circuit",
    "differences",
    "expected_best",
    "history",
    "learning_curves",
    "lines",
    "numbers",
    "parallel",
    "series",
    "show",
    "slices",
    "sweep",
]
