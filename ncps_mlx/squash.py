r"""Tanh and sigmoid as a CfC layer wants them: constants in the weights before, one call for all heads, quick.

On MLX's CPU backend for Linux ``mx.tanh`` and ``mx.exp`` call the C library for each element, and the branches in there
are mispredicted on real data; ``mx.power`` costs a third of it or less. So there

.. math:: \tanh(x) = 1 - \frac{2}{1 + 2^{p}}, \quad p = \frac{2x}{\ln 2}, \qquad
          \sigma(x) = \frac{1}{1 + 2^{p}}, \quad p = -\frac{x}{\ln 2},

with an absolute error of at most 2e-7 (tanh) and 1e-7 (sigmoid) at any number, the size of rounding one near 1; those
of ``mx.tanh`` are 1.1e-7 and 0.8e-7. Derivatives, formed from the values, are right to 4e-7 and 2e-7 (with ``mx.tanh``,
2e-7 and 0.8e-7). Infinities give the limits, NaN gives NaN. ``nox -s bench`` measures what it gains. (A rational tanh,
compiled, has twice the error, is no quicker in populations and slower for one model.)

Which of the two is used is a choice, :func:`ncps_mlx.squash.using`, that a :class:`~ncps_mlx.Record` keeps as
``versions["tanh"]`` and reruns with: runs of the same choice are equal bit for bit, those of different choices are not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import mlx.core as mx

from ncps_mlx.checks import check_choice

__all__ = ["CHOICES", "POWERS", "TANH", "Squash", "chosen", "squash_for", "using"]

CHOICES = ("auto", "powers", "mlx")
"""By powers of two, by ``mx.tanh``, or whichever is quicker on the default device."""

_choice: ContextVar[str] = ContextVar("tanh", default="auto")

Function = Callable[[mx.array], mx.array]


@dataclass(frozen=True)
class Squash:
    """One way to compute both functions.

    Attributes:
        tanh_rate: What the argument of tanh must have been multiplied by.
        sigmoid_rate: The same of sigmoid.
        powers: Whether by powers of two, or by ``mx.tanh``.
        sigmoid_form: The sigmoid is first + second * value, of the value that :meth:`sigmoid` gives.
    """

    tanh_rate: float
    sigmoid_rate: float
    powers: bool
    sigmoid_form: tuple[float, float]

    def tanh(self, shape: Sequence[int], dtype: mx.Dtype) -> Function:
        """A function for arrays of this shape: its constants are broadcast once, not at each call.

        Example:
            >>> f = POWERS.tanh((3,), mx.float32)
            >>> f(POWERS.tanh_rate * mx.array([-500.0, 0.0, 0.5])).tolist()
            [-1.0, 0.0, 0.46211719512939453]
        """
        if not self.powers:
            return mx.tanh
        return by_powers(constant([1.0], shape, dtype), constant([2.0], shape, dtype))

    def sigmoid(self, shape: Sequence[int], dtype: mx.Dtype) -> Function:
        """A function for arrays of this shape, whose value is a sigmoid but for :attr:`sigmoid_form`.

        Example:
            >>> value = TANH.sigmoid((1,), mx.float32)(TANH.sigmoid_rate * mx.array([0.5])).item()
            >>> TANH.sigmoid_form[0] + TANH.sigmoid_form[1] * value
            0.622459352016449
        """
        if not self.powers:
            return mx.tanh
        one, two = (constant([value], shape, dtype) for value in (1.0, 2.0))
        return lambda p: one / (one + mx.power(two, p))

    def sigmoid_slopes(self, value: mx.array) -> mx.array:
        """Derivatives of :meth:`sigmoid` from its value."""
        if not self.powers:
            return 1.0 - value * value
        return (1 / self.sigmoid_rate) * (value * (1.0 - value))

    def heads(self, shape: Sequence[int], dtype: mx.Dtype, kinds: str) -> Function:
        """The same for heads that lie side by side in the last axis, such as ``"tts"``: tanh, tanh and sigmoid.

        Example:
            >>> f = TANH.heads((3,), mx.float32, "tts")
            >>> f(mx.array([0.5, 0.5, 0.5 * TANH.sigmoid_rate])).tolist()
            [0.46211719512939453, 0.46211719512939453, 0.622459352016449]
        """
        of_tanh, of_sigmoid = ((1.0, 2.0), (0.0, -1.0)) if self.powers else ((0.0, 1.0), (0.5, 0.5))
        offset = by_kind(kinds, of_tanh[0], of_sigmoid[0], shape, dtype)
        gain = by_kind(kinds, of_tanh[1], of_sigmoid[1], shape, dtype)
        return by_powers(offset, gain) if self.powers else lambda p: offset + gain * mx.tanh(p)

    def head_slopes(self, values: mx.array, kinds: str) -> mx.array:
        """Derivatives of :meth:`heads` from its values."""
        t, s = 1 / self.tanh_rate, 1 / self.sigmoid_rate
        row = (values.shape[-1],)
        least = by_kind(kinds, t, 0.0, row, values.dtype)
        linear = by_kind(kinds, 0.0, s, row, values.dtype)
        square = by_kind(kinds, t, s, row, values.dtype)
        return least + values * (linear - square * values)

    def head_rates(self, width: int, dtype: mx.Dtype, kinds: str) -> mx.array:
        """What the columns (..., width) before :meth:`heads` must be multiplied by.

        Example:
            >>> TANH.head_rates(4, mx.float32, "ts").tolist()
            [1.0, 1.0, 0.5, 0.5]
        """
        return by_kind(kinds, self.tanh_rate, self.sigmoid_rate, (width,), dtype)


def constant(heads: Sequence[float], shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
    """An array with one number for each of the heads that lie side by side in the last axis."""
    if len(heads) == 1:
        return mx.broadcast_to(mx.array(heads[0], dtype=dtype), shape)
    row = mx.repeat(mx.array(list(heads), dtype=dtype), shape[-1] // len(heads))
    return mx.contiguous(mx.broadcast_to(row, shape))


def by_kind(kinds: str, tanh: float, sigmoid: float, shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
    """An array with one number where heads are tanh, another where they are sigmoid."""
    return constant([tanh if kind == "t" else sigmoid for kind in kinds], shape, dtype)


def by_powers(offset: mx.array, gain: mx.array) -> Function:
    """A function of the argument times its rate."""
    one, two = (constant([value], offset.shape, offset.dtype) for value in (1.0, 2.0))
    return lambda p: offset - gain / (one + mx.power(two, p))


POWERS = Squash(tanh_rate=2 / math.log(2.0), sigmoid_rate=-1 / math.log(2.0), powers=True, sigmoid_form=(0.0, 1.0))
"""For CPUs, where MLX leaves each element to the C library."""

TANH = Squash(tanh_rate=1.0, sigmoid_rate=0.5, powers=False, sigmoid_form=(0.5, 0.5))
"""For GPUs and Apple's CPUs, whose tanh is fast, and for half precision, which needs tanh's digits near 0."""


@contextmanager
def using(tanh: str) -> Iterator[None]:
    """Choose how layers with a hand-written gradient compute tanh and sigmoid in single precision.

    The choice holds for what is trained or called within, in this thread (not in worker processes, which take the
    default). Half precision always takes ``mx.tanh``.

    Args:
        tanh: ``"powers"`` of two, ``"mlx"``, or ``"auto"`` (the default elsewhere): powers of two on a CPU, but not on
            Apple's.

    Raises:
        ValueError: No such choice.

    Example:
        >>> from ncps_mlx import CfC
        >>> model, x = CfC(3, 11, seed=0), mx.random.normal((5, 7, 3), key=mx.random.key(0))
        >>> with using("mlx"):
        ...     one = model(x)[0]
        >>> with using("powers"):
        ...     other = model(x)[0]
        >>> mx.array_equal(one, other).item(), mx.allclose(one, other, atol=1e-5).item()
        (False, True)
    """
    token = _choice.set(check_choice("tanh", tanh, CHOICES))
    try:
        yield
    finally:
        _choice.reset(token)


def chosen() -> str:
    """``"powers"`` or ``"mlx"``: what is used now in single precision on the default device.

    Example:
        >>> with using("powers"):
        ...     chosen()
        'powers'
    """
    if _choice.get() != "auto":
        return _choice.get()
    slow = sys.platform != "darwin" and mx.default_device() == mx.Device(mx.cpu)
    return "powers" if slow else "mlx"


def squash_for(dtype: mx.Dtype) -> Squash:
    """The form to use for arrays of this type.

    Example:
        >>> squash_for(mx.float16) is TANH
        True
    """
    return POWERS if dtype == mx.float32 and chosen() == "powers" else TANH
