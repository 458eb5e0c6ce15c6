"""Gated cells: the GRU and the LSTM, and how they read the time between readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx._kernels.activations import sigmoid, softplus
from ncps_mlx._kernels.gated import GRU_GATES, GRUArrays, run_gru, run_lstm
from ncps_mlx._kernels.layout import flatten_time, transposed
from ncps_mlx._kernels.lstm import GATE_FUNCTIONS, LSTMArrays
from ncps_mlx._kernels.tanh import TanhImplementation, tanh_for
from ncps_mlx.cells._backbone import all_steps, linear
from ncps_mlx.cells._base import FusedCell, State, Step, TimeSteps, Value
from ncps_mlx.cells._initializers import Initializer

__all__ = ["GRUCell", "LSTMCell", "TIME"]

TIME = ("input", "decay", None)
"""How a gated cell reads the gap: its logarithm as one more input, by a state that decays meanwhile, or not at all."""


class GatedCell(FusedCell):
    """What GRU and LSTM share: all gates from one product with the inputs and one with the state, and the gap.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state.
        time: One of :data:`TIME`.
        initializer: Fills the input weights.
        recurrent_initializer: Fills the recurrent weights.
    """

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time: str | None = None,
        initializer: Initializer,
        recurrent_initializer: Initializer,
    ) -> None:
        super().__init__()
        self._time = time
        self.hidden_size = self.output_size = hidden_size
        width = self.gates * hidden_size
        self.input_weight = initializer(mx.zeros((width, input_size + (time == "input"))))
        self.recurrent_weight = recurrent_initializer(mx.zeros((width, hidden_size)))
        self.bias = mx.zeros((width,))
        if time == "decay":
            self.decay = mx.zeros((hidden_size,))  # of softplus: a state begins with a half-life of 1

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes."""
        return self.bias.shape[:-1]

    def inputs(self, x: mx.array) -> State:
        """The inputs' part of the gates: from (..., T, B, D) to (..., T, B, gates * H)."""
        weight, bias = transposed(self.input_weight), self.bias[..., None, :]
        return (all_steps(lambda each: linear(each, weight, bias), x),)

    def over_time(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        read: Callable[[State, State], Value],
    ) -> tuple[list[Value], State]:
        """As ``Cell.over_time``, with the gap among the inputs if it is to be one."""
        return super().over_time(self.with_gap(x, dt), state, dt, mask, dropout, read)

    def with_gap(self, x: mx.array, dt: TimeSteps) -> mx.array:
        """The inputs, and with ``time="input"`` the logarithm of the gap as one more."""
        if self._time != "input":
            return x
        gap = mx.log1p(dt) if isinstance(dt, mx.array) else mx.array(math.log1p(dt))
        return mx.concatenate([x, mx.broadcast_to(gap.astype(x.dtype), (*x.shape[:-1], 1))], axis=-1)

    def scaled_product(
        self, x: mx.array, tanh_impl: TanhImplementation, functions: str, leading: Sequence[int]
    ) -> tuple[mx.array, mx.array]:
        """The inputs' part of the gates in rows, and the weights from the state, times the functions' input scales."""
        scales = tanh_impl.input_scales(self.bias.shape[-1], x.dtype, functions)
        z = linear(
            flatten_time(x, leading), scales * transposed(self.input_weight), scales * self.bias[..., None, :]
        )
        return z, scales * transposed(self.recurrent_weight)

    def bind_decay(self) -> Callable[[mx.array, TimeSteps], mx.array]:
        """A function of a state (..., B, H) and the time step before a reading: what is left of the state by then."""
        if self._time != "decay":
            return lambda state, _: state
        rate = softplus(self.decay)[..., None, :]
        return lambda state, dt: state * mx.exp(-rate * dt)


class GRUCell(GatedCell):
    """A gated recurrent unit, as ``mlx.nn.GRU`` and PyTorch have it; :class:`ncps_mlx.GRU` has the equations."""

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time: str | None = None,
        initializer: Initializer,
        recurrent_initializer: Initializer,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            time=time,
            initializer=initializer,
            recurrent_initializer=recurrent_initializer,
        )
        self.recurrent_bias = mx.zeros((hidden_size,))

    def run_fused(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],  # noqa: ARG002  # it has none
        lstm: LSTMArrays | None,  # noqa: ARG002  # nor another LSTM before it
        *,
        sequences: bool,
    ) -> tuple[mx.array, State]:
        """As ``FusedCell.run_fused``."""
        leading, steps, (h,) = state[0].shape[:-2], x.shape[-3], state
        tanh_impl = tanh_for(x.dtype)
        z, recurrent = self.scaled_product(self.with_gap(x, dt), tanh_impl, GRU_GATES, leading)
        left = None
        if self._time == "decay":
            steps_of = dt if isinstance(dt, mx.array) else mx.full((steps, x.shape[-2], 1), dt, dtype=x.dtype)
            left = flatten_time(mx.exp(-softplus(self.decay)[..., None, None, :] * steps_of), leading)
        states, last = run_gru(
            GRUArrays(
                z=z,
                h=h,
                recurrent=mx.broadcast_to(recurrent, (*leading, *recurrent.shape[-2:])),
                bias=mx.broadcast_to(
                    tanh_impl.tanh_input_scale * self.recurrent_bias[..., None, :], (*leading, 1, h.shape[-1])
                ),
                left=left,
                mask=None if mask is None else flatten_time(mask, leading).astype(x.dtype),
            ),
            tanh_impl,
            steps,
        )
        return (states.reshape(*leading, steps, *h.shape[-2:]) if sequences else last), (last,)

    def bind(self) -> Step:
        """A function of one step."""
        recurrent, width = transposed(self.recurrent_weight), self.hidden_size
        bias, decayed = self.recurrent_bias[..., None, :], self.bind_decay()

        def step(z: State, state: State, dt: TimeSteps, _dropout: Sequence[mx.array]) -> State:
            h = decayed(state[0], dt)
            gates, candidate = mx.split(z[0], [2 * width], axis=-1)
            recurrent_gates, recurrent_candidate = mx.split(h @ recurrent, [2 * width], axis=-1)
            reset, update = mx.split(sigmoid(gates + recurrent_gates), 2, axis=-1)
            new = mx.tanh(candidate + reset * (recurrent_candidate + bias))
            return (new + update * (h - new),)

        return step


class LSTMCell(GatedCell):
    """A long short-term memory; :class:`ncps_mlx.LSTM` has the equations. With ``time="decay"`` both h and c decay."""

    gates = 4
    state_size = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time: str | None = None,
        initializer: Initializer,
        recurrent_initializer: Initializer,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            time=time,
            initializer=initializer,
            recurrent_initializer=recurrent_initializer,
        )
        # A forget gate that begins open lets gradients through from the start.
        self.bias = mx.concatenate([mx.zeros(2 * hidden_size), mx.ones(hidden_size), mx.zeros(hidden_size)])

    def kernel_arrays(self, x: mx.array, c: mx.array) -> LSTMArrays:
        """The arrays with which a cell runs the LSTM before its own steps, for x (..., T, B, D) and c (..., B, H)."""
        z, recurrent = self.scaled_product(x, tanh_for(c.dtype), GATE_FUNCTIONS, x.shape[:-3])
        return LSTMArrays(z=z, c=c, recurrent=recurrent)

    @property
    def has_fused_kernel(self) -> bool:
        """Whether the memory does not decay, which the kernel leaves out."""
        return self._time != "decay"

    def run_fused(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],  # noqa: ARG002  # it has none
        lstm: LSTMArrays | None,  # noqa: ARG002  # nor another LSTM before it
        *,
        sequences: bool,
    ) -> tuple[mx.array, State]:
        """As ``FusedCell.run_fused``."""
        h, c = state
        leading, steps = h.shape[:-2], x.shape[-3]
        tanh_impl = tanh_for(x.dtype)
        z, recurrent = self.scaled_product(self.with_gap(x, dt), tanh_impl, GATE_FUNCTIONS, leading)
        states, last, memory = run_lstm(
            LSTMArrays(z=z, c=c, recurrent=mx.broadcast_to(recurrent, (*leading, *recurrent.shape[-2:]))),
            h,
            None if mask is None else flatten_time(mask, leading).astype(x.dtype),
            tanh_impl,
            steps,
        )
        return (states.reshape(*leading, steps, *h.shape[-2:]) if sequences else last), (last, memory)

    def bind(self) -> Step:
        """A function of one step."""
        recurrent, decayed = transposed(self.recurrent_weight), self.bind_decay()

        def step(z: State, state: State, dt: TimeSteps, _dropout: Sequence[mx.array]) -> State:
            h, c = (decayed(each, dt) for each in state)
            candidate, input_gate, forget_gate, output_gate = mx.split(z[0] + h @ recurrent, 4, axis=-1)
            c = c * sigmoid(forget_gate) + mx.tanh(candidate) * sigmoid(input_gate)
            return mx.tanh(c) * sigmoid(output_gate), c

        return step
