"""Scale irregular time steps: fitted on training data, applied everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import check_mask, real_array
from ncps_mlx._utils.validation import check_choice, check_number

__all__ = ["KINDS", "TimeScaler", "check_time_delta"]

KINDS = ("raw", "log", "normalized", "bounded")
"""The scales of :class:`TimeScaler`."""


def check_time_delta(
    name: str, value: npt.ArrayLike, *, allow_unsafe: bool = False
) -> npt.NDArray[np.floating[Any]]:
    """Return ``value`` as a floating-point array of finite time steps, none negative unless ``allow_unsafe``."""
    array = real_array(name, value)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        where = _first_index(~finite)
        raise ValueError(f"{name} must be finite, got {array[where]} at index {where}.")
    if not allow_unsafe and array.size and array.min() < 0:
        where = _first_index(array < 0)
        raise ValueError(
            f"{name} must be at least 0, got {array[where]} at index {where}. Time steps are differences of "
            "sorted times; z-scoring them makes some negative."
        )
    return array


class TimeScaler:
    """Bring time steps to a size that a network's time gates can use.

    With Δt a raw time step, and the median and mean taken over the training data alone:

    - ``raw``: Δt, unchanged;
    - ``log``: log(1 + Δt / median), which keeps steps of very different sizes apart;
    - ``normalized``: Δt / mean, which only changes the unit of time;
    - ``bounded``: tanh(Δt / median), which never exceeds 1, however long the gap.

    All four keep the order of the steps, keep 0 at 0 and never turn a step negative. Two scalers are equal if their
    kinds and scales are. A model owns the one it was trained with (``model.time_scaler``).

    Args:
        kind: One of ``raw``, ``log``, ``normalized``, ``bounded``.

    Attributes:
        kind: As given.
        scale: The median or mean it was fitted with, in the unit of the data (1 for ``raw``);
            ``None`` before :meth:`fit`.

    Raises:
        ValueError: ``kind`` is unknown.

    Example:
        >>> from ncps_mlx import TimeScaler
        >>> import numpy as np
        >>> scaler = TimeScaler("normalized").fit([1.0, 2.0, 6.0])
        >>> scaler
        TimeScaler('normalized', scale=3)
        >>> scaler.transform([0.0, 3.0, 30.0])
        array([ 0.,  1., 10.], dtype=float32)
    """

    def __init__(self, kind: str = "log") -> None:
        self.kind = check_choice("kind", kind, KINDS)
        self.scale: float | None = None

    def fit(self, time_delta: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> TimeScaler:
        """Learn the scale from training data and return the scaler itself.

        Args:
            time_delta: Time steps of any shape, finite and at least 0, in any one unit.
            mask: Booleans of the same shape, true where there is a reading; the rest is left out.
                Default: all count.

        Raises:
            ValueError: A step is negative or not finite, no step is left, the mask has another shape or
                dtype, or the median (``log``, ``bounded``) or mean (``normalized``) is 0.

        Example:
            >>> from ncps_mlx import TimeScaler
            >>> scaler = TimeScaler("normalized").fit([[5.0, 15.0, 0.0]], mask=[[True, True, False]])
            >>> scaler.transform([20.0]).tolist()  # their mean is 10
            [2.0]
        """
        steps = check_time_delta("time_delta", time_delta)
        if mask is not None:
            valid = check_mask("mask", mask, steps.shape, " of time_delta")
            steps = steps[valid]
        if steps.size == 0:
            raise ValueError("time_delta must hold at least 1 valid step, got 0.")
        if self.kind == "raw":
            self.scale = 1.0
            return self
        statistic = "mean" if self.kind == "normalized" else "median"
        flat = steps.astype(np.float64).ravel()
        scale = float(flat.mean() if statistic == "mean" else np.median(flat))
        if not 0 < scale < np.inf:
            raise ValueError(
                f"time_delta must have a finite {statistic} above 0 for the kind {self.kind!r}, got {scale}."
            )
        self.scale = scale
        return self

    def transform(self, time_delta: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the scaled time steps, of the same shape.

        Args:
            time_delta: Time steps of any shape, finite and at least 0, in the unit seen by :meth:`fit`.

        Raises:
            ValueError: The scaler was not fitted, a step is negative or not finite, or a scaled step does
                not fit in float32.

        Example:
            >>> from ncps_mlx import TimeScaler
            >>> TimeScaler("bounded").fit([1.0, 2.0, 3.0]).transform([0.0, 2e6]).tolist()
            [0.0, 1.0]
        """
        if self.scale is None:
            raise ValueError(
                f"TimeScaler must be fitted before transform, got an unfitted {self!r}. "
                "Call fit(time_delta) with the training data first."
            )
        steps = check_time_delta("time_delta", time_delta).astype(np.float64)
        with np.errstate(over="ignore"):
            ratio = steps / self.scale
        if self.kind == "log":
            scaled = np.log1p(ratio)
        elif self.kind == "bounded":
            scaled = np.tanh(ratio)
        else:
            scaled = ratio
        too_large = scaled > np.finfo(np.float32).max
        if too_large.any():
            raise ValueError(
                f"time_delta must stay within float32 once scaled, got {steps[too_large].max():g} "
                f"with scale {self.scale:g}."
            )
        return np.asarray(scaled, dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        """``kind`` and ``scale``, ready for JSON; :meth:`from_config` makes an equal scaler."""
        return {"kind": self.kind, "scale": self.scale}

    @classmethod
    def from_config(cls, config: Any) -> TimeScaler:
        """Make a scaler from its :attr:`config`.

        Raises:
            ValueError: The kind is unknown, the scale is no number above 0, or there is anything else.

        Example:
            >>> from ncps_mlx import TimeScaler
            >>> scaler = TimeScaler("log").fit([1.0, 2.0, 6.0])
            >>> TimeScaler.from_config(scaler.config) == scaler
            True
        """
        if not isinstance(config, Mapping) or config.keys() != {"kind", "scale"}:
            raise ValueError(f"config must be a dictionary of kind and scale, got {config!r:.200}.")
        scaler = cls(config["kind"])
        if config["scale"] is not None:
            scaler.scale = check_number("scale", config["scale"], low=0, open_low=True)
        return scaler

    def __eq__(self, other: object) -> bool:
        return self.config == other.config if isinstance(other, TimeScaler) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # fit() changes it

    def __repr__(self) -> str:
        fitted = "unfitted" if self.scale is None else f"scale={self.scale:g}"
        return f"TimeScaler({self.kind!r}, {fitted})"


def _first_index(where: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(where)), where.shape))
