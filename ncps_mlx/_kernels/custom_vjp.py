"""Functions with a custom gradient that can still be differentiated twice, and a forward pass taken in advance.

MLX compiles nothing while it differentiates. A function with a custom gradient does not need MLX to differentiate its
forward pass, so that pass can run before (:func:`precompute`), where compiled functions run compiled. A function that
does not compute in MLX evaluates its arrays and runs at once, even while MLX differentiates (:func:`eager`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mlx.core as mx

__all__ = [
    "cached_in_precompute",
    "constants",
    "custom_vjp",
    "eager",
    "eager_vjp",
    "export_trace",
    "is_constant",
    "is_eager",
    "is_exporting",
    "no_grad",
    "precompute",
]

Arrays = Sequence[mx.array]
Pullback = Callable[[Arrays, Arrays, Arrays], list[mx.array]]
Prepare = Callable[[Arrays, Arrays], Arrays]

_no_grad: ContextVar[bool] = ContextVar("no_grad", default=False)
_eager: ContextVar[bool] = ContextVar("eager", default=False)
_constants: ContextVar[tuple[Any, ...]] = ContextVar("constants", default=())
_exporting: ContextVar[bool] = ContextVar("exporting", default=False)
_recorded: ContextVar[list[Any] | None] = ContextVar("recorded", default=None)
_replayed: ContextVar[Iterator[Any] | None] = ContextVar("replayed", default=None)


@contextmanager
def set_within(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Give a context variable a value inside the ``with`` block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def precompute(function: Callable[[], Any]) -> Iterator[None]:
    """Call a function now; its custom forward passes are reused when it is called and differentiated in the block.

    Inside, the same function must be called once, with the same arrays, and models are differentiated by their
    parameters alone (:func:`constants`).
    """
    results: list[Any] = []
    with set_within(_recorded, results):
        function()
    with set_within(_replayed, iter(results)):
        yield


@contextmanager
def no_grad() -> Iterator[None]:
    """Nothing inside is differentiated: what only a gradient needs is not computed."""
    with set_within(_no_grad, True):
        yield


@contextmanager
def eager() -> Iterator[None]:
    """Functions may evaluate their arrays inside, where models are differentiated by their parameters alone."""
    with set_within(_eager, True):
        yield


@contextmanager
def constants(*values: Any) -> Iterator[None]:
    """Nobody wants a gradient of these values inside: :func:`eager_vjp` may leave it out."""
    with set_within(_constants, values):
        yield


@contextmanager
def export_trace() -> Iterator[None]:
    """Inside, a graph is traced to be written to a file, which holds neither custom gradients nor results."""
    with set_within(_exporting, True):
        yield


def is_constant(value: Any) -> bool:
    """Whether nobody wants its gradient."""
    return any(each is value for each in _constants.get())


def is_exporting() -> bool:
    """Whether a graph is traced to be written to a file."""
    return _exporting.get()


def cached_in_precompute(function: Callable[[], Any]) -> Any:
    """The function's value, or that of :func:`precompute`: for random numbers, which must not be drawn twice."""
    replayed = _replayed.get()
    if replayed is not None:
        return next(replayed)
    value = function()
    recorded = _recorded.get()
    if recorded is not None:
        recorded.append(value)
    return value


def is_eager() -> bool:
    """Whether functions may evaluate their arrays here (:func:`eager_vjp`)."""
    return _eager.get() or _no_grad.get() or _recorded.get() is not None or _replayed.get() is not None


def eager_vjp(
    function: Callable[[Arrays, bool], tuple[list[mx.array], Any]],
    pullback: Callable[[Any, Arrays], list[mx.array]],
) -> Callable[..., list[mx.array]]:
    """A function that evaluates its arrays, with ``pullback`` as its gradient; to be called where :func:`is_eager`.

    Args:
        function: From the arrays, and whether a gradient will follow, to two outputs or more and any residuals.
        pullback: From the residuals and the outputs' cotangents to the arrays' gradients.
    """

    def call(*arrays: mx.array) -> list[mx.array]:
        if _no_grad.get():
            return function(arrays, False)[0]
        outputs, residuals = cached_in_precompute(lambda: function(arrays, True))
        if _recorded.get() is not None:
            return list(outputs)
        differentiable: Any = mx.custom_function(lambda *_: list(outputs))
        differentiable.vjp(lambda _arrays, cotangents, _outputs: pullback(residuals, cotangents))
        return list(differentiable(*arrays))

    return call


def custom_vjp(
    function: Callable[..., list[mx.array]],
    pullback: Pullback,
    *,
    output_count: int,
    prepare: Prepare | None = None,
) -> Callable[..., list[mx.array]]:
    """The function with ``pullback`` as its gradient, which may itself be differentiated.

    The gradient also depends on the arrays through the residuals. MLX would treat these as further outputs, about which
    ``pullback`` knows nothing, and second derivatives would be silently wrong. So the residuals get the automatic
    derivative.

    Args:
        function: From arrays to the outputs followed by the residuals; at least two arrays in all.
        pullback: From the arrays, the outputs' cotangents and the residuals to the arrays' gradients.
        output_count: Number of outputs; the rest of what ``function`` returns are residuals.
        prepare: From the arrays and the residuals to what ``pullback`` receives as residuals.
    """

    def prepared(arrays: Arrays, residuals: Arrays) -> Arrays:
        return residuals if prepare is None else prepare(arrays, residuals)

    def forward(*arrays: mx.array) -> tuple[list[mx.array], Arrays]:
        results = function(*arrays)
        return results[:output_count], prepared(arrays, results[output_count:])

    def backward(arrays: Any, cotangents: Any, results: Any) -> list[mx.array]:
        count = len(results) - output_count

        def automatic(flat: Any, residual_cotangents: Any, _residuals: Any) -> list[mx.array]:
            _, gradients = mx.vjp(
                lambda *arrays: function(*arrays)[output_count:],
                list(flat[count:]),
                list(residual_cotangents),
            )
            return [*map(mx.zeros_like, residual_cotangents), *gradients]

        residuals: Any = mx.custom_function(lambda *flat: list(flat[:count]))
        residuals.vjp(automatic)
        return pullback(
            arrays, cotangents[:output_count], prepared(arrays, residuals(*results[output_count:], *arrays))
        )

    def call(*arrays: mx.array) -> list[mx.array]:
        if _no_grad.get() or _exporting.get():
            return function(*arrays)[:output_count]
        if _recorded.get() is not None:
            return list(cached_in_precompute(lambda: forward(*arrays))[0])
        differentiable: Any
        if _replayed.get() is None:
            differentiable = mx.custom_function(function)
            differentiable.vjp(backward)
            return list(differentiable(*arrays)[:output_count])
        outputs, residuals = cached_in_precompute(list)
        differentiable = mx.custom_function(lambda *_: [*outputs, *residuals])
        differentiable.vjp(
            lambda arrays, cotangents, results: pullback(
                arrays, cotangents[:output_count], results[output_count:]
            )
        )
        return list(differentiable(*arrays)[:output_count])

    return call
