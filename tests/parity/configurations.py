"""Random configurations of ncps's modules and of what they are given; each is its own complete description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 2**16)
MODES = st.sampled_from(["default", "no_gate", "pure"])
ACTIVATIONS = st.sampled_from(["lecun_tanh", "tanh", "relu", "gelu", "silu"])
MAPPINGS = st.sampled_from(["affine", "linear", None])


@dataclass(frozen=True)
class Wiring:
    """A class of ncps.wirings and its arguments; ``"Wiring"`` itself gets synapses from ``seed``."""

    name: str
    arguments: dict[str, Any]
    units: int
    output_dim: int
    seed: int = 0

    @property
    def layered(self) -> bool:
        """Whether it has inter, command and motor neurons."""
        return self.name in ("NCP", "AutoNCP")


@dataclass(frozen=True)
class Configuration:
    """A module, its parameters (by seed) and its inputs (by seed too)."""

    model: str
    input_size: int
    units: int
    wiring: Wiring | None
    options: dict[str, Any]
    noise: float
    batch: int
    steps: int
    time_scale: float | None
    state: bool
    seed: int

    @property
    def mixed(self) -> bool:
        """Whether the state is (h, c)."""
        return bool(self.options["mixed_memory"])


@st.composite
def wirings(draw: st.DrawFn) -> Wiring:
    """Any wiring that ncps can make and run."""
    name = draw(st.sampled_from(["FullyConnected", "Random", "NCP", "AutoNCP", "Wiring"]))
    seed = draw(SEEDS)
    arguments: dict[str, Any]
    if name == "NCP":
        inter, command, motor = (draw(st.integers(1, 5)) for _ in range(3))
        arguments = {
            "inter_neurons": inter,
            "command_neurons": command,
            "motor_neurons": motor,
            "sensory_fanout": draw(st.integers(1, inter)),
            "inter_fanout": draw(st.integers(1, command)),
            "recurrent_command_synapses": draw(st.integers(0, 2 * command)),
            "motor_fanin": draw(st.integers(1, command)),
            "seed": seed,
        }
        return Wiring(name, arguments, inter + command + motor, motor)
    if name == "AutoNCP":
        motor = draw(st.integers(1, 4))
        units = motor + draw(st.integers(3, 8))
        sparsity = draw(st.floats(0.1, 0.9))
        arguments = {"units": units, "output_size": motor, "sparsity_level": sparsity, "seed": seed}
        return Wiring(name, arguments, units, motor)
    units = draw(st.integers(1, 9))
    motor = draw(st.integers(1, units))
    if name == "FullyConnected":
        own = draw(st.booleans())
        arguments = {
            "units": units,
            "output_dim": motor,
            "erev_init_seed": seed,
            "self_connections": own,
        }
        return Wiring(name, arguments, units, motor)
    if name == "Random":
        sparsity = draw(st.floats(0.0, 0.95))
        arguments = {
            "units": units,
            "output_dim": motor,
            "sparsity_level": sparsity,
            "random_seed": seed,
        }
        return Wiring(name, arguments, units, motor)
    return Wiring(name, {"units": units}, units, motor, seed)


def cfc_options(draw: st.DrawFn, wiring: Wiring | None) -> dict[str, Any]:
    """Options of a CfC."""
    # ncps fails where the readout reads fewer units than a wiring of one layer gives.
    readable = wiring is None or wiring.layered or wiring.output_dim == wiring.units
    options: dict[str, Any] = {
        "mode": draw(MODES),
        "proj_size": draw(st.none() | st.integers(1, 4)) if readable else None,
    }
    if wiring is None:
        options |= {
            "activation": draw(ACTIVATIONS),
            "backbone_units": draw(st.integers(1, 9)),
            "backbone_layers": draw(st.integers(0, 3)),
            "backbone_dropout": draw(st.sampled_from([0.0, 0.4])),
        }
    return options


def ltc_options(draw: st.DrawFn) -> dict[str, Any]:
    """Options of an LTC."""
    return {
        "input_mapping": draw(MAPPINGS),
        "output_mapping": draw(MAPPINGS),
        "ode_unfolds": draw(st.integers(1, 7)),
        "epsilon": draw(st.sampled_from([1e-8, 1e-8, 1e-4, 0.3])),
        "implicit_param_constraints": draw(st.booleans()),
    }


@st.composite
def configurations(draw: st.DrawFn, model: str) -> Configuration:
    """Any ``"CfC"`` or ``"LTC"``, with a batch as large as its state in one case of three."""
    wiring = draw(st.none() | wirings())
    units = draw(st.integers(1, 9)) if wiring is None else wiring.units
    options = cfc_options(draw, wiring) if model == "CfC" else ltc_options(draw)
    options |= {
        "mixed_memory": draw(st.booleans()),
        "return_sequences": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
    }
    batch = draw(st.sampled_from(["any", "any", "as many as units"]))
    return Configuration(
        model=model,
        input_size=draw(SIZES),
        units=units,
        wiring=wiring,
        options=options,
        noise=draw(st.sampled_from([0.0, 0.1, 0.2])),  # far more makes what no float32 can tell
        batch=units if batch == "as many as units" else draw(SIZES),
        steps=draw(SIZES),
        time_scale=draw(st.none() | st.sampled_from([1e-3, 0.1, 1.0, 3.0, 30.0])),
        state=draw(st.booleans()),
        seed=draw(SEEDS),
    )
