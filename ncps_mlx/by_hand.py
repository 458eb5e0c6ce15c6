"""A function whose gradient is written by hand, and which can be differentiated twice all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

__all__ = ["with_gradient"]

Arrays = Sequence[mx.array]
Pullback = Callable[[Arrays, Arrays, Arrays], list[mx.array]]


def with_gradient(function: Callable[..., list[mx.array]], pullback: Pullback, *, given: int) -> Any:
    """The function with this gradient, which may itself be differentiated.

    The gradient depends on the arrays also by way of what was kept. MLX would go back through that as through what is
    given, of which alone ``pullback`` knows: second derivatives would be wrong, without a word. So what was kept gets
    a derivative of its own, the automatic one.

    Args:
        function: Of arrays, to what it gives and, after that, what it keeps for its gradient: two outputs or more.
        pullback: From the arrays, the gradients of what is given, and what was kept, to the gradients of the arrays.
        given: How many outputs are given.

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

    def back(arrays: Any, of_outputs: Any, outputs: Any) -> list[mx.array]:
        count = len(outputs) - given

        def again(flat: Any, of_kept: Any, _kept: Any) -> list[mx.array]:
            _, of_arrays = mx.vjp(
                lambda *arrays: function(*arrays)[given:], list(flat[count:]), list(of_kept)
            )
            return [*map(mx.zeros_like, of_kept), *of_arrays]

        keep: Any = mx.custom_function(lambda *flat: list(flat[:count]))
        keep.vjp(again)
        return pullback(arrays, of_outputs[:given], keep(*outputs[given:], *arrays))

    whole: Any = mx.custom_function(function)
    whole.vjp(back)
    return whole
