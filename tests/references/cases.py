"""The configurations whose outputs and gradients are recorded from ncps 1.0.1: keyword arguments of ncps itself.

``wiring`` is the wiring's class and arguments, ``time_scale`` multiplies the time steps; ``epsilon`` is large where
it is to be seen.
"""

from typing import Any

B, T, D, H, U = 5, 7, 3, 11, 13

NCP = ["NCP", 6, 4, 2, 3, 2, 3, 2]
AUTO = ["AutoNCP", 12, 3]

CASES: dict[str, dict[str, Any]] = {
    "default": {"model": "CfC", "backbone_units": U},
    "no_gate": {
        "model": "CfC",
        "mode": "no_gate",
        "activation": "silu",
        "backbone_units": U,
        "backbone_layers": 2,
    },
    "pure": {"model": "CfC", "mode": "pure", "activation": "tanh", "backbone_units": U},
    "bare": {"model": "CfC", "backbone_layers": 0},
    "relu": {"model": "CfC", "activation": "relu", "backbone_units": U},
    "gelu": {
        "model": "CfC",
        "activation": "gelu",
        "backbone_units": U,
        "backbone_layers": 3,
        "backbone_dropout": 0.25,
    },
    "as many samples as units": {"model": "CfC", "units": B, "backbone_units": U},
    "mixed memory": {"model": "CfC", "mixed_memory": True, "backbone_units": U},
    "projected last": {"model": "CfC", "proj_size": 2, "return_sequences": False, "backbone_units": U},
    "wired NCP": {"model": "CfC", "wiring": NCP},
    "wired AutoNCP, no_gate": {"model": "CfC", "wiring": AUTO, "mode": "no_gate", "proj_size": 2},
    "wired NCP, mixed memory": {"model": "CfC", "wiring": NCP, "mixed_memory": True},
    "wired Random, pure": {"model": "CfC", "wiring": ["Random", H, 4, 0.5], "mode": "pure"},
    "wired FullyConnected": {"model": "CfC", "wiring": ["FullyConnected", H], "proj_size": 2},
    "LTC": {"model": "LTC"},
    "LTC, as many samples as units": {"model": "LTC", "units": B},
    "LTC, NCP": {"model": "LTC", "wiring": NCP},
    "LTC, mixed memory, last": {
        "model": "LTC",
        "wiring": AUTO,
        "mixed_memory": True,
        "return_sequences": False,
    },
    "LTC, short steps": {"model": "LTC", "wiring": NCP, "time_scale": 1e-4},
    "LTC, a neuron without synapses": {"model": "LTC", "wiring": ["FullyConnected", 1, 1, 1111, False]},
    "LTC, clipped": {
        "model": "LTC",
        "wiring": ["Random", H, 4, 0.5],
        "implicit_param_constraints": False,
        "input_mapping": "linear",
        "output_mapping": None,
        "ode_unfolds": 3,
        "epsilon": 0.5,
    },
}
