"""The configurations whose outputs and gradients are recorded from ncps."""

B, T, D, H, U = 5, 7, 3, 11, 13

CASES = {
    "default": {"mode": "default", "backbone_layers": 1, "activation": "lecun_tanh"},
    "no_gate": {"mode": "no_gate", "backbone_layers": 2, "activation": "silu"},
    "pure": {"mode": "pure", "backbone_layers": 1, "activation": "tanh"},
    "bare": {"mode": "default", "backbone_layers": 0, "activation": "lecun_tanh"},
    "relu": {"mode": "default", "backbone_layers": 1, "activation": "relu"},
    "gelu": {"mode": "default", "backbone_layers": 1, "activation": "gelu"},
}
