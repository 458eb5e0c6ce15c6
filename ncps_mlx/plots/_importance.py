"""Which hyperparameters mattered in a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ncps_mlx.plots._captions import as_text, spaced
from ncps_mlx.plots._figure import COLOURS, WIDTH, describe, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["importance"]


def importance(shares: Mapping[str, float]) -> Figure:
    """Draw each hyperparameter's share in what sets the best trials apart, as a bar: for the report of a study."""
    order = sorted(shares, key=lambda name: -shares[name])
    names, values = [spaced(name) for name in order], [float(shares[name]) for name in order]
    with figure(size=(WIDTH, 1.2 + 0.45 * len(order))) as (fig, (ax,)):
        bars = ax.barh(names, values, color=COLOURS[0], height=0.6)
        ax.bar_label(bars, fmt="%.2f", padding=4)
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        ax.set_xlim(0, max(values) * 1.12 or 1.0)
        ax.set_xlabel("importance (PED-ANOVA, shares of 1)")
    listed = ", ".join(f"{name} {as_text(round(value, 2))}" for name, value in zip(names, values, strict=True))
    count = f"{len(order)} hyperparameter{'s' if len(order) > 1 else ''}"
    text = f"Importance (PED-ANOVA, shares of 1) of {count}: {listed}."
    rows = [{"x": name, "share": value} for name, value in zip(order, values, strict=True)]
    return describe(fig, text, kind="importance", x="hyperparameter", y="importance", points=rows, summary=rows)
