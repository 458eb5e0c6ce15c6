"""The child that trains in JAX: one model, jitted; a population by ``vmap`` or ``lax.map``; with two kinds of gradient.

The gradient is JAX's own, or, for CfCs, a hand-written one. Written as one would for speed: a scan over time with the
inputs' product before it and the heads as one product; the whole training step, Adam included, is one jitted function
that owns its arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import sigmoid, softplus

from tests.bench.child import Case, serve

UNFOLDS = 6  # of an LTC's solver
EPSILON = 1e-8
CIRCUIT = ("adjacency", "sensory_adjacency")

Tree = dict[str, Any]


def cfc(p: Tree, x: Any, loop: Callable[..., Any]) -> Any:
    """The last output of a CfC whose time steps are all 1, (B, 1), for inputs (B, T, D)."""
    net = {name.removeprefix("layers.0.backbone."): each for name, each in p.items()}
    z = jnp.swapaxes(x, 0, 1) @ net["input_weight"].T + net["bias"]
    heads, base = (jnp.split(net[name], 4) for name in ("weights.0", "biases.0"))
    heads, base = (jnp.concatenate([f, g, a + b]) for f, g, a, b in (heads, base))
    h = loop(z, net["recurrent_weight"].T, heads.T, base)
    return h @ p["readout.weight"].T + p["readout.bias"]


def cfc_step(h: Any, z: Any, recurrent: Any, heads: Any, base: Any) -> tuple[Any, tuple[Any, ...]]:
    """One step: the new state, and what a gradient needs."""
    u = 1.7159 * jnp.tanh(0.666 * (z + h @ recurrent))
    f, g, s = jnp.split(u @ heads + base, 3, -1)
    f, g, s = jnp.tanh(f), jnp.tanh(g), sigmoid(s)
    return f + s * (g - f), (h, u, f, g, s)


def scanned(z: Any, *weights: Any) -> Any:
    """The last state (B, H), differentiated by JAX."""
    zeros = jnp.zeros((z.shape[1], weights[0].shape[0]))
    return lax.scan(lambda h, z: (cfc_step(h, z, *weights)[0], None), zeros, z)[0]


@jax.custom_vjp  # type: ignore[untyped-decorator, unused-ignore]  # JAX is not installed where types are checked
def by_hand(z: Any, *weights: Any) -> Any:
    """The same with a gradient that keeps the activations and forms each weight's in one product after the loop."""
    return scanned(z, *weights)


def forward(z: Any, *weights: Any) -> Any:
    """The last state, and what the gradient needs."""
    zeros = jnp.zeros((z.shape[1], weights[0].shape[0]))
    last, kept = lax.scan(lambda h, z: cfc_step(h, z, *weights), zeros, z)
    return last, (kept, weights)


def backward(residuals: Any, d_last: Any) -> Any:
    """Gradients of z and of the weights."""
    kept, (recurrent, heads, _) = residuals
    back_recurrent, back_heads = recurrent.T, heads.T

    def step(d: Any, kept: Any) -> Any:
        _, u, f, g, s = kept
        d_sum = jnp.concatenate(
            [d * (1 - s) * (1 - f * f), d * s * (1 - g * g), d * (g - f) * s * (1 - s)], axis=-1
        )
        d_z = (d_sum @ back_heads) * (0.666 * 1.7159 - 0.666 / 1.7159 * u * u)
        return d_z @ back_recurrent, (d_z, d_sum)

    _, (d_z, d_sum) = lax.scan(step, d_last, kept, reverse=True)

    def product(rows: Any, slopes: Any) -> Any:
        return rows.reshape(-1, rows.shape[-1]).T @ slopes.reshape(-1, slopes.shape[-1])

    return d_z, product(kept[0], d_z), product(kept[1], d_sum), d_sum.sum((0, 1))


by_hand.defvjp(forward, backward)


def dense_ltc(p: Tree, x: Any) -> Any:
    """The last output (B, 1) of an LTC as in the original paper."""
    net = {name.removeprefix("layers.0.").removeprefix("backbone."): each for name, each in p.items()}
    z = jnp.swapaxes(x, 0, 1) @ net["input_weight"].T + net["bias"]
    recurrent, target, leak = net["recurrent_weight"].T, net["target"], 1.0 + softplus(net["raw_leak"])
    delta = 1.0 / UNFOLDS

    def step(h: Any, z: Any) -> Any:
        for _ in range(UNFOLDS):
            f = jnp.tanh(z + h @ recurrent)
            h = (h + delta * f * target) / (1.0 + delta * (leak + f))
        return h, None

    h = lax.scan(step, jnp.zeros((x.shape[0], recurrent.shape[0])), z)[0]
    return h @ p["readout.weight"].T + p["readout.bias"]


def wired_ltc(p: Tree, x: Any, sums: Callable[..., Any]) -> Any:
    """The last outputs (B, 4) of an LTC on a circuit; ``sums`` adds up the synapses."""
    p = {name.removeprefix("layers.0."): each for name, each in p.items()}
    mapped = jnp.swapaxes(x, 0, 1) * p["input_weight"] + p["input_bias"]
    leak, capacitance = softplus(p["raw_leak"]), UNFOLDS * softplus(p["raw_capacitance"])
    seen = sums(p, "sensory_", mapped)
    driven = leak * p["resting"]

    def step(v: Any, seen: Any) -> Any:
        for _ in range(UNFOLDS):
            pushed, conducted = sums(p, "", v)
            v = (capacitance * v + driven + pushed + seen[0]) / (
                capacitance + leak + conducted + seen[1] + EPSILON
            )
        return v, None

    v = lax.scan(step, jnp.zeros((x.shape[0], leak.shape[0])), seen)[0]
    return v[:, : p["output_weight"].shape[0]] * p["output_weight"] + p["output_bias"]


def by_matrix(masks: Tree, p: Tree, side: str, v: Any) -> tuple[Any, Any]:
    """Both sums over the synapses, as matrices of all pairs: quicker where most exist."""
    slope, midpoint, reversal = (p[f"{side}{name}"] for name in ("slope", "midpoint", "reversal"))
    weight = softplus(p[f"{side}raw_weight"]) * masks[f"{side}adjacency"]
    s = weight * sigmoid(slope * (v[..., :, None] - midpoint))
    return (s * reversal).sum(-2), s.sum(-2)


def by_list(masks: Tree, p: Tree, side: str, v: Any) -> tuple[Any, Any]:
    """Both sums over the list of synapses: quicker where few exist."""
    sources, targets = np.nonzero(masks[f"{side}adjacency"])
    slope, midpoint, reversal = (p[f"{side}{name}"] for name in ("slope", "midpoint", "reversal"))
    s = softplus(p[f"{side}raw_weight"]) * sigmoid(slope * (v[..., sources] - midpoint))
    onto = np.zeros((len(targets), masks[f"{side}adjacency"].shape[1]), np.float32)
    onto[np.arange(len(targets)), targets] = 1.0
    return (s * reversal) @ onto, s @ onto


def model_of(arrays: Tree, variant: str) -> tuple[Tree, Callable[[Tree, Any], Any]]:
    """Parameters (N, ...), and a function of one member's parameters and inputs (B, T, D)."""
    p = {name: each for name, each in arrays.items() if "." in name}
    if "adjacency" not in arrays:
        if "layers.0.raw_leak" in p:
            return p, dense_ltc
        return p, functools.partial(cfc, loop=by_hand if variant == "hand" else scanned)
    masks = {name: (np.asarray(arrays[name]) != 0).astype(np.float32) for name in CIRCUIT}
    if masks["adjacency"].mean() < 0.5:
        return p, functools.partial(wired_ltc, sums=functools.partial(by_list, masks))
    for side in ("", "sensory_"):
        mask = masks[f"{side}adjacency"] != 0
        for name in ("raw_weight", "slope", "midpoint", "reversal"):
            listed = p[f"layers.0.{side}{name}"]
            whole = np.zeros((len(listed), *mask.shape), np.float32)
            whole[:, mask] = listed
            p[f"layers.0.{side}{name}"] = whole
    return p, functools.partial(wired_ltc, sums=functools.partial(by_matrix, masks))


def adam(state: tuple[Tree, Tree, Tree, Any], gradient: Tree) -> tuple[Tree, Tree, Tree, Any]:
    """One update of parameters, with both moments and the count of steps."""
    p, m, v, count = state
    count = count + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
    low, high = 1.0 - 0.9**count, 1.0 - 0.999**count
    p = jax.tree.map(lambda p, m, v: p - 1e-3 * (m / low) / (jnp.sqrt(v / high) + 1e-8), p, m, v)
    return p, m, v, count


def case(*, folder: str, members: int = 1, over: str = "", variant: str = "") -> Case:
    """Training of one model (``over`` is empty), or of a population over ``"vmap"`` or ``"map"``."""
    with np.load(Path(folder) / "arrays.npz") as file:
        arrays = {name: file[name] for name in file}
    p, predict = model_of(arrays, variant)
    p = {name: each[:members] for name, each in p.items()}
    x, y = (jnp.asarray(arrays[name][:members]) for name in "xy")

    def loss(p: Tree, x: Any, y: Any) -> Any:
        return jnp.mean((predict(p, x) - y) ** 2)

    def step(state: Any, x: Any, y: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(state[0], x, y)
        return adam(state, gradient), value

    def mapped(function: Callable[..., Any]) -> Callable[..., Any]:
        return (lambda *all_: lax.map(lambda own: function(*own), all_)) if over == "map" else jax.vmap(function)

    first, count = x[0], jnp.zeros((members,))
    jitted = jax.jit(mapped(step) if over else step, donate_argnums=0)
    outputs = jax.jit(jax.vmap(lambda p: predict(p, first)))(p)
    if not over:
        p, x, y, count = {name: each[0] for name, each in p.items()}, x[0], y[0], count[0]
    zeros = [jax.tree.map(jnp.zeros_like, p) for _ in range(2)]
    state, losses = jitted((jax.tree.map(jnp.array, p), *zeros, count), x, y)
    # After one step the first moment is a tenth of the gradient: one function is compiled, not two.
    slopes = [10.0 * np.asarray(each).reshape(members, -1) for each in state[1].values()]
    computed = {
        "outputs": outputs.tolist(),
        "losses": np.asarray(losses).reshape(members).tolist(),
        "gradients": np.sqrt(sum((each**2).sum(1) for each in slopes)).tolist(),
    }

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = jitted(state, x, y)
        jax.block_until_ready(state)

    return Case(run, computed)


def facts() -> dict[str, Any]:
    """Versions."""
    return {"jax": jax.__version__}


if __name__ == "__main__":
    serve(
        {"one": case, "vmap": functools.partial(case, over="vmap"), "map": functools.partial(case, over="map")},
        facts,
    )
