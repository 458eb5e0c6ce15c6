"""Cells as a table of text, its columns aligned."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["text_table"]


def text_table(cells: Sequence[Sequence[str]], left: int = 1) -> str:
    """Write rows of cells, the first of them the head; the first ``left`` columns are flush left, the others right."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if i < left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)
