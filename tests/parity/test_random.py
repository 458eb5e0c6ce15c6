"""Random configurations: what from_torch makes of a live module of ncps equals it."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import torch
from hypothesis import event, given, settings

from ncps_mlx import from_torch
from tests.against_ncps import (
    assert_close,
    assert_equal_to_ncps,
    compute,
    converted_gradients,
    furthest,
    named,
    run,
)
from tests.parity import live
from tests.parity.configurations import Configuration, configurations
from tests.parity.live import make, make_inputs, values

# New configurations in every run; a failing one is printed whole, and so can be made again from what is printed.
thorough = settings(max_examples=150, derandomize=False, deadline=None, print_blob=True)


def reference(configuration: Configuration, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """What ncps computes in this precision, under this library's names."""
    module, options = make(configuration), configuration.options
    computed = live.compute(module, make_inputs(configuration), dtype)
    gradients = converted_gradients(
        values(module),
        computed.of_parameters,
        softplus=options.get("implicit_param_constraints", True),
        epsilon=options.get("epsilon", 1e-8),
    )
    every: dict[str, np.ndarray] = named(computed.outputs, computed.of_given, gradients)
    return every


def check(configuration: Configuration) -> None:
    """Outputs, states and gradients equal to 1e-5 what ncps computes in double precision.

    With time steps above 10 the rounding of a single grows with them (a CfC's gate reads a Δt + b), and so does what is
    allowed; and where a gradient is so steep that ncps's own single precision is far off, four times as far is.
    """
    model, inputs = from_torch(make(configuration)), make_inputs(configuration)
    longest = 1.0 if inputs[1] is None else float(inputs[1].max())
    actual, expected = compute(model, inputs), reference(configuration, torch.float64)
    bound = 1e-5 * max(1.0, longest / 10.0)
    rounding = furthest(reference(configuration, torch.float32), expected)
    near = "all within 1e-5" if furthest(actual, expected) <= 1e-5 else "not all within 1e-5"
    event(f"{near}, Δt {'to' if longest <= 10 else 'above'} 10")
    assert_equal_to_ncps(actual, expected, max(bound, 4 * rounding))
    x, time_delta, *state = [None if array is None else mx.array(array) for array in inputs]
    together = run(model, x, time_delta, state)
    for i in range(configuration.batch):  # each sequence alone, without a batch
        own = [None if array is None else mx.array(array[i]) for array in inputs]
        alone = run(model, own[0], own[1], own[2:])
        for name, batch, single in zip("yhc", together, alone, strict=False):
            assert_close(batch[i], np.array(single), f"{name} of sequence {i}", bound)


@thorough
@given(configurations("CfC"))
def test_cfc(configuration):
    check(configuration)


@thorough
@given(configurations("LTC"))
def test_ltc(configuration):
    check(configuration)
