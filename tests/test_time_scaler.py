"""TimeScaler: what each kind does, that it learns from training data alone, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ncps_mlx import TimeScaler

# Private: the list of kinds.
from ncps_mlx._time_scaler import KINDS

Array = npt.NDArray[Any]

STEPS = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1e6, allow_subnormal=False)).filter(
    lambda steps: np.median(steps) > 1e-6
)  # a median of 0 is an error, tested below


@given(train=STEPS, new=STEPS, kind=st.sampled_from(KINDS))
@settings(deadline=None)
def test_finite_steps_stay_finite_in_order_and_not_negative(train: Array, new: Array, kind: str) -> None:
    scaled = TimeScaler(kind).fit(train).transform(np.sort(new))
    assert scaled.dtype == np.float32
    assert scaled.shape == new.shape
    assert np.isfinite(scaled).all()
    assert (scaled >= 0).all()
    assert (np.diff(scaled) >= 0).all()


@given(train=STEPS, new=STEPS, kind=st.sampled_from(KINDS))
@settings(deadline=None)
def test_a_step_is_scaled_alike_whatever_stands_beside_it(train: Array, new: Array, kind: str) -> None:
    scaler = TimeScaler(kind).fit(train)
    together = scaler.transform(new)
    alone = [scaler.transform(step) for step in new]
    np.testing.assert_array_equal(together, alone)
    assert scaler.scale == TimeScaler(kind).fit(train).scale


@given(train=STEPS, factor=st.sampled_from([1 / 60, 60.0, 1000.0]))
@settings(deadline=None)
def test_the_unit_of_time_does_not_matter_once_scaled(train: Array, factor: float) -> None:
    for kind in ("log", "normalized", "bounded"):
        one = TimeScaler(kind).fit(train).transform(train)
        other = TimeScaler(kind).fit(train * factor).transform(train * factor)
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_each_kind_is_its_formula() -> None:
    train = np.array([1.0, 2.0, 9.0])  # median 2, mean 4
    new = np.array([[0.0, 3.0], [8.0, 100.0]])
    expected = {
        "raw": new,
        "log": np.log(1 + new / 2),
        "normalized": new / 4,
        "bounded": np.tanh(new / 2),
    }
    assert set(expected) == set(KINDS)
    for kind, values in expected.items():
        np.testing.assert_allclose(TimeScaler(kind).fit(train).transform(new), values, rtol=1e-6)


def test_the_mask_leaves_padding_out() -> None:
    padded = np.array([[1.0, 3.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    mask = np.array([[True, True, False, False], [True, False, False, False]])
    assert TimeScaler("normalized").fit(padded, mask).scale == 3.0
    assert TimeScaler("log").fit(padded, mask).scale == 3.0
    assert TimeScaler("normalized").fit(padded).scale == pytest.approx(9 / 8)


def test_repr_says_whether_it_is_fitted() -> None:
    assert repr(TimeScaler("log")) == "TimeScaler('log', unfitted)"
    assert repr(TimeScaler("log").fit([2, 4, 6])) == "TimeScaler('log', scale=4)"


def test_integers_are_time_steps_too() -> None:
    np.testing.assert_array_equal(TimeScaler("raw").fit([1, 2]).transform([3, 4]), [3.0, 4.0])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([1.0, -0.5], r"time_delta must be at least 0, got -0.5 at index \(1,\)"),
        ([[1.0, np.nan]], r"time_delta must be finite, got nan at index \(0, 1\)"),
        ([np.inf], "time_delta must be finite, got inf"),
        (["soon"], "time_delta must hold real numbers, got dtype <U4"),
        ([True], "time_delta must hold real numbers, got dtype bool"),
    ],
)
def test_bad_steps_are_named_in_fit_and_transform(steps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeScaler("log").fit(steps)
    with pytest.raises(ValueError, match=message):
        TimeScaler("log").fit([1.0]).transform(steps)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(
        ValueError, match="kind must be one of 'raw', 'log', 'normalized', 'bounded', got 'z'"
    ):
        TimeScaler("z")
    with pytest.raises(ValueError, match="TimeScaler must be fitted before transform"):
        TimeScaler("raw").transform([1.0])
    with pytest.raises(ValueError, match="time_delta must hold at least 1 valid step, got 0"):
        TimeScaler("log").fit([])
    with pytest.raises(ValueError, match="time_delta must hold at least 1 valid step, got 0"):
        TimeScaler("log").fit([1.0], mask=[False])
    with pytest.raises(ValueError, match=r"time_delta must have a finite median above 0 .* got 0.0"):
        TimeScaler("bounded").fit([0.0, 0.0, 5.0])
    with pytest.raises(ValueError, match=r"time_delta must have a finite mean above 0 .* got 0.0"):
        TimeScaler("normalized").fit([0.0])
    with pytest.raises(ValueError, match=r"mask must be boolean with the shape \(2,\)"):
        TimeScaler("log").fit([1.0, 2.0], mask=[1, 0])
    with pytest.raises(ValueError, match="time_delta must stay within float32 once scaled"):
        TimeScaler("normalized").fit([1e-30]).transform([1e30])
