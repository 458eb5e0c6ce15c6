"""Assertions on what readers are given: the pages, the notebooks, the way to a report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import mlx.core as mx

from ncps_mlx._evidence.knobs import OWNERS, knobs
from ncps_mlx._evidence.seen import NotHereError, Seen, command_output
from ncps_mlx.records import versions

__all__ = [
    "every_parameter_has_a_page",
    "knobs_without_a_page",
    "link_opens_a_filled_issue",
    "notebooks_have_outputs",
]

CODE_CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def notebooks_have_outputs(docs: Path) -> Seen:
    """Each notebook of the site can be downloaded, with the outputs of its cells."""
    notebooks, site = sorted((docs / "notebooks").glob("*.md")), docs / "_build" / "html"
    if not notebooks or not site.exists():
        raise NotHereError("the site must be built: nox -s docs")
    for path in notebooks:
        offered = list((site / "_downloads").rglob(f"{path.stem}.ipynb"))
        cells = [json.loads(file.read_text(encoding="utf-8"))["cells"] for file in offered]
        code = [cell for each in cells for cell in each if cell["cell_type"] == "code"]
        written = [text.strip() for text in CODE_CELL.findall(path.read_text(encoding="utf-8"))]
        if offered and ["".join(cell["source"]).strip() for cell in code] != written:
            raise NotHereError(f"the site must be built anew: it has another {path.stem}")
        if not any(cell["outputs"] for cell in code):
            return Seen(False, f"{path.stem} cannot be downloaded with its outputs")
    return Seen(True, f"Executed, with outputs, to download: {', '.join(path.stem for path in notebooks)}")


def every_parameter_has_a_page(docs: Path) -> Seen:
    """Each parameter of CfC, LTC and fit that can be tuned has a page of its own, which links to what takes it."""
    without = knobs_without_a_page(docs)
    if not without:
        return Seen(True, f"Every knob of {', '.join(OWNERS)} has its page, with a link to what takes it")
    return Seen(False, f"These knobs have no page with a link to what takes them: {', '.join(without)}")


def knobs_without_a_page(docs: Path) -> list[str]:
    """Knobs, by the signatures, of which the built site has no page that links to each of their owners."""
    site = docs / "_build" / "html" / "knobs"
    if not (site / "index.html").exists():
        raise NotHereError("the site must be built: nox -s docs")
    found = []
    for knob in knobs().values():
        page = site / f"{knob.name}.html"
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        if not all(re.search(rf'href="[^"]*#ncps_mlx\.{owner}"', text) for owner in knob.defaults):
            found.append(knob.name)
    return found


def link_opens_a_filled_issue(_: Path) -> Seen:
    """The link of ``ncps-mlx info --issue`` fills in versions and device; the project has no address of its own yet."""
    link = urlsplit(command_output("info", "--issue", "example.org/you/project").strip())
    (body,) = parse_qs(link.query)["body"]
    known = versions()
    told = [known[name] for name in ("ncps_mlx", "python", "mlx", "numpy")] + [str(mx.default_device())]
    right = (link.scheme, link.netloc, link.path) == ("https", "example.org", "/you/project/issues/new")
    text = "The link that ncps-mlx info --issue prints opens an issue with versions and device filled in"
    return Seen(right and all(each in body for each in told), text)
