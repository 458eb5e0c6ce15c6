"""The site, built as a reader builds it: from nothing, again, after a change of prose, after a change of the library.

It is built in a copy of the project with caches of its own, by ``nox -s docs``; what a build executed is what its log
says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHANGES", "Build", "builds", "copy_project", "executed"]

ROOT = Path(__file__).resolve().parents[2]

EXECUTED = re.compile(
    r"^\[pages\] executed (?P<page>\S+): .*, (?P<page_seconds>[\d.]+) s$"
    r"|^\[gallery\] executed (?P<script>\w+): (?P<script_seconds>[\d.]+) s$",
    re.MULTILINE,
)
"""The lines of a log that tell of an execution."""

PROSE = {
    "README.md": "\nOne more sentence.\n",
    "docs/guide/learning-rate.rst": "\nOne more sentence.\n",
    "docs/notebooks/sunspots.md": "\nOne more sentence.\n",
    "gallery/plot_learning_rate.py": "\n# %%\n# One more sentence.\n",
}
LIBRARY = {"ncps_mlx/_utils/validation.py": "\nCHANGED = True\n"}
CHANGES: dict[str, dict[str, str]] = {"cold": {}, "again": {}, "prose": PROSE, "library": LIBRARY}
"""The builds, in order: what is added to which files before each."""


@dataclass(frozen=True)
class Build:
    """One build.

    Attributes:
        seconds: By the clock.
        executed: The programs that it executed (pages, scripts, notebooks), and the seconds that each took.
    """

    seconds: float
    executed: dict[str, float]

def executed(log: str) -> dict[str, float]:
    """The programs that a build executed, with their seconds, by its log."""
    found = {}
    for match in EXECUTED.finditer(log):
        for kind in ("page", "script"):
            if match[kind] is not None:
                name = f"gallery/{match[kind]}.py" if kind == "script" else match[kind]
                found[name] = float(match[f"{kind}_seconds"])
    return found


def copy_project(folder: Path) -> None:
    """Copy what git knows or would add, and so no cache and nothing built."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def builds(folder: Path, python: str = sys.executable) -> dict[str, Build]:
    """Build the site once for each of :data:`CHANGES`.

    Args:
        folder: An empty folder: the project is copied there.
        python: A Python that has nox.

    Raises:
        RuntimeError: A build failed.
    """
    copy_project(folder)
    docs = [python, "-m", "nox", "-s", "docs"]
    _run([*docs, "--install-only"], folder)
    found = {}
    for name, changes in CHANGES.items():
        for file, addition in changes.items():
            with (folder / file).open("a", encoding="utf-8") as opened:
                opened.write(addition)
        print(f"building the site: {name}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        log = _run([*docs, "--no-install"], folder)
        found[name] = Build(time.perf_counter() - start, executed(log))
    return found


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout

