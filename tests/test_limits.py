"""What would take more memory or time than a machine has is refused by a limit that is named, before it is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ncps_mlx import LTC, NCP, AutoNCP, CfC, FullyConnected, Random, Task, fit
from ncps_mlx.wirings import Circuit

HUGE = 10**9
NEURONS = {"inter_neurons": 5, "command_neurons": 5, "motor_neurons": 2}
SYNAPSES = {"sensory_fanout": 1, "inter_fanout": 1, "recurrent_command_synapses": 1, "motor_fanin": 1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CfC(3, 4, num_layers=HUGE), "num_layers must be at most 1000, got 1000000000."),
        (lambda: CfC(3, 4, backbone_layers=HUGE), "backbone_layers must be at most 1000, got 1000000000."),
        (lambda: LTC(3, 4, ode_unfolds=HUGE), "ode_unfolds must be at most 1000, got 1000000000."),
        (lambda: CfC(3, 2**20), "hidden_size and the other sizes must make at most 268435456 parameters, got 67528"),
        (lambda: LTC(3, 2**24), "hidden_size .* must make at most 268435456 parameters, got .*, hidden_size=16777216"),
        (lambda: CfC(2**24, 16, mixed_memory=True, initializer="normal"), "must make at most 268435456 parameters"),
        (lambda: CfC(3, 2**9, num_layers=1000, bidirectional=True), "must make at most 268435456 parameters"),
        (lambda: CfC(3, 2**9, output_size=2**24), "must make at most 268435456 parameters, .* output_size=16777"),
        (lambda: CfC(3, 2**13, initializer="orthogonal"), "initializer must not be 'orthogonal' .* sizes above 409"),
        (lambda: AutoNCP(10**6, 2), "units must be at most 8192, got 1000000."),
        (lambda: FullyConnected(10**6), "units must be at most 8192, got 1000000."),
        (lambda: Random(HUGE), "units must be at most 8192, got 1000000000."),
        (lambda: AutoNCP(9, 2).build(HUGE), "input_size must be at most 8192, got 1000000000."),
        (lambda: FullyConnected(9).build(HUGE), "input_size must be at most 8192, got 1000000000."),
        (lambda: Random(9).build(HUGE), "input_size must be at most 8192, got 1000000000."),
        (lambda: NCP(**NEURONS | {"inter_neurons": HUGE}, **SYNAPSES), "inter_neurons must be at most 8192"),
        (lambda: NCP(8190, 5, 2, **SYNAPSES), "the sum of inter_neurons, command_neurons and .* at most 8192, got"),
        (lambda: NCP(**NEURONS, **SYNAPSES | {"recurrent_command_synapses": HUGE}), "synapses must be at most 65536"),
        (lambda: Circuit([[0]], [[1]] * 9000), "the rows of sensory_adjacency must be at most 8192, got 9000."),
        (lambda: LTC(3, wiring=FullyConnected(700)), "wiring must have at most 268435456 synapses times neurons for"),
    ],
)  # fmt: skip
def test_what_no_machine_can_hold_is_refused_at_once(make: Callable[[], Any], message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message):
        make()
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("settings", [{"steps": 10**7}, {"grad_accumulation_steps": 10**7}])
def test_a_training_that_could_not_even_be_ordered_is_refused(task: Task, settings: Any) -> None:
    with pytest.raises(ValueError, match="steps times grad_accumulation_steps times batch_size must be at most 2684"):
        fit(CfC(**task.sizes, hidden_size=4), task, progress=False, **settings)


def test_a_deep_model_within_the_limits_is_made() -> None:
    assert CfC(3, 4, num_layers=100, backbone_units=4).num_layers == 100
