r"""The ways to compute tanh and sigmoid in a layer, and the choice among them.

On MLX's CPU backend for Linux ``mx.tanh`` and ``mx.exp`` call the C library for each element, whose branches the
processor mispredicts on real data. Two ways avoid that, with errors like those of rounding a number near 1:

======== ================================================ ============== ============== =====================
choice   how                                              error, tanh    error, sigmoid error of derivatives
======== ================================================ ============== ============== =====================
rational a quotient of polynomials, compiled              3.5e-7         1.8e-7         7e-7, 2e-7
         (``rational_tanh.py``)
exp2     by ``mx.power``, which costs a third of a tanh   2e-7           1e-7           4e-7, 2e-7
mlx      ``mx.tanh``                                      1.1e-7         0.8e-7         2e-7, 0.8e-7
======== ================================================ ============== ============== =====================

.. math:: \text{exp2:} \quad \tanh(x) = 1 - \frac{2}{1 + 2^{p}}, \quad p = \frac{2x}{\ln 2}, \qquad
          \sigma(x) = \frac{1}{1 + 2^{p}}, \quad p = -\frac{x}{\ln 2}.

Errors are absolute and hold for every number; derivatives are computed from the values. Infinities give the limits,
NaN gives NaN. ``nox -s bench`` measures what each gains.

The rational one is fastest, but only where MLX compiles it, and MLX does not compile while it differentiates. This
library's training runs the forward pass before it differentiates (``custom_vjp.py``). Your own training loop does not;
there, and in a model that you call, the default is ``exp2``.

Each :class:`~ncps_mlx.Record` keeps the choice as ``versions["tanh"]`` and reruns with it: runs of the same choice are
equal bit for bit, runs of different choices are not.

Layers in C (``native/``) compute the rational one; where another is chosen, layers do not run in C.
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

from ncps_mlx._kernels import rational_tanh
from ncps_mlx._utils.validation import check_choice

__all__ = [
    "CHOICES",
    "EXP2",
    "MLX",
    "RATIONAL",
    "TanhImplementation",
    "affine",
    "chosen_tanh",
    "current_tanh",
    "tanh_for",
    "tanh_implementation",
]

CHOICES = ("auto", "rational", "exp2", "mlx")
"""A quotient of polynomials, powers of two, ``mx.tanh``; ``"auto"`` takes the fastest on the default device."""

_choice: ContextVar[str] = ContextVar("tanh", default="auto")

Function = Callable[[mx.array], mx.array]


@dataclass(frozen=True)
class TanhImplementation:
    """One way to compute tanh and sigmoid: each is ``offset + gain * value`` of a common *value*.

    Attributes:
        name: The choice.
        tanh_input_scale: What the argument of tanh must have been multiplied by.
        sigmoid_input_scale: The same for sigmoid.
        tanh_affine: Offset and gain of tanh.
        sigmoid_affine: Offset and gain of sigmoid.
        grad_scale: A constant factor of the value's derivative, which :meth:`slopes` leaves out.
    """

    name: str
    tanh_input_scale: float
    sigmoid_input_scale: float
    tanh_affine: tuple[float, float]
    sigmoid_affine: tuple[float, float]
    grad_scale: float

    def value(self, shape: Sequence[int], dtype: mx.Dtype) -> Function:
        """The value as a function of arrays of this shape; its constants are broadcast once, not at each call."""
        if self.name == "rational":
            return rational_tanh.tanh
        if self.name == "mlx":
            return mx.tanh
        one, two = (constant(number, shape, dtype) for number in (1.0, 2.0))
        return lambda p: one / (one + mx.power(two, p))

    def tanh(self, shape: Sequence[int], dtype: mx.Dtype) -> Function:
        """Tanh itself as a function of arrays of this shape."""
        if self.name != "exp2":
            return self.value(shape, dtype)
        one, two = (constant(number, shape, dtype) for number in (1.0, 2.0))
        return lambda p: one - two / (one + mx.power(two, p))

    def slopes(self, value: mx.array, factors: mx.array) -> mx.array:
        """The factors times the value's derivative with respect to its argument, without :attr:`grad_scale`."""
        if self.name == "exp2":
            return factors * (value * (1.0 - value))
        if self.name == "rational":
            return rational_tanh.slopes(value, factors)
        return factors * (1.0 - value * value)

    def input_scales(self, width: int, dtype: mx.Dtype, functions: str) -> mx.array:
        """Factors for ``width`` columns of equal heads; ``functions`` such as ``"tts"``: tanh, tanh, sigmoid."""
        scales = [self.tanh_input_scale if name == "t" else self.sigmoid_input_scale for name in functions]
        return mx.repeat(mx.array(scales, dtype=dtype), width // len(functions))


def constant(value: float, shape: Sequence[int], dtype: mx.Dtype) -> mx.array:
    """An array filled with one number."""
    return mx.broadcast_to(mx.array(value, dtype=dtype), shape)


def affine(offset_and_gain: tuple[float, float], shape: Sequence[int], dtype: mx.Dtype) -> Function:
    """``offset + gain * value`` as a function of values of this shape."""
    if offset_and_gain == (0.0, 1.0):
        return lambda value: value
    offset, gain = (constant(number, shape, dtype) for number in offset_and_gain)
    return lambda value: offset + gain * value


_VALUE_IS_TANH: dict[str, Any] = {
    "tanh_input_scale": 1.0,
    "sigmoid_input_scale": 0.5,
    "tanh_affine": (0.0, 1.0),
    "sigmoid_affine": (0.5, 0.5),
    "grad_scale": 1.0,
}

RATIONAL = TanhImplementation("rational", **_VALUE_IS_TANH)
"""For training on CPUs where MLX calls the C library for each element, if there is a C++ compiler."""

EXP2 = TanhImplementation(
    "exp2",
    tanh_input_scale=2 / math.log(2.0),
    sigmoid_input_scale=-1 / math.log(2.0),
    tanh_affine=(1.0, -2.0),
    sigmoid_affine=(0.0, 1.0),
    grad_scale=-math.log(2.0),
)
"""For such CPUs without a compiler, and while MLX differentiates or traces."""

MLX = TanhImplementation("mlx", **_VALUE_IS_TANH)
"""For GPUs and Apple's CPUs, whose tanh is fast, and for half precision, which needs tanh's digits near 0."""


@contextmanager
def tanh_implementation(tanh: str) -> Iterator[None]:
    """Choose how the library's layers compute tanh and sigmoid in single precision, for a ``with`` block.

    The choice holds for what is trained or called inside the ``with`` block, in this thread (worker processes take the
    default). Half precision always takes ``mx.tanh``.

    Args:
        tanh: ``"rational"``, ``"exp2"``, ``"mlx"`` (measured on :doc:`/evidence/performance`), or ``"auto"``, the
            default elsewhere: ``"mlx"`` on GPUs and Apple's CPUs; on other CPUs ``"rational"`` in
            :func:`ncps_mlx.fit`, :func:`ncps_mlx.predict` and what calls them, if there is a C++ compiler, else
            ``"exp2"``. With ``"exp2"`` and ``"mlx"`` no layer runs in C.

    Raises:
        ValueError: ``tanh`` is none of these.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx import CfC, tanh_implementation
        >>> model, x = CfC(3, 11, seed=0), mx.random.normal((5, 7, 3), key=mx.random.key(0))
        >>> with tanh_implementation("mlx"):
        ...     one = model(x)[0]
        >>> with tanh_implementation("exp2"):
        ...     other = model(x)[0]
        >>> mx.array_equal(one, other).item(), mx.allclose(one, other, atol=1e-5).item()
        (False, True)
    """
    if check_choice("tanh", tanh, CHOICES) == "rational":
        rational_tanh.compiles()
    token = _choice.set(tanh)
    try:
        yield
    finally:
        _choice.reset(token)


def tanh_is_slow() -> bool:
    """Whether MLX's own tanh is slow on the default device."""
    return sys.platform != "darwin" and mx.default_device() == mx.Device(mx.cpu)


def chosen_tanh() -> str:
    """One of :data:`CHOICES`: what :func:`tanh_implementation` was given."""
    return _choice.get()


def current_tanh() -> str:
    """``"rational"``, ``"exp2"`` or ``"mlx"``: what training in single precision would use now."""
    if _choice.get() != "auto":
        return _choice.get()
    if not tanh_is_slow():
        return "mlx"
    return "rational" if rational_tanh.compiles() else "exp2"


def tanh_for(dtype: mx.Dtype) -> TanhImplementation:
    """The implementation for arrays of this type."""
    choice = _choice.get()
    if choice == "auto":
        choice = "exp2" if tanh_is_slow() else "mlx"
    return MLX if dtype != mx.float32 else {"rational": RATIONAL, "exp2": EXP2, "mlx": MLX}[choice]
