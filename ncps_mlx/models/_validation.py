"""Checks that both models share: sizes, state, arguments that do not apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np

from ncps_mlx._utils.validation import check_int
from ncps_mlx.wirings._base import Wiring

__all__ = ["check_dropout_applies"]


def is_layer_state(layer: object, count: int, shape: tuple[int, ...]) -> bool:
    """Whether a layer's state is ``count`` floating arrays of this shape."""
    return (
        isinstance(layer, list | tuple)
        and len(layer) == count
        and all(
            isinstance(a, mx.array) and a.shape == shape and mx.issubdtype(a.dtype, mx.floating)
            for a in layer
        )
    )


def describe_layer_state(layer: object) -> object:
    """Dtypes and shapes of a layer's state, for an error message."""
    if not isinstance(layer, list | tuple):
        return type(layer).__name__
    return tuple(f"{a.dtype} {a.shape}" if isinstance(a, mx.array) else type(a).__name__ for a in layer)


def store_int(config: dict[str, Any], name: str, *, minimum: int = 1, maximum: int | None = None) -> int:
    """Check an argument and store it as Python's int: NumPy's turns arrays that it multiplies into NumPy's."""
    number: int = check_int(name, config[name], minimum=minimum, maximum=maximum)
    config[name] = number
    return number


def check_wiring(hidden_size: object, wiring: object) -> Wiring | None:
    """Check that exactly one of the two is given."""
    if isinstance(hidden_size, Wiring):
        raise ValueError(
            f"hidden_size must be a number of units, got a wiring. Give it by its name: wiring={hidden_size!r}."
        )
    if wiring is not None and not isinstance(wiring, Wiring):
        raise ValueError(
            f"wiring must be a wiring such as ncps_mlx.AutoNCP(19, 4), got {type(wiring).__name__}."
        )
    if (hidden_size is None) == (wiring is None):
        got = "both" if wiring is not None else "neither"
        raise ValueError(f"hidden_size or wiring must be given, exactly one of them, got {got}.")
    return wiring


def check_inapplicable(config: Mapping[str, Any], defaults: Mapping[str, Any], where: str, cure: str) -> None:
    """Refuse arguments that do not apply."""
    for name, default in defaults.items():
        value = config[name]
        same = value is default or (isinstance(value, str | int | float | np.generic) and value == default)
        if not same:
            raise ValueError(
                f"{name} must be left at {default!r} {where}, where it does not apply, got {value!r}. "
                f"Give {cure} to choose it."
            )


def check_dropout_applies(rate: float, layers: int) -> None:
    """Refuse a dropout rate above 0 where there is no backbone to drop from."""
    if rate > 0 and layers == 0:
        raise ValueError(
            f"backbone_dropout must be 0 when backbone_layers is 0, got {rate}: there is no backbone to drop from. "
            "Set backbone_layers to at least 1."
        )
