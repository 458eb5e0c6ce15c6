"""Run a set of tests unless all that they look at is what it was when they last passed.

Usage: ``python docs/_ext/verified.py docstrings`` (the examples in the library's docstrings) or ``site`` (the tests of
the built site). The stamps lie under ``.cache``.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digest import digest_of, source_digest, versions
from pagerun import FOLDERS

if TYPE_CHECKING:
    import pytest

__all__ = ["RECORD", "Recorder", "docstrings", "main", "site"]

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / ".cache" / "doctests.json"
SITE = ROOT / ".cache" / "site.stamp"
EXAMPLES = "doctest_examples"  # the plugin that notes them, which pytest must be the first to import


class Recorder:
    """A pytest plugin that collects the examples that passed."""

    def __init__(self) -> None:
        self.examples: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add those of a report."""
        for name, examples in report.user_properties:
            if name == EXAMPLES and isinstance(examples, list):
                self.examples += examples


def docstrings() -> int:
    """Run the examples in docstrings; keep the source of each, for the tests of the site to compare."""
    digest = digest_of(source_digest(ROOT), versions())
    if RECORD.exists() and json.loads(RECORD.read_text(encoding="utf-8"))["digest"] == digest:
        print("[docstrings] nothing changed: no example executed")
        return 0
    recorder = Recorder()
    status = _pytest(["-p", EXAMPLES, str(ROOT / "ncps_mlx")], recorder)
    if status == 0:
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(
            json.dumps({"digest": digest, "examples": recorder.examples}, indent=0), encoding="utf-8"
        )
    return status


def _looked_at() -> Iterator[Path]:
    built = ROOT / "docs" / "_build"
    yield from sorted(
        path for path in (built / "html").rglob("*") if path.suffix in {".html", ".css", ".ipynb", ".py"}
    )
    yield from sorted((built / "jupyter_execute").rglob("*.ipynb"))
    yield from sorted((ROOT / "docs" / "auto_examples" / "images").glob("*.json"))
    documents = [f"docs/{name}" for name in ("_ext", *FOLDERS, "notebooks")]
    for folder in ("tests/site", *documents, "gallery"):
        yield from sorted(
            path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".rst", ".md", ".txt"}
        )
    yield from (ROOT / "README.md", RECORD)


def site() -> int:
    """Run the tests of the built site."""
    total = hashlib.sha256(f"{source_digest(ROOT)} {versions()}".encode())
    for path in _looked_at():
        content = re.sub(
            rb"\?v=[0-9a-f]+", b"", path.read_bytes()
        )  # a first build cannot know all of these marks
        total.update(str(path).encode() + hashlib.sha256(content).digest())
    if SITE.exists() and SITE.read_text(encoding="utf-8") == total.hexdigest():
        print("[site] nothing changed since its tests passed")
        return 0
    status = _pytest([str(ROOT / "tests" / "site")])
    if status == 0:
        SITE.write_text(total.hexdigest(), encoding="utf-8")
    return status


def _pytest(arguments: list[str], *plugins: Any) -> int:
    """Run tests on all cores."""
    import pytest  # half a second that most builds do not need

    return int(pytest.main(["-q", "-nauto", "--dist=worksteal", *arguments], plugins=list(plugins)))


def main() -> int:
    """Run what the command line names; return the tests' status."""
    checks = {"docstrings": docstrings, "site": site}
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        print(f"usage: python {sys.argv[0]} {{{','.join(checks)}}}", file=sys.stderr)
        return 2
    return checks[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
