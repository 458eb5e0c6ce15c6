"""What is trained, and the ways to train it that are compared."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

__all__ = [
    "BATCHED",
    "FORMS",
    "LENGTHS",
    "MEMBERS",
    "MODELS",
    "QUICK_MEMBERS",
    "QUICK_STEPS",
    "Form",
    "forms_of",
    "with_members",
    "words",
]

MEMBERS = 16
QUICK_MEMBERS, QUICK_STEPS = 4, 20  # enough to see whether all compute the same

MODELS: dict[str, dict[str, Any]] = {
    "small": {"kind": "cfc", "inputs": 1, "hidden": 16, "backbone": 32, "steps": 50, "batch": 32},
    "middle": {"kind": "cfc", "inputs": 10, "hidden": 32, "backbone": 64, "steps": 50, "batch": 32},
    "large": {"kind": "cfc", "inputs": 10, "hidden": 64, "backbone": 128, "steps": 100, "batch": 32},
    "ncp-ltc": {"kind": "wired", "wiring": "AutoNCP", "inputs": 10, "hidden": 16, "steps": 50, "batch": 32},
    "full-ltc": {"kind": "wired", "wiring": "FullyConnected", "inputs": 10, "hidden": 32, "steps": 50, "batch": 32},
    "dense-ltc": {"kind": "dense", "inputs": 10, "hidden": 32, "steps": 50, "batch": 32},
}
"""CfCs of three sizes, LTCs of neurons and synapses, and the LTC of the original paper. Wired ones have 4 outputs."""

LENGTHS = (50, 100, 200, 400, 800, 1600)
"""Steps of the sequences on which the middle size is trained, too."""

ALL = tuple(MODELS)
CFC = ("small", "middle", "large")
BATCHED = ("small", "middle", "large", "ncp-ltc", "dense-ltc")  # XLA and PyTorch run short of memory on full-ltc


@dataclass(frozen=True)
class Form:
    """A way to train a model.

    Attributes:
        name: In words.
        child: The module of ``tests.bench`` whose process trains it.
        kind: What makes it there.
        members: Models that one step trains.
        models: Where it takes part.
        settings: Of its maker.
        native: Whether layers may run in C.
    """

    name: str
    child: str
    kind: str
    members: int = 1
    models: tuple[str, ...] = ALL
    settings: dict[str, Any] = field(default_factory=dict)
    native: bool = True


HAND = "a hand-written gradient"
FORMS = {
    "one": Form("one model", "ncps_mlx_cases", "population"),
    "population": Form(f"a population of {MEMBERS}", "ncps_mlx_cases", "population", MEMBERS),
    "one without C": Form("one model, no C compiler", "ncps_mlx_cases", "population", native=False),
    "population without C": Form(
        f"a population of {MEMBERS}, no C compiler", "ncps_mlx_cases", "population", MEMBERS, native=False
    ),
    "plain": Form("one model, a loop of your own with mlx.optimizers", "ncps_mlx_cases", "plain", models=CFC),
    "irregular": Form(
        "one model, a time step for each reading", "ncps_mlx_cases", "population", 1, CFC, {"irregular": True}
    ),
    "jax": Form("JAX, jit", "jax_cases", "one"),
    "jax vmap": Form(f"JAX, vmap of {MEMBERS}", "jax_cases", "vmap", MEMBERS, BATCHED),
    "jax map": Form(f"JAX, lax.map of {MEMBERS}", "jax_cases", "map", MEMBERS),
    "jax by hand": Form(f"JAX, jit, {HAND}", "jax_cases", "one", 1, CFC, {"variant": "hand"}),
    "jax vmap by hand": Form(f"JAX, vmap, {HAND}", "jax_cases", "vmap", MEMBERS, CFC, {"variant": "hand"}),
    "jax map by hand": Form(f"JAX, lax.map, {HAND}", "jax_cases", "map", MEMBERS, CFC, {"variant": "hand"}),
    "torch batched": Form("PyTorch, batched", "ncps_cases", "batched", MEMBERS, CFC),
    "ncps": Form("ncps on PyTorch", "ncps_cases", "one", 1, (*CFC, "ncp-ltc", "full-ltc")),
    "ncps vmap": Form("torch.func.vmap over ncps", "ncps_cases", "vmap", MEMBERS, (*CFC, "ncp-ltc")),
    "port": Form("the full port to MLX", "port_cases", "step", 1, ("small", "middle"), {"design": "full"}),
    "lean": Form("the lean port to MLX", "port_cases", "step", 1, ("small", "middle"), {"design": "lean"}),
}
"""By key. Those of this library come first, those it is compared with follow."""


def forms_of(name: str, native: bool, members: int = MEMBERS) -> dict[str, Form]:
    """The forms that train a model; without layers in C those that go without them say nothing new."""
    taking_part = {key: form for key, form in FORMS.items() if name in form.models and (native or form.native)}
    return {key: with_members(form, members) for key, form in taking_part.items()}


def with_members(form: Form, members: int) -> Form:
    """The form, its population of this many."""
    return replace(form, members=members) if form.members > 1 else form


def words(name: str) -> str:
    """A model in words."""
    model = MODELS[name]
    what = {
        "cfc": "CfC, input {inputs}, hidden {hidden}, backbone {backbone}",
        "wired": "LTC, input {inputs}, {wiring}({hidden}, 4)",
        "dense": "LTC, input {inputs}, hidden {hidden}",
    }[model["kind"]]
    return f"{what}, T {{steps}}".format(**model)
