"""Cells over time: the loop, its dropout factors, and stacked layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx.backbone import Backbone

__all__ = ["Cell", "Step", "TimeSteps", "dropout_factors", "run_stack", "unstack_time"]

TimeSteps = mx.array | float
"""One number for every step, or an array (..., T, B, 1)."""


Step = Callable[[mx.array, mx.array, TimeSteps, Sequence[mx.array]], mx.array]
"""One step of a cell: (inputs at t, state, time step, dropout factors) to the next state."""


def unstack_time(x: mx.array) -> list[mx.array]:
    """Split (..., T, B, F) into T arrays (..., B, F).

    Slicing inside the loop instead would make the backward pass scatter into the whole array at every step.
    """
    return list(mx.unstack(x, axis=-3))


class Cell(nn.Module):
    """What a layer runs over time: subclasses say what one step does."""

    hidden_size: int
    backbone: Backbone

    def bind(self) -> Step:
        """A function of one step."""
        raise NotImplementedError  # abstract: each cell has its own equation

    def run(
        self,
        x: mx.array,
        h: mx.array,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        *,
        sequences: bool,
    ) -> tuple[mx.array | None, mx.array]:
        """Run over a sequence, step by step; automatic differentiation goes back the same way.

        Args:
            x: Inputs (..., T, B, D).
            h: First state (..., B, H).
            dt: Time steps: a number, or (..., T, B, 1).
            mask: Where there is a reading, (..., T, B, 1); the state is held elsewhere. ``None``: everywhere.
            dropout: Factors (..., T, B, U) for each backbone layer; empty for none.
            sequences: Whether the states of all steps are wanted.

        Returns:
            All states (..., T, B, H), or ``None``, and the last (..., B, H).
        """
        inputs = unstack_time(self.backbone.inputs(x))
        steps = len(inputs)
        dts = unstack_time(dt) if isinstance(dt, mx.array) else [dt] * steps
        masks = unstack_time(mask) if mask is not None else None
        factors = [unstack_time(layer) for layer in dropout]
        step = self.bind()
        states = []
        for t in range(steps):
            new = step(inputs[t], h, dts[t], [layer[t] for layer in factors])
            h = new if masks is None else mx.where(masks[t], new, h)
            states.append(h)
        return (mx.stack(states, axis=-3) if sequences else None), h


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


def run_stack(
    cells: Sequence[Cell],
    x: mx.array,
    state: Sequence[tuple[mx.array]],
    dt: TimeSteps,
    mask: mx.array | None,
    *,
    residual: bool,
    sequences: bool,
    rates: mx.array | float,
    keys: mx.array | None,
) -> tuple[mx.array, list[tuple[mx.array]]]:
    """Run stacked layers; each reads the states of the one below.

    Args:
        cells: One per layer.
        x: Inputs (..., T, B, D).
        state: One tuple per layer, as returned.
        dt: Time steps.
        mask: Where there is a reading, (..., T, B, 1), or ``None``.
        residual: Add to each layer's output, from the second on, its input.
        sequences: Whether the outputs of all steps are wanted.
        rates: Dropout rate, one number or one per member (N,).
        keys: Dropout keys, (2,) or (N, 2); ``None`` draws from the global stream.

    Returns:
        The outputs of the last layer, (..., T, B, H), or (..., B, H) of the last step; and each layer's last state.
    """
    last = []
    drops = isinstance(rates, mx.array) or rates > 0
    for i, (cell, (h,)) in enumerate(zip(cells, state, strict=True)):
        dropout: list[mx.array] = []
        if drops and cell.backbone.layers:
            own = None if keys is None else layer_keys(keys, i)
            shape = (x.shape[-3], x.shape[-2], cell.backbone.units)
            dropout = dropout_factors(own, rates, cell.backbone.layers, shape)
        final = i == len(cells) - 1
        states, h = cell.run(x, h, dt, mask, dropout, sequences=sequences or not final)
        last.append((h,))
        below = x
        if states is None:
            x = h + below[..., -1, :, :] if residual and i else h
        else:
            x = states + below if residual and i else states
    return x, last


def layer_keys(keys: mx.array, layer: int) -> mx.array:
    """The key(s) of one layer, each a function of the member's key and the layer's number alone."""
    return keys + mx.array([layer, 0], dtype=mx.uint32)
