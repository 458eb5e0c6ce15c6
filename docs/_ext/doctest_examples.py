"""A pytest plugin: each report of a docstring's test holds its examples, from whichever process it comes."""

from __future__ import annotations

import doctest
from collections.abc import Generator
from typing import Any

import pytest

__all__ = ["pytest_runtest_makereport"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note the examples; one told to skip itself does not count."""
    report = yield
    found = getattr(item, "dtest", None)
    if found is not None and report.when == "call" and report.passed:
        examples = [each.source for each in found.examples if not each.options.get(doctest.SKIP)]
        report.user_properties.append((__name__, examples))
    return report
