"""An LTC layer over a whole sequence with a hand-written gradient: automatic differentiation's numbers, sooner.

Dense or wired, one solver step is

    v' = (c v + delta (d + p)) / (c + delta (l + q)),

where p and q depend on v and the inputs through the gate (dense) or the synapses (wired): :mod:`ncps_mlx.drives`.
Going forward, each step keeps what p and q came from. Going back, all that is pointwise is formed for all steps at
once, so that the loop is the products and three operations, and every weight's gradient is one product after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx import lstm
from ncps_mlx.by_hand import with_gradient
from ncps_mlx.drives import Drive, Values, rows, wide
from ncps_mlx.lstm import Lstm
from ncps_mlx.recurrent import slice_time, unstack_time

__all__ = ["Solver", "run_fused_ltc"]


@dataclass(frozen=True)
class Solver:
    """What the solver itself reads, with a batch axis of one: capacitance c, drive d and leak l, each (..., 1, U)."""

    capacitance: mx.array
    driven: mx.array
    leak: mx.array


def run_fused_ltc(
    make: Any,
    own: Sequence[mx.array],
    solver: Solver,
    z: mx.array,
    v: mx.array,
    dt: mx.array | float,
    mask: mx.array | None,
    before: Lstm | None,
    *,
    unfolds: int,
) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layer.

    Args:
        make: Builds the :class:`ncps_mlx.drives.Drive` from its own arrays.
        own: Those arrays.
        solver: The solver's.
        z: What the inputs contribute (..., T, B, U or 2U).
        v: First state (..., B, U).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: Where there is a reading, (..., T, B, 1), or ``None``.
        before: Of an LSTM that takes each step before the cell does, if one does.
        unfolds: Solver steps for each time step.

    Returns:
        All states (..., T, B, U), and the last (..., B, U), with an LSTM followed by its memory.
    """
    varying = isinstance(dt, mx.array)
    optional = [array for array in (dt if varying else None, mask) if isinstance(array, mx.array)]
    fixed = [v, z, solver.capacitance, solver.driven, solver.leak]
    memory = [] if before is None else before.flat()
    ends = 1 if before is None else 2

    def parts(flat: Sequence[mx.array]) -> tuple[Drive, Solver, Any, mx.array | None, Lstm | None]:
        drive = make(*flat[5 : 5 + len(own)])
        rest = list(flat[5 + len(own) :])
        step = rest.pop(0) if varying else dt
        held = None if mask is None else rest.pop(0)
        return drive, Solver(*flat[2:5]), step, held, Lstm(*rest) if rest else None

    def layer(*flat: mx.array) -> list[mx.array]:
        return forward(*parts(flat), flat[0], flat[1], unfolds)

    def pullback(
        flat: Sequence[mx.array], of_given: Sequence[mx.array], kept: Sequence[mx.array]
    ) -> list[mx.array]:
        return backward(*parts(flat), unfolds, kept, of_given[0], of_given[1:])

    function = with_gradient(layer, pullback, given=1 + ends)
    states, *rest = function(*fixed, *own, *optional, *memory)
    return states, tuple(rest)


def forward(
    drive: Drive,
    solver: Solver,
    dt: Any,
    mask: mx.array | None,
    before: Lstm | None,
    v: mx.array,
    z: mx.array,
    unfolds: int,
) -> list[mx.array]:
    """All states; the last ones; and of all solver steps sums (p, q), states before and after, and what is kept."""
    zs = unstack_time(z)
    deltas = slice_time(dt / unfolds) if isinstance(dt, mx.array) else [dt / unfolds] * len(zs)
    masks = None if mask is None else slice_time(mask)
    c, step = solver.capacitance, drive.bind(v)
    remember = None
    if before is not None:
        remember = lstm.Forward(before, drive.squash, len(zs), mask_rows(mask, v))
    states, sums, between = [], [], []
    kept: list[Values] = []
    for t, delta in enumerate(deltas):
        last = v
        if remember is not None:
            v = remember.step(t, v)
        between.append(v)
        for _ in range(unfolds):
            values, both = step(t, v, zs[t])
            p, q = mx.split(both, 2, axis=-1)
            v = (c * v + delta * (solver.driven + p)) / (c + delta * (solver.leak + q))
            kept.append(values)
            sums.append(both)
            between.append(v)
        if masks is not None:
            v = mx.where(masks[t], v, last)
        states.append(v)
    steps = len(zs)
    return [
        mx.stack(states, axis=-3),
        *([v] if remember is None else [v, remember.c]),
        folded(sums, steps),
        folded(between, steps),
        *(folded(list(kind), steps) for kind in zip(*kept, strict=True)),
        *([] if remember is None else remember.kept()),
    ]


def backward(
    drive: Drive,
    solver: Solver,
    dt: Any,
    mask: mx.array | None,
    before: Lstm | None,
    unfolds: int,
    outputs: Sequence[mx.array],
    of_states: mx.array,
    of_ends: Sequence[mx.array],
) -> list[mx.array]:
    """Gradients with respect to v, z, the solver's arrays, the drive's, dt and mask if arrays, and the LSTM's."""
    sums, between, *rest = outputs
    kept = tuple(rest if before is None else rest[:-4])
    steps = of_states.shape[-3]
    delta = dt[..., :, None, :, :] / unfolds if isinstance(dt, mx.array) else dt / unfolds
    first, after = between[..., :-1, :, :], between[..., 1:, :, :]  # (..., T, K, B, U)
    p, q = mx.split(sums, 2, axis=-1)
    c, d, leaking = wide(solver.capacitance), wide(solver.driven), wide(solver.leak) + q
    inverse = 1.0 / (c + delta * leaking)
    by_p = delta * inverse
    by_q = -by_p * after
    slopes = [each_step(s) for s in drive.slopes(kept, by_p, by_q)]
    direct = each_step(c * inverse)
    above = unstack_time(of_states)
    masks = None if mask is None else slice_time(mask.astype(of_states.dtype))
    g, remember = of_ends[0], None
    if before is not None:
        remember = lstm.Backward(before, drive.squash, steps, mask_rows(mask, g), rest[-4:], of_ends[1])
    grown: list[mx.array] = []
    through: list[Values] = []
    for t in reversed(range(steps)):
        g = g + above[t]
        held = None
        if masks is not None:
            held = g * (1.0 - masks[t])
            g = g * masks[t]
        for k in reversed(range(t * unfolds, (t + 1) * unfolds)):
            grown.append(g)
            inner, products = drive.back(g, [s[k] for s in slopes])
            through.append(products)
            g = inner + g * direct[k]
        if remember is not None:
            g = remember.step(t, g)
        if held is not None:
            g = g + held
    of_after = folded(grown[::-1], steps)
    of_top = of_after * inverse
    of_bottom = -of_top * after
    of_products = tuple(folded(list(each), steps) for each in zip(*through[::-1], strict=True))
    of_sums = mx.concatenate([of_after * by_p, of_after * by_q], axis=-1)
    of_z, of_own = drive.gradients(first, kept, of_products, of_sums)
    of_time = []
    if isinstance(dt, mx.array):
        each = of_top * (d + p) + of_bottom * leaking
        of_time = [each.sum(axis=(-3, -1))[..., None] / unfolds]
    return [
        g,
        of_z.sum(axis=-3),
        # of_top * (first - after), without the difference of two states that are nearly equal when delta is small
        rows(of_top * delta * inverse * (first * leaking - (d + p))).sum(axis=-2, keepdims=True),
        rows(delta * of_top).sum(axis=-2, keepdims=True),
        rows(delta * of_bottom).sum(axis=-2, keepdims=True),
        *of_own,
        *of_time,
        *([] if mask is None else [mx.zeros_like(mask)]),
        *([] if remember is None else remember.gradients()),
    ]


def mask_rows(mask: mx.array | None, like: mx.array) -> mx.array | None:
    """A mask (..., T, B, 1) as the LSTM takes it, (..., R, 1) of 0 and 1, with the leading axes of ``like``."""
    if mask is None:
        return None
    lead = like.shape[:-2]
    every = mx.broadcast_to(mask.astype(like.dtype), (*lead, *mask.shape[-3:]))
    return every.reshape(*lead, -1, 1)


def folded(values: list[mx.array], steps: int) -> mx.array:
    """Stack solver steps (..., B, F) to (..., T, K, B, F)."""
    stacked = mx.stack(values, axis=-3)
    *lead, count, batch, features = stacked.shape
    return stacked.reshape(*lead, steps, count // steps, batch, features)


def each_step(x: mx.array) -> list[mx.array]:
    """Split (..., T, K, B, F) into T*K arrays (..., B, F)."""
    *lead, steps, unfolds, batch, features = x.shape
    return unstack_time(x.reshape(*lead, steps * unfolds, batch, features))
