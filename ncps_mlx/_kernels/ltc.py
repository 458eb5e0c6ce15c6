"""An LTC layer over a whole sequence with a hand-written gradient: automatic differentiation's numbers, sooner.

Dense or wired, one solver step is

    v' = (v + p) / q,

where p and q depend on v and the inputs through the gate (dense) or the synapses (wired): ``ltc_solver.py``. All
else, capacitance, leak and what drives at rest, is in their arrays. Going forward, each step keeps what p and q came
from. Before going back, all that is pointwise is formed for all steps at once, so that the loop is the products and
three operations, and every weight's gradient is one product after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import concat_time, expand_column, flatten_time, split_time
from ncps_mlx._kernels.lstm import Lstm
from ncps_mlx._kernels.ltc_solver import Drive, Values
from ncps_mlx._kernels.tanh import TanhImplementation

__all__ = ["run_fused_ltc"]


def run_fused_ltc(
    make: Callable[..., Drive],
    own: Sequence[mx.array],
    tanh_impl: TanhImplementation,
    v: mx.array,
    mask: mx.array | None,
    before: Lstm | None,
    *,
    steps: int,
) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layer.

    Args:
        make: Builds the ``ltc_solver.Drive`` from its own arrays.
        own: Those arrays.
        squash: How an LSTM computes tanh and sigmoid.
        v: First state (..., B, U).
        mask: Where there is a reading, (..., T, B, 1), or ``None``.
        before: Of an LSTM that takes each step before the cell does, if one does.
        steps: T.

    Returns:
        All states (..., T, B, U), and the last (..., B, U), with an LSTM followed by its memory.
    """
    *lead, batch, units = v.shape
    optional = [] if mask is None else [flatten_time(mask, lead).astype(v.dtype)]
    memory = [] if before is None else before.flat()
    ends = 1 if before is None else 2

    def parts(flat: Sequence[mx.array]) -> Layer:
        rest = list(flat[1 + len(own) :])
        held = rest.pop(0) if optional else None
        return Layer(make(*flat[1 : 1 + len(own)]), tanh_impl, held, Lstm(*rest) if rest else None)

    def forward(*flat: mx.array) -> list[mx.array]:
        return parts(flat).forward(flat[0])

    def prepare(flat: Sequence[mx.array], kept: Sequence[mx.array]) -> list[mx.array]:
        return parts(flat).prepare(kept)

    def pullback(
        flat: Sequence[mx.array], of_given: Sequence[mx.array], kept: Sequence[mx.array]
    ) -> list[mx.array]:
        return parts(flat).backward(kept, of_given[0], of_given[1:])

    function = custom_vjp(forward, pullback, output_count=1 + ends, prepare=prepare)
    states, *rest = function(v, *own, *optional, *memory)
    return states.reshape(*lead, steps, batch, units), tuple(rest)


class Layer:
    """The layer on its arrays.

    Args:
        drive: Its solver's step.
        squash: How an LSTM computes tanh and sigmoid.
        mask: Where there is a reading, 0 or 1 (..., T * B, 1).
        before: The LSTM's arrays.
    """

    def __init__(self, drive: Drive, tanh_impl: TanhImplementation, mask: mx.array | None, before: Lstm | None) -> None:
        self.drive, self.tanh_impl, self.mask, self.before = drive, tanh_impl, mask, before

    def forward(self, v: mx.array) -> list[mx.array]:
        """All states in rows; the last ones; and of all solver steps the states before and after, and what is kept."""
        drive, mask = self.drive, self.mask
        step = drive.bind(v)
        masks = None if mask is None else split_time(expand_column(mask, v.shape[-1]).astype(mx.bool_), drive.steps)
        remember = None
        if self.before is not None:
            remember = lstm.Forward(self.before, self.tanh_impl, drive.steps, mask)
        states, read, after = [], [], []
        kept: list[Values] = []
        for t in range(drive.steps):
            last = v
            if remember is not None:
                v = remember.step(t, v)
            for _ in range(drive.unfolds):
                read.append(v)
                values, v = step(t, v)
                kept.append(values)
                after.append(v)
            if masks is not None:
                v = mx.where(masks[t], v, last)
            states.append(v)
        return [
            concat_time(states),
            *([v] if remember is None else [v, remember.c]),
            *map(concat_time, (read, after, *zip(*kept, strict=True))),
            *([] if remember is None else remember.kept()),
        ]

    def prepare(self, kept: Sequence[mx.array]) -> list[mx.array]:
        """What was kept; and before what the LSTM kept, 1 / q and the slopes."""
        values, memory = (kept, []) if self.before is None else (kept[:-4], kept[-4:])
        _, after, *own = values
        inverse, slopes = self.drive.slopes(tuple(own), after)
        return [*values, inverse, *slopes, *memory]

    def backward(
        self, kept: Sequence[mx.array], of_states: mx.array, of_ends: Sequence[mx.array]
    ) -> list[mx.array]:
        """Gradients with respect to v, the drive's arrays, the mask if there is one, and the LSTM's."""
        drive, steps, unfolds = self.drive, self.drive.steps, self.drive.unfolds
        g, remember = of_ends[0], None
        if self.before is not None:
            remember = lstm.Backward(self.before, self.tanh_impl, steps, self.mask, kept[-4:], of_ends[1])
            kept = kept[:-4]
        read, after, *rest = kept
        count = len(rest) - 1 - drive.slope_count
        values, inverse, slopes = tuple(rest[:count]), rest[count], rest[count + 1 :]
        slopes_at = [split_time(each, steps * unfolds, g.ndim - 2 - each.ndim) for each in slopes]
        direct, above = split_time(inverse, steps * unfolds), split_time(of_states, steps)
        masks = None if self.mask is None else split_time(expand_column(self.mask, g.shape[-1]), steps)
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
                inner, products = drive.back(g, [each[k] for each in slopes_at])
                through.append(products)
                g = inner + g * direct[k]
            if remember is not None:
                g = remember.step(t, g)
            if held is not None:
                g = g + held
        of_sum = concat_time(grown[::-1]) * inverse
        of_products = tuple(concat_time(each) for each in zip(*through[::-1], strict=True))
        return [
            g,
            *drive.gradients(read, values, after, of_sum, of_products),
            *([] if self.mask is None else [mx.zeros_like(self.mask)]),
            *([] if remember is None else remember.gradients()),
        ]
