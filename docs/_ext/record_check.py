"""Sphinx: a record that was changed by hand fails the build.

The verdicts follow from the registry and the trials: ``nox -s evidence`` computes them and writes a checksum of every
file. A file that is not as its checksum says is a warning. Whether they follow at all, the tests compute again.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

__all__ = ["setup"]

logger = logging.getLogger(__name__)


def check_record(app: Sphinx) -> None:
    """Warn of every file of the record that is not as it was when the verdicts were computed."""
    docs = Path(app.srcdir)
    if (docs / "claims.toml").exists():
        checksums = importlib.import_module("ncps_mlx._evidence.checksums")  # it is there where there are claims
        for name, what in checksums.changed_files(docs).items():
            logger.warning("%s %s. %s", name, what, checksums.CURE, location=str(docs / name))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", check_record)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
