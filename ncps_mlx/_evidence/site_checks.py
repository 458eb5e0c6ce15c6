"""Assertions on what readers are given: the pages, the notebooks, the way to a report."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mlx.core as mx

from ncps_mlx._evidence.seen import NotHereError, Seen, command_output
from ncps_mlx.models import LTC, CfC
from ncps_mlx.records import versions
from ncps_mlx.training import fit

__all__ = [
    "every_parameter_has_a_page",
    "link_opens_a_filled_issue",
    "notebooks_have_outputs",
    "parameters_without_a_page",
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


DOCUMENTED: Mapping[str, Any] = {"CfC": CfC, "LTC": LTC, "fit": fit}
GENERATED = ("_build", "auto_examples", "api")


def every_parameter_has_a_page(docs: Path) -> Seen:
    """Each parameter of CfC, LTC and fit is documented on a page with a link to what takes it."""
    without = parameters_without_a_page(docs)
    if not without:
        return Seen(True, f"Every parameter of {', '.join(DOCUMENTED)} has its page")
    listed = "; ".join(f"{owner} {', '.join(names)}" for owner, names in without.items())
    return Seen(False, f"No page documents these parameters: {listed}")


OPENING = re.compile(r"^(?: *\* - )?((?:``\w+``(?:, ?)?)+)(?: {2,}.*)?$", re.MULTILINE)
"""A row of a table, a heading or a term that is defined, of one parameter or several."""


def parameters_without_a_page(docs: Path) -> dict[str, list[str]]:
    """Parameters that no page is named after, and that open no row or definition of one; with a link to their owner."""
    pages = [path for path in docs.rglob("*.rst") if path.relative_to(docs).parts[0] not in GENERATED]
    if not pages:
        raise NotHereError("the pages of the guide must be there")
    found = {}
    for owner, value in DOCUMENTED.items():
        known = set()
        for path in pages:
            text = path.read_text(encoding="utf-8")
            if re.search(rf"`~?ncps_mlx\.{owner}`", text):
                known.add(path.stem.replace("-", "_"))
                known.update(name for opening in OPENING.findall(text) for name in re.findall(r"\w+", opening))
        if missing := [name for name in inspect.signature(value).parameters if name not in known]:
            found[owner] = missing
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
