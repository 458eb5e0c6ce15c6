"""What the points of a figure are called where their artist does not say it, for whoever shows them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.container import Container

__all__ = ["TOLD", "tell"]

TOLD = "_ncps_mlx_told"
"""The attribute of an artist that holds what is told."""
Texts = str | Sequence[str] | None


def tell(
    artist: Artist | Container, name: Texts = None, *, x: Texts = None, y: Texts = None, at: npt.ArrayLike | None = None
) -> None:
    """Attach to an artist what its points are called, each a text for all points or one for each.

    Args:
        artist: A line, a collection, or the container of error bars.
        name: What a point is; default: the label in the legend.
        x: Its value along x; default: its place on the axis.
        y: Its value along y, likewise.
        at: (n, 2) where points lie, in data units, of an artist that has none.
    """
    texts = {"name": name, "x": x, "y": y, "at": at}
    setattr(artist, TOLD, {key: value for key, value in texts.items() if value is not None})
