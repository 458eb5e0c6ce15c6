r"""Tanh and sigmoid as a CfC layer wants them: constants in the weights before, one call for all heads, quick.

On MLX's CPU backend for Linux ``mx.tanh`` and ``mx.exp`` call the C library for each element, and the branches in there
are mispredicted on real data. There are two ways around, both with an error like that of rounding a number near 1:

======== ================================================ ============== ============== =====================
choice   how                                              error, tanh    error, sigmoid error of derivatives
======== ================================================ ============== ============== =====================
rational a quotient of polynomials, compiled              3.5e-7         1.8e-7         7e-7, 2e-7
         (``rational_tanh.py``)
powers   by ``mx.power``, which costs a third of a tanh   2e-7           1e-7           4e-7, 2e-7
mlx      ``mx.tanh``                                      1.1e-7         0.8e-7         2e-7, 0.8e-7
======== ================================================ ============== ============== =====================

.. math:: \text{powers:} \quad \tanh(x) = 1 - \frac{2}{1 + 2^{p}}, \quad p = \frac{2x}{\ln 2}, \qquad
          \sigma(x) = \frac{1}{1 + 2^{p}}, \quad p = -\frac{x}{\ln 2}.

Errors are absolute and hold at any number; derivatives are formed from the values. Infinities give the limits, NaN
gives NaN. ``nox -s bench`` measures what each gains.

The rational one is quickest, but only where MLX compiles it: not while it differentiates. The training of this library
takes the forward pass before it differentiates (``custom_vjp.py``); a loop of your own does not, and by default
it, and a model that you call, take powers of two.

Which of them is used is a choice, :func:`ncps_mlx.tanh_implementation`, that a :class:`~ncps_mlx.Record` keeps as
``versions["tanh"]`` and reruns with: runs of the same choice are equal bit for bit, those of different choices are not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ncps_mlx._kernels import rational_tanh as rational
from ncps_mlx._utils.validation import check_choice

__all__ = [
    "CHOICES",
    "POWERS",
    "RATIONAL",
    "Squash",
    "TANH",
    "chosen",
    "formed",
    "squash_for",
    "tanh_implementation",
]

CHOICES = ("auto", "rational", "powers", "mlx")
"""A quotient of polynomials, powers of two, ``mx.tanh``, or whichever is quickest on the default device."""

_choice: ContextVar[str] = ContextVar("tanh", default="auto")

Function = Callable[[mx.array], mx.array]


@dataclass(frozen=True)
class Squash:
    """One way to compute both functions: of one *value*, each is ``offset + gain * value``.

    Attributes:
        name: The choice.
        tanh_rate: What the argument of tanh must have been multiplied by.
        sigmoid_rate: The same of sigmoid.
        tanh_form: Offset and gain of tanh.
        sigmoid_form: Offset and gain of sigmoid.
        slope: A constant of the value's derivative: see :meth:`slopes`.
    """

    name: str
    tanh_rate: float
    sigmoid_rate: float
    tanh_form: tuple[float, float]
    sigmoid_form: tuple[float, float]
    slope: float

    def value(self, shape: Sequence[int], dtype: mx.Dtype) -> Function:
        """A function for arrays of this shape: its constants are broadcast once, not at each call.

        Example:
            >>> value = TANH.value((1,), mx.float32)(TANH.sigmoid_rate * mx.array([0.5])).item()
            >>> TANH.sigmoid_form[0] + TANH.sigmoid_form[1] * value
            0.622459352016449
        """
        if self.name == "rational":
            return rational.tanh
        if self.name == "mlx":
            return mx.tanh
        one, two = (constant(each, shape, dtype) for each in (1.0, 2.0))
        return lambda p: one / (one + mx.power(two, p))

    def tanh(self, shape: Sequence[int], dtype: mx.Dtype) -> Function:
        """Tanh itself, for arrays of this shape.

        Example:
            >>> f = POWERS.tanh((3,), mx.float32)
            >>> f(POWERS.tanh_rate * mx.array([-500.0, 0.0, 0.5])).tolist()
            [-1.0, 0.0, 0.46211719512939453]
        """
        if self.name != "powers":
            return self.value(shape, dtype)
        one, two = (constant(each, shape, dtype) for each in (1.0, 2.0))
        return lambda p: one - two / (one + mx.power(two, p))

    def slopes(self, value: mx.array, factors: mx.array) -> mx.array:
        """The factors times the value's derivative by its argument, but for the constant :attr:`slope`.

        Example:
            >>> of = POWERS.value((1,), mx.float32)(POWERS.tanh_rate * mx.array([0.0]))
            >>> slope = POWERS.slope * POWERS.slopes(of, mx.ones((1,))).item()
            >>> round(POWERS.tanh_form[1] * slope * POWERS.tanh_rate, 6)
            1.0
        """
        if self.name == "powers":
            return factors * (value * (1.0 - value))
        if self.name == "rational":
            return rational.slopes(value, factors)
        return factors * (1.0 - value * value)

    def rates(self, width: int, dtype: mx.Dtype, kinds: str) -> mx.array:
        """What columns of heads side by side are multiplied by; kinds such as ``"tts"``: tanh, tanh and sigmoid.

        Example:
            >>> TANH.rates(4, mx.float32, "ts").tolist()
            [1.0, 1.0, 0.5, 0.5]
        """
        rates = [self.tanh_rate if kind == "t" else self.sigmoid_rate for kind in kinds]
        return mx.repeat(mx.array(rates, dtype=dtype), width // len(kinds))


def constant(value: float, shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
    """An array of one number."""
    return mx.broadcast_to(mx.array(value, dtype=dtype), shape)


def formed(form: tuple[float, float], shape: Sequence[int], dtype: mx.Dtype) -> Function:
    """``offset + gain * value`` as a function of values of this shape.

    Example:
        >>> formed((0.5, 0.5), (1,), mx.float32)(mx.array([1.0])).item()
        1.0
    """
    if form == (0.0, 1.0):
        return lambda value: value
    offset, gain = (constant(each, shape, dtype) for each in form)
    return lambda value: offset + gain * value


_OF_TANH: dict[str, Any] = {
    "tanh_rate": 1.0,
    "sigmoid_rate": 0.5,
    "tanh_form": (0.0, 1.0),
    "sigmoid_form": (0.5, 0.5),
    "slope": 1.0,
}

RATIONAL = Squash("rational", **_OF_TANH)
"""For training on CPUs where MLX leaves each element to the C library, if there is a C++ compiler."""

POWERS = Squash(
    "powers",
    tanh_rate=2 / math.log(2.0),
    sigmoid_rate=-1 / math.log(2.0),
    tanh_form=(1.0, -2.0),
    sigmoid_form=(0.0, 1.0),
    slope=-math.log(2.0),
)
"""For such CPUs without one, and while MLX differentiates or traces."""

TANH = Squash("mlx", **_OF_TANH)
"""For GPUs and Apple's CPUs, whose tanh is fast, and for half precision, which needs tanh's digits near 0."""


@contextmanager
def tanh_implementation(tanh: str) -> Iterator[None]:
    """Choose how layers with a hand-written gradient compute tanh and sigmoid in single precision.

    The choice holds for what is trained or called within, in this thread (not in worker processes, which take the
    default). Half precision always takes ``mx.tanh``.

    Args:
        tanh: ``"rational"``, ``"powers"``, ``"mlx"`` (measured on :doc:`/evidence/performance`), or ``"auto"`` (the
            default elsewhere): on a CPU, but not on Apple's, ``"rational"`` in :func:`ncps_mlx.fit`,
            :func:`ncps_mlx.predict` and what calls them where there is a C++ compiler, else ``"powers"``.

    Raises:
        ValueError: No such choice.

    Example:
        >>> from ncps_mlx import CfC
        >>> model, x = CfC(3, 11, seed=0), mx.random.normal((5, 7, 3), key=mx.random.key(0))
        >>> with tanh_implementation("mlx"):
        ...     one = model(x)[0]
        >>> with tanh_implementation("powers"):
        ...     other = model(x)[0]
        >>> mx.array_equal(one, other).item(), mx.allclose(one, other, atol=1e-5).item()
        (False, True)
    """
    if check_choice("tanh", tanh, CHOICES) == "rational":
        rational.compiles()
    token = _choice.set(tanh)
    try:
        yield
    finally:
        _choice.reset(token)


def slow() -> bool:
    """Whether MLX's own tanh is slow on the default device."""
    return sys.platform != "darwin" and mx.default_device() == mx.Device(mx.cpu)


def chosen() -> str:
    """``"rational"``, ``"powers"`` or ``"mlx"``: what training in single precision would now use.

    Example:
        >>> with tanh_implementation("powers"):
        ...     chosen()
        'powers'
    """
    if _choice.get() != "auto":
        return _choice.get()
    if not slow():
        return "mlx"
    return "rational" if rational.compiles() else "powers"


def squash_for(dtype: mx.Dtype) -> Squash:
    """The form to use for arrays of this type.

    Example:
        >>> squash_for(mx.float16) is TANH
        True
    """
    choice = _choice.get()
    if choice == "auto":
        choice = "powers" if slow() else "mlx"
    return TANH if dtype != mx.float32 else {"rational": RATIONAL, "powers": POWERS, "mlx": TANH}[choice]
