"""Compare a converted model with ncps: how close they must be, and the gradients of ncps under this library's names.

The layout is written out a second time here, independent of ncps_mlx.models._from_ncps, which it tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

HEADS = ("ff1", "ff2", "time_a", "time_b")


def scale(array):
    """The array's largest number, or 1."""
    return max(1.0, float(np.abs(array).max(initial=0.0)))


def assert_close(actual, expected, what="", bound=1e-5):
    """Equal to 1e-5, relative to the array's largest number where that is above 1."""
    bound = bound * scale(expected)
    np.testing.assert_allclose(np.array(actual), np.array(expected), atol=bound, rtol=0, err_msg=what)


def run(model, x, time_delta, state):
    """Outputs, h and, with mixed memory, c of a model of one layer; without a state from zero."""
    y, (last,) = model(x, [tuple(state)] if state else None, time_delta=time_delta)
    return [y, *last]


def compute(model, given):
    """Outputs, states and all gradients of the sum of their squares, by name.

    Args:
        model: A converted model.
        given: x, time_delta (or ``None``), and the first states (or none of them).
    """
    arrays = {i: mx.array(array) for i, array in enumerate(given) if array is not None}

    def loss(parameters, arrays):
        model.update(parameters)
        x, time_delta, *state = [arrays.get(i) for i in range(len(given))]
        outputs = run(model, x, time_delta, state)
        return sum(mx.square(output).sum() for output in outputs), outputs

    (_, outputs), gradients = mx.value_and_grad(loss, argnums=(0, 1))(model.parameters(), arrays)
    of_parameters, of_given = dict(tree_flatten(gradients[0])), gradients[1]
    every = named(outputs, [of_given.get(i) for i in range(len(given))], of_parameters)
    return {name: np.array(array) for name, array in every.items()}


def named(outputs, of_given, of_parameters):
    """Name what a model gives: y, h (and c), gradients of what was given and of parameters."""
    every = dict(zip(("y", "h", "c"), outputs, strict=False))
    names = ("x", "time_delta", "first h", "first c")
    every |= {f"gradient of {name}": g for name, g in zip(names, of_given, strict=False) if g is not None}
    return every | {f"gradient of {name}": g for name, g in of_parameters.items()}


def furthest(given, reference):
    """The largest distance between arrays of the same names, as :func:`assert_close` measures it."""
    known = {name: np.isfinite(expected) for name, expected in reference.items()}
    pairs = [(given[name][where], reference[name][where]) for name, where in known.items()]
    return max(np.abs(actual - expected).max(initial=0.0) / scale(expected) for actual, expected in pairs)


def assert_equal_to_ncps(results, reference, bound=1e-5):
    """Compare each array as :func:`assert_close` does.

    Args:
        results: What :func:`compute` returns.
        reference: The results of ncps by the same names, with parameters in this library's layout.
        bound: How close they must be.
    """
    assert set(results) == set(reference)
    for name, actual in results.items():
        known = np.isfinite(reference[name])
        assert_close(actual[known], reference[name][known], name, bound)


def converted_gradients(
    values: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray], *, softplus: bool, epsilon: float
) -> dict[str, np.ndarray]:
    """Gradients of ncps with respect to this library's parameters, under its names.

    Args:
        values: Parameters of an ``ncps.torch`` CfC or LTC, by its names.
        gradients: Gradients with respect to them, by the same names.
        softplus: Of an LTC, ``implicit_param_constraints``.
        epsilon: Of an LTC.
    """
    inner: dict[str, np.ndarray] = {}
    if "rnn_cell.gleak" in values:
        inner = ltc(values, gradients, softplus=softplus, epsilon=epsilon)
    elif "rnn_cell.layer_0.ff1.weight" in values:
        count = len({key.split(".")[1] for key in values if key.startswith("rnn_cell.layer_")})
        for i in range(count):
            own = {f"cells.{i}.{k}": v for k, v in cfc(gradients, f"rnn_cell.layer_{i}.").items()}
            inner |= own
    else:
        inner = cfc(gradients, "rnn_cell.")
    prefix = "layers.0."
    converted = {}
    if "lstm.input_map.weight" in values:
        converted = {
            "layers.0.memory.input_weight": gradients["lstm.input_map.weight"],
            "layers.0.memory.recurrent_weight": gradients["lstm.recurrent_map.weight"],
            "layers.0.memory.bias": gradients["lstm.input_map.bias"],
        }
        prefix += "cell."
    converted |= {prefix + key: value for key, value in inner.items()}
    if "fc.weight" in values:
        converted |= {"readout.weight": gradients["fc.weight"], "readout.bias": gradients["fc.bias"]}
    return converted


def cfc(g: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """One cell of a CfC: each of its affine maps, the heads as one."""
    heads = [f"{prefix}{head}" for head in HEADS if f"{prefix}{head}.weight" in g]
    maps = [key.removesuffix(".weight") for key in g if key.startswith(f"{prefix}backbone.")]
    maps = [key for key in maps if not key.endswith(".bias")]
    weights = [g[f"{key}.weight"] for key in maps] + [np.concatenate([g[f"{key}.weight"] for key in heads])]
    biases = [g[f"{key}.bias"] for key in maps] + [np.concatenate([g[f"{key}.bias"] for key in heads])]
    inputs = weights[0].shape[1] - len(g[f"{prefix}ff1.bias"])
    converted = {
        "backbone.input_weight": weights[0][:, :inputs],
        "backbone.recurrent_weight": weights[0][:, inputs:],
        "backbone.bias": biases[0],
    }
    for i, (weight, bias) in enumerate(zip(weights[1:], biases[1:], strict=True)):
        converted |= {f"backbone.weights.{i}": weight, f"backbone.biases.{i}": bias}
    if f"{prefix}w_tau" in g:
        converted |= {"decay": g[f"{prefix}w_tau"][0], "amplitude": g[f"{prefix}A"][0]}
    return converted


def ltc(
    values: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray], *, softplus: bool, epsilon: float
) -> dict[str, np.ndarray]:
    """The cell of an LTC: synapses that exist, positive numbers by softplus, epsilon as a part of the leak."""
    p = {k.removeprefix("rnn_cell."): np.asarray(v, np.float64) for k, v in values.items()}
    g = {k.removeprefix("rnn_cell."): np.asarray(v, np.float64) for k, v in gradients.items()}

    def slope(x: np.ndarray) -> np.ndarray:
        """d softplus / d raw, where softplus(raw) = x."""
        return np.asarray(-np.expm1(-x))

    def raw(name: str) -> np.ndarray:
        of_raw: np.ndarray = g[name] if softplus else g[name] * slope(p[name])
        return of_raw

    leak = np.logaddexp(p["gleak"], 0) if softplus else p["gleak"]
    of_leak = g["gleak"] / slope(leak) if softplus else g["gleak"]
    extra = epsilon - 1e-8
    total = leak + extra
    with np.errstate(invalid="ignore", divide="ignore"):  # of a leak of 0, ncps's gradient says nothing
        of_resting = g["vleak"] * total / leak
        of_total = of_leak - of_resting * p["vleak"] * extra / total**2
    converted = {
        "raw_leak": of_total * slope(total),
        "resting": of_resting,
        "raw_capacitance": raw("cm"),
    }
    for side in ("", "sensory_"):
        here = p[f"{side}sparsity_mask"] != 0
        converted |= {
            f"{side}raw_weight": raw(f"{side}w")[here],
            f"{side}slope": g[f"{side}sigma"][here],
            f"{side}midpoint": g[f"{side}mu"][here],
            f"{side}reversal": g[f"{side}erev"][here],
        }
    named = {
        "input_w": "input_weight",
        "input_b": "input_bias",
        "output_w": "output_weight",
        "output_b": "output_bias",
    }
    return converted | {name: g[ncps_name] for ncps_name, name in named.items() if ncps_name in g}
