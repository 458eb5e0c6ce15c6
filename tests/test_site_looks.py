"""How the site looks: pictures are WebP, sized, lazy but for the first; the style sheet is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pictures import PICTURE, pointed, points_script, served

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


def test_a_picture_with_points_is_wrapped_instead_of_linked() -> None:
    points = {"panels": [["", "x", "y"]], "series": [[0, [[1, 2, "3", "4", "a"], [5, 6, "7", "8", "b"]]]]}
    assert pointed("<img>", points) == '<div class="pointed" data-points="2"><img></div>'
    linked = '<a class="drawn reference internal image-reference" href="a.png"><img src="a.png">\n</a>'
    other = '<a href="b"><img src="b"></a>'
    assert [found[0] for found in PICTURE.finditer(f"{other} {linked}")] == ['<img src="b">', linked]
    script = points_script("a-1", json.dumps(points))
    assert script.startswith('(window.figurePoints ??= {})["a-1"] = ') and script.endswith(";\n")
    assert json.loads(script[script.index("] = ") + 4 : -2]) == points


def test_every_rule_of_the_style_sheet_is_closed() -> None:
    depth = 0
    for line in (Path(__file__).parents[1] / "docs" / "_static" / "site.css").read_text().splitlines():
        depth += line.count("{") - line.count("}")
        assert 0 <= depth <= 2, line  # a rule, or one within a query
    assert depth == 0
