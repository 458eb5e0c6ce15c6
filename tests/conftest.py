"""Shared by all tests."""

from __future__ import annotations

import sys

import pytest

import ncps_mlx as ncps_mlx  # before any test imports MLX, so that MLX binds to OpenBLAS


@pytest.fixture(autouse=True)
def _no_figures() -> None:
    """Close what docstrings and tests leave open: matplotlib warns beyond twenty figures."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
