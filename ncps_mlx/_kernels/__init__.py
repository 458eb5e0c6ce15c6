"""Gradients written by hand, for speed alone: no reader needs to come here to understand a model.

Each kernel computes what its cell in ``ncps_mlx.cells`` says in a few lines, and is tested against it.
"""
