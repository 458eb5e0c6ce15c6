"""Sphinx: pictures as WebP, with their size in the page, loaded when they come into sight, and their points.

Figures are saved as PNG, which everything else reads; the built site serves each as lossless WebP, which is smaller.
Those that a notebook holds in its text become files, too. A picture's size keeps the text from moving while it loads;
the first of a page is not left waiting. A picture with points is wrapped for ``_static/points.js``; its points lie
beside it as a script, which a page on a disk can load.
"""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

from figures import POINTS

__all__ = ["pointed", "points_script", "served", "setup"]

PICTURE = re.compile(r"(?P<link><a\b[^>]*\bimage-reference\b[^>]*>\s*)?(?P<img><img\b[^>]*>)(?(link)\s*</a>)")
PNG = re.compile(r"(_images/[^\"', ]+)\.png\b")
INLINE = re.compile(r'src="data:image/png;base64,([^"]+)"')
ATTRIBUTE = r'\b{}="([^"]*)"'


def served(tag: str, size: tuple[int, int] | None, *, is_first: bool) -> str:
    """An ``<img>`` as the site serves it.

    Args:
        tag: As the builder wrote it.
        size: Of the picture in pixels, if it is one of ours.
        is_first: Whether it is the first of its page.
    """
    if size is None:
        return tag
    style = re.search(r"width:\s*(\d+)px", tag)
    attribute = re.search(ATTRIBUTE.format("width"), tag)
    width = int(style[1]) if style else int(attribute[1]) if attribute and attribute[1].isdigit() else size[0]
    height = round(size[1] * width / size[0])
    tag = re.sub(r'\s(?:width|height)="[^"]*"', "", PNG.sub(r"\1.webp", tag))
    more = f' width="{width}" height="{height}" decoding="async"' + ("" if is_first else ' loading="lazy"')
    return re.sub(r"\s*/?>$", f"{more}>", tag)


def pointed(tag: str, points: dict[str, Any]) -> str:
    """An ``<img>`` whose points are told."""
    count = sum(len(rows) for _, rows in points["series"])
    return f'<div class="pointed" data-points="{count}">{tag}</div>'


def points_script(name: str, points: str) -> str:
    """The points of a picture as a script."""
    return f"(window.figurePoints ??= {{}})[{json.dumps(name)}] = {points};\n"


def sources_of(app: Sphinx) -> dict[str, Path]:
    """The site's pictures by their names; those of the gallery Sphinx does not know of."""
    gallery = Path(app.srcdir) / "auto_examples" / "images"
    sources = {path.name: path for folder in (gallery, gallery / "thumb") for path in folder.glob("*.png")}
    return sources | {name: Path(app.srcdir) / source for source, name in app.builder.images.items()}


def rewrite(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], *_: Any) -> None:
    """Rewrite the pictures of a page."""
    del templatename
    if "body" not in context:
        return
    images = Path(app.outdir) / "_images"
    sources = sources_of(app)
    count = 0

    def one(found: re.Match[str]) -> str:
        nonlocal count
        tag = found["img"]
        if inline := INLINE.search(tag):
            file = images / f"{pagename.replace('/', '-')}-{count + 1}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(inline[1]))
            sources[file.name] = file
            tag = tag.replace(inline[0], f'src="{"../" * pagename.count("/")}_images/{file.name}"')
        name = re.search(r"_images/([^\"', ]+\.png)\b", tag)
        path = sources.get(name[1]) if name else None
        link, end = (found["link"], "</a>") if found["link"] else ("", "")
        if path is None or not path.exists():
            return f"{link}{tag}{end}"
        with Image.open(path) as picture:
            size = picture.size
        count += 1
        tag, points = served(tag, size, is_first=count == 1), path.with_suffix(POINTS)
        if points.exists():
            return pointed(tag, json.loads(points.read_text(encoding="utf-8")))
        return f"{link}{tag}{end}"

    context["body"] = PICTURE.sub(one, context["body"])


def convert(app: Sphinx, exception: Exception | None) -> None:
    """Write each picture of the site as WebP where it is not there yet, and its points."""
    if exception is not None or app.builder.format != "html":
        return

    def one(path: Path) -> None:
        target = path.with_suffix(".webp")
        if not target.exists() or target.stat().st_mtime < path.stat().st_mtime:
            with Image.open(path) as picture:
                picture.save(target, lossless=True, method=3)

    pictures = sorted((Path(app.outdir) / "_images").glob("*.png"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, pictures))
    sources = sources_of(app)
    for picture in pictures:
        points = sources[picture.name].with_suffix(POINTS) if picture.name in sources else None
        if points is not None and points.exists():
            script = points_script(picture.stem, points.read_text(encoding="utf-8"))
            picture.with_suffix(".points.js").write_text(script, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", rewrite, priority=900)
    app.connect("build-finished", convert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
