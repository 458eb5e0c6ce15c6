"""Cells over time: the loop, its dropout factors, both directions, and stacked layers."""

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
"""One step of a cell: (what the inputs contribute at t, state, time step, dropout factors) to the next state."""

Value = TypeVar("Value")
"""What :meth:`Cell.over_time` keeps of each step."""


def unstack_time(x: mx.array) -> list[mx.array]:
    """Split (..., T, B, F) into T arrays (..., B, F).

    Slicing inside the loop instead would make the backward pass write into the whole array at every step. So would
    ``mx.unstack`` beyond ten pieces, which MLX makes by slicing; hence pieces of pieces, ten at a time.

    Example:
        >>> pieces = unstack_time(mx.zeros((23, 5, 3)))
        >>> len(pieces), pieces[0].shape
        (23, (5, 3))
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
    """As :func:`unstack_time`, for what all layers read and seldom is differentiated: time steps and masks.

    ``mx.compile`` (MLX 0.32) stumbles over equal splits: ``IndexError: _Map_base::at``.

    Example:
        >>> len(slice_time(mx.zeros((23, 5, 1))))
        23
    """
    return [x[..., t, :, :] for t in range(x.shape[-3])]


class Cell(nn.Module):
    """What a layer runs over time: subclasses say what one step does.

    A subclass has parameters, :meth:`inputs`, what the inputs of all steps contribute at once, and :meth:`bind`, a
    function of one step. Every array may carry the leading axis N of a population.

    Attributes:
        hidden_size: H, units of the state.
        output_size: O, what a layer above reads.
        state_size: How many arrays the state has.
        absent: How many stored numbers are held at zero, being weights of synapses that do not exist.

    Example:
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
        """How many layers, of how many units, dropout acts on."""
        return 0, 0

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes: (N,) in a population, else none."""
        raise NotImplementedError  # abstract: each cell has its own parameters

    def inputs(self, x: mx.array) -> State:
        """What the inputs (..., T, B, D) contribute to the steps, as far as it does not depend on the state."""
        raise NotImplementedError  # abstract: each cell has its own equation

    def bind(self) -> Step:
        """A function of one step."""
        raise NotImplementedError  # abstract: each cell has its own equation

    def outputs(self, h: mx.array) -> mx.array:
        """What the layer above reads of the hidden state: (..., B, H) to (..., B, O)."""
        return h

    def bind_time_constants(self) -> Callable[[State, State], mx.array]:
        """A function of inputs' contribution and state to the time constants in force (..., B, H)."""
        raise NotImplementedError  # abstract: a CfC has none

    def resting_time_constants(self) -> mx.array:
        """Time constants (..., H) without any input."""
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
            mask: Where there is a reading, (..., T, B, 1); the state is held elsewhere. ``None``: everywhere.
            dropout: Factors (..., T, B, U) for each backbone layer; empty for none.
            read: What to keep of each step: a function of the inputs' contribution and the state after the step.

        Returns:
            What was read at each step, and the last state.
        """
        inputs = list(zip(*map(unstack_time, self.inputs(x)), strict=True))
        steps = len(inputs)
        dts: Sequence[Any] = slice_time(dt) if isinstance(dt, mx.array) else [dt] * steps
        masks = slice_time(mask) if mask is not None else None
        factors = [unstack_time(layer) for layer in dropout]
        step = self.bind()
        values = []
        for t in range(steps):
            new = step(inputs[t], state, dts[t], [layer[t] for layer in factors])
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
        """Run over a sequence: arguments as of :meth:`over_time`.

        Args:
            x: Inputs (..., T, B, D).
            state: First state, each array (..., B, H).
            dt: Time steps.
            mask: Where there is a reading, or ``None``.
            dropout: Factors for each backbone layer.
            sequences: Whether the outputs of all steps are wanted.

        Returns:
            The outputs of all steps (..., T, B, O), or of the last (..., B, O); and the last state.
        """
        states, last = self.over_time(x, state, dt, mask, dropout, lambda _, new: new[0])
        return self.outputs(mx.stack(states, axis=-3) if sequences else last[0]), last

    @property
    def has_fused_kernel(self) -> bool:
        """Whether it runs over time with a gradient written by hand."""
        return False


class FusedCell(Cell):
    """A cell that runs over time with a gradient written by hand, alone or after each step of an LSTM.

    Example:
        >>> from ncps_mlx import CfC
        >>> cell = CfC(3, 11, activation="gelu", seed=0).layers[0]
        >>> isinstance(cell, FusedCell), cell.fusible  # a gelu's slope is not known from its value
        (True, False)
    """

    @property
    def has_fused_kernel(self) -> bool:
        """Whether that gradient covers the cell's settings."""
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
        """As :meth:`run`, with that gradient; the last state is followed by the LSTM's memory if there is one."""
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
        """As :meth:`Cell.run`."""
        if not self.has_fused_kernel:
            return super().run(x, state, dt, mask, dropout, sequences=sequences)
        return self.run_fused(x, state, dt, mask, dropout, None, sequences=sequences)
