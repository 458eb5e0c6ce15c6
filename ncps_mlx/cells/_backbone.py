"""The perceptron on [x, h] inside a cell: backbone layers, then all heads as one product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.activations import ACTIVATIONS
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import transposed, weight_gradient
from ncps_mlx.cells._initializers import Initializer

__all__ = ["Backbone", "all_steps", "linear"]


def all_steps(function: Callable[[mx.array], mx.array], x: mx.array) -> mx.array:
    """Apply a function of (..., B, D) to (..., T, B, D), all steps at once.

    Args:
        function: What to apply; it must treat rows alike.
        x: Its arguments.

    Example:
        >>> all_steps(lambda each: each @ mx.ones((3, 11)), mx.ones((7, 5, 3))).shape
        (7, 5, 11)
    """
    *leading, steps, batch, features = x.shape
    z = function(x.reshape(*leading, steps * batch, features))
    return z.reshape(*z.shape[:-2], steps, batch, z.shape[-1])


def linear(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """Rows (..., R, D) times weights (..., D, U), plus bias (..., 1, U); with a gradient by hand, so formed only once.

    Example:
        >>> linear(mx.ones((5, 3)), mx.ones((3, 11)), mx.ones((1, 11))).shape
        (5, 11)
    """

    def product(x: mx.array, weight: mx.array, bias: mx.array) -> list[mx.array]:
        return [x @ weight + bias, weight]

    def pullback(
        arrays: Sequence[mx.array], of_given: Sequence[mx.array], _kept: Sequence[mx.array]
    ) -> list[mx.array]:
        (d,) = of_given
        return [
            d @ mx.swapaxes(arrays[1], -1, -2),
            weight_gradient(arrays[0], d),
            d.sum(axis=-2, keepdims=True),
        ]

    leading = x.shape[:-2]
    if weight.shape[:-2] != leading or bias.shape[:-2] != leading:  # broadcast: the sums over that are MLX's
        return x @ weight + bias
    return custom_vjp(product, pullback, output_count=1)(x, weight, bias)[0]


class Backbone(nn.Module):
    r"""A perceptron on the concatenation of input and state.

    .. math:: z_1 = a(W_x x + W_h h + b), \quad z_{i+1} = a(W_i z_i + b_i), \quad y = W_o z_L + b_o

    with dropout after every activation. Without layers the output reads :math:`[x, h]` directly. The product with
    ``x`` is formed for all steps at once (:meth:`inputs`), outside the loop over time.

    Every parameter may carry leading axes of a population, N; then so do all arrays that go in and come out.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state.
        units: U, width of each layer.
        layers: How many layers of ``units`` lie before the output; 0 for none.
        outputs: For each head, its number of outputs; heads are initialised one by one and stored as one weight.
        activation: Name of the activation after each layer.
        initializer: Fills each weight matrix, given as (out, in).
        mask: Which weights of the first product exist, 0 or 1 (sum of its outputs, D + H); ``None`` for all. The
            others are zero, count for nothing and receive no gradient.

    Example:
        >>> from ncps_mlx.cells._initializers import get_initializer
        >>> net = Backbone(
        ...     3, 11, units=16, layers=1, outputs=[11] * 4, activation="tanh", initializer=get_initializer(None)
        ... )
        >>> z = net.inputs(mx.zeros((7, 5, 3)))
        >>> z.shape, net.bind()(z[0], mx.zeros((5, 11)), []).shape
        ((7, 5, 16), (5, 44))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        units: int,
        layers: int,
        outputs: Sequence[int],
        activation: str,
        initializer: Initializer,
        mask: npt.NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        self._activation = ACTIVATIONS[activation]
        joint = input_size + hidden_size

        def draw(rows: Sequence[int], columns: int) -> mx.array:
            return mx.concatenate([initializer(mx.zeros((row, columns))) for row in rows])

        first = draw([units] if layers else outputs, joint)
        self._masks: tuple[mx.array, mx.array] | None = None
        self._masked_weight_count = 0
        if mask is not None:
            first = first * mx.array(mask)
            exists = mx.array(mask != 0)
            self._masks = exists[:, :input_size], exists[:, input_size:]
            self._masked_weight_count = int(np.count_nonzero(mask == 0))
        self.input_weight = mx.contiguous(first[:, :input_size])
        self.recurrent_weight = mx.contiguous(first[:, input_size:])
        self.bias = mx.zeros(first.shape[:1])
        widths = [[units]] * (layers - 1) + [list(outputs)] * (layers > 0)
        self.weights = [draw(rows, units) for rows in widths]
        self.biases = [mx.zeros((sum(rows),)) for rows in widths]

    @property
    def layers(self) -> int:
        """How many layers with an activation (and dropout) there are."""
        return len(self.weights)

    @property
    def units(self) -> int:
        """U, the width of the layers (of the output, where there are none)."""
        return int(self.bias.shape[-1])

    @property
    def masked_weight_count(self) -> int:
        """How many weights do not exist, though zeros stand for them."""
        return self._masked_weight_count

    def first_weights(self) -> tuple[mx.array, mx.array]:
        """The weights of the first product, from input (..., D, U) and state (..., H, U)."""
        given, recurrent = self.input_weight, self.recurrent_weight
        if self._masks is not None:
            given, recurrent = (
                mx.where(m, w, 0) for m, w in zip(self._masks, (given, recurrent), strict=True)
            )
        return transposed(given), transposed(recurrent)

    def bind_inputs(self) -> Callable[[mx.array], mx.array]:
        """A function of inputs (..., B, D) to their part of the first product (..., B, U)."""
        weight, bias = self.first_weights()[0], self.bias[..., None, :]
        return lambda x: x @ weight + bias

    def inputs(self, x: mx.array) -> mx.array:
        """The part of the first product that does not depend on the state: (..., T, B, D) to (..., T, B, U)."""
        weight, bias = self.first_weights()[0], self.bias[..., None, :]
        return all_steps(lambda each: linear(each, weight, bias), x)

    def bind(self) -> Callable[[mx.array, mx.array, Sequence[mx.array]], mx.array]:
        """A function of one step: (inputs at t, state, dropout factors per layer) to the heads' outputs."""
        recurrent = self.first_weights()[1]
        weights = [transposed(weight) for weight in self.weights]
        biases = [bias[..., None, :] for bias in self.biases]
        activation = self._activation

        def step(z: mx.array, h: mx.array, dropout: Sequence[mx.array]) -> mx.array:
            y = z + h @ recurrent
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                y = activation(y)
                if dropout:
                    y = y * dropout[i]
                y = y @ weight + bias
            return y

        return step
