"""A function whose gradient is written by hand, and which can be differentiated twice all the same.

MLX compiles nothing while it differentiates. What is written by hand needs no differentiation, so it can be done
:func:`beforehand`: then what is compiled within runs compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mlx.core as mx

__all__ = ["beforehand", "once", "undifferentiated", "with_gradient"]

Arrays = Sequence[mx.array]
Pullback = Callable[[Arrays, Arrays, Arrays], list[mx.array]]
Prepare = Callable[[Arrays, Arrays], Arrays]

_plain: ContextVar[bool] = ContextVar("plain", default=False)
_kept: ContextVar[list[Any] | None] = ContextVar("kept", default=None)
_given: ContextVar[Iterator[Any] | None] = ContextVar("given", default=None)


@contextmanager
def setting(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Give a variable a value within."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def beforehand(function: Callable[[], Any]) -> Iterator[None]:
    """Call a function that is differentiated within: there, what has a gradient by hand gives what it gave then.

    Args:
        function: Of no arguments; within, the same is called with the same arrays, once.

    Example:
        >>> f = with_gradient(lambda x: [x * x, x], lambda _, of_given, kept: [2 * of_given[0] * kept[0]], given=1)
        >>> x = mx.array(3.0)
        >>> with beforehand(lambda: f(x)):
        ...     mx.grad(lambda x: f(x)[0])(x).item()
        6.0
    """
    kept: list[Any] = []
    with setting(_kept, kept):
        function()
    with setting(_given, iter(kept)):
        yield


@contextmanager
def undifferentiated() -> Iterator[None]:
    """Nothing within is differentiated: what only a gradient would need is not computed.

    Example:
        >>> f = with_gradient(lambda x: [x * x, x], lambda _, of_given, kept: [2 * of_given[0] * kept[0]], given=1)
        >>> with undifferentiated():
        ...     f(mx.array(3.0))[0].item()
        9.0
    """
    with setting(_plain, True):
        yield


def once(function: Callable[[], Any]) -> Any:
    """What the function gives, or gave :func:`beforehand`: for what is not differentiated, such as random numbers.

    Example:
        >>> once(lambda: 7)
        7
    """
    given = _given.get()
    if given is not None:
        return next(given)
    value = function()
    kept = _kept.get()
    if kept is not None:
        kept.append(value)
    return value


def with_gradient(
    function: Callable[..., list[mx.array]], pullback: Pullback, *, given: int, prepare: Prepare | None = None
) -> Callable[..., list[mx.array]]:
    """The function with this gradient, which may itself be differentiated.

    The gradient depends on the arrays also by way of what was kept. MLX would go back through that as through what is
    given, of which alone ``pullback`` knows: second derivatives would be wrong, without a word. So what was kept gets
    a derivative of its own, the automatic one.

    Args:
        function: Of arrays, to what it gives and, after that, what it keeps for its gradient: two outputs or more.
        pullback: From the arrays, the gradients of what is given, and what was kept, to the gradients of the arrays.
        given: How many outputs are given.
        prepare: From the arrays and what was kept to what ``pullback`` receives as kept.

    Example:
        >>> def product(x, y):
        ...     return [x * y, x, y]
        >>> def pullback(arrays, of_given, kept):
        ...     return [of_given[0] * kept[1], of_given[0] * kept[0]]
        >>> f = with_gradient(product, pullback, given=1)
        >>> def cube(x):
        ...     return f(x, f(x, x)[0])[0]
        >>> slope = mx.grad(cube)
        >>> slope(mx.array(3.0)).item(), mx.grad(slope)(mx.array(3.0)).item()
        (27.0, 18.0)
    """

    def prepared(arrays: Arrays, kept: Arrays) -> Arrays:
        return kept if prepare is None else prepare(arrays, kept)

    def ahead(*arrays: mx.array) -> tuple[list[mx.array], Arrays]:
        outputs = function(*arrays)
        return outputs[:given], prepared(arrays, outputs[given:])

    def back(arrays: Any, of_outputs: Any, outputs: Any) -> list[mx.array]:
        count = len(outputs) - given

        def again(flat: Any, of_kept: Any, _kept: Any) -> list[mx.array]:
            _, of_arrays = mx.vjp(
                lambda *arrays: function(*arrays)[given:], list(flat[count:]), list(of_kept)
            )
            return [*map(mx.zeros_like, of_kept), *of_arrays]

        keep: Any = mx.custom_function(lambda *flat: list(flat[:count]))
        keep.vjp(again)
        return pullback(arrays, of_outputs[:given], prepared(arrays, keep(*outputs[given:], *arrays)))

    def call(*arrays: mx.array) -> list[mx.array]:
        if _plain.get():
            return function(*arrays)[:given]
        if _kept.get() is not None:
            return list(once(lambda: ahead(*arrays))[0])
        whole: Any
        if _given.get() is None:
            whole = mx.custom_function(function)
            whole.vjp(back)
            return list(whole(*arrays)[:given])
        outputs, kept = once(list)
        whole = mx.custom_function(lambda *_: [*outputs, *kept])
        whole.vjp(lambda arrays, of_outputs, every: pullback(arrays, of_outputs[:given], every[given:]))
        return list(whole(*arrays)[:given])

    return call
