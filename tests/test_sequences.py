"""Sequences cut into steps, joined and reversed in time."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

# Private: models use them on every sequence, but show them only as part of a whole.
from ncps_mlx._kernels.layout import concat_time, flatten_time, split_time
from ncps_mlx.cells._base import slice_time, unstack_time
from ncps_mlx.cells._initializers import seeded
from ncps_mlx.cells._stack import reverse_time

B, D = 5, 3


@pytest.mark.parametrize("steps", [1, 7, 10, 11, 23, 101])
@pytest.mark.parametrize("leading", [(), (2,)])
def test_steps_are_cut_in_order(steps: int, leading: tuple[int, ...]) -> None:
    x = mx.random.normal((*leading, steps, B, D), key=mx.random.key(0))
    rows = flatten_time(x, leading)
    for pieces in (unstack_time(x), slice_time(x), split_time(rows, steps)):
        assert len(pieces) == steps
        assert all(mx.array_equal(piece, x[..., t, :, :]).item() for t, piece in enumerate(pieces))
    assert mx.array_equal(concat_time(split_time(rows, steps)), rows).item()


def test_backward_in_time_a_reading_has_the_time_to_the_next_one() -> None:
    dt = mx.array([1.0, 2.0, 3.0, 9.0]).reshape(4, 1, 1)
    mask = mx.array([True, True, True, False]).reshape(4, 1, 1)
    x, found, turned_mask = reverse_time(dt, dt, mask)
    assert isinstance(found, mx.array) and turned_mask is not None
    assert np.array(found).flatten()[1:].tolist() == [1.0, 3.0, 2.0]  # the masked step; the last takes the first's
    assert turned_mask.flatten().tolist() == [False, True, True, True]
    assert x.flatten().tolist() == [9.0, 3.0, 2.0, 1.0]
    assert reverse_time(dt, 0.5, None)[1] == 0.5


def state() -> Any:
    state: Any = mx.random.state
    return state[0].tolist()


def test_a_seed_leaves_the_global_stream_as_it_was() -> None:
    mx.random.seed(4)
    before = state()
    draws = []
    for _ in range(2):
        with seeded(0):
            draws.append(np.array(mx.random.normal((3,))))
    assert np.array_equal(draws[0], draws[1]) and state() == before
