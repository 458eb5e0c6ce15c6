"""Mixed memory: an LSTM step before each step of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx._kernels.activations import sigmoid
from ncps_mlx._kernels.layout import transposed
from ncps_mlx._kernels.lstm import GATE_FUNCTIONS, LSTMArrays
from ncps_mlx._kernels.tanh import tanh_for
from ncps_mlx.cells._backbone import all_steps, linear
from ncps_mlx.cells._base import Cell, FusedCell, State, Step, TimeSteps
from ncps_mlx.cells._initializers import Initializer

__all__ = ["LSTM", "MixedMemory"]


class LSTM(nn.Module):
    r"""An LSTM with as many units as the cell.

    .. math:: c' = \sigma(z_f)\, c + \sigma(z_i) \tanh(z_a), \qquad h' = \sigma(z_o) \tanh(c')

    where :math:`(z_a, z_i, z_f, z_o) = W_x x + W_h h + b`.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units.
        initializer: Fills the input weights.
        recurrent_initializer: Fills the recurrent weights.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        initializer: Initializer,
        recurrent_initializer: Initializer,
    ) -> None:
        super().__init__()
        self.input_weight = initializer(mx.zeros((4 * hidden_size, input_size)))
        self.recurrent_weight = recurrent_initializer(mx.zeros((4 * hidden_size, hidden_size)))
        # A forget gate that begins open lets gradients through from the start.
        self.bias = mx.concatenate([mx.zeros(2 * hidden_size), mx.ones(hidden_size), mx.zeros(hidden_size)])

    def inputs(self, x: mx.array) -> mx.array:
        """The inputs' part of the gates: from (..., T, B, D) to (..., T, B, 4H)."""
        weight, bias = transposed(self.input_weight), self.bias[..., None, :]
        return all_steps(lambda each: each @ weight + bias, x)

    def kernel_arrays(self, x: mx.array, c: mx.array) -> LSTMArrays:
        """The arrays with which a cell runs the LSTM before its own steps, for x (..., T, B, D) and c (..., B, H)."""
        scales = tanh_for(c.dtype).input_scales(self.bias.shape[-1], c.dtype, GATE_FUNCTIONS)
        weight, recurrent = scales * transposed(self.input_weight), scales * transposed(self.recurrent_weight)
        bias = scales * self.bias[..., None, :]
        *leading, steps, batch, features = x.shape
        z = linear(x.reshape(*leading, steps * batch, features), weight, bias)
        return LSTMArrays(z=z, c=c, recurrent=recurrent)

    def bind(self) -> Callable[[mx.array, mx.array, mx.array], tuple[mx.array, mx.array]]:
        """A function of one step: (inputs at t, h, c) to the next h and c."""
        recurrent = transposed(self.recurrent_weight)

        def step(z: mx.array, h: mx.array, c: mx.array) -> tuple[mx.array, mx.array]:
            candidate, input_gate, forget_gate, output_gate = mx.split(z + h @ recurrent, 4, axis=-1)
            c = c * sigmoid(forget_gate) + mx.tanh(candidate) * sigmoid(input_gate)
            return mx.tanh(c) * sigmoid(output_gate), c

        return step


class MixedMemory(Cell):
    r"""A cell with an LSTM before it: (h, c) go through the LSTM, then h through the cell.

    .. math:: (\tilde h, c') = \text{LSTM}(x, (h, c)), \qquad h' = \text{cell}(x, \tilde h, \Delta t)

    Written out in NumPy: :doc:`/models/cfc`.

    Source: Lechner and Hasani, "Learning long-term dependencies in irregularly-sampled time series", 2020
    (arXiv 2006.04418); as ncps 1.0.1.

    Args:
        cell: The cell.
        input_size: D, features of the input.
        initializer: Fills the LSTM's input weights.
        recurrent_initializer: Fills its recurrent weights.

    Example:
        >>> from ncps_mlx import LTC
        >>> (layer,) = LTC(3, 11, mixed_memory=True, seed=0).layers
        >>> layer.state_size, type(layer.cell).__name__, layer.memory.bias.shape
        (2, 'LTCCell', (44,))
    """

    state_size = 2

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        *,
        initializer: Initializer,
        recurrent_initializer: Initializer,
    ) -> None:
        super().__init__()
        self.hidden_size, self.output_size = cell.hidden_size, cell.output_size
        self.masked_weight_count = cell.masked_weight_count
        self.memory = LSTM(
            input_size,
            cell.hidden_size,
            initializer=initializer,
            recurrent_initializer=recurrent_initializer,
        )
        self.cell = cell

    @property
    def dropout_shape(self) -> tuple[int, int]:
        """The cell's."""
        return self.cell.dropout_shape

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes."""
        return self.memory.bias.shape[:-1]

    def inputs(self, x: mx.array) -> State:
        """The inputs' part of the LSTM's gates, then of the cell's products."""
        return self.memory.inputs(x), *self.cell.inputs(x)

    def bind(self) -> Step:
        """A function of one step: the LSTM's, then the cell's."""
        lstm, cell = self.memory.bind(), self.cell.bind()

        def step(z: State, state: State, dt: TimeSteps, dropout: Sequence[mx.array]) -> State:
            h, c = lstm(z[0], *state)
            return *cell(z[1:], (h,), dt, dropout), c

        return step

    def run(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        *,
        sequences: bool,
    ) -> tuple[mx.array, State]:
        """As :meth:`Cell.run`, with a custom gradient where the cell has one."""
        if not isinstance(self.cell, FusedCell) or not self.has_fused_kernel:
            return super().run(x, state, dt, mask, dropout, sequences=sequences)
        lstm = self.memory.kernel_arrays(x, state[1])
        return self.cell.run_fused(x, state[:1], dt, mask, dropout, lstm, sequences=sequences)

    @property
    def has_fused_kernel(self) -> bool:
        """Whether the cell has a custom gradient."""
        return self.cell.has_fused_kernel

    def outputs(self, h: mx.array) -> mx.array:
        """The cell's outputs."""
        return self.cell.outputs(h)

    def bind_time_constants(self) -> Callable[[State, State], mx.array]:
        """The cell's, of its own state."""
        read = self.cell.bind_time_constants()
        return lambda z, state: read(z[1:], state[:1])

    def resting_time_constants(self) -> mx.array:
        """The cell's."""
        return self.cell.resting_time_constants()
