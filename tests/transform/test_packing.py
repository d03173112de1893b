"""Risk: an integer that wraps, a fill that becomes a number, or a flag that is packed as if it were a measurement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from oceanrecon.transform.day import Values
from oceanrecon.transform.packing import FILL, Packing, encode, packing_of

_SLA = {"standard_name": "sea_surface_height_above_sea_level", "units": "m"}
_SALINITY = {"standard_name": "sea_surface_salinity", "units": "PSU"}
_QUANTITIES = (
    _SLA,
    {"standard_name": "sea_surface_foundation_temperature", "units": "degree_Celsius"},
    _SALINITY,
    {"standard_name": "surface_geostrophic_eastward_sea_water_velocity", "units": "m s-1"},
    {"standard_name": "northward_wind", "units": "m s-1"},
)


@given(
    st.sampled_from(_QUANTITIES),
    arrays.arrays(
        np.float32,
        (3, 5),
        elements=st.one_of(
            st.floats(-60, 60, width=32), st.floats(width=32), st.just(float("nan")), st.sampled_from([np.inf, 16.383])
        ),
    ),
)
def test_what_is_decoded_is_within_half_a_step_or_is_the_same_float(
    attributes: dict[str, str], values: np.ndarray
) -> None:
    encoded = encode(Values(values, attributes))
    finite = np.isfinite(values)
    if encoded.data.dtype == np.int16:
        scale, offset = encoded.attributes["scale_factor"], encoded.attributes["add_offset"]
        decoded = Packing(scale, offset).decode(encoded.data)
        assert (encoded.data[~finite] == FILL).all() and (encoded.data[finite] != FILL).all()
        # decoded values are floats, too
        room = scale / 2 + np.spacing(np.abs(values[finite]))
        assert (np.abs(decoded[finite].astype(np.float64) - values[finite]) <= room).all()
        assert "packing_note" not in encoded.attributes
    else:
        decoded = encoded.data
        assert decoded.dtype == np.float32 and "do not fit" in encoded.attributes["packing_note"]
        assert np.array_equal(decoded[finite], values[finite])
    assert np.isnan(decoded[~finite]).all()


def test_forty_metres_of_sea_level_do_not_wrap_to_seven() -> None:
    encoded = encode(Values(np.array([[0.1, 40.0]], np.float32), _SLA))
    assert encoded.data.dtype == np.float32 and encoded.data[0, 1] == 40.0
    assert "40" in encoded.attributes["packing_note"] and "scale_factor" not in encoded.attributes


def test_the_last_code_is_used_and_the_next_value_is_not_taken_for_missing() -> None:
    packing = Packing(5e-4)
    codes = packing.encode(np.array([[-16.383, 16.383]], np.float32))
    assert codes is not None and codes.tolist() == [[-32766, 32766]]
    assert packing.encode(np.array([[-16.3836]], np.float32)) is None  # would be the fill


def test_half_a_step_goes_to_the_even_code() -> None:
    codes = Packing(0.5).encode(np.array([[0.25, 0.75, 1.25, -0.25, -0.75]], np.float32))
    assert codes is not None and codes.tolist() == [[0, 2, 2, 0, -2]]


@pytest.mark.parametrize("number", [255, 1024])
def test_a_quality_flag_of_salinity_stays_an_integer(number: int) -> None:
    data = np.array([[0, number]], np.int16)
    values = Values(data, {**_SALINITY, "flag_masks": np.array([1, 2])}, missing=-32768)
    encoded = encode(values)
    assert encoded.data.dtype == np.int16 and encoded.data.tolist() == [[0, number]]
    assert encoded.fill == -32768 and "scale_factor" not in encoded.attributes
    assert encoded.attributes["flag_masks"].dtype == np.int16  # CF: of the type of the variable


def test_attributes_that_are_no_numbers_of_the_type_stay_as_they_are() -> None:
    """200 was -56 in one byte, and a text was an error that named nothing."""
    stated = {"flag_values": np.array([0, 200], np.int16), "flag_masks": "1b, 2b", "valid_max": 0.5, "valid_min": 0.0}
    made = encode(Values(np.array([[0, 1]], np.int8), stated)).attributes
    assert made["flag_values"].tolist() == [0, 200] and made["flag_values"].dtype == np.int16
    assert made["flag_masks"] == "1b, 2b" and made["valid_max"] == 0.5
    assert made["valid_min"] == 0 and made["valid_min"].dtype == np.int8


def test_errors_and_differences_have_no_packing_of_the_quantity() -> None:
    kelvin = {"standard_name": "sea_surface_foundation_temperature", "units": "K"}
    error = {"standard_name": "sea_surface_foundation_temperature standard_error", "units": "degree_Celsius"}
    assert packing_of(kelvin) is None and packing_of(error) is None and packing_of({}) is None
    assert packing_of({"standard_name": "sea_surface_temperature", "units": "degree_Celsius"}) == Packing(1e-3, 20.0)


def test_a_field_in_another_order_has_the_same_codes() -> None:
    values = np.random.default_rng(0).normal(35, 1, (40, 60)).astype(np.float32)
    straight, turned = encode(Values(values, _SALINITY)), encode(Values(values[::-1, 10:30], _SALINITY))
    assert np.array_equal(turned.data, straight.data[::-1, 10:30])
