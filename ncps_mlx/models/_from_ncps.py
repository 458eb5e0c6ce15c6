"""``from_torch``: convert models of ncps (PyTorch); same weights, same outputs. Imports neither torch nor ncps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_flatten, tree_map

from ncps_mlx.cells._wired_ltc import EPSILON
from ncps_mlx.models._cfc import CfC
from ncps_mlx.models._ltc import LTC
from ncps_mlx.models._ncps_circuits import cfc_circuit, ltc_circuit

__all__ = ["from_torch"]

Array = npt.NDArray[np.float64]
Tree = dict[str, Any]

HEADS = ("ff1", "ff2", "time_a", "time_b")
"""Heads of a CfC, in the order of both libraries; mode pure has only the first."""

ACTIVATIONS = {"LeCun": "lecun_tanh", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu"}
"""Names of the activations here, by their classes in torch and ncps."""

LEAST = 1e-12
"""What an exact zero becomes where only positive numbers can be stored."""


def from_torch(module: Any) -> CfC | LTC:
    r"""Convert a ``CfC`` or ``LTC`` of ``ncps.torch``: the same outputs, states and gradients.

    Everything those classes offer is converted: dense or wired, every mode and activation, backbones of any depth,
    mixed memory, ``proj_size`` (here ``output_size``), ``return_sequences``, the mappings of inputs and outputs, any
    ``ode_unfolds`` and ``epsilon``, weights kept positive by softplus or by clipping. Weights of any precision, on any
    device, become float32. Training or evaluation mode is kept. Unlike the original, the result takes a time step for
    each sample of a batch.

    What differs:

    * Batches come first: for a module with ``batch_first=False``, swap the first two axes of inputs and outputs.
    * Dropout, in training, also follows the backbone's first layer; in ncps it begins with the second.
    * A wired CfC keeps the masks of ncps (``ncps_masks=True``). With a wiring of one layer ncps ignores its
      ``output_dim`` and returns all units; so does the result.
    * In an LTC, synapses that do not exist have no parameters. Positive numbers are stored through softplus; one that
      clipping made exactly 0 becomes 1e-12: without effect as before, but no longer trainable.
    * An ``epsilon`` other than 1e-8 becomes part of the leak: :math:`g' = g + \epsilon - 10^{-8}`,
      :math:`v' = v g / g'`.

    Args:
        module: An ``ncps.torch.CfC`` or ``ncps.torch.LTC`` (ncps 1.0), or of a class derived from them.

    Returns:
        A :class:`~ncps_mlx.CfC` or :class:`~ncps_mlx.LTC` of one layer, which shares no memory with ``module``.

    Raises:
        ValueError: It is something else; an LTC's weight is negative; the wiring has other layers than a CfC allows.

    Example:
        >>> from ncps_mlx import from_torch
        >>> from_torch([1.0])
        Traceback (most recent call last):
        ...
        ValueError: module must be a CfC or an LTC of ncps.torch, got builtins.list. Of a model that contains one, pass
        that part alone.
    """
    model, parameters = READERS[kind_of(module)](module)
    wanted, got = shapes(model.parameters()), shapes(parameters)
    if wanted != got:
        first_wrong = min(name for name in wanted | got if wanted.get(name) != got.get(name))
        raise ValueError(
            f"module must have the shapes that ncps gives it, got {got.get(first_wrong)} instead of "
            f"{wanted.get(first_wrong)} for what becomes {first_wrong}."
        )
    model.update(tree_map(lambda array: mx.array(array.astype(np.float32)), parameters))
    model.train(bool(module.training))
    return model


def kind_of(module: Any) -> str:
    """``"CfC"`` or ``"LTC"``, by the names of a module's classes."""
    for ancestor in type(module).__mro__:
        if ancestor.__module__.split(".")[:2] == ["ncps", "torch"] and ancestor.__name__ in READERS:
            return ancestor.__name__
    raise ValueError(
        f"module must be a CfC or an LTC of ncps.torch, got {type(module).__module__}.{type(module).__qualname__}. "
        "Of a model that contains one, pass that part alone."
    )


def shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Shapes of parameters by their dotted names."""
    pairs: Any = tree_flatten(tree)
    return {name: array.shape for name, array in pairs}


def read(tensor: Any) -> Array:
    """Read a tensor of any dtype, on any device."""
    return np.asarray(tensor.detach().cpu().float().numpy(), dtype=np.float64)


def read_linear(layer: Any) -> tuple[Array, Array]:
    """Read weight and bias."""
    return read(layer.weight), read(layer.bias)


def read_cfc(module: Any) -> tuple[CfC, Tree]:
    """Make a CfC with the settings of one of ncps, and read its parameters."""
    cell = module.rnn_cell
    readout = read_linear(module.fc) if hasattr(module.fc, "weight") else None
    options: dict[str, Any] = {
        "mixed_memory": bool(module.use_mixed),
        "output_size": None if readout is None else len(readout[1]),
        "return_sequences": bool(module.return_sequences),
        "seed": 0,  # its parameters are replaced
    }
    inner: Tree
    if getattr(module, "wired_mode", False):
        parts = [getattr(cell, f"layer_{i}") for i in range(module.wiring.num_layers)]
        circuit = cfc_circuit(module.wiring, [read(part.sparsity_mask) != 0 for part in parts])
        if readout is not None and readout[0].shape[1] != circuit.output_size:
            raise ValueError(
                f"module must be one that runs, got a readout of {readout[0].shape[1]} of the {circuit.output_size} "
                "units that its cell gives it. With a wiring of one layer ncps needs output_dim=units."
            )
        model = CfC(circuit.input_size, wiring=circuit, ncps_masks=True, mode=parts[0].mode, **options)
        widths = [circuit.input_size, *map(len, circuit.layers)]
        inner = {"cells": [read_cfc_cell(part, width) for part, width in zip(parts, widths, strict=False)]}
    else:
        hidden = list(cell.backbone) if cell.backbone_layers else []
        model = CfC(
            module.input_size,
            module.state_size,
            mode=cell.mode,
            activation=activation_name(hidden[1]) if hidden else "lecun_tanh",
            backbone_units=hidden[0].bias.shape[0] if hidden else 128,
            backbone_layers=cell.backbone_layers,
            backbone_dropout=next((part.p for part in hidden if type(part).__name__ == "Dropout"), 0.0),
            **options,
        )
        inner = read_cfc_cell(cell, module.input_size)
    tree: Tree = {"layers": [with_memory(module, inner)]}
    if readout is not None:
        tree["readout"] = dict(zip(("weight", "bias"), readout, strict=True))
    return model, tree


def activation_name(layer: Any) -> str:
    """The name of an activation here."""
    name = type(layer).__name__
    if name not in ACTIVATIONS or getattr(layer, "approximate", "none") != "none":
        raise ValueError(f"module must have an activation of ncps ({', '.join(ACTIVATIONS)}), got {layer!r}.")
    return ACTIVATIONS[name]


def read_cfc_cell(cell: Any, inputs: int) -> Tree:
    """Read the parameters of one CfC cell that reads ``inputs`` features and its state."""
    hidden = list(cell.backbone) if cell.backbone_layers else []
    maps = [read_linear(part) for part in hidden if hasattr(part, "weight")]
    heads = [read_head(cell, name) for name in HEADS[: 1 if cell.mode == "pure" else 4]]
    weights, biases = (np.concatenate(parts) for parts in zip(*heads, strict=True))
    (first, bias), *rest = [*maps, (weights, biases)]
    tree: Tree = {
        "backbone": {
            "input_weight": first[:, :inputs],
            "recurrent_weight": first[:, inputs:],
            "bias": bias,
            "weights": [weight for weight, _ in rest],
            "biases": [bias for _, bias in rest],
        }
    }
    if cell.mode == "pure":
        tree |= {"decay": read(cell.w_tau)[0], "amplitude": read(cell.A)[0]}
    return tree


def read_head(cell: Any, name: str) -> tuple[Array, Array]:
    """Read a head, without the weights that ncps masks at every use."""
    weight, bias = read_linear(getattr(cell, name))
    masked = cell.sparsity_mask is not None and name in ("ff1", "ff2")
    return (weight * (read(cell.sparsity_mask) != 0) if masked else weight), bias


def with_memory(module: Any, cell: Tree) -> Tree:
    """Add the LSTM of mixed memory; the bias here includes the 1 that ncps adds to the forget gate."""
    if not module.use_mixed:
        return cell
    weight, bias = read_linear(module.lstm.input_map)
    return {
        "memory": {
            "input_weight": weight,
            "recurrent_weight": read(module.lstm.recurrent_map.weight),
            "bias": bias + np.repeat([0.0, 0.0, 1.0, 0.0], len(bias) // 4),
        },
        "cell": cell,
    }


def read_ltc(module: Any) -> tuple[LTC, Tree]:
    """Make an LTC with the settings of one of ncps, and read its parameters."""
    cell = module.rnn_cell
    synapses, sensory_synapses = read(cell.sparsity_mask) != 0, read(cell.sensory_sparsity_mask) != 0
    circuit = ltc_circuit(cell._wiring, synapses, sensory_synapses)
    mappings = [
        mapping if mapping in ("affine", "linear") else "none"
        for mapping in (cell._input_mapping, cell._output_mapping)
    ]
    model = LTC(
        circuit.input_size,
        wiring=circuit,
        mixed_memory=bool(module.use_mixed),
        ode_unfolds=cell._ode_unfolds,
        input_mapping=mappings[0],
        output_mapping=mappings[1],
        return_sequences=bool(module.return_sequences),
        seed=0,
    )
    stored = read(cell.gleak)
    leak = np.logaddexp(stored, 0.0) if cell._implicit_param_constraints else at_least_0("gleak", stored)
    total = np.maximum(leak + (cell._epsilon - EPSILON), LEAST)  # the cell adds EPSILON again
    tree: Tree = {
        "raw_leak": inverse_softplus(total),
        "resting": read(cell.vleak) * leak / total,
        "raw_capacitance": read_raw(cell, "cm", np.ones_like(stored, dtype=bool)),
    }
    for side, where in (("", synapses), ("sensory_", sensory_synapses)):
        tree |= {
            f"{side}raw_weight": read_raw(cell, f"{side}w", where),
            f"{side}slope": read(getattr(cell, f"{side}sigma"))[where],
            f"{side}midpoint": read(getattr(cell, f"{side}mu"))[where],
            f"{side}reversal": read(getattr(cell, f"{side}erev"))[where],
        }
    for part, ncps_name in (("weight", "w"), ("bias", "b")):
        for end in ("input", "output"):
            if hasattr(cell, f"{end}_{ncps_name}"):
                tree[f"{end}_{part}"] = read(getattr(cell, f"{end}_{ncps_name}"))
    return model, {"layers": [with_memory(module, tree)]}


def read_raw(cell: Any, name: str, where: npt.NDArray[np.bool_]) -> Array:
    """Read positive numbers as stored before a softplus; ncps stores them so, or as they are."""
    stored = read(getattr(cell, name))[where]
    if cell._implicit_param_constraints:
        return stored
    return inverse_softplus(np.maximum(at_least_0(name, stored), LEAST))


def at_least_0(name: str, stored: Array) -> Array:
    """Refuse negative numbers, with which ncps computes until it is told to clip them."""
    if not (stored >= 0).all():
        raise ValueError(
            f"{name} of module must be at least 0, got {stored.min():g}. With implicit_param_constraints=False ncps "
            "leaves that to you: call module.rnn_cell.apply_weight_constraints() first, as after every training step."
        )
    return stored


def inverse_softplus(value: Array) -> Array:
    """The number whose softplus is ``value``."""
    return np.asarray(value + np.log(-np.expm1(-value)))


READERS: dict[str, Callable[[Any], tuple[CfC | LTC, Tree]]] = {"CfC": read_cfc, "LTC": read_ltc}
"""Functions that read a module, by the name of its class in ncps."""
