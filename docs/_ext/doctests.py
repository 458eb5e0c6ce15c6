"""Run the examples in docstrings unless the library's text and the versions are those of the last good run.

Leaves ``.cache/doctests.json``: the digest, and the source of every example that was run and passed; the tests of the
built site compare the reference's blocks with it.
"""

from __future__ import annotations

import doctest
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from digest import digest_of, source_digest, versions

__all__ = ["RECORD", "Recorder", "main"]

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / ".cache" / "doctests.json"


class Recorder:
    """A pytest plugin that notes the examples of each passed docstring."""

    def __init__(self) -> None:
        self.examples: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Note what passed; an example told to skip itself does not count."""
        report = yield
        found = getattr(item, "dtest", None)
        if call.when == "call" and report.passed and found is not None:
            for example in found.examples:
                if not example.options.get(doctest.SKIP):
                    self.examples.append(example.source)
        return report


def main() -> int:
    """Run what changed; return pytest's status."""
    digest = digest_of(source_digest(ROOT), versions())
    if RECORD.exists() and json.loads(RECORD.read_text(encoding="utf-8"))["digest"] == digest:
        print("[docstrings] nothing changed: no example executed")
        return 0
    recorder = Recorder()
    status = pytest.main(["-q", str(ROOT / "ncps_mlx")], plugins=[recorder])
    if status == 0:
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(
            json.dumps({"digest": digest, "examples": recorder.examples}, indent=0), encoding="utf-8"
        )
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
