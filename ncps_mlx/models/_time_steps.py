"""Time steps as a model's call takes them: checked, the time over holes given to the next reading, then scaled."""

from __future__ import annotations

import mlx.core as mx

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx._utils.validation import as_float, check_number
from ncps_mlx.cells._base import TimeSteps

__all__ = ["as_time_steps"]


def as_time_steps(
    time_delta: mx.array | float | None,
    batch: int,
    steps: int,
    dtype: mx.Dtype = mx.float32,
    *,
    mask: mx.array | None = None,
    continued: bool = False,
    scaler: TimeScaler | None = None,
) -> TimeSteps:
    """Bring ``time_delta`` to one number or (B, T), scaled, within what ``dtype`` can hold; ``None`` means 1.

    Numbers are checked. An array's values are not looked at, so that calls can be compiled. ``mask`` is (B, T);
    ``continued`` says that a reading went before the first step.
    """
    if time_delta is None and scaler is not None:
        raise ValueError(
            f"time_delta must be given to a model that has learnt to read it by {scaler}, got None. Where every step "
            "lasts 1, pass 1.0."
        )
    greatest = float(mx.finfo(dtype).max) / 16  # 4094 in float16: its product with a rate fits too
    number = 1.0 if time_delta is None else as_float(time_delta)
    if number is not None:
        check_number("time_delta", number, low=0)
        if mask is None:
            scaled = number if scaler is None else float(scaler.transform(number))
            return min(scaled, greatest)
        time_delta = mx.array(min(number, float(mx.finfo(mx.float32).max)))
    if not isinstance(time_delta, mx.array):
        raise ValueError(
            f"time_delta must be a number or an mx.array, got {type(time_delta).__name__}; convert it with "
            "mx.array(time_delta)."
        )
    if time_delta.dtype in (mx.bool_, mx.complex64):
        raise ValueError(f"time_delta must hold real numbers, got {time_delta.dtype}.")
    if time_delta.shape not in ((), (steps,), (batch, steps)):
        raise ValueError(
            f"time_delta must be a number or have shape ({steps},) or ({batch}, {steps}), got {time_delta.shape}."
        )
    if scaler is not None or mask is not None:
        time_delta = time_delta.astype(mx.float32)
    if mask is not None:
        time_delta = add_time_over_holes(mx.broadcast_to(time_delta, (batch, steps)), mask, continued)
    if scaler is not None:
        time_delta = scale(time_delta, scaler)
    if not time_delta.dtype == dtype == mx.float32:
        time_delta = mx.minimum(time_delta, greatest).astype(dtype)
    return mx.broadcast_to(time_delta, (batch, steps))


def scale(time_delta: mx.array, scaler: TimeScaler) -> mx.array:
    """What the scaler's ``transform`` gives, to the rounding of float32."""
    assert scaler.scale is not None  # a model takes no other
    ratio = time_delta / scaler.scale
    if scaler.kind == "log":
        return mx.log1p(ratio)
    return mx.tanh(ratio) if scaler.kind == "bounded" else ratio


def add_time_over_holes(time_delta: mx.array, mask: mx.array, continued: bool) -> mx.array:
    """As a Split does: the time of masked steps since the last reading becomes part of the next one's (B, T).

    Masked steps get 0. Before the first reading nothing passes, unless a reading went before (``continued``).
    """
    if not continued:
        seen = mx.cummax(mask.astype(mx.int32), axis=1) > 0
        time_delta = mx.where(seen, time_delta, 0)
    # A running sum that begins anew after each reading, by sums over 1, 2, 4, ... steps.
    total, begun = time_delta, delayed(mask, 1, True)
    shift = 1
    while shift < mask.shape[1]:
        total = total + mx.where(begun, 0, delayed(total, shift, 0))
        begun = begun | delayed(begun, shift, True)
        shift *= 2
    return mx.where(mask, total, 0)


def delayed(array: mx.array, shift: int, fill: bool | int) -> mx.array:
    """The array (B, T) later by some steps, with ``fill`` before."""
    return mx.concatenate([mx.full((len(array), shift), fill, array.dtype), array[:, :-shift]], axis=1)
