r"""Tanh as a quotient of polynomials, which MLX compiles into one loop over four numbers at a time.

.. math:: \tanh(x) \approx x \, P(x^2) / Q(x^2), \quad |x| \le 7.9,

with P and Q of degree 4, chosen for the least absolute error (5e-9 before rounding); beyond 7.9 the value at 7.9. In
single precision the absolute error is at most 3.5e-7 for every number. Infinities give the limits, NaN gives NaN.

Written so that GCC vectorizes it: sums in pairs, so that everything fits into one kernel (MLX ends a kernel after 11
operations in a row), and the bound times a sign, because GCC turns a branch to a constant into a jump.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import mlx.core as mx

__all__ = ["compiles", "slopes", "tanh", "tanh_by_parts"]

BOUND = 7.9
ABOVE = (0.999999973, 0.134444373, 0.00357167904, 2.19031396e-05, 1.52592956e-08)
BELOW = (1.0, 0.467777594, 0.0261643479, 0.000341171544, 8.53039049e-07)


def polynomial(factors: Sequence[float], u: mx.array, square: mx.array) -> mx.array:
    """A polynomial of degree 4 in u, whose square is given."""
    a, b, c, d, e = factors
    return (a + b * u) + ((c + d * u) + e * square) * square


def tanh_by_parts(x: mx.array) -> mx.array:
    """The formula, one MLX operation after the other: the same bits as :data:`tanh` on x86, but slower."""
    x = mx.where(mx.abs(x) > BOUND, BOUND * mx.sign(x), x)
    u = x * x
    square = u * u
    return x * (polynomial(ABOVE, u, square) / polynomial(BELOW, u, square))


def slopes_by_parts(value: mx.array, factors: mx.array) -> mx.array:
    """The factors times the derivative of tanh, from its value."""
    return factors * (1.0 - value * value)


tanh = mx.compile(tanh_by_parts)
"""Compiled; where MLX differentiates or traces, it runs as :func:`tanh_by_parts`."""

slopes = mx.compile(slopes_by_parts)
"""``factors * (1 - value * value)``, compiled in the same way."""


@functools.cache
def compiles() -> bool:
    """Whether MLX can compile here, which on a CPU needs a C++ compiler; compiles the functions above.

    The first call on a machine takes seconds. Processes wait for one another, because MLX loads a compiled file even
    if another process is still writing it.
    """
    if shutil.which("g++") is None or not enabled():
        return False
    sample = mx.zeros((2, 2), dtype=mx.float32)
    try:
        with one_at_a_time(), mx.stream(mx.cpu):
            mx.eval(tanh(sample), slopes(sample, sample))  # MLX calls the compiler as it evaluates
    except (OSError, RuntimeError):  # for example no headers, or no place to write to
        return False
    return True


def enabled() -> bool:
    """Whether compilation is on in MLX: ``MLX_DISABLE_COMPILE`` and ``mx.disable_compile()`` turn it off."""
    calls = 0

    def function(x: mx.array) -> mx.array:
        nonlocal calls
        calls += 1
        return x

    compiled = mx.compile(function)
    for _ in range(2):
        compiled(mx.array(0.0))
    return calls == 1


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock that other processes wait for until this one and the compiler it starts are done or killed."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (Path(tempfile.gettempdir()) / f"ncps-mlx-{os.getuid()}.lock").open("a") as file:
        os.set_inheritable(file.fileno(), True)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
