"""How the site looks: pictures are WebP, sized, lazy but for the first; the style sheet is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from pictures import served

LATER = 'decoding="async" loading="lazy">'


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        (
            '<img alt="A" src="../_images/a.png" style="width: 400px;" />',
            f'<img alt="A" src="../_images/a.webp" style="width: 400px;" width="400" height="300" {LATER}',
        ),
        (
            '<img src="_images/a.png" width="80" srcset="_images/a.png, _images/b.png 2x">',
            f'<img src="_images/a.webp" srcset="_images/a.webp, _images/b.webp 2x" width="80" height="60" {LATER}',
        ),
        ('<img src="_images/a.png">', f'<img src="_images/a.webp" width="800" height="600" {LATER}'),
    ],
)
def test_a_picture_has_its_size_and_waits(tag: str, wanted: str) -> None:
    assert served(tag, (800, 600), is_first=False) == wanted
    assert 'loading="lazy"' not in served(tag, (800, 600), is_first=True)
    assert served(tag, None, is_first=False) == tag


def test_every_rule_of_the_style_sheet_is_closed() -> None:
    depth = 0
    for line in (Path(__file__).parents[1] / "docs" / "_static" / "site.css").read_text().splitlines():
        depth += line.count("{") - line.count("}")
        assert 0 <= depth <= 2, line  # a rule, or one within a query
    assert depth == 0
