"""``Cell``: what every layer has, and the loop over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx._kernels.lstm import LSTMArrays

__all__ = ["Cell", "FusedCell", "State", "Step", "TimeSteps", "Value", "slice_time", "unstack_time"]

TimeSteps = mx.array | float
"""One number for every step, or an array (..., T, B, 1)."""

State = tuple[mx.array, ...]
"""The arrays a cell carries from step to step, the hidden state (..., B, H) first."""

Step = Callable[[State, State, TimeSteps, Sequence[mx.array]], State]
"""One step of a cell: (the inputs' contribution at t, state, time step, dropout masks) to the next state."""

Value = TypeVar("Value")
"""What :meth:`Cell.over_time` keeps of each step."""


def unstack_time(x: mx.array) -> list[mx.array]:
    """Split (..., T, B, F) into T arrays (..., B, F).

    The gradient of a slice writes into the whole array, at every step if the loop slices. So does ``mx.unstack`` beyond
    ten pieces, which MLX makes by slicing; hence pieces of pieces, ten at a time.
    """
    steps = x.shape[-3]
    if steps <= 10:
        return list(mx.unstack(x, axis=-3))
    size = 10
    while 10 * size < steps:
        size *= 10
    parts = mx.split(x, list(range(size, steps, size)), axis=-3)
    return [piece for part in parts for piece in unstack_time(part)]


def slice_time(x: mx.array) -> list[mx.array]:
    """As :func:`unstack_time`, for time steps and masks, which all layers read and which seldom get a gradient.

    ``mx.compile`` (MLX 0.32) fails when layers repeat an equal split: ``IndexError: _Map_base::at``.
    """
    return [x[..., t, :, :] for t in range(x.shape[-3])]


class Cell(nn.Module):
    """One layer's parameters and equation; a subclass says what one step does, and ``Cell`` runs it over time.

    A subclass has parameters, :meth:`inputs` (what the inputs of all steps contribute, computed at once) and
    :meth:`bind` (a function of one step). Every array may carry the leading axis N of a population.

    Attributes:
        hidden_size: H, units of the state.
        output_size: O, features that the layer above reads.
        state_size: Number of arrays in the state.
        masked_weight_count: Number of stored weights that are held at zero because their synapse does not exist.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.cells import Cell
        >>> class Integrator(Cell):
        ...     hidden_size = output_size = 3
        ...     def inputs(self, x):
        ...         return (x,)
        ...     def bind(self):
        ...         return lambda z, state, dt, dropout: (state[0] + dt * z[0],)
        >>> y, (end,) = Integrator().run(mx.ones((7, 5, 3)), (mx.zeros((5, 3)),), 0.5, None, [], sequences=True)
        >>> y.shape, end[0].tolist()
        ((7, 5, 3), [3.5, 3.5, 3.5])
    """

    hidden_size: int
    output_size: int
    state_size: int = 1
    masked_weight_count: int = 0

    @property
    def dropout_shape(self) -> tuple[int, int]:
        """The number and the units of the layers that dropout acts on."""
        return 0, 0

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes: (N,) in a population, else ()."""
        raise NotImplementedError  # abstract: each cell has its own parameters

    def inputs(self, x: mx.array) -> State:
        """The part of all steps that depends on the inputs (..., T, B, D) alone."""
        raise NotImplementedError  # abstract: each cell has its own equation

    def bind(self) -> Step:
        """A function of one step."""
        raise NotImplementedError  # abstract: each cell has its own equation

    def outputs(self, h: mx.array) -> mx.array:
        """What the layer above reads: from the hidden state (..., B, H) to (..., B, O)."""
        return h

    def bind_time_constants(self) -> Callable[[State, State], mx.array]:
        """A function from the inputs' contribution and the state to the current time constants (..., B, H)."""
        raise NotImplementedError  # abstract: a CfC has none

    def resting_time_constants(self) -> mx.array:
        """The time constants (..., H) without any input."""
        raise NotImplementedError  # abstract: a CfC has none

    def over_time(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        read: Callable[[State, State], Value],
    ) -> tuple[list[Value], State]:
        """Run over a sequence, step by step; automatic differentiation goes back the same way.

        Args:
            x: Inputs (..., T, B, D).
            state: First state, each array (..., B, H).
            dt: Time steps: a number, or (..., T, B, 1).
            mask: True where there is a reading (..., T, B, 1); elsewhere the state is held. ``None``: everywhere.
            dropout: A dropout mask (..., T, B, U) for each backbone layer; empty for none.
            read: What to keep of each step: a function of the inputs' contribution and the state after the step.

        Returns:
            What ``read`` returned at each step, and the last state.
        """
        inputs = list(zip(*map(unstack_time, self.inputs(x)), strict=True))
        steps = len(inputs)
        dts: Sequence[Any] = slice_time(dt) if isinstance(dt, mx.array) else [dt] * steps
        masks = slice_time(mask) if mask is not None else None
        dropout_at = [unstack_time(layer) for layer in dropout]
        step = self.bind()
        values = []
        for t in range(steps):
            new = step(inputs[t], state, dts[t], [layer[t] for layer in dropout_at])
            if masks is not None:
                new = tuple(mx.where(masks[t], a, b) for a, b in zip(new, state, strict=True))
            state = new
            values.append(read(inputs[t], state))
        return values, state

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
        """Run over a sequence.

        Args:
            x: Inputs (..., T, B, D).
            state: First state, each array (..., B, H).
            dt: Time steps: a number, or (..., T, B, 1).
            mask: True where there is a reading (..., T, B, 1); ``None``: everywhere.
            dropout: A dropout mask (..., T, B, U) for each backbone layer; empty for none.
            sequences: Whether the outputs of all steps are wanted.

        Returns:
            The outputs of all steps (..., T, B, O), or of the last (..., B, O); and the last state.
        """
        states, last = self.over_time(x, state, dt, mask, dropout, lambda _, new: new[0])
        return self.outputs(mx.stack(states, axis=-3) if sequences else last[0]), last

    @property
    def has_fused_kernel(self) -> bool:
        """Whether it runs over time with a custom gradient (``ncps_mlx._kernels``)."""
        return False

    @property
    def has_native_kernel(self) -> bool:
        """Whether it runs over time in C where layers do (``ncps_mlx._kernels.native``)."""
        return False


class FusedCell(Cell):
    """A cell that runs over time with a custom gradient, alone or with an LSTM step before each of its own."""

    @property
    def has_fused_kernel(self) -> bool:
        """Whether the custom gradient covers the cell's settings."""
        return True

    def run_fused(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        lstm: LSTMArrays | None,
        *,
        sequences: bool,
    ) -> tuple[mx.array, State]:
        """As :meth:`run`, with the custom gradient; the LSTM's memory, if there is one, follows the last state."""
        raise NotImplementedError  # abstract: each cell has its own equation

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
        """As :meth:`Cell.run`, with the custom gradient where there is one."""
        if not self.has_fused_kernel:
            return super().run(x, state, dt, mask, dropout, sequences=sequences)
        return self.run_fused(x, state, dt, mask, dropout, None, sequences=sequences)
