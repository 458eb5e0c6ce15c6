"""Cells over time: the loop, its dropout factors, both directions, and stacked layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx.by_hand import once
from ncps_mlx.lstm import Lstm

__all__ = [
    "Cell",
    "FusedCell",
    "State",
    "Step",
    "TimeSteps",
    "Value",
    "dropout_factors",
    "run_stack",
    "slice_time",
    "turned",
    "unstack_time",
]

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
    absent: int = 0

    @property
    def dropout(self) -> tuple[int, int]:
        """How many layers, of how many units, dropout acts on."""
        return 0, 0

    @property
    def lead(self) -> tuple[int, ...]:
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
    def fusible(self) -> bool:
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
    def fusible(self) -> bool:
        """Whether that gradient covers the cell's settings."""
        return True

    def fused(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        lstm: Lstm | None,
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
        if not self.fusible:
            return super().run(x, state, dt, mask, dropout, sequences=sequences)
        return self.fused(x, state, dt, mask, dropout, None, sequences=sequences)


def dropout_factors(
    keys: mx.array | None, rates: mx.array | float, layers: int, shape: tuple[int, int, int]
) -> list[mx.array]:
    """Draw what dropout multiplies by, 0 or 1/(1 - rate), for each step and each backbone layer.

    Args:
        keys: One key (2,), or one for each member (N, 2), so that a member draws what it would draw alone;
            ``None`` draws from MLX's global stream.
        rates: Probability of dropping: one number, or one for each member (N,).
        layers: L, the number of backbone layers.
        shape: (T, B, U).

    Returns:
        L arrays (..., T, B, U).

    Example:
        >>> (layer,) = dropout_factors(mx.random.key(0), 0.75, 1, (7, 5, 11))
        >>> layer.shape, sorted(set(layer.flatten().tolist()))
        ((7, 5, 11), [0.0, 4.0])
    """
    steps, batch, units = shape
    size = (layers, steps, batch, units)
    if keys is None:
        uniform = mx.random.uniform(shape=size)
    elif keys.ndim == 1:
        uniform = mx.random.uniform(shape=size, key=keys)
    else:
        uniform = mx.vmap(lambda key: mx.random.uniform(shape=size, key=key))(keys)
    rate = rates[:, None, None, None, None] if isinstance(rates, mx.array) else rates
    return list(mx.unstack((uniform >= rate) / (1.0 - rate), axis=-4))


def turned(x: mx.array, dt: TimeSteps, mask: mx.array | None) -> tuple[mx.array, TimeSteps, mx.array | None]:
    """A sequence as the backward direction meets it: the last reading first.

    A reading's time step is then the time to the reading after it; the last reading, after which there is none, takes
    the first's. Padding counts for nothing.

    Args:
        x: Inputs (..., T, B, D).
        dt: Time steps: a number, or (..., T, B, 1).
        mask: Where there is a reading, (..., T, B, 1), or ``None``.

    Example:
        >>> dt = mx.array([1.0, 2.0, 3.0, 9.0]).reshape(4, 1, 1)
        >>> mask = mx.array([True, True, True, False]).reshape(4, 1, 1)
        >>> turned(dt, dt, mask)[1].flatten().tolist()[1:]  # padding first, then 1 (of the first), 3, 2
        [1.0, 3.0, 2.0]
    """
    back = x[..., ::-1, :, :]
    if not isinstance(dt, mx.array):
        return back, dt, None if mask is None else mask[..., ::-1, :, :]
    if mask is None:
        return back, mx.concatenate([dt[..., :1, :, :], dt[..., :0:-1, :, :]], axis=-3), None
    steps = dt.shape[-3]
    place = mx.where(mask, mx.arange(steps)[:, None, None], steps)
    following = mx.cummin(place, axis=place.ndim - 3, reverse=True)  # the next reading at t or later
    first = following[..., :1, :, :]
    after = mx.concatenate([following[..., 1:, :, :], mx.full(first.shape, steps, first.dtype)], axis=-3)
    source = mx.minimum(mx.where(after == steps, first, after), steps - 1)
    every = mx.broadcast_to(dt, source.shape)
    dts = mx.take_along_axis(every, source, axis=source.ndim - 3)
    return back, dts[..., ::-1, :, :], mask[..., ::-1, :, :]


def run_stack(
    layers: Sequence[Sequence[Cell]],
    x: mx.array,
    state: Sequence[State],
    dt: TimeSteps,
    mask: mx.array | None,
    *,
    residual: bool,
    sequences: bool,
    rates: mx.array | float,
    keys: mx.array | None,
) -> tuple[mx.array, list[State]]:
    """Run stacked layers; each reads the outputs of the one below.

    Args:
        layers: For each layer its cell, or its two: forward and backward in time.
        x: Inputs (..., T, B, D).
        state: One tuple per layer, as returned; of a layer's directions one after the other.
        dt: Time steps.
        mask: Where there is a reading, (..., T, B, 1), or ``None``.
        residual: Add to each layer's output, from the second on, its input.
        sequences: Whether the outputs of all steps are wanted.
        rates: Dropout rate, one number or one per member (N,).
        keys: Dropout keys, (2,) or (N, 2); ``None`` draws from the global stream.

    Returns:
        The outputs of the last layer, (..., T, B, O), or (..., B, O) of each direction's last step; both directions
        stand side by side. And each layer's last state.

    Example:
        >>> from ncps_mlx import CfC
        >>> cells = CfC(3, 11, num_layers=2, seed=0).layers
        >>> zero = [(mx.zeros((5, 11)),)] * 2
        >>> y, state = run_stack(
        ...     [(cell,) for cell in cells],
        ...     mx.zeros((7, 5, 3)),  # time first
        ...     zero,
        ...     1.0,
        ...     None,
        ...     residual=True,
        ...     sequences=True,
        ...     rates=0.0,
        ...     keys=None,
        ... )
        >>> y.shape, len(state)
        ((7, 5, 11), 2)
    """
    last = []
    drops = isinstance(rates, mx.array) or rates > 0
    for i, (cells, arrays) in enumerate(zip(layers, state, strict=True)):
        every = sequences or i < len(layers) - 1
        outputs: list[mx.array] = []
        ends: State = ()
        for direction, cell in enumerate(cells):
            dropout: list[mx.array] = []
            count, units = cell.dropout
            if drops and count:
                own = None if keys is None else layer_keys(keys, i + direction * len(layers))
                size = (x.shape[-3], x.shape[-2], units)
                factors = once(partial(dropout_factors, own, rates, count, size))
                dropout = [each.astype(x.dtype) for each in factors]
            start = arrays[len(ends) : len(ends) + cell.state_size]
            sequence = turned(x, dt, mask) if direction else (x, dt, mask)
            y, end = cell.run(sequence[0], start, *sequence[1:], dropout, sequences=every)
            outputs.append(y[..., ::-1, :, :] if direction and every else y)
            ends += end
        y = outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=-1)
        last.append(ends)
        if residual and i:
            y = y + (x if every else final(x, directions=len(cells)))
        x = y
    return x, last


def final(y: mx.array, directions: int) -> mx.array:
    """The last step of each direction: (..., T, B, O) to (..., B, O)."""
    if directions == 1:
        return y[..., -1, :, :]
    half = y.shape[-1] // 2
    return mx.concatenate([y[..., -1, :, :half], y[..., 0, :, half:]], axis=-1)


def layer_keys(keys: mx.array, layer: int) -> mx.array:
    """The key(s) of one layer, each a function of the member's key and the layer's number alone."""
    return keys + mx.array([layer, 0], dtype=mx.uint32)
