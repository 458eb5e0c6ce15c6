"""Where the project can be had and reached, as ``[project.urls]`` of pyproject.toml says; pages have no other."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["how_to_install", "how_to_report"]

ROOT = Path(__file__).resolve().parents[2]


def urls(root: str = "") -> dict[str, str]:
    """The project's addresses, by name."""
    text = (Path(root or ROOT) / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text)["project"].get("urls", {})
    return found


def how_to_install(root: str = "") -> str:
    """The commands that install the library: from the index if it is there, else from a checkout."""
    known = urls(root)
    environment = ["python3 -m venv .venv", ". .venv/bin/activate"]
    if "PyPI" in known:
        return _console([*environment, 'pip install "ncps-mlx[guide]"'])
    commands = _console([*environment, 'pip install ".[guide]"'])
    if "Repository" in known:
        address = known["Repository"].rstrip("/")
        return _console([f"git clone {address}", f"cd {address.rpartition('/')[2].removesuffix('.git')}"]) + commands
    return f"In the folder of a checkout:\n\n{commands}"


def _console(commands: Sequence[str]) -> str:
    """Commands as a block."""
    return "\n".join([".. code-block:: console", "", *(f"   {each}" for each in commands), "", ""])


def how_to_report(root: str = "") -> str:
    """The way to an issue with versions and device filled in, if the project has a repository."""
    address = urlsplit(urls(root).get("Repository", ""))
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
