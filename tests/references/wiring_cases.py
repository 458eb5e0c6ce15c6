"""The wirings whose synapses are recorded from ncps: class, arguments (our names), number of inputs."""

from typing import Any

Case = tuple[str, dict[str, Any], int]


def _ncp(*numbers: int, **seed: int) -> dict[str, int]:
    names = ["inter_neurons", "command_neurons", "motor_neurons"]
    names += ["sensory_fanout", "inter_fanout", "recurrent_command_synapses", "motor_fanin"]
    return dict(zip(names, numbers, strict=True)) | seed


CASES: list[Case] = [
    # default seeds, own seeds, the smallest ones, one input, more inputs than neurons, B = H and the like
    ("FullyConnected", {"units": 11}, 3),
    ("FullyConnected", {"units": 11, "output_size": 2}, 7),
    ("FullyConnected", {"units": 11, "output_size": 2, "self_connections": False}, 3),
    ("FullyConnected", {"units": 5, "output_size": 5, "seed": 0}, 5),
    ("FullyConnected", {"units": 1, "self_connections": False, "seed": 3}, 1),
    ("FullyConnected", {"units": 1}, 13),
    ("FullyConnected", {"units": 40, "seed": 2**40}, 17),
    ("Random", {"units": 11}, 3),
    ("Random", {"units": 11, "output_size": 2, "sparsity_level": 0.5}, 7),
    ("Random", {"units": 11, "output_size": 2, "sparsity_level": 0.75, "seed": 5}, 3),
    ("Random", {"units": 5, "sparsity_level": 0.3, "seed": 0}, 5),
    ("Random", {"units": 5, "sparsity_level": 0.5, "seed": 1}, 5),  # half of 25 is rounded to even
    ("Random", {"units": 3, "sparsity_level": 0.95, "seed": 2}, 1),  # no synapse at all
    ("Random", {"units": 1, "seed": 3}, 1),
    ("Random", {"units": 40, "sparsity_level": 0.9, "seed": 2**40}, 17),
    ("Random", {"units": 120, "sparsity_level": 0.99, "seed": 4}, 90),  # NumPy draws few of many otherwise
    ("NCP", _ncp(6, 4, 2, 3, 2, 5, 3), 5),
    ("NCP", _ncp(6, 4, 2, 3, 2, 5, 3), 1),
    ("NCP", _ncp(6, 4, 2, 3, 2, 5, 3, seed=0), 13),
    ("NCP", _ncp(3, 5, 7, 2, 1, 0, 2, seed=1), 2),  # nothing recurrent
    ("NCP", _ncp(1, 1, 1, 1, 1, 1, 1, seed=2), 1),
    ("NCP", _ncp(5, 4, 3, 5, 4, 30, 4, seed=3), 7),  # full fans, command neurons drawn again and again
    ("NCP", _ncp(13, 2, 1, 1, 1, 2, 1, seed=4), 2),  # inter neurons that no input chose
    (
        "NCP",
        _ncp(8, 2, 1, 1, 1, 2, 1, seed=30),
        3,
    ),  # a command neuron that no inter neuron chose: 4 are too many
    ("NCP", _ncp(3, 9, 2, 1, 2, 4, 1, seed=2**32 - 1), 11),
    ("NCP", _ncp(9, 6, 4, 9, 6, 12, 6), 5),  # AutoNCP(19, 4, sparsity_level=0.0), which ncps refuses
    ("AutoNCP", {"units": 19, "output_size": 4}, 5),
    ("AutoNCP", {"units": 19, "output_size": 4}, 2),
    ("AutoNCP", {"units": 28, "output_size": 4, "seed": 7}, 28),
    ("AutoNCP", {"units": 16, "output_size": 1, "sparsity_level": 0.1, "seed": 0}, 3),
    ("AutoNCP", {"units": 16, "output_size": 5, "sparsity_level": 0.9, "seed": 1}, 1),
    ("AutoNCP", {"units": 4, "output_size": 1, "seed": 2}, 3),
    ("AutoNCP", {"units": 13, "output_size": 10, "sparsity_level": 0.25, "seed": 3}, 6),
    ("AutoNCP", {"units": 40, "output_size": 7, "sparsity_level": 0.75, "seed": 4}, 17),
    ("AutoNCP", {"units": 13, "output_size": 3, "sparsity_level": 1.0, "seed": 5}, 2),
]
