"""What every model must pass: the kinds of models, and helpers to compare, differentiate and measure them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map

from ncps_mlx import GRU, LSTM, LTC, NCP, AutoNCP, CfC, FullyConnected, Random
from ncps_mlx.models import RecurrentModel

B, T, D, H, U, OUT = 5, 7, 3, 11, 13, 2

AUTO = AutoNCP(8, 2, seed=3)
LAYERS = NCP(4, 3, 2, sensory_fanout=2, inter_fanout=2, recurrent_command_synapses=4, motor_fanin=2, seed=1)
RANDOM = Random(11, 4, sparsity_level=0.6, seed=2)
FULL = FullyConnected(7, 2, self_connections=False)

DEEP = {"num_layers": 3, "residual": True}
SHARED = {"num_layers": 4, "share_layers": True}
BOTH_WAYS = {"bidirectional": True, "num_layers": 2, "residual": True}
MIXED = {"mixed_memory": True}

KINDS: dict[str, tuple[type[RecurrentModel], dict[str, Any]]] = {
    "cfc": (CfC, {}),
    "cfc-no_gate": (CfC, {"mode": "no_gate"}),
    "cfc-pure": (CfC, {"mode": "pure"}),
    "cfc-bare": (CfC, {"backbone_layers": 0}),
    "cfc-gelu": (CfC, {"activation": "gelu", "output_size": OUT}),
    "cfc-deep": (CfC, {"backbone_layers": 2, "activation": "silu", **DEEP}),
    "cfc-shared": (CfC, {"output_size": OUT, **SHARED}),
    "cfc-bidirectional": (CfC, BOTH_WAYS),
    "cfc-mixed": (CfC, MIXED),
    "cfc-mixed-deep-bidirectional": (CfC, {"mode": "pure", "output_size": OUT, **MIXED, **BOTH_WAYS}),
    "cfc-ncp": (CfC, {"wiring": LAYERS}),
    "cfc-auto": (CfC, {"wiring": AUTO, "output_size": 3}),
    "cfc-auto-no_gate": (CfC, {"wiring": AUTO, "mode": "no_gate"}),
    "cfc-auto-pure": (CfC, {"wiring": AUTO, "mode": "pure"}),
    "cfc-auto-as-ncps": (CfC, {"wiring": AUTO, "ncps_masks": True}),
    "cfc-random": (CfC, {"wiring": RANDOM}),
    "cfc-random-as-ncps": (CfC, {"wiring": RANDOM, "ncps_masks": True}),
    "cfc-full": (CfC, {"wiring": FULL}),
    "cfc-auto-deep": (CfC, {"wiring": AUTO, **DEEP}),
    "cfc-auto-shared": (CfC, {"wiring": AUTO, **SHARED}),
    "cfc-auto-bidirectional": (CfC, {"wiring": AUTO, **BOTH_WAYS}),
    "cfc-auto-mixed": (CfC, {"wiring": AUTO, **MIXED}),
    "ltc": (LTC, {}),
    "ltc-sigmoid": (LTC, {"activation": "sigmoid", "backbone_layers": 2, "output_size": OUT}),
    "ltc-softplus": (LTC, {"activation": "relu", "stability": "softplus"}),
    "ltc-deep": (LTC, {"ode_unfolds": 2, **DEEP}),
    "ltc-shared": (LTC, {"ode_unfolds": 2, **SHARED}),
    "ltc-bidirectional": (LTC, {"ode_unfolds": 2, "output_size": OUT, **BOTH_WAYS}),
    "ltc-mixed": (LTC, MIXED),
    "ltc-ncp": (LTC, {"wiring": LAYERS}),
    "ltc-auto": (LTC, {"wiring": AUTO, "output_size": 3}),
    "ltc-auto-linear": (LTC, {"wiring": AUTO, "input_mapping": "linear", "output_mapping": "none"}),
    "ltc-auto-slow": (LTC, {"wiring": AUTO, "time_constant_range": (1.0, 30.0), "ode_unfolds": 3}),
    "ltc-random": (LTC, {"wiring": RANDOM}),
    "ltc-full": (LTC, {"wiring": FULL}),
    "ltc-auto-deep": (LTC, {"wiring": AUTO, "ode_unfolds": 2, **DEEP}),
    "ltc-auto-shared": (LTC, {"wiring": AUTO, "ode_unfolds": 2, **SHARED}),
    "ltc-auto-bidirectional": (LTC, {"wiring": AUTO, "ode_unfolds": 2, **BOTH_WAYS}),
    "ltc-auto-mixed": (LTC, {"wiring": AUTO, **MIXED}),
    "gru": (GRU, {}),
    "gru-decay": (GRU, {"time": "decay", "output_size": OUT}),
    "gru-decay-deep": (GRU, {"time": "decay", **DEEP}),
    "gru-shared": (GRU, {"output_size": OUT, **SHARED}),
    "gru-bidirectional": (GRU, BOTH_WAYS),
    "lstm": (LSTM, {}),
    "lstm-decay": (LSTM, {"time": "decay", "output_size": OUT}),
    "lstm-decay-bidirectional": (LSTM, {"time": "decay", **BOTH_WAYS}),
}
"""Models by name: class and arguments, without the sizes."""


def make(kind: str, **more: Any) -> Any:
    """A model of a kind."""
    cls: Any
    cls, settings = KINDS[kind]
    sizes = {} if "wiring" in settings else {"hidden_size": H, "backbone_units": U}
    if cls in (GRU, LSTM):
        sizes = {"hidden_size": H}
    return cls(D, **{"seed": 0, **sizes, **settings, **more})


def wired(kind: str) -> bool:
    return "wiring" in KINDS[kind][1]


def streams(kind: str) -> bool:
    """Whether a state may be handed in."""
    return not KINDS[kind][1].get("bidirectional", False)


def drops(kind: str) -> bool:
    """Whether there is a backbone for dropout to act on."""
    cls, settings = KINDS[kind]
    return "wiring" not in settings and settings.get("backbone_layers", cls is CfC) > 0


def data(batch: int = B, steps: int = T, seed: int = 0) -> tuple[mx.array, mx.array]:
    """Inputs (B, T, D) and time steps (B, T)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, steps, D)).astype(np.float32)
    return mx.array(x), mx.array(rng.uniform(0.1, 3.0, size=(batch, steps)).astype(np.float32))


def flat(tree: Any) -> list[tuple[str, mx.array]]:
    """A tree's arrays with their names."""
    pairs: Any = tree_flatten(tree)
    return list(pairs)


def close(got: Any, want: Any, tolerance: float = 1e-5, what: str = "") -> None:
    """Trees of arrays agree."""
    actual, expected = flat(got), flat(want)
    assert [name for name, _ in actual] == [name for name, _ in expected], what
    for (name, a), (_, b) in zip(actual, expected, strict=True):
        left, right = (np.array(mx.array(each).astype(mx.float32)) for each in (a, b))
        np.testing.assert_allclose(left, right, atol=tolerance, rtol=tolerance, err_msg=f"{what} {name}")


def close_in_scale(got: Any, want: Any, tolerance: float = 2e-5, what: str = "") -> None:
    """Trees of arrays agree but for a part of each array's largest number: what sums that cancel can promise."""
    actual, expected = flat(got), flat(want)
    assert [name for name, _ in actual] == [name for name, _ in expected], what
    for (name, a), (_, b) in zip(actual, expected, strict=True):
        atol = tolerance * max(1.0, float(np.abs(np.array(b)).max()))
        np.testing.assert_allclose(np.array(a), np.array(b), atol=atol, rtol=0, err_msg=f"{what} {name}")


def equal(got: Any, want: Any, what: str = "") -> None:
    """Trees of arrays are the same bit for bit."""
    actual, expected = flat(got), flat(want)
    assert [name for name, _ in actual] == [name for name, _ in expected], what
    for (name, a), (_, b) in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype and mx.array_equal(a, b).item(), f"{what} {name}"


def finite(tree: Any, what: str = "") -> None:
    for name, array in flat(tree):
        assert mx.all(mx.isfinite(array)).item(), f"{what} {name}"


def with_parameters(model: RecurrentModel, call: Callable[..., Any]) -> Callable[..., Any]:
    """A pure function of the parameters and the arguments of ``call``."""

    def function(parameters: Any, *arguments: Any) -> Any:
        model.update(parameters)
        return call(*arguments)

    return function


def weighted(outputs: Any) -> mx.array:
    """A loss in which each output has its own weight."""
    total = mx.array(0.0)
    for _, array in flat(outputs):
        weights = mx.cos(mx.arange(array.size).reshape(array.shape))
        total = total + (weights * mx.square(array.astype(mx.float32))).sum()
    return total


def gradients(
    model: RecurrentModel, x: mx.array, time_delta: Any = None, mask: mx.array | None = None
) -> tuple[Any, Any, mx.array]:
    """Outputs (y, state) and gradients with respect to parameters and inputs of :func:`weighted`."""
    parameters = model.parameters()

    def loss(parameters: Any, x: mx.array) -> tuple[mx.array, Any]:
        model.update(parameters)
        outputs = model(x, time_delta=time_delta, mask=mask)
        return weighted(outputs), outputs

    (_, outputs), (grad_parameters, grad_x) = mx.value_and_grad(loss, argnums=(0, 1))(parameters, x)
    model.update(parameters)
    mx.eval(outputs, grad_parameters, grad_x)
    return outputs, grad_parameters, grad_x


def primitives(tree: Any) -> Counter[str]:
    """How many operations of each kind stand behind arrays that are not evaluated yet."""
    graph = io.StringIO()
    mx.export_to_dot(graph, *(array for _, array in flat(tree)))
    return Counter(re.findall(r'label ="(\w+)", shape=rectangle', graph.getvalue()))


def members(kind: str, count: int, **more: Any) -> list[Any]:
    """Models of one kind that differ in their parameters."""
    models = [make(kind, **{**more, "seed": seed}) for seed in range(count)]
    for i, model in enumerate(models):  # biases, which begin at zero, differ too
        model.update(tree_map(lambda array, i=i: array + 0.01 * i, model.parameters()))
    return models
