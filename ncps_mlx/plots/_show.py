"""Figures of a program that has run: in windows, or as images beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ncps_mlx._utils.validation import check_path
from ncps_mlx.plots._figure import DESCRIPTION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["show"]


def show(folder: str | Path | None = None) -> None:
    """Show all open figures: in windows where there is a display, in a notebook below the cell, else as PNG files.

    Files are named after the program, ``NAME_1.png`` and so on; an older file of such a name is replaced. Each path is
    printed. An image carries the figure's alternative text, in PNG's field ``Description``. Figures are closed then.

    Args:
        folder: Where files go (default: where the program lies; without a program, as at a prompt, the current folder).

    Raises:
        OSError: A file cannot be written.

    Example:
        >>> from ncps_mlx import plots
        >>> figure = plots.sweep([{"mode": "pure", "seed": seed, "score": 1.0 + seed} for seed in range(3)], "mode")
        >>> import tempfile
        >>> plots.show(tempfile.mkdtemp())
        Saved ....png
    """
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    chosen = None if folder is None else check_path("folder", folder)
    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if chosen is None and plt.get_backend().lower() not in silent:
        plt.show()
        return
    program = getattr(sys.modules["__main__"], "__file__", None)
    home, name = (Path.cwd(), "figure") if program is None else (Path(program).parent, Path(program).stem)
    for number, key in enumerate(plt.get_fignums(), start=1):
        figure = plt.figure(key)
        path = (home if chosen is None else chosen).resolve() / f"{name}_{number}.png"
        figure.savefig(path, dpi=144, bbox_inches="tight", metadata=_metadata(figure))
        plt.close(figure)
        print(f"Saved {path}")


def _metadata(figure: Figure) -> dict[str, str]:
    """What an image says of itself: the words of a figure that has some."""
    return {"Description": getattr(figure, DESCRIPTION)[0]} if hasattr(figure, DESCRIPTION) else {}
