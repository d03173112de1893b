"""Axes are recovered from float32 and four-decimal coordinates to the spacing they must have had."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.grid import Axis


def test_float32_twelfths_become_exact_and_periodic() -> None:
    stored = (np.arange(4320) / 12 - 180).astype(np.float32)
    axis = Axis.from_values(stored, longitude=True)
    assert axis == Axis(first=-180.0, step=1 / 12, size=4320, period=360.0)
    # the obvious estimate, from the first two values, would miss a whole degree at the far end
    assert abs((stored[1] - stored[0]) * 4320 - 360) > 0.01


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(-89.975, 89.975, 3600).astype(np.float32), Axis(-89.975, 0.05, 3600)),
        (np.linspace(89.875, -89.875, 720).astype(np.float32), Axis(89.875, -0.25, 720)),
        (
            np.round(26.39583333 + np.arange(384) / 24, 4),
            Axis(26 + 9.5 / 24, 1 / 24, 384),
        ),  # written with four decimals
        ((-17.791666 + np.arange(78) / 3).astype(np.float32), Axis(-53.375 / 3, 1 / 3, 78)),  # blocks of four cells
    ],
)
def test_real_axes(values: np.ndarray, expected: Axis) -> None:
    axis = Axis.from_values(values)
    assert axis.size == expected.size
    assert axis.first == pytest.approx(expected.first, abs=1e-9)
    assert axis.step == pytest.approx(expected.step, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1, 2.5, 3], "not regularly spaced"),
        ([0.0], "at least two"),
        ([0, np.nan, 2], "not finite"),
        ([1, 1], "no spacing"),
    ],
)
def test_what_is_no_regular_axis_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Axis.from_values(values)


@given(st.floats(-720, 720), st.sampled_from([360, 1440, 2880, 4320]), st.floats(-180, 180))
def test_longitudes_may_be_counted_from_anywhere(longitude: float, size: int, first: float) -> None:
    axis = Axis(first, 360 / size, size, 360.0)
    here, there = axis.position(np.array([longitude])), axis.position(np.array([longitude + 360.0]))
    turn = abs(here - there)
    assert min(turn, size - turn) < 1e-6
    assert 0 <= here < size
