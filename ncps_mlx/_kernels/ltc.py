"""An LTC layer over a whole sequence with a custom gradient: the numbers of automatic differentiation, faster.

Dense or wired, one solver step is

    v' = (v + p) / q,

where p and q depend on v and the inputs through the gate (dense) or the synapses (wired): ``ltc_solver.py``. The rest
(capacitance, leak, what drives a neuron at rest) is in their arrays. The forward pass keeps what p and q came from.
Before the backward loop, all pointwise derivatives are computed for all steps at once, so that the loop is the products
and three operations; each weight's gradient is one product after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx._kernels import lstm
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import concat_time, flatten_time, split_column, split_time
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.ltc_solver import Residuals, SolverStep
from ncps_mlx._kernels.tanh import TanhImplementation

__all__ = ["run_ltc"]


def run_ltc(
    make_solver: Callable[..., SolverStep],
    solver_arrays: Sequence[mx.array],
    tanh_impl: TanhImplementation,
    v: mx.array,
    mask: mx.array | None,
    lstm_arrays: LSTMArrays | None,
    *,
    steps: int,
) -> tuple[mx.array, tuple[mx.array, ...]]:
    """Run the layer.

    Args:
        make_solver: Builds the solver's step from its arrays.
        solver_arrays: Those arrays.
        tanh_impl: How an LSTM computes tanh and sigmoid.
        v: First state (..., B, U).
        mask: True where there is a reading (..., T, B, 1); ``None``: everywhere.
        lstm_arrays: Of an LSTM that steps before the cell, if there is one.
        steps: T.

    Returns:
        All states (..., T, B, U); and the last (..., B, U), followed by the LSTM's memory if there is one.
    """
    *leading, batch, units = v.shape
    optional = [] if mask is None else [flatten_time(mask, leading).astype(v.dtype)]
    of_lstm = [] if lstm_arrays is None else lstm_arrays.to_list()
    last_count = 1 if lstm_arrays is None else 2

    def layer(flat: Sequence[mx.array]) -> LTCLayer:
        rest = list(flat[1 + len(solver_arrays) :])
        flat_mask = rest.pop(0) if optional else None
        solver = make_solver(*flat[1 : 1 + len(solver_arrays)])
        return LTCLayer(solver, tanh_impl, flat_mask, LSTMArrays(*rest) if rest else None)

    def forward(*flat: mx.array) -> list[mx.array]:
        return layer(flat).forward(flat[0])

    def prepare(flat: Sequence[mx.array], residuals: Sequence[mx.array]) -> list[mx.array]:
        return layer(flat).prepare(residuals)

    def pullback(
        flat: Sequence[mx.array], cotangents: Sequence[mx.array], residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        return layer(flat).backward(residuals, cotangents[0], cotangents[1:])

    function = custom_vjp(forward, pullback, output_count=1 + last_count, prepare=prepare)
    states, *last = function(v, *solver_arrays, *optional, *of_lstm)
    return states.reshape(*leading, steps, batch, units), tuple(last)


class LTCLayer:
    """The layer on its arrays.

    Args:
        solver: Its solver's step.
        tanh_impl: How an LSTM computes tanh and sigmoid.
        mask: 1 where there is a reading, else 0 (..., T * B, 1).
        lstm_arrays: The LSTM's arrays.
    """

    def __init__(
        self,
        solver: SolverStep,
        tanh_impl: TanhImplementation,
        mask: mx.array | None,
        lstm_arrays: LSTMArrays | None,
    ) -> None:
        self.solver, self.tanh_impl, self.mask, self.lstm_arrays = solver, tanh_impl, mask, lstm_arrays

    def forward(self, v: mx.array) -> list[mx.array]:
        """All states in rows; the last; as residuals v before and after each solver step, the solver's, the LSTM's."""
        solver, mask = self.solver, self.mask
        step = solver.bind(v)
        masks = split_column(mask, v.shape[-1], solver.steps, mx.bool_)
        before = None
        if self.lstm_arrays is not None:
            before = lstm.Forward(self.lstm_arrays, self.tanh_impl, solver.steps, mask)
        states, v_before, v_after = [], [], []
        of_solver: list[Residuals] = []
        for t in range(solver.steps):
            last = v
            if before is not None:
                v = before.step(t, v)
            for _ in range(solver.unfolds):
                v_before.append(v)
                residuals, v = step(t, v)
                of_solver.append(residuals)
                v_after.append(v)
            if masks is not None:
                v = mx.where(masks[t], v, last)
            states.append(v)
        return [
            concat_time(states),
            *([v] if before is None else [v, before.c]),
            *map(concat_time, (v_before, v_after, *zip(*of_solver, strict=True))),
            *([] if before is None else before.residuals()),
        ]

    def prepare(self, residuals: Sequence[mx.array]) -> list[mx.array]:
        """The residuals with 1 / q and the slopes, which come before those of the LSTM."""
        values, of_lstm = (residuals, []) if self.lstm_arrays is None else (residuals[:-4], residuals[-4:])
        _, v_after, *of_solver = values
        inverse, slopes = self.solver.slopes(tuple(of_solver), v_after)
        return [*values, inverse, *slopes, *of_lstm]

    def backward(
        self, residuals: Sequence[mx.array], grad_states: mx.array, grad_last: Sequence[mx.array]
    ) -> list[mx.array]:
        """Gradients of v, the solver's arrays, the mask if there is one, and the LSTM's arrays."""
        solver, steps, unfolds = self.solver, self.solver.steps, self.solver.unfolds
        g, before = grad_last[0], None
        if self.lstm_arrays is not None:
            before = lstm.Backward(
                self.lstm_arrays, self.tanh_impl, steps, self.mask, residuals[-4:], grad_last[1]
            )
            residuals = residuals[:-4]
        v_before, v_after, *rest = residuals
        count = len(rest) - 1 - solver.slope_count
        of_solver, inverse, slopes = tuple(rest[:count]), rest[count], rest[count + 1 :]
        slopes_at = [split_time(each, steps * unfolds, g.ndim - 2 - each.ndim) for each in slopes]
        inverse_at, grad_states_at = split_time(inverse, steps * unfolds), split_time(grad_states, steps)
        masks = split_column(self.mask, g.shape[-1], steps)
        grad_after: list[mx.array] = []
        grad_sums: list[Residuals] = []
        for t in reversed(range(steps)):
            g = g + grad_states_at[t]
            passed_on = None  # where there is no reading, past the step
            if masks is not None:
                passed_on = g * (1.0 - masks[t])
                g = g * masks[t]
            for k in reversed(range(t * unfolds, (t + 1) * unfolds)):
                grad_after.append(g)
                inner, sums = solver.backward(g, [each[k] for each in slopes_at])
                grad_sums.append(sums)
                g = inner + g * inverse_at[k]
            if before is not None:
                g = before.step(t, g)
            if passed_on is not None:
                g = g + passed_on
        grad_numerator = concat_time(grad_after[::-1]) * inverse
        all_sums = tuple(concat_time(each) for each in zip(*grad_sums[::-1], strict=True))
        return [
            g,
            *solver.gradients(v_before, of_solver, v_after, grad_numerator, all_sums),
            *([] if self.mask is None else [mx.zeros_like(self.mask)]),
            *([] if before is None else before.gradients()),
        ]
