"""The perceptron on [x, h] in a cell: backbone layers, then all heads as one product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.activations import ACTIVATIONS
from ncps_mlx._kernels.custom_vjp import custom_vjp
from ncps_mlx._kernels.layout import transposed, weight_gradient
from ncps_mlx._kernels.native import NativeBackbone
from ncps_mlx.cells._initializers import Initializer

__all__ = ["Backbone", "all_steps", "linear"]


def all_steps(function: Callable[[mx.array], mx.array], x: mx.array) -> mx.array:
    """Apply a function of rows (..., B, D) to (..., T, B, D), all steps at once; it must treat each row by itself."""
    *leading, steps, batch, features = x.shape
    z = function(x.reshape(*leading, steps * batch, features))
    return z.reshape(*z.shape[:-2], steps, batch, z.shape[-1])


def linear(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """Rows (..., R, D) times weights (..., D, U) plus bias (..., 1, U), with a custom gradient: computed only once."""

    def product(x: mx.array, weight: mx.array, bias: mx.array) -> list[mx.array]:
        return [x @ weight + bias, weight]

    def pullback(
        arrays: Sequence[mx.array], cotangents: Sequence[mx.array], _residuals: Sequence[mx.array]
    ) -> list[mx.array]:
        (d,) = cotangents
        return [
            d @ mx.swapaxes(arrays[1], -1, -2),
            weight_gradient(arrays[0], d),
            d.sum(axis=-2, keepdims=True),
        ]

    leading = x.shape[:-2]
    if weight.shape[:-2] != leading or bias.shape[:-2] != leading:  # broadcast: MLX sums over the axes it added
        return x @ weight + bias
    return custom_vjp(product, pullback, output_count=1)(x, weight, bias)[0]


class Backbone(nn.Module):
    r"""A perceptron on the concatenation of input and state.

    .. math:: z_1 = a(W_x x + W_h h + b), \quad z_{i+1} = a(W_i z_i + b_i), \quad y = W_o z_L + b_o

    with dropout after every activation. Without layers the output reads :math:`[x, h]` directly. The product with
    ``x`` is computed for all steps at once (:meth:`inputs`), outside the loop over time. Parameters may carry the
    leading axis N of a population, and then so do all arrays in and out.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state.
        units: U, width of each layer.
        layers: Number of layers of ``units`` before the output; 0 for none.
        outputs: The number of outputs of each head; heads are initialised one by one and stored as one weight.
        activation: Name of the activation after each layer.
        initializer: Fills each weight matrix, given as (out, in).
        mask: 1 for each weight of the first product that exists, else 0 (sum of its outputs, D + H); ``None``: all
            exist. The others are zero, are not counted and get no gradient.
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
            exists = mask != 0
            self._masks = mx.array(exists[:, :input_size]), mx.array(exists[:, input_size:])
            self._masked_weight_count = int(np.count_nonzero(mask == 0))
        self.input_weight = mx.contiguous(first[:, :input_size])
        self.recurrent_weight = mx.contiguous(first[:, input_size:])
        self.bias = mx.zeros(first.shape[:1])
        widths = [[units]] * (layers - 1) + [list(outputs)] * (layers > 0)
        self.weights = [draw(rows, units) for rows in widths]
        self.biases = [mx.zeros((sum(rows),)) for rows in widths]

    @property
    def layers(self) -> int:
        """The number of layers with an activation (and dropout)."""
        return len(self.weights)

    @property
    def units(self) -> int:
        """U, the width of the layers (without layers, of the output)."""
        return int(self.bias.shape[-1])

    @property
    def masked_weight_count(self) -> int:
        """The number of weights that do not exist and are stored as zeros."""
        return self._masked_weight_count

    def masked_weights(self) -> tuple[mx.array, mx.array]:
        """The weights of the first product as they are kept, to (..., U, D) from the input and (..., U, H)."""
        if self._masks is None:
            return self.input_weight, self.recurrent_weight
        from_input, recurrent = self._masks
        return mx.where(from_input, self.input_weight, 0), mx.where(recurrent, self.recurrent_weight, 0)

    def first_weights(self) -> tuple[mx.array, mx.array]:
        """The weights of the first product, from input (..., D, U) and state (..., H, U)."""
        from_input, recurrent = self.masked_weights()
        return transposed(from_input), transposed(recurrent)

    def in_c(self, activation: str) -> NativeBackbone:
        """The same for a layer in C; ``activation`` is also that of an LTC's gate."""
        input_weight, recurrent_weight = self.masked_weights()
        return NativeBackbone(
            activation=activation,
            input_weight=input_weight,
            recurrent_weight=recurrent_weight,
            weights=tuple(self.weights),
            biases=(self.bias, *self.biases),
        )

    def bind_inputs(self) -> Callable[[mx.array], mx.array]:
        """A function from inputs (..., B, D) to their part of the first product (..., B, U)."""
        weight, bias = self.first_weights()[0], self.bias[..., None, :]
        return lambda x: x @ weight + bias

    def inputs(self, x: mx.array) -> mx.array:
        """The inputs' part of the first product: from (..., T, B, D) to (..., T, B, U)."""
        weight, bias = self.first_weights()[0], self.bias[..., None, :]
        return all_steps(lambda each: linear(each, weight, bias), x)

    def bind(self) -> Callable[[mx.array, mx.array, Sequence[mx.array]], mx.array]:
        """A function of one step, from (:meth:`inputs` at t, state, dropout masks) to the heads' outputs."""
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
