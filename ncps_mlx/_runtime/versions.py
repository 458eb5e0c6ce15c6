"""Versions of what can change a score."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

import numpy as np

from ncps_mlx._runtime.blas import blas_name
from ncps_mlx._runtime.version import __version__

__all__ = ["versions"]

installed = cache(metadata.version)  # cached: it reads a file, and every record asks


def versions() -> dict[str, str]:
    """Return the versions of all that can change a score: Python, packages, and the BLAS behind MLX's products.

    Not the speed of products, which ``python -m ncps_mlx info`` measures: it is another in each run, and records of the
    same training would no longer say the same. How long a training took is in its record.

    Example:
        >>> from ncps_mlx.records import versions
        >>> sorted(versions())
        ['blas', 'mlx', 'ncps_mlx', 'numpy', 'python']
    """
    return {
        "ncps_mlx": __version__,
        "mlx": installed("mlx"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "blas": blas_name(),
    }
