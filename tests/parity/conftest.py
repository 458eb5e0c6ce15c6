"""`nox -s parity -- -k page --refresh` writes anew what pages show of ncps."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--refresh", action="store_true", help="write the recorded outputs of docs/howto")
