"""A convolution over time that MLX can vectorize over the members of a population."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx._utils.validation import MOST, check_flag, check_int
from ncps_mlx.cells._validation import LARGEST_SIZE

__all__ = ["Conv1d"]

LARGEST_ARRAY = 2**31 - 1  # MLX counts in 32 bits


class Conv1d(nn.Conv1d):
    """``mlx.nn.Conv1d`` as one product with all windows: for modules that train as a population.

    MLX 0.32 cannot vectorize its own convolution over weights: a population with it gets its gradients another way,
    right to about 1e-7 but not to the bit. With this one each member ends with the bits of a lone run, and training on
    a CPU is quicker. Arguments, parameters and values are the same; there are no groups.

    Args:
        in_channels: Features of the input (B, T, in_channels).
        out_channels: Features of the output.
        kernel_size: Steps in a window.
        stride: Steps from one window to the next.
        padding: Steps of zeros at both ends.
        dilation: Steps between the readings of a window.
        bias: Add a bias.

    Raises:
        ValueError: An argument is out of its range, or the sequence with its padding is shorter than a window.

    Example:
        >>> import mlx.core as mx
        >>> import mlx.nn as nn
        >>> from ncps_mlx.training import Conv1d
        >>> ours, theirs = Conv1d(3, 4, 5, padding=2), nn.Conv1d(3, 4, 5, padding=2)
        >>> x = mx.random.normal((2, 7, 3), key=mx.random.key(0))
        >>> mx.allclose(ours(x), theirs.update(ours.parameters())(x), atol=1e-5).item()
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            check_int(name, value, maximum=LARGEST_SIZE)
        for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
            check_int(name, value, maximum=MOST)
        check_int("padding", padding, minimum=0, maximum=MOST)
        check_flag("bias", bias)
        if in_channels * out_channels * kernel_size > LARGEST_ARRAY:
            raise ValueError(
                f"kernel_size must leave at most {LARGEST_ARRAY} weights, in_channels * out_channels * kernel_size, "
                f"got {in_channels} * {out_channels} * {kernel_size}."
            )
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)

    def __call__(self, x: mx.array) -> mx.array:
        """Convolve x (B, T, in_channels) over time, to (B, T', out_channels)."""
        x = mx.pad(x, [(0, 0), (self.padding, self.padding), (0, 0)])
        out_channels, size, _ = self.weight.shape
        span = x.shape[1] - self.dilation * (size - 1)
        if span < 1:
            raise ValueError(f"x must have at least {1 - span} more steps for a window of {size}, got {x.shape[1]}.")
        windows = [x[:, first : first + span : self.stride] for first in range(0, self.dilation * size, self.dilation)]
        y = mx.concatenate(windows, axis=-1) @ self.weight.reshape(out_channels, -1).T
        return y + self.bias if "bias" in self else y
