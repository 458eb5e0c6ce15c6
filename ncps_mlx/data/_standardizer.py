"""The way back from standardised values to real units."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from ncps_mlx._utils.arrays import real_array
from ncps_mlx._utils.validation import check_flag
from ncps_mlx.data._split import Array

__all__ = ["Standardizer"]


@dataclass(frozen=True, kw_only=True)
class Standardizer:
    """Take standardised targets back to real units: the ``inverse`` of a task, written down with a predictor.

    Args:
        mean: What was taken off the targets: a number, or one for each target (O,).
        deviation: What they were divided by, above 0: a number, or one for each target (O,).
        square: Square the result, where the square root was learned; on that scale nothing below 0 exists.

    Raises:
        ValueError: A number is not finite, a deviation is not above 0, or there are not as many of both.

    Example:
        >>> from ncps_mlx.data import Standardizer
        >>> import numpy as np
        >>> Standardizer(mean=120.0, deviation=15.0)(np.array([0.0, 2.0])).tolist()
        [120.0, 150.0]
    """

    mean: float | Array
    deviation: float | Array
    square: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "deviation"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if not np.all(np.asarray(self.deviation) > 0):
            raise ValueError(f"deviation must be above 0, got {self.deviation}.")
        sizes = [np.size(each) for each in (self.mean, self.deviation) if np.ndim(each)]
        if len(set(sizes)) > 1:
            raise ValueError(f"deviation must be one number or {sizes[0]}, as mean has, got {sizes[1]}.")
        check_flag("square", self.square)

    def __call__(self, values: Array) -> Array:
        """Return ``values`` in real units; on a square-root scale nothing below 0 exists."""
        values = real_array("values", values)
        sizes = [np.size(each) for each in (self.mean, self.deviation) if np.ndim(each)]
        if sizes and values.shape[-1:] != (sizes[0],):
            raise ValueError(f"values must hold {sizes[0]} targets along the last axis, got the shape {values.shape}.")
        restored = values * self.deviation + self.mean
        return np.square(np.maximum(restored, 0.0)) if self.square else restored

    def to_json(self) -> str:
        """Write it as JSON, to the bit."""
        return json.dumps(asdict(self), default=np.ndarray.tolist)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: It is another text.
        """
        try:
            parts: Any = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"text must be the JSON of a Standardizer, got {text!r:.80}.") from error
        if not isinstance(parts, dict) or parts.keys() != {"mean", "deviation", "square"}:
            raise ValueError(f"text must be the JSON of a Standardizer, got {text!r:.80}.")
        return cls(**parts)


def _numbers(name: str, value: Any) -> float | Array:
    """A finite number, or an array (O,) of them, read-only, in double precision."""
    array = real_array(name, value).astype(np.float64)
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a finite number, or one for each target (O,), got {value!r:.80}.")
    array.flags.writeable = False
    return array if array.ndim else float(array)
