"""Mixed memory: an LSTM step before each step of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

from ncps_mlx.cells._base import Cell, FusedCell, State, Step, TimeSteps
from ncps_mlx.cells._gated import LSTMCell
from ncps_mlx.cells._initializers import Initializer
from ncps_mlx.cells._validation import check_initializer, check_size

__all__ = ["MixedMemory"]


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

    Raises:
        ValueError: An argument is out of its range.

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
        if not isinstance(cell, Cell):
            raise ValueError(f"cell must be a cell such as CfCCell, got {cell!r:.80}.")
        check_size("input_size", input_size)
        check_initializer("initializer", initializer)
        check_initializer("recurrent_initializer", recurrent_initializer)
        self.hidden_size, self.output_size = cell.hidden_size, cell.output_size
        self.masked_weight_count = cell.masked_weight_count
        self.memory = LSTMCell(
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
        return *self.memory.inputs(x), *self.cell.inputs(x)

    def bind(self) -> Step:
        """A function of one step: the LSTM's, then the cell's."""
        lstm, cell = self.memory.bind(), self.cell.bind()

        def step(z: State, state: State, dt: TimeSteps, dropout: Sequence[mx.array]) -> State:
            h, c = lstm(z[:1], state, dt, ())
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
