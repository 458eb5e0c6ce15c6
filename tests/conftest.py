"""Shared by all tests."""

from __future__ import annotations

import os
import signal
import sys

import pytest

import ncps_mlx


@pytest.fixture(scope="session")
def task() -> ncps_mlx.Task:
    """A task of a moment, for studies that are about anything but what is learnt."""
    from tests.small_study import task  # not above: downloads are tested without this folder on the path

    return task()


@pytest.fixture(autouse=True)
def _no_figures() -> None:
    """Close what docstrings and tests leave open: matplotlib warns beyond twenty figures."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Let SIGINT raise KeyboardInterrupt where tests run in a shell's background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every process of tests begin with slow ones: one that began last would keep all others waiting.

    With ``--dist=worksteal`` each process begins with an equal share of the list, and takes from the end of another's
    when it has done with its own.
    """
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    left = len(items)
    items.clear()
    for i in range(shares):
        lead = slow[i::shares]
        rest = quick[: max(0, left // (shares - i) - len(lead))]
        del quick[: len(rest)]
        items += [*lead, *rest]
        left -= len(lead) + len(rest)
