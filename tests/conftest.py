"""Shared by all tests."""

import ncps_mlx as ncps_mlx  # before any test imports MLX, so that MLX binds to OpenBLAS
