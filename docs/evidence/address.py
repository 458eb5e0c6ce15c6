"""Where the project can be reached, as ``[project.urls]`` of pyproject.toml has it: pages say no other address."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["how_to_report"]

ROOT = Path(__file__).resolve().parents[2]


def how_to_report(root: str = "") -> str:
    """The way to an issue with versions and device filled in, if the project has a repository."""
    text = (Path(root or ROOT) / "pyproject.toml").read_text(encoding="utf-8")
    address = urlsplit(tomllib.loads(text)["project"].get("urls", {}).get("Repository", ""))
    if address.netloc:
        return (
            f"``ncps-mlx info --issue {address.netloc}{address.path.rstrip('/')}`` prints a link that opens an issue "
            "of the project, with versions and device filled in.\n"
        )
    return (
        "``ncps-mlx info --issue HOST/OWNER/NAME`` prints a link that opens an issue of that repository, with versions "
        "and device filled in: give the one that you have the library from. The project has no public address of its "
        "own yet.\n"
    )
