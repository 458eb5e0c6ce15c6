"""Sphinx: the whole record as one archive, ``evidence/record.zip``, with the program that computes its verdicts again.

It holds what ``checksums.txt`` lists, in the folders that ``recompute.py`` expects, and is the same bytes for the same
record.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

__all__ = ["setup", "write_archive"]

CHECKSUMS = "evidence/checksums.txt"
PROGRAM = "evidence/recompute.py"
THE_SAME = (1980, 1, 1, 0, 0, 0)  # the time of every file


def write_archive(docs: Path, path: Path) -> None:
    """Write the record in a folder, as its checksums list it, into an archive."""
    listed = [line.partition("  ")[2] for line in (docs / CHECKSUMS).read_text(encoding="utf-8").splitlines()]
    names = [*listed, CHECKSUMS, PROGRAM]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in names:
            entry = zipfile.ZipInfo(f"record/{name}", THE_SAME)
            archive.writestr(entry, (docs / name).read_bytes(), zipfile.ZIP_DEFLATED)


def archive_record(app: Sphinx, exception: Exception | None) -> None:
    """Write the archive beside the pages of the evidence, where the site has a record."""
    docs = Path(app.srcdir)
    if exception is None and app.builder.format == "html" and (docs / PROGRAM).exists():
        write_archive(docs, Path(app.outdir) / "evidence" / "record.zip")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", archive_record)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
